#include "sql/run_remover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* A failed allocation leaves the element's hh.tbl NULL instead of ending the process. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "sql/pg_connection.h"
#include "sql/pg_value.h"
#include "sql/rows.h"
#include "sql/write_statements.h"

enum {
    REMOVE_TIMEOUT_MS = 60000,
    LOOK_INTERVAL_MS = 60000, /* between two looks for runs that are due or have rows left */
    LOOK_AGAIN_MS = 1000,     /* when the last look may not have seen all */
    RUNS_MAX = 100,           /* taken from one look, of either kind */

    PIECE_ROWS_MAX = 2000, /* removed in one transaction */
    SCAN_ROWS_MAX = 5000,  /* looked at in one read for what is below an action */
    LOCKED_PAUSE_MS = 100, /* until a run that somebody holds locked is tried again … */
    LOCKED_MAX_MS = 10000, /* … and for how long */
};

/* An action of a subtree that is being removed. */
struct removed_action {
    UT_hash_handle hh; /* subtree.by_name */
    int32_t ordinal;
    char name[];
};

enum subtree_step {
    SUBTREE_FIND,
    SUBTREE_DROP, /* of one that waits */
    SUBTREE_SCAN, /* what is below it, by ordinal: parents come before their children */
    SUBTREE_LOCK, /* a transaction begins here: the run, and what joined meanwhile … */
    SUBTREE_TAKE,
    SUBTREE_WRITE, /* … and ends here; then the next, until the action itself is gone */
    SUBTREE_UNLOCK,
};

/* An action and what is below it, on its way out: removed from the end, children first. */
struct subtree {
    enum subtree_step step;
    struct removed_action *by_name, **actions;
    size_t count, capacity, taken; /* those of the piece are the last of them */
    int32_t top, level, looked_at; /* ordinals; looked_at: the run was read up to it */
    size_t rows;                   /* of the last read */
    int32_t gone;                  /* of the piece, by this piece */
    char incarnation[INCARNATION_SIZE];
    bool is_found, has_dropped, is_out_of_memory;
    struct run run; /* as locked; its root's name is below */
    char root[NAME_BYTES_MAX + 1];
    int64_t changed_xid;
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
    struct subtree *subtree;          /* what is removed is the action; owned */
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
    struct {
        bool is_made, is_told;
        int64_t revision;       /* of the run */
    } change;                   /* of the running one */
    struct leftover *leftovers; /* the first is being worked on */
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

/* Removes the next rows of a run by their `keys`, the columns behind the run's, after `after`: all
 * up to the last of them, so that the index is gone through once and in order, whatever the planner
 * takes them for. One row: is it ours, how many were removed, and the key up to which all are. */
#define REMOVE_PIECE(table, keys, after, last_first)                                               \
    OURS ", piece AS MATERIALIZED (SELECT " keys " FROM " table " t" OF_RUN " AND (" keys          \
         ") > (" after ") AND EXISTS (SELECT FROM ours)"                                           \
         " ORDER BY " keys " LIMIT $5),"                                                           \
         " last AS MATERIALIZED (SELECT * FROM piece ORDER BY " last_first " LIMIT 1),"            \
         " gone AS (DELETE FROM " table " t" OF_RUN " AND (" keys ") > (" after ") AND (" keys     \
         ") <= (SELECT * FROM last))"                                                              \
         " SELECT (SELECT count(*) FROM ours), (SELECT count(*) FROM piece), l.*"                  \
         " FROM (VALUES (1)) AS one LEFT JOIN last l ON true"
#define OF_RUN " WHERE t.project = $1 AND t.domain = $2 AND t.run_name = $3"

static const Oid piece_types[] = {PG_TEXT, PG_TEXT, PG_TEXT, PG_INT8, PG_INT4,
                                  PG_TEXT, PG_INT4, PG_INT2, PG_INT4};

static const struct pg_statement remove_events_statement = {
    .name = "remove_events",
    .sql = REMOVE_PIECE("action_events", "t.name, t.attempt, t.phase, t.version", "$6, $7, $8, $9",
                        "name DESC, attempt DESC, phase DESC, version DESC"),
    .parameter_count = 9,
    .types = piece_types,
};

static const struct pg_statement remove_actions_statement = {
    .name = "remove_actions",
    .sql = REMOVE_PIECE("actions", "t.name", "$6", "name DESC"),
    .parameter_count = 6,
    .types = piece_types,
};

static const struct pg_statement remove_joins_statement = {
    .name = "remove_joins",
    .sql = REMOVE_PIECE("pending_joins", "t.parent", "$6", "parent DESC"),
    .parameter_count = 6,
    .types = piece_types,
};

enum { REMOVED_EVENTS, REMOVED_ACTIONS, REMOVED_JOINS, REMOVED_TABLES };

static const struct pg_statement *const removed_tables[REMOVED_TABLES] = {
    [REMOVED_EVENTS] = &remove_events_statement,
    [REMOVED_ACTIONS] = &remove_actions_statement,
    [REMOVED_JOINS] = &remove_joins_statement,
};

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
    if (leftover->table != REMOVED_EVENTS)
        return;
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
    if (leftover->table == REMOVED_EVENTS) {
        pg_bind_int4(parameters, leftover->attempt);
        pg_bind_int2(parameters, leftover->phase);
        pg_bind_int4(parameters, leftover->version);
    }
    send_calls(remover, on_piece_result, on_piece_end);
}

