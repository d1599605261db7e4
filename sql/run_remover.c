#include "sql/run_remover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "sql/pg_connection.h"
#include "sql/pg_value.h"
#include "sql/write_statements.h"

enum {
    REMOVE_TIMEOUT_MS = 60000,
    LOOK_INTERVAL_MS = 60000, /* between two looks for runs that are due or have rows left */
    LOOK_AGAIN_MS = 1000,     /* when the last look may not have seen all */
    RUNS_MAX = 100,           /* taken from one look, of either kind */

    PIECE_ROWS_MAX = 2000, /* removed in one transaction */
    LOCKED_PAUSE_MS = 100, /* until a run that somebody holds locked is tried again … */
    LOCKED_MAX_MS = 10000, /* … and for how long */
};

struct removal_request {
    struct removal_request *prev, *next;
    char path[RUN_PATH_SIZE];
    struct run_key key; /* into path */
    int64_t due_us; /* of one that is due: only if it has ended before; TIME_NONE: in any state */
    uint64_t asked_ms, not_before_ms; /* uv_now */
    removal_fn *on_end;               /* NULL for one that is due */
    abort_fn *on_abort_end;           /* instead: nothing is removed, an end is asked for */
    char *abort;                      /* what is to be noted, owned */
    char name[NAME_BYTES_MAX + 1];    /* of the action; "": of the run */
    bool is_found;
    char *noted;      /* what is, owned; NULL: nothing yet */
    enum phase phase; /* of that action or run */
    void *arg;
};

/* A deleted run of which rows are left, and how far they are removed. */
struct leftover {
    struct leftover *prev, *next;
    char path[RUN_PATH_SIZE];
    struct run_key key;  /* into path */
    int64_t deleted_xid; /* which deletion of the key it is */
    bool is_awaited;     /* asked for by somebody, who may want the key again: no pauses */
    int table;           /* of removed_tables */
    char name[NAME_BYTES_MAX + 1]; /* removed up to this key */
    int32_t attempt, version;
    int16_t phase;
};

struct run_remover {
    struct pg_connection *connection;
    uv_loop_t *loop;
    uv_timer_t timer;
    int64_t retention_us;
    const struct run_remover_events *events;
    void *arg;
    bool is_set_up; /* the session has its settings */
    struct removal_request *waiting;
    size_t waiting_count;
    struct removal_request *running; /* being marked */
    int64_t marked_xid;              /* 0: there was nothing to mark */
    struct leftover *leftovers;      /* the first is being worked on */
    int32_t piece_rows;
    bool is_ours, may_be_more; /* what the piece found */
    uint64_t piece_started_ms, pause_until_ms;
    bool saw_all; /* the last look */
    struct pg_calls calls;
};

static void run_next(struct run_remover *remover);

static int64_t retention_edge_us(const struct run_remover *remover)
{
    uv_timeval64_t now;

    uv_gettimeofday(&now);
    return now.tv_sec * 1000000 + now.tv_usec - remover->retention_us;
}

static struct removal_request *request_new(const struct run_remover *remover,
                                           const struct run_key *key)
{
    struct removal_request *request = calloc(1, sizeof *request);

    if (request == NULL)
        return NULL;
    run_key_path(key, request->path);
    request->key = run_key_split(request->path);
    request->due_us = TIME_NONE;
    request->asked_ms = uv_now(remover->loop);
    return request;
}

/* Begins an exchange; the parameters of its first statement. */
static struct pg_parameters *begin(struct run_remover *remover,
                                   const struct pg_statement *statement)
{
    pg_calls_reset(&remover->calls);
    return pg_calls_add(&remover->calls, statement);
}

static void send_calls(struct run_remover *remover, pg_result_fn *on_result, pg_end_fn *on_end)
{
    pg_exchange(remover->connection, remover->calls.calls, remover->calls.count, on_result, on_end,
                remover);
}

/* -------- the rows that are left -------- */

