#include "sql/action_repo.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sql/pg_reader.h"
#include "sql/rows.h"

struct action_repo {
    struct pg_reader *reader;
    struct pg_reader_events reader_events;
};

/* One call under way. `on_row` is the statement's own decoding. */
struct repo_call {
    void (*on_row)(const struct repo_call *call, const PGresult *result, int row);
    void (*on_rows)(struct repo_call *call, const PGresult *result); /* instead, of all at once */
    union {
        repo_run_fn *run;
        repo_listed_run_fn *listed_run;
        repo_action_fn *action;
        repo_listed_action_fn *listed_action;
        repo_event_fn *event;
        repo_project_fn *project;
        repo_changed_fn *changed;
        repo_changes_fn *changes;
    } fn;
    bool is_out_of_memory;
    struct repo_client client;
    repo_end_fn *on_end;
    void *arg;
};

struct action_repo *action_repo_new(uv_loop_t *loop, const struct action_repo_options *options,
                                    const struct action_repo_events *events, void *arg)
{
    const struct pg_reader_options reader_options = {.url = options->url,
                                                     .connections = options->connections,
                                                     .waiting_max = options->reads_max,
                                                     .read_max_ms = options->read_max_ms};
    struct action_repo *repo = calloc(1, sizeof *repo);

    if (repo == NULL)
        return NULL;
    repo->reader_events.on_ready = events->on_ready;
    repo->reader_events.on_lost = events->on_lost;
    repo->reader = pg_reader_new(loop, &reader_options, &repo->reader_events, arg);
    if (repo->reader == NULL) {
        free(repo);
        return NULL;
    }
    return repo;
}

struct pg_reader *action_repo_reader(struct action_repo *repo)
{
    return repo->reader;
}

void action_repo_stop(struct action_repo *repo)
{
    pg_reader_stop(repo->reader);
}

void action_repo_free(struct action_repo *repo)
{
    if (repo != NULL)
        pg_reader_free(repo->reader);
    free(repo);
}

bool action_repo_is_ready(const struct action_repo *repo)
{
    return pg_reader_is_ready(repo->reader);
}

size_t action_repo_connections_ready(const struct action_repo *repo)
{
    return pg_reader_connections_ready(repo->reader);
}

uint32_t action_repo_timeline(const struct action_repo *repo)
{
    return pg_reader_timeline(repo->reader);
}

size_t action_repo_queued(const struct action_repo *repo)
{
    return pg_reader_queued(repo->reader);
}

static void on_result(void *arg, size_t statement, const PGresult *result)
{
    struct repo_call *call = arg;
    int rows = PQntuples(result);

    (void)statement;
    if (call->on_rows != NULL) {
        call->on_rows(call, result);
        return;
    }
    for (int row = 0; row < rows; row++)
        call->on_row(call, result, row);
}

enum repo_outcome repo_outcome_of(const struct pg_end *end)
{
    if (end->outcome == PG_OK)
        return REPO_OK;
    if (end->outcome == PG_LOST)
        return REPO_LOST;
    return strcmp(end->sqlstate, "57014") == 0 ? REPO_CANCELLED : REPO_REFUSED;
}

static void on_end(void *arg, const struct pg_end *end)
{
    struct repo_call *call = arg;
    enum repo_outcome outcome = repo_outcome_of(end);

    if (call->is_out_of_memory)
        outcome = REPO_LOST;
    call->on_end(call->arg, outcome, call->is_out_of_memory ? "out of memory" : end->message);
    free(call);
}

/* Takes the sets of parameters over. */
static int run_calls(struct action_repo *repo, const struct pg_statement *statement,
                     struct pg_parameters *sets, size_t count, const struct repo_call *template)
{
    struct repo_call *call = malloc(sizeof *call);
    int status = -ENOMEM;

    if (call != NULL) {
        *call = *template;
        status = pg_reader_query(repo->reader, statement, sets, count,
                                 (struct pg_read_client){call->client.is_wanted, call->client.arg},
                                 on_result, on_end, call);
    }
    if (status < 0)
        free(call);
    for (size_t i = 0; i < count; i++)
        pg_parameters_free(&sets[i]);
    return status;
}

static int run_call(struct action_repo *repo, const struct pg_statement *statement,
                    struct pg_parameters *parameters, const struct repo_call *template)
{
    return run_calls(repo, statement, parameters, 1, template);
}

static void on_run_row(const struct repo_call *call, const PGresult *result, int row)
{
    struct run run;

    run_from_row(result, row, 0, &run);
    call->fn.run(call->arg, &run);
}

