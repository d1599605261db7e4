#include "model/decide.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A failed allocation leaves the element's hh.tbl NULL instead of ending the process. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "model/additions.h"
#include "model/arena.h"
#include "model/error_info.h"

struct batch_event;
struct batch_action;

/* A run of the batch. All structs here live in the decision's arena. */
struct batch_run {
    struct run_key key;
    size_t index; /* among decision_runs, once they are in order */
    bool is_new, is_changed;
    bool has_events; /* new ones, that somebody reported */
    bool had_open_ends;
    int64_t revision_before, shown_before_us;
    struct run state;
    int32_t roots_before;                       /* that it had in the tree */
    bool wants_roots;                           /* all of them, read: decision_unread_roots */
    int64_t others_started_us, others_ended_us; /* then, of those that the batch does not have */
    struct run_addition_row additions[RUN_ADDITIONS]; /* `value` NULL: none */
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
    struct action_origin origin;
    bool is_stored;     /* handed in by decision_put_action */
    bool is_changed;    /* its row must be written */
    bool is_queued;     /* it may join because of this batch; found by decision_unread_parents */
    bool is_named;      /* one of decision_names */
    bool is_of_event;   /* one of decision_event_names */
    bool is_continued;  /* decision_add_join */
    bool is_claimed;    /* as an alias, by an event of the batch */
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
    bool has_asked_for_roots;
    struct event_row *event_rows;
    struct action_row *action_rows, *unchanged_rows;
    struct joined_row *joined_rows;
    struct run_row *run_rows;
    struct run_addition_row *run_addition_rows;
    size_t run_addition_row_count;
    struct pending_join_row *pending_rows;
    size_t event_row_count, action_row_count, joined_row_count, run_row_count, pending_row_count;
    size_t unchanged_row_count;
};

/* Whether the action is in the tree. */
static bool is_in_tree(const struct batch_action *action)
{
    return action->action.ordinal > 0;
}

static bool is_alias(const struct batch_action *action)
{
    return action->action.ordinal == ALIAS_ORDINAL;
}

/* -------- what a decision is made from: the batch, and what is stored of it -------- */

struct decision *decision_new(void)
{
    struct decision *decision = calloc(1, sizeof *decision);
    if (!decision)
        return NULL;
    decision->events_tail = &decision->events;
    decision->queue_tail = &decision->queue;
    return decision;
}

void decision_free(struct decision *decision)
{
    if (!decision)
        return;
    for (struct batch_event *at = decision->events; at; at = at->next)
        event_result_clear(&at->verdict);
    for (struct batch_run *run = decision->runs; run; run = run->hh.next)
        HASH_CLEAR(hh, run->actions);
    HASH_CLEAR(hh, decision->runs);
    HASH_CLEAR(hh, decision->slots);
    free(decision->ordered_runs);
    free(decision->run_keys);
    free(decision->named);
    free(decision->names);
    free(decision->event_names);
    free(decision->old_events);
    free(decision->unread);
    arena_free(&decision->arena);
    free(decision);
}

/* Doubles an array of `size`-byte elements. 0 or -ENOMEM, then it is as it was. */
static int grow(void **array, size_t size, size_t capacity)
{
    void *grown = realloc(*array, capacity * size);
    if (!grown)
        return -ENOMEM;
    *array = grown;
    return 0;
}

static size_t next_capacity(size_t capacity)
{
    return capacity ? 2 * capacity : 16;
}

enum { RUN_KEY_TEXT_SIZE = PROJECT_BYTES_MAX + DOMAIN_BYTES_MAX + NAME_BYTES_MAX + 3 };

/* The key's parts, each with its NUL. Returns the length. */
static size_t run_key_text(const struct run_key *key, char text[static RUN_KEY_TEXT_SIZE])
{
    const char *parts[] = {key->project, key->domain, key->run_name};
    size_t length = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t size = strlen(parts[i]) + 1;
        memcpy(text + length, parts[i], size);
        length += size;
    }
    return length;
}

static struct batch_run *find_run(const struct decision *decision, const struct run_key *key)
{
    char text[RUN_KEY_TEXT_SIZE];
    struct batch_run *run;
    size_t length = run_key_text(key, text);
    HASH_FIND(hh, decision->runs, text, length, run);
    return run;
}

static struct batch_run *get_run(struct decision *decision, const struct run_key *key)
{
    struct batch_run *run = find_run(decision, key);
    if (run)
        return run;
    if (decision->run_count == decision->run_capacity) {
        size_t capacity = next_capacity(decision->run_capacity);
        if (grow((void **)&decision->ordered_runs, sizeof *decision->ordered_runs, capacity) ||
            grow((void **)&decision->run_keys, sizeof *decision->run_keys, capacity))
            return NULL;
        decision->run_capacity = capacity;
    }
    char text[RUN_KEY_TEXT_SIZE];
    size_t length = run_key_text(key, text);
    char *kept = arena_alloc(&decision->arena, length);
    run = arena_alloc(&decision->arena, sizeof *run);
    if (!kept || !run)
        return NULL;
    memcpy(kept, text, length);
    run->key = *key;
    run->state.key = *key;
    HASH_ADD_KEYPTR(hh, decision->runs, kept, length, run);
    if (!run->hh.tbl)
        return NULL;
    decision->ordered_runs[decision->run_count++] = run;
    return run;
}

static struct batch_action *find_action(const struct batch_run *run, const char *name)
{
    struct batch_action *action;
    HASH_FIND_STR(run->actions, name, action);
    return action;
}

