#include "sql/write_statements.h"

#include <stdio.h>
#include <string.h>

#include "sql/rows.h"

const struct pg_statement begin_statement = {.name = "begin", .sql = "BEGIN"};
const struct pg_statement commit_statement = {.name = "commit", .sql = "COMMIT"};
const struct pg_statement rollback_statement = {.name = "rollback", .sql = "ROLLBACK"};

const struct pg_statement writer_settings_statement = {
    .sql = "SELECT set_config('enable_seqscan', 'off', false),"
           " set_config('enable_hashjoin', 'off', false),"
           " set_config('enable_mergejoin', 'off', false),"
           " set_config('enable_bitmapscan', 'off', false),"
           " set_config('enable_material', 'off', false),"
           " set_config('plan_cache_mode', " PLAN_CACHE_MODE ", false),"
           " set_config('default_transaction_isolation', 'read committed', false),"
           " set_config('lock_timeout', coalesce(nullif(current_setting('lock_timeout'), '0'), "
           "'200ms'),"
           " false)",
};

static const Oid find_events_types[] = {PG_TEXT_ARRAY, PG_TEXT_ARRAY, PG_TEXT_ARRAY, PG_TEXT_ARRAY,
                                        PG_INT4_ARRAY, PG_INT2_ARRAY, PG_INT4_ARRAY};

const struct pg_statement find_events_statement = {
    .name = "find_events",
    .sql = "SELECT k.i, e.revision, e.info"
           " FROM unnest($1, $2, $3, $4, $5, $6, $7) WITH ORDINALITY"
           " AS k(project, domain, run_name, name, attempt, phase, version, i)" LOOKED_UP(
               "action_events", "e",
               IS_ACTION_OF("e", "k") " AND e.attempt = k.attempt"
                                      " AND e.phase = k.phase"
                                      " AND e.version = k.version"),
    .parameter_count = 7,
    .types = find_events_types,
};

void add_find_events(struct pg_calls *calls, const struct action_event *const *events, size_t count)
{
    struct pg_parameters *parameters = pg_calls_add(calls, &find_events_statement);

    BIND_RUN(parameters, count, events[i]->run);
    BIND_TEXT(parameters, count, events[i]->name);
    BIND_INT4(parameters, count, events[i]->attempt);
    BIND_INT2(parameters, count, events[i]->phase);
    BIND_INT4(parameters, count, events[i]->version);
}

static const Oid read_runs_types[] = {PG_TEXT_ARRAY, PG_TEXT_ARRAY, PG_TEXT_ARRAY};

#define READ_RUNS                                                                                  \
    "SELECT " RUN_COLUMNS ", r.changed_xid FROM unnest($1, $2, $3) AS k(project, domain, "         \
    "run_name)"

const struct pg_statement read_runs_statement = {
    .name = "read_runs",
    .sql = READ_RUNS LOOKED_UP("runs", "r", IS_RUN_OF("r", "k")),
    .parameter_count = 3,
    .types = read_runs_types,
};

void add_runs(struct pg_calls *calls, const struct pg_statement *statement,
              const struct run_key *runs, size_t count)
{
    struct pg_parameters *parameters = pg_calls_add(calls, statement);

    BIND_RUN(parameters, count, runs[i]);
}

#define STORED_RUNS                                                                                \
    "SELECT k.i FROM unnest($1, $2, $3) WITH ORDINALITY AS k(project, domain, run_name, i)"

const struct pg_statement stored_runs_statement = {
    .name = "stored_runs",
    .sql = STORED_RUNS LOOKED_UP("runs", "r", IS_RUN_OF("r", "k")),
    .parameter_count = 3,
    .types = read_runs_types,
};

const struct pg_statement free_runs_statement = {
    .name = "free_runs",
    .sql = STORED_RUNS LOOKED_UP("runs", "r", IS_RUN_OF("r", "k") " FOR NO KEY UPDATE SKIP LOCKED"),
    .parameter_count = 3,
    .types = read_runs_types,
};

