#include "sql/pg_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

enum {
    READ_TIMEOUT_MS = 30000,
    PATIENCE_MS = 2000, /* reads wait so long for a broken connection to come back */
};

struct read_request {
    struct read_request *prev, *next;
    const struct pg_statement *statement;
    pg_result_fn *on_result;
    pg_end_fn *on_end;
    void *arg;
    int tries;         /* that were cut off */
    size_t handed_out; /* results, perhaps by a try that was cut off behind them */
    size_t count;
    struct pg_parameters sets[]; /* of parameters; each runs the statement */
};

struct pg_reader {
    struct pg_connection *connection;
    struct read_request *waiting; /* first in, first out */
    size_t waiting_count, waiting_max;
    struct read_request *running;
    uv_timer_t patience; /* runs while the connection is away and reads still wait for it */
    bool is_patient;
    int open; /* the connection and the timer, until they are closed */
    const struct pg_reader_events *events;
    void *arg;
    void (*on_closed)(void *arg);
    void *closed_arg;
};

static void run_next(struct pg_reader *reader);

static void free_request(struct read_request *request)
{
    for (size_t i = 0; i < request->count; i++)
        pg_parameters_free(&request->sets[i]);
    free(request);
}

/* Each result is handed out once, whatever becomes of the try that it came from. */
static void on_result(void *arg, size_t statement, const PGresult *result)
{
    const struct pg_reader *reader = arg;
    struct read_request *request = reader->running;

    if (statement < request->handed_out)
        return;
    request->handed_out = statement + 1;
    request->on_result(request->arg, statement, result);
}

/* A read that was cut off is done again: it has changed nothing. */
static void on_end(void *arg, const struct pg_end *end)
{
    struct pg_reader *reader = arg;
    struct read_request *request = reader->running;

    reader->running = NULL;
    if (end->outcome == PG_LOST && request->tries++ == 0) {
        DL_PREPEND(reader->waiting, request);
        reader->waiting_count++;
        return;
    }
    request->on_end(request->arg, end);
    free_request(request);
    run_next(reader);
}

static void run_next(struct pg_reader *reader)
{
    struct read_request *request = reader->waiting;
    struct pg_value values[PG_PARAMETERS_MAX];

    if (request == NULL || reader->running != NULL || !pg_connection_is_idle(reader->connection))
        return;
    DL_DELETE(reader->waiting, request);
    reader->waiting_count--;
    reader->running = request;
    pg_exchange_begin(reader->connection, on_result, on_end, reader);
    for (size_t i = 0; i < request->count; i++) {
        pg_parameters_values(&request->sets[i], values);
        pg_exchange_add(reader->connection, request->statement, values);
    }
    pg_exchange_send(reader->connection);
}

static void on_ready(void *arg)
{
    struct pg_reader *reader = arg;

    uv_timer_stop(&reader->patience);
    reader->is_patient = true;
    if (reader->events != NULL)
        reader->events->on_ready(reader->arg);
    run_next(reader);
}

/* Reads that wait are told: who asks can ask again, who must know keeps asking. */
static void give_up_waiting(struct pg_reader *reader, const char *why)
{
    struct read_request *waiting = reader->waiting, *request, *next;
    const struct pg_end end = {.outcome = PG_LOST, .message = why};

    reader->is_patient = false;
    reader->waiting = NULL;
    reader->waiting_count = 0;
    DL_FOREACH_SAFE (waiting, request, next) {
        request->on_end(request->arg, &end);
        free_request(request);
    }
}

static void on_patience_ended(uv_timer_t *timer)
{
    give_up_waiting(timer->data, "the database is away");
}

static void on_lost(void *arg, const char *why)
{
    struct pg_reader *reader = arg;

    if (reader->is_patient && !uv_is_active((uv_handle_t *)&reader->patience))
        uv_timer_start(&reader->patience, on_patience_ended, PATIENCE_MS, 0);
    if (reader->events != NULL)
        reader->events->on_lost(reader->arg, why);
}

struct pg_reader *pg_reader_new(uv_loop_t *loop, const char *url, size_t waiting_max,
                                const struct pg_reader_events *events, void *arg)
{
    static const struct pg_connection_events connection_events = {
        .on_ready = on_ready,
        .on_lost = on_lost,
    };
    const struct pg_connection_options options = {
        .url = url,
        .application_name = "runtree reader",
        .exchange_timeout_ms = READ_TIMEOUT_MS,
    };
    struct pg_reader *reader = calloc(1, sizeof *reader);

    if (reader == NULL)
        return NULL;
    reader->waiting_max = waiting_max;
    reader->events = events;
    reader->arg = arg;
    reader->is_patient = true;
    reader->connection = pg_connection_new(loop, &options, &connection_events, reader);
    if (reader->connection == NULL) {
        free(reader);
        return NULL;
    }
    uv_timer_init(loop, &reader->patience);
    reader->patience.data = reader;
    reader->open = 2;
    return reader;
}

static void on_part_closed(struct pg_reader *reader)
{
    if (--reader->open > 0)
        return;
    if (reader->on_closed != NULL)
        reader->on_closed(reader->closed_arg);
    free(reader);
}

static void on_connection_closed(void *arg)
{
    on_part_closed(arg);
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_part_closed(handle->data);
}

void pg_reader_close(struct pg_reader *reader, void (*on_closed)(void *arg), void *arg)
{
    reader->on_closed = on_closed;
    reader->closed_arg = arg;
    if (reader->running != NULL)
        DL_PREPEND(reader->waiting, reader->running);
    reader->running = NULL;
    give_up_waiting(reader, "the service is shutting down");
    uv_close((uv_handle_t *)&reader->patience, on_timer_closed);
    pg_connection_close(reader->connection, on_connection_closed);
}

bool pg_reader_is_ready(const struct pg_reader *reader)
{
    return pg_connection_is_ready(reader->connection);
}

uint32_t pg_reader_timeline(const struct pg_reader *reader)
{
    return pg_connection_timeline(reader->connection);
}

size_t pg_reader_queued(const struct pg_reader *reader)
{
    return reader->waiting_count;
}

int pg_reader_query_each(struct pg_reader *reader, const struct pg_statement *statement,
                         struct pg_parameters *sets, size_t count, pg_result_fn *result_fn,
                         pg_end_fn *end_fn, void *arg)
{
    struct read_request *request;

    if (!reader->is_patient)
        return -ENOTCONN;
    if (reader->waiting_count >= reader->waiting_max)
        return -EAGAIN;
    for (size_t i = 0; i < count; i++)
        if (sets[i].bytes.failed)
            return -ENOMEM;
    request = malloc(sizeof *request + count * sizeof *sets);
    if (request == NULL)
        return -ENOMEM;
    *request = (struct read_request){.statement = statement,
                                     .on_result = result_fn,
                                     .on_end = end_fn,
                                     .arg = arg,
                                     .count = count};
    for (size_t i = 0; i < count; i++) {
        request->sets[i] = sets[i];
        sets[i] = (struct pg_parameters){0};
    }
    DL_APPEND(reader->waiting, request);
    reader->waiting_count++;
    run_next(reader);
    return 0;
}

int pg_reader_query(struct pg_reader *reader, const struct pg_statement *statement,
                    struct pg_parameters *parameters, pg_result_fn *result_fn, pg_end_fn *end_fn,
                    void *arg)
{
    return pg_reader_query_each(reader, statement, parameters, 1, result_fn, end_fn, arg);
}