/* The action called `name`, made if need be; NULL when out of memory. `name` is borrowed. */
static struct batch_action *get_action(struct decision *decision, struct batch_run *run,
                                       const char *name)
{
    struct batch_action *action = find_action(run, name);
    if (action)
        return action;
    action = arena_alloc(&decision->arena, sizeof *action);
    if (!action)
        return NULL;
    action->run = run;
    action->action = (struct action){
        .name = name, .created_us = TIME_NONE, .started_us = TIME_NONE, .ended_us = TIME_NONE};
    HASH_ADD_KEYPTR(hh, run->actions, name, strlen(name), action);
    if (!action->hh.tbl)
        return NULL;
    decision->action_count++;
    return action;
}

/* The action called `name`, which then is one of decision_names. */
static struct batch_action *name_action(struct decision *decision, struct batch_run *run,
                                        const char *name)
{
    struct batch_action *action = get_action(decision, run, name);
    if (!action || action->is_named)
        return action;
    if (decision->named_count == decision->named_capacity) {
        size_t capacity = next_capacity(decision->named_capacity);
        if (grow((void **)&decision->named, sizeof *decision->named, capacity) ||
            grow((void **)&decision->names, sizeof *decision->names, capacity) ||
            grow((void **)&decision->event_names, sizeof *decision->event_names, capacity))
            return NULL;
        decision->named_capacity = capacity;
    }
    decision->named[decision->named_count++] = action;
    action->is_named = true;
    return action;
}

/* Padding must not get into the hash. */
static struct slot_key make_slot_key(const struct batch_action *action, int32_t attempt,
                                     enum phase phase, int32_t version)
{
    static_assert(sizeof(struct slot_key) == sizeof(void *) + 2 * sizeof(int32_t) + sizeof(int64_t),
                  "a slot_key without padding");
    return (struct slot_key){action, attempt, version, (int64_t)phase};
}

static struct event_slot *find_slot(const struct decision *decision, const struct slot_key *key)
{
    struct event_slot *slot;
    HASH_FIND(hh, decision->slots, key, sizeof *key, slot);
    return slot;
}

static struct event_slot *get_slot(struct decision *decision, const struct slot_key *key)
{
    struct event_slot *slot = find_slot(decision, key);
    if (slot)
        return slot;
    slot = arena_alloc(&decision->arena, sizeof *slot);
    if (!slot)
        return NULL;
    slot->key = *key;
    HASH_ADD(hh, decision->slots, key, sizeof slot->key, slot);
    return slot->hh.tbl ? slot : NULL;
}

int decision_add_event(struct decision *decision, const struct action_event *event,
                       struct event_result *result)
{
    struct batch_run *run = get_run(decision, &event->run);
    struct batch_action *action = run ? name_action(decision, run, event->name) : NULL;
    struct batch_event *added = arena_alloc(&decision->arena, sizeof *added);
    if (!action || !added)
        return -ENOMEM;
    action->is_of_event = true;
    struct slot_key key = make_slot_key(action, event->attempt, event->phase, event->version);
    *added = (struct batch_event){
        .event = event, .result = result, .action = action, .slot = get_slot(decision, &key)};
    if (!added->slot)
        return -ENOMEM;
    if (event->parent) {
        struct batch_action *parent = name_action(decision, run, event->parent);
        if (!parent)
            return -ENOMEM;
        added->next_named_by = parent->named_by;
        parent->named_by = added;
    }
    for (size_t i = 0; i < event->alias_count; i++) {
        struct batch_action *alias = name_action(decision, run, event->aliases[i]);
        if (!alias)
            return -ENOMEM;
        alias->is_claimed = true;
    }
    *decision->events_tail = added;
    decision->events_tail = &added->next;
    decision->event_count++;
    return 0;
}

int decision_add_join(struct decision *decision, const struct run_key *run, const char *parent)
{
    struct batch_run *added = get_run(decision, run);
    struct batch_action *action = added ? name_action(decision, added, parent) : NULL;
    if (!action)
        return -ENOMEM;
    action->is_continued = true;
    action->next_queued = decision->continued;
    decision->continued = action;
    return 0;
}

static int compare_runs(const void *a, const void *b)
{
    const struct batch_run *const *run_a = a, *const *run_b = b;
    return run_key_compare(&(*run_a)->key, &(*run_b)->key);
}

static void order_runs(struct decision *decision)
{
    if (decision->is_ordered)
        return;
    if (decision->run_count)
        qsort(decision->ordered_runs, decision->run_count, sizeof *decision->ordered_runs,
              compare_runs);
    for (size_t i = 0; i < decision->run_count; i++) {
        decision->ordered_runs[i]->index = i;
        decision->run_keys[i] = decision->ordered_runs[i]->key;
    }
    decision->is_ordered = true;
}

const struct run_key *decision_runs(struct decision *decision, size_t *count)
{
    order_runs(decision);
    *count = decision->run_count;
    return decision->run_keys;
}

const struct decision_name *decision_names(struct decision *decision, size_t *count)
{
    order_runs(decision);
    for (size_t i = 0; i < decision->named_count; i++)
        decision->names[i] = (struct decision_name){.run = decision->named[i]->run->index,
                                                    .name = decision->named[i]->action.name,
                                                    .is_made = decision->named[i]->is_of_event ||
                                                               decision->named[i]->is_claimed};
    *count = decision->named_count;
    return decision->names;
}

const struct decision_name *decision_event_names(struct decision *decision, size_t *count)
{
    order_runs(decision);
    *count = 0;
    for (size_t i = 0; i < decision->named_count; i++) {
        struct batch_action *action = decision->named[i];
        if (!action->is_of_event)
            continue;
        action->children = CHILDREN_NONE; /* until it is said otherwise */
        decision->event_names[(*count)++] =
            (struct decision_name){.run = action->run->index, .name = action->action.name};
    }
    return decision->event_names;
}

