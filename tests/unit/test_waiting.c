/* Why actions wait, from what is stored of what they wait for. */
#include <stdio.h>
#include <string.h>

#include "cmocka_test.h"
#include "model/waiting.h"
#include "random.h"

static void put(struct waiting_chains *chains, const char *name, const char *parent)
{
    const struct action action = {
        .name = name, .parent = parent, .parent_named = parent != NULL, .revision = 0};
    assert_int_equal(waiting_chains_put(chains, &action), 0);
}

static void put_in_tree(struct waiting_chains *chains, const char *name, int32_t level)
{
    const struct action action = {
        .name = name, .parent_named = true, .ordinal = level + 1, .level = level};
    assert_int_equal(waiting_chains_put(chains, &action), 0);
}

static void assert_why(struct waiting_chains *chains, const char *name, const char *reason,
                       const char *for_name)
{
    struct waiting_why why = waiting_chains_why(chains, name);
    assert_string_equal(waiting_reason_name(why.reason), reason);
    assert_string_equal(why.name, for_name);
}

static void test_each_reason(void **state)
{
    (void)state;
    struct waiting_chains *chains = waiting_chains_new();
    put(chains, "a", "lost");
    put(chains, "b", "a");
    put(chains, "c", "b");
    put(chains, "orphan", NULL);
    const struct action alias = {.name = "id-7", .parent = "b", .ordinal = ALIAS_ORDINAL};
    assert_int_equal(waiting_chains_put(chains, &alias), 0);
    put(chains, "below alias", "id-7");
    put(chains, "d", "orphan");
    put(chains, "p", "q");
    put(chains, "q", "p");
    put(chains, "r", "q");
    put(chains, "self", "self");
    put_in_tree(chains, "last", TREE_LEVELS_MAX);
    put_in_tree(chains, "last but one", TREE_LEVELS_MAX - 1);
    put(chains, "deep", "last");
    put(chains, "joins", "last but one");
    put(chains, "deep too", "joins");
    assert_why(chains, "below alias", "parent-absent", "lost");
    assert_why(chains, "c", "parent-absent", "lost");
    assert_why(chains, "a", "parent-absent", "lost");
    assert_why(chains, "b", "parent-absent", "lost");
    assert_why(chains, "d", "parent-not-named", "orphan");
    assert_why(chains, "orphan", "parent-not-named", "orphan");
    assert_why(chains, "r", "circle", "q");
    assert_why(chains, "p", "circle", "q");
    assert_why(chains, "q", "circle", "p");
    assert_why(chains, "self", "circle", "self");
    assert_why(chains, "deep", "too-deep", "last");
    assert_why(chains, "deep too", "too-deep", "last but one");
    assert_why(chains, "joins", "joining", "last but one");
    waiting_chains_free(chains);
    waiting_chains_free(NULL);
}

/* A parent that is missing may be a root at best. */
static void test_long_chains(void **state)
{
    (void)state;
    enum { COUNT = TREE_LEVELS_MAX + 100 };
    struct waiting_chains *chains = waiting_chains_new();
    char name[16], parent[16];
    for (int i = 1; i <= COUNT; i++) {
        snprintf(name, sizeof name, "a%d", i);
        snprintf(parent, sizeof parent, "a%d", i - 1);
        put(chains, name, parent);
    }
    assert_why(chains, "a900", "parent-absent", "a0");
    for (int i = 1; i <= COUNT; i++) {
        snprintf(name, sizeof name, "a%d", i);
        assert_why(chains, name, i < TREE_LEVELS_MAX ? "parent-absent" : "too-deep", "a0");
    }
    waiting_chains_free(chains);
}

enum { NAMES = 8 };

/* Straight up, one step after the other. */
static const char *naive_reason(const int *parents, const bool *is_in_tree, int from)
{
    int at = from;
    for (int steps = 0; steps <= NAMES; steps++) {
        if (parents[at] < 0)
            return "parent-not-named";
        at = parents[at];
        if (at == NAMES)
            return "parent-absent";
        if (is_in_tree[at])
            return "joining";
    }
    return "circle";
}

static void test_reasons_equal_the_naive_walk(void **state)
{
    (void)state;
    struct random random = random_start("waiting");
    static const char *const names[NAMES + 1] = {"a", "b", "c", "d", "e", "f", "g", "h", "absent"};
    for (int round = 0; round < 5000; round++) {
        struct waiting_chains *chains = waiting_chains_new();
        int parents[NAMES];
        bool is_in_tree[NAMES];
        for (int i = 0; i < NAMES; i++) {
            is_in_tree[i] = random_once_in(&random, 8);
            parents[i] = random_once_in(&random, 12) ? -1 : (int)random_below(&random, NAMES + 1);
            if (is_in_tree[i])
                put_in_tree(chains, names[i], 1);
            else
                put(chains, names[i], parents[i] < 0 ? NULL : names[parents[i]]);
        }
        for (int asked = 0; asked < NAMES; asked++) {
            int i = (int)random_below(&random, NAMES);
            if (is_in_tree[i])
                continue;
            struct waiting_why why = waiting_chains_why(chains, names[i]);
            assert_string_equal(waiting_reason_name(why.reason),
                                naive_reason(parents, is_in_tree, i));
        }
        waiting_chains_free(chains);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_reason),
        cmocka_unit_test(test_long_chains),
        cmocka_unit_test(test_reasons_equal_the_naive_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
