#include "sql/run_remover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "sql/event_rows.h"
#include "sql/pg_connection.h"
#include "sql/pg_value.h"

enum {
    REMOVE_TIMEOUT_MS = 60000,
    LOOK_INTERVAL_MS = 60000, /* between two looks for runs that are due */
    PAUSE_MS = 100,           /* between two runs that are due */
    DUE_RUNS_MAX = 100,       /* taken from one look */
};

struct removal_request {
    struct removal_request *prev, *next;
    char path[RUN_PATH_SIZE];
    struct run_key key; /* into path */
    int64_t due_us; /* of one that is due: only if it has ended before; TIME_NONE: in any state */
    removal_fn *on_end; /* NULL for one that is due */
    void *arg;
    bool is_removed;
};

struct run_remover {
    struct pg_connection *connection;
    uv_timer_t timer;
    int64_t retention_us;
    const struct run_remover_events *events;
    void *arg;
    struct removal_request *waiting;
    size_t waiting_count;
    struct removal_request *running;
    struct pg_parameters parameters[2];
    int open;
    void (*on_closed)(void *arg);
    void *closed_arg;
};

static void run_next(struct run_remover *remover);

static int64_t retention_edge_us(const struct run_remover *remover)
{
    uv_timeval64_t now;

    uv_gettimeofday(&now);
    return now.tv_sec * 1000000 + now.tv_usec - remover->retention_us;
}

static struct removal_request *request_new(const struct run_key *key)
{
    struct removal_request *request = calloc(1, sizeof *request);

    if (request == NULL)
        return NULL;
    run_key_path(key, request->path);
    request->key = run_key_split(request->path);
    request->due_us = TIME_NONE;
    return request;
}

/* -------- one run -------- */

static const Oid lock_types[] = {PG_TEXT, PG_TEXT, PG_TEXT};

static const struct pg_statement lock_statement = {
    .name = "lock_run",
    .sql = "SELECT 1 FROM runs r WHERE r.project = $1 AND r.domain = $2 AND r.run_name = $3"
           " FOR UPDATE",
    .parameter_count = 3,
    .types = lock_types,
};

static const Oid remove_types[] = {PG_TEXT, PG_TEXT, PG_TEXT, PG_TIMESTAMPTZ};

/* Every phase that is not terminal has a count of zero. */
#define HAS_ENDED                                                                                  \
    "r.phase IN (5, 6, 7, 8, 10) AND r.phase_counts[1] + r.phase_counts[2] + r.phase_counts[3]"    \
    " + r.phase_counts[4] + r.phase_counts[9] = 0"

/* Behind the lock, so that its snapshot has all that the run's writers committed. */
static const struct pg_statement remove_statement = {
    .name = "remove_run",
    .sql =
        "WITH gone AS (DELETE FROM runs r WHERE r.project = $1 AND r.domain = $2"
        " AND r.run_name = $3 AND ($4::timestamptz IS NULL OR (r.first_seen_at < $4"
        " AND r.ended_at < $4 AND " HAS_ENDED ")) RETURNING r.project, r.domain, r.run_name),"
        " gone_events AS (DELETE FROM action_events e USING gone g"
        " WHERE e.project = $1 AND e.domain = $2 AND e.run_name = $3),"
        " gone_actions AS (DELETE FROM actions a USING gone g"
        " WHERE a.project = $1 AND a.domain = $2 AND a.run_name = $3),"
        " noted AS (INSERT INTO deleted_runs (project, domain, run_name, deleted_xid, deleted_at)"
        " SELECT g.*, pg_current_xact_id()::text::int8, now() FROM gone g"
        " ON CONFLICT (project, domain, run_name) DO UPDATE"
        " SET deleted_xid = excluded.deleted_xid, deleted_at = excluded.deleted_at)"
        " SELECT pg_notify('runtree', g.project || '/' || g.domain || '/' || g.run_name || '/0')"
        " FROM gone g",
    .parameter_count = 4,
    .types = remove_types,
};

enum { REMOVE_BEGIN, REMOVE_LOCK, REMOVE_RUN, REMOVE_COMMIT };

static void on_remove_result(void *arg, size_t statement, const PGresult *result)
{
    struct run_remover *remover = arg;

    if (statement == REMOVE_RUN)
        remover->running->is_removed = PQntuples(result) > 0;
}