static void add_leftover(struct run_remover *remover, const struct run_key *key,
                         int64_t deleted_xid, bool is_awaited)
{
    struct leftover *leftover;

    DL_FOREACH (remover->leftovers, leftover)
        if (leftover->deleted_xid == deleted_xid && run_key_compare(&leftover->key, key) == 0)
            return;
    leftover = calloc(1, sizeof *leftover);
    if (leftover == NULL)
        return; /* the next look finds it again */
    run_key_path(key, leftover->path);
    leftover->key = run_key_split(leftover->path);
    leftover->deleted_xid = deleted_xid;
    leftover->is_awaited = is_awaited;
    if (is_awaited)
        DL_PREPEND(remover->leftovers, leftover);
    else
        DL_APPEND(remover->leftovers, leftover);
}

static void drop_leftover(struct run_remover *remover, struct leftover *leftover)
{
    DL_DELETE(remover->leftovers, leftover);
    free(leftover);
}

/* Locks the note of the deletion, so that no two processes remove the same rows; not if it is
 * another deletion of the key by now. */
#define OURS                                                                                       \
    "WITH ours AS MATERIALIZED (SELECT 1 FROM deleted_runs d WHERE d.project = $1"                 \
    " AND d.domain = $2 AND d.run_name = $3 AND d.deleted_xid = $4 AND d.has_rows"                 \
    " FOR UPDATE SKIP LOCKED)"

/* One row: is it ours, how many were removed, and the key up to which all are. */
#define REMOVED(name, attempt, phase, version)                                                     \
    " SELECT (SELECT count(*) FROM ours), (SELECT count(*) FROM piece), last.*"                    \
    " FROM (VALUES (1)) AS one LEFT JOIN (SELECT " name ", " attempt ", " phase ", " version       \
    " FROM piece p ORDER BY 1 DESC, 2 DESC, 3 DESC, 4 DESC LIMIT 1) AS last ON true"

static const Oid piece_types[] = {PG_TEXT, PG_TEXT, PG_TEXT, PG_INT8, PG_INT4,
                                  PG_TEXT, PG_INT4, PG_INT2, PG_INT4};

/* By their places in the table: the planner does not know how few they are. Nobody moves them any
 * more. */
static const struct pg_statement remove_events_statement = {
    .name = "remove_events",
    .sql = OURS ", piece AS MATERIALIZED (SELECT e.ctid, e.name, e.attempt, e.phase, e.version"
                " FROM action_events e WHERE e.project = $1 AND e.domain = $2 AND e.run_name = $3"
                " AND (e.name, e.attempt, e.phase, e.version) > ($6, $7, $8, $9)"
                " AND EXISTS (SELECT FROM ours)"
                " ORDER BY e.name, e.attempt, e.phase, e.version LIMIT $5),"
                " gone AS (DELETE FROM action_events e"
                " WHERE e.ctid = ANY (ARRAY(SELECT p.ctid FROM piece p)))" REMOVED(
                    "p.name", "p.attempt", "p.phase", "p.version"),
    .parameter_count = 9,
    .types = piece_types,
};

static const struct pg_statement remove_actions_statement = {
    .name = "remove_actions",
    .sql = OURS
    ", piece AS MATERIALIZED (SELECT a.ctid, a.name FROM actions a"
    " WHERE a.project = $1 AND a.domain = $2 AND a.run_name = $3 AND a.name > $6"
    " AND EXISTS (SELECT FROM ours) ORDER BY a.name LIMIT $5),"
    " gone AS (DELETE FROM actions a"
    " WHERE a.ctid = ANY (ARRAY(SELECT p.ctid FROM piece p)))" REMOVED("p.name", "$7", "$8", "$9"),
    .parameter_count = 9,
    .types = piece_types,
};

