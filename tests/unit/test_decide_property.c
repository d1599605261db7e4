/* The same events in any order, any batching, with any repeats give the same actions and the same
 * tree: the one that an oracle works out by sorting the events. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_test.h"
#include "event_maker.h"
#include "memory_store.h"
#include "model/additions.h"
#include "random.h"

enum { ROUNDS = 300, ACTIONS_MAX = 24, EVENTS_PER_ACTION_MAX = 6, NO_PARENT = -1, UNKNOWN = -2 };
/* Each attempt may be given up once. */
enum { EVENTS_MAX = ACTIONS_MAX * (EVENTS_PER_ACTION_MAX + 2), POSTS_MAX = 3 * EVENTS_MAX };

/* A run as it will be: the parent of each action, and all events. */
struct plan {
    size_t action_count, event_count;
    int parents[ACTIONS_MAX]; /* NO_PARENT: a root; UNKNOWN: no event says it */
    struct made_event events[EVENTS_MAX];
    size_t action_of[EVENTS_MAX];
    bool has_alias[ACTIONS_MAX]; /* "x…", which its first event claims, and others may */
    bool by_alias[ACTIONS_MAX];  /* its parent is called so, if that has one */
};

static size_t count_of_events(const struct plan *plan, size_t action)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->event_count; i++)
        count += plan->action_of[i] == action;
    return count;
}

static bool has_key(const struct plan *plan, size_t action, int attempt, int phase, int version)
{
    for (size_t i = 0; i < plan->event_count; i++) {
        const struct action_event *at = &plan->events[i].event;
        if (plan->action_of[i] == action && at->attempt == attempt && (int)at->phase == phase &&
            at->version == version)
            return true;
    }
    return false;
}

/* ,"parent":… as an event of the action may say it; always for its first. */
static void write_parent(char *out, size_t size, const struct plan *plan, size_t action,
                         bool is_said)
{
    int parent = plan->parents[action];
    *out = '\0';
    if (!is_said || parent == UNKNOWN)
        return;
    if (parent == NO_PARENT)
        snprintf(out, size, ",'parent':null");
    else
        snprintf(out, size, ",'parent':'%s%d'",
                 plan->by_alias[action] && parent < (int)plan->action_count &&
                         plan->has_alias[parent]
                     ? "x"
                     : "n",
                 parent);
}

static void add_event(struct plan *plan, struct random *random, size_t action)
{
    char parent[32], group[32] = "", task[64] = "", error[64] = "", additions[128] = "";
    char alias[32] = "";
    int attempt = 1 + (int)random_below(random, 2);
    int phase = 1 + (int)random_below(random, PHASE_SLOTS - 1);
    int version = (int)random_below(random, 3);
    if (has_key(plan, action, attempt, phase, version))
        return;
    bool is_first = count_of_events(plan, action) == 0;
    write_parent(parent, sizeof parent, plan, action, is_first || random_once_in(random, 3));
    if (random_once_in(random, 3))
        snprintf(group, sizeof group, ",'group':'g%zu'", random_below(random, 3));
    if (random_once_in(random, 3))
        snprintf(task, sizeof task, ",'task':{'name':'t%zu'%s}", random_below(random, 3),
                 random_once_in(random, 2) ? ",'shortName':'s'" : "");
    if (random_once_in(random, 4))
        snprintf(error, sizeof error, ",'errorInfo':{'message':'m%zu'}", random_below(random, 9));
    if (random_once_in(random, 4))
        snprintf(additions, sizeof additions,
                 ",'%s':['n%zu'],'run':{'title':'t%zu','%s':{'k':'v%zu'}}",
                 random_once_in(random, 2) ? "dependsOn" : "x", random_below(random, 3),
                 random_below(random, 3), random_once_in(random, 2) ? "labels" : "params",
                 random_below(random, 3));
    if (plan->has_alias[action] && (is_first || random_once_in(random, 3)))
        snprintf(alias, sizeof alias, ",'aliases':['x%zu']", action);
    plan->action_of[plan->event_count] = action;
    plan->events[plan->event_count++] =
        make_event("'name':'n%zu','attempt':%d,'phase':'%s','version':%d,"
                   "'updatedTime':'1970-01-01T00:01:%02zuZ'%s%s%s%s%s%s",
                   action, attempt, phase_name((enum phase)phase), version, random_below(random, 8),
                   parent, group, task, error, additions, alias);
}