static struct batch_action *find_named(const struct decision *decision,
                                       const struct decision_name *name)
{
    return find_action(decision->ordered_runs[name->run], name->name);
}

void decision_put_awaited(struct decision *decision, const struct decision_name *name)
{
    find_named(decision, name)->children = CHILDREN_THERE;
}

void decision_put_unfinished(struct decision *decision, const struct decision_name *name)
{
    find_named(decision, name)->is_unfinished = true;
}

void decision_put_parent_level(struct decision *decision, const struct decision_name *name,
                               int32_t level)
{
    find_named(decision, name)->parent_level = level;
}

/* A copy in the arena of a text that may be NULL. 0 or -ENOMEM. */
static int keep_text(struct decision *decision, const char **text)
{
    if (!*text)
        return 0;
    *text = arena_copy(&decision->arena, *text);
    return *text ? 0 : -ENOMEM;
}

int decision_put_run(struct decision *decision, const struct run *run, bool is_new)
{
    struct batch_run *put = find_run(decision, &run->key);
    if (!put)
        return 0;
    struct run state = *run;
    if (is_new) {
        state =
            (struct run){.created_us = TIME_NONE, .started_us = TIME_NONE, .ended_us = TIME_NONE};
        memcpy(state.incarnation, run->incarnation, sizeof state.incarnation);
        state.first_seen_us = run->first_seen_us;
        state.last_event_us = TIME_NONE;
    }
    state.waiting_for = NULL;
    state.key = put->key;
    if (keep_text(decision, &state.root) != 0)
        return -ENOMEM;
    put->is_new = is_new;
    put->revision_before = state.revision;
    put->shown_before_us = run_shown_us(&state);
    put->state = state;
    put->had_open_ends = run_has_open_ends(&state);
    put->roots_before = 0;
    for (int phase = PHASE_QUEUED; phase < PHASE_SLOTS; phase++)
        put->roots_before += state.root_counts[phase];
    return 0;
}

/* Of two ends of one version the earlier stands, whichever number it has. */
static bool may_be_stored(const struct batch_event *event)
{
    const struct action *state = &event->action->action;
    const struct phase_said *furthest = &event->action->origin.said.furthest;
    const struct action_event *said = event->event;
    if (!event->action->is_stored)
        return false;
    return event_order_compare(
               event_order_of(said->attempt, said->phase, said->version),
               event_order_of(state->attempt, furthest->phase, furthest->version)) <= 0 ||
           (said->attempt == state->attempt && said->version == furthest->version &&
            phase_is_terminal(said->phase) && phase_is_terminal(furthest->phase));
}

const size_t *decision_old_events(struct decision *decision, size_t *count)
{
    size_t number = 0;
    *count = SIZE_MAX;
    if (grow((void **)&decision->old_events, sizeof *decision->old_events,
             decision->event_count + 1) != 0)
        return NULL;
    *count = 0;
    for (struct batch_event *at = decision->events; at; at = at->next, number++)
        if (may_be_stored(at))
            decision->old_events[(*count)++] = number;
    return decision->old_events;
}

int decision_put_event(struct decision *decision, const struct run_key *run, const char *name,
                       int32_t attempt, enum phase phase, int32_t version, int64_t revision,
                       const char *info)
{
    const struct batch_run *batch_run = find_run(decision, run);
    const struct batch_action *action = batch_run ? find_action(batch_run, name) : NULL;
    if (!action)
        return 0;
    struct slot_key key = make_slot_key(action, attempt, phase, version);
    struct event_slot *slot = find_slot(decision, &key);
    if (!slot)
        return 0;
    if (keep_text(decision, &info) != 0)
        return -ENOMEM;
    slot->is_stored = true;
    slot->stored_revision = revision;
    slot->stored_info = info;
    return 0;
}

/* Notes that the action may join the tree because of this batch. */
static void enqueue(struct decision *decision, struct batch_action *action)
{
    if (is_in_tree(action) || action->is_queued)
        return;
    action->is_queued = true;
    *decision->queue_tail = action;
    decision->queue_tail = &action->next_queued;
}

/* Or stand for an action that is, as far as is known yet. */
static bool may_be_in_tree(const struct batch_action *action)
{
    return is_in_tree(action) || action->is_queued || action->is_claimed || is_alias(action);
}

static void wait_for_parent(struct decision *decision, struct batch_action *child,
                            struct batch_action *parent)
{
    child->next_sibling = parent->waiting_children;
    parent->waiting_children = child;
    if (decision->is_looking && may_be_in_tree(parent))
        enqueue(decision, child);
}

int decision_put_action(struct decision *decision, const struct run_key *run,
                        const struct action *action, const struct action_origin *origin)
{
    struct batch_run *batch_run = find_run(decision, run);
    if (!batch_run)
        return 0;
    struct action kept = *action;
    struct batch_action *put = find_action(batch_run, action->name);
    if (put && put->is_stored)
        return 0;
    if (!put) {
        if (keep_text(decision, &kept.name) != 0)
            return -ENOMEM;
        put = get_action(decision, batch_run, kept.name);
        if (!put)
            return -ENOMEM;
    }
    kept.name = put->action.name;
    kept.abort_requested = NULL; /* decides nothing, and is not written */
    if (keep_text(decision, &kept.parent) || keep_text(decision, &kept.group) ||
        keep_text(decision, &kept.task_name) || keep_text(decision, &kept.short_name) ||
        keep_text(decision, &kept.error_info) || keep_text(decision, &kept.additions))
        return -ENOMEM;
    if (kept.ordinal == 0 && kept.parent) {
        struct batch_action *parent = get_action(decision, batch_run, kept.parent);
        if (!parent)
            return -ENOMEM;
        wait_for_parent(decision, put, parent);
    }
    put->action = kept;
    put->origin = *origin;
    put->is_stored = true;
    return 0;
}