const struct pg_statement removed_runs_statement = {
    .name = "removed_runs",
    .sql = STORED_RUNS LOOKED_UP("deleted_runs", "d", IS_RUN_OF("d", "k")) " WHERE d.has_rows",
    .parameter_count = 3,
    .types = read_runs_types,
};

const struct pg_statement lock_stored_runs_statement = {
    .name = "lock_stored_runs",
    .sql = READ_RUNS LOOKED_UP("runs", "r", IS_RUN_OF("r", "k") " FOR NO KEY UPDATE"),
    .parameter_count = 3,
    .types = read_runs_types,
};

static const Oid lock_runs_types[] = {PG_TEXT_ARRAY, PG_TEXT_ARRAY,  PG_TEXT_ARRAY, PG_TEXT_ARRAY,
                                      PG_BOOL_ARRAY, PG_TIMESTAMPTZ, PG_INT8};

/* The update changes nothing: it is there for its lock, which INSERT … DO NOTHING would not take.
 * Reading cell_generations locks it, too, before the statement's snapshot is taken. */
const struct pg_statement lock_runs_statement = {
    .name = "lock_runs",
    .sql =
        "WITH r AS (INSERT INTO runs AS r (project, domain, run_name, incarnation, first_seen_at)"
        " SELECT k.project, k.domain, k.run_name, k.incarnation, $6"
        " FROM unnest($1, $2, $3, $4, $5)"
        " AS k(project, domain, run_name, incarnation, may_create)"
        " WHERE (k.may_create AND $7 = (SELECT max(g.number) FROM cell_generations g))"
        " OR EXISTS (SELECT FROM runs e WHERE e.project = k.project AND e.domain = k.domain"
        " AND e.run_name = k.run_name OFFSET 0)"
        " ON CONFLICT (project, domain, run_name) DO UPDATE SET revision = r.revision"
        " RETURNING r.*) SELECT " RUN_COLUMNS ", r.changed_xid,"
        " $7 = (SELECT max(g.number) FROM cell_generations g) FROM r",
    .parameter_count = 7,
    .types = lock_runs_types,
};

void add_lock_runs(struct pg_calls *calls, const struct run_key *runs,
                   const char (*incarnations)[INCARNATION_SIZE], const bool *may_create,
                   size_t count, int64_t now_us, int64_t generation)
{
    struct pg_parameters *parameters = pg_calls_add(calls, &lock_runs_statement);

    BIND_RUN(parameters, count, runs[i]);
    BIND_TEXT(parameters, count, incarnations[i]);
    BIND_BOOL(parameters, count, may_create[i]);
    pg_bind_time(parameters, now_us);
    pg_bind_int8(parameters, generation);
}

static const Oid names_types[] = {PG_TEXT_ARRAY, PG_TEXT_ARRAY, PG_TEXT_ARRAY, PG_TEXT_ARRAY,
                                  PG_INT4};

const struct pg_statement find_actions_statement = {
    .name = "find_actions",
    .sql =
        "SELECT k.i, " DECIDED_ACTION_COLUMNS
        ", CASE WHEN a.ordinal = 0 AND a.parent IS NOT NULL THEN"
        " (SELECT p.level FROM actions p WHERE p.project = a.project AND p.domain = a.domain"
        " AND p.run_name = a.run_name AND p.name = a.parent) END"
        " FROM unnest($1, $2, $3, $4) WITH ORDINALITY"
        " AS k(project, domain, run_name, name, i)" LOOKED_UP(
            "actions", "n",
            IS_ACTION_OF(
                "n", "k")) " CROSS JOIN LATERAL (SELECT n.* UNION ALL SELECT t.* FROM actions t"
                           " WHERE n.ordinal < 0 AND t.project = n.project AND t.domain = n.domain"
                           " AND t.run_name = n.run_name AND t.name = n.parent) a",
    .parameter_count = 4,
    .types = names_types,
};

#define WAITS_FOR_NAME                                                                             \
    " FROM actions a WHERE " IS_RUN_OF("a", "k") " AND a.parent = k.name AND a.ordinal = 0"

