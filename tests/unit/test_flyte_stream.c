/* Records of a watch as Flyte's WatchActions says them: adapters/flyte_stream.h. */
#include "cmocka_test.h"

#include <stdlib.h>
#include <string.h>

#include "adapters/flyte_stream.h"

static const struct flyte_scope scope = {"acme", "ml", "production", "r1"};

static struct flyte_updates read_records(const char *records)
{
    struct flyte_updates updates;

    assert_int_equal(flyte_updates_read(&updates, &scope, records, strlen(records)), 0);
    return updates;
}

#define UPDATE(name, shown)                                                                        \
    "event: nodeUpdate\ndata: {\"action\":{\"name\":\"" name "\",\"phase\":\"RUNNING\"},"          \
    "\"childPhaseCounts\":{},\"meetsFilter\":" shown "}\n"

static void assert_names(const char *records, size_t count, const char *last, bool is_shown)
{
    struct flyte_updates updates = read_records(records);
    const json_t *actions = json_object_get(updates.response, "enrichedActions");
    const json_t *action = json_array_get(actions, count - 1);
    const json_t *id = json_object_get(json_object_get(action, "action"), "id");

    assert_false(updates.is_reset);
    assert_int_equal(json_array_size(actions), count);
    assert_string_equal(json_string_value(json_object_get(id, "name")), last);
    assert_int_equal(json_is_true(json_object_get(action, "meetsFilter")), is_shown);
    json_decref(updates.response);
}

static void test_updates_of_a_frame_are_one_message(void **state)
{
    (void)state;
    assert_names(UPDATE("a0", "true") "\n" UPDATE("a1", "false") "id: x.1.0.2\n\n", 2, "a1", false);
    assert_names(UPDATE("a0", "true") "\nevent: synced\ndata: {\"revision\":1}\nid: x\n\n", 1, "a0",
                 true);
}

static void test_what_is_no_update_says_nothing(void **state)
{
    static const char *const records[] = {
        "", "retry: 1000\n\n", "event: heartbeat\ndata: {\"revision\":1}\n\n",
        "event: end\ndata: {\"revision\":1}\nid: x\n\n",
        "event: synced\ndata: {\"revision\":1,\"actions\":0,\"visible\":0}\nid: x\n\n"};

    (void)state;
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        struct flyte_updates updates = read_records(records[i]);

        assert_null(updates.response);
        assert_false(updates.is_reset);
    }
}

static void test_nothing_comes_behind_a_reset(void **state)
{
    struct flyte_updates updates =
        read_records("event: reset\ndata: {}\n\n" UPDATE("a0", "true") "\n");

    (void)state;
    assert_true(updates.is_reset);
    assert_null(updates.response);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_updates_of_a_frame_are_one_message),
        cmocka_unit_test(test_what_is_no_update_says_nothing),
        cmocka_unit_test(test_nothing_comes_behind_a_reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
