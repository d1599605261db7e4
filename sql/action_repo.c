#include "sql/action_repo.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "model/list_filter.h"
#include "sql/pg_connection.h"
#include "sql/pg_value.h"
#include "sql/rows.h"

enum {
    READ_TIMEOUT_MS = 30000,
    PATIENCE_MS = 2000, /* reads wait so long for a broken connection to come back */
    WATCH_MS = 200,     /* how often those that run are looked after */
    CALLS_MAX = TREE_PARTS_MAX,
};

static const char query_canceled[] = "57014";

/* One read, that waits or runs: the statement once with each set of parameters, in order and in one
 * exchange, so that Postgres works on the next while the result of the last is looked at. */
struct repo_call {
    /* What it is; `on_row` is the statement's own decoding. */
    void (*on_row)(const struct repo_call *call, const PGresult *result, int row);
    void (*on_rows)(struct repo_call *call, const PGresult *result); /* instead, of all at once */
    union {
        repo_run_fn *run;
        repo_listed_run_fn *listed_run;
        repo_action_fn *action;
        repo_listed_action_fn *listed_action;
        repo_event_fn *event;
        repo_run_event_fn *run_event;
        repo_project_fn *project;
        repo_changed_fn *changed;
        repo_changes_fn *changes;
        changed_run_fn *changed_run;
    } fn;
    struct repo_client client;
    repo_end_fn *on_end;
    changed_runs_end_fn *on_moment_end; /* instead of on_end; the moment is read first */
    void *arg;

    struct repo_call *prev, *next;
    const struct pg_statement *statement;
    struct database_moment moment;
    bool is_out_of_memory;
    uint64_t started_ms;
    bool is_cancelled; /* by us, not for another */
    int tries;         /* that were cut off */
    size_t handed_out; /* results, perhaps by a try that was cut off behind them */
    size_t count;
    struct pg_parameters sets[];
};

struct repo_connection {
    struct action_repo *repo;
    struct pg_connection *connection;
    bool is_usable; /* there is a session */
    struct repo_call *running;
};

struct action_repo {
    uv_loop_t *loop;
    struct repo_connection connections[REPO_CONNECTIONS_MAX];
    size_t count;
    uint32_t timeline;
    struct repo_call *waiting; /* first in, first out */
    size_t waiting_count, reads_max;
    uint64_t read_max_ms;
    uv_timer_t patience; /* runs while no connection is there and reads still wait for one */
    bool is_patient;
    uv_timer_t watch; /* runs while reads do */
    const struct action_repo_events *events;
    void *arg;
};

static void run_waiting(struct action_repo *repo);

static void free_call(struct repo_call *call)
{
    for (size_t i = 0; i < call->count; i++)
        pg_parameters_free(&call->sets[i]);
    free(call);
}

static enum repo_outcome outcome_of(const struct pg_end *end)
{
    if (end->outcome == PG_OK)
        return REPO_OK;
    /* 08: what broke is a connection of the server's, to the node that has the rows. */
    if (end->outcome == PG_LOST || strncmp(end->sqlstate, "08", 2) == 0)
        return REPO_LOST;
    return strcmp(end->sqlstate, query_canceled) == 0 ? REPO_CANCELLED : REPO_REFUSED;
}

static void end_call(struct repo_call *call, const struct pg_end *end)
{
    enum repo_outcome outcome = call->is_out_of_memory ? REPO_LOST : outcome_of(end);
    const char *message = call->is_out_of_memory ? "out of memory" : end->message;

    if (call->on_moment_end != NULL)
        call->on_moment_end(call->arg, outcome, message, outcome == REPO_OK ? &call->moment : NULL);
    else
        call->on_end(call->arg, outcome, message);
    free_call(call);
}

static bool is_wanted(const struct repo_call *call)
{
    return call->client.is_wanted == NULL || call->client.is_wanted(call->client.arg);
}

static void wait_again(struct action_repo *repo, struct repo_call *call)
{
    DL_PREPEND(repo->waiting, call);
    repo->waiting_count++;
}

/* -------- one read -------- */

static void take_moment(struct repo_call *call, const PGresult *result)
{
    call->moment.all_below = pg_int8(result, 0, 0);
    call->moment.none_from = pg_int8(result, 0, 1);
}

/* Each result is handed out once, whatever becomes of the try that it came from. */
static void on_result(void *arg, size_t statement, const PGresult *result)
{
    const struct repo_connection *self = arg;
    struct repo_call *call = self->running;
    int rows = PQntuples(result);

    if (call->on_moment_end != NULL && statement == 0) {
        if (call->handed_out == 0)
            take_moment(call, result);
        return;
    }
    statement -= call->on_moment_end != NULL;
    if (statement < call->handed_out)
        return;
    call->handed_out = statement + 1;
    if (call->on_rows != NULL) {
        call->on_rows(call, result);
        return;
    }
    for (int row = 0; row < rows; row++)
        call->on_row(call, result, row);
}

/* A read that was cut off is done again: it has changed nothing, and had its time still. So is one
 * that was cancelled for the one before it, whose end was faster than the call to cancel it. */
static void on_end(void *arg, const struct pg_end *end)
{
    struct repo_connection *self = arg;
    struct action_repo *repo = self->repo;
    struct repo_call *call = self->running;
    bool is_cut_off = end->outcome == PG_LOST ||
                      (end->outcome == PG_REFUSED && strcmp(end->sqlstate, query_canceled) == 0 &&
                       uv_now(repo->loop) - call->started_ms < READ_TIMEOUT_MS / 2);

    self->running = NULL;
    self->is_usable = end->outcome != PG_LOST;
    if (is_cut_off && !call->is_cancelled && call->tries++ == 0) {
        wait_again(repo, call);
        if (end->outcome == PG_LOST)
            return; /* on_lost follows */
    } else {
        end_call(call, end);
    }
    run_waiting(repo);
}

