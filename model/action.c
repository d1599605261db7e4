/* An action's state, and how an event moves it. */
#include "model/action.h"

#include <string.h>

static bool is_first_of_all(const struct action *action)
{
    return action->phase == PHASE_NONE;
}

/* Whether `order` is the first of those events that have something; `from` is where it was taken
 * from until now, {0, 0} for nowhere. */
static bool is_earlier(struct event_order order, struct event_order from)
{
    return from.attempt == 0 || event_order_compare(order, from) < 0;
}

/* Lowers *time_us to `candidate_us`; whether it moved. */
static bool take_earlier(int64_t *time_us, int64_t candidate_us)
{
    if (*time_us != TIME_NONE && *time_us <= candidate_us)
        return false;
    *time_us = candidate_us;
    return true;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

struct action_change action_apply(struct action *action, const struct action_event *event,
                                  const char *error_info)
{
    struct action_change change = {0};
    struct event_order order = event_order_of(event->attempt, event->phase, event->version);
    struct event_order state = event_order_of(action->attempt, action->phase, action->version);

    if (is_first_of_all(action) || event_order_compare(order, state) > 0) {
        action->attempt = event->attempt;
        action->phase = event->phase;
        action->version = event->version;
        action->ended_us = phase_is_terminal(event->phase) ? event->updated_us : TIME_NONE;
        action->error_info = error_info;
        change.is_state = change.is_visible = true;
    }
    if (take_earlier(&action->created_us, event->updated_us))
        change.is_visible = true;
    if (event->phase == PHASE_RUNNING && take_earlier(&action->started_us, event->updated_us))
        change.is_visible = true;
    if (event->group && is_earlier(order, action->group_from)) {
        change.is_visible |= !same_text(action->group, event->group);
        change.is_changed = true;
        action->group = event->group;
        action->group_from = order;
    }
    if (event->has_task && is_earlier(order, action->task_from)) {
        change.is_visible |= !same_text(action->task_name, event->task_name) ||
                             !same_text(action->short_name, event->short_name);
        change.is_changed = true;
        action->task_name = event->task_name;
        action->short_name = event->short_name;
        action->task_from = order;
    }
    change.is_changed |= change.is_visible;
    return change;
}

int64_t action_duration_ms(const struct action *action)
{
    if (action->ended_us == TIME_NONE || action->created_us == TIME_NONE)
        return -1;
    int64_t from_us = action->started_us != TIME_NONE ? action->started_us : action->created_us;
    return action->ended_us > from_us ? (action->ended_us - from_us) / 1000 : 0;
}
