/* Names of runs and actions. */
#include <string.h>

#include "cmocka_test.h"
#include "model/run_key.h"

static bool is_valid(const char *text)
{
    return key_part_is_valid(text, strlen(text), NAME_BYTES_MAX);
}

static void test_characters(void **state)
{
    (void)state;
    assert_true(is_valid("a"));
    assert_true(is_valid("0"));
    assert_true(is_valid("Az09._:-"));
    assert_false(is_valid(""));
    assert_false(is_valid("_a"));
    assert_false(is_valid(".a"));
    assert_false(is_valid("-a"));
    assert_false(is_valid(":a"));
    for (int c = 1; c < 256; c++) {
        char text[] = {'a', (char)c, '\0'};
        bool is_allowed = c < 128 && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                            "0123456789._:-",
                                            c) != NULL;
        assert_int_equal(is_valid(text), is_allowed);
    }
    assert_false(key_part_is_valid("a\0b", 3, NAME_BYTES_MAX));
}

static void test_length_at_the_limit_and_one_past_it(void **state)
{
    (void)state;
    char text[NAME_BYTES_MAX + 1];
    memset(text, 'a', sizeof text);
    assert_true(key_part_is_valid(text, PROJECT_BYTES_MAX, PROJECT_BYTES_MAX));
    assert_false(key_part_is_valid(text, PROJECT_BYTES_MAX + 1, PROJECT_BYTES_MAX));
    assert_true(key_part_is_valid(text, NAME_BYTES_MAX, NAME_BYTES_MAX));
    assert_false(key_part_is_valid(text, NAME_BYTES_MAX + 1, NAME_BYTES_MAX));
}

static void test_order(void **state)
{
    (void)state;
    static const struct run_key ordered[] = {
        {"A", "z", "z"},  {"a", "A", "z"},  {"a", "a", "z"},
        {"a", "aa", "B"}, {"a", "aa", "b"}, {"aa", "a", "a"},
    };
    const size_t count = sizeof ordered / sizeof *ordered;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++) {
            int order = run_key_compare(&ordered[i], &ordered[j]);
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_characters),
        cmocka_unit_test(test_length_at_the_limit_and_one_past_it),
        cmocka_unit_test(test_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
