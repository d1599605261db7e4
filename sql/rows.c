#include "sql/rows.h"

#include <stdio.h>

#include "sql/pg_value.h"

void run_from_row(const PGresult *result, int row, int first, struct run *run)
{
    *run = (struct run){
        .key = {.project = pg_text(result, row, first),
                .domain = pg_text(result, row, first + 1),
                .run_name = pg_text(result, row, first + 2)},
        .revision = pg_int8(result, row, first + 4),
        .action_count = pg_int4(result, row, first + 5),
        .root = pg_text(result, row, first + 7),
        .phase = phase_from_index(pg_int2(result, row, first + 8)),
        .created_us = pg_time(result, row, first + 9),
        .started_us = pg_time(result, row, first + 10),
        .ended_us = pg_time(result, row, first + 11),
        .first_seen_us = pg_time(result, row, first + 12),
        .waiting_count = pg_int4(result, row, first + 14),
        .last_event_us = pg_time(result, row, first + 15),
        .abort_requested = pg_text(result, row, first + 16),
        .abort_count = pg_int4(result, row, first + 17),
        .removed_count = pg_int4(result, row, first + 18),
    };
    snprintf(run->incarnation, sizeof run->incarnation, "%s", pg_text(result, row, first + 3));
    pg_int4_array(result, row, first + 6, run->phase_counts + 1, PHASE_SLOTS - 1);
    pg_int4_array(result, row, first + 13, run->root_counts + 1, PHASE_SLOTS - 1);
}

void shown_run_from_row(const PGresult *result, int row, int first, struct run *run)
{
    run_from_row(result, row, first, run);
    run->waiting_for = pg_text(result, row, first + RUN_COLUMN_COUNT);
    run->additions = pg_text(result, row, first + RUN_COLUMN_COUNT + 1);
}

void tree_action_from_row(const PGresult *result, int row, int first, struct action *action)
{
    *action = (struct action){
        .name = pg_text(result, row, first),
        .parent_named = true,
        .parent = pg_text(result, row, first + 1),
        .ordinal = pg_int4(result, row, first + 2),
        .attempt = pg_int4(result, row, first + 3),
        .phase = phase_from_index(pg_int2(result, row, first + 4)),
        .version = pg_int4(result, row, first + 5),
        .group = pg_text(result, row, first + 6),
        .task_name = pg_text(result, row, first + 7),
        .short_name = pg_text(result, row, first + 8),
        .created_us = pg_time(result, row, first + 9),
        .started_us = pg_time(result, row, first + 10),
        .ended_us = pg_time(result, row, first + 11),
        .error_info = pg_text(result, row, first + 12),
        .revision = pg_int8(result, row, first + 13),
        .additions = pg_text(result, row, first + 14),
        .abort_requested = pg_text(result, row, first + 15),
        .is_removed = pg_bool(result, row, first + 16),
    };
}

void action_from_row(const PGresult *result, int row, int first, struct action *action)
{
    tree_action_from_row(result, row, first, action);
    action->parent_named = pg_bool(result, row, first + TREE_ACTION_COLUMN_COUNT);
    action->level = pg_int4(result, row, first + TREE_ACTION_COLUMN_COUNT + 1);
}

static struct event_order order_from_row(const PGresult *result, int row, int first)
{
    return (struct event_order){.attempt = pg_int4(result, row, first),
                                .position = pg_int8(result, row, first + 1)};
}

void decided_action_from_row(const PGresult *result, int row, int first, struct action *action,
                             struct action_origin *origin)
{
    int from = first + ACTION_COLUMN_COUNT, said = from + 4;
    struct attempt_state *state = &origin->said;

    action_from_row(result, row, first, action);
    origin->group_from = order_from_row(result, row, from);
    origin->task_from = order_from_row(result, row, from + 2);
    state->furthest =
        (struct phase_said){action->phase, action->version, pg_time(result, row, said)};
    if (pg_int4(result, row, said + 1) != NO_VERSION) {
        state->furthest.phase = PHASE_RUNNING;
        state->furthest.version = pg_int4(result, row, said + 1);
    }
    state->waited =
        (struct phase_said){phase_from_index(pg_int2(result, row, said + 2)),
                            pg_int4(result, row, said + 3), pg_time(result, row, said + 4)};
}