static void watch_running(uv_timer_t *timer)
{
    struct action_repo *repo = timer->data;
    uint64_t now_ms = uv_now(repo->loop);
    bool is_running = false;

    for (size_t i = 0; i < repo->count; i++) {
        struct repo_call *call = repo->connections[i].running;
        bool is_late =
            call != NULL && repo->read_max_ms > 0 && now_ms - call->started_ms >= repo->read_max_ms;

        is_running |= call != NULL;
        if (call == NULL || !(is_late || !is_wanted(call)))
            continue;
        call->is_cancelled = true;
        pg_exchange_cancel(repo->connections[i].connection);
    }
    if (!is_running)
        uv_timer_stop(timer);
}

/* A statement of its own, and the first: of a cluster of servers, transactions are counted by the
 * one that the session is with, and a statement's snapshot is from the one that has the tables. */
static const struct pg_statement moment_statement = {
    .name = "moment",
    .sql = "SELECT pg_snapshot_xmin(s)::text::int8, pg_snapshot_xmax(s)::text::int8"
           " FROM pg_current_snapshot() AS s",
};

static void run(struct repo_connection *self, struct repo_call *call)
{
    struct action_repo *repo = self->repo;
    struct pg_call calls[CALLS_MAX];
    size_t count = 0;

    self->running = call;
    call->started_ms = uv_now(repo->loop);
    call->moment.timeline = repo->timeline;
    if (call->on_moment_end != NULL)
        calls[count++] = (struct pg_call){&moment_statement, NULL};
    for (size_t i = 0; i < call->count; i++)
        calls[count++] = (struct pg_call){call->statement, &call->sets[i]};
    pg_exchange(self->connection, calls, count, on_result, on_end, self);
    if (!uv_is_active((uv_handle_t *)&repo->watch))
        uv_timer_start(&repo->watch, watch_running, WATCH_MS, WATCH_MS);
}

static struct repo_connection *find_idle(struct action_repo *repo)
{
    for (size_t i = 0; i < repo->count; i++)
        if (repo->connections[i].is_usable && repo->connections[i].running == NULL)
            return &repo->connections[i];
    return NULL;
}

/* Those that nobody wants any more are dropped on the way. */
static void run_waiting(struct action_repo *repo)
{
    static const struct pg_end dropped = {
        .outcome = PG_REFUSED, .sqlstate = "57014", .message = "nobody waits for it any more"};
    struct repo_connection *idle;
    struct repo_call *call;

    while ((call = repo->waiting) != NULL && (idle = find_idle(repo)) != NULL) {
        DL_DELETE(repo->waiting, call);
        repo->waiting_count--;
        if (is_wanted(call))
            run(idle, call);
        else
            end_call(call, &dropped);
    }
}

/* -------- connections that come and go -------- */

static void on_ready(void *arg)
{
    struct repo_connection *self = arg;
    struct action_repo *repo = self->repo;

    self->is_usable = true;
    if (self == &repo->connections[0])
        repo->timeline = pg_connection_timeline(self->connection);
    uv_timer_stop(&repo->patience);
    repo->is_patient = true;
    if (repo->events != NULL && repo->events->on_ready != NULL)
        repo->events->on_ready(repo->arg);
    run_waiting(repo);
}

/* Reads that wait are told: who asks can ask again, who must know keeps asking. */
static void give_up_waiting(struct action_repo *repo, const char *why)
{
    struct repo_call *waiting = repo->waiting, *call, *next;
    const struct pg_end end = {.outcome = PG_LOST, .message = why};

    repo->is_patient = false;
    repo->waiting = NULL;
    repo->waiting_count = 0;
    DL_FOREACH_SAFE (waiting, call, next)
        end_call(call, &end);
}

static void on_patience_ended(uv_timer_t *timer)
{
    give_up_waiting(timer->data, "the database is away");
}

static void on_lost(void *arg, const char *why)
{
    struct repo_connection *self = arg;
    struct action_repo *repo = self->repo;

    self->is_usable = false;
    if (repo->is_patient && action_repo_connections_ready(repo) == 0 &&
        !uv_is_active((uv_handle_t *)&repo->patience))
        uv_timer_start(&repo->patience, on_patience_ended, PATIENCE_MS, 0);
    if (repo->events != NULL)
        repo->events->on_lost(repo->arg, why);
    run_waiting(repo);
}

/* -------- life -------- */

static void close_connections(struct action_repo *repo)
{
    for (size_t i = 0; i < repo->count; i++)
        pg_connection_close(repo->connections[i].connection, NULL);
}

/* Each read is a look-up by an index, in the order that it gives, of which a page takes the first
 * rows. A planner with the statistics of a table that was just filled reads and sorts it all, and
 * compiles a statement for which that is forbidden, but not possible to avoid. Left the choice, it
 * also plans most statements anew for each set of parameters, which takes longer than to run them;
 * a plan that is kept must hold for tables that have grown, so none may begin by reading one. */
static const struct pg_statement plan_by_index = {
    .sql = "SELECT set_config('plan_cache_mode', " PLAN_CACHE_MODE ", false),"
           " set_config(name, 'off', false) FROM (VALUES ('enable_seqscan'), ('enable_sort'),"
           " ('enable_bitmapscan'), ('enable_hashjoin'), ('enable_mergejoin'),"
           " ('enable_material'), ('jit')) AS s (name)"};