static void enqueue_children(struct decision *decision, const struct batch_action *parent)
{
    if (parent->action.level == TREE_LEVELS_MAX)
        return;
    for (struct batch_action *at = parent->waiting_children; at; at = at->next_sibling)
        enqueue(decision, at);
    for (struct batch_event *at = parent->named_by; at; at = at->next_named_by)
        enqueue(decision, at->action);
}

/* Whoever waits for an alias that is new is read: it will wait for the action itself. */
static void start_looking_below(struct decision *decision, struct batch_action *action)
{
    if (action->is_claimed && !action->is_stored)
        enqueue(decision, action);
    else if (may_be_in_tree(action))
        enqueue_children(decision, action);
}

/* Queues what may join directly: below an action in the tree, or as a root. */
static void start_looking(struct decision *decision)
{
    decision->is_looking = true;
    for (struct batch_run *run = decision->runs; run; run = run->hh.next)
        for (struct batch_action *at = run->actions; at; at = at->hh.next)
            start_looking_below(decision, at);
    for (struct batch_event *at = decision->events; at; at = at->next)
        if (at->event->names_parent && !at->event->parent)
            enqueue(decision, at->action);
}

/* Appends the action to the names whose waiting children are to be read. 0 or -ENOMEM. */
static int add_unread(struct decision *decision, struct batch_action *action, size_t *count)
{
    if (action->children == CHILDREN_NONE || action->children == CHILDREN_READ)
        return 0;
    if (*count == decision->unread_capacity) {
        size_t capacity = next_capacity(decision->unread_capacity);
        if (grow((void **)&decision->unread, sizeof *decision->unread, capacity) != 0)
            return -ENOMEM;
        decision->unread_capacity = capacity;
    }
    decision->unread[(*count)++] =
        (struct decision_name){.run = action->run->index, .name = action->action.name};
    action->children = CHILDREN_READ;
    return 0;
}

const struct decision_name *decision_unread_parents(struct decision *decision, size_t *count)
{
    int status = 0;
    order_runs(decision);
    if (!decision->is_looking)
        start_looking(decision);
    *count = 0;
    for (struct batch_action *at = decision->continued; at && status == 0; at = at->next_queued)
        if ((is_in_tree(at) && at->action.level < TREE_LEVELS_MAX) || is_alias(at))
            status = add_unread(decision, at, count);
    while (decision->queue && status == 0) {
        struct batch_action *at = decision->queue;
        status = add_unread(decision, at, count);
        decision->queue = at->next_queued;
        if (!decision->queue)
            decision->queue_tail = &decision->queue;
        enqueue_children(decision, at);
    }
    if (status == 0)
        return decision->unread;
    *count = SIZE_MAX;
    return NULL;
}

static bool is_root(const struct batch_action *action)
{
    return is_in_tree(action) && !action->action.parent;
}

/* Whether the event may take a start or an end of its action back that the run has from it. */
static bool may_move_back(const struct batch_event *event)
{
    const struct batch_action *action = event->action;
    const struct run *run = &action->run->state;
    const struct action *state = &action->action;
    const struct action_event *said = event->event;
    int64_t started_us = action_started_us(state);
    bool has_start = started_us != TIME_NONE && started_us == run->started_us;
    bool has_end = state->ended_us != TIME_NONE && state->ended_us == run->ended_us;

    if (!action->is_stored || !is_root(action) || said->attempt < state->attempt)
        return false;
    if (said->attempt > state->attempt)
        return has_start || has_end;
    return (has_start && said->phase == PHASE_SKIPPED) ||
           (has_end && phase_is_terminal(said->phase));
}

const size_t *decision_unread_roots(struct decision *decision, size_t *count)
{
    size_t *runs = arena_alloc(&decision->arena, decision->run_count * sizeof *runs);
    *count = runs ? 0 : SIZE_MAX;
    if (!runs || decision->has_asked_for_roots)
        return runs;
    decision->has_asked_for_roots = true;
    for (struct batch_event *at = decision->events; at; at = at->next) {
        struct batch_run *run = at->action->run;
        if (run->wants_roots || run->roots_before < 2 || !may_move_back(at))
            continue;
        run->wants_roots = true;
        run->others_started_us = run->others_ended_us = TIME_NONE;
        runs[(*count)++] = run->index;
    }
    return runs;
}

/* The earlier of two times of which either may be none. */
static int64_t earlier(int64_t a, int64_t b)
{
    return b != TIME_NONE && (a == TIME_NONE || b < a) ? b : a;
}

static int64_t later(int64_t a, int64_t b)
{
    return b > a ? b : a; /* TIME_NONE is before all times */
}

void decision_put_root(struct decision *decision, size_t run, const char *name, int64_t started_us,
                       int64_t ended_us)
{
    struct batch_run *of = decision->ordered_runs[run];
    const struct batch_action *known = find_action(of, name);
    if (known && known->is_stored)
        return;
    of->others_started_us = earlier(of->others_started_us, started_us);
    of->others_ended_us = later(of->others_ended_us, ended_us);
}

/* -------- the decision: verdicts, revisions, and the rows to write -------- */

/* The action that is called so, by its name or an alias; NULL if nothing is known of it. */
static struct batch_action *find_called(const struct batch_run *run, const char *name)
{
    struct batch_action *called = find_action(run, name);
    return called && is_alias(called) ? find_action(run, called->action.parent) : called;
}

static struct batch_action *parent_of(const struct batch_action *action)
{
    return action->action.parent ? find_called(action->run, action->action.parent) : NULL;
}