static void on_action_row(const struct repo_call *call, const PGresult *result, int row)
{
    struct action action;

    action_from_row(result, row, 0, &action);
    call->fn.action(call->arg, &action);
}

/* As an array of numbers; NULL for any. */
static void bind_phases(struct pg_parameters *parameters, uint32_t phases)
{
    if (phases == 0) {
        pg_bind_text(parameters, NULL);
        return;
    }
    pg_array_begin(parameters, PG_INT2);
    for (int phase = 1; phase < PHASE_SLOTS; phase++)
        if ((phases & UINT32_C(1) << phase) != 0)
            pg_array_int2(parameters, (int16_t)phase);
    pg_array_end(parameters);
}

/* The patterns of what may be read, as two arrays of projects and domains; two NULLs for all. */
static void bind_readable(struct pg_parameters *parameters, const struct access *access)
{
    if (access_allows_all(access, ACCESS_READ)) {
        pg_bind_text(parameters, NULL);
        pg_bind_text(parameters, NULL);
        return;
    }
    pg_array_begin(parameters, PG_TEXT);
    for (size_t i = 0; i < access->count; i++)
        if ((access->grants[i].rights & ACCESS_READ) != 0)
            pg_array_text(parameters, access->grants[i].project);
    pg_array_end(parameters);
    pg_array_begin(parameters, PG_TEXT);
    for (size_t i = 0; i < access->count; i++)
        if ((access->grants[i].rights & ACCESS_READ) != 0)
            pg_array_text(parameters, access->grants[i].domain);
    pg_array_end(parameters);
}

/* Says the same as access_allows. */
#define IS_READABLE(projects, domains)                                                             \
    "(" projects "::text[] IS NULL OR EXISTS (SELECT FROM unnest(" projects "::text[], " domains   \
    "::text[]) AS p (project, domain) WHERE p.project IN ('*', r.project)"                         \
    " AND p.domain IN ('*', r.domain)))"

#define NUMBER_TEXT(number) #number
#define AS_TEXT(number) NUMBER_TEXT(number)

#define PAGE_BYTES AS_TEXT(REPO_PAGE_BYTES)
#define ROWS_LOOKED_AT AS_TEXT(REPO_ROWS_LOOKED_AT)
#define RUNS_COUNTED AS_TEXT(REPO_RUNS_COUNTED)

/* A page of a list, that never costs more than its bounds, whatever its filter finds. `looked_at`
 * is a query of the rows behind the cursor, of which only so many as may be looked at are read in
 * `order`, which an index gives; `matches` whether a row is listed. The last one looked at comes in
 * any case, to go on behind it. `bytes` is what a row weighs. */
#define PAGE(columns, matches, bytes, looked_at, order, limit)                                     \
    "SELECT " columns ", r.matches, r.is_followed OR r.looked = " ROWS_LOOKED_AT                   \
    " FROM (SELECT r.*, row_number() OVER w AS place, lead(true, 1, false) OVER w AS is_followed," \
    " sum(" bytes ") OVER w - (" bytes ") AS bytes_before"                                         \
    " FROM (SELECT r.* FROM (SELECT r.*, row_number() OVER (ORDER BY " order ") AS looked,"        \
    " " matches " AS matches FROM (" looked_at " ORDER BY " order " LIMIT " ROWS_LOOKED_AT         \
    ") r) r WHERE r.matches OR r.looked = " ROWS_LOOKED_AT " ORDER BY " order " LIMIT " limit      \
    " + 1) r WINDOW w AS (ORDER BY " order ")) r"                                                  \
    " WHERE r.place <= " limit " AND r.bytes_before < " PAGE_BYTES " ORDER BY r.place"

static struct page_row page_row_of(const PGresult *result, int row, int column)
{
    return (struct page_row){.is_listed = pg_bool(result, row, column),
                             .goes_on = pg_bool(result, row, column + 1)};
}

static const Oid list_runs_types[] = {PG_TEXT,        PG_TEXT,       PG_INT2_ARRAY, PG_TEXT,
                                      PG_TIMESTAMPTZ, PG_TEXT,       PG_TEXT,       PG_TEXT,
                                      PG_INT4,        PG_TEXT_ARRAY, PG_TEXT_ARRAY};

/* The runs of a domain, of a project, or all, from the newest or behind a cursor: each has an index
 * and a statement of its own. A run's texts are short: a page needs no bound in bytes. */
