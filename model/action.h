/* An action's state, and how an event moves it. */
#ifndef RUNTREE_MODEL_ACTION_H
#define RUNTREE_MODEL_ACTION_H

#include <stdbool.h>
#include <stdint.h>

#include "model/action_event.h"
#include "model/phase.h"

enum { TREE_LEVELS_MAX = 1000 };

/* One action, as a row of the table `actions`. A plain value; who makes it says who owns the
 * strings. */
struct action {
    const char *name;
    bool parent_named;
    const char *parent; /* NULL while parent_named: a root */
    int32_t ordinal;    /* 1, 2, 3 … in the order of joining the tree; 0: waiting */
    int32_t level;      /* of a root 1; 0: waiting */
    int32_t attempt;
    enum phase phase;
    int32_t version;
    const char *group;
    const char *task_name, *short_name;
    struct event_order group_from; /* the first event that has a group, which `group` is */
    struct event_order task_from;
    int64_t created_us, started_us, ended_us; /* TIME_NONE if there is none */
    const char *error_info; /* JSON text of the current state's errorInfo, or NULL */
    int64_t revision;       /* of the last change that a watcher sees; 0: waiting */
};

/* What an event did to its action. */
struct action_change {
    bool is_state;   /* it is the action's state now */
    bool is_visible; /* something that a watcher sees has changed */
    bool is_changed; /* something has changed, seen or not: the row is to be written */
};

/* Moves `action` by `event`, as docs/architecture.md ("The state of an action") and openapi.yaml
 * say; any order of the same events gives the same action. For the first event `action` is all zero
 * with times TIME_NONE and `name` set. Sets neither ordinal, level nor revision, nor the parent.
 * Strings are borrowed from `event`; `error_info` is the text of event->error_info, which the
 * caller made (NULL for none). */
struct action_change action_apply(struct action *action, const struct action_event *event,
                                  const char *error_info);

/* Milliseconds from started_us (else created_us) to ended_us, never negative; -1 while it has not
 * ended. */
int64_t action_duration_ms(const struct action *action);

#endif
