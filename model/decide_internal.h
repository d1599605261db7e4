/* What decide_input.c gathers and decide.c thinks about; nobody else includes this. */
#ifndef RUNTREE_MODEL_DECIDE_INTERNAL_H
#define RUNTREE_MODEL_DECIDE_INTERNAL_H

#include <stdbool.h>

/* A failed allocation leaves the element's hh.tbl NULL instead of ending the process. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "model/arena.h"
#include "model/decide.h"

struct batch_event;
struct batch_action;

/* A run of the batch. All structs here live in the decision's arena. */
struct batch_run {
    struct run_key key;
    size_t index; /* among decision_runs, once they are in order */
    bool is_new, is_changed;
    int64_t revision_before;
    struct run state;
    struct batch_action *actions; /* hash by name; in the order of being first mentioned */
    UT_hash_handle hh;            /* decision.runs, by the key's text */
};

/* What is known of the stored actions that wait for an action. */
enum batch_children {
    CHILDREN_UNKNOWN,
    CHILDREN_NONE,
    CHILDREN_THERE, /* some, not read */
    CHILDREN_READ,  /* or asked for */
};

/* An action that the batch mentions or that was read. */
struct batch_action {
    struct batch_run *run;
    struct action action;
    bool is_stored;     /* handed in by decision_put_action */
    bool is_changed;    /* its row must be written */
    bool is_queued;     /* it may join because of this batch; found by decision_unread_parents */
    bool is_named;      /* one of decision_names */
    bool is_of_event;   /* one of decision_event_names */
    bool is_continued;  /* decision_add_join */
    bool is_unfinished; /* not all of its stored waiting children were read */
    enum batch_children children;
    int32_t parent_level;    /* of a stored one that waits, its parent's; 0: not in the tree */
    int64_t joined_revision; /* if it joined the tree in this batch, else 0 */
    struct batch_action *waiting_children; /* which wait for this one */
    struct batch_action *next_sibling;     /* in the list of the parent's waiting children */
    struct batch_action *next_queued;
    struct batch_event *named_by;       /* events that name this action as a parent */
    struct batch_event *waiting_events; /* new ones of this batch, without a revision yet */
    UT_hash_handle hh;                  /* batch_run.actions */
};

/* A key of an event within its action. */
struct slot_key {
    const struct batch_action *action;
    int32_t attempt, version;
    int64_t phase;
};

/* What is known about one key: the stored event, or the one of the batch that takes it. */
struct event_slot {
    struct slot_key key;
    bool is_stored;
    int64_t stored_revision;
    const char *stored_info;
    const struct batch_event *holder; /* the event of the batch that is recorded under the key */
    UT_hash_handle hh;                /* decision.slots */
};

/* An event of the batch and what has been decided about it. */
struct batch_event {
    const struct action_event *event;
    struct event_result *result; /* written only at the very end */
    struct event_result verdict;
    bool is_new;
    bool is_state; /* it became the action's state */
    struct batch_action *action;
    struct event_slot *slot;
    struct batch_event *next; /* in the order of arrival */
    struct batch_event *next_named_by;
    struct batch_event *next_waiting;
};

struct decision {
    struct arena arena;
    struct batch_run *runs; /* hash by the key's text */
    size_t run_count;
    struct batch_run **ordered_runs; /* by run_key_compare, once `is_ordered` */
    struct run_key *run_keys;
    size_t run_capacity;
    bool is_ordered;
    struct batch_event *events, **events_tail;
    size_t event_count;
    struct event_slot *slots;    /* hash by slot_key */
    struct batch_action **named; /* the actions of decision_names */
    struct decision_name *names;
    struct decision_name *event_names;
    size_t named_count, named_capacity;
    size_t action_count;
    struct batch_action *continued; /* by next_queued: these are in the tree and never queued */
    bool is_looking;                /* decision_unread_parents was called */
    struct batch_action *queue, **queue_tail;
    size_t *old_events;
    struct decision_name *unread;
    size_t unread_capacity;
    struct event_row *event_rows;
    struct action_row *action_rows;
    struct joined_row *joined_rows;
    struct run_row *run_rows;
    struct pending_join_row *pending_rows;
    size_t event_row_count, action_row_count, joined_row_count, run_row_count, pending_row_count;
};

/* Whether the action is in the tree. */
static inline bool batch_action_is_in_tree(const struct batch_action *action)
{
    return action->action.ordinal > 0;
}

/* The action called `name`, made if need be; NULL when out of memory. `name` is borrowed. */
struct batch_action *batch_action_get(struct decision *decision, struct batch_run *run,
                                      const char *name);

#endif