/* Mostly one tree, or several; some actions hang below nobody, in a cycle, or below another root.
 */
static void make_plan(struct plan *plan, struct random *random)
{
    *plan = (struct plan){.action_count = 1 + random_below(random, ACTIONS_MAX)};
    bool has_strays = random_once_in(random, 3), has_many_roots = random_once_in(random, 3);
    for (size_t i = 0; i < plan->action_count; i++) {
        plan->has_alias[i] = random_once_in(random, 3);
        plan->by_alias[i] = random_once_in(random, 2);
    }
    for (size_t i = 0; i < plan->action_count; i++) {
        bool is_root = i == 0 || (has_many_roots && random_once_in(random, 2));
        plan->parents[i] = is_root ? NO_PARENT : (int)random_below(random, i);
        if (i > 0 && has_strays && random_once_in(random, 6)) {
            const int strays[] = {UNKNOWN, NO_PARENT, ACTIONS_MAX + 1,
                                  (int)random_below(random, plan->action_count)};
            plan->parents[i] = strays[random_below(random, 4)];
            if (plan->parents[i] == (int)i)
                plan->parents[i] = UNKNOWN;
        }
        size_t tries = 1 + random_below(random, EVENTS_PER_ACTION_MAX);
        for (size_t j = 0; j < tries; j++)
            add_event(plan, random, i);
    }
}

static void clear_plan(struct plan *plan)
{
    for (size_t i = 0; i < plan->event_count; i++)
        made_event_clear(&plan->events[i]);
}

/* Whether the action belongs to the tree, and how deep, by following parents. */
static int32_t level_of(const struct plan *plan, size_t action)
{
    int32_t level = 1;
    for (int at = (int)action; plan->parents[at] != NO_PARENT; at = plan->parents[at], level++)
        if (plan->parents[at] == UNKNOWN || plan->parents[at] >= (int)plan->action_count ||
            level > ACTIONS_MAX)
            return 0;
    return level;
}

/* Whether `a` stands over `b`, as docs/model.md has it; the same event does not. */
static bool stands_over(const struct action_event *a, const struct action_event *b)
{
    static const int ranks[PHASE_SLOTS] = {0, 1, 2, 3, 4, 5, 5, 5, 5, 4, 5, 5};
    bool is_end = ranks[a->phase] == 5;
    const int64_t keys_a[] = {a->attempt, ranks[a->phase], a->version, is_end ? -a->updated_us : 0,
                              is_end ? -(int)a->phase : (int)a->phase};
    const int64_t keys_b[] = {b->attempt, ranks[b->phase], b->version, is_end ? -b->updated_us : 0,
                              is_end ? -(int)b->phase : (int)b->phase};
    for (size_t i = 0; i < 5; i++)
        if (keys_a[i] != keys_b[i])
            return keys_a[i] > keys_b[i];
    return false;
}

/* In the order of the history, which knows no times. */
static bool is_first(const struct action_event *a, const struct action_event *b)
{
    struct action_event at_once[] = {*a, *b};
    if (!b->name)
        return true;
    at_once[0].updated_us = at_once[1].updated_us = 0;
    if (phase_is_terminal(a->phase) && a->attempt == b->attempt && a->version == b->version &&
        phase_is_terminal(b->phase))
        return a->phase < b->phase;
    return stands_over(&at_once[1], &at_once[0]);
}

/* Of two waits. */
static bool is_later_wait(const struct action_event *a, const struct action_event *b)
{
    if (a->updated_us != b->updated_us)
        return a->updated_us > b->updated_us;
    return a->version != b->version ? a->version > b->version : a->phase > b->phase;
}

