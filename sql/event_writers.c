/* All connections, and the requests that they share. */
#include <errno.h>
#include <stdlib.h>

#include "sql/event_rows.h"
#include "sql/event_writer_internal.h"

static void on_set_up(void *arg, const struct pg_end *end)
{
    struct event_writer *writer = arg;

    if (end->outcome == PG_REFUSED)
        pg_connection_reset(writer->connection, end->message);
    if (end->outcome != PG_OK)
        return;
    writer->is_set_up = true;
    writer->patience_runs = false;
    uv_timer_stop(&writer->patience);
    event_writer_run(writer);
}

static void on_ready(void *arg)
{
    struct event_writer *writer = arg;

    pg_exchange_begin(writer->connection, event_writer_ignore, on_set_up, writer);
    pg_exchange_add(writer->connection, &writer_settings_statement, NULL);
    pg_exchange_send(writer->connection);
}

static void on_patience_ended(uv_timer_t *timer)
{
    struct event_writer *writer = timer->data;

    writer->patience_runs = false;
    event_writer_give_up(writer);
}

static void on_lost(void *arg, const char *why)
{
    struct event_writer *writer = arg;
    struct event_writers *owner = writer->owner;

    writer->is_set_up = false;
    owner->events->on_lost(owner->arg, why);
    if (writer->patience_runs)
        return;
    writer->patience_runs = true;
    uv_timer_start(&writer->patience, on_patience_ended, owner->options.retry_for_ms, 0);
}

static int start_writer(struct event_writers *writers, struct event_writer *writer)
{
    static const struct pg_connection_events events = {.on_ready = on_ready, .on_lost = on_lost};
    const struct pg_connection_options options = {
        .url = writers->options.url,
        .application_name = "runtree writer",
        .exchange_timeout_ms = WRITE_TIMEOUT_MS,
    };

    writer->owner = writers;
    writer->batch = malloc(WRITE_EVENTS_MAX * sizeof *writer->batch);
    writer->events = malloc(WRITE_EVENTS_MAX * sizeof(const struct action_event *));
    if (writer->batch == NULL || writer->events == NULL)
        goto error_memory;
    writer->connection = pg_connection_new(writers->loop, &options, &events, writer);
    if (writer->connection == NULL)
        goto error_memory;
    uv_timer_init(writers->loop, &writer->patience);
    writer->patience.data = writer;
    writers->open += 2;
    return 0;

error_memory:
    event_writer_free(writer);
    return -ENOMEM;
}

struct event_writers *event_writers_new(uv_loop_t *loop,
                                        const struct event_writers_options *options,
                                        const struct event_writers_events *events, void *arg)
{
    struct event_writers *writers = calloc(1, sizeof *writers);

    if (writers == NULL)
        return NULL;
    writers->loop = loop;
    writers->options = *options;
    writers->events = events;
    writers->arg = arg;
    while (writers->count < options->connections) {
        if (start_writer(writers, &writers->writers[writers->count]) < 0) {
            event_writers_close(writers, NULL, NULL);
            return NULL;
        }
        writers->count++;
    }
    return writers;
}

static void on_part_closed(struct event_writers *writers)
{
    if (--writers->open > 0)
        return;
    for (int i = 0; i < writers->count; i++) {
        struct event_writer *writer = &writers->writers[i];

        event_writer_free(writer);
    }
    if (writers->on_closed != NULL)
        writers->on_closed(writers->closed_arg);
    free(writers);
}

static void on_connection_closed(void *arg)
{
    struct event_writer *writer = arg;

    on_part_closed(writer->owner);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct event_writer *writer = handle->data;

    on_part_closed(writer->owner);
}

void event_writers_close(struct event_writers *writers, void (*on_closed)(void *arg), void *arg)
{
    writers->on_closed = on_closed;
    writers->closed_arg = arg;
    if (writers->count == 0) {
        free(writers);
        return;
    }
    for (int i = 0; i < writers->count; i++) {
        event_writer_give_up(&writers->writers[i]);
        uv_close((uv_handle_t *)&writers->writers[i].patience, on_timer_closed);
        pg_connection_close(writers->writers[i].connection, on_connection_closed);
    }
}

/* -------- requests -------- */

static struct event_writer *writer_of(struct event_writers *writers, const struct run_key *run)
{
    return &writers->writers[run_key_hash(run) % (uint32_t)writers->count];
}

int event_writers_submit(struct event_writers *writers, struct event_batch *batch,
                         event_write_fn *done, void *arg)
{
    struct write_request *request;
    size_t bytes = 0;

    for (size_t i = 0; i < batch->count; i++) {
        if (batch->results[i].status != EVENT_PENDING)
            continue;
        if (!writer_of(writers, &batch->events[i].run)->is_set_up)
            return -ENOTCONN;
        bytes += batch->events[i].info.length;
    }
    if (event_writers_queued_bytes(writers) + bytes > writers->options.queue_bytes_max)
        return -EAGAIN;
    request = write_request_new(done, arg);
    if (request == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < batch->count; i++) {
        struct write_item item = {
            .request = request, .event = &batch->events[i], .result = &batch->results[i]};

        if (item.result->status != EVENT_PENDING)
            continue;
        if (write_queue_put(&writer_of(writers, &item.event->run)->queue, &item) < 0)
            request->is_unavailable = true; /* this event stays pending: answered as such */
    }
    write_request_submitted(request);
    return 0;
}

void event_writers_run(struct event_writers *writers)
{
    for (int i = 0; i < writers->count; i++)
        event_writer_run(&writers->writers[i]);
}

size_t event_writers_usable(const struct event_writers *writers)
{
    size_t count = 0;

    for (int i = 0; i < writers->count; i++)
        count += writers->writers[i].is_set_up;
    return count;
}

bool event_writers_are_ready(const struct event_writers *writers)
{
    return event_writers_usable(writers) == (size_t)writers->count;
}

size_t event_writers_queued_bytes(const struct event_writers *writers)
{
    size_t bytes = 0;

    for (int i = 0; i < writers->count; i++)
        bytes += write_queue_bytes(&writers->writers[i].queue);
    return bytes;
}