/* Whether nothing keeps a waiting action from the tree. */
static bool can_join(const struct batch_action *action)
{
    if (!action->action.parent_named || is_in_tree(action))
        return false;
    if (!action->action.parent)
        return true;
    const struct batch_action *parent = parent_of(action);
    return parent && is_in_tree(parent) && parent->action.level < TREE_LEVELS_MAX;
}

/* Whether it would resume the action if it had a greater version. */
static bool is_resumption(const struct batch_event *event)
{
    const struct phase_said *stands = &event->action->origin.said.furthest;
    const struct action_event *said = event->event;

    return said->phase == PHASE_RUNNING && stands->phase == PHASE_PAUSED &&
           said->attempt == event->action->action.attempt && said->version == stands->version &&
           said->updated_us >= stands->updated_us;
}

/* Whether it goes on with what the service has abandoned. */
static bool is_after_abandonment(const struct batch_event *event)
{
    const struct phase_said *stands = &event->action->origin.said.furthest;
    const struct action_event *said = event->event;

    return stands->version == ABANDONED_VERSION && phase_is_terminal(stands->phase) &&
           said->attempt == event->action->action.attempt && said->updated_us >= stands->updated_us;
}

static void settle(struct batch_event *event, int64_t revision)
{
    event->verdict.revision = revision;
    event->verdict.status = event->is_state ? EVENT_APPLIED : EVENT_RECORDED;
    event->verdict.is_paused = !event->is_state && is_resumption(event);
    event->verdict.is_given_up = !event->is_state && is_after_abandonment(event);
}

/* Gives one action its place in the tree, behind all others, and its waiting events their revision.
 */
static void join(struct batch_action *joining)
{
    struct batch_run *run = joining->run;
    struct action *action = &joining->action;
    const struct batch_action *parent = parent_of(joining);
    action->ordinal = ++run->state.action_count;
    action->level = parent ? parent->action.level + 1 : 1;
    action->parent = parent ? parent->action.name : NULL; /* not an alias */
    action->revision = ++run->state.revision;
    run->state.phase_counts[action->phase]++;
    joining->joined_revision = action->revision;
    joining->is_changed = true;
    for (struct batch_event *at = joining->waiting_events; at; at = at->next_waiting)
        settle(at, action->revision);
    if (action->parent)
        return;
    run->state.root_counts[action->phase]++;
    if (!run->state.root)
        run->state.root = action->name;
}

static int compare_children(const void *a, const void *b)
{
    const struct batch_action *const *child_a = a, *const *child_b = b;
    const struct action *action_a = &(*child_a)->action, *action_b = &(*child_b)->action;
    if (action_a->created_us != action_b->created_us)
        return action_a->created_us < action_b->created_us ? -1 : 1;
    return strcmp(action_a->name, action_b->name);
}

/* Appends the children that wait for `parent` to a list by next_queued, the eldest first; those
 * that an event of their own has brought into the tree meanwhile wait no longer. Returns its new
 * tail, or NULL when out of memory. */
static struct batch_action **append_children(struct decision *decision, struct batch_action *parent,
                                             struct batch_action **tail)
{
    size_t count = 0, i = 0;
    for (struct batch_action *at = parent->waiting_children; at; at = at->next_sibling)
        count += !is_in_tree(at);
    if (count == 0 || parent->action.level == TREE_LEVELS_MAX)
        return tail;
    struct batch_action **children = arena_alloc(&decision->arena, count * sizeof(*children));
    if (!children)
        return NULL;
    for (struct batch_action *at = parent->waiting_children; at; at = at->next_sibling)
        if (!is_in_tree(at))
            children[i++] = at;
    parent->waiting_children = NULL;
    qsort(children, count, sizeof(*children), compare_children);
    for (i = 0; i < count; i++) {
        *tail = children[i];
        tail = &children[i]->next_queued;
        *tail = NULL;
    }
    return tail;
}

/* Joins the actions of a list by next_queued that ends at `tail`, and behind them level by level
 * all that waited for them. */
static int join_list(struct decision *decision, struct batch_action *const *first,
                     struct batch_action **tail)
{
    *tail = NULL;
    for (struct batch_action *at = *first; at; at = at->next_queued) {
        join(at);
        tail = append_children(decision, at, tail);
        if (!tail)
            return -ENOMEM;
    }
    return 0;
}

static int join_with_descendants(struct decision *decision, struct batch_action *first)
{
    return join_list(decision, &first, &first->next_queued);
}

/* Joins those that are known of the actions that wait for one, if that is in the tree. */
static int join_children(struct decision *decision, struct batch_action *parent)
{
    struct batch_action *first = NULL, **tail;
    if (!is_in_tree(parent))
        return 0;
    tail = append_children(decision, parent, &first);
    return tail ? join_list(decision, &first, tail) : -ENOMEM;
}

/* Whoever waits for the alias waits for its action. */
static int hand_over_children(struct decision *decision, struct batch_action *alias)
{
    struct batch_action *action = find_action(alias->run, alias->action.parent);
    struct batch_action *next;
    if (!action)
        return 0;
    for (struct batch_action *at = alias->waiting_children; at; at = next) {
        next = at->next_sibling;
        at->action.parent = action->action.name;
        at->is_changed = true;
        at->next_sibling = action->waiting_children;
        action->waiting_children = at;
    }
    alias->waiting_children = NULL;
    return join_children(decision, action);
}

static int continue_join(struct decision *decision, struct batch_action *parent)
{
    parent->run->is_changed = true;
    return is_alias(parent) ? hand_over_children(decision, parent)
                            : join_children(decision, parent);
}

static const char *describe_parent(const char *parent)
{
    return parent ? parent : "none (it is a root)";
}

