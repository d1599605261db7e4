#include "sql/changed_runs.h"

#include <errno.h>
#include <stdlib.h>

#include "sql/pg_reader.h"
#include "sql/rows.h"

struct changed_runs_call {
    changed_run_fn *on_run;
    changed_runs_end_fn *on_end;
    void *arg;
    struct database_moment moment;
};

/* The columns of both statements: the moment, the key, its transaction, the run. */
enum { COLUMN_ALL_BELOW, COLUMN_NONE_FROM, COLUMN_KEY, COLUMN_XID = COLUMN_KEY + 3, COLUMN_RUN };

#define MOMENT                                                                                     \
    "(SELECT pg_snapshot_xmin(s)::text::int8, pg_snapshot_xmax(s)::text::int8"                     \
    " FROM pg_current_snapshot() AS s) AS m(all_below, none_from)"

static void on_row(const struct changed_runs_call *call, const PGresult *result, int row)
{
    struct run run;
    struct changed_run changed = {
        .key = {.project = pg_text(result, row, COLUMN_KEY),
                .domain = pg_text(result, row, COLUMN_KEY + 1),
                .run_name = pg_text(result, row, COLUMN_KEY + 2)},
        .xid = pg_int8(result, row, COLUMN_XID),
    };

    if (!PQgetisnull(result, row, COLUMN_RUN)) {
        run_from_row(result, row, COLUMN_RUN, &run);
        changed.run = &run;
    }
    call->on_run(call->arg, &changed);
}

static void on_result(void *arg, size_t statement, const PGresult *result)
{
    struct changed_runs_call *call = arg;
    int rows = PQntuples(result);

    (void)statement;
    call->moment.all_below = pg_int8(result, 0, COLUMN_ALL_BELOW);
    call->moment.none_from = pg_int8(result, 0, COLUMN_NONE_FROM);
    for (int row = 0; row < rows; row++)
        if (!PQgetisnull(result, row, COLUMN_KEY))
            on_row(call, result, row);
}

static void on_end(void *arg, const struct pg_end *end)
{
    struct changed_runs_call *call = arg;

    call->on_end(call->arg, repo_outcome_of(end), end->message,
                 end->outcome == PG_OK ? &call->moment : NULL);
    free(call);
}

/* Takes the parameters over. */
static int run_call(struct action_repo *repo, const struct pg_statement *statement,
                    struct pg_parameters *parameters, const struct changed_runs_call *template)
{
    struct changed_runs_call *call = malloc(sizeof *call);
    int status = -ENOMEM;

    if (call != NULL) {
        *call = *template;
        status = pg_reader_query(action_repo_reader(repo), statement, parameters, 1,
                                 (struct pg_read_client){0}, on_result, on_end, call);
    }
    if (status < 0)
        free(call);
    pg_parameters_free(parameters);
    return status;
}

static const Oid by_key_types[] = {PG_TEXT_ARRAY, PG_TEXT_ARRAY, PG_TEXT_ARRAY};

/* A run that was deleted by hand, without a row in deleted_runs, counts as deleted just now. */
static const struct pg_statement by_key_statement = {
    .name = "changed_runs_by_key",
    .sql = "SELECT m.all_below, m.none_from, k.project, k.domain, k.run_name,"
           " coalesce(r.changed_xid, d.deleted_xid, m.none_from), " RUN_COLUMNS " FROM " MOMENT
           " CROSS JOIN unnest($1, $2, $3) AS k(project, domain, run_name)"
           " LEFT JOIN runs r"
           " ON (r.project, r.domain, r.run_name) = (k.project, k.domain, k.run_name)"
           " LEFT JOIN deleted_runs d"
           " ON (d.project, d.domain, d.run_name) = (k.project, k.domain, k.run_name)",
    .parameter_count = 3,
    .types = by_key_types,
};

int changed_runs_by_key(struct action_repo *repo, const struct run_key *keys, size_t count,
                        changed_run_fn *on_run, changed_runs_end_fn *end, void *arg)
{
    struct pg_parameters parameters = {0};

    BIND_RUN(&parameters, count, keys[i]);
    return run_call(repo, &by_key_statement, &parameters,
                    &(struct changed_runs_call){.on_run = on_run, .on_end = end, .arg = arg});
}

static const Oid since_types[] = {PG_INT8, PG_INT4};

/* OFFSET 0 has each era looked up by its index (0004_runs_read_by_index.sql). */
static const struct pg_statement since_statement = {
    .name = "changed_runs_since",
    .sql = "SELECT m.all_below, m.none_from, c.* FROM " MOMENT " LEFT JOIN LATERAL ("
           "SELECT r.* FROM generate_series($1 / 4096, m.none_from / 4096) AS era"
           " CROSS JOIN LATERAL ("
           "SELECT r.project, r.domain, r.run_name, r.changed_xid, " RUN_COLUMNS
           " FROM runs r WHERE r.changed_era = era AND r.changed_xid >= $1 OFFSET 0) r"
           " UNION ALL SELECT d.project, d.domain, d.run_name,"
           " coalesce(r.changed_xid, d.deleted_xid), " RUN_COLUMNS
           " FROM (SELECT d.* FROM deleted_runs d WHERE d.deleted_xid >= $1"
           " ORDER BY d.deleted_xid DESC LIMIT $2) d LEFT JOIN runs r"
           " ON (r.project, r.domain, r.run_name) = (d.project, d.domain, d.run_name)"
           " LIMIT $2) AS c ON true",
    .parameter_count = 2,
    .types = since_types,
};

int changed_runs_since(struct action_repo *repo, int64_t xid, int32_t limit, changed_run_fn *on_run,
                       changed_runs_end_fn *end, void *arg)
{
    struct pg_parameters parameters = {0};

    pg_bind_int8(&parameters, xid);
    pg_bind_int4(&parameters, limit);
    return run_call(repo, &since_statement, &parameters,
                    &(struct changed_runs_call){.on_run = on_run, .on_end = end, .arg = arg});
}
