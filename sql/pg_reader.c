#include "sql/pg_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

enum {
    READ_TIMEOUT_MS = 30000,
    PATIENCE_MS = 2000, /* reads wait so long for a broken connection to come back */
    WATCH_MS = 200,     /* how often those that run are looked after */
    STRAY_CANCEL_MS = 1000,
};

static const char query_canceled[] = "57014";

struct read_request {
    struct read_request *prev, *next;
    const struct pg_statement *statement;
    struct pg_read_client client;
    pg_result_fn *on_result;
    pg_end_fn *on_end;
    void *arg;
    uint64_t started_ms;
    bool is_cancelled; /* by us, not for another */
    int tries;         /* that were cut off */
    size_t handed_out; /* results, perhaps by a try that was cut off behind them */
    size_t count;
    struct pg_parameters sets[]; /* of parameters; each runs the statement */
};

struct reader_connection {
    struct pg_reader *reader;
    struct pg_connection *connection;
    struct read_request *running;
};

struct pg_reader {
    uv_loop_t *loop;
    struct reader_connection connections[PG_READER_CONNECTIONS_MAX];
    size_t count;
    struct read_request *waiting; /* first in, first out */
    size_t waiting_count, waiting_max;
    uint64_t read_max_ms;
    uv_timer_t patience; /* runs while no connection is there and reads still wait for one */
    bool is_patient;
    uv_timer_t watch; /* runs while reads do */
    const struct pg_reader_events *events;
    void *arg;
};

static void run_waiting(struct pg_reader *reader);

static void free_request(struct read_request *request)
{
    for (size_t i = 0; i < request->count; i++)
        pg_parameters_free(&request->sets[i]);
    free(request);
}

static void end_request(struct read_request *request, const struct pg_end *end)
{
    request->on_end(request->arg, end);
    free_request(request);
}

static bool is_wanted(const struct read_request *request)
{
    return request->client.is_wanted == NULL || request->client.is_wanted(request->client.arg);
}

static void wait_again(struct pg_reader *reader, struct read_request *request)
{
    DL_PREPEND(reader->waiting, request);
    reader->waiting_count++;
}

/* -------- one read -------- */

/* Each result is handed out once, whatever becomes of the try that it came from. */
static void on_result(void *arg, size_t statement, const PGresult *result)
{
    const struct reader_connection *self = arg;
    struct read_request *request = self->running;

    if (statement < request->handed_out)
        return;
    request->handed_out = statement + 1;
    request->on_result(request->arg, statement, result);
}

/* A read that was cut off is done again: it has changed nothing, and had its time still. So is one
 * that was cancelled for the one before it, whose end was faster than the request to cancel it. */
static void on_end(void *arg, const struct pg_end *end)
{
    struct reader_connection *self = arg;
    struct pg_reader *reader = self->reader;
    struct read_request *request = self->running;
    bool is_cut_off = end->outcome == PG_LOST ||
                      (end->outcome == PG_REFUSED && strcmp(end->sqlstate, query_canceled) == 0 &&
                       uv_now(reader->loop) - request->started_ms < READ_TIMEOUT_MS / 2);

    self->running = NULL;
    if (is_cut_off && !request->is_cancelled && request->tries++ == 0) {
        wait_again(reader, request);
        if (end->outcome == PG_LOST)
            return; /* on_lost follows */
    } else {
        end_request(request, end);
    }
    run_waiting(reader);
}

static void watch_running(uv_timer_t *timer)
{
    struct pg_reader *reader = timer->data;
    uint64_t now_ms = uv_now(reader->loop);
    bool is_running = false;

    for (size_t i = 0; i < reader->count; i++) {
        struct read_request *request = reader->connections[i].running;
        bool is_late = request != NULL && reader->read_max_ms > 0 &&
                       now_ms - request->started_ms >= reader->read_max_ms;

        is_running |= request != NULL;
        if (request == NULL || !(is_late || !is_wanted(request)))
            continue;
        request->is_cancelled = true;
        pg_exchange_cancel(reader->connections[i].connection);
    }
    if (!is_running)
        uv_timer_stop(timer);
}

