/* The snapshots of several cells as one. */
#include <stdlib.h>
#include <string.h>

#include "cmocka_test.h"
#include "model/list_order.h"
#include "random.h"

enum { CELLS = 3, RUNS = 40, TURNS = 300 };

struct shown {
    int64_t us;
    struct run_key key;
    char name[4];
    size_t cell;
};

static void add(struct list_order *order, int64_t shown_us, const char *project, const char *domain,
                const char *name)
{
    const struct run_key key = {project, domain, name};

    list_order_add(order, shown_us, &key, (list_order_count(order) + 1) * 100);
}

static void test_newest_first_then_by_project_domain_and_name_backwards(void **state)
{
    struct list_order one = {0}, other = {0};
    const struct list_order *const orders[] = {&one, &other};
    size_t taken[2];

    (void)state;
    add(&one, 9, "p", "d", "r");
    add(&one, 5, "p", "d", "r2");
    add(&one, 5, "a/b", "z", "z");
    add(&other, 5, "p", "e", "a");
    add(&other, 5, "p", "d", "r1");
    add(&other, 5, "a", "z", "z");
    for (size_t limit = 0; limit < 8; limit++) {
        static const size_t of_one[] = {0, 1, 1, 2, 2, 3, 3, 3};
        size_t all = limit > 6 ? 6 : limit;

        list_order_merge(orders, 2, limit, taken);
        assert_int_equal(taken[0], of_one[limit]);
        assert_int_equal(taken[0] + taken[1], all);
    }
    assert_int_equal(list_order_end(&one, 0), 0);
    assert_int_equal(list_order_end(&one, 2), 200);
    list_order_free(&one);
    list_order_free(&other);
}

static int compare(const void *a, const void *b)
{
    const struct shown *one = a, *other = b;
    const struct run_key key = {one->key.project, one->key.domain, one->name};
    const struct run_key other_key = {other->key.project, other->key.domain, other->name};

    if (one->us != other->us)
        return one->us < other->us ? 1 : -1;
    return run_key_compare(&other_key, &key);
}

/* Against all of them sorted. */
static void check_random(struct random *random)
{
    static const char *const names[] = {"p", "p-q", "p/q", "q"};
    struct list_order parts[CELLS] = {0};
    const struct list_order *orders[CELLS] = {&parts[0], &parts[1], &parts[2]};
    struct shown all[RUNS];
    size_t taken[CELLS], expected[CELLS] = {0}, limit = random_below(random, RUNS + 5);

    for (size_t i = 0; i < RUNS; i++) {
        all[i] = (struct shown){.us = (int64_t)random_below(random, 6),
                                .key = {names[random_below(random, 4)], "d", NULL},
                                .name = {(char)('a' + i / 26), (char)('a' + i % 26)},
                                .cell = random_below(random, CELLS)};
    }
    qsort(all, RUNS, sizeof *all, compare);
    for (size_t i = 0; i < RUNS; i++) {
        all[i].key.run_name = all[i].name;
        list_order_add(&parts[all[i].cell], all[i].us, &all[i].key, 1);
        expected[all[i].cell] += i < limit;
    }
    list_order_merge(orders, CELLS, limit, taken);
    for (size_t i = 0; i < CELLS; i++) {
        assert_int_equal(taken[i], expected[i]);
        list_order_free(&parts[i]);
    }
}

static void test_the_first_of_all(void **state)
{
    struct random random = random_start("list_order");

    (void)state;
    for (int i = 0; i < TURNS; i++)
        check_random(&random);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_newest_first_then_by_project_domain_and_name_backwards),
        cmocka_unit_test(test_the_first_of_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