/* -------- one deletion -------- */

static const Oid mark_types[] = {PG_TEXT, PG_TEXT, PG_TEXT, PG_TIMESTAMPTZ};

/* That were due before the time: the run has ended, every phase that is not terminal has a count of
 * zero; or it has no tree (any more), and nothing was heard of it. */
#define IS_DUE(time)                                                                               \
    "r.first_seen_at < " time " AND ((r.action_count > 0 AND r.ended_at < " time                   \
    " AND r.phase_counts[1] + r.phase_counts[2] + r.phase_counts[3] + r.phase_counts[4]"           \
    " + r.phase_counts[9] = 0) OR (r.action_count = r.removed_count AND r.last_event_at < " time   \
    "))"

static const struct pg_statement mark_statement = {
    .name = "mark_deleted",
    .sql = "WITH gone AS (DELETE FROM runs r WHERE r.project = $1 AND r.domain = $2"
           " AND r.run_name = $3 AND ($4::timestamptz IS NULL OR (" IS_DUE(
               "$4") "))"
                     " RETURNING r.project, r.domain, r.run_name),"
                     " noted AS (INSERT INTO deleted_runs"
                     " (project, domain, run_name, deleted_xid, deleted_at, has_rows)"
                     " SELECT g.*, pg_current_xact_id()::text::int8, now(), true FROM gone g"
                     " ON CONFLICT (project, domain, run_name) DO UPDATE"
                     " SET deleted_xid = excluded.deleted_xid, deleted_at = excluded.deleted_at,"
                     " has_rows = true RETURNING deleted_xid)"
                     " SELECT n.deleted_xid FROM noted n",
    .parameter_count = 4,
    .types = mark_types,
};

/* What else is of the run, if that is gone: a statement of its own, which reads what was written
 * until the run was locked. */
static const struct pg_statement unsay_statement = {
    .name = "unsay_deleted",
    .sql = "WITH gone AS MATERIALIZED (SELECT WHERE NOT EXISTS (SELECT FROM runs r"
           " WHERE r.project = $1 AND r.domain = $2 AND r.run_name = $3)),"
           " unsaid AS (DELETE FROM run_additions a WHERE a.project = $1 AND a.domain = $2"
           " AND a.run_name = $3 AND EXISTS (SELECT FROM gone)),"
           " unlabeled AS (DELETE FROM run_labels l WHERE l.project = $1 AND l.domain = $2"
           " AND l.run_name = $3 AND EXISTS (SELECT FROM gone)),"
           " closed AS (DELETE FROM open_ends o WHERE o.project = $1 AND o.domain = $2"
           " AND o.run_name = $3 AND EXISTS (SELECT FROM gone)) SELECT FROM gone",
    .parameter_count = 3,
    .types = mark_types,
};

enum { MARK = 1 }; /* behind BEGIN */

static void on_mark_result(void *arg, size_t statement, const PGresult *result)
{
    struct run_remover *remover = arg;

    if (statement == MARK && PQntuples(result) > 0)
        remover->marked_xid = pg_int8(result, 0, 0);
}

static void subtree_free(struct subtree *subtree)
{
    if (subtree == NULL)
        return;
    HASH_CLEAR(hh, subtree->by_name);
    for (size_t i = 0; i < subtree->count; i++)
        free(subtree->actions[i]);
    free(subtree->actions);
    free(subtree);
}