static void run(struct reader_connection *self, struct read_request *request)
{
    struct pg_reader *reader = self->reader;
    struct pg_value values[PG_PARAMETERS_MAX];

    self->running = request;
    request->started_ms = uv_now(reader->loop);
    pg_exchange_begin(self->connection, on_result, on_end, self);
    for (size_t i = 0; i < request->count; i++) {
        pg_parameters_values(&request->sets[i], values);
        pg_exchange_add(self->connection, request->statement, values);
    }
    pg_exchange_send(self->connection);
    if (!uv_is_active((uv_handle_t *)&reader->watch))
        uv_timer_start(&reader->watch, watch_running, WATCH_MS, WATCH_MS);
}

static struct reader_connection *find_idle(struct pg_reader *reader)
{
    for (size_t i = 0; i < reader->count; i++)
        if (reader->connections[i].running == NULL &&
            pg_connection_is_idle(reader->connections[i].connection))
            return &reader->connections[i];
    return NULL;
}

/* Those that nobody wants any more are dropped on the way. */
static void run_waiting(struct pg_reader *reader)
{
    static const struct pg_end dropped = {
        .outcome = PG_REFUSED, .sqlstate = "57014", .message = "nobody waits for it any more"};
    struct reader_connection *idle;
    struct read_request *request;

    while ((request = reader->waiting) != NULL && (idle = find_idle(reader)) != NULL) {
        DL_DELETE(reader->waiting, request);
        reader->waiting_count--;
        if (is_wanted(request))
            run(idle, request);
        else
            end_request(request, &dropped);
    }
}

/* -------- connections that come and go -------- */

static void on_ready(void *arg)
{
    struct pg_reader *reader = ((struct reader_connection *)arg)->reader;

    uv_timer_stop(&reader->patience);
    reader->is_patient = true;
    if (reader->events != NULL && reader->events->on_ready != NULL)
        reader->events->on_ready(reader->arg);
    run_waiting(reader);
}

/* Reads that wait are told: who asks can ask again, who must know keeps asking. */
static void give_up_waiting(struct pg_reader *reader, const char *why)
{
    struct read_request *waiting = reader->waiting, *request, *next;
    const struct pg_end end = {.outcome = PG_LOST, .message = why};

    reader->is_patient = false;
    reader->waiting = NULL;
    reader->waiting_count = 0;
    DL_FOREACH_SAFE (waiting, request, next)
        end_request(request, &end);
}

static void on_patience_ended(uv_timer_t *timer)
{
    give_up_waiting(timer->data, "the database is away");
}

static void on_lost(void *arg, const char *why)
{
    struct pg_reader *reader = ((struct reader_connection *)arg)->reader;

    if (reader->is_patient && pg_reader_connections_ready(reader) == 0 &&
        !uv_is_active((uv_handle_t *)&reader->patience))
        uv_timer_start(&reader->patience, on_patience_ended, PATIENCE_MS, 0);
    if (reader->events != NULL)
        reader->events->on_lost(reader->arg, why);
    run_waiting(reader);
}

/* -------- life -------- */

static void close_connections(struct pg_reader *reader)
{
    for (size_t i = 0; i < reader->count; i++)
        pg_connection_close(reader->connections[i].connection, NULL);
}

/* Each read is a look-up by an index, in the order that it gives, of which a page takes the first
 * rows. A planner with the statistics of a table that was just filled reads and sorts it all, and
 * compiles a statement for which that is forbidden, but not possible to avoid. */
static const struct pg_statement plan_by_index = {
    .sql =
        "SELECT set_config(name, 'off', false) FROM (VALUES ('enable_seqscan'), ('enable_sort'),"
        " ('enable_bitmapscan'), ('enable_hashjoin'), ('enable_mergejoin'), ('jit')) AS s (name)"};

