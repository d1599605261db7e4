/* What is read from the database, besides what the writer reads (Flyte 2: ActionRepo): with a queue
 * and connections of its own, so that a big read never delays a write.
 *
 * A call hands out its rows, one after the other, and ends with on_end exactly once, after the call
 * returned. Strings live until the return of the row's callback. All calls answer 0, or: -ENOTCONN
 * the database is away, -EAGAIN too many reads wait, -ENOMEM; then no callback comes. */
#ifndef RUNTREE_SQL_ACTION_REPO_H
#define RUNTREE_SQL_ACTION_REPO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "model/access.h"
#include "model/action.h"
#include "model/filter.h"
#include "model/json_scan.h"
#include "model/run.h"

struct action_repo;

struct action_repo_events {
    void (*on_ready)(void *arg); /* of each connection, when it is usable; may be NULL */
    void (*on_lost)(void *arg, const char *why);
};

enum { REPO_CONNECTIONS_MAX = 4 };

struct action_repo_options {
    const char *url;
    size_t connections;   /* reads go to the first that is free: with one, in the order of asking */
    size_t reads_max;     /* so many wait at most */
    uint64_t read_max_ms; /* a read that takes longer ends with REPO_CANCELLED; 0: any time */
};

/* NULL when out of memory. `events` are borrowed. */
struct action_repo *action_repo_new(uv_loop_t *loop, const struct action_repo_options *options,
                                    const struct action_repo_events *events, void *arg);

/* At the end: calls under way end with REPO_LOST, then no callback comes any more. */
void action_repo_stop(struct action_repo *repo);
/* When the loop is empty; NULL is fine. */
void action_repo_free(struct action_repo *repo);

/* All connections are usable. */
bool action_repo_is_ready(const struct action_repo *repo);
size_t action_repo_connections_ready(const struct action_repo *repo);
/* Of the first connection's session, or of its last one (pg_connection_timeline). */
uint32_t action_repo_timeline(const struct action_repo *repo);
size_t action_repo_queued(const struct action_repo *repo);

enum repo_outcome {
    REPO_OK,
    REPO_LOST,      /* the connection broke: ask again */
    REPO_REFUSED,   /* the database refused the statement */
    REPO_CANCELLED, /* it took too long, or was not wanted any more */
};

/* Whoever a read is for, who may leave: while it waits and while it runs is_wanted (NULL: always)
 * is asked now and then; what is not wanted any more is dropped or cancelled. `arg` lives until
 * on_end.
 */
struct repo_client {
    bool (*is_wanted)(void *arg);
    void *arg;
};

typedef void repo_end_fn(void *arg, enum repo_outcome outcome, const char *message);
typedef void repo_run_fn(void *arg, const struct run *run);
typedef void repo_action_fn(void *arg, const struct action *action);

/* Lists are read in pages. A page has at most `limit` rows, and ends sooner where its rows have
 * REPO_PAGE_BYTES or the database has looked at REPO_ROWS_LOOKED_AT rows for it. */
#define REPO_PAGE_BYTES 1048576
#define REPO_ROWS_LOOKED_AT 20000

/* Where a row of a page stands. */
struct page_row {
    bool is_listed; /* else it only says how far the database has looked */
    bool goes_on;   /* if it is the page's last: there may be more behind it */
};

/* Which runs, newest first by run_shown_us. */
struct run_query {
    struct repo_client client;
    const char *project, *domain; /* NULL: any; a domain comes with a project or alone */
    uint32_t phases;              /* bits as in struct filter; 0: any */
    const char *name;   /* substring of the run's name, ASCII case-insensitive; NULL: any */
    const char *labels; /* that it must have (struct list_filter); NULL or "": any */
    const struct access *access; /* only those that it lets read; NULL: any */
    /* Only those behind this one, when project is not NULL. */
    struct {
        int64_t shown_us;
        struct run_key key;
    } after;
    int32_t limit;
};

typedef void repo_listed_run_fn(void *arg, const struct run *run, struct page_row row);

/* Of a row that is not listed, which may be of a run that `access` hides, only run_shown_us and key
 * count, and the key is not its own but one that the list can go on behind. */
int action_repo_list_runs(struct action_repo *repo, const struct run_query *query,
                          repo_listed_run_fn *on_run, repo_end_fn *on_end, void *arg);

