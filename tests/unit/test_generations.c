/* Lists of cells one after the other, and the homes of runs by them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmocka_test.h"
#include "model/generations.h"

static const char *const cells[] = {"c", "a", "b"};

static struct run_key key_of(int number, char name[static 16])
{
    snprintf(name, 16, "r%d", number);
    return (struct run_key){"p", "d", name};
}

static void test_newest_first_and_each_once(void **state)
{
    struct generations generations = {0}, more = {0};
    char text[GENERATION_TEXT_SIZE];

    (void)state;
    generation_write(cells, 3, text);
    assert_string_equal(text, "a b c");
    assert_int_equal(generations_add(&generations, 2, text), 0);
    assert_int_equal(generations_add(&generations, 1, "a"), 0);
    assert_int_equal(generations_add(&generations, 2, text), 0);
    assert_int_equal(generations_add(&more, 3, "a b"), 0);
    assert_int_equal(generations_add(&more, 3, "a c"), 0);
    assert_int_equal(generations_add(&more, 1, "a"), 0);
    assert_int_equal(generations_merge(&generations, &more), 0);
    assert_int_equal(generations.count, 4);
    assert_string_equal(generations.items[0].text, "a c");
    assert_string_equal(generations.items[1].text, "a b");
    assert_string_equal(generations.items[2].text, "a b c");
    assert_string_equal(generations.items[3].text, "a");
    assert_true(generations_have(&generations, "c") && generations_have(&generations, "b"));
    assert_false(generations_have(&generations, "d") || generations_have(&more, "a b"));
    generations_clear(&generations);
    generations_clear(&more);
}

static void test_what_is_no_list_is_refused(void **state)
{
    static const char *const wrong[] = {"", " ", "a  b", " a"};
    struct generations generations = {0};
    char name[2 * CELL_NAME_SIZE];

    (void)state;
    memset(name, 'a', sizeof name);
    name[CELL_NAME_SIZE] = '\0';
    assert_int_equal(generations_add(&generations, 1, name), -EINVAL);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(generations_add(&generations, 1, wrong[i]), -EINVAL);
    assert_int_equal(generations.count, 0);
    for (int i = 0; i < GENERATIONS_MAX; i++)
        assert_int_equal(generations_add(&generations, i, "a"), 0);
    assert_int_equal(generations_add(&generations, GENERATIONS_MAX, "a"), -E2BIG);
    generations_clear(&generations);
}

/* Grown from one cell to two and three, the first then taken off: a run is looked for in all that
 * it can be in, and where it would be made first. */
static void test_homes_over_growth(void **state)
{
    static const char *const grown[] = {"a", "a b", "a b c", "b c"};
    static const char *const names[] = {"a", "b", "c"};
    struct generations generations = {0};
    char unknown[CELL_NAME_SIZE] = "", text[16];
    int counts[4] = {0};

    (void)state;
    for (int number = 0; number < 4; number++)
        assert_int_equal(generations_add(&generations, number, grown[number]), 0);
    assert_true(generations_index(&generations, names, 3, unknown));
    for (int i = 0; i < 3000; i++) {
        const struct run_key run = key_of(i, text);
        struct generations only = {0};
        uint8_t homes[HOMES_MAX], home[HOMES_MAX];
        size_t count = generations_homes(&generations, &run, homes);

        assert_in_range(count, 2, 3); /* "a" was all, and is not in the newest */
        counts[count]++;
        for (int number = 3; number >= 0; number--) {
            bool is_there = false;

            assert_int_equal(generations_add(&only, number, grown[number]), 0);
            generations_index(&only, names, 3, unknown);
            assert_int_equal(generations_homes(&only, &run, home), 1);
            for (size_t k = 0; k < count; k++)
                is_there |= homes[k] == home[0];
            assert_true(is_there);
            if (number == 3)
                assert_int_equal(homes[0], home[0]);
            generations_clear(&only);
        }
    }
    assert_true(counts[2] > 0 && counts[3] > 0);
    generations_clear(&generations);
}

static void test_a_cell_that_is_not_listed_is_told(void **state)
{
    static const char *const names[] = {"a", "b"};
    struct generations generations = {0};
    char unknown[CELL_NAME_SIZE] = "", text[16];
    int unlisted = 0;

    (void)state;
    assert_int_equal(generations_add(&generations, 1, "a b"), 0);
    assert_int_equal(generations_add(&generations, 2, "a other"), 0);
    assert_false(generations_index(&generations, names, 2, unknown));
    assert_string_equal(unknown, "other");
    for (int i = 0; i < 300; i++) {
        const struct run_key run = key_of(i, text);
        uint8_t homes[HOMES_MAX];
        size_t count = generations_homes(&generations, &run, homes);

        unlisted += homes[0] == NOT_LISTED;
        assert_in_range(count, 1, 2);
        for (size_t k = 1; k < count; k++)
            assert_in_range(homes[k], 0, 1);
    }
    assert_in_range(unlisted, 50, 250);
    generations_clear(&generations);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_newest_first_and_each_once),
        cmocka_unit_test(test_what_is_no_list_is_refused),
        cmocka_unit_test(test_homes_over_growth),
        cmocka_unit_test(test_a_cell_that_is_not_listed_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