/* What is shown of the attempt of the furthest event: that one, or a wait behind a RUNNING. */
static const struct action_event *shown_event(const struct plan *plan, size_t action,
                                              const struct action_event *furthest)
{
    const struct action_event *wait = NULL;
    for (size_t i = 0; i < plan->event_count; i++) {
        const struct action_event *at = &plan->events[i].event;
        if (plan->action_of[i] == action && at->attempt == furthest->attempt && at->version > 0 &&
            at->phase < PHASE_RUNNING && (!wait || is_later_wait(at, wait)))
            wait = at;
    }
    return wait && (furthest->phase == PHASE_RUNNING || furthest->phase == PHASE_PAUSED) &&
                   wait->version > furthest->version && wait->updated_us > furthest->updated_us
               ? wait
               : furthest;
}

/* The action's state: everything that the order of arrival must not change. */
static struct action work_out(const struct plan *plan, size_t action)
{
    struct action out = {.created_us = INT64_MAX, .started_us = TIME_NONE, .ended_us = TIME_NONE};
    const struct action_event none = {0}, *furthest = NULL, *of_group = &none, *of_task = &none;
    for (size_t i = 0; i < plan->event_count; i++) {
        const struct action_event *event = &plan->events[i].event;
        if (plan->action_of[i] != action)
            continue;
        if (!furthest || stands_over(event, furthest))
            furthest = event;
        if (event->updated_us < out.created_us)
            out.created_us = event->updated_us;
        if (event->group && is_first(event, of_group))
            of_group = event;
        if (event->has_task && is_first(event, of_task))
            of_task = event;
    }
    assert_non_null(furthest);
    for (size_t i = 0; i < plan->event_count; i++) {
        const struct action_event *event = &plan->events[i].event;
        if (plan->action_of[i] == action && event->attempt == furthest->attempt &&
            event->phase == PHASE_RUNNING &&
            (out.started_us == TIME_NONE || event->updated_us < out.started_us))
            out.started_us = event->updated_us;
    }
    const struct action_event *shown = shown_event(plan, action, furthest);
    out.group = of_group->group;
    out.task_name = of_task->task_name;
    out.short_name = of_task->short_name;
    out.attempt = furthest->attempt;
    out.phase = shown->phase;
    out.version = shown->version;
    out.ended_us = phase_is_terminal(furthest->phase) ? furthest->updated_us : TIME_NONE;
    out.error_info = furthest->error_info
                         ? json_string_value(json_object_get(furthest->error_info, "message"))
                         : NULL;
    return out;
}

static void assert_same_text(const char *expected, const char *found)
{
    if (expected && found)
        assert_string_equal(expected, found);
    else
        assert_true(!expected && !found);
}

/* What the first event of the action that has them says it depends on. */
static void check_depends_on(const struct plan *plan, size_t action, const char *kept)
{
    const struct action_event none = {0}, *first = &none;
    char expected[64] = "";
    struct buffer shown = {0};
    for (size_t i = 0; i < plan->event_count; i++) {
        const struct action_event *event = &plan->events[i].event;
        if (plan->action_of[i] == action && event->additions[ADDITION_DEPENDS_ON] &&
            is_first(event, first))
            first = event;
    }
    if (first != &none)
        snprintf(expected, sizeof expected, ",\"dependsOn\":%s",
                 first->additions[ADDITION_DEPENDS_ON]);
    if (kept != NULL)
        additions_write(&shown, kept);
    buffer_append(&shown, "", 1);
    assert_string_equal(expected, shown.bytes);
    buffer_free(&shown);
}

/* Whether `a` says of the run what it says before `b` does. */
static bool speaks_before(const struct action_event *a, const struct action_event *b)
{
    if (a->updated_us != b->updated_us)
        return a->updated_us < b->updated_us;
    int order = strcmp(a->name, b->name);
    return order ? order < 0 : is_first(a, b);
}