/* One row, or none if there is no such run. */
int action_repo_get_run(struct action_repo *repo, const struct run_key *key, repo_run_fn *on_run,
                        repo_end_fn *on_end, void *arg);

/* Runs with open ends (struct run, run_has_open_ends) that nothing was heard of since `before_us`,
 * by key behind `after` (project NULL: from the start); at most `limit`. */
int action_repo_list_open_ends(struct action_repo *repo, int64_t before_us,
                               const struct run_key *after, int32_t limit, repo_run_fn *on_run,
                               repo_end_fn *on_end, void *arg);

/* Which actions of a run's tree, by ordinal. */
struct action_query {
    struct repo_client client;
    struct run_key run;
    struct filter filter;
    const char *parent; /* NULL: any */
    int32_t after_ordinal;
    int32_t limit;
};

typedef void repo_listed_action_fn(void *arg, const struct action *action, struct page_row row);

int action_repo_list_actions(struct action_repo *repo, const struct action_query *query,
                             repo_listed_action_fn *on_action, repo_end_fn *on_end, void *arg);

/* Which of the actions that wait to join the tree, by parent and name; those that name no parent
 * come last. */
struct waiting_query {
    struct repo_client client;
    struct run_key run;
    struct filter filter;
    const char *parent; /* NULL: any */
    struct {
        const char *parent, *name; /* name NULL: from the start; parent NULL: it names none */
    } after;
    int32_t limit;
};

int action_repo_list_waiting(struct action_repo *repo, const struct waiting_query *query,
                             repo_listed_action_fn *on_action, repo_end_fn *on_end, void *arg);

/* Those of the actions named that are stored, and, where one waits or is an alias, its parent, and
 * so on; each at least once, the nearest first, REPO_ROWS_LOOKED_AT at most. Of each only name,
 * parent, ordinal and level. */
int action_repo_chains_above(struct action_repo *repo, const struct run_key *run,
                             const char *const *names, size_t count, repo_action_fn *on_action,
                             repo_end_fn *on_end, void *arg);

/* One row, or none; a waiting action, too. */
int action_repo_get_action(struct action_repo *repo, const struct run_key *run, const char *name,
                           repo_action_fn *on_action, repo_end_fn *on_end, void *arg);

struct stored_event {
    int32_t attempt;
    enum phase phase;
    int32_t version;
    int64_t revision; /* 0: waiting */
    int64_t updated_us, recorded_us;
    struct json_text info;  /* JSON, as received */
    bool goes_on;           /* if it is the last that is read: there are more */
    int32_t attempt_before; /* the next lower attempt; 0: there is none */
};
typedef void repo_event_fn(void *arg, const struct stored_event *event);

/* Which events of an action, by attempt, phase number, version. */
struct event_query {
    struct repo_client client;
    struct run_key run;
    const char *name;
    int32_t attempt; /* 0: any */
    struct {
        int32_t attempt; /* all zero: from the start */
        enum phase phase;
        int32_t version;
    } after;
    int32_t limit;
};

int action_repo_list_events(struct action_repo *repo, const struct event_query *query,
                            repo_event_fn *on_event, repo_end_fn *on_end, void *arg);

/* The events of a run's tree, in the order of their revisions. */
struct history_query {
    struct repo_client client;
    struct run_key run;
    int64_t until_revision;
    int64_t until_us; /* what happened later comes without its document; TIME_NONE: any time */
    struct {
        int64_t revision; /* all zero: from the start */
        int32_t attempt;
        enum phase phase;
        int32_t version;
    } after;
    int32_t limit;
};

/* What does not come from an action's events; NULL: none, or not then. */
struct event_action {
    const char *name, *parent;
    const char *abort_requested;
    int64_t abort_revision; /* that the request made; 0: the action waited then */
};
typedef void repo_run_event_fn(void *arg, const struct event_action *action,
                               const struct stored_event *event);

int action_repo_run_events(struct action_repo *repo, const struct history_query *query,
                           repo_run_event_fn *on_event, repo_end_fn *on_end, void *arg);

/* The events of one attempt of an action, the furthest first. */
struct attempt_query {
    struct repo_client client;
    struct run_key run;
    const char *name;
    int32_t attempt; /* this one; if it has no event, the next lower one that has */
    int64_t before;  /* only events before this position (struct event_order); INT64_MAX: all */
    int32_t limit, bytes_max; /* at least one event comes, if there is one */
};