const struct pg_statement find_awaited_statement = {
    .name = "find_awaited",
    .sql = "SELECT k.i FROM unnest($1, $2, $3, $4) WITH ORDINALITY"
           " AS k(project, domain, run_name, name, i)"
           " CROSS JOIN LATERAL (SELECT 1" WAITS_FOR_NAME " LIMIT 1) w",
    .parameter_count = 4,
    .types = names_types,
};

const struct pg_statement find_waiting_statement = {
    .name = "find_waiting",
    .sql = "SELECT k.i, a.* FROM unnest($1, $2, $3, $4) WITH ORDINALITY"
           " AS k(project, domain, run_name, name, i)"
           " CROSS JOIN LATERAL (SELECT " DECIDED_ACTION_COLUMNS WAITS_FOR_NAME
           " OFFSET 0) a LIMIT $5",
    .parameter_count = 5,
    .types = names_types,
};

static void bind_names(struct pg_parameters *parameters, const struct run_key *runs,
                       const struct decision_name *names, size_t count)
{
    BIND_RUN(parameters, count, runs[names[i].run]);
    BIND_TEXT(parameters, count, names[i].name);
}

void add_names(struct pg_calls *calls, const struct pg_statement *statement,
               const struct run_key *runs, const struct decision_name *names, size_t count)
{
    bind_names(pg_calls_add(calls, statement), runs, names, count);
}

void add_find_waiting(struct pg_calls *calls, const struct run_key *runs,
                      const struct decision_name *names, size_t count, int32_t limit)
{
    struct pg_parameters *parameters = pg_calls_add(calls, &find_waiting_statement);

    bind_names(parameters, runs, names, count);
    pg_bind_int4(parameters, limit);
}

/* A skipped one (11) has not started. */
const struct pg_statement find_roots_statement = {
    .name = "find_roots",
    .sql = "SELECT k.i, a.name, CASE WHEN a.phase <> 11 THEN a.started_at END, a.ended_at"
           " FROM unnest($1, $2, $3) WITH ORDINALITY AS k(project, domain, run_name, i)" LOOKED_UP(
               "actions", "a",
               IS_RUN_OF("a", "k") " AND a.parent IS NULL AND a.ordinal > 0 AND NOT a.removed"),
    .parameter_count = 3,
    .types = read_runs_types,
};

void add_find_roots(struct pg_calls *calls, const struct run_key *runs, const size_t *indexes,
                    size_t count)
{
    struct pg_parameters *parameters = pg_calls_add(calls, &find_roots_statement);

    BIND_RUN(parameters, count, runs[indexes[i]]);
}

/* UNION, for actions that wait for each other are a circle. */
const struct pg_statement find_aborts_statement = {
    .name = "find_aborts",
    .sql =
        "WITH RECURSIVE k AS MATERIALIZED (SELECT * FROM unnest($1, $2, $3, $4) WITH ORDINALITY"
        " AS k(project, domain, run_name, name, i)),"
        " up AS (SELECT k.project COLLATE \"C\", k.domain COLLATE \"C\", k.run_name COLLATE \"C\","
        " k.name COLLATE \"C\", k.i, false AS is_asked FROM k UNION"
        " SELECT a.project, a.domain, a.run_name, a.parent, u.i, a.abort_requested IS NOT NULL"
        " FROM up u CROSS JOIN LATERAL ("
        "SELECT a.project, a.domain, a.run_name, a.parent, a.abort_requested FROM actions a"
        " WHERE " IS_ACTION_OF(
            "a", "u") " OFFSET 0) a WHERE NOT u.is_asked)"
                      " SELECT u.i FROM up u WHERE u.is_asked UNION SELECT k.i FROM k" LOOKED_UP(
                          "runs", "r", IS_RUN_OF("r", "k") " AND r.abort_requested IS NOT NULL"),
    .parameter_count = 4,
    .types = names_types,
};

void add_find_aborts(struct pg_calls *calls, const struct action_event *const *events, size_t count)
{
    struct pg_parameters *parameters = pg_calls_add(calls, &find_aborts_statement);

    BIND_RUN(parameters, count, events[i]->run);
    BIND_TEXT(parameters, count, events[i]->name);
}