#define LIST_RUNS(statement, conditions)                                                           \
    {                                                                                              \
        .name = (statement),                                                                       \
        .sql = PAGE(                                                                               \
            RUN_COLUMNS,                                                                           \
            "(($2::text IS NULL OR r.domain = $2) AND ($3::int2[] IS NULL OR r.phase = ANY ($3))"  \
            " AND ($4::text IS NULL OR"                                                            \
            "  position(lower($4 COLLATE \"C\") IN lower(r.run_name COLLATE \"C\")) > 0)"          \
            " AND " IS_READABLE("$10", "$11") ")",                                                 \
            "0", "SELECT r.* FROM runs r WHERE r.first_seen_at > '-infinity'" conditions,          \
            "r.first_seen_at DESC, r.project DESC, r.domain DESC, r.run_name DESC", "$9"),         \
        .parameter_count = 11, .types = list_runs_types,                                           \
    }
#define OF_PROJECT " AND r.project = $1"
#define OF_DOMAIN OF_PROJECT " AND r.domain = $2"
#define BEHIND                                                                                     \
    " AND r.first_seen_at <= $5"                                                                   \
    " AND (r.first_seen_at, r.project, r.domain, r.run_name) < ($5, $6, $7, $8)"

static const struct pg_statement list_runs_statements[3][2] = {
    {LIST_RUNS("list_runs", ""), LIST_RUNS("list_runs_behind", BEHIND)},
    {LIST_RUNS("list_runs_of_project", OF_PROJECT),
     LIST_RUNS("list_runs_of_project_behind", OF_PROJECT BEHIND)},
    {LIST_RUNS("list_runs_of_domain", OF_DOMAIN),
     LIST_RUNS("list_runs_of_domain_behind", OF_DOMAIN BEHIND)},
};

static const struct pg_statement *list_runs_statement(const struct run_query *query)
{
    int scope = query->project == NULL ? 0 : query->domain == NULL ? 1 : 2;

    return &list_runs_statements[scope][query->after.key.project != NULL];
}

/* The key behind which no run of `seen_us` is that was not looked at: of the run before, if it is
 * of the same microsecond, else none of them has been listed. */
static struct run_key key_to_go_on_behind(const PGresult *result, int row, int64_t seen_us)
{
    struct run before = {.first_seen_us = TIME_NONE};

    if (row > 0)
        run_from_row(result, row - 1, 0, &before);
    return before.first_seen_us == seen_us ? before.key : (struct run_key){"~", "~", "~"};
}

static void on_listed_run_row(const struct repo_call *call, const PGresult *result, int row)
{
    struct page_row place = page_row_of(result, row, RUN_COLUMN_COUNT);
    struct run run;

    run_from_row(result, row, 0, &run);
    if (!place.is_listed)
        run.key = key_to_go_on_behind(result, row, run.first_seen_us);
    call->fn.listed_run(call->arg, &run, place);
}

int action_repo_list_runs(struct action_repo *repo, const struct run_query *query,
                          repo_listed_run_fn *on_run, repo_end_fn *end, void *arg)
{
    struct pg_parameters parameters = {0};

    pg_bind_text(&parameters, query->project);
    pg_bind_text(&parameters, query->domain);
    bind_phases(&parameters, query->phases);
    pg_bind_text(&parameters, query->name);
    pg_bind_time(&parameters, query->after.first_seen_us);
    pg_bind_run(&parameters, &query->after.key);
    pg_bind_int4(&parameters, query->limit);
    bind_readable(&parameters, query->access);
    return run_call(repo, list_runs_statement(query), &parameters,
                    &(struct repo_call){.on_row = on_listed_run_row,
                                        .fn.listed_run = on_run,
                                        .client = query->client,
                                        .on_end = end,
                                        .arg = arg});
}

static const Oid run_types[] = {PG_TEXT, PG_TEXT, PG_TEXT};

static const struct pg_statement get_run_statement = {
    .name = "get_run",
    .sql = "SELECT " RUN_COLUMNS " FROM runs r"
           " WHERE r.project = $1 AND r.domain = $2 AND r.run_name = $3",
    .parameter_count = 3,
    .types = run_types,
};

int action_repo_get_run(struct action_repo *repo, const struct run_key *key, repo_run_fn *on_run,
                        repo_end_fn *end, void *arg)
{
    struct pg_parameters parameters = {0};

    pg_bind_run(&parameters, key);
    return run_call(
        repo, &get_run_statement, &parameters,
        &(struct repo_call){.on_row = on_run_row, .fn.run = on_run, .on_end = end, .arg = arg});
}

/* What is left of a deleted run, until it is removed, is nobody's to see. */
#define RUN_EXISTS                                                                                 \
    "EXISTS (SELECT FROM runs x WHERE x.project = $1 AND x.domain = $2 AND x.run_name = $3)"

static const Oid list_actions_types[] = {PG_TEXT, PG_TEXT, PG_TEXT, PG_INT4, PG_INT2_ARRAY,
                                         PG_TEXT, PG_TEXT, PG_INT4, PG_TEXT};