static int open_connections(struct action_repo *repo, const struct action_repo_options *options)
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

    for (; repo->count < options->connections; repo->count++) {
        struct repo_connection *self = &repo->connections[repo->count];

        self->repo = repo;
        self->connection =
            pg_connection_new(repo->loop, &connection_options, &connection_events, self);
        if (self->connection == NULL)
            return -ENOMEM;
    }
    return 0;
}

struct action_repo *action_repo_new(uv_loop_t *loop, const struct action_repo_options *options,
                                    const struct action_repo_events *events, void *arg)
{
    struct action_repo *repo = calloc(1, sizeof *repo);

    if (repo == NULL)
        return NULL;
    repo->loop = loop;
    repo->reads_max = options->reads_max;
    repo->read_max_ms = options->read_max_ms;
    repo->events = events;
    repo->arg = arg;
    repo->is_patient = true;
    if (open_connections(repo, options) < 0) {
        close_connections(repo);
        free(repo);
        return NULL;
    }
    uv_timer_init(loop, &repo->patience);
    uv_timer_init(loop, &repo->watch);
    repo->patience.data = repo->watch.data = repo;
    return repo;
}

void action_repo_stop(struct action_repo *repo)
{
    for (size_t i = 0; i < repo->count; i++) {
        if (repo->connections[i].running != NULL)
            wait_again(repo, repo->connections[i].running);
        repo->connections[i].running = NULL;
    }
    give_up_waiting(repo, "the service is shutting down");
    uv_close((uv_handle_t *)&repo->patience, NULL);
    uv_close((uv_handle_t *)&repo->watch, NULL);
    close_connections(repo);
}

void action_repo_free(struct action_repo *repo)
{
    free(repo);
}

size_t action_repo_connections_ready(const struct action_repo *repo)
{
    size_t ready = 0;

    for (size_t i = 0; i < repo->count; i++)
        ready += repo->connections[i].is_usable;
    return ready;
}

bool action_repo_is_ready(const struct action_repo *repo)
{
    return action_repo_connections_ready(repo) == repo->count;
}

uint32_t action_repo_timeline(const struct action_repo *repo)
{
    return repo->timeline;
}

size_t action_repo_queued(const struct action_repo *repo)
{
    return repo->waiting_count;
}

/* -------- the statements -------- */

/* Takes the sets of parameters over. The answers are those of all calls. */
static int run_calls(struct action_repo *repo, const struct pg_statement *statement,
                     struct pg_parameters *sets, size_t count, const struct repo_call *template)
{
    struct repo_connection *idle = repo->waiting == NULL ? find_idle(repo) : NULL;
    struct repo_call *call = NULL;
    bool has_failed = false;
    int status = 0;

    for (size_t i = 0; i < count; i++)
        has_failed |= sets[i].bytes.failed;
    if (!repo->is_patient)
        status = -ENOTCONN;
    else if (idle == NULL && repo->waiting_count >= repo->reads_max)
        status = -EAGAIN;
    else if (has_failed || (call = malloc(sizeof *call + count * sizeof *sets)) == NULL)
        status = -ENOMEM;
    if (status < 0) {
        for (size_t i = 0; i < count; i++)
            pg_parameters_free(&sets[i]);
        return status;
    }
    *call = *template;
    call->statement = statement;
    call->count = count;
    memcpy(call->sets, sets, count * sizeof *sets);
    if (idle != NULL) {
        run(idle, call);
    } else {
        DL_APPEND(repo->waiting, call);
        repo->waiting_count++;
    }
    return 0;
}

static int run_call(struct action_repo *repo, const struct pg_statement *statement,
                    struct pg_parameters *parameters, const struct repo_call *template)
{
    return run_calls(repo, statement, parameters, 1, template);
}

static void on_run_row(const struct repo_call *call, const PGresult *result, int row)
{
    struct run run;

    shown_run_from_row(result, row, 0, &run);
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
                                      PG_INT4,        PG_TEXT_ARRAY, PG_TEXT_ARRAY, PG_TEXT_ARRAY};

/* The rule of filter_matches (model/filter.h), that NULL contains nothing. */
#define CONTAINS(text, part)                                                                       \
    "coalesce(position(" part " IN lower((" text ") COLLATE \"C\")) > 0, false)"

/* Its name or title does: list_filter_covers. OFFSET 0 keeps the planner from gathering the titles
 * of all runs first. */
#define RUN_IS_CALLED(part)                                                                        \
    "(" CONTAINS(                                                                                  \
        "r.run_name",                                                                              \
        part) " OR EXISTS (SELECT FROM run_additions x"                                            \
              " WHERE x.project = r.project AND x.domain = r.domain AND x.run_name = r.run_name"   \
              " AND x.member = 'title' AND " CONTAINS("x.value::json #>> '{}'",                    \
                                                      part) " OFFSET 0))"

#define RUN_BYTES                                                                                  \
    "coalesce((SELECT sum(octet_length(x.value)) FROM run_additions x WHERE x.project = r.project" \
    " AND x.domain = r.domain AND x.run_name = r.run_name), 0)"