/* No ON CONFLICT: under the run's lock a conflict cannot be, and if it were, the batch must be
 * decided anew rather than acknowledge an event that is not there. */
static const Oid insert_events_types[] = {PG_UNKNOWN, PG_TIMESTAMPTZ};

const struct pg_statement insert_events_statement = {
    .name = "insert_events",
    .sql = "INSERT INTO action_events (project, domain, run_name, name, attempt, phase, version,"
           " revision, error_kind_number, updated_at, reported_at, info, recorded_at)"
           " SELECT k.*, $2 FROM unnest($1::written_event[]) AS k",
    .parameter_count = 2,
    .types = insert_events_types,
};

void add_insert_events(struct pg_calls *calls, const struct run_key *runs,
                       const struct event_row *rows, size_t count, int64_t now_us)
{
    struct pg_parameters *parameters = pg_calls_add(calls, &insert_events_statement);

    pg_array_begin(parameters, PG_RECORD);
    for (size_t i = 0; i < count; i++) {
        const struct action_event *event = rows[i].event;

        pg_record_begin(parameters, 12);
        pg_field_run(parameters, &runs[rows[i].run]);
        pg_field_text(parameters, event->name);
        pg_field_int4(parameters, event->attempt);
        pg_field_int2(parameters, (int16_t)event->phase);
        pg_field_int4(parameters, event->version);
        pg_field_int8(parameters, rows[i].revision);
        pg_field_int2(parameters, (int16_t)event->error_kind);
        pg_field_time(parameters, event->updated_us);
        pg_field_time(parameters, event->reported_us);
        pg_field_bytes(parameters, event->info.bytes, event->info.length);
        pg_record_end(parameters);
    }
    pg_array_end(parameters);
    pg_bind_time(parameters, now_us);
}

static const Oid write_actions_types[] = {PG_UNKNOWN};

/* As with events: no ON CONFLICT, for what is there already has to be decided about. */
const struct pg_statement insert_actions_statement = {
    .name = "insert_actions",
    .sql = "INSERT INTO actions (project, domain, run_name, name, parent_named, parent, ordinal,"
           " level, attempt, phase, version, action_group, group_attempt, group_position,"
           " task_name, short_name, task_attempt, task_position, created_at, started_at,"
           " ended_at, error_info, revision, furthest_at, running_version, wait_phase,"
           " wait_version, wait_at, additions) SELECT k.* FROM unnest($1::written_action[]) AS k",
    .parameter_count = 1,
    .types = write_actions_types,
};

/* An UPDATE or DELETE cannot be written with LOOKED_UP (sql/rows.h). Where the key's first column
 * is in no equality that a merge could use, the planner has nothing but the index either: that is
 * what ANY (ARRAY[…]) of one element is for in the statements from here on. */
const struct pg_statement update_actions_statement = {
    .name = "update_actions",
    .sql = "UPDATE actions a SET parent_named = k.parent_named, parent = k.parent,"
           " ordinal = k.ordinal, level = k.level, attempt = k.attempt, phase = k.phase,"
           " version = k.version, action_group = k.action_group, group_attempt = k.group_attempt,"
           " group_position = k.group_position, task_name = k.task_name,"
           " short_name = k.short_name, task_attempt = k.task_attempt,"
           " task_position = k.task_position, created_at = k.created_at,"
           " started_at = k.started_at, ended_at = k.ended_at, error_info = k.error_info,"
           " revision = k.revision, furthest_at = k.furthest_at,"
           " running_version = k.running_version, wait_phase = k.wait_phase,"
           " wait_version = k.wait_version, wait_at = k.wait_at, additions = k.additions"
           " FROM unnest($1::written_action[]) AS k"
           " WHERE a.project = ANY (ARRAY[k.project])"
           " AND a.domain = k.domain AND a.run_name = k.run_name AND a.name = k.name",
    .parameter_count = 1,
    .types = write_actions_types,
};

