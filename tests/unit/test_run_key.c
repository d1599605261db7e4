/* Names of runs and actions. */
#include <string.h>

#include "cmocka_test.h"
#include "model/run_key.h"

static bool is_valid(enum key_part part, const char *text)
{
    return key_part_is_valid(part, text, strlen(text));
}

static void test_identifiers(void **state)
{
    static const char *const wrong[] = {"", "_a", ".a", "-a", ":a", "a b", "a%41", "\xc3\xa9"};
    (void)state;
    for (int part = KEY_PROJECT; part <= KEY_DOMAIN; part++) {
        assert_true(is_valid(part, "a"));
        assert_true(is_valid(part, "0"));
        assert_true(is_valid(part, "Az09._:-"));
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
            assert_false(is_valid(part, wrong[i]));
        for (int c = 1; c < 256; c++) {
            char text[] = {'a', (char)c, 'a', '\0'};
            bool is_allowed = c < 128 && (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                 "abcdefghijklmnopqrstuvwxyz0123456789._:-",
                                                 c) ||
                                          (part == KEY_PROJECT && c == '/'));
            assert_int_equal(is_valid(part, text), is_allowed);
        }
        assert_false(key_part_is_valid(part, "a\0b", 3));
    }
}

static void test_projects_with_slashes(void **state)
{
    static const char *const right[] = {"owner/repo", "o/r/s", "owner/.github", "owner/_r",
                                        "o/..."};
    static const char *const wrong[] = {"/",   "/a",   "a/",   "a//b", "a/./b",
                                        "a/.", "a/..", "../a", "a/*",  "a/b c"};
    (void)state;
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        assert_true(is_valid(KEY_PROJECT, right[i]));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(is_valid(KEY_PROJECT, wrong[i]));
}

static void test_names_of_the_world(void **state)
{
    static const char *const names[] = {
        "a",
        "-",
        "...",
        " ",
        "ALIGN (s1)",
        "caller / job",
        "task[0]",
        "wf(0:a,b).step",
        "manual__2024-01-01T00:00:00+00:00",
        "100%",
        "a%2Fb",
        "\"quoted\" \\ back",
        "order/42#retry",
        "caf\xc3\xa9",
        "cafe\xcc\x81",
        "\xf0\x9f\x9a\x80",
        "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d",
        "\xe2\x80\xae"
        "rtl",
        "\xc2\xa0",
        "\xf4\x8f\xbf\xbf",
    };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_true(is_valid(KEY_NAME, names[i]));
}

static void test_what_is_no_name(void **state)
{
    static const char *const wrong[] = {
        "",
        ".",
        "..",
        "a\xc2\x80",
        "a\xc2\x9f"
        "b",
        "\xff",
        "\xc0\xaf",
        "a\xe2\x82",
        "\xed\xa0\x80",
        "\x80",
        "a\xc2",
        "\xf4\x90\x80\x80",
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(is_valid(KEY_NAME, wrong[i]));
    for (int c = 1; c < 128; c++) {
        char text[] = {'a', (char)c, 'b', '\0'};
        assert_int_equal(is_valid(KEY_NAME, text), c >= ' ' && c != 0x7f);
    }
    assert_false(key_part_is_valid(KEY_NAME, "a\0b", 3));
    /* A character that is not all within the length. */
    assert_false(key_part_is_valid(KEY_NAME, "a\xc3\xa9", 2));
}

static void test_length_at_the_limit_and_one_past_it(void **state)
{
    static const size_t limits[] = {PROJECT_BYTES_MAX, DOMAIN_BYTES_MAX, NAME_BYTES_MAX};
    (void)state;
    char text[NAME_BYTES_MAX + 2] = "";
    memset(text, 'a', sizeof text - 1);
    for (int part = KEY_PROJECT; part <= KEY_NAME; part++) {
        assert_true(key_part_is_valid(part, text, limits[part]));
        assert_false(key_part_is_valid(part, text, limits[part] + 1));
        assert_non_null(key_part_rule(part));
    }
}

static void test_paths(void **state)
{
    static const struct run_key keys[] = {
        {"owner/repo", "d", "a/b"}, {"owner", "repo", "d"}, {"o", "d", "x%1f \xf0\x9f\x9a\x80"}};
    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char path[RUN_PATH_SIZE];
        run_key_path(&keys[i], path);
        char words[RUN_PATH_SIZE];
        run_key_words(&keys[i], words);
        assert_true(strchr(words, RUN_PATH_SEPARATOR[0]) == NULL);
        assert_int_equal(strlen(words), strlen(path));
        struct run_key key = run_key_split(path);
        assert_int_equal(run_key_compare(&key, &keys[i]), 0);
    }
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
        cmocka_unit_test(test_identifiers),
        cmocka_unit_test(test_projects_with_slashes),
        cmocka_unit_test(test_names_of_the_world),
        cmocka_unit_test(test_what_is_no_name),
        cmocka_unit_test(test_length_at_the_limit_and_one_past_it),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
