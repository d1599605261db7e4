/* An action's state, and how an event moves it. */
#include "model/action.h"

#include <string.h>

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

/* Begins another attempt. */
static void move_to_attempt(struct action *action, struct action_origin *origin, int32_t attempt)
{
    action->attempt = attempt;
    origin->said = (struct attempt_state){0};
    action->started_us = TIME_NONE;
}

/* An event of the current attempt. */
static void apply_to_attempt(struct action *action, struct action_origin *origin,
                             const struct action_event *event, const char *error_info,
                             struct action_change *change)
{
    const struct phase_said said = {event->phase, event->version, event->updated_us};
    const struct phase_said *shown, *furthest = &origin->said.furthest;

    change->is_changed |= attempt_state_take(&origin->said, &said);
    if (furthest->phase == said.phase && furthest->version == said.version) {
        action->ended_us = phase_is_terminal(said.phase) ? said.updated_us : TIME_NONE;
        action->error_info = error_info;
        change->is_visible = true;
    }
    shown = attempt_state_shown(&origin->said);
    change->is_state = shown->phase == said.phase && shown->version == said.version;
    change->is_visible |= action->phase != shown->phase || action->version != shown->version;
    action->phase = shown->phase;
    action->version = shown->version;
    if (said.phase == PHASE_RUNNING && take_earlier(&action->started_us, said.updated_us))
        change->is_visible = true;
}

struct action_change action_apply(struct action *action, struct action_origin *origin,
                                  const struct action_event *event, const char *error_info)
{
    struct action_change change = {0};
    struct event_order order = event_order_of(event->attempt, event->phase, event->version);

    if (event->attempt > action->attempt)
        move_to_attempt(action, origin, event->attempt);
    if (event->attempt == action->attempt)
        apply_to_attempt(action, origin, event, error_info, &change);
    if (take_earlier(&action->created_us, event->updated_us))
        change.is_visible = true;
    if (event->group && is_earlier(order, origin->group_from)) {
        change.is_visible |= !same_text(action->group, event->group);
        change.is_changed = true;
        action->group = event->group;
        origin->group_from = order;
    }
    if (event->has_task && is_earlier(order, origin->task_from)) {
        change.is_visible |= !same_text(action->task_name, event->task_name) ||
                             !same_text(action->short_name, event->short_name);
        change.is_changed = true;
        action->task_name = event->task_name;
        action->short_name = event->short_name;
        origin->task_from = order;
    }
    change.is_changed |= change.is_visible;
    return change;
}

int64_t action_started_us(const struct action *action)
{
    return action->phase == PHASE_SKIPPED ? TIME_NONE : action->started_us;
}

static const size_t text_offsets[ACTION_TEXTS] = {
    offsetof(struct action, group),      offsetof(struct action, task_name),
    offsetof(struct action, short_name), offsetof(struct action, error_info),
    offsetof(struct action, additions),  offsetof(struct action, abort_requested),
};

const char *action_text(const struct action *action, size_t i)
{
    const char *text;

    memcpy(&text, (const char *)action + text_offsets[i], sizeof text);
    return text;
}

void action_set_text(struct action *action, size_t i, const char *text)
{
    memcpy((char *)action + text_offsets[i], &text, sizeof text);
}

size_t action_texts_size(const struct action *action)
{
    size_t size = 0;

    for (size_t i = 0; i < ACTION_TEXTS; i++)
        size += action_text(action, i) ? strlen(action_text(action, i)) + 1 : 0;
    return size;
}

void action_move_texts(struct action *action, char *block)
{
    for (size_t i = 0; i < ACTION_TEXTS; i++) {
        const char *text = action_text(action, i);
        size_t size = text ? strlen(text) + 1 : 0;

        if (!text)
            continue;
        action_set_text(action, i, memcpy(block, text, size));
        block += size;
    }
}

int64_t duration_ms(int64_t started_us, int64_t ended_us)
{
    if (started_us == TIME_NONE || ended_us == TIME_NONE)
        return -1;
    return ended_us > started_us ? (ended_us - started_us) / 1000 : 0;
}

bool action_is_abandoned(const struct action *action)
{
    return action->version == ABANDONED_VERSION;
}
