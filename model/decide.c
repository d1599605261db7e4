/* Decides a batch: verdicts, revisions, and the rows to write. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/decide_internal.h"
#include "model/error_info.h"

static struct batch_action *parent_of(const struct batch_action *action)
{
    struct batch_action *parent = NULL;
    if (action->action.parent)
        HASH_FIND_STR(action->run->actions, action->action.parent, parent);
    return parent;
}

/* Whether nothing keeps a waiting action from the tree. */
static bool can_join(const struct batch_action *action)
{
    if (!action->action.parent_named || batch_action_is_in_tree(action))
        return false;
    if (!action->action.parent)
        return true;
    const struct batch_action *parent = parent_of(action);
    return parent && batch_action_is_in_tree(parent) && parent->action.level < TREE_LEVELS_MAX;
}

/* The run's phase and times are those of its root. */
static void follow_root(struct batch_run *run, const struct action *root)
{
    run->state.phase = root->phase;
    run->state.created_us = root->created_us;
    run->state.started_us = root->started_us;
    run->state.ended_us = root->ended_us;
}

static void settle(struct batch_event *event, int64_t revision)
{
    event->verdict.revision = revision;
    event->verdict.status = event->is_state ? EVENT_APPLIED : EVENT_RECORDED;
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
    action->revision = ++run->state.revision;
    run->state.phase_counts[action->phase]++;
    joining->joined_revision = action->revision;
    joining->is_changed = true;
    for (struct batch_event *at = joining->waiting_events; at; at = at->next_waiting)
        settle(at, action->revision);
    if (!run->state.root && !action->parent) {
        run->state.root = action->name;
        follow_root(run, action);
    }
}

static int compare_children(const void *a, const void *b)
{
    const struct batch_action *const *child_a = a, *const *child_b = b;
    const struct action *action_a = &(*child_a)->action, *action_b = &(*child_b)->action;
    if (action_a->created_us != action_b->created_us)
        return action_a->created_us < action_b->created_us ? -1 : 1;
    return strcmp(action_a->name, action_b->name);
}

/* Appends the children that wait for `parent` to a list by next_queued, the eldest first. Returns
 * its new tail, or NULL when out of memory. */
