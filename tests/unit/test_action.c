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
    struct action_origin origin;
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
    return action_apply(action, &history->origin, &history->made[history->count++].event,
                        error_info);
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

static void test_times_are_of_the_attempt(void **state)
{
    (void)state;
    struct history history = {0};
    struct action action = new_action();
    move(&action, &history,
         make_event("'name':'a','phase':'RUNNING','updatedTime':'1970-01-01T00:00:05Z'"), NULL);
    move(&action, &history,
         make_event("'name':'a','phase':'QUEUED','attempt':2,'updatedTime':'1970-01-01T05:00:00Z'"),
         NULL);
    assert_int_equal(action.started_us, TIME_NONE);
    move(&action, &history,
         make_event("'name':'a','phase':'RUNNING','attempt':2,"
                    "'updatedTime':'1970-01-01T05:00:03Z'"),
         NULL);
    move(&action, &history,
         make_event("'name':'a','phase':'QUEUED','updatedTime':'1970-01-01T00:00:01Z'"), NULL);
    assert_int_equal(action.created_us, 1000000);
    assert_int_equal(action.started_us, 18003000000);
    move(&action, &history,
         make_event("'name':'a','phase':'SUCCEEDED','attempt':2,"
                    "'updatedTime':'1970-01-01T05:00:04.567Z'"),
         NULL);
    assert_int_equal(action.ended_us, 18004567000);
    assert_int_equal(duration_ms(action.started_us, action.ended_us), 1567);
    clear_history(&history);
}

static void test_what_did_not_run_has_no_duration(void **state)
{
    (void)state;
    assert_int_equal(duration_ms(TIME_NONE, TIME_NONE), -1);
    assert_int_equal(duration_ms(1000000, TIME_NONE), -1);
    assert_int_equal(duration_ms(TIME_NONE, 1000000), -1);
    assert_int_equal(duration_ms(1000000, 3000999), 2000);
    assert_int_equal(duration_ms(2000000, 1500000), 0); /* by two clocks */
}

/* Two that have the same version: what came first stands, whichever is told first. */
static void test_first_end_stands(void **state)
{
    (void)state;
    static const char *const ends[] = {
        "'name':'a','phase':'FAILED','updatedTime':'1970-01-01T00:08:20Z'",
        "'name':'a','phase':'SUCCEEDED','updatedTime':'1970-01-01T00:00:10Z'"};
    for (int order = 0; order < 2; order++) {
        struct history history = {0};
        struct action action = new_action();
        move(&action, &history, make_event("%s", ends[order]), order == 0 ? "{}" : NULL);
        struct action_change change =
            move(&action, &history, make_event("%s", ends[!order]), order == 0 ? NULL : "{}");
        assert_int_equal(change.is_state, order == 0);
        assert_int_equal(action.phase, PHASE_SUCCEEDED);
        assert_int_equal(action.ended_us, 10000000);
        assert_null(action.error_info);
        move(&action, &history, make_event("'name':'a','phase':'FAILED','version':1"), NULL);
        assert_int_equal(action.phase, PHASE_FAILED);
        clear_history(&history);
    }
}

static void test_ends_at_one_time_go_by_number(void **state)
{
    (void)state;
    struct history history = {0};
    struct action action = new_action();
    move(&action, &history, make_event("'name':'a','phase':'FAILED'"), NULL);
    move(&action, &history, make_event("'name':'a','phase':'RECOVERED'"), NULL);
    assert_int_equal(action.phase, PHASE_FAILED);
    move(&action, &history, make_event("'name':'a','phase':'SUCCEEDED'"), NULL);
    assert_int_equal(action.phase, PHASE_SUCCEEDED);
    clear_history(&history);
}

#define AT_MINUTE(phase, version, minute)                                                          \
    make_event("'name':'a','phase':'%s','version':%d,'updatedTime':'1970-01-01T00:%02d:00Z'",      \
               phase, version, minute)