static void free_request(struct removal_request *request)
{
    subtree_free(request->subtree);
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
    begin(remover, &begin_statement);
    parameters = pg_calls_add(&remover->calls, &mark_statement);
    pg_bind_run(parameters, &request->key);
    pg_bind_time(parameters, request->due_us);
    pg_bind_run(pg_calls_add(&remover->calls, &unsay_statement), &request->key);
    add_notify_change(&remover->calls, &request->key);
    pg_calls_add(&remover->calls, &commit_statement);
    send_calls(remover, on_mark_result, on_mark_end);
}

/* -------- what is done in a transaction of one statement -------- */

enum { CHANGE_STATEMENT = 2 }; /* behind BEGIN and the lock of the run */

/* Begins it, and an exchange; the parameters of the statement. The lock is one of its own: what a
 * statement that waits for a lock reads is what there was before. */
static struct pg_parameters *begin_change(struct run_remover *remover,
                                          const struct pg_statement *statement)
{
    remover->change.is_made = remover->change.is_told = false;
    begin(remover, &begin_statement);
    add_runs(&remover->calls, &lock_stored_runs_statement, &remover->running->key, 1);
    return pg_calls_add(&remover->calls, statement);
}

/* That the statement has made one. */
static void note_change(struct run_remover *remover, int64_t revision)
{
    remover->change.is_made = true;
    remover->change.revision = revision;
}

/* Whether the change was not told yet: then it is told and committed, and `on_end` is called again.
 * It is told by a statement without tables, which is executed where all listen, also where others
 * are sent on to the server that has the tables. */
static bool tell_change(struct run_remover *remover, const struct pg_end *end, pg_end_fn *on_end)
{
    const struct run_row row = {.state.revision = remover->change.revision};

    if (end->outcome != PG_OK || remover->change.is_told)
        return false;
    remover->change.is_told = true;
    pg_calls_reset(&remover->calls);
    if (remover->change.is_made)
        add_notify(&remover->calls, &remover->running->key, &row, 1);
    pg_calls_add(&remover->calls, &commit_statement);
    send_calls(remover, NULL, on_end);
    return true;
}

/* -------- an end that is asked for -------- */

static const Oid abort_types[] = {PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT};

#define TERMINAL "(5, 6, 7, 8, 10, 11)"
#define LOCKED_RUN                                                                                 \
    "WITH run AS MATERIALIZED (SELECT r.* FROM runs r WHERE r.project = $1 AND r.domain = $2"      \
    " AND r.run_name = $3)"

/* One row, or none if there is no such run: its phase, what is noted, and the revision of the run
 * if that is now. */
static const struct pg_statement abort_run_statement = {
    .name = "abort_run",
    .sql = LOCKED_RUN
    ", noted AS (UPDATE runs r SET abort_requested = $4,"
    " revision = r.revision + 1, changed_xid = " NEXT_CHANGE
    " FROM run WHERE r.project = $1 AND r.domain = $2 AND r.run_name = $3"
    " AND run.abort_requested IS NULL AND run.phase NOT IN " TERMINAL " RETURNING r.revision),"
    " roots AS (UPDATE actions a SET revision = noted.revision,"
    " abort_requested = $4, abort_revision = noted.revision,"
    " changed_by_hand = noted.revision FROM noted"
    " WHERE a.project = $1 AND a.domain = $2 AND a.run_name = $3 AND a.level = 1"
    " AND a.abort_requested IS NULL AND NOT a.removed AND a.phase NOT IN " TERMINAL ")"
    " SELECT run.phase, coalesce(run.abort_requested, $4), (SELECT n.revision FROM noted n)"
    " FROM run",
    .parameter_count = 4,
    .types = abort_types,
};

/* The same of an action; an alias is none. */
static const struct pg_statement abort_action_statement = {
    .name = "abort_action",
    .sql = LOCKED_RUN
    ", action AS MATERIALIZED (SELECT a.phase, a.ordinal, a.abort_requested FROM actions a, run"
    " WHERE a.project = $1 AND a.domain = $2 AND a.run_name = $3 AND a.name = $5"
    " AND a.ordinal >= 0),"
    " noted AS (UPDATE runs r SET abort_count = r.abort_count + 1,"
    " revision = r.revision + (action.ordinal > 0)::int,"
    " changed_xid = " NEXT_CHANGE " FROM action"
    " WHERE r.project = $1 AND r.domain = $2 AND r.run_name = $3"
    " AND action.abort_requested IS NULL AND action.phase NOT IN " TERMINAL
    " RETURNING r.revision),"
    " marked AS (UPDATE actions a SET abort_requested = $4,"
    " revision = CASE WHEN a.ordinal > 0 THEN noted.revision ELSE 0 END,"
    " abort_revision = CASE WHEN a.ordinal > 0 THEN noted.revision END,"
    " changed_by_hand = CASE WHEN a.ordinal > 0 THEN noted.revision END FROM noted"
    " WHERE a.project = $1 AND a.domain = $2 AND a.run_name = $3 AND a.name = $5)"
    " SELECT action.phase, coalesce(action.abort_requested, $4), (SELECT n.revision FROM noted n)"
    " FROM action",
    .parameter_count = 5,
    .types = abort_types,
};

