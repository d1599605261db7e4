/* Where runs are at home. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_test.h"
#include "model/placement.h"

enum { RUNS = 30000 };

static size_t home_of(const char *const *names, size_t count, const struct run_key *run)
{
    uint64_t hashes[CELLS_MAX];

    for (size_t i = 0; i < count; i++)
        hashes[i] = placement_name(names[i]);
    return placement_home(hashes, count, placement_run(run));
}

static const char *home(const char *const *names, size_t count, int number)
{
    char run_name[16];
    const struct run_key run = {"p", "d", run_name};

    snprintf(run_name, sizeof run_name, "r%d", number);
    return names[home_of(names, count, &run)];
}

/* What is stored by it must be found by every later version. */
static void test_it_never_changes(void **state)
{
    static const char *const names[] = {"1", "2", "3", "eu-west"};
    char homes[41] = "";

    (void)state;
    for (int i = 0; i < 40; i++)
        homes[i] = home(names, 4, i)[0];
    assert_string_equal(homes, "11e11e2333e132322333e11eee1133331ee2e111");
}

static void test_each_has_its_share_and_order_is_nothing(void **state)
{
    static const char *const names[] = {"1", "2", "3"}, *const turned[] = {"3", "1", "2"};
    int counts[3] = {0};

    (void)state;
    for (int i = 0; i < RUNS; i++) {
        assert_string_equal(home(names, 3, i), home(turned, 3, i));
        counts[atol(home(names, 3, i)) - 1]++;
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(counts[i], RUNS / 3 - RUNS / 50, RUNS / 3 + RUNS / 50);
}

static void test_a_new_cell_takes_runs_and_moves_no_other(void **state)
{
    static const char *const names[] = {"1", "2", "3"};
    int moved = 0;

    (void)state;
    for (int i = 0; i < RUNS; i++) {
        const char *now = home(names, 3, i);

        if (strcmp(now, "3") == 0)
            moved++;
        else
            assert_string_equal(now, home(names, 2, i));
    }
    assert_in_range(moved, RUNS / 3 - RUNS / 50, RUNS / 3 + RUNS / 50);
}

static void test_each_part_of_the_key_counts(void **state)
{
    static const char *const names[] = {"1", "2"};
    int differ[3] = {0};

    (void)state;
    for (int i = 0; i < 1000; i++) {
        char text[16], other[16];
        struct run_key run = {"p", "d", "r"}, run_too = run;
        const char **parts[] = {&run_too.project, &run_too.domain, &run_too.run_name};

        snprintf(text, sizeof text, "n%d", i);
        snprintf(other, sizeof other, "m%d", i);
        run.run_name = text;
        for (int part = 0; part < 3; part++) {
            run_too = run;
            *parts[part] = other;
            differ[part] += home_of(names, 2, &run) != home_of(names, 2, &run_too);
        }
    }
    for (int part = 0; part < 3; part++)
        assert_in_range(differ[part], 400, 600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_never_changes),
        cmocka_unit_test(test_each_has_its_share_and_order_is_nothing),
        cmocka_unit_test(test_a_new_cell_takes_runs_and_moves_no_other),
        cmocka_unit_test(test_each_part_of_the_key_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