static const struct pg_statement remove_joins_statement = {
    .name = "remove_joins",
    .sql = OURS ", piece AS MATERIALIZED (SELECT j.ctid, j.parent FROM pending_joins j"
                " WHERE j.project = $1 AND j.domain = $2 AND j.run_name = $3 AND j.parent > $6"
                " AND EXISTS (SELECT FROM ours) ORDER BY j.parent LIMIT $5),"
                " gone AS (DELETE FROM pending_joins j"
                " WHERE j.ctid = ANY (ARRAY(SELECT p.ctid FROM piece p)))" REMOVED("p.parent", "$7",
                                                                                   "$8", "$9"),
    .parameter_count = 9,
    .types = piece_types,
};

static const struct pg_statement *const removed_tables[] = {
    &remove_events_statement, &remove_actions_statement, &remove_joins_statement};
enum { REMOVED_TABLES = sizeof removed_tables / sizeof removed_tables[0] };

static const Oid removed_types[] = {PG_TEXT, PG_TEXT, PG_TEXT, PG_INT8};

/* From now on the key may be given to a new run. */
static const struct pg_statement removed_statement = {
    .name = "removed",
    .sql = "UPDATE deleted_runs d SET has_rows = false WHERE d.project = $1 AND d.domain = $2"
           " AND d.run_name = $3 AND d.deleted_xid = $4",
    .parameter_count = 4,
    .types = removed_types,
};

enum { PIECE_OURS, PIECE_COUNT, PIECE_NAME, PIECE_ATTEMPT, PIECE_PHASE, PIECE_VERSION };

static void on_piece_result(void *arg, size_t statement, const PGresult *result)
{
    struct run_remover *remover = arg;
    struct leftover *leftover = remover->leftovers;

    (void)statement;
    remover->is_ours = pg_int8(result, 0, PIECE_OURS) > 0;
    remover->may_be_more = pg_int8(result, 0, PIECE_COUNT) == remover->piece_rows;
    if (!remover->may_be_more)
        return;
    snprintf(leftover->name, sizeof leftover->name, "%s", pg_text(result, 0, PIECE_NAME));
    leftover->attempt = pg_int4(result, 0, PIECE_ATTEMPT);
    leftover->phase = pg_int2(result, 0, PIECE_PHASE);
    leftover->version = pg_int4(result, 0, PIECE_VERSION);
}

static void piece_refused(struct run_remover *remover, const struct pg_end *end)
{
    struct leftover *leftover = remover->leftovers;

    if (strcmp(end->sqlstate, "55P03") == 0) { /* somebody holds a row: behind the others */
        DL_DELETE(remover->leftovers, leftover);
        DL_APPEND(remover->leftovers, leftover);
        remover->pause_until_ms = uv_now(remover->loop) + LOCKED_PAUSE_MS;
    } else if (strcmp(end->sqlstate, "57014") == 0 && remover->piece_rows > 1) {
        remover->piece_rows = (remover->piece_rows + 3) / 4; /* it took longer than it may */
    } else {
        remover->events->on_refused(remover->arg, end->message);
        drop_leftover(remover, leftover); /* the next look finds it again */
    }
}

static void piece_done(struct run_remover *remover)
{
    struct leftover *leftover = remover->leftovers;
    uint64_t now_ms = uv_now(remover->loop);

    if (!leftover->is_awaited)
        remover->pause_until_ms = now_ms + (now_ms - remover->piece_started_ms);
    if (remover->piece_rows < PIECE_ROWS_MAX)
        remover->piece_rows++;
    if (!remover->is_ours) {
        drop_leftover(remover, leftover); /* another process removes it, or has done so */
    } else if (!remover->may_be_more) {
        leftover->table++;
        leftover->name[0] = '\0';
        leftover->attempt = leftover->version = leftover->phase = 0;
    }
}

static void on_piece_end(void *arg, const struct pg_end *end)
{
    struct run_remover *remover = arg;

    if (end->outcome == PG_LOST)
        return;
    if (end->outcome == PG_REFUSED)
        piece_refused(remover, end);
    else
        piece_done(remover);
    run_next(remover);
}