static void add_origin(struct pg_parameters *parameters, const struct attempt_state *said)
{
    bool is_over = phase_is_terminal(said->furthest.phase);
    bool waits = attempt_state_shown(said) != &said->furthest;
    bool has_waited = said->waited.phase != PHASE_NONE;

    pg_field_time(parameters, is_over ? TIME_NONE : said->furthest.updated_us);
    pg_field_int4(parameters, waits ? said->furthest.version : NO_VERSION);
    pg_field_int2(parameters, (int16_t)said->waited.phase);
    pg_field_int4(parameters, said->waited.version);
    pg_field_time(parameters, has_waited ? said->waited.updated_us : TIME_NONE);
}

static void add_action(struct pg_parameters *parameters, const struct run_key *run,
                       const struct action_row *row)
{
    const struct action *action = &row->action;

    pg_record_begin(parameters, 29);
    pg_field_run(parameters, run);
    pg_field_text(parameters, action->name);
    pg_field_bool(parameters, action->parent_named);
    pg_field_text(parameters, action->parent);
    pg_field_int4(parameters, action->ordinal);
    pg_field_int4(parameters, action->level);
    pg_field_int4(parameters, action->attempt);
    pg_field_int2(parameters, (int16_t)action->phase);
    pg_field_int4(parameters, action->version);
    pg_field_text(parameters, action->group);
    pg_field_int4(parameters, row->origin.group_from.attempt);
    pg_field_int8(parameters, row->origin.group_from.position);
    pg_field_text(parameters, action->task_name);
    pg_field_text(parameters, action->short_name);
    pg_field_int4(parameters, row->origin.task_from.attempt);
    pg_field_int8(parameters, row->origin.task_from.position);
    pg_field_time(parameters, action->created_us);
    pg_field_time(parameters, action->started_us);
    pg_field_time(parameters, action->ended_us);
    pg_field_text(parameters, action->error_info);
    pg_field_int8(parameters, action->revision);
    add_origin(parameters, &row->origin.said);
    pg_field_text(parameters, action->additions);
    pg_record_end(parameters);
}

static void add_actions(struct pg_calls *calls, const struct pg_statement *statement,
                        const struct run_key *runs, const struct action_row *rows, size_t count,
                        bool are_new)
{
    struct pg_parameters *parameters = pg_calls_add(calls, statement);

    pg_array_begin(parameters, PG_RECORD);
    for (size_t i = 0; i < count; i++)
        if (rows[i].is_new == are_new)
            add_action(parameters, &runs[rows[i].run], &rows[i]);
    pg_array_end(parameters);
}

void add_write_actions(struct pg_calls *calls, const struct run_key *runs,
                       const struct action_row *rows, size_t count)
{
    size_t new_count = 0;

    for (size_t i = 0; i < count; i++)
        new_count += rows[i].is_new;
    if (new_count > 0)
        add_actions(calls, &insert_actions_statement, runs, rows, count, true);
    if (new_count < count)
        add_actions(calls, &update_actions_statement, runs, rows, count, false);
}

void add_no_actions(struct pg_calls *calls)
{
    add_actions(calls, &insert_actions_statement, NULL, NULL, 0, true);
    add_actions(calls, &update_actions_statement, NULL, NULL, 0, false);
}

static const Oid join_events_types[] = {PG_TEXT_ARRAY, PG_TEXT_ARRAY, PG_TEXT_ARRAY, PG_TEXT_ARRAY,
                                        PG_INT8_ARRAY};

const struct pg_statement join_events_statement = {
    .name = "join_events",
    .sql = "UPDATE action_events e SET revision = k.revision"
           " FROM unnest($1, $2, $3, $4, $5) AS k(project, domain, run_name, name, revision)"
           " WHERE e.project = ANY (ARRAY[k.project]) AND e.domain = k.domain"
           " AND e.run_name = k.run_name"
           " AND e.name = k.name AND e.revision = 0",
    .parameter_count = 5,
    .types = join_events_types,
};