static void finish(struct removal_request *request, enum removal removal)
{
    if (request->on_end != NULL)
        request->on_end(request->arg, removal);
    free(request);
}

static void on_pause_ended(uv_timer_t *timer)
{
    run_next(timer->data);
}

static void on_remove_end(void *arg, const struct pg_end *end)
{
    struct run_remover *remover = arg;
    struct removal_request *request = remover->running;
    bool is_due = request->on_end == NULL;

    remover->running = NULL;
    if (end->outcome == PG_REFUSED)
        remover->events->on_refused(remover->arg, end->message);
    if (end->outcome == PG_OK && request->is_removed)
        remover->events->on_removed(remover->arg, &request->key);
    finish(request, end->outcome != PG_OK ? REMOVAL_FAILED
                    : request->is_removed ? REMOVAL_DONE
                                          : REMOVAL_ABSENT);
    if (is_due)
        uv_timer_start(&remover->timer, on_pause_ended, PAUSE_MS, 0);
    else
        run_next(remover);
}

static void bind_key(struct pg_parameters *parameters, const struct run_key *key)
{
    pg_parameters_reset(parameters);
    pg_bind_text(parameters, key->project);
    pg_bind_text(parameters, key->domain);
    pg_bind_text(parameters, key->run_name);
}

static void remove_run(struct run_remover *remover, struct removal_request *request)
{
    struct pg_value lock_values[PG_PARAMETERS_MAX], remove_values[PG_PARAMETERS_MAX];

    remover->running = request;
    bind_key(&remover->parameters[0], &request->key);
    bind_key(&remover->parameters[1], &request->key);
    pg_bind_time(&remover->parameters[1], request->due_us);
    pg_parameters_values(&remover->parameters[0], lock_values);
    pg_parameters_values(&remover->parameters[1], remove_values);
    pg_exchange_begin(remover->connection, on_remove_result, on_remove_end, remover);
    pg_exchange_add(remover->connection, &begin_statement, NULL);
    pg_exchange_add(remover->connection, &lock_statement, lock_values);
    pg_exchange_add(remover->connection, &remove_statement, remove_values);
    pg_exchange_add(remover->connection, &commit_statement, NULL);
    pg_exchange_send(remover->connection);
}

/* -------- what is due -------- */

static const Oid due_types[] = {PG_TIMESTAMPTZ, PG_INT4};

static const struct pg_statement due_statement = {
    .name = "due_runs",
    .sql = "SELECT r.project, r.domain, r.run_name FROM runs r"
           " WHERE r.first_seen_at > '-infinity' AND r.first_seen_at < $1 AND r.ended_at < $1"
           " AND " HAS_ENDED " ORDER BY r.first_seen_at LIMIT $2",
    .parameter_count = 2,
    .types = due_types,
};

static const struct pg_statement forget_statement = {
    .name = "forget_deleted",
    .sql = "DELETE FROM deleted_runs WHERE deleted_at < now() - interval '2 days'",
};

static void on_due_result(void *arg, size_t statement, const PGresult *result)
{
    struct run_remover *remover = arg;
    int rows = statement == 0 ? PQntuples(result) : 0;

    for (int row = 0; row < rows; row++) {
        const struct run_key key = {pg_text(result, row, 0), pg_text(result, row, 1),
                                    pg_text(result, row, 2)};
        struct removal_request *request = request_new(&key);

        if (request == NULL)
            return;
        request->due_us = retention_edge_us(remover);
        DL_APPEND(remover->waiting, request);
        remover->waiting_count++;
    }
}

static void on_look_due(uv_timer_t *timer);

static void on_due_end(void *arg, const struct pg_end *end)
{
    struct run_remover *remover = arg;

    if (end->outcome == PG_REFUSED)
        remover->events->on_refused(remover->arg, end->message);
    if (remover->waiting == NULL)
        uv_timer_start(&remover->timer, on_look_due, LOOK_INTERVAL_MS, 0);
    else
        run_next(remover);
}