/* Whether the parent of the action is what is called so; NULL: it is a root. */
static bool is_parent(const struct batch_action *action, const char *name)
{
    const char *parent = action->action.parent;
    if (!parent || !name)
        return !parent && !name;
    const struct batch_action *called = find_called(action->run, name);
    return strcmp(parent, name) == 0 || (called && parent_of(action) == called);
}

/* Whether the event may say about the parent what it says. 0, or -1 and *problem. */
static int check_parent(const struct batch_event *event, struct problem *problem)
{
    const struct action_event *said = event->event;
    const struct batch_action *known = event->action;
    if (!said->names_parent)
        return 0;
    const struct batch_action *parent = said->parent ? find_called(known->run, said->parent) : NULL;
    if (parent == known)
        return problem_set(problem, PROBLEM_INVALID_FIELD, "/parent",
                           "An action cannot be its own parent.");
    if (known->action.parent_named && !is_parent(known, said->parent))
        return problem_set(problem, PROBLEM_PARENT_CONFLICT, "/parent",
                           "The action's parent is %s, this event names %s.",
                           describe_parent(known->action.parent), describe_parent(said->parent));
    if (!said->parent || is_in_tree(known))
        return 0;
    if (parent && parent->action.level >= TREE_LEVELS_MAX)
        return problem_set(problem, PROBLEM_TOO_DEEP, "/parent",
                           "The parent %s is on level %d, the last that a tree may have.",
                           said->parent, TREE_LEVELS_MAX);
    return 0;
}

/* Whether something called so is there: recorded, or recorded in this batch. */
static bool is_taken(const struct batch_action *action)
{
    return action->is_stored || action->is_changed;
}

/* Whether the names that the event gives are free, or its action's already. 0, or -1 and *problem.
 */
static int check_names(const struct batch_event *event, struct problem *problem)
{
    const struct action_event *said = event->event;
    const struct batch_action *action = event->action;
    if (is_alias(action))
        return problem_set(problem, PROBLEM_ALIAS_CONFLICT, "/name",
                           "%s is an alias of the action %s.", said->name, action->action.parent);
    for (size_t i = 0; i < said->alias_count; i++) {
        const struct batch_action *alias = find_action(action->run, said->aliases[i]);
        char pointer[32];
        snprintf(pointer, sizeof pointer, "/aliases/%zu", i);
        if (is_alias(alias) && strcmp(alias->action.parent, said->name) != 0)
            return problem_set(problem, PROBLEM_ALIAS_CONFLICT, pointer,
                               "%s is an alias of the action %s.", said->aliases[i],
                               alias->action.parent);
        if (!is_alias(alias) && is_taken(alias))
            return problem_set(problem, PROBLEM_ALIAS_CONFLICT, pointer,
                               "%s is the name of another action.", said->aliases[i]);
        const char *parent = said->parent ? said->parent : action->action.parent;
        if (parent && strcmp(parent, said->aliases[i]) == 0)
            return problem_set(problem, PROBLEM_INVALID_FIELD, pointer,
                               "%s is the action's parent.", said->aliases[i]);
    }
    return 0;
}

/* Whether the event says the same as the one that took its key, and what not. 0 or -ENOMEM. */
static int compare_with_holder(const struct batch_event *event, struct event_result *verdict)
{
    const struct event_slot *slot = event->slot;
    const struct action_event *holder = slot->holder ? slot->holder->event : NULL;
    const char *stored = holder ? holder->info.bytes : slot->stored_info;
    size_t length = holder ? holder->info.length : strlen(stored);
    struct buffer differing = {0};
    int status =
        action_event_compare(event->event, stored, length, &verdict->identical, &differing);
    if (differing.length > 0)
        buffer_append(&differing, "", 1);
    verdict->differing = differing.bytes;
    return differing.failed ? -ENOMEM : status;
}

/* The text of the event's errorInfo in the arena, cut, NULL if it has none. 0 or -ENOMEM. */
static int dump_error_info(struct decision *decision, const struct action_event *event,
                           const char **text)
{
    *text = NULL;
    if (!event->error_info)
        return 0;
    *text = error_info_dump(event->error_info, &decision->arena);
    return *text ? 0 : -ENOMEM;
}

/* The first event that names the action's parent decides it. */
static int take_parent(struct decision *decision, struct batch_event *event)
{
    struct batch_action *child = event->action;
    if (!event->event->names_parent || child->action.parent_named)
        return 0;
    child->action.parent_named = true;
    child->action.parent = event->event->parent;
    child->is_changed = true;
    if (!child->action.parent || can_join(child))
        return 0;
    if (parent_of(child))
        child->action.parent = parent_of(child)->action.name;
    struct batch_action *parent = get_action(decision, child->run, child->action.parent);
    if (!parent)
        return -ENOMEM;
    child->next_sibling = parent->waiting_children;
    parent->waiting_children = child;
    return 0;
}

/* An action in the tree takes the run's next revision for the event. */
static void take_revision(struct batch_event *event, enum phase phase_before, bool is_visible)
{
    struct batch_run *run = event->action->run;
    struct action *action = &event->action->action;
    settle(event, ++run->state.revision);
    if (!is_visible)
        return;
    action->revision = event->verdict.revision;
    run->state.phase_counts[phase_before]--;
    run->state.phase_counts[action->phase]++;
    if (action->parent)
        return;
    run->state.root_counts[phase_before]--;
    run->state.root_counts[action->phase]++;
}

int run_addition_compare(const struct run_addition_row *a, const struct run_addition_row *b)
{
    if (a->updated_us != b->updated_us)
        return a->updated_us < b->updated_us ? -1 : 1;
    int order = strcmp(a->name, b->name);
    return order ? order : event_order_compare(a->order, b->order);
}