void add_join_events(struct pg_calls *calls, const struct run_key *runs,
                     const struct joined_row *rows, size_t count)
{
    struct pg_parameters *parameters = pg_calls_add(calls, &join_events_statement);

    BIND_RUN(parameters, count, runs[rows[i].run]);
    BIND_TEXT(parameters, count, rows[i].name);
    BIND_INT8(parameters, count, rows[i].revision);
}

static const Oid pending_types[] = {PG_TEXT_ARRAY, PG_TEXT_ARRAY, PG_TEXT_ARRAY, PG_TEXT_ARRAY};

const struct pg_statement add_pending_statement = {
    .name = "add_pending",
    .sql = "INSERT INTO pending_joins (project, domain, run_name, parent, worked_at)"
           " SELECT k.*, now() FROM unnest($1, $2, $3, $4) AS k"
           " ON CONFLICT (project, domain, run_name, parent) DO UPDATE"
           " SET worked_at = excluded.worked_at",
    .parameter_count = 4,
    .types = pending_types,
};

const struct pg_statement end_pending_statement = {
    .name = "end_pending",
    .sql = "DELETE FROM pending_joins p USING unnest($1, $2, $3, $4)"
           " AS k(project, domain, run_name, parent) WHERE p.project = ANY (ARRAY[k.project])"
           " AND p.domain = k.domain AND p.run_name = k.run_name AND p.parent = k.parent",
    .parameter_count = 4,
    .types = pending_types,
};

void add_pending_joins(struct pg_calls *calls, const struct pg_statement *statement,
                       const struct run_key *runs, const struct pending_join_row *rows,
                       size_t count)
{
    struct pg_parameters *parameters = pg_calls_add(calls, statement);

    BIND_RUN(parameters, count, runs[rows[i].run]);
    BIND_TEXT(parameters, count, rows[i].parent);
}

const struct pg_statement add_open_ends_statement = {
    .name = "add_open_ends",
    .sql = "INSERT INTO open_ends (project, domain, run_name)"
           " SELECT k.* FROM unnest($1, $2, $3) AS k ON CONFLICT DO NOTHING",
    .parameter_count = 3,
    .types = read_runs_types,
};

const struct pg_statement end_open_ends_statement = {
    .name = "end_open_ends",
    .sql = "DELETE FROM open_ends o USING unnest($1, $2, $3) AS k(project, domain, run_name)"
           " WHERE o.project = ANY (ARRAY[k.project]) AND o.domain = k.domain"
           " AND o.run_name = k.run_name",
    .parameter_count = 3,
    .types = read_runs_types,
};

static const Oid idle_types[] = {PG_INT4};

const struct pg_statement idle_joins_statement = {
    .name = "idle_joins",
    .sql = "SELECT p.project, p.domain, p.run_name, p.parent FROM pending_joins p"
           " WHERE p.worked_at < now() - interval '10 s' ORDER BY p.worked_at LIMIT $1",
    .parameter_count = 1,
    .types = idle_types,
};

static const Oid update_runs_types[] = {PG_UNKNOWN};

/* The cast of a sentence to a number is what makes the statement fail, and says why in the server's
 * log. What it answers is read from the rows: beside them pg_current_xact_id() may be evaluated on
 * another server than NEXT_CHANGE. */
const struct pg_statement update_runs_statement = {
    .name = "update_runs",
    .sql = "WITH changed AS (UPDATE runs r SET revision = k.revision,"
           " action_count = k.action_count, phase_counts = k.phase_counts, root = k.root,"
           " phase = k.phase, created_at = k.created_at, started_at = k.started_at,"
           " ended_at = k.ended_at, root_counts = k.root_counts,"
           " waiting_count = k.waiting_count, last_event_at = coalesce(k.heard_at,"
           " r.last_event_at), changed_xid = " NEXT_CHANGE " FROM unnest($1::written_run[]) AS k"
           " WHERE r.project = ANY (ARRAY[k.project]) AND r.domain = k.domain"
           " AND r.run_name = k.run_name AND r.changed_xid = k.changed_xid"
           " AND r.incarnation = k.incarnation RETURNING r.changed_xid)"
           " SELECT CASE WHEN count(*) = cardinality($1) THEN min(changed_xid)::text"
           " ELSE 'a run changed since it was read; the batch is decided again' END::int8"
           " FROM changed",
    .parameter_count = 1,
    .types = update_runs_types,
};