static void on_removed_end(void *arg, const struct pg_end *end)
{
    struct run_remover *remover = arg;

    if (end->outcome == PG_LOST)
        return;
    if (end->outcome == PG_REFUSED)
        remover->events->on_refused(remover->arg, end->message);
    drop_leftover(remover, remover->leftovers);
    run_next(remover);
}

/* Removes a piece of the first leftover, or notes that nothing is left of it. */
static void remove_piece(struct run_remover *remover)
{
    const struct leftover *leftover = remover->leftovers;
    bool is_removed = leftover->table == REMOVED_TABLES;
    struct pg_parameters *parameters =
        begin(remover, is_removed ? &removed_statement : removed_tables[leftover->table]);

    pg_bind_run(parameters, &leftover->key);
    pg_bind_int8(parameters, leftover->deleted_xid);
    remover->piece_started_ms = uv_now(remover->loop);
    if (is_removed) {
        send_calls(remover, NULL, on_removed_end);
        return;
    }
    pg_bind_int4(parameters, remover->piece_rows);
    pg_bind_text(parameters, leftover->name);
    pg_bind_int4(parameters, leftover->attempt);
    pg_bind_int2(parameters, leftover->phase);
    pg_bind_int4(parameters, leftover->version);
    send_calls(remover, on_piece_result, on_piece_end);
}

/* -------- one deletion -------- */

static const Oid mark_types[] = {PG_TEXT, PG_TEXT, PG_TEXT, PG_TIMESTAMPTZ};

/* That were due before the time: the run has ended, every phase that is not terminal has a count of
 * zero; or it never had a tree, and nothing was heard of it. */
#define IS_DUE(time)                                                                               \
    "r.first_seen_at < " time " AND ((r.action_count > 0 AND r.ended_at < " time                   \
    " AND r.phase_counts[1] + r.phase_counts[2] + r.phase_counts[3] + r.phase_counts[4]"           \
    " + r.phase_counts[9] = 0) OR (r.action_count = 0 AND r.last_event_at < " time "))"

static const struct pg_statement mark_statement = {
    .name = "mark_deleted",
    .sql =
        "WITH gone AS (DELETE FROM runs r WHERE r.project = $1 AND r.domain = $2"
        " AND r.run_name = $3 AND ($4::timestamptz IS NULL OR (" IS_DUE(
            "$4") "))"
                  " RETURNING r.project, r.domain, r.run_name),"
                  " noted AS (INSERT INTO deleted_runs"
                  " (project, domain, run_name, deleted_xid, deleted_at, has_rows)"
                  " SELECT g.*, pg_current_xact_id()::text::int8, now(), true FROM gone g"
                  " ON CONFLICT (project, domain, run_name) DO UPDATE"
                  " SET deleted_xid = excluded.deleted_xid, deleted_at = excluded.deleted_at,"
                  " has_rows = true),"
                  " unsaid AS (DELETE FROM run_additions a USING gone g WHERE a.project = g.project"
                  " AND a.domain = g.domain AND a.run_name = g.run_name),"
                  " unlabeled AS (DELETE FROM run_labels l USING gone g WHERE l.project = g.project"
                  " AND l.domain = g.domain AND l.run_name = g.run_name),"
                  " closed AS (DELETE FROM open_ends o USING gone g"
                  " WHERE (o.project, o.domain, o.run_name) = (g.project, g.domain, g.run_name))"
                  " SELECT pg_current_xact_id()::text::int8,"
                  " pg_notify('runtree', concat_ws(chr(31), g.project, g.domain, g.run_name, '0'))"
                  " FROM gone g",
    .parameter_count = 4,
    .types = mark_types,
};

static void on_mark_result(void *arg, size_t statement, const PGresult *result)
{
    struct run_remover *remover = arg;

    (void)statement;
    if (PQntuples(result) > 0)
        remover->marked_xid = pg_int8(result, 0, 0);
}

