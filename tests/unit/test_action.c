/* How events move an action. */
#include <string.h>

#include "cmocka_test.h"
#include "event_maker.h"
#include "model/action.h"

static struct action new_action(void)
{
    return (struct action){
        .name = "a", .created_us = TIME_NONE, .started_us = TIME_NONE, .ended_us = TIME_NONE};
}

/* Events whose strings the action borrows; kept until the end of a test. */
struct history {
    struct made_event made[8];
    size_t count;
};

static void clear_history(struct history *history)
{
    for (size_t i = 0; i < history->count; i++)
        made_event_clear(&history->made[i]);
}

static struct action_change move(struct action *action, struct history *history,
                                 struct made_event made, const char *error_info)
{
    history->made[history->count] = made;
    return action_apply(action, &history->made[history->count++].event, error_info);
}

static void test_state_is_the_greatest_event(void **state)
{
    (void)state;
    struct history history = {0};
    struct action action = new_action();
    struct action_change change =
        move(&action, &history, make_event("'name':'a','phase':'FAILED','version':3"), "{\"m\":1}");
    assert_true(change.is_state && change.is_visible && change.is_changed);
    assert_string_equal(action.error_info, "{\"m\":1}");
    assert_int_equal(action.ended_us, 0);

    change = move(&action, &history, make_event("'name':'a','phase':'RUNNING','version':9"), "{}");
    assert_false(change.is_state);
    assert_true(change.is_visible); /* it started */
    assert_int_equal(action.phase, PHASE_FAILED);
    assert_int_equal(action.version, 3);
    assert_string_equal(action.error_info, "{\"m\":1}");

    change = move(&action, &history, make_event("'name':'a','phase':'PAUSED','version':9"), NULL);
    assert_false(change.is_state || change.is_visible || change.is_changed);

    change = move(&action, &history, make_event("'name':'a','phase':'QUEUED','attempt':2"), NULL);
    assert_true(change.is_state);
    assert_int_equal(action.attempt, 2);
    assert_int_equal(action.ended_us, TIME_NONE);
    assert_null(action.error_info);
    clear_history(&history);
}

static void test_times(void **state)
{
    (void)state;
    struct history history = {0};
    struct action action = new_action();
    move(&action, &history,
         make_event("'name':'a','phase':'RUNNING','updatedTime':'1970-01-01T00:00:05Z'"), NULL);
    move(&action, &history,
         make_event("'name':'a','phase':'RUNNING','attempt':2,"
                    "'updatedTime':'1970-01-01T00:00:03Z'"),
         NULL);
    move(&action, &history,
         make_event("'name':'a','phase':'QUEUED','updatedTime':'1970-01-01T00:00:01Z'"), NULL);
    assert_int_equal(action.created_us, 1000000);
    assert_int_equal(action.started_us, 3000000);
    assert_int_equal(action_duration_ms(&action), -1);
    move(&action, &history,
         make_event("'name':'a','phase':'SUCCEEDED','attempt':2,"
                    "'updatedTime':'1970-01-01T00:00:04.567Z'"),
         NULL);
    assert_int_equal(action.ended_us, 4567000);
    assert_int_equal(action_duration_ms(&action), 1567);
    clear_history(&history);
}

static void test_duration(void **state)
{
    (void)state;
    struct action action = new_action();
    assert_int_equal(action_duration_ms(&action), -1);
    action.created_us = 1000000;
    action.ended_us = 3000999;
    assert_int_equal(action_duration_ms(&action), 2000);
    action.started_us = 2000000;
    assert_int_equal(action_duration_ms(&action), 1000);
    action.ended_us = 1500000;
    assert_int_equal(action_duration_ms(&action), 0);
}

static void test_group_and_task_of_the_first_event_that_has_them(void **state)
{
    (void)state;
    struct history history = {0};
    struct action action = new_action();
    move(&action, &history,
         make_event("'name':'a','phase':'RUNNING','group':'g','task':{'name':'t','shortName':'s'}"),
         NULL);
    move(&action, &history, make_event("'name':'a','phase':'SUCCEEDED','group':'late'"), NULL);
    assert_string_equal(action.group, "g");
    /* The same group from an earlier event: nothing to see, but where it is from has changed. */
    struct action_change change =
        move(&action, &history, make_event("'name':'a','phase':'INITIALIZING','group':'g'"), NULL);
    assert_false(change.is_visible);
    assert_true(change.is_changed);
    change = move(&action, &history, make_event("'name':'a','phase':'QUEUED','task':{}"), NULL);
    assert_true(change.is_visible);
    assert_null(action.task_name);
    assert_null(action.short_name);
    assert_string_equal(action.group, "g");
    clear_history(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state_is_the_greatest_event),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_duration),
        cmocka_unit_test(test_group_and_task_of_the_first_event_that_has_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