static void on_abort_result(void *arg, size_t statement, const PGresult *result)
{
    struct run_remover *remover = arg;
    struct removal_request *request = remover->running;

    if (statement < CHANGE_STATEMENT || PQntuples(result) == 0)
        return;
    request->is_found = true;
    request->phase = phase_from_index(pg_int2(result, 0, 0));
    request->noted = strdup(pg_text(result, 0, 1));
    if (!PQgetisnull(result, 0, 2))
        note_change(remover, pg_int8(result, 0, 2));
}

static void on_abort_end(void *arg, const struct pg_end *end)
{
    struct run_remover *remover = arg;
    struct removal_request *request = remover->running;
    enum abort_outcome outcome = ABORT_FAILED;

    if (tell_change(remover, end, on_abort_end))
        return;
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
        begin_change(remover, is_of_run ? &abort_run_statement : &abort_action_statement);

    pg_bind_run(parameters, &request->key);
    pg_bind_text(parameters, request->abort);
    if (!is_of_run)
        pg_bind_text(parameters, request->name);
    send_calls(remover, on_abort_result, on_abort_end);
}

/* -------- an action and what is below it -------- */

static const Oid subtree_types[] = {PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT};

static const struct pg_statement find_action_statement = {
    .name = "find_removed",
    .sql = "SELECT a.ordinal, a.level, r.incarnation FROM actions a JOIN runs r"
           " ON r.project = a.project AND r.domain = a.domain AND r.run_name = a.run_name"
           " WHERE a.project = $1 AND a.domain = $2 AND a.run_name = $3 AND a.name = $4",
    .parameter_count = 4,
    .types = subtree_types,
};

/* One row if it still waited: the revision of the run. */
static const struct pg_statement drop_waiting_statement = {
    .name = "drop_waiting",
    .sql = LOCKED_RUN
    ", gone AS (DELETE FROM actions a USING run WHERE a.project = $1 AND a.domain = $2"
    " AND a.run_name = $3 AND a.name = $4 AND a.ordinal = 0 RETURNING 1),"
    " events AS (DELETE FROM action_events e USING gone WHERE e.project = $1 AND e.domain = $2"
    " AND e.run_name = $3 AND e.name = $4),"
    " aliases AS (DELETE FROM actions a USING gone WHERE a.project = $1 AND a.domain = $2"
    " AND a.run_name = $3 AND a.ordinal < 0 AND a.parent = $4),"
    " noted AS (UPDATE runs r SET waiting_count = r.waiting_count - 1,"
    " changed_xid = " NEXT_CHANGE " FROM gone WHERE r.project = $1"
    " AND r.domain = $2 AND r.run_name = $3 RETURNING r.revision)"
    " SELECT n.revision FROM noted n",
    .parameter_count = 4,
    .types = subtree_types,
};

static const Oid scan_types[] = {PG_TEXT, PG_TEXT, PG_TEXT, PG_INT4, PG_INT4};

static const struct pg_statement scan_statement = {
    .name = "scan_subtree",
    .sql = "SELECT a.ordinal, a.name, a.parent, a.removed FROM actions a WHERE a.project = $1"
           " AND a.domain = $2 AND a.run_name = $3 AND a.ordinal > $4 AND a.ordinal > 0"
           " ORDER BY a.ordinal LIMIT $5",
    .parameter_count = 5,
    .types = scan_types,
};

static const Oid take_types[] = {PG_TEXT, PG_TEXT, PG_TEXT, PG_INT4_ARRAY, PG_TEXT_ARRAY, PG_INT8};

/* Rows: the phases of those taken, and how many have each. A name that another removal has freed
 * meanwhile may be another action's: what is of it stays. The key is in `k` and joined as in
 * update_actions: a planner that takes the run for a small one has no other way than the index. */