/* The rule of filter_matches (model/filter.h), that NULL contains nothing. */
#define CONTAINS(text, part)                                                                       \
    "coalesce(position(" part " IN lower((" text ") COLLATE \"C\")) > 0, false)"
#define FIRST_LINE_OF_ERROR "substring(r.error_info::json->>'message' FROM '[^\\n\\r]+')"
#define MATCHES(phases, name, error)                                                               \
    "((" phases "::int2[] IS NULL OR r.phase = ANY (" phases "))"                                  \
    " AND (" name "::text IS NULL OR " CONTAINS("r.name", name) " OR " CONTAINS(                   \
        "r.task_name",                                                                             \
        name) " OR " CONTAINS("r.short_name",                                                      \
                              name) " OR " CONTAINS("r.action_group",                              \
                                                    name) ")"                                      \
                                                          " AND (" error                           \
                                                          "::text IS NULL OR " CONTAINS(           \
                                                              FIRST_LINE_OF_ERROR, error) "))"

static const struct pg_statement list_actions_statement = {
    .name = "list_actions",
    .sql = PAGE(
        ACTION_COLUMNS_OF("r"),
        "(" MATCHES("$5", "$6", "$9") " AND ($7::text IS NULL OR coalesce(r.parent = $7, false)))",
        "coalesce(octet_length(r.error_info), 0) + coalesce(octet_length(r.action_group), 0)"
        " + coalesce(octet_length(r.task_name), 0)"
        " + coalesce(octet_length(r.short_name), 0)",
        "SELECT r.* FROM actions r"
        " WHERE r.project = $1 AND r.domain = $2 AND r.run_name = $3 AND r.ordinal > $4"
        " AND r.ordinal > 0 AND " RUN_EXISTS,
        "r.ordinal", "$8"),
    .parameter_count = 9,
    .types = list_actions_types,
};

static void bind_substring(struct pg_parameters *parameters, const char *text)
{
    pg_bind_text(parameters, text[0] == '\0' ? NULL : text);
}

static void on_listed_action_row(const struct repo_call *call, const PGresult *result, int row)
{
    struct action action;

    action_from_row(result, row, 0, &action);
    call->fn.listed_action(call->arg, &action, page_row_of(result, row, ACTION_COLUMN_COUNT));
}

int action_repo_list_actions(struct action_repo *repo, const struct action_query *query,
                             repo_listed_action_fn *on_action, repo_end_fn *end, void *arg)
{
    struct pg_parameters parameters = {0};

    pg_bind_run(&parameters, &query->run);
    pg_bind_int4(&parameters, query->after_ordinal);
    bind_phases(&parameters, query->filter.phases);
    bind_substring(&parameters, query->filter.name);
    pg_bind_text(&parameters, query->parent);
    pg_bind_int4(&parameters, query->limit);
    bind_substring(&parameters, query->filter.error);
    return run_call(repo, &list_actions_statement, &parameters,
                    &(struct repo_call){.on_row = on_listed_action_row,
                                        .fn.listed_action = on_action,
                                        .client = query->client,
                                        .on_end = end,
                                        .arg = arg});
}

static const Oid get_action_types[] = {PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT};

static const struct pg_statement get_action_statement = {
    .name = "get_action",
    .sql = "SELECT " ACTION_COLUMNS " FROM actions a"
           " WHERE a.project = $1 AND a.domain = $2 AND a.run_name = $3 AND a.name = $4"
           " AND " RUN_EXISTS,
    .parameter_count = 4,
    .types = get_action_types,
};

int action_repo_get_action(struct action_repo *repo, const struct run_key *run, const char *name,
                           repo_action_fn *on_action, repo_end_fn *end, void *arg)
{
    struct pg_parameters parameters = {0};

    pg_bind_run(&parameters, run);
    pg_bind_text(&parameters, name);
    return run_call(
        repo, &get_action_statement, &parameters,
        &(struct repo_call){
            .on_row = on_action_row, .fn.action = on_action, .on_end = end, .arg = arg});
}

#define EVENT_COLUMNS                                                                              \
    "e.attempt, e.phase, e.version, e.revision, e.updated_at, e.recorded_at, e.info"

#define OF_ACTION "e.project = $1 AND e.domain = $2 AND e.run_name = $3 AND e.name = $4"

static const Oid list_events_types[] = {PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_INT4,
                                        PG_INT4, PG_INT2, PG_INT4, PG_INT4};

