/* The phases, how they are read, and the order of an action's events. */
#include <stdlib.h>
#include <string.h>

#include "cmocka_test.h"
#include "model/phase.h"

static enum phase parse(const char *text)
{
    return phase_parse(text, strlen(text));
}

static void test_every_phase_is_read_in_its_three_forms(void **state)
{
    (void)state;
    static const char *const names[] = {"QUEUED",       "WAITING_FOR_RESOURCES",
                                        "INITIALIZING", "RUNNING",
                                        "SUCCEEDED",    "FAILED",
                                        "ABORTED",      "TIMED_OUT",
                                        "PAUSED",       "RECOVERED",
                                        "SKIPPED"};
    static const char *const numbers[] = {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "64"};
    for (int i = 0; i < 11; i++) {
        char long_name[64] = "ACTION_PHASE_";
        strncat(long_name, names[i], sizeof long_name - strlen(long_name) - 1);
        assert_int_equal(parse(names[i]), i + 1);
        assert_int_equal(parse(long_name), i + 1);
        assert_int_equal(parse(numbers[i]), i + 1);
        assert_string_equal(phase_name((enum phase)(i + 1)), names[i]);
        assert_int_equal(phase_from_index(i + 1), i + 1);
        assert_int_equal(phase_from_number(strtol(numbers[i], NULL, 10)), i + 1);
    }
}

static void test_everything_else_is_no_phase(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "running",
                                        "RUNNIN",
                                        "RUNNINGS",
                                        "0",
                                        "11",
                                        "01",
                                        "4 ",
                                        "-4",
                                        "100",
                                        "4.0",
                                        "NONE",
                                        "ACTION_PHASE_",
                                        "ACTION_PHASE_4",
                                        "ACTION_PHASE_ACTION_PHASE_RUNNING"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(parse(wrong[i]), PHASE_NONE);
    assert_int_equal(phase_parse("RUNNING,FAILED", 7), PHASE_RUNNING);
    assert_int_equal(phase_from_number(0), PHASE_NONE);
    assert_int_equal(phase_from_number(11), PHASE_NONE);
    assert_int_equal(phase_from_number(12), PHASE_NONE);
    assert_int_equal(phase_from_index(12), PHASE_NONE);
    assert_int_equal(phase_from_index(64), PHASE_NONE);
    assert_int_equal(phase_from_number(-1), PHASE_NONE);
    assert_int_equal(phase_from_number(INT64_C(0x100000004)), PHASE_NONE);
    assert_null(phase_name(PHASE_NONE));
    assert_null(phase_name((enum phase)12));
}

static void test_terminal_phases(void **state)
{
    (void)state;
    static const bool terminal[PHASE_SLOTS] = {
        [5] = true, [6] = true, [7] = true, [8] = true, [10] = true, [11] = true};
    for (int i = 0; i < PHASE_SLOTS; i++)
        assert_int_equal(phase_is_terminal((enum phase)i), terminal[i]);
}

static int compare(int32_t attempt_a, enum phase a, int32_t version_a, int32_t attempt_b,
                   enum phase b, int32_t version_b)
{
    return event_order_compare(event_order_of(attempt_a, a, version_a),
                               event_order_of(attempt_b, b, version_b));
}

static void test_order_of_events(void **state)
{
    (void)state;
    /* The attempt first, then the rank, the version, and the number. */
    assert_true(compare(2, PHASE_QUEUED, 0, 1, PHASE_FAILED, INT32_MAX) > 0);
    assert_true(compare(INT32_MAX, PHASE_QUEUED, 0, INT32_MAX - 1, PHASE_FAILED, 0) > 0);
    assert_true(compare(1, PHASE_SUCCEEDED, 0, 1, PHASE_RUNNING, INT32_MAX) > 0);
    assert_true(compare(1, PHASE_RUNNING, 0, 1, PHASE_INITIALIZING, 9) > 0);
    assert_true(compare(1, PHASE_INITIALIZING, 0, 1, PHASE_WAITING_FOR_RESOURCES, 9) > 0);
    assert_true(compare(1, PHASE_WAITING_FOR_RESOURCES, 0, 1, PHASE_QUEUED, 9) > 0);
    assert_true(compare(1, PHASE_RUNNING, 1, 1, PHASE_PAUSED, 0) > 0);
    assert_true(compare(1, PHASE_PAUSED, 1, 1, PHASE_RUNNING, 0) > 0);
    assert_true(compare(1, PHASE_PAUSED, 1, 1, PHASE_RUNNING, 1) > 0);
    assert_true(compare(1, PHASE_FAILED, 0, 1, PHASE_SUCCEEDED, 0) > 0);
    assert_true(compare(1, PHASE_SUCCEEDED, 1, 1, PHASE_RECOVERED, 0) > 0);
    assert_true(compare(1, PHASE_PAUSED, INT32_MAX, 1, PHASE_SUCCEEDED, 0) < 0);
    assert_true(compare(1, PHASE_ABORTED, ABANDONED_VERSION, 1, PHASE_RUNNING, INT32_MAX - 4) > 0);
    assert_true(compare(1, PHASE_ABORTED, ABANDONED_VERSION, 1, PHASE_SUCCEEDED, 0) < 0);
    assert_true(compare(1, PHASE_ABORTED, ABANDONED_VERSION, 1, PHASE_SUCCEEDED, STATUS_VERSION) <
                0);
    assert_true(compare(1, PHASE_QUEUED, RECORD_VERSION, 1, PHASE_QUEUED, 0) < 0);
    assert_int_equal(compare(3, PHASE_FAILED, 4, 3, PHASE_FAILED, 4), 0);
    assert_true(event_order_compare((struct event_order){0}, event_order_of(1, PHASE_QUEUED, 0)) <
                0);
}

/* Every version of a phase is before the position of the next, and no other. */
static void test_versions_before_a_position(void **state)
{
    (void)state;
    static const int32_t versions[] = {LEAST_VERSION, ABANDONED_VERSION, 0, 1, 7, INT32_MAX - 1};
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
        for (enum phase phase = PHASE_QUEUED; phase_name(phase); phase++) {
            int64_t position = event_order_of(1, phase, versions[i]).position;
            assert_int_equal(event_version_before(phase, position), versions[i] - 1);
            assert_int_equal(event_version_before(phase, position + 1), versions[i]);
        }
    assert_int_equal(event_version_before(PHASE_QUEUED, INT64_MAX), INT32_MAX);
    assert_int_equal(event_version_before(PHASE_ABORTED, 0), LEAST_VERSION - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_phase_is_read_in_its_three_forms),
        cmocka_unit_test(test_everything_else_is_no_phase),
        cmocka_unit_test(test_terminal_phases),
        cmocka_unit_test(test_order_of_events),
        cmocka_unit_test(test_versions_before_a_position),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
