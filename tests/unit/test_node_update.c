/* A node's record, byte by byte. */
#include <stdlib.h>
#include <string.h>

#include "cmocka_test.h"
#include "model/run_state_manager.h"
#include "tree_maker.h"

static void assert_record(const struct run_state_manager *manager, const char *name,
                          const char *expected)
{
    size_t length;
    const char *record = node_update_encode(run_state_manager_find(manager, name), &length);
    assert_non_null(record);
    char *text = strndup(record, length);
    assert_string_equal(text, expected);
    free(text);
}

static void test_members_in_their_order(void **state)
{
    (void)state;
    struct run_state_manager *manager = run_state_manager_new();
    struct action actions[] = {tree_action("a0", NULL, 1, 1), tree_action("a17", "a0", 2, 17)};
    actions[1].phase = PHASE_FAILED;
    actions[1].attempt = 2;
    actions[1].version = 3;
    actions[1].group = "ma\"p";
    actions[1].task_name = "pkg.train";
    actions[1].short_name = "train";
    actions[1].started_us = 1500000;
    actions[1].ended_us = 4000000;
    actions[1].error_info = "{\"kind\":\"USER\"}";
    assert_int_equal(run_state_manager_upsert_actions(manager, actions, 2, 17), 0);
    assert_record(manager, "a0",
                  "{\"action\":{\"name\":\"a0\",\"parent\":null,\"phase\":\"QUEUED\",\"attempt\":1,"
                  "\"version\":0,\"group\":null,\"taskName\":null,\"shortName\":null,"
                  "\"createdAt\":\"1970-01-01T00:00:00.000Z\",\"startedAt\":null,\"endedAt\":null,"
                  "\"durationMs\":null,\"errorInfo\":null,\"revision\":1},"
                  "\"childPhaseCounts\":{\"FAILED\":1},\"meetsFilter\":");
    assert_record(manager, "a17",
                  "{\"action\":{\"name\":\"a17\",\"parent\":\"a0\",\"phase\":\"FAILED\","
                  "\"attempt\":2,\"version\":3,\"group\":\"ma\\\"p\",\"taskName\":\"pkg.train\","
                  "\"shortName\":\"train\",\"createdAt\":\"1970-01-01T00:00:00.000Z\","
                  "\"startedAt\":\"1970-01-01T00:00:01.500Z\","
                  "\"endedAt\":\"1970-01-01T00:00:04.000Z\",\"durationMs\":2500,"
                  "\"errorInfo\":{\"kind\":\"USER\"},\"revision\":17},"
                  "\"childPhaseCounts\":{},\"meetsFilter\":");
    run_state_manager_free(manager);
}

static const char *encode(const struct run_state_manager *manager, const char *name)
{
    size_t length;
    return node_update_encode(run_state_manager_find(manager, name), &length);
}

/* Kept from the second time on that it is asked for, until the node or the counts below it change.
 */
static void test_cache(void **state)
{
    (void)state;
    struct run_state_manager *manager = run_state_manager_new();
    struct action actions[] = {tree_action("a0", NULL, 1, 1), tree_action("b", "a0", 2, 2),
                               tree_action("c", "a0", 3, 3)};
    assert_int_equal(run_state_manager_upsert_actions(manager, actions, 3, 3), 0);
    assert_non_null(encode(manager, "a0"));
    size_t bytes = run_state_manager_bytes(manager);
    assert_non_null(encode(manager, "b"));
    assert_non_null(encode(manager, "c"));
    assert_int_equal(run_state_manager_bytes(manager), bytes);
    for (int i = 0; i < 3; i++)
        assert_non_null(encode(manager, actions[i].name));
    assert_true(run_state_manager_bytes(manager) > bytes + 600);
    const char *root = encode(manager, "a0"), *c = encode(manager, "c");
    assert_ptr_equal(encode(manager, "a0"), root);
    assert_ptr_not_equal(root, c);

    actions[1].phase = PHASE_RUNNING;
    actions[1].revision = 4;
    assert_int_equal(run_state_manager_upsert_actions(manager, &actions[1], 1, 4), 0);
    assert_ptr_equal(encode(manager, "c"), c);
    for (int i = 0; i < 3; i++) {
        assert_non_null(strstr(encode(manager, "b"), "\"phase\":\"RUNNING\""));
        assert_non_null(strstr(encode(manager, "a0"), "{\"QUEUED\":1,\"RUNNING\":1}"));
    }

    /* What a child is called does not show in its parent's record. */
    root = encode(manager, "a0");
    actions[1].group = "g";
    actions[1].revision = 5;
    assert_int_equal(run_state_manager_upsert_actions(manager, &actions[1], 1, 5), 0);
    assert_ptr_equal(encode(manager, "a0"), root);
    for (int i = 0; i < 3; i++)
        assert_non_null(strstr(encode(manager, "b"), "\"group\":\"g\""));

    assert_true(run_state_manager_drop_encoded(manager, 2));
    assert_false(run_state_manager_drop_encoded(manager, 2));
    assert_true(run_state_manager_bytes(manager) <= bytes + sizeof "g");
    assert_non_null(strstr(encode(manager, "b"), "\"group\":\"g\""));
    run_state_manager_free(manager);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_in_their_order),
        cmocka_unit_test(test_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