static void free_request(struct removal_request *request)
{
    free(request->abort);
    free(request->noted);
    free(request);
}

static void finish(struct removal_request *request, enum removal removal)
{
    if (request->on_abort_end != NULL)
        request->on_abort_end(request->arg, ABORT_FAILED, NULL, PHASE_NONE);
    else if (request->on_end != NULL)
        request->on_end(request->arg, removal);
    free_request(request);
}

/* Whether the run is locked and the request is to be tried again. */
static bool try_later(struct run_remover *remover, struct removal_request *request,
                      const struct pg_end *end)
{
    uint64_t now_ms = uv_now(remover->loop);

    if (end->outcome != PG_REFUSED || strcmp(end->sqlstate, "55P03") != 0 ||
        now_ms - request->asked_ms > LOCKED_MAX_MS)
        return false;
    request->not_before_ms = now_ms + LOCKED_PAUSE_MS;
    DL_APPEND(remover->waiting, request);
    remover->waiting_count++;
    return true;
}

static void on_mark_end(void *arg, const struct pg_end *end)
{
    struct run_remover *remover = arg;
    struct removal_request *request = remover->running;

    remover->running = NULL;
    if (!try_later(remover, request, end)) {
        if (end->outcome == PG_REFUSED)
            remover->events->on_refused(remover->arg, end->message);
        if (end->outcome == PG_OK && remover->marked_xid != 0) {
            remover->events->on_removed(remover->arg, &request->key);
            add_leftover(remover, &request->key, remover->marked_xid, request->on_end != NULL);
        }
        finish(request, end->outcome != PG_OK      ? REMOVAL_FAILED
                        : remover->marked_xid != 0 ? REMOVAL_DONE
                                                   : REMOVAL_ABSENT);
    }
    run_next(remover);
}

static void mark(struct run_remover *remover, const struct removal_request *request)
{
    struct pg_parameters *parameters;

    remover->marked_xid = 0;
    parameters = begin(remover, &mark_statement);
    pg_bind_run(parameters, &request->key);
    pg_bind_time(parameters, request->due_us);
    send_calls(remover, on_mark_result, on_mark_end);
}

/* -------- an end that is asked for -------- */

static const Oid abort_types[] = {PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT};

#define TERMINAL "(5, 6, 7, 8, 10, 11)"
#define LOCKED_RUN                                                                                 \
    "WITH run AS MATERIALIZED (SELECT r.* FROM runs r WHERE r.project = $1 AND r.domain = $2"      \
    " AND r.run_name = $3 FOR NO KEY UPDATE)"
#define NOTIFIED                                                                                   \
    "(SELECT pg_notify('runtree', concat_ws(chr(31), n.project, n.domain, n.run_name, n.revision," \
    " n.revision - 1, pg_snapshot_xmin(pg_current_snapshot()))) FROM noted n)"

/* One row, or none if there is no such run: its phase, what is noted. */
static const struct pg_statement abort_run_statement = {
    .name = "abort_run",
    .sql = LOCKED_RUN ", noted AS (UPDATE runs r SET abort_requested = $4,"
                      " revision = r.revision + 1, changed_xid = pg_current_xact_id()::text::int8"
                      " FROM run WHERE r.project = $1 AND r.domain = $2 AND r.run_name = $3"
                      " AND run.abort_requested IS NULL AND run.phase NOT IN " TERMINAL
                      " RETURNING r.*),"
                      " roots AS (UPDATE actions a SET revision = noted.revision,"
                      " abort_requested = $4, abort_revision = noted.revision FROM noted"
                      " WHERE a.project = $1 AND a.domain = $2 AND a.run_name = $3 AND a.level = 1"
                      " AND a.abort_requested IS NULL AND a.phase NOT IN " TERMINAL ")"
                      " SELECT run.phase, coalesce(run.abort_requested, $4), " NOTIFIED " FROM run",
    .parameter_count = 4,
    .types = abort_types,
};