static const struct pg_statement take_actions_statement = {
    .name = "take_actions",
    .sql = "WITH k AS MATERIALIZED (SELECT $1 AS project, $2 AS domain, $3 AS run_name, n.*"
           " FROM unnest($4, $5) AS n(ordinal, name)),"
           " gone AS (UPDATE actions a SET removed = true, revision = $6, changed_by_hand = $6,"
           " name = a.name || chr(31) || a.ordinal FROM k WHERE a.project = ANY (ARRAY[k.project])"
           " AND a.domain = k.domain AND a.run_name = k.run_name AND a.name = k.name"
           " AND a.ordinal = k.ordinal RETURNING a.phase, k.*),"
           " events AS (DELETE FROM action_events e USING gone k"
           " WHERE e.project = ANY (ARRAY[k.project]) AND e.domain = k.domain"
           " AND e.run_name = k.run_name AND e.name = k.name),"
           " joins AS (DELETE FROM pending_joins j WHERE j.project = $1 AND j.domain = $2"
           " AND j.run_name = $3 AND j.parent IN (SELECT g.name FROM gone g)),"
           " aliases AS (DELETE FROM actions a WHERE a.project = $1 AND a.domain = $2"
           " AND a.run_name = $3 AND a.ordinal < 0 AND a.parent IN (SELECT g.name FROM gone g))"
           " SELECT g.phase, count(*) FROM gone g GROUP BY g.phase",
    .parameter_count = 6,
    .types = take_types,
};

/* One row: name of the first root that is left, and times of all of them. A skipped one has no
 * start (index 11). */
static const struct pg_statement roots_left_statement = {
    .name = "roots_left",
    .sql = "SELECT (array_agg(a.name ORDER BY a.ordinal))[1], min(a.created_at),"
           " min(a.started_at) FILTER (WHERE a.phase <> 11), max(a.ended_at) FROM actions a"
           " WHERE a.project = $1 AND a.domain = $2 AND a.run_name = $3 AND a.level = 1"
           " AND NOT a.removed",
    .parameter_count = 3,
    .types = subtree_types,
};

/* Rows: the phases of the roots that are left, and how many have each. */
static const struct pg_statement root_counts_statement = {
    .name = "root_counts",
    .sql = "SELECT a.phase, count(*) FROM actions a WHERE a.project = $1 AND a.domain = $2"
           " AND a.run_name = $3 AND a.level = 1 AND NOT a.removed GROUP BY a.phase",
    .parameter_count = 3,
    .types = subtree_types,
};

static const Oid count_types[] = {PG_TEXT, PG_TEXT, PG_TEXT, PG_INT4};

static const struct pg_statement count_removed_statement = {
    .name = "count_removed",
    .sql = "UPDATE runs r SET removed_count = r.removed_count + $4 WHERE r.project = $1"
           " AND r.domain = $2 AND r.run_name = $3",
    .parameter_count = 4,
    .types = count_types,
};

/* -ENOMEM, or 0. */
static int add_to_subtree(struct subtree *subtree, int32_t ordinal, const char *name)
{
    size_t size = strlen(name) + 1;
    struct removed_action *action = malloc(sizeof *action + size);

    if (action == NULL)
        return -ENOMEM;
    if (subtree->count == subtree->capacity) {
        size_t capacity = subtree->capacity * 2 + 64;
        void *grown = realloc(subtree->actions, capacity * sizeof(*subtree->actions));

        if (grown == NULL) {
            free(action);
            return -ENOMEM;
        }
        subtree->actions = grown;
        subtree->capacity = capacity;
    }
    action->ordinal = ordinal;
    memcpy(action->name, name, size);
    HASH_ADD_STR(subtree->by_name, name, action);
    if (action->hh.tbl == NULL) {
        free(action);
        return -ENOMEM;
    }
    subtree->actions[subtree->count++] = action;
    return 0;
}

static void take_scanned(struct subtree *subtree, const PGresult *result)
{
    int rows = PQntuples(result);

    subtree->rows = (size_t)rows;
    for (int row = 0; row < rows; row++) {
        int32_t ordinal = pg_int4(result, row, 0);
        const char *parent = pg_text(result, row, 2);
        const struct removed_action *above = NULL;

        subtree->looked_at = ordinal;
        if (pg_bool(result, row, 3))
            continue;
        if (parent != NULL)
            HASH_FIND_STR(subtree->by_name, parent, above);
        if ((ordinal == subtree->top || above != NULL) &&
            add_to_subtree(subtree, ordinal, pg_text(result, row, 1)) < 0)
            subtree->is_out_of_memory = true;
    }
}