void add_update_runs(struct pg_calls *calls, const struct run_key *runs,
                     const int64_t *changed_xids, const struct run_row *rows, size_t count,
                     int64_t now_us)
{
    struct pg_parameters *parameters = pg_calls_add(calls, &update_runs_statement);

    pg_array_begin(parameters, PG_RECORD);
    for (size_t i = 0; i < count; i++) {
        const struct run *run = &rows[i].state;

        pg_record_begin(parameters, 16);
        pg_field_run(parameters, &runs[rows[i].run]);
        pg_field_text(parameters, run->incarnation);
        pg_field_int8(parameters, changed_xids[rows[i].run]);
        pg_field_int8(parameters, run->revision);
        pg_field_int4(parameters, run->action_count);
        pg_field_int4s(parameters, run->phase_counts + 1, PHASE_SLOTS - 1);
        pg_field_text(parameters, run->root);
        pg_field_int2(parameters, (int16_t)run->phase);
        pg_field_time(parameters, run->created_us);
        pg_field_time(parameters, run->started_us);
        pg_field_time(parameters, run->ended_us);
        pg_field_int4s(parameters, run->root_counts + 1, PHASE_SLOTS - 1);
        pg_field_int4(parameters, run->waiting_count);
        pg_field_time(parameters, rows[i].has_events ? now_us : TIME_NONE);
        pg_record_end(parameters);
    }
    pg_array_end(parameters);
}

const struct pg_statement move_labels_statement = {
    .name = "move_labels",
    .sql = "UPDATE run_labels l SET shown_at = r.shown_at"
           " FROM unnest($1, $2, $3) AS k(project, domain, run_name)" LOOKED_UP(
               "runs", "r", IS_RUN_OF("r", "k")) " WHERE l.project = ANY (ARRAY[k.project])"
                                                 " AND l.domain = k.domain AND l.run_name = "
                                                 "k.run_name AND l.shown_at <> r.shown_at",
    .parameter_count = 3,
    .types = read_runs_types,
};

static const Oid add_to_runs_types[] = {PG_TEXT_ARRAY, PG_TEXT_ARRAY, PG_TEXT_ARRAY,
                                        PG_TEXT_ARRAY, PG_TEXT_ARRAY, PG_TIMESTAMPTZ_ARRAY,
                                        PG_TEXT_ARRAY, PG_INT4_ARRAY, PG_INT8_ARRAY};

/* The order is run_addition_compare's. A run's labels stand and go together. Citus refuses an
 * INSERT behind such a WITH, and takes it within. */
const struct pg_statement add_to_runs_statement = {
    .name = "add_to_runs",
    .sql = "WITH taken AS (INSERT INTO run_additions AS a (project, domain, run_name, member,"
           " value, said_at, said_by, attempt, position)"
           " SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)"
           " ON CONFLICT (project, domain, run_name, member) DO UPDATE SET"
           " value = excluded.value, said_at = excluded.said_at, said_by = excluded.said_by,"
           " attempt = excluded.attempt, position = excluded.position"
           " WHERE (excluded.said_at, excluded.said_by, excluded.attempt, excluded.position)"
           " < (a.said_at, a.said_by, a.attempt, a.position)"
           " RETURNING project, domain, run_name, member, value),"
           " labels AS (SELECT t.project, t.domain, t.run_name, l.key || ':' || l.value AS label"
           " FROM taken t CROSS JOIN LATERAL json_each_text(t.value::json) l"
           " WHERE t.member = 'labels'),"
           " gone AS (DELETE FROM run_labels l USING taken t WHERE t.member = 'labels'"
           " AND l.project = ANY (ARRAY[t.project]) AND l.domain = t.domain"
           " AND l.run_name = t.run_name"
           " AND NOT EXISTS (SELECT FROM labels n WHERE n.project = l.project"
           " AND n.domain = l.domain AND n.run_name = l.run_name AND n.label = l.label OFFSET 0)),"
           " put AS (INSERT INTO run_labels (project, domain, run_name, label, shown_at)"
           " SELECT n.*, r.shown_at FROM labels n" LOOKED_UP(
               "runs", "r", IS_RUN_OF("r", "n")) " ON CONFLICT DO NOTHING)"
                                                 " SELECT WHERE false",
    .parameter_count = 9,
    .types = add_to_runs_types,
};