/* Every event is listed, so none is looked at in vain. */
static const struct pg_statement list_events_statement = {
    .name = "list_events",
    .sql = "SELECT " EVENT_COLUMNS ", e.is_followed, 0"
           " FROM (SELECT e.*, row_number() OVER w AS place, lead(true, 1, false) OVER w AS "
           "is_followed,"
           " sum(octet_length(e.info)) OVER w - octet_length(e.info) AS bytes_before"
           " FROM (SELECT " EVENT_COLUMNS " FROM action_events e WHERE " OF_ACTION
           " AND e.attempt <= $5 AND (e.attempt, e.phase, e.version) > ($6, $7, $8)"
           " AND " RUN_EXISTS " ORDER BY e.attempt, e.phase, e.version LIMIT $9 + 1) e"
           " WINDOW w AS (ORDER BY e.attempt, e.phase, e.version)) e"
           " WHERE e.place <= $9 AND e.bytes_before < " PAGE_BYTES " ORDER BY e.place",
    .parameter_count = 9,
    .types = list_events_types,
};

static void on_event_row(const struct repo_call *call, const PGresult *result, int row)
{
    const struct stored_event event = {
        .attempt = pg_int4(result, row, 0),
        .phase = phase_from_number(pg_int2(result, row, 1)),
        .version = pg_int4(result, row, 2),
        .revision = pg_int8(result, row, 3),
        .updated_us = pg_time(result, row, 4),
        .recorded_us = pg_time(result, row, 5),
        .info = {.bytes = pg_text(result, row, 6), .length = (size_t)PQgetlength(result, row, 6)},
        .goes_on = pg_bool(result, row, 7),
        .attempt_before = pg_int4(result, row, 8),
    };

    call->fn.event(call->arg, &event);
}

static int run_event_call(struct action_repo *repo, const struct pg_statement *statement,
                          struct pg_parameters *parameters, struct repo_client client,
                          repo_event_fn *on_event, repo_end_fn *end, void *arg)
{
    return run_call(repo, statement, parameters,
                    &(struct repo_call){.on_row = on_event_row,
                                        .fn.event = on_event,
                                        .client = client,
                                        .on_end = end,
                                        .arg = arg});
}

/* One attempt is a range of the key, too. */
int action_repo_list_events(struct action_repo *repo, const struct event_query *query,
                            repo_event_fn *on_event, repo_end_fn *end, void *arg)
{
    struct pg_parameters parameters = {0};
    bool is_behind = query->after.attempt >= query->attempt;

    pg_bind_run(&parameters, &query->run);
    pg_bind_text(&parameters, query->name);
    pg_bind_int4(&parameters, query->attempt == 0 ? INT32_MAX : query->attempt);
    pg_bind_int4(&parameters, is_behind ? query->after.attempt : query->attempt);
    pg_bind_int2(&parameters, is_behind ? (int16_t)query->after.phase : 0);
    pg_bind_int4(&parameters, is_behind ? query->after.version : 0);
    pg_bind_int4(&parameters, query->limit);
    return run_event_call(repo, &list_events_statement, &parameters, query->client, on_event, end,
                          arg);
}

static const Oid attempt_events_types[] = {PG_TEXT, PG_TEXT,       PG_TEXT,       PG_TEXT,
                                           PG_INT4, PG_INT2_ARRAY, PG_INT4_ARRAY, PG_INT8_ARRAY,
                                           PG_INT4, PG_INT4};

#define ATTEMPT                                                                                    \
    "(SELECT max(e.attempt) FROM action_events e WHERE " OF_ACTION " AND e.attempt <= $5)"
#define ATTEMPT_BEFORE                                                                             \
    "(SELECT max(e.attempt) FROM action_events e WHERE " OF_ACTION " AND e.attempt < " ATTEMPT ")"

/* Each phase's events are a range of the key. Their positions are made as event_order_of makes
 * them. */
static const struct pg_statement attempt_events_statement = {
    .name = "attempt_events",
    .sql = "SELECT " EVENT_COLUMNS ", e.is_followed, coalesce(" ATTEMPT_BEFORE ", 0)"
           " FROM (SELECT e.*, row_number() OVER w AS place, lead(true, 1, false) OVER w AS "
           "is_followed,"
           " sum(octet_length(e.info)) OVER w - octet_length(e.info) AS bytes_before"
           " FROM (SELECT e.*, p.first + e.version::int8 * 16 AS position"
           " FROM unnest($6, $7, $8) AS p(phase, version_max, first)"
           " CROSS JOIN LATERAL (SELECT " EVENT_COLUMNS " FROM action_events e"
           " WHERE " OF_ACTION " AND e.attempt = " ATTEMPT
           " AND e.phase = p.phase AND e.version <= p.version_max"
           " ORDER BY e.version DESC LIMIT $9 + 1) e"
           " ORDER BY position DESC LIMIT $9 + 1) e"
           " WINDOW w AS (ORDER BY e.position DESC)) e"
           " WHERE e.place <= $9 AND e.bytes_before < $10 ORDER BY e.place",
    .parameter_count = 10,
    .types = attempt_events_types,
};
static_assert(POSITIONS_PER_VERSION == 16, "the statement has it");

