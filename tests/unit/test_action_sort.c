/* In which order actions are listed, and which are the first of many. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_test.h"
#include "model/action_sort.h"
#include "random.h"

static int sign(int number)
{
    return (number > 0) - (number < 0);
}

/* Each of these is less than all behind it. */
static void test_names_in_their_order(void **state)
{
    (void)state;
    static const char *const names[] = {"",
                                        "-1",
                                        "0",
                                        "00",
                                        "0a",
                                        "01",
                                        "1",
                                        "1-2",
                                        "1-10",
                                        "2",
                                        "10",
                                        "10000000000000000000000",
                                        "10000000000000000000001",
                                        "A",
                                        "a",
                                        "a-1",
                                        "a01",
                                        "a1",
                                        "a01b",
                                        "a1b",
                                        "a2",
                                        "a2b01",
                                        "a2b1",
                                        "a2b2",
                                        "a02b3",
                                        "a10",
                                        "ab",
                                        "b",
                                        "task[2]",
                                        "task[10]",
                                        "\u00e4",
                                        "\u65e5"};
    const size_t count = sizeof names / sizeof *names;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++)
            if (sign(names_compare(names[i], names[j])) != (i > j) - (i < j))
                fail_msg("%s and %s", names[i], names[j]);
}

/* Whatever the names are: one of two is less, and what is less than a less one is less. */
static void test_order_of_names_is_total(void **state)
{
    (void)state;
    struct random random = random_start("action_sort");
    for (int round = 0; round < 20000; round++) {
        char names[3][8] = {""};
        for (size_t i = 0; i < 3; i++)
            for (size_t at = 0, length = random_below(&random, 7); at < length; at++)
                names[i][at] = "0129a-"[random_below(&random, 6)];
        int ab = sign(names_compare(names[0], names[1]));
        int bc = sign(names_compare(names[1], names[2]));
        assert_int_equal(ab, -sign(names_compare(names[1], names[0])));
        assert_int_equal(ab == 0, strcmp(names[0], names[1]) == 0);
        if (ab <= 0 && bc <= 0 && sign(names_compare(names[0], names[2])) > 0)
            fail_msg("%s, %s, %s", names[0], names[1], names[2]);
    }
}

enum { ACTIONS = 6 };

static const struct action actions[ACTIONS] = {
    {.name = "a10", .ordinal = 1, .created_us = 0, .started_us = 5000, .ended_us = 9000},
    {.name = "a2", .ordinal = 2, .created_us = 0, .started_us = -5, .ended_us = TIME_NONE},
    {.name = "b", .ordinal = 3, .created_us = 0, .started_us = TIME_NONE, .ended_us = TIME_NONE},
    {.name = "a02", .ordinal = 4, .created_us = 0, .started_us = 5000, .ended_us = 9000},
    {.name = "a1", .ordinal = 5, .created_us = 0, .started_us = TIME_NONE, .ended_us = 1000},
    {.name = "c", .ordinal = 6, .created_us = 0, .started_us = 7000, .ended_us = 7000},
};

/* The ordinals of all, `count` at a time, each behind the last. */
static void list_pages(struct action_order order, size_t count, char *out)
{
    struct action_place after;
    size_t found, pages = 0;
    do {
        struct first_actions *first = first_actions_new(order, pages++ ? &after : NULL, count);
        assert_non_null(first);
        for (size_t i = 0; i < ACTIONS; i++)
            first_actions_look_at(first, &actions[i]);
        const struct action_place *places = first_actions_list(first, &found);
        assert_true(found <= count);
        for (size_t i = 0; i < found; i++)
            *out++ = (char)('0' + places[i].ordinal);
        if (found > 0)
            after = places[found - 1];
        first_actions_free(first);
    } while (found > 0);
    *out = '\0';
}

static void test_each_order(void **state)
{
    (void)state;
    static const struct {
        const char *sort, *ascending, *descending;
    } cases[] = {
        {"order", "123456", "654321"},
        {"started", "214635", "614235"}, /* without a time last */
        {"duration", "614235", "146235"},
        {"name", "542136", "631245"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct action_order order = {0};
        char listed[32];
        assert_int_equal(action_sort_parse(cases[i].sort, &order.sort), 0);
        for (size_t count = 1; count <= ACTIONS + 1; count++) {
            order.is_descending = false;
            list_pages(order, count, listed);
            assert_string_equal(listed, cases[i].ascending);
            order.is_descending = true;
            list_pages(order, count, listed);
            assert_string_equal(listed, cases[i].descending);
        }
    }
    enum action_sort sort;
    assert_int_equal(action_sort_parse("Order", &sort), -EINVAL);
    assert_int_equal(action_sort_parse("", &sort), -EINVAL);
}

/* As it is shown. */
static void test_skipped_action_has_no_times(void **state)
{
    (void)state;
    const struct action skipped = {
        .name = "a", .ordinal = 1, .phase = PHASE_SKIPPED, .started_us = 5000, .ended_us = 9000};
    assert_true(action_place_of(SORT_STARTED, &skipped).value == TIME_NONE);
    assert_true(action_place_of(SORT_DURATION, &skipped).value == TIME_NONE);
}

static int compare_numbers(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static void test_first_of_many_in_any_order(void **state)
{
    (void)state;
    struct random random = random_start("first_actions");
    for (int round = 0; round < 200; round++) {
        int64_t times[500] = {0};
        size_t count = random_below(&random, 500), wanted = 1 + random_below(&random, 60), found;
        struct first_actions *first =
            first_actions_new((struct action_order){.sort = SORT_STARTED}, NULL, wanted);
        for (size_t i = 0; i < count; i++) {
            times[i] = (int64_t)random_below(&random, 100);
            const struct action action = {
                .name = "a", .ordinal = (int32_t)i + 1, .started_us = times[i]};
            first_actions_look_at(first, &action);
        }
        const struct action_place *places = first_actions_list(first, &found);
        assert_int_equal(found, count < wanted ? count : wanted);
        qsort(times, count, sizeof *times, compare_numbers);
        for (size_t i = 0; i < found; i++)
            assert_int_equal(places[i].value, times[i]);
        first_actions_free(first);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_in_their_order),
        cmocka_unit_test(test_order_of_names_is_total),
        cmocka_unit_test(test_each_order),
        cmocka_unit_test(test_skipped_action_has_no_times),
        cmocka_unit_test(test_first_of_many_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