/* The same of an action. */
static const struct pg_statement abort_action_statement = {
    .name = "abort_action",
    .sql = LOCKED_RUN
    ", action AS MATERIALIZED (SELECT a.phase, a.ordinal, a.abort_requested FROM actions a, run"
    " WHERE a.project = $1 AND a.domain = $2 AND a.run_name = $3 AND a.name = $5),"
    " noted AS (UPDATE runs r SET abort_count = r.abort_count + 1,"
    " revision = r.revision + (action.ordinal > 0)::int,"
    " changed_xid = pg_current_xact_id()::text::int8 FROM action"
    " WHERE r.project = $1 AND r.domain = $2 AND r.run_name = $3"
    " AND action.abort_requested IS NULL AND action.phase NOT IN " TERMINAL " RETURNING r.*),"
    " marked AS (UPDATE actions a SET abort_requested = $4,"
    " revision = CASE WHEN a.ordinal > 0 THEN noted.revision ELSE 0 END,"
    " abort_revision = CASE WHEN a.ordinal > 0 THEN noted.revision END FROM noted"
    " WHERE a.project = $1 AND a.domain = $2 AND a.run_name = $3 AND a.name = $5)"
    " SELECT action.phase, coalesce(action.abort_requested, $4), " NOTIFIED " FROM action",
    .parameter_count = 5,
    .types = abort_types,
};

static void on_abort_result(void *arg, size_t statement, const PGresult *result)
{
    struct run_remover *remover = arg;
    struct removal_request *request = remover->running;

    (void)statement;
    if (PQntuples(result) == 0)
        return;
    request->is_found = true;
    request->phase = phase_from_index(pg_int2(result, 0, 0));
    request->noted = strdup(pg_text(result, 0, 1));
}

static void on_abort_end(void *arg, const struct pg_end *end)
{
    struct run_remover *remover = arg;
    struct removal_request *request = remover->running;
    enum abort_outcome outcome = ABORT_FAILED;

    remover->running = NULL;
    if (!try_later(remover, request, end)) {
        if (end->outcome == PG_REFUSED)
            remover->events->on_refused(remover->arg, end->message);
        if (end->outcome == PG_OK && !request->is_found)
            outcome = ABORT_ABSENT;
        else if (end->outcome == PG_OK && request->noted != NULL)
            outcome = phase_is_terminal(request->phase) ? ABORT_ENDED : ABORT_REQUESTED;
        request->on_abort_end(request->arg, outcome, request->noted, request->phase);
        free_request(request);
    }
    run_next(remover);
}

static void note_abort(struct run_remover *remover, const struct removal_request *request)
{
    bool is_of_run = request->name[0] == '\0';
    struct pg_parameters *parameters =
        begin(remover, is_of_run ? &abort_run_statement : &abort_action_statement);

    pg_bind_run(parameters, &request->key);
    pg_bind_text(parameters, request->abort);
    if (!is_of_run)
        pg_bind_text(parameters, request->name);
    send_calls(remover, on_abort_result, on_abort_end);
}

static void start(struct run_remover *remover, struct removal_request *request)
{
    DL_DELETE(remover->waiting, request);
    remover->waiting_count--;
    remover->running = request;
    if (request->abort != NULL)
        note_abort(remover, request);
    else
        mark(remover, request);
}

/* -------- what is due -------- */

static const Oid due_types[] = {PG_TIMESTAMPTZ, PG_INT4};

static const struct pg_statement due_statement = {
    .name = "due_runs",
    .sql = "SELECT r.project, r.domain, r.run_name FROM runs r"
           " WHERE r.first_seen_at > '-infinity' AND " IS_DUE(
               "$1") " ORDER BY r.first_seen_at LIMIT $2",
    .parameter_count = 2,
    .types = due_types,
};