/* The phases that have a version before the position, that version, and the phase's first position.
 */
static void bind_phases_before(struct pg_parameters *parameters, int64_t position)
{
    pg_array_begin(parameters, PG_INT2);
    for (int phase = PHASE_QUEUED; phase < PHASE_SLOTS; phase++)
        if (event_version_before((enum phase)phase, position) >= 0)
            pg_array_int2(parameters, (int16_t)phase);
    pg_array_end(parameters);
    pg_array_begin(parameters, PG_INT4);
    for (int phase = PHASE_QUEUED; phase < PHASE_SLOTS; phase++)
        if (event_version_before((enum phase)phase, position) >= 0)
            pg_array_int4(parameters, event_version_before((enum phase)phase, position));
    pg_array_end(parameters);
    pg_array_begin(parameters, PG_INT8);
    for (int phase = PHASE_QUEUED; phase < PHASE_SLOTS; phase++)
        if (event_version_before((enum phase)phase, position) >= 0)
            pg_array_int8(parameters, event_order_of(0, (enum phase)phase, 0).position);
    pg_array_end(parameters);
}

int action_repo_attempt_events(struct action_repo *repo, const struct attempt_query *query,
                               repo_event_fn *on_event, repo_end_fn *end, void *arg)
{
    struct pg_parameters parameters = {0};

    pg_bind_run(&parameters, &query->run);
    pg_bind_text(&parameters, query->name);
    pg_bind_int4(&parameters, query->attempt);
    bind_phases_before(&parameters, query->before);
    pg_bind_int4(&parameters, query->limit);
    pg_bind_int4(&parameters, query->bytes_max);
    return run_event_call(repo, &attempt_events_statement, &parameters, query->client, on_event,
                          end, arg);
}

static const Oid attempt_beginnings_types[] = {PG_TEXT, PG_TEXT, PG_TEXT,
                                               PG_TEXT, PG_INT4, PG_INT2_ARRAY};

static const struct pg_statement attempt_beginnings_statement = {
    .name = "attempt_beginnings",
    .sql = "SELECT e.attempt, e.phase, e.version, e.revision, e.updated_at, e.recorded_at, '',"
           " false, 0 FROM unnest($6) AS p(phase)"
           " CROSS JOIN LATERAL (SELECT " EVENT_COLUMNS " FROM action_events e"
           " WHERE " OF_ACTION " AND e.attempt = $5 AND e.phase = p.phase"
           " ORDER BY e.version LIMIT 1) e",
    .parameter_count = 6,
    .types = attempt_beginnings_types,
};

int action_repo_attempt_beginnings(struct action_repo *repo, const struct attempt_query *query,
                                   repo_event_fn *on_event, repo_end_fn *end, void *arg)
{
    struct pg_parameters parameters = {0};

    pg_bind_run(&parameters, &query->run);
    pg_bind_text(&parameters, query->name);
    pg_bind_int4(&parameters, query->attempt);
    pg_array_begin(&parameters, PG_INT2);
    for (int phase = PHASE_QUEUED; phase < PHASE_SLOTS; phase++)
        pg_array_int2(&parameters, (int16_t)phase);
    pg_array_end(&parameters);
    return run_event_call(repo, &attempt_beginnings_statement, &parameters, query->client, on_event,
                          end, arg);
}

static const Oid list_projects_types[] = {PG_TEXT, PG_TEXT, PG_INT4, PG_TEXT_ARRAY, PG_TEXT_ARRAY};

#define PAIR_IS_READABLE IS_READABLE("$4", "$5")