static void take_run_additions(struct batch_run *run, const struct action_event *event)
{
    for (int i = 0; i < RUN_ADDITIONS; i++) {
        const struct run_addition_row said = {
            .run = run->index,
            .addition = (enum run_addition)i,
            .value = event->run_additions[i],
            .updated_us = event->updated_us,
            .name = event->name,
            .order = event_order_of(event->attempt, event->phase, event->version)};
        if (said.value &&
            (!run->additions[i].value || run_addition_compare(&said, &run->additions[i]) < 0))
            run->additions[i] = said;
    }
}

/* Gives the action the names that are new. */
static int take_aliases(struct decision *decision, const struct batch_event *event)
{
    int status = 0;
    for (size_t i = 0; i < event->event->alias_count && status == 0; i++) {
        struct batch_action *alias = find_action(event->action->run, event->event->aliases[i]);
        if (is_alias(alias))
            continue;
        alias->action.parent = event->action->action.name;
        alias->action.ordinal = ALIAS_ORDINAL;
        alias->action.parent_named = true;
        alias->is_changed = true;
        status = hand_over_children(decision, alias);
    }
    return status;
}

static int record(struct decision *decision, struct batch_event *event)
{
    struct batch_action *action = event->action;
    enum phase phase_before = action->action.phase;
    const char *error_info;
    if (take_parent(decision, event) || dump_error_info(decision, event->event, &error_info))
        return -ENOMEM;
    struct action_change change =
        action_apply(&action->action, &action->origin, event->event, error_info);
    if (additions_take(&action->action, event->event, &decision->arena, &change) != 0)
        return -ENOMEM;
    if (event->event->has_run_additions)
        take_run_additions(action->run, event->event);
    event->slot->holder = event;
    event->is_new = true;
    event->is_state = change.is_state;
    action->is_changed |= change.is_changed;
    action->run->is_changed = true;
    action->run->has_events |= !event->event->is_abandonment;
    if (is_in_tree(action)) {
        take_revision(event, phase_before, change.is_visible);
        return take_aliases(decision, event);
    }
    event->verdict.status = EVENT_WAITING;
    event->next_waiting = action->waiting_events;
    action->waiting_events = event;
    if (take_aliases(decision, event) != 0)
        return -ENOMEM;
    return can_join(action) ? join_with_descendants(decision, action) : 0;
}

/* Whether the action is still to be given up, as it was when that was found. */
static bool is_abandoned(const struct batch_event *event)
{
    const struct batch_run *run = event->action->run;
    const struct action *action = &event->action->action;
    return is_in_tree(event->action) && action->attempt == event->event->attempt &&
           !phase_is_terminal(action->phase) &&
           phase_is_terminal(run_phase(run->state.root_counts)) && !run->has_events &&
           run->state.last_event_us == event->event->heard_us;
}

static int decide_event(struct decision *decision, struct batch_event *event)
{
    struct problem problem;
    if (event->event->is_abandonment && !is_abandoned(event)) {
        event->verdict.status = EVENT_REJECTED;
        return 0;
    }
    if (event->slot->is_stored || event->slot->holder) {
        event->verdict.status = EVENT_DUPLICATE;
        return compare_with_holder(event, &event->verdict);
    }
    if (check_names(event, &problem) || check_parent(event, &problem))
        return event_result_reject(&event->verdict, &problem);
    return record(decision, event);
}

/* Whether a waiting action will not join, for its parent is where the tree ends. */
static bool is_below_last_level(const struct batch_action *action)
{
    const struct batch_action *parent = parent_of(action);
    return action->parent_level >= TREE_LEVELS_MAX ||
           (parent && parent->action.level >= TREE_LEVELS_MAX);
}

/* What is known only after all events: a later one may have brought the action into the tree. */
static int finish_event(struct batch_event *event)
{
    const struct batch_action *action = event->action;
    if (event->verdict.status == EVENT_DUPLICATE) {
        const struct event_slot *slot = event->slot;
        event->verdict.revision = slot->holder            ? slot->holder->verdict.revision
                                  : slot->stored_revision ? slot->stored_revision
                                                          : action->joined_revision;
    }
    if (event->verdict.status == EVENT_WAITING && action->action.parent) {
        event->verdict.waiting_for = strdup(action->action.parent);
        if (!event->verdict.waiting_for)
            return -ENOMEM;
        event->verdict.is_too_deep = is_below_last_level(action);
    }
    return 0;
}

static int reserve_rows(struct decision *decision)
{
    struct arena *arena = &decision->arena;
    decision->event_rows = arena_alloc(arena, decision->event_count * sizeof *decision->event_rows);
    decision->action_rows =
        arena_alloc(arena, decision->action_count * sizeof *decision->action_rows);
    decision->unchanged_rows =
        arena_alloc(arena, decision->action_count * sizeof *decision->unchanged_rows);
    decision->joined_rows =
        arena_alloc(arena, decision->action_count * sizeof *decision->joined_rows);
    decision->run_rows = arena_alloc(arena, decision->run_count * sizeof *decision->run_rows);
    decision->run_addition_rows = arena_alloc(arena, decision->run_count * RUN_ADDITIONS *
                                                         sizeof *decision->run_addition_rows);
    decision->pending_rows =
        arena_alloc(arena, decision->action_count * sizeof *decision->pending_rows);
    if (!decision->run_addition_rows || !decision->pending_rows || !decision->event_rows ||
        !decision->action_rows || !decision->unchanged_rows || !decision->joined_rows ||
        !decision->run_rows)
        return -ENOMEM;
    return 0;
}

/* The run's phase and times are those of its roots: of the batch, and of those that are not in it,
 * which the row stands for unless they were read. */
