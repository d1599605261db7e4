/* An action's state, and how an event moves it. */
#ifndef RUNTREE_MODEL_ACTION_H
#define RUNTREE_MODEL_ACTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/action_event.h"
#include "model/attempt_state.h"
#include "model/phase.h"

enum { TREE_LEVELS_MAX = 1000, ALIAS_ORDINAL = -1 };

/* One action, as a row of the table `actions`. A plain value; who makes it says who owns the
 * strings. */
struct action {
    const char *name;
    const char *parent; /* NULL while parent_named: a root */
    int32_t ordinal;  /* 1, 2, 3 … in the order of joining the tree; 0: waiting; ALIAS_ORDINAL: no
                       * action, but `name` is another name of the action `parent` */
    int32_t level;    /* of a root 1; 0: waiting */
    int32_t attempt;  /* the latest that an event was of */
    enum phase phase; /* attempt_state_shown; likewise the version */
    int32_t version;
    bool parent_named;
    bool is_removed; /* taken out: its place in the tree stays, its name is free again */
    const char *group;
    const char *task_name, *short_name;
    int64_t created_us;           /* the earliest of all its events */
    int64_t started_us, ended_us; /* of the attempt; TIME_NONE if there is none */
    const char *additions;        /* model/additions.h; NULL: none */
    const char *error_info;       /* JSON text of the furthest event's errorInfo, or NULL */
    int64_t revision;             /* of the last change that a watcher sees; 0: waiting */
    const char *abort_requested;  /* who asked for its end, JSON (model/records.h); NULL: nobody */
};

/* What its state and texts were made of: for who decides about its next event. All zero before the
 * first. */
struct action_origin {
    struct attempt_state said;     /* of the current attempt */
    struct event_order group_from; /* the first event that has a group, which `group` is */
    struct event_order task_from;
};

/* What an event did to its action. */
struct action_change {
    bool is_state;   /* it is the action's state now */
    bool is_visible; /* something that a watcher sees has changed */
    bool is_changed; /* something has changed, seen or not: the row is to be written */
};

/* Moves `action` by `event`, as docs/model.md says; any order of the same events gives the same
 * action. For the first event `action` is all zero with times TIME_NONE and `name` set. Sets
 * neither ordinal, level nor revision, nor the parent. Strings are borrowed from `event`;
 * `error_info` is the text of event->error_info, which the caller made (NULL for none). */
struct action_change action_apply(struct action *action, struct action_origin *origin,
                                  const struct action_event *event, const char *error_info);

/* When the current attempt began to run; TIME_NONE if it did not, or is skipped. */
int64_t action_started_us(const struct action *action);

/* The texts that change, by number from 0 to ACTION_TEXTS - 1: all but name and parent. */
enum { ACTION_TEXTS = 6 };
const char *action_text(const struct action *action, size_t i);
void action_set_text(struct action *action, size_t i, const char *text);

/* What those that there are take in a block, one behind the other with their NULs; and has the
 * action borrow them from such a block, into which they are copied. */
size_t action_texts_size(const struct action *action);
void action_move_texts(struct action *action, char *block);

/* Milliseconds from started_us to ended_us, never negative; -1 if either is none. */
int64_t duration_ms(int64_t started_us, int64_t ended_us);

/* It was given up, not ended by anybody (ABANDONED_VERSION). */
bool action_is_abandoned(const struct action *action);

#endif