static struct batch_action **append_children(struct decision *decision, struct batch_action *parent,
                                             struct batch_action **tail)
{
    size_t count = 0, i = 0;
    for (struct batch_action *at = parent->waiting_children; at; at = at->next_sibling)
        count++;
    if (count == 0 || parent->action.level == TREE_LEVELS_MAX)
        return tail;
    struct batch_action **children = arena_alloc(&decision->arena, count * sizeof(*children));
    if (!children)
        return NULL;
    for (struct batch_action *at = parent->waiting_children; at; at = at->next_sibling)
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

/* Joins those that were read of the actions that wait for one in the tree. */
static int continue_join(struct decision *decision, struct batch_action *parent)
{
    struct batch_action *first = NULL, **tail;
    parent->run->is_changed = true;
    if (!batch_action_is_in_tree(parent))
        return 0;
    tail = append_children(decision, parent, &first);
    return tail ? join_list(decision, &first, tail) : -ENOMEM;
}

static const char *describe_parent(const char *parent)
{
    return parent ? parent : "none (it is a root)";
}

/* Whether the event may say about the parent what it says. 0, or -1 and *problem. */
static int check_parent(const struct batch_event *event, struct problem *problem)
{
    const struct action_event *said = event->event;
    const struct batch_action *known = event->action;
    if (!said->names_parent)
        return 0;
    if (known->action.parent_named) {
        const char *parent = known->action.parent;
        bool agrees =
            parent && said->parent ? strcmp(parent, said->parent) == 0 : parent == said->parent;
        if (!agrees)
            return problem_set(problem, PROBLEM_PARENT_CONFLICT, "/parent",
                               "The action's parent is %s, this event names %s.",
                               describe_parent(parent), describe_parent(said->parent));
    }
    if (!said->parent || batch_action_is_in_tree(known))
        return 0;
    const struct batch_action *parent;
    HASH_FIND_STR(known->run->actions, said->parent, parent);
    if (parent && parent->action.level >= TREE_LEVELS_MAX)
        return problem_set(problem, PROBLEM_TOO_DEEP, "/parent",
                           "The parent %s is on level %d, the last that a tree may have.",
                           said->parent, TREE_LEVELS_MAX);
    return 0;
}

/* Whether the event says the same as the one that took its key. 0 or -ENOMEM. */
static int compare_with_holder(const struct batch_event *event, bool *is_identical)
{
    const struct event_slot *slot = event->slot;
    const struct action_event *holder = slot->holder ? slot->holder->event : NULL;
    const char *stored = holder ? holder->info.bytes : slot->stored_info;
    size_t length = holder ? holder->info.length : strlen(stored);
    return action_event_compare(event->event, stored, length, is_identical);
}

static char *dump_text(struct decision *decision, const json_t *json, size_t length)
{
    char *dumped = length ? arena_alloc(&decision->arena, length + 1) : NULL;
    return dumped && json_dumpb(json, dumped, length, JSON_COMPACT) == length ? dumped : NULL;
}

/* The text of the event's errorInfo in the arena, cut, NULL if it has none. 0 or -ENOMEM. */
static int dump_error_info(struct decision *decision, const struct action_event *event,
                           const char **text)
{
    *text = NULL;
    if (!event->error_info)
        return 0;
    size_t length = json_dumpb(event->error_info, NULL, 0, JSON_COMPACT);
    if (length <= ERROR_TEXT_BYTES_MAX) {
        *text = dump_text(decision, event->error_info, length);
    } else {
        json_t *cut = error_info_cut(event->error_info);
        *text = cut ? dump_text(decision, cut, json_dumpb(cut, NULL, 0, JSON_COMPACT)) : NULL;
        json_decref(cut);
    }
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
    struct batch_action *parent = batch_action_get(decision, child->run, child->action.parent);
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
    /* Without locks the run may have been read a moment before its root joined. */
    if (!action->parent && run->state.root && strcmp(run->state.root, action->name) == 0)
        follow_root(run, action);
}

static int record(struct decision *decision, struct batch_event *event)
{
    struct batch_action *action = event->action;
    enum phase phase_before = action->action.phase;
    const char *error_info;
    if (take_parent(decision, event) || dump_error_info(decision, event->event, &error_info))
        return -ENOMEM;
    struct action_change change = action_apply(&action->action, event->event, error_info);
    event->slot->holder = event;
    event->is_new = true;
    event->is_state = change.is_state;
    action->is_changed |= change.is_changed;
    action->run->is_changed = true;
    if (batch_action_is_in_tree(action)) {
        take_revision(event, phase_before, change.is_visible);
        return 0;
    }
    event->verdict.status = EVENT_WAITING;
    event->next_waiting = action->waiting_events;
    action->waiting_events = event;
    return can_join(action) ? join_with_descendants(decision, action) : 0;
}

static int decide_event(struct decision *decision, struct batch_event *event)
{
    struct problem problem;
    if (event->slot->is_stored || event->slot->holder) {
        event->verdict.status = EVENT_DUPLICATE;
        return compare_with_holder(event, &event->verdict.identical);
    }
    if (check_parent(event, &problem) != 0)
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
    decision->joined_rows =
        arena_alloc(arena, decision->action_count * sizeof *decision->joined_rows);
    decision->run_rows = arena_alloc(arena, decision->run_count * sizeof *decision->run_rows);
    decision->pending_rows =
        arena_alloc(arena, decision->action_count * sizeof *decision->pending_rows);
    if (!decision->pending_rows || !decision->event_rows || !decision->action_rows ||
        !decision->joined_rows || !decision->run_rows)
        return -ENOMEM;
    return 0;
}

static void make_action_rows(struct decision *decision, const struct batch_run *run)
{
    for (struct batch_action *at = run->actions; at; at = at->hh.next) {
        bool is_pending =
            at->is_unfinished && batch_action_is_in_tree(at) && at->action.level < TREE_LEVELS_MAX;
        if (is_pending || at->is_continued)
            decision->pending_rows[decision->pending_row_count++] = (struct pending_join_row){
                .run = run->index, .parent = at->action.name, .is_done = !is_pending};
        if (!at->is_changed)
            continue;
        decision->action_rows[decision->action_row_count++] =
            (struct action_row){.run = run->index, .is_new = !at->is_stored, .action = at->action};
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
        const struct batch_run *run = decision->ordered_runs[i];
        if (!run->is_changed)
            continue;
        make_action_rows(decision, run);
        decision->run_rows[decision->run_row_count++] =
            (struct run_row){.run = i,
                             .is_new = run->is_new,
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

const struct run_row *decision_run_rows(const struct decision *decision, size_t *count)
{
    *count = decision->run_row_count;
    return decision->run_rows;
}
