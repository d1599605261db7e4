/* Gathers what a decision is made from: the batch's events and what is stored about them. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/decide_internal.h"

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

struct batch_action *batch_action_get(struct decision *decision, struct batch_run *run,
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
    struct batch_action *action = batch_action_get(decision, run, name);
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
                                                    .name = decision->named[i]->action.name};
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
    }
    state.key = put->key;
    if (keep_text(decision, &state.root) != 0)
        return -ENOMEM;
    put->is_new = is_new;
    put->revision_before = state.revision;
    put->state = state;
    return 0;
}

static bool may_be_stored(const struct batch_event *event)
{
    const struct action *state = &event->action->action;
    const struct action_event *said = event->event;
    return event->action->is_stored &&
           event_order_compare(event_order_of(said->attempt, said->phase, said->version),
                               event_order_of(state->attempt, state->phase, state->version)) <= 0;
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
    if (batch_action_is_in_tree(action) || action->is_queued)
        return;
    action->is_queued = true;
    *decision->queue_tail = action;
    decision->queue_tail = &action->next_queued;
}

static bool may_be_in_tree(const struct batch_action *action)
{
    return batch_action_is_in_tree(action) || action->is_queued;
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
                        const struct action *action)
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
        put = batch_action_get(decision, batch_run, kept.name);
        if (!put)
            return -ENOMEM;
    }
    kept.name = put->action.name;
    if (keep_text(decision, &kept.parent) || keep_text(decision, &kept.group) ||
        keep_text(decision, &kept.task_name) || keep_text(decision, &kept.short_name) ||
        keep_text(decision, &kept.error_info))
        return -ENOMEM;
    if (kept.ordinal == 0 && kept.parent) {
        struct batch_action *parent = batch_action_get(decision, batch_run, kept.parent);
        if (!parent)
            return -ENOMEM;
        wait_for_parent(decision, put, parent);
    }
    put->action = kept;
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

/* Queues what may join directly: below an action in the tree, or as a root. */
static void start_looking(struct decision *decision)
{
    decision->is_looking = true;
    for (struct batch_run *run = decision->runs; run; run = run->hh.next)
        for (struct batch_action *at = run->actions; at; at = at->hh.next)
            if (batch_action_is_in_tree(at))
                enqueue_children(decision, at);
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
        if (batch_action_is_in_tree(at) && at->action.level < TREE_LEVELS_MAX)
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