/* A page of the rows of `looked_at`, which an index gives in the order of the list. */
#define RUNS_PAGE(statement, also, looked_at)                                                      \
    {                                                                                              \
        .name = (statement),                                                                       \
        .sql = PAGE(                                                                               \
            SHOWN_RUN_COLUMNS,                                                                     \
            "(($2::text IS NULL OR r.domain = $2) AND ($3::int2[] IS NULL OR r.phase = ANY ($3))"  \
            " AND ($4::text IS NULL OR " RUN_IS_CALLED("$4") ")"                                   \
                                                             " AND " IS_READABLE("$10", "$11")     \
                                                                 also ")",                         \
            RUN_BYTES, looked_at,                                                                  \
            "r.shown_at DESC, r.project DESC, r.domain DESC, r.run_name DESC", "$9"),              \
        .parameter_count = 12, .types = list_runs_types,                                           \
    }

/* The runs of a domain, of a project, or all, from the newest or behind a cursor: each has an index
 * and a statement of its own. */
#define LIST_RUNS(statement, conditions)                                                           \
    RUNS_PAGE(statement, "", "SELECT r.* FROM runs r WHERE r.shown_at > '-infinity'" conditions)
#define OF_PROJECT " AND r.project = $1"
#define OF_DOMAIN OF_PROJECT " AND r.domain = $2"
#define BEHIND_OF(r)                                                                               \
    " AND " r ".shown_at <= $5"                                                                    \
    " AND (" r ".shown_at, " r ".project, " r ".domain, " r ".run_name) < ($5, $6, $7, $8)"
#define BEHIND BEHIND_OF("r")

/* The runs that have the first of the labels, of which those are listed that have the others. */
#define LIST_LABELED_RUNS(statement, conditions)                                                   \
    RUNS_PAGE(statement,                                                                           \
              " AND ($1::text IS NULL OR r.project = $1)"                                          \
              " AND NOT EXISTS (SELECT FROM unnest($12) AS w(label) WHERE NOT EXISTS ("            \
              "SELECT FROM run_labels l WHERE l.project = r.project AND l.domain = r.domain"       \
              " AND l.run_name = r.run_name AND l.label = w.label))",                              \
              "SELECT r.* FROM (SELECT l.project, l.domain, l.run_name FROM run_labels l"          \
              " WHERE l.label = ($12)[1]" conditions                                               \
              " ORDER BY l.shown_at DESC, l.project DESC, l.domain DESC, l.run_name DESC"          \
              " LIMIT " ROWS_LOOKED_AT ") l" LOOKED_UP("runs", "r", IS_RUN_OF("r", "l")))

enum { OF_LABEL = 3 };

static const struct pg_statement list_runs_statements[][2] = {
    {LIST_RUNS("list_runs", ""), LIST_RUNS("list_runs_behind", BEHIND)},
    {LIST_RUNS("list_runs_of_project", OF_PROJECT),
     LIST_RUNS("list_runs_of_project_behind", OF_PROJECT BEHIND)},
    {LIST_RUNS("list_runs_of_domain", OF_DOMAIN),
     LIST_RUNS("list_runs_of_domain_behind", OF_DOMAIN BEHIND)},
    [OF_LABEL] = {LIST_LABELED_RUNS("list_labeled_runs", ""),
                  LIST_LABELED_RUNS("list_labeled_runs_behind", BEHIND_OF("l"))},
};

static bool has_labels(const struct run_query *query)
{
    return query->labels != NULL && query->labels[0] != '\0';
}

static const struct pg_statement *list_runs_statement(const struct run_query *query)
{
    int scope = has_labels(query)        ? OF_LABEL
                : query->project == NULL ? 0
                : query->domain == NULL  ? 1
                                         : 2;

    return &list_runs_statements[scope][query->after.key.project != NULL];
}

static void bind_labels(struct pg_parameters *parameters, const struct run_query *query)
{
    pg_array_begin(parameters, PG_TEXT);
    for (const char *label = has_labels(query) ? query->labels : ""; *label != '\0';
         label = list_filter_next_label(label))
        pg_array_text(parameters, label);
    pg_array_end(parameters);
}

/* The key behind which no run of `shown_us` is that was not looked at: of the run before, if it is
 * of the same microsecond, else none of them has been listed. */
static struct run_key key_to_go_on_behind(const PGresult *result, int row, int64_t shown_us)
{
    struct run before = {.created_us = TIME_NONE, .first_seen_us = TIME_NONE};

    if (row > 0)
        shown_run_from_row(result, row - 1, 0, &before);
    return run_shown_us(&before) == shown_us ? before.key : (struct run_key){"~", "~", "~"};
}