static void check_run_additions(const struct plan *plan, const struct memory_store *store)
{
    for (int k = 0; k < RUN_ADDITIONS; k++) {
        const struct action_event *first = NULL;
        for (size_t i = 0; i < plan->event_count; i++) {
            const struct action_event *event = &plan->events[i].event;
            if (event->run_additions[k] && (!first || speaks_before(event, first)))
                first = event;
        }
        assert_same_text(first ? first->run_additions[k] : NULL, store->run_additions[0][k].value);
    }
}

static void check_action(const struct plan *plan, const struct memory_store *store, size_t i)
{
    char name[16];
    snprintf(name, sizeof name, "n%zu", i);
    const struct action *found = memory_store_action(store, 0, name);
    struct action expected = work_out(plan, i);
    int32_t level = level_of(plan, i);
    assert_non_null(found);
    assert_int_equal(found->attempt, expected.attempt);
    assert_int_equal(found->phase, expected.phase);
    assert_int_equal(found->version, expected.version);
    assert_int_equal(found->created_us, expected.created_us);
    assert_int_equal(found->started_us, expected.started_us);
    assert_int_equal(found->ended_us, expected.ended_us);
    assert_same_text(expected.group, found->group);
    assert_same_text(expected.task_name, found->task_name);
    assert_same_text(expected.short_name, found->short_name);
    assert_int_equal(found->error_info != NULL, expected.error_info != NULL);
    if (expected.error_info)
        assert_non_null(strstr(found->error_info, expected.error_info));
    check_depends_on(plan, i, found->additions);
    assert_int_equal(found->parent_named, plan->parents[i] != UNKNOWN);
    assert_int_equal(found->level, level);
    assert_int_equal(found->ordinal > 0, level > 0);
    assert_int_equal(found->revision > 0, level > 0);
    if (level > 1) {
        const struct action *parent = memory_store_action(store, 0, found->parent);
        assert_true(parent->ordinal < found->ordinal);
    }
}

/* What the roots' phases come to, as docs/model.md has it. */
static enum phase expected_run_phase(const int32_t roots[PHASE_SLOTS])
{
    static const enum phase order[] = {PHASE_RUNNING, PHASE_PAUSED};
    static const enum phase waits[] = {PHASE_INITIALIZING, PHASE_WAITING_FOR_RESOURCES,
                                       PHASE_QUEUED};
    static const enum phase ends[] = {PHASE_FAILED,    PHASE_TIMED_OUT, PHASE_ABORTED,
                                      PHASE_SUCCEEDED, PHASE_RECOVERED, PHASE_SKIPPED};
    bool has_end = false;
    for (size_t i = 0; i < 6; i++)
        has_end |= roots[ends[i]] > 0;
    for (size_t i = 0; i < 2; i++)
        if (roots[order[i]] > 0)
            return order[i];
    for (size_t i = 0; i < 3; i++)
        if (roots[waits[i]] > 0)
            return has_end ? PHASE_RUNNING : waits[i];
    for (size_t i = 0; i < 6; i++)
        if (roots[ends[i]] > 0)
            return ends[i];
    return PHASE_NONE;
}

static void check_roots(const struct memory_store *store)
{
    const struct run *run = &store->runs[0];
    int32_t roots[PHASE_SLOTS] = {0};
    int64_t created = INT64_MAX, started = INT64_MAX, ended = TIME_NONE;
    bool has_root = false, is_over = true;
    for (size_t i = 0; i < store->action_count; i++) {
        const struct action *at = &store->actions[i].action;
        if (at->ordinal <= 0 || at->parent)
            continue;
        has_root = true;
        roots[at->phase]++;
        created = at->created_us < created ? at->created_us : created;
        if (at->phase != PHASE_SKIPPED && at->started_us != TIME_NONE && at->started_us < started)
            started = at->started_us;
        is_over &= at->ended_us != TIME_NONE;
        ended = at->ended_us > ended ? at->ended_us : ended;
    }
    assert_memory_equal(run->root_counts, roots, sizeof roots);
    assert_int_equal(run->phase, expected_run_phase(roots));
    assert_int_equal(run->created_us, has_root ? created : TIME_NONE);
    assert_int_equal(run->started_us, started == INT64_MAX ? TIME_NONE : started);
    assert_int_equal(run_ended_us(run), has_root && is_over ? ended : TIME_NONE);
    assert_int_equal(run->root != NULL, has_root);
    if (has_root)
        assert_null(memory_store_action(store, 0, run->root)->parent);
}