static void follow_roots(struct batch_run *run)
{
    struct run *state = &run->state;
    int32_t known = 0;
    for (struct batch_action *at = run->actions; at; at = at->hh.next)
        known += at->is_stored && is_root(at) && at->joined_revision == 0;
    if (run->wants_roots || known >= run->roots_before) {
        state->started_us = run->wants_roots ? run->others_started_us : TIME_NONE;
        state->ended_us = run->wants_roots ? run->others_ended_us : TIME_NONE;
    }
    for (struct batch_action *at = run->actions; at; at = at->hh.next) {
        if (!is_root(at))
            continue;
        state->created_us = earlier(state->created_us, at->action.created_us);
        state->started_us = earlier(state->started_us, action_started_us(&at->action));
        state->ended_us = later(state->ended_us, at->action.ended_us);
    }
}

/* One that is new and waits, or that waited and has joined. */
static int32_t waiting_change(const struct batch_action *action)
{
    if (!action->is_changed || is_alias(action))
        return 0;
    if (action->is_stored)
        return action->joined_revision != 0 ? -1 : 0;
    return is_in_tree(action) ? 0 : 1;
}

static void make_action_rows(struct decision *decision, const struct batch_run *run)
{
    for (struct batch_action *at = run->actions; at; at = at->hh.next) {
        bool is_pending = at->is_unfinished &&
                          ((is_in_tree(at) && at->action.level < TREE_LEVELS_MAX) || is_alias(at));
        if (is_pending || at->is_continued)
            decision->pending_rows[decision->pending_row_count++] = (struct pending_join_row){
                .run = run->index, .parent = at->action.name, .is_done = !is_pending};
        const struct action_row row = {.run = run->index,
                                       .is_new = !at->is_stored,
                                       .action = at->action,
                                       .origin = at->origin};
        if (!at->is_changed && at->is_stored)
            decision->unchanged_rows[decision->unchanged_row_count++] = row;
        if (!at->is_changed)
            continue;
        decision->action_rows[decision->action_row_count++] = row;
        if (at->is_stored && at->joined_revision)
            decision->joined_rows[decision->joined_row_count++] = (struct joined_row){
                .run = run->index, .name = at->action.name, .revision = at->joined_revision};
    }
}

static void make_rows(struct decision *decision)
{
    for (struct batch_event *at = decision->events; at; at = at->next)
        if (at->is_new)
            decision->event_rows[decision->event_row_count++] =
                (struct event_row){.run = at->action->run->index,
                                   .event = at->event,
                                   .revision = at->verdict.revision};
    for (size_t i = 0; i < decision->run_count; i++) {
        struct batch_run *run = decision->ordered_runs[i];
        if (!run->is_changed)
            continue;
        follow_roots(run);
        make_action_rows(decision, run);
        for (const struct batch_action *at = run->actions; at; at = at->hh.next)
            run->state.waiting_count += waiting_change(at);
        run->state.phase = run_phase(run->state.root_counts);
        bool has_open_ends = run_has_open_ends(&run->state);
        for (int k = 0; k < RUN_ADDITIONS; k++)
            if (run->additions[k].value)
                decision->run_addition_rows[decision->run_addition_row_count++] = run->additions[k];
        decision->run_rows[decision->run_row_count++] = (struct run_row){
            .run = i,
            .is_new = run->is_new,
            .gets_open_ends = has_open_ends && !run->had_open_ends,
            .loses_open_ends = !has_open_ends && run->had_open_ends,
            .is_moved = !run->is_new && run_shown_us(&run->state) != run->shown_before_us,
            .has_events = run->has_events,
            .revision_before = run->revision_before,
            .state = run->state};
    }
}

int decision_make(struct decision *decision)
{
    size_t run_count;
    decision_runs(decision, &run_count); /* gives each run its index */
    for (struct batch_event *at = decision->events; at; at = at->next)
        if (decide_event(decision, at) != 0)
            return -ENOMEM;
    for (struct batch_action *at = decision->continued; at;) {
        struct batch_action *next = at->next_queued;
        if (continue_join(decision, at) != 0)
            return -ENOMEM;
        at = next;
    }
    for (struct batch_event *at = decision->events; at; at = at->next)
        if (finish_event(at) != 0)
            return -ENOMEM;
    if (reserve_rows(decision) != 0)
        return -ENOMEM;
    make_rows(decision);
    for (struct batch_event *at = decision->events; at; at = at->next) {
        event_result_clear(at->result);
        *at->result = at->verdict;
        at->verdict = (struct event_result){0};
    }
    return 0;
}

const struct event_row *decision_event_rows(const struct decision *decision, size_t *count)
{
    *count = decision->event_row_count;
    return decision->event_rows;
}

const struct action_row *decision_action_rows(const struct decision *decision, size_t *count)
{
    *count = decision->action_row_count;
    return decision->action_rows;
}

const struct action_row *decision_unchanged_rows(const struct decision *decision, size_t *count)
{
    *count = decision->unchanged_row_count;
    return decision->unchanged_rows;
}

const struct joined_row *decision_joined_rows(const struct decision *decision, size_t *count)
{
    *count = decision->joined_row_count;
    return decision->joined_rows;
}

const struct pending_join_row *decision_pending_rows(const struct decision *decision, size_t *count)
{
    *count = decision->pending_row_count;
    return decision->pending_rows;
}

const struct run_addition_row *decision_run_addition_rows(const struct decision *decision,
                                                          size_t *count)
{
    *count = decision->run_addition_row_count;
    return decision->run_addition_rows;
}

const struct run_row *decision_run_rows(const struct decision *decision, size_t *count)
{
    *count = decision->run_row_count;
    return decision->run_rows;
}