static void on_listed_run_row(const struct repo_call *call, const PGresult *result, int row)
{
    struct page_row place = page_row_of(result, row, SHOWN_RUN_COLUMN_COUNT);
    struct run run;

    shown_run_from_row(result, row, 0, &run);
    if (!place.is_listed)
        run.key = key_to_go_on_behind(result, row, run_shown_us(&run));
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
    pg_bind_time(&parameters, query->after.shown_us);
    pg_bind_run(&parameters, &query->after.key);
    pg_bind_int4(&parameters, query->limit);
    bind_readable(&parameters, query->access);
    bind_labels(&parameters, query);
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
    .sql = "SELECT " SHOWN_RUN_COLUMNS " FROM runs r"
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

static const Oid open_ends_types[] = {PG_TIMESTAMPTZ, PG_TEXT, PG_TEXT, PG_TEXT, PG_INT4};

static const struct pg_statement open_ends_statement = {
    .name = "open_ends",
    .sql = "SELECT " RUN_COLUMNS ", NULL::text, NULL::text FROM open_ends o" LOOKED_UP(
        "runs", "r",
        IS_RUN_OF(
            "r",
            "o") " AND r.last_event_at < $1") " WHERE (o.project, o.domain, o.run_name) > ($2, $3, "
                                              "$4)"
                                              " ORDER BY o.project, o.domain, o.run_name LIMIT $5",
    .parameter_count = 5,
    .types = open_ends_types,
};

int action_repo_list_open_ends(struct action_repo *repo, int64_t before_us,
                               const struct run_key *after, int32_t limit, repo_run_fn *on_run,
                               repo_end_fn *end, void *arg)
{
    struct pg_parameters parameters = {0};
    const struct run_key first = {"", "", ""};

    pg_bind_time(&parameters, before_us);
    pg_bind_run(&parameters, after->project == NULL ? &first : after);
    pg_bind_int4(&parameters, limit);
    return run_call(
        repo, &open_ends_statement, &parameters,
        &(struct repo_call){.on_row = on_run_row, .fn.run = on_run, .on_end = end, .arg = arg});
}

/* What is left of a deleted run, until it is removed, is nobody's to see. */
#define RUN_EXISTS                                                                                 \
    "EXISTS (SELECT FROM runs x WHERE x.project = $1 AND x.domain = $2 AND x.run_name = $3)"

static const Oid list_actions_types[] = {PG_TEXT, PG_TEXT, PG_TEXT, PG_INT4, PG_INT2_ARRAY,
                                         PG_TEXT, PG_TEXT, PG_INT4, PG_TEXT};

#define FIRST_LINE_OF_ERROR "substring(r.error_info::json->>'message' FROM '[^\\n\\r]+')"
#define TITLE "r.additions::json #>> '{title,2}'"
#define ANY_NAME_CONTAINS(part)                                                                    \
    CONTAINS("r.name", part)                                                                       \
    " OR " CONTAINS("r.task_name", part) " OR " CONTAINS("r.short_name", part) " OR " CONTAINS(    \
        "r.action_group", part) " OR " CONTAINS(TITLE, part)
#define MATCHES(phases, name, error)                                                               \
    "((" phases "::int2[] IS NULL OR r.phase = ANY (" phases "))"                                  \
    " AND (" name "::text IS NULL OR " ANY_NAME_CONTAINS(                                          \
        name) ")"                                                                                  \
              " AND (" error "::text IS NULL OR " CONTAINS(FIRST_LINE_OF_ERROR, error) "))"

#define ACTION_BYTES                                                                               \
    "coalesce(octet_length(r.additions), 0) + coalesce(octet_length(r.error_info), 0) + "          \
    "coalesce(octet_length(r.action_group), 0)"                                                    \
    " + coalesce(octet_length(r.task_name), 0) + coalesce(octet_length(r.short_name), 0)"

static const struct pg_statement list_actions_statement = {
    .name = "list_actions",
    .sql = PAGE(
        ACTION_COLUMNS_OF("r"),
        "(" MATCHES("$5", "$6", "$9") " AND ($7::text IS NULL OR coalesce(r.parent = $7, false)))",
        "coalesce(octet_length(r.additions), 0) + coalesce(octet_length(r.error_info), 0) + "
        "coalesce(octet_length(r.action_group), 0)"
        " + coalesce(octet_length(r.task_name), 0)"
        " + coalesce(octet_length(r.short_name), 0)",
        "SELECT r.* FROM actions r"
        " WHERE r.project = $1 AND r.domain = $2 AND r.run_name = $3 AND r.ordinal > $4"
        " AND r.ordinal > 0 AND NOT r.removed AND " RUN_EXISTS,
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

static const Oid list_waiting_types[] = {PG_TEXT, PG_TEXT, PG_TEXT,       PG_TEXT, PG_TEXT,
                                         PG_TEXT, PG_TEXT, PG_INT2_ARRAY, PG_TEXT, PG_INT4};

#define OF_WAITING                                                                                 \
    "SELECT a.* FROM actions a WHERE a.project = $1 AND a.domain = $2 AND a.run_name = $3"         \
    " AND a.ordinal = 0 AND " RUN_EXISTS
#define LIST_WAITING(statement, looked_at)                                                         \
    {                                                                                              \
        .name = (statement),                                                                       \
        .sql = PAGE(ACTION_COLUMNS_OF("r"), MATCHES("$8", "$7", "$9"), ACTION_BYTES, looked_at,    \
                    "r.parent, r.name", "$10"),                                                    \
        .parameter_count = 10, .types = list_waiting_types,                                        \
    }

#define FIRST_OF_WAITING(condition)                                                                \
    "(" OF_WAITING condition " ORDER BY a.parent, a.name LIMIT " ROWS_LOOKED_AT ")"

/* Both parts are ranges of one index; what is sorted then is bounded. */
static const struct pg_statement list_waiting_statement = LIST_WAITING(
    "list_waiting",
    "SELECT r.* FROM (" FIRST_OF_WAITING(
        " AND a.parent IS NOT NULL AND (a.parent, a.name) > ($4, "
        "$5)") " UNION ALL " FIRST_OF_WAITING(" AND a.parent IS NULL AND a.name > $6") ") r");
static const struct pg_statement list_waiting_for_statement = LIST_WAITING(
    "list_waiting_for", "SELECT r.* FROM (" OF_WAITING
                        " AND a.parent = $4 AND a.name > $5 AND $6::text IS NOT NULL) r");

int action_repo_list_waiting(struct action_repo *repo, const struct waiting_query *query,
                             repo_listed_action_fn *on_action, repo_end_fn *end, void *arg)
{
    struct pg_parameters parameters = {0};
    bool is_start = query->after.name == NULL;
    bool is_of_unnamed = !is_start && query->after.parent == NULL;

    pg_bind_run(&parameters, &query->run);
    if (query->parent != NULL)
        pg_bind_text(&parameters, query->parent);
    else
        pg_bind_text(&parameters, is_start ? "" : query->after.parent);
    pg_bind_text(&parameters, is_start ? "" : query->after.name);
    pg_bind_text(&parameters, is_of_unnamed ? query->after.name : "");
    bind_substring(&parameters, query->filter.name);
    bind_phases(&parameters, query->filter.phases);
    bind_substring(&parameters, query->filter.error);
    pg_bind_int4(&parameters, query->limit);
    return run_call(repo,
                    query->parent == NULL ? &list_waiting_statement : &list_waiting_for_statement,
                    &parameters,
                    &(struct repo_call){.on_row = on_listed_action_row,
                                        .fn.listed_action = on_action,
                                        .client = query->client,
                                        .on_end = end,
                                        .arg = arg});
}

static const Oid chains_above_types[] = {PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT_ARRAY};

#define LINK_CALLED(name)                                                                          \
    "(SELECT a.name, a.parent_named, a.parent, a.ordinal, a.level FROM actions a"                  \
    " WHERE a.project = $1 AND a.domain = $2 AND a.run_name = $3 AND a.name = " name               \
    " OFFSET 0) a"

/* UNION, not UNION ALL: of a circle each comes once. */
static const struct pg_statement chains_above_statement = {
    .name = "chains_above",
    .sql = "WITH RECURSIVE above (name, parent_named, parent, ordinal, level) AS ("
           "SELECT a.* FROM unnest($4) AS k (name) CROSS JOIN LATERAL " LINK_CALLED(
               "k.name") " UNION SELECT a.* FROM above b CROSS JOIN "
                         "LATERAL " LINK_CALLED("b.parent") " WHERE b.ordinal <= 0) "
                                                            "SELECT * FROM above "
                                                            "LIMIT " ROWS_LOOKED_AT,
    .parameter_count = 4,
    .types = chains_above_types,
};

static void on_link_row(const struct repo_call *call, const PGresult *result, int row)
{
    const struct action link = {
        .name = pg_text(result, row, 0),
        .parent_named = pg_bool(result, row, 1),
        .parent = pg_text(result, row, 2),
        .ordinal = pg_int4(result, row, 3),
        .level = pg_int4(result, row, 4),
    };

    call->fn.action(call->arg, &link);
}

int action_repo_chains_above(struct action_repo *repo, const struct run_key *run,
                             const char *const *names, size_t count, repo_action_fn *on_action,
                             repo_end_fn *end, void *arg)
{
    struct pg_parameters parameters = {0};

    pg_bind_run(&parameters, run);
    BIND_TEXT(&parameters, count, names[i]);
    return run_call(repo, &chains_above_statement, &parameters,
                    &(struct repo_call){
                        .on_row = on_link_row, .fn.action = on_action, .on_end = end, .arg = arg});
}

static const Oid get_action_types[] = {PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT};

static const struct pg_statement get_action_statement = {
    .name = "get_action",
    .sql = "SELECT " ACTION_COLUMNS " FROM actions a"
           " WHERE a.project = $1 AND a.domain = $2 AND a.run_name = $3 AND a.name = $4"
           " AND a.ordinal >= 0 AND " RUN_EXISTS,
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

enum { EVENT_ROW_COLUMNS = 9 };

static struct stored_event event_from_row(const PGresult *result, int row)
{
    return (struct stored_event){
        .attempt = pg_int4(result, row, 0),
        .phase = phase_from_index(pg_int2(result, row, 1)),
        .version = pg_int4(result, row, 2),
        .revision = pg_int8(result, row, 3),
        .updated_us = pg_time(result, row, 4),
        .recorded_us = pg_time(result, row, 5),
        .info = {.bytes = pg_text(result, row, 6), .length = (size_t)PQgetlength(result, row, 6)},
        .goes_on = pg_bool(result, row, 7),
        .attempt_before = pg_int4(result, row, 8),
    };
}

static void on_event_row(const struct repo_call *call, const PGresult *result, int row)
{
    const struct stored_event event = event_from_row(result, row);

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

static const Oid run_events_types[] = {PG_TEXT, PG_TEXT, PG_TEXT, PG_INT8,        PG_INT4,
                                       PG_INT2, PG_INT4, PG_INT8, PG_TIMESTAMPTZ, PG_INT4};

#define IN_ORDER "e.revision, e.attempt, e.phase, e.version"

/* Those of one revision are of one action, and few: only they are sorted. */
static const struct pg_statement run_events_statement = {
    .name = "run_events",
    .sql = "SELECT e.attempt, e.phase, e.version, e.revision, e.updated_at, e.recorded_at, e.info,"
           " e.is_followed, 0, e.name, a.parent, CASE WHEN coalesce(a.abort_revision, 0) <= $8"
           " AND ($9 IS NULL OR (a.abort_requested::json->>'at')::timestamptz <= $9)"
           " THEN a.abort_requested END, coalesce(a.abort_revision, 0)"
           " FROM (SELECT e.*, row_number() OVER w AS place, lead(true, 1, false) OVER w AS "
           "is_followed,"
           " sum(coalesce(octet_length(e.info), 0)) OVER w - coalesce(octet_length(e.info), 0)"
           " AS bytes_before"
           " FROM (SELECT e.name, e.attempt, e.phase, e.version, e.revision, e.updated_at,"
           " e.recorded_at, CASE WHEN $9::timestamptz IS NULL OR e.updated_at <= $9 THEN e.info END"
           " AS info FROM action_events e"
           " WHERE e.project = $1 AND e.domain = $2 AND e.run_name = $3 AND e.revision > 0"
           " AND e.revision >= $4 AND e.revision <= $8 AND (" IN_ORDER ") > ($4, $5, $6, $7)"
           " ORDER BY " IN_ORDER " LIMIT $10 + 1) e WINDOW w AS (ORDER BY " IN_ORDER ")) e"
           " LEFT JOIN LATERAL (SELECT a.parent, a.abort_requested, a.abort_revision FROM actions a"
           " WHERE a.project = $1 AND a.domain = $2 AND a.run_name = $3 AND a.name = e.name"
           " OFFSET 0) a ON true"
           " WHERE e.place <= $10 AND e.bytes_before < " PAGE_BYTES " ORDER BY e.place",
    .parameter_count = 10,
    .types = run_events_types,
};

static void on_run_event_row(const struct repo_call *call, const PGresult *result, int row)
{
    const struct stored_event event = event_from_row(result, row);
    const struct event_action action = {
        .name = pg_text(result, row, EVENT_ROW_COLUMNS),
        .parent = pg_text(result, row, EVENT_ROW_COLUMNS + 1),
        .abort_requested = pg_text(result, row, EVENT_ROW_COLUMNS + 2),
        .abort_revision = pg_int8(result, row, EVENT_ROW_COLUMNS + 3),
    };

    call->fn.run_event(call->arg, &action, &event);
}

int action_repo_run_events(struct action_repo *repo, const struct history_query *query,
                           repo_run_event_fn *on_event, repo_end_fn *end, void *arg)
{
    struct pg_parameters parameters = {0};

    pg_bind_run(&parameters, &query->run);
    pg_bind_int8(&parameters, query->after.revision);
    pg_bind_int4(&parameters, query->after.attempt);
    pg_bind_int2(&parameters, (int16_t)query->after.phase);
    pg_bind_int4(&parameters, query->after.version);
    pg_bind_int8(&parameters, query->until_revision);
    pg_bind_time(&parameters, query->until_us);
    pg_bind_int4(&parameters, query->limit);
    return run_call(repo, &run_events_statement, &parameters,
                    &(struct repo_call){.on_row = on_run_event_row,
                                        .fn.run_event = on_event,
                                        .client = query->client,
                                        .on_end = end,
                                        .arg = arg});
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

/* One statement has one snapshot: the run's revision and the actions belong together. The run is a
 * row of its own, in columns of the actions: what a row of a big tree does not have is neither sent
 * nor read a hundred thousand times. */
#define RUN_AND_ACTIONS(actions)                                                                   \
    "WITH r AS MATERIALIZED (SELECT r.*, " WAITING_FOR " FROM runs r"                              \
    " WHERE r.project = $1 AND r.domain = $2 AND r.run_name = $3)"                                 \
    " SELECT r.incarnation, r.waiting_for, r.action_count, r.waiting_count, NULL::int2,"           \
    " NULL::int4, NULL::text, NULL::text, NULL::text, NULL::timestamptz, NULL::timestamptz,"       \
    " NULL::timestamptz, NULL::text, r.revision, NULL::text, NULL::text, NULL::bool FROM r"        \
    " UNION ALL SELECT a.* FROM r CROSS JOIN LATERAL (" actions ") a"

static const Oid changes_types[] = {PG_TEXT, PG_TEXT, PG_TEXT, PG_INT8};

/* OFFSET 0 keeps the planner from joining in any other way than this: the names that changed, then
 * each by its key; ORDER BY keeps it from taking the names in the order of the primary key instead,
 * which it would read from the run's first event on. An event with a revision is of an action in
 * the tree. */
static const struct pg_statement changes_statement = {
    .name = "changes_since",
    .sql = RUN_AND_ACTIONS("SELECT a.* FROM (SELECT DISTINCT c.name FROM ("
                           "SELECT e.name FROM action_events e"
                           " WHERE e.project = $1 AND e.domain = $2 AND e.run_name = $3"
                           " AND e.revision > $4 AND e.revision > 0"
                           " ORDER BY e.revision OFFSET 0) c UNION SELECT b.name"
                           " FROM actions b WHERE b.project = $1 AND b.domain = $2"
                           " AND b.run_name = $3 AND b.changed_by_hand > $4"
                           " OFFSET 0) n"
                           " CROSS JOIN LATERAL (SELECT " TREE_ACTION_COLUMNS " FROM actions a"
                           " WHERE a.project = $1 AND a.domain = $2 AND a.run_name = $3"
                           " AND a.name = n.name OFFSET 0) a"),
    .parameter_count = 4,
    .types = changes_types,
};

static const Oid tree_part_types[] = {PG_TEXT, PG_TEXT, PG_TEXT, PG_INT4, PG_INT4};

/* The plan keeps the order of the inner ORDER BY; on_run_and_actions sees to it that it is so. */
static const struct pg_statement tree_part_statement = {
    .name = "tree_part",
    .sql = RUN_AND_ACTIONS("SELECT " TREE_ACTION_COLUMNS " FROM actions a"
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

/* Of RUN_AND_ACTIONS. */
enum { COLUMN_PHASE = 4 };

static struct run run_beside_actions(const PGresult *result, int row)
{
    struct run run = {
        .waiting_for = pg_text(result, row, 1),
        .action_count = pg_int4(result, row, 2),
        .waiting_count = pg_int4(result, row, 3),
        .revision = pg_int8(result, row, 13),
    };

    snprintf(run.incarnation, sizeof run.incarnation, "%s", pg_text(result, row, 0));
    return run;
}

static void on_run_and_actions(struct repo_call *call, const PGresult *result)
{
    int rows = PQntuples(result);
    size_t count = 0;
    struct run run = {0};
    struct action *actions;

    if (rows == 0) {
        call->fn.changes(call->arg, NULL, NULL, 0);
        return;
    }
    actions = malloc((size_t)rows * sizeof *actions);
    if (actions == NULL) {
        call->is_out_of_memory = true;
        return;
    }
    for (int row = 0; row < rows; row++) {
        if (PQgetisnull(result, row, COLUMN_PHASE))
            run = run_beside_actions(result, row);
        else
            tree_action_from_row(result, row, 0, &actions[count++]);
    }
    sort_by_ordinal(actions, count);
    call->fn.changes(call->arg, &run, actions, count);
    free(actions);
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
            .on_rows = on_run_and_actions, .fn.changes = on_changes, .on_end = end, .arg = arg});
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
            .on_rows = on_run_and_actions, .fn.changes = on_part, .on_end = end, .arg = arg});
}

static const Oid moved_types[] = {PG_TEXT_ARRAY, PG_TEXT_ARRAY, PG_TEXT_ARRAY, PG_TEXT_ARRAY,
                                  PG_INT8_ARRAY};

static const struct pg_statement moved_statement = {
    .name = "moved_runs",
    .sql = "SELECT k.i - 1 FROM unnest($1, $2, $3, $4, $5) WITH ORDINALITY"
           " AS k(project, domain, run_name, incarnation, revision, i)" OR_NOTHING(
               "runs", "r", "k") " WHERE coalesce(r.incarnation, '') <> k.incarnation"
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

/* -------- which runs changed -------- */

/* The columns of both statements: the key, its transaction, the run. */
enum { COLUMN_KEY, COLUMN_XID = COLUMN_KEY + 3, COLUMN_RUN };

static void on_changed_run_row(const struct repo_call *call, const PGresult *result, int row)
{
    struct run run;
    struct changed_run changed = {
        .key = {.project = pg_text(result, row, COLUMN_KEY),
                .domain = pg_text(result, row, COLUMN_KEY + 1),
                .run_name = pg_text(result, row, COLUMN_KEY + 2)},
        .xid = pg_int8(result, row, COLUMN_XID),
    };

    if (PQgetisnull(result, row, COLUMN_XID)) /* deleted by hand */
        changed.xid = call->moment.none_from;
    if (!PQgetisnull(result, row, COLUMN_RUN)) {
        shown_run_from_row(result, row, COLUMN_RUN, &run);
        changed.run = &run;
    }
    call->fn.changed_run(call->arg, &changed);
}

static const Oid by_key_types[] = {PG_TEXT_ARRAY, PG_TEXT_ARRAY, PG_TEXT_ARRAY};

/* A run that was deleted by hand, without a row in deleted_runs, counts as deleted just now. */
static const struct pg_statement by_key_statement = {
    .name = "changed_runs_by_key",
    .sql = "SELECT k.project, k.domain, k.run_name, coalesce(r.changed_xid, d.deleted_xid),"
           " " SHOWN_RUN_COLUMNS
           " FROM unnest($1, $2, $3) AS k(project, domain, run_name)" OR_NOTHING("runs", "r", "k")
               OR_NOTHING("deleted_runs", "d", "k"),
    .parameter_count = 3,
    .types = by_key_types,
};

int action_repo_runs_by_key(struct action_repo *repo, const struct run_key *keys, size_t count,
                            changed_run_fn *on_run, changed_runs_end_fn *end, void *arg)
{
    struct pg_parameters parameters = {0};

    BIND_RUN(&parameters, count, keys[i]);
    return run_call(repo, &by_key_statement, &parameters,
                    &(struct repo_call){.on_row = on_changed_run_row,
                                        .fn.changed_run = on_run,
                                        .on_moment_end = end,
                                        .arg = arg});
}

static const Oid since_types[] = {PG_INT8, PG_INT4};

/* OFFSET 0 has each era looked up by its index (0004_runs_read_by_index.sql). */
static const struct pg_statement since_statement = {
    .name = "changed_runs_since",
    .sql = "SELECT r.* FROM generate_series($1 / 4096, (SELECT max(n.changed_era) FROM runs n))"
           " AS era CROSS JOIN LATERAL ("
           "SELECT r.project, r.domain, r.run_name, r.changed_xid, " SHOWN_RUN_COLUMNS
           " FROM runs r WHERE r.changed_era = era AND r.changed_xid >= $1 OFFSET 0) r"
           " UNION ALL SELECT d.project, d.domain, d.run_name,"
           " coalesce(r.changed_xid, d.deleted_xid), " SHOWN_RUN_COLUMNS
           " FROM (SELECT d.* FROM deleted_runs d WHERE d.deleted_xid >= $1"
           " ORDER BY d.deleted_xid DESC LIMIT $2) d" OR_NOTHING("runs", "r", "d") " LIMIT $2",
    .parameter_count = 2,
    .types = since_types,
};

int action_repo_runs_since(struct action_repo *repo, int64_t xid, int32_t limit,
                           changed_run_fn *on_run, changed_runs_end_fn *end, void *arg)
{
    struct pg_parameters parameters = {0};

    pg_bind_int8(&parameters, xid);
    pg_bind_int4(&parameters, limit);
    return run_call(repo, &since_statement, &parameters,
                    &(struct repo_call){.on_row = on_changed_run_row,
                                        .fn.changed_run = on_run,
                                        .on_moment_end = end,
                                        .arg = arg});
}