/* One index look-up from each pair to the next, and one count of each that is listed. */
static const struct pg_statement list_projects_statement = {
    .name = "list_projects",
    .sql = "WITH RECURSIVE pairs(project, domain) AS ("
           "(SELECT r.project, r.domain FROM runs r"
           " WHERE (r.project, r.domain) > (coalesce($1, ''), coalesce($2, ''))"
           " ORDER BY r.project, r.domain LIMIT 1)"
           " UNION ALL SELECT n.project, n.domain FROM pairs p CROSS JOIN LATERAL ("
           "SELECT r.project, r.domain FROM runs r"
           " WHERE (r.project, r.domain) > (p.project, p.domain)"
           " ORDER BY r.project, r.domain LIMIT 1) n)"
           " SELECT r.project, r.domain, c.runs, true, r.found > r.place"
           " FROM (SELECT r.*, row_number() OVER (ORDER BY r.project, r.domain) AS place,"
           " count(*) OVER () AS found FROM ("
           "SELECT r.project, r.domain FROM pairs r WHERE " PAIR_IS_READABLE " LIMIT $3 + 1) r) r"
           " CROSS JOIN LATERAL (SELECT count(*) AS runs FROM (SELECT FROM runs c"
           " WHERE c.project = r.project AND c.domain = r.domain LIMIT " RUNS_COUNTED ") c) c"
           " WHERE r.place <= $3 ORDER BY r.place",
    .parameter_count = 5,
    .types = list_projects_types,
};

static void on_project_row(const struct repo_call *call, const PGresult *result, int row)
{
    call->fn.project(call->arg, pg_text(result, row, 0), pg_text(result, row, 1),
                     pg_int8(result, row, 2), page_row_of(result, row, 3));
}

int action_repo_list_projects(struct action_repo *repo, const struct project_query *query,
                              repo_project_fn *on_project, repo_end_fn *end, void *arg)
{
    struct pg_parameters parameters = {0};

    pg_bind_text(&parameters, query->after_project);
    pg_bind_text(&parameters, query->after_domain);
    pg_bind_int4(&parameters,
                 query->limit < REPO_PROJECTS_PAGE ? query->limit : REPO_PROJECTS_PAGE);
    bind_readable(&parameters, query->access);
    return run_call(repo, &list_projects_statement, &parameters,
                    &(struct repo_call){.on_row = on_project_row,
                                        .fn.project = on_project,
                                        .client = query->client,
                                        .on_end = end,
                                        .arg = arg});
}

/* One statement has one snapshot: the run's revision and the actions belong together. */
#define RUN_AND_ACTIONS(run_columns, actions)                                                      \
    "SELECT " run_columns ", c.* FROM runs r LEFT JOIN LATERAL (" actions ") c ON true"            \
    " WHERE r.project = $1 AND r.domain = $2 AND r.run_name = $3"

static const Oid changes_types[] = {PG_TEXT, PG_TEXT, PG_TEXT, PG_INT8};

/* OFFSET 0 keeps the planner from joining in any other way than this: the names that changed, then
 * each by its key; ORDER BY keeps it from taking the names in the order of the primary key instead,
 * which it would read from the run's first event on. An event with a revision is of an action in
 * the tree. */
static const struct pg_statement changes_statement = {
    .name = "changes_since",
    .sql =
        RUN_AND_ACTIONS(RUN_COLUMNS, "SELECT a.* FROM (SELECT DISTINCT c.name FROM ("
                                     "SELECT e.name FROM action_events e"
                                     " WHERE e.project = $1 AND e.domain = $2 AND e.run_name = $3"
                                     " AND e.revision > $4 AND e.revision > 0"
                                     " ORDER BY e.revision OFFSET 0) c OFFSET 0) n"
                                     " CROSS JOIN LATERAL (SELECT " ACTION_COLUMNS " FROM actions a"
                                     " WHERE a.project = $1 AND a.domain = $2 AND a.run_name = $3"
                                     " AND a.name = n.name OFFSET 0) a") " ORDER BY c.ordinal",
    .parameter_count = 4,
    .types = changes_types,
};

static const Oid tree_part_types[] = {PG_TEXT, PG_TEXT, PG_TEXT, PG_INT4, PG_INT4};

#define TREE_PART_RUN_COLUMNS "r.incarnation, r.revision, r.action_count"
enum { TREE_PART_RUN_COLUMN_COUNT = 3 };

/* No ORDER BY around it: the plan keeps the order of the inner one, and sorting what is sorted
 * would cost as much as reading it. on_tree_part_rows sees to it that it is so. */
static const struct pg_statement tree_part_statement = {
    .name = "tree_part",
    .sql = RUN_AND_ACTIONS(TREE_PART_RUN_COLUMNS,
                           "SELECT " ACTION_COLUMNS " FROM actions a"
                           " WHERE a.project = $1 AND a.domain = $2 AND a.run_name = $3"
                           " AND a.ordinal > $4 AND a.ordinal > 0 ORDER BY a.ordinal LIMIT $5"),
    .parameter_count = 5,
    .types = tree_part_types,
};

static int compare_ordinals(const void *a, const void *b)
{
    int32_t left = ((const struct action *)a)->ordinal, right = ((const struct action *)b)->ordinal;

    return (left > right) - (left < right);
}

