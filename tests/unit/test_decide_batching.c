/* Events decided in batches are decided as if they had come one by one: even those that contradict
 * each other, repeat a key with another document, wait in circles, or belong to several runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_test.h"
#include "event_maker.h"
#include "memory_store.h"
#include "random.h"

enum { ROUNDS = 400, EVENTS = 60, NAMES_MAX = 9 };

/* Anything goes: few names and keys, so that there is much of everything. */
static struct made_event make_any_event(struct random *random, size_t names)
{
    char parent[32] = "";
    size_t name = random_below(random, names), parent_name = random_below(random, names);
    if (random_once_in(random, 5))
        snprintf(parent, sizeof parent, ",'parent':null");
    else if (parent_name != name && random_once_in(random, 2))
        snprintf(parent, sizeof parent, ",'parent':'p%zu'", parent_name);
    return make_event("'runName':'r%zu','name':'p%zu','phase':%zu,'version':%zu,'group':'g%zu',"
                      "'updatedTime':'1970-01-01T00:00:%02zuZ'%s",
                      random_below(random, 2), name, 1 + random_below(random, 10),
                      random_below(random, 2), random_below(random, 3), random_below(random, 60),
                      parent);
}

static void post(struct memory_store *store, const struct made_event *made,
                 struct event_result *results, size_t count)
{
    const struct action_event *events[EVENTS];
    for (size_t i = 0; i < count; i++)
        events[i] = &made[i].event;
    assert_int_equal(memory_store_post(store, events, results, count), 0);
}

static void assert_same_text(const char *a, const char *b)
{
    if (a && b)
        assert_string_equal(a, b);
    else
        assert_true(!a && !b);
}

/* The runs may stand in another order: a batch locks them by key. */
static size_t find_run(const struct memory_store *store, const struct run *run)
{
    for (size_t i = 0; i < store->run_count; i++)
        if (run_key_compare(&store->runs[i].key, &run->key) == 0)
            return i;
    fail_msg("no such run");
    return 0;
}

static void assert_same_action(const struct action *a, const struct action *b)
{
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal(a->parent_named, b->parent_named);
    assert_same_text(a->parent, b->parent);
    assert_int_equal(a->ordinal, b->ordinal);
    assert_int_equal(a->level, b->level);
    assert_int_equal(a->phase, b->phase);
    assert_int_equal(a->version, b->version);
    assert_same_text(a->group, b->group);
    assert_int_equal(a->created_us, b->created_us);
    assert_int_equal(a->started_us, b->started_us);
    assert_int_equal(a->ended_us, b->ended_us);
    assert_int_equal(a->revision, b->revision);
}

static void assert_same_store(const struct memory_store *a, const struct memory_store *b)
{
    assert_int_equal(a->run_count, b->run_count);
    assert_int_equal(a->action_count, b->action_count);
    assert_int_equal(a->event_count, b->event_count);
    for (size_t i = 0; i < a->run_count; i++) {
        const struct run *run_a = &a->runs[i], *run_b = &b->runs[find_run(b, run_a)];
        assert_int_equal(run_a->revision, run_b->revision);
        assert_int_equal(run_a->action_count, run_b->action_count);
        assert_memory_equal(run_a->phase_counts, run_b->phase_counts, sizeof run_a->phase_counts);
        assert_same_text(run_a->root, run_b->root);
        assert_int_equal(run_a->phase, run_b->phase);
        assert_int_equal(run_a->created_us, run_b->created_us);
    }
    for (size_t i = 0; i < a->action_count; i++) {
        size_t run = find_run(b, &a->runs[a->actions[i].run]);
        assert_same_action(&a->actions[i].action,
                           memory_store_action(b, run, a->actions[i].action.name));
    }
    /* Both record in the order of arrival. */
    for (size_t i = 0; i < a->event_count; i++) {
        assert_string_equal(a->events[i].info, b->events[i].info);
        assert_int_equal(a->events[i].revision, b->events[i].revision);
    }
}

/* A batch knows more of a waiting event than a single one could: it may have stopped waiting. */
static void assert_same_result(const struct event_result *alone, const struct event_result *batch)
{
    if (alone->revision)
        assert_int_equal(batch->revision, alone->revision);
    if (alone->status == EVENT_WAITING && batch->status != EVENT_WAITING) {
        assert_true(batch->status == EVENT_APPLIED || batch->status == EVENT_RECORDED);
        assert_true(batch->revision > 0);
        return;
    }
    assert_int_equal(batch->status, alone->status);
    assert_int_equal(batch->identical, alone->identical);
    if (alone->problem)
        assert_string_equal(batch->problem->detail, alone->problem->detail);
}

static void test_batching_changes_nothing(void **state)
{
    (void)state;
    struct random random = random_start("batching");
    for (size_t round = 0; round < ROUNDS; round++) {
        struct memory_store one_by_one = {0}, batched = {0};
        struct made_event made[EVENTS];
        struct event_result alone[EVENTS] = {0}, batch[EVENTS] = {0};
        size_t names = 2 + random_below(&random, NAMES_MAX - 1);
        for (size_t i = 0; i < EVENTS; i++) {
            made[i] = make_any_event(&random, names);
            post(&one_by_one, &made[i], &alone[i], 1);
        }
        for (size_t i = 0, size; i < EVENTS; i += size) {
            size = 1 + random_below(&random, EVENTS - i);
            post(&batched, &made[i], &batch[i], size);
        }
        assert_same_store(&one_by_one, &batched);
        for (size_t i = 0; i < EVENTS; i++) {
            assert_same_result(&alone[i], &batch[i]);
            event_result_clear(&alone[i]);
            event_result_clear(&batch[i]);
            made_event_clear(&made[i]);
        }
        memory_store_clear(&one_by_one);
        memory_store_clear(&batched);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batching_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