static void check_run(const struct plan *plan, const struct memory_store *store)
{
    const struct run *run = &store->runs[0];
    int32_t counts[PHASE_SLOTS] = {0}, in_tree = 0;
    bool seen[ACTIONS_MAX + 1] = {false};
    for (size_t i = 0; i < plan->action_count; i++)
        check_action(plan, store, i);
    check_run_additions(plan, store);
    for (size_t i = 0; i < store->action_count; i++) {
        const struct action *at = &store->actions[i].action;
        if (at->ordinal <= 0)
            continue;
        in_tree++;
        counts[at->phase]++;
        assert_true(at->ordinal <= (int32_t)plan->action_count && !seen[at->ordinal]);
        seen[at->ordinal] = true;
    }
    assert_int_equal(run->action_count, in_tree);
    assert_int_equal(run->waiting_count, (int32_t)plan->action_count - in_tree);
    assert_memory_equal(run->phase_counts, counts, sizeof counts);
}

/* Every revision was taken by the events of one action; those that wait have none. */
static void check_revisions(const struct memory_store *store)
{
    const struct run *run = &store->runs[0];
    const char *taken_by[EVENTS_MAX + 1] = {NULL};
    for (size_t i = 0; i < store->event_count; i++) {
        const struct stored_event *at = &store->events[i];
        const struct action *action = memory_store_action(store, 0, at->name);
        assert_int_equal(at->revision > 0, action->ordinal > 0);
        assert_true(at->revision <= run->revision);
        if (at->revision == 0)
            continue;
        if (taken_by[at->revision])
            assert_string_equal(taken_by[at->revision], at->name);
        taken_by[at->revision] = at->name;
    }
    for (int64_t revision = 1; revision <= run->revision; revision++)
        assert_non_null(taken_by[revision]);
    for (size_t i = 0; i < store->action_count; i++) {
        const struct action *at = &store->actions[i].action;
        if (at->revision)
            assert_string_equal(taken_by[at->revision], at->name);
    }
}

/* What the results of one batch must agree with after it. */
static void check_results(const struct plan *plan, const struct memory_store *store,
                          const size_t *posted, const struct event_result *results, size_t count,
                          bool *recorded)
{
    for (size_t i = 0; i < count; i++) {
        const struct action_event *event = &plan->events[posted[i]].event;
        const struct action *action = memory_store_action(store, 0, event->name);
        bool is_waiting = action->ordinal == 0;
        assert_int_equal(results[i].revision == 0, is_waiting);
        if (recorded[posted[i]]) {
            assert_int_equal(results[i].status, EVENT_DUPLICATE);
            assert_true(results[i].identical);
        } else if (is_waiting) {
            assert_int_equal(results[i].status, EVENT_WAITING);
            assert_same_text(action->parent, results[i].waiting_for);
        } else {
            assert_true(results[i].status == EVENT_APPLIED || results[i].status == EVENT_RECORDED);
        }
        recorded[posted[i]] = true;
    }
}

/* Between two pieces of a join: what is in the tree has its parent there, before it. */
static void check_run_so_far(const struct memory_store *store)
{
    check_roots(store);
    for (size_t i = 0; i < store->action_count; i++) {
        const struct action *at = &store->actions[i].action;
        if (at->ordinal <= 0 || !at->parent)
            continue;
        const struct action *parent = memory_store_action(store, 0, at->parent);
        assert_true(parent && parent->ordinal > 0 && parent->ordinal < at->ordinal);
        assert_true(parent->revision > 0 && at->level == parent->level + 1);
    }
}

/* Gives up what a run that is over has open, as the service does. From then on these events belong
 * to the plan. */
