/* Which runs a watcher of the list wants to see. */
#include <errno.h>
#include <string.h>

#include "cmocka_test.h"
#include "model/list_filter.h"

static struct list_filter make_filter(const char *project, const char *domain, const char *phases,
                                      const char *name)
{
    struct list_filter filter = {0};

    memcpy(filter.project, project, strlen(project));
    memcpy(filter.domain, domain, strlen(domain));
    if (*phases != '\0')
        assert_int_equal(filter_add_phases(&filter.filter, phases), 0);
    assert_int_equal(filter_set_name(&filter.filter, name), 0);
    return filter;
}

static bool covers_titled(const struct list_filter *filter, const char *project, const char *domain,
                          const char *run_name, const char *record)
{
    return list_filter_covers(filter, &(struct run_key){project, domain, run_name},
                              (struct json_text){record, strlen(record)});
}

static bool covers(const struct list_filter *filter, const char *project, const char *domain,
                   const char *run_name)
{
    return covers_titled(filter, project, domain, run_name, "{\"labels\":{\"title\":\"nightly\"}}");
}

static void test_title_is_a_name(void **state)
{
    const struct list_filter filter = make_filter("p", "", "FAILED", "Night");
    static const char record[] = "{\"runName\":\"r\",\"title\":\"by \\\"NIGHT\\\"\"}";

    (void)state;
    assert_true(covers_titled(&filter, "p", "d", "r", record));
    assert_false(covers_titled(&filter, "q", "d", "r", record));
    assert_false(covers_titled(&filter, "p", "d", "r", "{\"title\":\"by day\"}"));
    assert_false(covers(&filter, "p", "d", "r"));
}

static void test_each_label_must_be_there(void **state)
{
    struct list_filter filter = {0}, other = {0};
    static const char record[] =
        "{\"labels\":{\"team\":\"a:b\",\"env\":\"\\u00e9\",\"none\":\"\"}}";
    char hash[LIST_FILTER_HASH_SIZE], other_hash[LIST_FILTER_HASH_SIZE];

    (void)state;
    assert_int_equal(list_filter_add_label(filter.labels, "team:a:b"), 0);
    assert_true(covers_titled(&filter, "p", "d", "r", record));
    assert_false(covers(&filter, "p", "d", "r"));
    assert_false(covers_titled(&filter, "p", "d", "r", "{\"title\":\"team:a:b\"}"));
    list_filter_hash(&filter, hash);
    assert_string_not_equal(hash, "0");
    assert_int_equal(list_filter_add_label(filter.labels, "none:"), 0);
    assert_int_equal(list_filter_add_label(filter.labels, "env:\xc3\xa9"), 0);
    assert_true(covers_titled(&filter, "p", "d", "r", record));
    list_filter_hash(&filter, other_hash);
    assert_string_not_equal(hash, other_hash);
    assert_false(list_filter_equal(&filter, &other));
    assert_int_equal(list_filter_add_label(filter.labels, "env:e"), 0);
    assert_false(covers_titled(&filter, "p", "d", "r", record));
}

static void test_label_that_is_none(void **state)
{
    struct list_filter filter = {0};
    char label[LIST_LABELS_SIZE];

    (void)state;
    assert_int_equal(list_filter_add_label(filter.labels, ""), -EINVAL);
    assert_int_equal(list_filter_add_label(filter.labels, "team"), -EINVAL);
    assert_int_equal(list_filter_add_label(filter.labels, ":a"), -EINVAL);
    memset(label, 'x', sizeof label);
    label[1] = ':';
    label[LIST_LABELS_SIZE - 1] = '\0';
    assert_int_equal(list_filter_add_label(filter.labels, label), -E2BIG);
    label[LIST_LABELS_SIZE - 2] = '\0';
    assert_int_equal(list_filter_add_label(filter.labels, label), 0);
    assert_int_equal(list_filter_add_label(filter.labels, "a:"), -E2BIG);
}

static void test_empty_filter_covers_every_run(void **state)
{
    const struct list_filter filter = {0};

    (void)state;
    assert_true(covers(&filter, "p", "d", "r"));
}

static void test_each_part_must_hold(void **state)
{
    const struct list_filter filter = make_filter("p", "d", "", "Night");

    (void)state;
    assert_true(covers(&filter, "p", "d", "x-NIGHTLY"));
    assert_false(covers(&filter, "p2", "d", "nightly"));
    assert_false(covers(&filter, "p", "d2", "nightly"));
    assert_false(covers(&filter, "p", "d", "daily"));
}

static void test_runs_are_covered_whatever_their_phase(void **state)
{
    const struct list_filter filter = make_filter("", "", "RUNNING,FAILED", "");

    (void)state;
    assert_true(covers(&filter, "p", "d", "r"));
}

static void test_different_filters_have_different_hashes(void **state)
{
    const struct list_filter filters[] = {
        {.project = ""},
        make_filter("ab", "", "", ""),
        make_filter("a", "b", "", ""),
        make_filter("", "ab", "", ""),
        make_filter("", "", "", "ab"),
        make_filter("", "", "RUNNING", ""),
        make_filter("", "", "FAILED", ""),
        make_filter("ab", "", "RUNNING", ""),
    };
    enum { COUNT = sizeof filters / sizeof *filters };
    char hashes[COUNT][LIST_FILTER_HASH_SIZE];

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        list_filter_hash(&filters[i], hashes[i]);
        for (size_t k = 0; k < i; k++) {
            assert_false(list_filter_equal(&filters[i], &filters[k]));
            assert_string_not_equal(hashes[i], hashes[k]);
        }
    }
    assert_string_equal(hashes[0], "0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_filter_covers_every_run),
        cmocka_unit_test(test_each_part_must_hold),
        cmocka_unit_test(test_title_is_a_name),
        cmocka_unit_test(test_each_label_must_be_there),
        cmocka_unit_test(test_label_that_is_none),
        cmocka_unit_test(test_runs_are_covered_whatever_their_phase),
        cmocka_unit_test(test_different_filters_have_different_hashes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
