#include "sql/notify_listener.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "sql/pg_connection.h"
#include "sql/pg_value.h"

/* A connection that only listens would not notice a dead peer: it says something itself now and
 * then, and asks whether it still listens, which a pooler may have ended. */
enum { PING_INTERVAL_MS = 3000, PING_TIMEOUT_MS = 5000, CHANNEL_PAYLOAD_MAX = 8000 };

struct notify_listener {
    struct pg_connection *connection;
    uv_timer_t ping;
    bool has_listened; /* in this session */
    bool is_listening; /* and nothing says that it was in vain */
    bool is_deaf;      /* as of the last ping */
    int times_deaf;    /* sessions in a row that were found so */
    double queue_usage;
    const struct notify_listener_events *events;
    void *arg;
};

static const struct pg_statement listen_statement = {
    .sql = "DO $$BEGIN EXECUTE format('LISTEN %I', " PG_CHANNEL "); END$$",
};

/* Not prepared: a pooler's other session would refuse it for that, and not be found deaf. */
static const struct pg_statement ping_statement = {
    .sql = "SELECT (pg_notification_queue_usage() * 1000000)::int8,"
           " NOT EXISTS (SELECT FROM pg_listening_channels() AS c (name)"
           " WHERE c.name = " PG_CHANNEL ")",
};

static void on_ping_result(void *arg, size_t statement, const PGresult *result)
{
    struct notify_listener *listener = arg;

    (void)statement;
    listener->queue_usage = (double)pg_int8(result, 0, 0) / 1e6;
    listener->is_deaf = pg_bool(result, 0, 1);
}

static void begin_to_hear(struct notify_listener *listener)
{
    listener->is_listening = true;
    listener->events->on_listening(listener->arg, pg_connection_timeline(listener->connection));
}

/* A session that is lost is reported by on_lost; a refused ping does not matter. */
static void on_ping_end(void *arg, const struct pg_end *end)
{
    struct notify_listener *listener = arg;

    if (end->outcome != PG_OK)
        return;
    if (listener->is_deaf) {
        listener->times_deaf++;
        pg_connection_reset(listener->connection,
                            listener->times_deaf == 1
                                ? "the session has stopped listening; the next one begins anew"
                                : "LISTEN does not last: a pooler between runtree and PostgreSQL"
                                  " must work in session mode");
        return;
    }
    listener->times_deaf = 0;
    if (!listener->is_listening)
        begin_to_hear(listener);
}

static void on_ping_due(uv_timer_t *timer)
{
    struct notify_listener *listener = timer->data;

    if (!listener->has_listened || !pg_connection_is_idle(listener->connection))
        return;
    pg_exchange(listener->connection, &(struct pg_call){&ping_statement, NULL}, 1, on_ping_result,
                on_ping_end, listener);
}

static void on_listen_end(void *arg, const struct pg_end *end)
{
    struct notify_listener *listener = arg;

    if (end->outcome == PG_OK) {
        listener->has_listened = true;
        if (listener->times_deaf < 2) /* else the next ping tells */
            begin_to_hear(listener);
    } else if (end->outcome == PG_REFUSED) {
        pg_connection_reset(listener->connection, end->message);
    }
}

static void on_ready(void *arg)
{
    struct notify_listener *listener = arg;

    pg_exchange(listener->connection, &(struct pg_call){&listen_statement, NULL}, 1, NULL,
                on_listen_end, listener);
}

static void on_lost(void *arg, const char *why)
{
    struct notify_listener *listener = arg;

    listener->has_listened = listener->is_listening = false;
    listener->events->on_lost(listener->arg, why);
}

static void on_notification(void *arg, const char *channel, const char *payload)
{
    struct notify_listener *listener = arg;
    char text[CHANNEL_PAYLOAD_MAX], *rest = text;
    const char *horizon = strrchr(payload, NEWS_SEPARATOR[0]);
    struct run_notification heard = {0};

    (void)channel;
    if (horizon == NULL || strlen(payload) >= sizeof text)
        return;
    memcpy(text, payload, strlen(payload) + 1);
    heard.all_heard_below = strtoll(horizon + 1, NULL, 10);
    for (;;) {
        heard.run.project = strsep(&rest, NEWS_SEPARATOR);
        heard.run.domain = strsep(&rest, NEWS_SEPARATOR);
        heard.run.run_name = strsep(&rest, NEWS_SEPARATOR);
        if (rest == NULL)
            return;
        heard.revision = strtoll(strsep(&rest, NEWS_SEPARATOR), NULL, 10);
        listener->events->on_run_changed(listener->arg, &heard);
    }
}

struct notify_listener *notify_listener_new(uv_loop_t *loop, const char *url,
                                            const struct notify_listener_events *events, void *arg)
{
    static const struct pg_connection_events connection_events = {
        .on_ready = on_ready,
        .on_lost = on_lost,
        .on_notification = on_notification,
    };
    const struct pg_connection_options options = {
        .url = url,
        .application_name = "runtree listener",
        .exchange_timeout_ms = PING_TIMEOUT_MS,
    };
    struct notify_listener *listener = calloc(1, sizeof *listener);

    if (listener == NULL)
        return NULL;
    listener->events = events;
    listener->arg = arg;
    listener->connection = pg_connection_new(loop, &options, &connection_events, listener);
    if (listener->connection == NULL) {
        free(listener);
        return NULL;
    }
    uv_timer_init(loop, &listener->ping);
    listener->ping.data = listener;
    uv_timer_start(&listener->ping, on_ping_due, PING_INTERVAL_MS, PING_INTERVAL_MS);
    return listener;
}

void notify_listener_stop(struct notify_listener *listener)
{
    listener->has_listened = listener->is_listening = false;
    uv_close((uv_handle_t *)&listener->ping, NULL);
    pg_connection_close(listener->connection, NULL);
}

void notify_listener_free(struct notify_listener *listener)
{
    free(listener);
}

bool notify_listener_is_on(const struct notify_listener *listener)
{
    return listener->is_listening;
}

double notify_listener_queue_usage(const struct notify_listener *listener)
{
    return listener->queue_usage;
}
