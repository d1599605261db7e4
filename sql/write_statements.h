/* The statements of the write path, each beside the parameters that it binds (docs/architecture.md,
 * "The write path"). Each function adds one to an exchange, by the name of its statement, or the
 * one that it is given of those above it.
 *
 * All are keyed by the run and touch one table; arrays are unnested in step. */
#ifndef RUNTREE_SQL_WRITE_STATEMENTS_H
#define RUNTREE_SQL_WRITE_STATEMENTS_H

#include "model/decide.h"
#include "sql/pg_value.h"

extern const struct pg_statement begin_statement, commit_statement, rollback_statement;

/* Settings of a writer's session: the statements look up by key, whatever the statistics of a table
 * that has just been filled say, see what is committed, and wait 200 ms for a lock, unless the URL,
 * the role or the database says otherwise. */
extern const struct pg_statement writer_settings_statement;

/* Rows: ordinality of the event (int8, from 1), revision, info. */
extern const struct pg_statement find_events_statement;
void add_find_events(struct pg_calls *calls, const struct action_event *const *events,
                     size_t count);

/* Rows, for each of the runs that exists: RUN_COLUMNS and changed_xid, which add_update_runs wants
 * back. */
extern const struct pg_statement read_runs_statement;
void add_runs(struct pg_calls *calls, const struct pg_statement *statement,
              const struct run_key *runs, size_t count);

/* Rows: ordinality of the run (int8, from 1), parameters as of read_runs_statement. The first finds
 * those that exist, the second those of them that nobody has locked, the third those that were
 * deleted and have rows left: their key is not free for a new run. */
extern const struct pg_statement stored_runs_statement, free_runs_statement, removed_runs_statement;

/* The same for runs that are there, which it locks. */
extern const struct pg_statement lock_stored_runs_statement;

/* Locks the runs in the order given. Makes those that are missing and may be made, if the newest
 * list of cells is `generation`; until the commit no newer one is stored. `incarnations` and
 * `may_create` have one for each. Rows: as read_runs_statement, of those that are there then, and
 * whether that is the newest list. */
extern const struct pg_statement lock_runs_statement;
void add_lock_runs(struct pg_calls *calls, const struct run_key *runs,
                   const char (*incarnations)[INCARNATION_SIZE], const bool *may_create,
                   size_t count, int64_t now_us, int64_t generation);

/* Rows: ordinality of the name (int8, from 1). The first finds the actions: then
 * DECIDED_ACTION_COLUMNS and the level of the parent that one waits for (NULL: not stored; 0: not
 * in the tree). The second finds the names that any action waits for. */
extern const struct pg_statement find_actions_statement, find_awaited_statement;
void add_names(struct pg_calls *calls, const struct pg_statement *statement,
               const struct run_key *runs, const struct decision_name *names, size_t count);

/* Rows: ordinality of the name (int8, from 1), in its order, and DECIDED_ACTION_COLUMNS of the
 * actions that wait for it; at most `limit` rows. */
extern const struct pg_statement find_waiting_statement;
void add_find_waiting(struct pg_calls *calls, const struct run_key *runs,
                      const struct decision_name *names, size_t count, int32_t limit);

/* Rows: ordinality of the run (int8, from 1), and name, start and end of each of its roots. */
extern const struct pg_statement find_roots_statement;
void add_find_roots(struct pg_calls *calls, const struct run_key *runs, const size_t *indexes,
                    size_t count);

/* Rows: ordinality (int8, from 1) of those events of whose action, of one above it or of the run
 * somebody asked for the end. */
extern const struct pg_statement find_aborts_statement;
void add_find_aborts(struct pg_calls *calls, const struct action_event *const *events,
                     size_t count);

extern const struct pg_statement insert_events_statement;
void add_insert_events(struct pg_calls *calls, const struct run_key *runs,
                       const struct event_row *rows, size_t count, int64_t now_us);

/* Inserts those that are new and updates the others: up to two statements. The second adds both,
 * without a row. */
extern const struct pg_statement insert_actions_statement, update_actions_statement;
void add_write_actions(struct pg_calls *calls, const struct run_key *runs,
                       const struct action_row *rows, size_t count);
void add_no_actions(struct pg_calls *calls);

extern const struct pg_statement join_events_statement;
void add_join_events(struct pg_calls *calls, const struct run_key *runs,
                     const struct joined_row *rows, size_t count);

/* Updates the runs if none of them was changed or deleted since it was read with its changed_xid,
 * and locks them until the commit; else fails with RUNS_CHANGED_SQLSTATE. `changed_xids` has one
 * for each of `runs`. One row: the transaction's number (int8). */
#define RUNS_CHANGED_SQLSTATE "22P02"
extern const struct pg_statement update_runs_statement;
void add_update_runs(struct pg_calls *calls, const struct run_key *runs,
                     const int64_t *changed_xids, const struct run_row *rows, size_t count,
                     int64_t now_us);

/* Has the labels of runs follow where these are shown in lists now; parameters as of
 * read_runs_statement. */
extern const struct pg_statement move_labels_statement;

/* What events say of runs, where it is of an earlier event than what is stored. */
extern const struct pg_statement add_to_runs_statement;
void add_additions_to_runs(struct pg_calls *calls, const struct run_key *runs,
                           const struct run_addition_row *rows, size_t count);

/* Joins that are pending from now on or are still, and those that are done. */
extern const struct pg_statement add_pending_statement, end_pending_statement;
void add_pending_joins(struct pg_calls *calls, const struct pg_statement *statement,
                       const struct run_key *runs, const struct pending_join_row *rows,
                       size_t count);

/* Runs that are over with open ends from now on, and those that are not any more; parameters as of
 * read_runs_statement. */
extern const struct pg_statement add_open_ends_statement, end_open_ends_statement;

/* Rows: run key and parent of pending joins that nobody works on; the parameter is how many. */
extern const struct pg_statement idle_joins_statement;

extern const struct pg_statement notify_statement;
void add_notify(struct pg_calls *calls, const struct run_key *runs, const struct run_row *rows,
                size_t count);

/* The same of a run that is no more, if the transaction has changed anything. */
void add_notify_change(struct pg_calls *calls, const struct run_key *run);

#endif