static const Oid limit_types[] = {PG_INT4};

static const struct pg_statement leftovers_statement = {
    .name = "leftovers",
    .sql = "SELECT d.project, d.domain, d.run_name, d.deleted_xid FROM deleted_runs d"
           " WHERE d.has_rows ORDER BY d.deleted_at LIMIT $1",
    .parameter_count = 1,
    .types = limit_types,
};

static const struct pg_statement forget_statement = {
    .name = "forget_deleted",
    .sql = "DELETE FROM deleted_runs d USING (SELECT f.project, f.domain, f.run_name"
           " FROM deleted_runs f WHERE f.deleted_at < now() - interval '2 days'"
           " AND NOT f.has_rows ORDER BY f.deleted_at LIMIT 1000) AS old"
           " WHERE (d.project, d.domain, d.run_name) = (old.project, old.domain, old.run_name)"
           " AND NOT d.has_rows AND d.deleted_at < now() - interval '2 days'",
};

enum { LOOK_FORGET, LOOK_LEFTOVERS, LOOK_DUE };

static void take_due(struct run_remover *remover, const struct run_key *key)
{
    struct removal_request *request = request_new(remover, key);

    if (request == NULL)
        return;
    request->due_us = retention_edge_us(remover);
    DL_APPEND(remover->waiting, request);
    remover->waiting_count++;
}

static void on_look_result(void *arg, size_t statement, const PGresult *result)
{
    struct run_remover *remover = arg;
    int rows = statement == LOOK_FORGET ? 0 : PQntuples(result);

    if (rows == RUNS_MAX)
        remover->saw_all = false;
    for (int row = 0; row < rows; row++) {
        const struct run_key key = {pg_text(result, row, 0), pg_text(result, row, 1),
                                    pg_text(result, row, 2)};

        if (statement == LOOK_DUE)
            take_due(remover, &key);
        else
            add_leftover(remover, &key, pg_int8(result, row, 3), false);
    }
}

static void start_timer(struct run_remover *remover, uint64_t delay_ms);

static void on_look_end(void *arg, const struct pg_end *end)
{
    struct run_remover *remover = arg;

    if (end->outcome == PG_REFUSED)
        remover->events->on_refused(remover->arg, end->message);
    if (remover->waiting == NULL && remover->leftovers == NULL)
        start_timer(remover, LOOK_INTERVAL_MS);
    else
        run_next(remover);
}

static void look(struct run_remover *remover)
{
    remover->saw_all = true;
    begin(remover, &forget_statement);
    pg_bind_int4(pg_calls_add(&remover->calls, &leftovers_statement), RUNS_MAX);
    if (remover->retention_us != 0) {
        struct pg_parameters *parameters = pg_calls_add(&remover->calls, &due_statement);

        pg_bind_time(parameters, retention_edge_us(remover));
        pg_bind_int4(parameters, RUNS_MAX);
    }
    send_calls(remover, on_look_result, on_look_end);
}

/* -------- what comes next -------- */

static bool is_free(const struct run_remover *remover)
{
    return remover->is_set_up && remover->running == NULL &&
           pg_connection_is_idle(remover->connection);
}

static void on_timer(uv_timer_t *timer)
{
    struct run_remover *remover = timer->data;

    if (remover->waiting == NULL && remover->leftovers == NULL && is_free(remover))
        look(remover);
    else
        run_next(remover);
}

static void start_timer(struct run_remover *remover, uint64_t delay_ms)
{
    uv_timer_start(&remover->timer, on_timer, delay_ms, 0);
}

static struct removal_request *next_request(const struct run_remover *remover)
{
    struct removal_request *request;

    DL_FOREACH (remover->waiting, request)
        if (request->not_before_ms <= uv_now(remover->loop))
            return request;
    return NULL;
}

