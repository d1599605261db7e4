/* Which runs changed, and what they are now: for the watch of the list of runs.
 *
 * Time is counted in transaction ids (64 bits, they never wrap): a row has the id of the
 * transaction that changed it last. Ids are given out at the first write, not at the commit, so
 * what is visible at a moment is: every committed transaction below `all_below`, none from
 * `none_from` on, and some between them (PostgreSQL: pg_current_snapshot). Who has read everything
 * of a moment asks for what changed since its `all_below`: he may get some of it again, and misses
 * nothing.
 *
 * The calls answer as those of sql/action_repo.h. */
#ifndef RUNTREE_SQL_CHANGED_RUNS_H
#define RUNTREE_SQL_CHANGED_RUNS_H

#include "sql/action_repo.h"

struct database_moment {
    int64_t all_below;
    int64_t none_from;
};

struct changed_run {
    struct run_key key;
    int64_t xid;           /* of the transaction that changed or deleted it */
    const struct run *run; /* NULL: there is none (any more) */
};

typedef void changed_run_fn(void *arg, const struct changed_run *changed);

/* `moment` is that of the read, NULL unless the outcome is REPO_OK. */
typedef void changed_runs_end_fn(void *arg, enum repo_outcome outcome, const char *message,
                                 const struct database_moment *moment);

/* The runs with these keys, one call of on_run for each. */
int changed_runs_by_key(struct action_repo *repo, const struct run_key *keys, size_t count,
                        changed_run_fn *on_run, changed_runs_end_fn *on_end, void *arg);

/* The runs that a transaction from `xid` on changed or deleted, at most `limit`, in no order. With
 * a limit of 0 only the moment is read. */
int changed_runs_since(struct action_repo *repo, int64_t xid, int32_t limit, changed_run_fn *on_run,
                       changed_runs_end_fn *on_end, void *arg);

#endif