void add_additions_to_runs(struct pg_calls *calls, const struct run_key *runs,
                           const struct run_addition_row *rows, size_t count)
{
    struct pg_parameters *parameters = pg_calls_add(calls, &add_to_runs_statement);

    BIND_RUN(parameters, count, runs[rows[i].run]);
    BIND_TEXT(parameters, count, run_addition_name(rows[i].addition));
    BIND_TEXT(parameters, count, rows[i].value);
    BIND_TIME(parameters, count, rows[i].updated_us);
    BIND_TEXT(parameters, count, rows[i].name);
    BIND_INT4(parameters, count, rows[i].order.attempt);
    BIND_INT8(parameters, count, rows[i].order.position);
}

static const Oid notify_types[] = {PG_TEXT_ARRAY};

/* Every transaction below the snapshot's xmin has ended before this one commits, and notifications
 * come in the order of the commits: who hears this one has heard all of theirs. */
#define NOTIFY                                                                                     \
    "SELECT pg_notify(" PG_CHANNEL ", k.payload || pg_snapshot_xmin(pg_current_snapshot())::text)" \
    " FROM unnest($1) AS k(payload)"

const struct pg_statement notify_statement = {
    .name = "notify",
    .sql = NOTIFY,
    .parameter_count = 1,
    .types = notify_types,
};

/* A transaction that has changed something has a number. */
static const struct pg_statement notify_change_statement = {
    .name = "notify_change",
    .sql = NOTIFY " WHERE pg_current_xact_id_if_assigned() IS NOT NULL",
    .parameter_count = 1,
    .types = notify_types,
};

/* What PostgreSQL lets a payload have, less the horizon. */
enum { PAYLOAD_SIZE = 8000 - 20, NEWS_SIZE = RUN_PATH_SIZE + 24 };

/* What is said of one run, terminated; its length. */
static size_t run_news(const struct run_key *run, int64_t revision, char out[static NEWS_SIZE])
{
    return (size_t)snprintf(out, NEWS_SIZE,
                            "%s" NEWS_SEPARATOR "%s" NEWS_SEPARATOR "%s" NEWS_SEPARATOR
                            "%lld" NEWS_SEPARATOR,
                            run->project, run->domain, run->run_name, (long long)revision);
}

/* One payload, or as few as hold them: each costs the server, and each session that listens. */
static void add_news(struct pg_calls *calls, const struct pg_statement *statement,
                     const struct run_key *runs, const struct run_row *rows, size_t count)
{
    struct pg_parameters *parameters = pg_calls_add(calls, statement);
    char payload[PAYLOAD_SIZE], news[NEWS_SIZE];
    size_t length = 0;

    pg_array_begin(parameters, PG_TEXT);
    for (size_t i = 0; i < count; i++) {
        size_t more = run_news(&runs[rows[i].run], rows[i].state.revision, news);

        if (length + more >= sizeof payload) {
            pg_array_bytes(parameters, payload, length);
            length = 0;
        }
        memcpy(payload + length, news, more);
        length += more;
    }
    if (length > 0)
        pg_array_bytes(parameters, payload, length);
    pg_array_end(parameters);
}

void add_notify(struct pg_calls *calls, const struct run_key *runs, const struct run_row *rows,
                size_t count)
{
    add_news(calls, &notify_statement, runs, rows, count);
}

void add_notify_change(struct pg_calls *calls, const struct run_key *run)
{
    const struct run_row row = {.run = 0};

    add_news(calls, &notify_change_statement, run, &row, 1);
}