/* Deletions first, for somebody waits for their answer; then the rows that they left. */
static void run_next(struct run_remover *remover)
{
    uint64_t now_ms = uv_now(remover->loop);
    struct removal_request *request;

    if (!is_free(remover))
        return;
    request = next_request(remover);
    if (request != NULL)
        start(remover, request);
    else if (remover->leftovers != NULL && remover->pause_until_ms <= now_ms)
        remove_piece(remover);
    else if (remover->leftovers != NULL)
        start_timer(remover, remover->pause_until_ms - now_ms);
    else if (remover->waiting != NULL)
        start_timer(remover, LOCKED_PAUSE_MS);
    else if (!uv_is_active((uv_handle_t *)&remover->timer))
        start_timer(remover, remover->saw_all ? LOOK_INTERVAL_MS : LOOK_AGAIN_MS);
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

static void drop_leftovers(struct run_remover *remover)
{
    while (remover->leftovers != NULL)
        drop_leftover(remover, remover->leftovers);
}

static void on_set_up(void *arg, const struct pg_end *end)
{
    struct run_remover *remover = arg;

    if (end->outcome == PG_REFUSED)
        pg_connection_reset(remover->connection, end->message);
    if (end->outcome != PG_OK)
        return;
    remover->is_set_up = true;
    look(remover);
}

static void on_ready(void *arg)
{
    struct run_remover *remover = arg;

    begin(remover, &writer_settings_statement);
    send_calls(remover, NULL, on_set_up);
}

static void on_lost(void *arg, const char *why)
{
    struct run_remover *remover = arg;

    (void)why; /* the other connections say it */
    remover->is_set_up = false;
    give_up_waiting(remover);
    drop_leftovers(remover); /* the look at the next session finds them again */
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
    remover->loop = loop;
    remover->piece_rows = PIECE_ROWS_MAX;
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
    return remover;
}

void run_remover_stop(struct run_remover *remover)
{
    if (remover->running != NULL)
        finish(remover->running, REMOVAL_FAILED);
    remover->running = NULL;
    give_up_waiting(remover);
    drop_leftovers(remover);
    uv_close((uv_handle_t *)&remover->timer, NULL);
    pg_connection_close(remover->connection, NULL);
}

void run_remover_free(struct run_remover *remover)
{
    if (remover == NULL)
        return;
    pg_calls_free(&remover->calls);
    free(remover);
}

bool run_remover_is_ready(const struct run_remover *remover)
{
    return remover->is_set_up;
}

/* A request of somebody who waits for its answer: before those that are due. */
static int add_request(struct run_remover *remover, struct removal_request *request)
{
    DL_PREPEND(remover->waiting, request);
    remover->waiting_count++;
    run_next(remover);
    return 0;
}

int run_remover_remove(struct run_remover *remover, const struct run_key *run, removal_fn *on_end,
                       void *arg)
{
    struct removal_request *request;

    if (!remover->is_set_up)
        return -ENOTCONN;
    if (remover->waiting_count >= REMOVER_QUEUE_MAX)
        return -EAGAIN;
    request = request_new(remover, run);
    if (request == NULL)
        return -ENOMEM;
    request->on_end = on_end;
    request->arg = arg;
    return add_request(remover, request);
}

int run_remover_request_abort(struct run_remover *remover, const struct run_key *run,
                              const char *name, const char *abort_request, abort_fn *on_end,
                              void *arg)
{
    struct removal_request *request;

    if (!remover->is_set_up)
        return -ENOTCONN;
    if (remover->waiting_count >= REMOVER_QUEUE_MAX)
        return -EAGAIN;
    request = request_new(remover, run);
    if (request == NULL)
        return -ENOMEM;
    request->abort = strdup(abort_request);
    if (request->abort == NULL) {
        free_request(request);
        return -ENOMEM;
    }
    snprintf(request->name, sizeof request->name, "%s", name == NULL ? "" : name);
    request->on_abort_end = on_end;
    request->arg = arg;
    return add_request(remover, request);
}
