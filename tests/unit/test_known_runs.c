/* What a writer knows of the runs that it wrote last, and when it does not rely on it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_test.h"
#include "event_maker.h"
#include "memory_store.h"

/* One writer that knows, and its database. */
struct fixture {
    struct memory_store store;
    struct known_runs *known;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->known = known_runs_new(1 << 20);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    known_runs_free(fixture->known);
    memory_store_clear(&fixture->store);
    free(fixture);
    return 0;
}

/* Posts the event, as that writer or as another that reads; its verdict. */
static enum event_status post(struct fixture *fixture, bool is_other, struct made_event made)
{
    const struct action_event *event = &made.event;
    struct event_result result = {0};
    enum event_status status;
    fixture->store.known = is_other ? NULL : fixture->known;
    assert_int_equal(memory_store_post(&fixture->store, &event, &result, 1), 0);
    status = result.status;
    event_result_clear(&result);
    made_event_clear(&made);
    return status;
}

#define POST(...) post(fixture, false, make_event(__VA_ARGS__))
#define OTHER_POSTS(...) post(fixture, true, make_event(__VA_ARGS__))

/* Whether the writer did not read for it. */
#define ASSERT_RECALLED(expected, ...)                                                             \
    do {                                                                                           \
        size_t before = fixture->store.recalled;                                                   \
        __VA_ARGS__;                                                                               \
        assert_int_equal(fixture->store.recalled - before, expected);                              \
    } while (0)

static struct run_key key_of_r(void)
{
    return (struct run_key){"p", "d", "r"};
}

static void test_what_it_wrote_is_not_read(void **state)
{
    struct fixture *fixture = *state;
    ASSERT_RECALLED(0, POST("'name':'a0','phase':'RUNNING','parent':null"));
    ASSERT_RECALLED(1, POST("'name':'a1','phase':'QUEUED','parent':'a0'"));
    ASSERT_RECALLED(1, POST("'name':'a1','phase':'SUCCEEDED'"));
    ASSERT_RECALLED(0, POST("'runName':'r2','name':'a0','phase':'RUNNING','parent':null"));
    assert_int_equal(fixture->store.conflicts, 0);
    assert_int_equal(fixture->store.runs[0].revision, 3);
}

/* Also of a run that others made: all actions that its row counts are known. */
static void test_what_it_read_is_known(void **state)
{
    struct fixture *fixture = *state;
    OTHER_POSTS("'name':'a0','phase':'QUEUED','parent':null");
    ASSERT_RECALLED(0, POST("'name':'a0','phase':'RUNNING'"));
    ASSERT_RECALLED(1, POST("'name':'a1','phase':'QUEUED','parent':'a0'"));
    assert_int_equal(fixture->store.conflicts, 0);
}

static void test_an_action_that_may_be_there_is_read(void **state)
{
    struct fixture *fixture = *state;
    OTHER_POSTS("'name':'a0','phase':'QUEUED','parent':null");
    OTHER_POSTS("'name':'a1','phase':'QUEUED','parent':'a0'");
    ASSERT_RECALLED(0, POST("'name':'a0','phase':'RUNNING'"));
    ASSERT_RECALLED(0, assert_int_equal(POST("'name':'a1','phase':'RUNNING'"), EVENT_APPLIED));
    ASSERT_RECALLED(1, POST("'name':'a2','phase':'RUNNING','parent':'a1'"));
    assert_int_equal(fixture->store.conflicts, 0);
}

/* It may be an alias, which no count of the run has. */
static void test_a_parent_that_is_not_known_is_read(void **state)
{
    struct fixture *fixture = *state;
    OTHER_POSTS("'name':'a0','phase':'QUEUED','parent':null,'aliases':['x']");
    POST("'name':'a0','phase':'RUNNING'");
    ASSERT_RECALLED(
        0, assert_int_equal(POST("'name':'a1','phase':'QUEUED','parent':'x'"), EVENT_APPLIED));
    ASSERT_RECALLED(
        1, assert_int_equal(POST("'name':'a2','phase':'QUEUED','parent':'x'"), EVENT_APPLIED));
    assert_string_equal(memory_store_action(&fixture->store, 0, "a2")->parent, "a0");
}

/* The tables refuse what would be made a second time. */
static void test_an_alias_is_not_made_an_action(void **state)
{
    struct fixture *fixture = *state;
    OTHER_POSTS("'name':'a0','phase':'QUEUED','parent':null,'aliases':['x']");
    POST("'name':'a0','phase':'RUNNING'");
    ASSERT_RECALLED(
        1, assert_int_equal(POST("'name':'x','phase':'QUEUED','parent':'a0'"), EVENT_REJECTED));
    assert_int_equal(fixture->store.conflicts, 1);
}

static void test_repeats_and_refusals_are_read(void **state)
{
    struct fixture *fixture = *state;
    POST("'name':'a0','phase':'RUNNING','parent':null");
    known_runs_forget(fixture->known, &(struct run_key){"p", "d", "other"}); /* there is none */
    assert_int_equal(POST("'name':'a0','phase':'RUNNING'"), EVENT_DUPLICATE);
    assert_int_equal(POST("'name':'a0','phase':'FAILED','parent':'b'"), EVENT_REJECTED);
    /* Others may have made them another run meanwhile: nothing is refused that was not read. */
    OTHER_POSTS("'name':'b','phase':'QUEUED','parent':'a0'");
    OTHER_POSTS("'name':'c','phase':'QUEUED','parent':'b'");
    assert_int_equal(POST("'name':'c','phase':'FAILED','parent':'b'"), EVENT_APPLIED);
}