static void take_locked(struct subtree *subtree, const PGresult *result)
{
    subtree->is_found = false;
    if (PQntuples(result) == 0)
        return;
    run_from_row(result, 0, 0, &subtree->run);
    subtree->is_found = strcmp(subtree->run.incarnation, subtree->incarnation) == 0;
    subtree->changed_xid = pg_int8(result, 0, RUN_COLUMN_COUNT);
    snprintf(subtree->root, sizeof subtree->root, "%s",
             subtree->run.root == NULL ? "" : subtree->run.root);
    subtree->run.root = subtree->root;
}

static void take_counts(struct subtree *subtree, const PGresult *result)
{
    int rows = PQntuples(result);

    subtree->gone = 0;
    for (int row = 0; row < rows; row++) {
        int32_t count = (int32_t)pg_int8(result, row, 1);

        subtree->run.phase_counts[phase_from_index(pg_int2(result, row, 0))] -= count;
        subtree->gone += count;
    }
}

/* The top was one of the roots: what the others come to. */
static void take_roots(struct subtree *subtree, const PGresult *result)
{
    struct run *run = &subtree->run;
    const char *root = pg_text(result, 0, 0);

    snprintf(subtree->root, sizeof subtree->root, "%s", root == NULL ? "" : root);
    run->root = root == NULL ? NULL : subtree->root;
    run->created_us = pg_time(result, 0, 1);
    run->started_us = pg_time(result, 0, 2);
    run->ended_us = pg_time(result, 0, 3);
}

enum { LOCK_RUN = 1, LOCK_SCAN }; /* behind BEGIN */
enum { TAKE_ACTIONS, TAKE_ROOTS, TAKE_ROOT_COUNTS };

static void on_subtree_result(void *arg, size_t statement, const PGresult *result)
{
    struct run_remover *remover = arg;
    struct subtree *subtree = remover->running->subtree;

    if (subtree->step == SUBTREE_FIND) {
        subtree->is_found = PQntuples(result) > 0;
        subtree->top = subtree->is_found ? pg_int4(result, 0, 0) : 0;
        subtree->level = subtree->is_found ? pg_int4(result, 0, 1) : 0;
        if (subtree->is_found)
            snprintf(subtree->incarnation, sizeof subtree->incarnation, "%s",
                     pg_text(result, 0, 2));
    } else if (subtree->step == SUBTREE_DROP) {
        subtree->has_dropped = statement == CHANGE_STATEMENT && PQntuples(result) > 0;
        if (subtree->has_dropped)
            note_change(remover, pg_int8(result, 0, 0));
    } else if (subtree->step == SUBTREE_SCAN ||
               (subtree->step == SUBTREE_LOCK && statement == LOCK_SCAN)) {
        take_scanned(subtree, result);
    } else if (subtree->step == SUBTREE_LOCK && statement == LOCK_RUN) {
        take_locked(subtree, result);
    } else if (subtree->step == SUBTREE_TAKE && statement == TAKE_ACTIONS) {
        take_counts(subtree, result);
    } else if (subtree->step == SUBTREE_TAKE && statement == TAKE_ROOTS) {
        take_roots(subtree, result);
    } else if (subtree->step == SUBTREE_TAKE) {
        memset(subtree->run.root_counts, 0, sizeof subtree->run.root_counts);
        for (int row = 0; row < PQntuples(result); row++)
            subtree->run.root_counts[phase_from_index(pg_int2(result, row, 0))] =
                (int32_t)pg_int8(result, row, 1);
    }
}

static void on_subtree_end(void *arg, const struct pg_end *end);

static void enter_subtree(struct run_remover *remover, enum subtree_step step)
{
    remover->running->subtree->step = step;
    pg_calls_reset(&remover->calls);
}

static void look_for_top(struct run_remover *remover)
{
    const struct removal_request *request = remover->running;
    bool waits = request->subtree->is_found;
    struct pg_parameters *parameters;

    enter_subtree(remover, waits ? SUBTREE_DROP : SUBTREE_FIND);
    parameters = waits ? begin_change(remover, &drop_waiting_statement)
                       : pg_calls_add(&remover->calls, &find_action_statement);
    pg_bind_run(parameters, &request->key);
    pg_bind_text(parameters, request->name);
    send_calls(remover, on_subtree_result, on_subtree_end);
}