static void look_for_due(struct run_remover *remover)
{
    struct pg_value values[PG_PARAMETERS_MAX];

    if (remover->retention_us == 0 || !pg_connection_is_idle(remover->connection))
        return;
    pg_parameters_reset(&remover->parameters[0]);
    pg_bind_time(&remover->parameters[0], retention_edge_us(remover));
    pg_bind_int4(&remover->parameters[0], DUE_RUNS_MAX);
    pg_parameters_values(&remover->parameters[0], values);
    pg_exchange_begin(remover->connection, on_due_result, on_due_end, remover);
    pg_exchange_add(remover->connection, &due_statement, values);
    pg_exchange_add(remover->connection, &forget_statement, NULL);
    pg_exchange_send(remover->connection);
}

static void on_look_due(uv_timer_t *timer)
{
    look_for_due(timer->data);
}

static void run_next(struct run_remover *remover)
{
    struct removal_request *request = remover->waiting;

    if (remover->running != NULL || !pg_connection_is_idle(remover->connection))
        return;
    if (request == NULL) {
        if (!uv_is_active((uv_handle_t *)&remover->timer))
            uv_timer_start(&remover->timer, on_look_due, LOOK_INTERVAL_MS, 0);
        return;
    }
    DL_DELETE(remover->waiting, request);
    remover->waiting_count--;
    remove_run(remover, request);
}

/* -------- life -------- */

static void give_up_waiting(struct run_remover *remover)
{
    struct removal_request *waiting = remover->waiting, *request, *next;

    remover->waiting = NULL;
    remover->waiting_count = 0;
    DL_FOREACH_SAFE (waiting, request, next)
        finish(request, REMOVAL_FAILED);
}

static void on_ready(void *arg)
{
    look_for_due(arg);
    run_next(arg);
}

static void on_lost(void *arg, const char *why)
{
    (void)why; /* the other connections say it */
    give_up_waiting(arg);
}

struct run_remover *run_remover_new(uv_loop_t *loop, const char *url, int64_t retention_us,
                                    const struct run_remover_events *events, void *arg)
{
    static const struct pg_connection_events connection_events = {.on_ready = on_ready,
                                                                  .on_lost = on_lost};
    const struct pg_connection_options options = {
        .url = url,
        .application_name = "runtree remover",
        .exchange_timeout_ms = REMOVE_TIMEOUT_MS,
    };
    struct run_remover *remover = calloc(1, sizeof *remover);

    if (remover == NULL)
        return NULL;
    remover->retention_us = retention_us;
    remover->events = events;
    remover->arg = arg;
    remover->connection = pg_connection_new(loop, &options, &connection_events, remover);
    if (remover->connection == NULL) {
        free(remover);
        return NULL;
    }
    uv_timer_init(loop, &remover->timer);
    remover->timer.data = remover;
    remover->open = 2;
    return remover;
}

static void on_part_closed(struct run_remover *remover)
{
    if (--remover->open > 0)
        return;
    pg_parameters_free(&remover->parameters[0]);
    pg_parameters_free(&remover->parameters[1]);
    if (remover->on_closed != NULL)
        remover->on_closed(remover->closed_arg);
    free(remover);
}

static void on_connection_closed(void *arg)
{
    on_part_closed(arg);
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_part_closed(handle->data);
}

void run_remover_close(struct run_remover *remover, void (*on_closed)(void *arg), void *arg)
{
    remover->on_closed = on_closed;
    remover->closed_arg = arg;
    if (remover->running != NULL)
        finish(remover->running, REMOVAL_FAILED);
    remover->running = NULL;
    give_up_waiting(remover);
    uv_close((uv_handle_t *)&remover->timer, on_timer_closed);
    pg_connection_close(remover->connection, on_connection_closed);
}

bool run_remover_is_ready(const struct run_remover *remover)
{
    return pg_connection_is_ready(remover->connection);
}

int run_remover_remove(struct run_remover *remover, const struct run_key *run, removal_fn *on_end,
                       void *arg)
{
    struct removal_request *request;

    if (!pg_connection_is_ready(remover->connection))
        return -ENOTCONN;
    if (remover->waiting_count >= REMOVER_QUEUE_MAX)
        return -EAGAIN;
    request = request_new(run);
    if (request == NULL)
        return -ENOMEM;
    request->on_end = on_end;
    request->arg = arg;
    DL_PREPEND(remover->waiting, request); /* before those that are due: somebody waits for it */
    remover->waiting_count++;
    run_next(remover);
    return 0;
}
