/* The columns of `runs` and `actions` in one order, and their decoding. */
#ifndef RUNTREE_SQL_ROWS_H
#define RUNTREE_SQL_ROWS_H

#include <libpq-fe.h>

#include "model/action.h"
#include "model/run.h"

#define RUN_COLUMNS                                                                                \
    "r.project, r.domain, r.run_name, r.incarnation, r.revision, r.action_count, "                 \
    "r.phase_counts, r.root, r.phase, r.created_at, r.started_at, r.ended_at, r.first_seen_at, "   \
    "r.root_counts, r.waiting_count, r.last_event_at, r.abort_requested, r.abort_count, "          \
    "r.removed_count"
enum { RUN_COLUMN_COUNT = 19 };

/* The row of a table that has the key of a row before it. */
#define IS_RUN_OF(row, key)                                                                        \
    row ".project = " key ".project AND " row ".domain = " key ".domain AND " row                  \
        ".run_name = " key ".run_name"
#define IS_ACTION_OF(row, key) IS_RUN_OF(row, key) " AND " row ".name = " key ".name"

/* Joins to each row before those of a table, and looks them up by the index each time. Left to
 * itself the planner goes through the whole table instead if that was small when it planned, and
 * PostgreSQL keeps the plan until the next ANALYZE, however much comes meanwhile. OFFSET 0 leaves
 * it no other order. OR_NOTHING keeps the rows for which there is no run. */
#define LOOKED_UP(table, row, condition)                                                           \
    " CROSS JOIN LATERAL (SELECT " row ".* FROM " table " " row " WHERE " condition                \
    " OFFSET 0) " row
#define OR_NOTHING(table, row, key)                                                                \
    " LEFT JOIN LATERAL (SELECT " row ".* FROM " table " " row                                     \
    " WHERE " IS_RUN_OF(row, key) " OFFSET 0) " row " ON true"

/* Plans are kept. Citus has a setting of this name, and refuses to keep some: left the choice, it
 * makes those anew. */
#define PLAN_CACHE_MODE                                                                            \
    "CASE WHEN current_setting('citus.version', true) IS NULL"                                     \
    " THEN 'force_generic_plan' ELSE 'auto' END"

/* What every change of a run's row sets runs.changed_xid to: its transaction's number, for those
 * who ask what changed (sql/action_repo.h), but always more than it was. So it counts the changes,
 * too, and tells who has read a run whether that is still so, even where a number comes twice
 * because another node of a cluster gave it out. */
#define NEXT_CHANGE "greatest(pg_current_xact_id()::text::int8, r.changed_xid + 1)"

/* For which parents actions wait, the first of them by name, of the first 1,000 actions. As jsonb:
 * the other kind would break lines. */
#define WAITING_FOR                                                                                \
    "CASE WHEN r.waiting_count > 0 THEN (SELECT jsonb_agg(jsonb_build_object('parent', w.parent,"  \
    " 'count', w.count) ORDER BY w.parent)::text FROM (SELECT w.parent, count(*) FROM ("           \
    "SELECT a.parent FROM actions a WHERE a.project = r.project AND a.domain = r.domain"           \
    " AND a.run_name = r.run_name AND a.ordinal = 0 ORDER BY a.parent LIMIT 1000) w"               \
    " GROUP BY w.parent ORDER BY w.parent LIMIT 10) w) END AS waiting_for"

/* What is said of the run, as members of JSON. */
#define RUN_ADDITIONS_OF_R                                                                         \
    "(SELECT string_agg('\"' || x.member || '\":' || x.value, ',' ORDER BY x.member)"              \
    " FROM run_additions x WHERE x.project = r.project AND x.domain = r.domain"                    \
    " AND x.run_name = r.run_name) AS additions"

#define SHOWN_RUN_COLUMNS RUN_COLUMNS ", " WAITING_FOR ", " RUN_ADDITIONS_OF_R
enum { SHOWN_RUN_COLUMN_COUNT = RUN_COLUMN_COUNT + 2 };

/* An older version kept errors whole; what it wrote is cut about as model/error_info.h does it. */
#define ERROR_INFO_OF(a)                                                                           \
    "CASE WHEN octet_length(" a ".error_info) > 16384 THEN json_strip_nulls(json_build_object("    \
    "'kind', " a ".error_info::json->>'kind', 'message', left(" a                                  \
    ".error_info::json->>'message', 1024), 'truncated', true))::text"                              \
    " ELSE " a ".error_info END AS error_info"

/* What a tree shows of an action. What is removed has its name, a U+001F and its ordinal for a
 * name.
 */
#define TREE_ACTION_COLUMNS_OF(a)                                                                  \
    "CASE WHEN " a ".removed THEN split_part(" a ".name, chr(31), 1) ELSE " a                      \
    ".name END AS name, " a ".parent, " a ".ordinal, " a ".attempt, " a ".phase, " a               \
    ".version, " a ".action_group, " a ".task_name, " a ".short_name, " a ".created_at, " a        \
    ".started_at, " a ".ended_at, " ERROR_INFO_OF(a) ", " a ".revision, " a ".additions, " a       \
                                                     ".abort_requested, " a ".removed"
enum { TREE_ACTION_COLUMN_COUNT = 17 };

#define TREE_ACTION_COLUMNS TREE_ACTION_COLUMNS_OF("a")
#define ACTION_COLUMNS_OF(a) TREE_ACTION_COLUMNS_OF(a) ", " a ".parent_named, " a ".level"
#define ACTION_COLUMNS ACTION_COLUMNS_OF("a")
enum { ACTION_COLUMN_COUNT = TREE_ACTION_COLUMN_COUNT + 2 };

enum { NO_VERSION = -1 }; /* in running_version: no wait is shown */

/* And where its state is from: what decides about its next event. */
#define DECIDED_ACTION_COLUMNS                                                                     \
    ACTION_COLUMNS ", a.group_attempt, a.group_position, a.task_attempt, a.task_position,"         \
                   " coalesce(a.furthest_at, a.ended_at), a.running_version, a.wait_phase,"        \
                   " a.wait_version, a.wait_at"
enum { DECIDED_ACTION_COLUMN_COUNT = ACTION_COLUMN_COUNT + 9 };

/* From the columns above, the first of which is column `first`; strings are borrowed from `result`.
 */
void run_from_row(const PGresult *result, int row, int first, struct run *run);
void shown_run_from_row(const PGresult *result, int row, int first, struct run *run);
/* An action of a tree: its parent is named; level is not known, 0. */
void tree_action_from_row(const PGresult *result, int row, int first, struct action *action);
void action_from_row(const PGresult *result, int row, int first, struct action *action);
void decided_action_from_row(const PGresult *result, int row, int first, struct action *action,
                             struct action_origin *origin);

#endif