/* A task that was deferred, and goes on. */
static void test_waits_again(void **state)
{
    (void)state;
    struct history history = {0};
    struct action action = new_action();
    move(&action, &history, AT_MINUTE("RUNNING", 0, 5), NULL);
    struct action_change change =
        move(&action, &history, AT_MINUTE("WAITING_FOR_RESOURCES", 1, 6), NULL);
    assert_true(change.is_state && change.is_visible);
    assert_int_equal(action.phase, PHASE_WAITING_FOR_RESOURCES);
    assert_int_equal(action.version, 1);
    assert_int_equal(action.started_us, 300000000);
    change = move(&action, &history, AT_MINUTE("RUNNING", 1, 7), NULL);
    assert_true(change.is_state && change.is_visible);
    assert_int_equal(action.phase, PHASE_RUNNING);
    change = move(&action, &history, AT_MINUTE("QUEUED", 2, 8), NULL);
    assert_int_equal(action.phase, PHASE_QUEUED);
    move(&action, &history, AT_MINUTE("SUCCEEDED", 0, 9), NULL);
    assert_int_equal(action.phase, PHASE_SUCCEEDED);
    assert_int_equal(action.started_us, 300000000);
    clear_history(&history);
}

/* A task that was paused, and has to queue up before it goes on. */
static void test_waits_behind_a_pause(void **state)
{
    (void)state;
    struct history history = {0};
    struct action action = new_action();
    move(&action, &history, AT_MINUTE("QUEUED", 1, 7), NULL);
    move(&action, &history, AT_MINUTE("RUNNING", 0, 5), NULL);
    move(&action, &history, AT_MINUTE("PAUSED", 0, 6), NULL);
    assert_int_equal(action.phase, PHASE_QUEUED);
    move(&action, &history, AT_MINUTE("PAUSED", 1, 8), NULL);
    assert_int_equal(action.phase, PHASE_PAUSED);
    move(&action, &history, AT_MINUTE("INITIALIZING", 2, 9), NULL);
    assert_int_equal(action.phase, PHASE_INITIALIZING);
    move(&action, &history, AT_MINUTE("RUNNING", 2, 10), NULL);
    assert_int_equal(action.phase, PHASE_RUNNING);
    clear_history(&history);
}

/* Versions that count within a phase, as Flyte's do: what was earlier is no wait behind it. */
static void test_an_earlier_wait_is_none(void **state)
{
    (void)state;
    struct history history = {0};
    struct action action = new_action();
    move(&action, &history, AT_MINUTE("RUNNING", 0, 5), NULL);
    move(&action, &history, AT_MINUTE("INITIALIZING", 2, 4), NULL);
    assert_int_equal(action.phase, PHASE_RUNNING);
    move(&action, &history, AT_MINUTE("QUEUED", 0, 6), NULL); /* told late, by another clock */
    assert_int_equal(action.phase, PHASE_RUNNING);
    clear_history(&history);
}

static void test_every_end_stands_over_ours(void **state)
{
    (void)state;
    struct history history = {0};
    struct action action = new_action();
    move(&action, &history, AT_MINUTE("RUNNING", INT32_MAX, 5), NULL);
    struct made_event ours = AT_MINUTE("ABORTED", 0, 6);
    ours.event.version = ABANDONED_VERSION;
    move(&action, &history, ours, NULL);
    assert_int_equal(action.phase, PHASE_ABORTED);
    assert_true(action_is_abandoned(&action));
    move(&action, &history, AT_MINUTE("SUCCEEDED", 0, 59), NULL);
    assert_int_equal(action.phase, PHASE_SUCCEEDED);
    assert_false(action_is_abandoned(&action));
    clear_history(&history);
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
    change = move(&action, &history,
                  make_event("'name':'a','phase':'QUEUED','task':{'shortName':'s'}"), NULL);
    assert_true(change.is_visible);
    assert_null(action.task_name);
    assert_string_equal(action.short_name, "s");
    assert_string_equal(action.group, "g");
    clear_history(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state_is_the_greatest_event),
        cmocka_unit_test(test_times_are_of_the_attempt),
        cmocka_unit_test(test_what_did_not_run_has_no_duration),
        cmocka_unit_test(test_first_end_stands),
        cmocka_unit_test(test_ends_at_one_time_go_by_number),
        cmocka_unit_test(test_waits_again),
        cmocka_unit_test(test_waits_behind_a_pause),
        cmocka_unit_test(test_an_earlier_wait_is_none),
        cmocka_unit_test(test_every_end_stands_over_ours),
        cmocka_unit_test(test_group_and_task_of_the_first_event_that_has_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