static void abandon_open_ends(struct plan *plan, struct memory_store *store)
{
    const struct action_event *events[ACTIONS_MAX];
    struct event_result results[ACTIONS_MAX] = {0};
    size_t count = 0;
    for (size_t i = 0; i < store->action_count; i++) {
        const struct action *at = &store->actions[i].action;
        if (at->ordinal <= 0 || phase_is_terminal(at->phase))
            continue;
        struct made_event *made = &plan->events[plan->event_count];
        *made = make_event("'name':'%s','attempt':%d,'phase':'ABORTED',"
                           "'updatedTime':'1970-01-01T00:02:00Z'",
                           at->name, at->attempt);
        made->event.version = ABANDONED_VERSION;
        made->event.is_abandonment = true;
        made->event.heard_us = store->runs[0].last_event_us;
        plan->action_of[plan->event_count++] = strtoul(at->name + 1, NULL, 10);
        events[count++] = &made->event;
    }
    assert_true(count > 0);
    assert_int_equal(memory_store_post(store, events, results, count), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(results[i].status, EVENT_APPLIED);
    assert_false(run_has_open_ends(&store->runs[0]));
}

/* Posts all events in a random order, some more than once, in batches of random size: by three
 * writers in random turns, of which two know what they wrote last. */
static void post_all(struct plan *plan, struct memory_store *store, struct random *random)
{
    struct known_runs *known[3] = {known_runs_new(1 << 20), known_runs_new(8 << 10), NULL};
    size_t writers = 1 + random_below(random, 3);
    size_t order[POSTS_MAX], count = 0;
    bool recorded[EVENTS_MAX] = {false};
    for (size_t i = 0; i < plan->event_count; i++)
        for (size_t times = 1 + (random_once_in(random, 4) ? 2 : 0); times > 0; times--)
            order[count++] = i;
    if (!random_once_in(random, 5))
        random_shuffle(random, order, count);
    size_t batch_max = random_once_in(random, 4) ? count : 1 + random_below(random, 8);
    for (size_t begin = 0; begin < count;) {
        const struct action_event *events[POSTS_MAX];
        struct event_result results[POSTS_MAX] = {0};
        size_t size = 1 + random_below(random, batch_max);
        size = size < count - begin ? size : count - begin;
        for (size_t i = 0; i < size; i++)
            events[i] = &plan->events[order[begin + i]].event;
        store->known = known[random_below(random, writers)];
        assert_int_equal(memory_store_post(store, events, results, size), 0);
        check_results(plan, store, order + begin, results, size, recorded);
        for (size_t i = 0; i < size; i++)
            event_result_clear(&results[i]);
        begin += size;
        check_roots(store);
        if (run_has_open_ends(&store->runs[0]) && random_once_in(random, 2))
            abandon_open_ends(plan, store);
        while (!random_once_in(random, 3) && memory_store_continue(store, random_below(random, 9)))
            check_run_so_far(store);
    }
    while (memory_store_continue(store, random_below(random, 9)))
        check_run_so_far(store);
    store->known = NULL;
    known_runs_free(known[0]);
    known_runs_free(known[1]);
}

static void test_any_order_gives_the_same_tree(void **state)
{
    (void)state;
    struct random random = random_start("any order");
    struct plan *plan = malloc(sizeof *plan);
    size_t recalled = 0, conflicts = 0;
    for (size_t round = 0; round < ROUNDS; round++) {
        make_plan(plan, &random);
        for (size_t order = 0; order < 3; order++) {
            struct memory_store store = {.children_max = random_below(&random, 4)};
            size_t event_count = plan->event_count;
            post_all(plan, &store, &random);
            assert_int_equal(store.event_count, plan->event_count);
            check_run(plan, &store);
            check_roots(&store);
            check_revisions(&store);
            recalled += store.recalled;
            conflicts += store.conflicts;
            memory_store_clear(&store);
            while (plan->event_count > event_count)
                made_event_clear(&plan->events[--plan->event_count]);
        }
        clear_plan(plan);
    }
    assert_true(recalled > ROUNDS && conflicts > ROUNDS / 10);

    free(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_order_gives_the_same_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