static void add_scan(struct run_remover *remover)
{
    const struct removal_request *request = remover->running;
    struct pg_parameters *parameters = pg_calls_add(&remover->calls, &scan_statement);

    pg_bind_run(parameters, &request->key);
    pg_bind_int4(parameters, request->subtree->looked_at);
    pg_bind_int4(parameters, SCAN_ROWS_MAX);
}

static void scan_subtree(struct run_remover *remover)
{
    enter_subtree(remover, SUBTREE_SCAN);
    add_scan(remover);
    send_calls(remover, on_subtree_result, on_subtree_end);
}

static void lock_subtree(struct run_remover *remover)
{
    enter_subtree(remover, SUBTREE_LOCK);
    pg_calls_add(&remover->calls, &begin_statement);
    add_runs(&remover->calls, &lock_stored_runs_statement, &remover->running->key, 1);
    add_scan(remover);
    send_calls(remover, on_subtree_result, on_subtree_end);
}

static void unlock_subtree(struct run_remover *remover)
{
    enter_subtree(remover, SUBTREE_UNLOCK);
    pg_calls_add(&remover->calls, &rollback_statement);
    send_calls(remover, on_subtree_result, on_subtree_end);
}

/* The last of them, children before their parents. */
static void take_piece(struct run_remover *remover)
{
    const struct removal_request *request = remover->running;
    struct subtree *subtree = request->subtree;
    size_t most = (size_t)remover->piece_rows, first;
    struct pg_parameters *parameters;

    subtree->taken = subtree->count < most ? subtree->count : most;
    first = subtree->count - subtree->taken;
    enter_subtree(remover, SUBTREE_TAKE);
    parameters = pg_calls_add(&remover->calls, &take_actions_statement);
    pg_bind_run(parameters, &request->key);
    BIND_INT4(parameters, subtree->taken, subtree->actions[first + i]->ordinal);
    BIND_TEXT(parameters, subtree->taken, subtree->actions[first + i]->name);
    pg_bind_int8(parameters, subtree->run.revision + 1);
    if (first == 0 && subtree->level == 1) {
        pg_bind_run(pg_calls_add(&remover->calls, &roots_left_statement), &request->key);
        pg_bind_run(pg_calls_add(&remover->calls, &root_counts_statement), &request->key);
    }
    send_calls(remover, on_subtree_result, on_subtree_end);
}

static void write_piece(struct run_remover *remover)
{
    const struct removal_request *request = remover->running;
    struct subtree *subtree = request->subtree;
    struct run_row row = {.revision_before = subtree->run.revision, .state = subtree->run};
    bool has_open_ends;
    struct pg_parameters *parameters;

    row.state.revision++;
    row.state.phase = run_phase(row.state.root_counts);
    has_open_ends = run_has_open_ends(&row.state);
    enter_subtree(remover, SUBTREE_WRITE);
    add_update_runs(&remover->calls, &request->key, &subtree->changed_xid, &row, 1, 0);
    add_runs(&remover->calls, &move_labels_statement, &request->key, 1);
    parameters = pg_calls_add(&remover->calls, &count_removed_statement);
    pg_bind_run(parameters, &request->key);
    pg_bind_int4(parameters, subtree->gone);
    add_notify(&remover->calls, &request->key, &row, 1);
    add_runs(&remover->calls, has_open_ends ? &add_open_ends_statement : &end_open_ends_statement,
             &request->key, 1);
    pg_calls_add(&remover->calls, &commit_statement);
    send_calls(remover, on_subtree_result, on_subtree_end);
}

static void end_subtree(struct run_remover *remover, enum removal removal)
{
    struct removal_request *request = remover->running;

    remover->running = NULL;
    finish(request, removal);
    run_next(remover);
}