int action_repo_attempt_events(struct action_repo *repo, const struct attempt_query *query,
                               repo_event_fn *on_event, repo_end_fn *on_end, void *arg);

/* Of each phase of the attempt the event with the least version, without its document. */
int action_repo_attempt_beginnings(struct action_repo *repo, const struct attempt_query *query,
                                   repo_event_fn *on_event, repo_end_fn *on_end, void *arg);

/* Projects and domains that have runs, by name. No more than REPO_RUNS_COUNTED runs are counted of
 * each, and no page has more than REPO_PROJECTS_PAGE of them, whatever its limit. */
#define REPO_RUNS_COUNTED 1000
enum { REPO_PROJECTS_PAGE = 100 };

struct project_query {
    struct repo_client client;
    const char *after_project, *after_domain; /* NULL: from the start */
    const struct access *access;              /* only those that it lets read; NULL: any */
    int32_t limit;
};

typedef void repo_project_fn(void *arg, const char *project, const char *domain, int64_t runs,
                             struct page_row row);

int action_repo_list_projects(struct action_repo *repo, const struct project_query *query,
                              repo_project_fn *on_project, repo_end_fn *on_end, void *arg);

/* The change feed: the state of every action of the tree with an event after `revision`, by
 * ordinal, and of the run incarnation, revision, action_count and what waits, all as of one moment.
 * `run` is NULL, and `count` 0, if there is no such run. Called once, before on_end. */
typedef void repo_changes_fn(void *arg, const struct run *run, const struct action *actions,
                             size_t count);

int action_repo_changes_since(struct action_repo *repo, const struct run_key *run, int64_t revision,
                              repo_changes_fn *on_changes, repo_end_fn *on_end, void *arg);

/* The same of a stretch of the tree, by ordinal: the actions behind `after_ordinal`, at most
 * `part_size`, as they are now. Then the next stretch, which begins where the last would have ended
 * had it been full: `parts` of them, TREE_PARTS_MAX at most, each as of a later moment. */
enum { TREE_PARTS_MAX = 16 };
int action_repo_tree_parts(struct action_repo *repo, const struct run_key *run,
                           int32_t after_ordinal, int32_t part_size, size_t parts,
                           repo_changes_fn *on_part, repo_end_fn *end, void *arg);

/* Of the runs given, those that are not (any more) at the incarnation and revision given.
 * on_changed gets the index. */
struct run_position {
    struct run_key key;
    const char *incarnation; /* "": none known */
    int64_t revision;
};
typedef void repo_changed_fn(void *arg, size_t index);

int action_repo_changed_runs(struct action_repo *repo, const struct run_position *runs,
                             size_t count, repo_changed_fn *on_changed, repo_end_fn *on_end,
                             void *arg);

/* Which runs changed, and what they are now: for the watch of the list of runs.
 *
 * Time is counted in transaction ids (64 bits, they never wrap): a row has the id of the
 * transaction that changed it last. Ids are given out at the first write, not at the commit, so at
 * a moment every transaction below `all_below` has ended, none from `none_from` on has begun, and
 * of those between them some have (PostgreSQL: pg_current_snapshot). The moment is that before the
 * read, which may see more. Who has read everything asks next for what changed since `all_below`:
 * he may get some of it again, and misses nothing. */
struct database_moment {
    int64_t all_below;
    int64_t none_from;
    uint32_t timeline; /* of the session, see pg_connection_timeline */
};

struct changed_run {
    struct run_key key;
    int64_t xid;           /* of the transaction that changed or deleted it */
    const struct run *run; /* NULL: there is none (any more) */
};

typedef void changed_run_fn(void *arg, const struct changed_run *changed);

/* `moment` is that before the read, NULL unless the outcome is REPO_OK. */
typedef void changed_runs_end_fn(void *arg, enum repo_outcome outcome, const char *message,
                                 const struct database_moment *moment);

/* The runs with these keys, one call of on_run for each. */
int action_repo_runs_by_key(struct action_repo *repo, const struct run_key *keys, size_t count,
                            changed_run_fn *on_run, changed_runs_end_fn *on_end, void *arg);

/* The runs that a transaction from `xid` on changed or deleted, at most `limit`, in no order. With
 * a limit of 0 only the moment is read. */
int action_repo_runs_since(struct action_repo *repo, int64_t xid, int32_t limit,
                           changed_run_fn *on_run, changed_runs_end_fn *on_end, void *arg);

#endif