static void test_what_others_changed_is_read(void **state)
{
    struct fixture *fixture = *state;
    POST("'name':'a0','phase':'RUNNING','parent':null");
    POST("'name':'a1','phase':'QUEUED','parent':'a0'");
    OTHER_POSTS("'name':'a1','phase':'RUNNING','version':1");
    /* It does not know of that, but reads, for it does not know this parent. */
    ASSERT_RECALLED(0, POST("'name':'a2','phase':'QUEUED','parent':'nobody'"));
    OTHER_POSTS("'name':'nobody','phase':'QUEUED','parent':'a0'");
    assert_int_equal(POST("'name':'a1','phase':'RUNNING','version':0"), EVENT_RECORDED);
    assert_int_equal(memory_store_action(&fixture->store, 0, "a1")->version, 1);
    OTHER_POSTS("'name':'a1','phase':'SUCCEEDED'");
    ASSERT_RECALLED(
        1, assert_int_equal(POST("'name':'a1','phase':'RUNNING','version':2"), EVENT_RECORDED));
    assert_int_equal(fixture->store.conflicts, 1);
}

static void test_what_was_read_anew_replaces_what_was_known(void **state)
{
    struct fixture *fixture = *state;
    POST("'name':'a0','phase':'RUNNING','parent':null");
    POST("'name':'a1','phase':'QUEUED','parent':'a0'");
    OTHER_POSTS("'name':'a1','phase':'SUCCEEDED'");
    OTHER_POSTS("'name':'b','phase':'QUEUED','parent':'a0'");
    ASSERT_RECALLED(0, POST("'name':'c','phase':'QUEUED','parent':'b'"));
    /* a1 is what it was for the others, not what this writer wrote last. */
    ASSERT_RECALLED(0, assert_int_equal(POST("'name':'a1','phase':'RUNNING'"), EVENT_RECORDED));
    assert_int_equal(fixture->store.conflicts, 0);
}

static void test_what_is_heard_of_others(void **state)
{
    struct fixture *fixture = *state;
    const struct run_key key = key_of_r();
    POST("'name':'a0','phase':'RUNNING','parent':null");
    known_runs_hear(fixture->known, &key, 1); /* its own */
    known_runs_hear(fixture->known, &key, 2); /* before the commit is known */
    ASSERT_RECALLED(0, POST("'name':'a1','phase':'QUEUED','parent':'a0'"));
    known_runs_hear(fixture->known, &key, 2);
    ASSERT_RECALLED(1, POST("'name':'a1','phase':'RUNNING'"));
    known_runs_hear(fixture->known, &key, 4);
    ASSERT_RECALLED(0, POST("'name':'a1','phase':'SUCCEEDED'"));
    known_runs_hear(fixture->known, &key, 0);
    assert_int_equal(known_runs_bytes(fixture->known), 0);
}

/* The name may be that of the action for which they wait. */
static void test_runs_in_which_actions_wait_are_read(void **state)
{
    struct fixture *fixture = *state;
    POST("'name':'a0','phase':'RUNNING','parent':null");
    POST("'name':'a2','phase':'QUEUED','parent':'a1'");
    ASSERT_RECALLED(0, POST("'name':'a1','phase':'QUEUED','parent':'a0'"));
    assert_int_equal(memory_store_action(&fixture->store, 0, "a2")->level, 3);
    ASSERT_RECALLED(1, POST("'name':'a2','phase':'RUNNING'"));
}

/* Each run is of some 1,200 bytes, each action of some 400. */
static void test_bounded(void **state)
{
    struct fixture *fixture = *state;
    enum { MAX = 64 << 10, ACTIONS = 200 };
    known_runs_free(fixture->known);
    fixture->known = known_runs_new(MAX);
    POST("'name':'a0','phase':'RUNNING','parent':null,'aliases':['x']");
    for (int i = 0; i < ACTIONS; i++) {
        POST("'name':'b%d','phase':'QUEUED','parent':'%s'", i, i % 2 ? "x" : "a0");
        assert_in_range(known_runs_bytes(fixture->known), 1, MAX / 4);
    }
    ASSERT_RECALLED(1, POST("'name':'b%d','phase':'RUNNING'", ACTIONS - 1));
    ASSERT_RECALLED(0, POST("'name':'b0','phase':'RUNNING'"));
    ASSERT_RECALLED(0, POST("'name':'new','phase':'RUNNING','parent':'a0'"));
    for (int i = 0; i < STORED_RUNS_MAX - 1; i++)
        for (int k = 0; k < 40; k++) {
            POST("'runName':'s%d','name':'c%d','phase':'QUEUED','parent':null", i, k);
            assert_in_range(known_runs_bytes(fixture->known), 1, MAX);
        }
    ASSERT_RECALLED(1, POST("'runName':'s%d','name':'c39','phase':'FAILED'", STORED_RUNS_MAX - 2));
    ASSERT_RECALLED(0, POST("'name':'b%d','phase':'FAILED'", ACTIONS - 1));
    assert_int_equal(fixture->store.conflicts, 0);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_what_it_wrote_is_not_read),
        TEST(test_what_it_read_is_known),
        TEST(test_an_action_that_may_be_there_is_read),
        TEST(test_a_parent_that_is_not_known_is_read),
        TEST(test_an_alias_is_not_made_an_action),
        TEST(test_repeats_and_refusals_are_read),
        TEST(test_what_others_changed_is_read),
        TEST(test_what_was_read_anew_replaces_what_was_known),
        TEST(test_what_is_heard_of_others),
        TEST(test_runs_in_which_actions_wait_are_read),
        TEST(test_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