static int open_connections(struct pg_reader *reader, const struct pg_reader_options *options)
{
    static const struct pg_connection_events connection_events = {
        .on_ready = on_ready,
        .on_lost = on_lost,
    };
    const struct pg_connection_options connection_options = {
        .url = options->url,
        .application_name = "runtree reader",
        .exchange_timeout_ms = READ_TIMEOUT_MS,
        .settings = &plan_by_index,
    };

    for (; reader->count < options->connections; reader->count++) {
        struct reader_connection *self = &reader->connections[reader->count];

        self->reader = reader;
        self->connection =
            pg_connection_new(reader->loop, &connection_options, &connection_events, self);
        if (self->connection == NULL)
            return -ENOMEM;
    }
    return 0;
}

struct pg_reader *pg_reader_new(uv_loop_t *loop, const struct pg_reader_options *options,
                                const struct pg_reader_events *events, void *arg)
{
    struct pg_reader *reader = calloc(1, sizeof *reader);

    if (reader == NULL)
        return NULL;
    reader->loop = loop;
    reader->waiting_max = options->waiting_max;
    reader->read_max_ms = options->read_max_ms;
    reader->events = events;
    reader->arg = arg;
    reader->is_patient = true;
    if (open_connections(reader, options) < 0) {
        close_connections(reader);
        free(reader);
        return NULL;
    }
    uv_timer_init(loop, &reader->patience);
    uv_timer_init(loop, &reader->watch);
    reader->patience.data = reader->watch.data = reader;
    return reader;
}

void pg_reader_stop(struct pg_reader *reader)
{
    for (size_t i = 0; i < reader->count; i++) {
        if (reader->connections[i].running != NULL)
            wait_again(reader, reader->connections[i].running);
        reader->connections[i].running = NULL;
    }
    give_up_waiting(reader, "the service is shutting down");
    uv_close((uv_handle_t *)&reader->patience, NULL);
    uv_close((uv_handle_t *)&reader->watch, NULL);
    close_connections(reader);
}

void pg_reader_free(struct pg_reader *reader)
{
    free(reader);
}

size_t pg_reader_connections_ready(const struct pg_reader *reader)
{
    size_t ready = 0;

    for (size_t i = 0; i < reader->count; i++)
        ready += pg_connection_is_ready(reader->connections[i].connection);
    return ready;
}

bool pg_reader_is_ready(const struct pg_reader *reader)
{
    return pg_reader_connections_ready(reader) == reader->count;
}

uint32_t pg_reader_timeline(const struct pg_reader *reader)
{
    return pg_connection_timeline(reader->connections[0].connection);
}

size_t pg_reader_queued(const struct pg_reader *reader)
{
    return reader->waiting_count;
}

int pg_reader_query(struct pg_reader *reader, const struct pg_statement *statement,
                    struct pg_parameters *sets, size_t count, struct pg_read_client client,
                    pg_result_fn *result_fn, pg_end_fn *end_fn, void *arg)
{
    struct reader_connection *idle = reader->waiting == NULL ? find_idle(reader) : NULL;
    struct read_request *request;

    if (!reader->is_patient)
        return -ENOTCONN;
    if (idle == NULL && reader->waiting_count >= reader->waiting_max)
        return -EAGAIN;
    for (size_t i = 0; i < count; i++)
        if (sets[i].bytes.failed)
            return -ENOMEM;
    request = malloc(sizeof *request + count * sizeof *sets);
    if (request == NULL)
        return -ENOMEM;
    *request = (struct read_request){.statement = statement,
                                     .client = client,
                                     .on_result = result_fn,
                                     .on_end = end_fn,
                                     .arg = arg,
                                     .count = count};
    for (size_t i = 0; i < count; i++) {
        request->sets[i] = sets[i];
        sets[i] = (struct pg_parameters){0};
    }
    if (idle != NULL) {
        run(idle, request);
        return 0;
    }
    DL_APPEND(reader->waiting, request);
    reader->waiting_count++;
    return 0;
}