static void forget_taken(struct subtree *subtree)
{
    for (; subtree->taken > 0; subtree->taken--) {
        struct removed_action *action = subtree->actions[--subtree->count];

        /* All are in it. NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
        HASH_DEL(subtree->by_name, action);
        free(action);
    }
}

/* What comes behind a step that went well. */
static void go_on_with_subtree(struct run_remover *remover)
{
    struct subtree *subtree = remover->running->subtree;

    switch (subtree->step) {
    case SUBTREE_FIND:
        subtree->looked_at = subtree->top - 1;
        if (!subtree->is_found || subtree->top < 0) /* or an alias */
            end_subtree(remover, REMOVAL_ABSENT);
        else if (subtree->top == 0)
            look_for_top(remover);
        else
            scan_subtree(remover);
        break;
    case SUBTREE_DROP: /* if not, it has joined meanwhile */
        subtree->is_found = false;
        if (subtree->has_dropped)
            end_subtree(remover, REMOVAL_DONE);
        else
            look_for_top(remover);
        break;
    case SUBTREE_SCAN:
        if (subtree->rows == SCAN_ROWS_MAX)
            scan_subtree(remover);
        else
            lock_subtree(remover);
        break;
    case SUBTREE_LOCK:
        if (!subtree->is_found || subtree->count == 0 || subtree->rows == SCAN_ROWS_MAX)
            unlock_subtree(remover);
        else
            take_piece(remover);
        break;
    case SUBTREE_TAKE:
        write_piece(remover);
        break;
    case SUBTREE_WRITE:
        forget_taken(subtree);
        if (subtree->count == 0)
            end_subtree(remover, REMOVAL_DONE);
        else
            lock_subtree(remover);
        break;
    case SUBTREE_UNLOCK:
        if (subtree->is_found && subtree->count > 0)
            scan_subtree(remover);
        else
            end_subtree(remover, REMOVAL_ABSENT); /* somebody else was faster */
        break;
    }
}

static void on_subtree_end(void *arg, const struct pg_end *end)
{
    struct run_remover *remover = arg;
    struct removal_request *request = remover->running;
    bool is_slow = end->outcome == PG_REFUSED && strcmp(end->sqlstate, "57014") == 0;

    if (request->subtree->step == SUBTREE_DROP && tell_change(remover, end, on_subtree_end))
        return;
    if (end->outcome == PG_OK && !request->subtree->is_out_of_memory &&
        !pg_calls_have_failed(&remover->calls)) {
        go_on_with_subtree(remover);
        return;
    }
    request->subtree->taken = 0;
    if (end->outcome == PG_OK) /* a transaction may be open */
        pg_connection_reset(remover->connection, "out of memory");
    if (is_slow && request->subtree->step == SUBTREE_TAKE && remover->piece_rows > 1) {
        remover->piece_rows = (remover->piece_rows + 3) / 4;
        lock_subtree(remover);
        return;
    }
    remover->running = NULL;
    if (!try_later(remover, request, end)) {
        if (end->outcome == PG_REFUSED)
            remover->events->on_refused(remover->arg, end->message);
        finish(request, REMOVAL_FAILED);
    }
    run_next(remover);
}

/* Begins, or goes on behind a lock that was waited for. */
static void remove_subtree(struct run_remover *remover)
{
    struct subtree *subtree = remover->running->subtree;

    if (subtree->count > 0) {
        lock_subtree(remover);
        return;
    }
    subtree->is_found = false;
    look_for_top(remover);
}

static void start(struct run_remover *remover, struct removal_request *request)
{
    DL_DELETE(remover->waiting, request);
    remover->waiting_count--;
    remover->running = request;
    if (request->abort != NULL)
        note_abort(remover, request);
    else if (request->subtree != NULL)
        remove_subtree(remover);
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
    .sql = "DELETE FROM deleted_runs d WHERE d.ctid = ANY (ARRAY(SELECT f.ctid"
           " FROM deleted_runs f WHERE f.deleted_at < now() - interval '2 days'"
           " AND NOT f.has_rows ORDER BY f.deleted_at LIMIT 1000))"
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

    remover->is_set_up = false;
    give_up_waiting(remover);
    drop_leftovers(remover); /* the look at the next session finds them again */
    remover->events->on_lost(remover->arg, why);
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

int run_remover_remove_action(struct run_remover *remover, const struct run_key *run,
                              const char *name, removal_fn *on_end, void *arg)
{
    struct removal_request *request;

    if (!remover->is_set_up)
        return -ENOTCONN;
    if (remover->waiting_count >= REMOVER_QUEUE_MAX)
        return -EAGAIN;
    request = request_new(remover, run);
    if (request == NULL)
        return -ENOMEM;
    request->subtree = calloc(1, sizeof *request->subtree);
    if (request->subtree == NULL) {
        free_request(request);
        return -ENOMEM;
    }
    snprintf(request->name, sizeof request->name, "%s", name);
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
