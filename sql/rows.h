/* The columns of `runs` and `actions` in one order, and their decoding. */
#ifndef RUNTREE_SQL_ROWS_H
#define RUNTREE_SQL_ROWS_H

#include <libpq-fe.h>

#include "model/action.h"
#include "model/run.h"

#define RUN_COLUMNS                                                                                \
    "r.project, r.domain, r.run_name, r.incarnation, r.revision, r.action_count, "                 \
    "r.phase_counts, r.root, r.phase, r.created_at, r.started_at, r.ended_at, r.first_seen_at"
enum { RUN_COLUMN_COUNT = 13 };

/* An older version kept errors whole; what it wrote is cut about as model/error_info.h does it. */
#define ERROR_INFO_OF(a)                                                                           \
    "CASE WHEN octet_length(" a ".error_info) > 16384 THEN json_strip_nulls(json_build_object("    \
    "'kind', " a ".error_info::json->>'kind', 'message', left(" a                                  \
    ".error_info::json->>'message', 1024), 'truncated', true))::text"                              \
    " ELSE " a ".error_info END AS error_info"

#define ACTION_COLUMNS_OF(a)                                                                       \
    a ".name, " a ".parent_named, " a ".parent, " a ".ordinal, " a ".level, " a ".attempt, " a     \
      ".phase, " a ".version, " a ".action_group, " a ".group_attempt, " a ".group_position, " a   \
      ".task_name, " a ".short_name, " a ".task_attempt, " a ".task_position, " a                  \
      ".created_at, " a ".started_at, " a ".ended_at, " ERROR_INFO_OF(a) ", " a ".revision"
#define ACTION_COLUMNS ACTION_COLUMNS_OF("a")
enum { ACTION_COLUMN_COUNT = 20 };

/* What else of an action decides about its next event. */
#define SAID_COLUMNS                                                                               \
    "coalesce(a.furthest_at, a.ended_at), a.running_version, a.wait_phase, a.wait_version, "       \
    "a.wait_at"
enum { NO_VERSION = -1 }; /* in running_version: no wait is shown */
#define DECIDED_ACTION_COLUMNS ACTION_COLUMNS ", " SAID_COLUMNS
enum { DECIDED_ACTION_COLUMN_COUNT = ACTION_COLUMN_COUNT + 5 };

/* From the columns above, the first of which is column `first`; strings are borrowed from `result`.
 */
void run_from_row(const PGresult *result, int row, int first, struct run *run);
void action_from_row(const PGresult *result, int row, int first, struct action *action);
void decided_action_from_row(const PGresult *result, int row, int first, struct action *action);

#endif
