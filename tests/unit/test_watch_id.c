/* The id of a stream of many subscriptions. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_test.h"
#include "model/watch_id.h"

static char *format(const struct watch_position *positions, size_t count)
{
    struct buffer out = {0};

    watch_id_begin(&out);
    for (size_t i = 0; i < count; i++)
        watch_id_add(&out, &positions[i]);
    buffer_append(&out, "", 1);
    assert_false(out.failed);
    return out.bytes;
}

static void assert_same(const struct watch_position *a, const struct watch_position *b)
{
    assert_int_equal(a->key, b->key);
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->number, b->number);
    assert_int_equal(a->given_s, b->given_s);
    assert_int_equal(a->is_end, b->is_end);
}

static void test_comes_back(void **state)
{
    static const struct watch_position positions[] = {
        {.key = 0, .state = 0, .number = 0},
        {.key = (UINT64_C(1) << 48) - 1, .state = (UINT64_C(1) << 36) - 1, .number = INT64_MAX},
        {.key = 7, .state = 64, .number = 17, .is_end = true},
        {.key = 9, .state = 1, .number = 5417, .given_s = 1775980800},
    };
    char *text = format(positions, 4);
    struct watch_id id;

    (void)state;
    assert_string_equal(text, "w.000000000000000.--------------7----------"
                              ".00000007000010H~.000000090000011Ke!1erq40");
    assert_int_equal(watch_id_parse(text, &id), 0);
    assert_int_equal(id.count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_same(&id.positions[i], &positions[i]);
    free(text);
}

static void test_the_longest_fits(void **state)
{
    struct watch_position positions[WATCH_POSITIONS_MAX + 1];
    struct watch_id id;
    char *text;

    (void)state;
    for (size_t i = 0; i <= WATCH_POSITIONS_MAX; i++)
        positions[i] = (struct watch_position){
            .key = (UINT64_C(1) << 48) - 1 - i,
            .state = (UINT64_C(1) << 36) - 1,
            .number = INT64_MAX,
            .given_s = INT64_MAX,
            .is_end = true,
        };
    text = format(positions, WATCH_POSITIONS_MAX);
    assert_true(strlen(text) < WATCH_ID_SIZE);
    assert_int_equal(watch_id_parse(text, &id), 0);
    assert_int_equal(id.count, WATCH_POSITIONS_MAX);
    free(text);
    text = format(positions, WATCH_POSITIONS_MAX + 1);
    assert_int_equal(watch_id_parse(text, &id), -EINVAL);
    free(text);
}

static void test_nothing_else_is_one(void **state)
{
    static const char *const wrong[] = {
        "",
        "x",
        "W",
        "w.",
        "w.00000000",
        "w.00000000000000",
        "w.0000000000000 0",
        "w.00000000000000 ",
        "w.00000000000000.",
        "w.0000000000000001", /* a number does not begin with 0 */
        "w.00000000000000~",
        "w.00000000000000-----------",
        "w.000000000000001~~",
        "w.000000000000001!",
        "w.000000000000001!0",
        "w.000000000000001!01",
        "w.000000000000001!1~",
        "w.000000000000001!1!1",
        "w000000000000001",
        "w.0000000000000010000000000000",
        "w.000000000000001.",
        "w.0000000000000080000000000", /* 2 to the 63 */
        "w.000000000000001!-----------",
        "k3f9a2.1.0.17",
    };
    struct watch_id id;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (watch_id_parse(wrong[i], &id) == 0)
            fail_msg("%s was read", wrong[i]);
    assert_int_equal(watch_id_parse("w", &id), 0);
    assert_int_equal(id.count, 0);
}

static void test_keys_and_states_tell_apart(void **state)
{
    (void)state;
    assert_int_equal(watch_key("a/b/c", "0"), watch_key("a/b/c", "0"));
    assert_int_not_equal(watch_key("a/b/c", "0"), watch_key("a/b/c", "1"));
    assert_int_not_equal(watch_key("a/b/c", "0"), watch_key("a/b/d", "0"));
    assert_int_not_equal(watch_key("a/b/c", "0"), watch_key("", "0"));
    assert_int_not_equal(watch_key("a/b", "c0"), watch_key("a/bc", "0"));
    assert_int_not_equal(watch_state("k3f9a2m1x7qd", 1), watch_state("k3f9a2m1x7qe", 1));
    assert_int_not_equal(watch_state("k3f9a2m1x7qd", 1), watch_state("k3f9a2m1x7qd", 2));
}

static void test_find(void **state)
{
    static const struct watch_id id = {.count = 2,
                                       .positions = {{.key = 5, .number = 1}, {.key = 6}}};

    (void)state;
    assert_int_equal(watch_id_find(&id, 5)->number, 1);
    assert_ptr_equal(watch_id_find(&id, 6), &id.positions[1]);
    assert_null(watch_id_find(&id, 7));
    assert_null(watch_id_find(&id, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comes_back),
        cmocka_unit_test(test_the_longest_fits),
        cmocka_unit_test(test_nothing_else_is_one),
        cmocka_unit_test(test_keys_and_states_tell_apart),
        cmocka_unit_test(test_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