static void sort_by_ordinal(struct action *actions, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (actions[i - 1].ordinal > actions[i].ordinal) {
            qsort(actions, count, sizeof *actions, compare_ordinals);
            return;
        }
    }
}

/* Hands out a run and its actions, whose columns begin with column `first`. */
static void hand_out(struct repo_call *call, const struct run *run, const PGresult *result,
                     int first)
{
    size_t count = PQgetisnull(result, 0, first) ? 0 : (size_t)PQntuples(result);
    struct action *actions = malloc((count + 1) * sizeof *actions);

    if (actions == NULL) {
        call->is_out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < count; i++)
        action_from_row(result, (int)i, first, &actions[i]);
    sort_by_ordinal(actions, count);
    call->fn.changes(call->arg, run, actions, count);
    free(actions);
}

static void on_changes_rows(struct repo_call *call, const PGresult *result)
{
    struct run run;

    if (PQntuples(result) == 0) {
        call->fn.changes(call->arg, NULL, NULL, 0);
        return;
    }
    run_from_row(result, 0, 0, &run);
    hand_out(call, &run, result, RUN_COLUMN_COUNT);
}

static void on_tree_part_rows(struct repo_call *call, const PGresult *result)
{
    struct run run = {0};

    if (PQntuples(result) == 0) {
        call->fn.changes(call->arg, NULL, NULL, 0);
        return;
    }
    snprintf(run.incarnation, sizeof run.incarnation, "%s", pg_text(result, 0, 0));
    run.revision = pg_int8(result, 0, 1);
    run.action_count = pg_int4(result, 0, 2);
    hand_out(call, &run, result, TREE_PART_RUN_COLUMN_COUNT);
}

int action_repo_changes_since(struct action_repo *repo, const struct run_key *run, int64_t revision,
                              repo_changes_fn *on_changes, repo_end_fn *end, void *arg)
{
    struct pg_parameters parameters = {0};

    pg_bind_run(&parameters, run);
    pg_bind_int8(&parameters, revision);
    return run_call(
        repo, &changes_statement, &parameters,
        &(struct repo_call){
            .on_rows = on_changes_rows, .fn.changes = on_changes, .on_end = end, .arg = arg});
}

int action_repo_tree_parts(struct action_repo *repo, const struct run_key *run,
                           int32_t after_ordinal, int32_t part_size, size_t parts,
                           repo_changes_fn *on_part, repo_end_fn *end, void *arg)
{
    struct pg_parameters sets[TREE_PARTS_MAX] = {0};

    assert(parts >= 1 && parts <= TREE_PARTS_MAX);
    for (size_t i = 0; i < parts; i++) {
        pg_bind_run(&sets[i], run);
        pg_bind_int4(&sets[i], after_ordinal + (int32_t)i * part_size);
        pg_bind_int4(&sets[i], part_size);
    }
    return run_calls(
        repo, &tree_part_statement, sets, parts,
        &(struct repo_call){
            .on_rows = on_tree_part_rows, .fn.changes = on_part, .on_end = end, .arg = arg});
}

static const Oid moved_types[] = {PG_TEXT_ARRAY, PG_TEXT_ARRAY, PG_TEXT_ARRAY, PG_TEXT_ARRAY,
                                  PG_INT8_ARRAY};

static const struct pg_statement moved_statement = {
    .name = "moved_runs",
    .sql = "SELECT k.i - 1 FROM unnest($1, $2, $3, $4, $5) WITH ORDINALITY"
           " AS k(project, domain, run_name, incarnation, revision, i)"
           " LEFT JOIN runs r ON r.project = k.project AND r.domain = k.domain"
           " AND r.run_name = k.run_name"
           " WHERE coalesce(r.incarnation, '') <> k.incarnation"
           " OR coalesce(r.revision, 0) <> k.revision",
    .parameter_count = 5,
    .types = moved_types,
};

static void on_changed_row(const struct repo_call *call, const PGresult *result, int row)
{
    call->fn.changed(call->arg, (size_t)pg_int8(result, row, 0));
}

int action_repo_changed_runs(struct action_repo *repo, const struct run_position *runs,
                             size_t count, repo_changed_fn *on_changed, repo_end_fn *end, void *arg)
{
    struct pg_parameters parameters = {0};

    BIND_RUN(&parameters, count, runs[i].key);
    BIND_TEXT(&parameters, count, runs[i].incarnation);
    BIND_INT8(&parameters, count, runs[i].revision);
    return run_call(
        repo, &moved_statement, &parameters,
        &(struct repo_call){
            .on_row = on_changed_row, .fn.changed = on_changed, .on_end = end, .arg = arg});
}
