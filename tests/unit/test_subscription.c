/* What a stream of many follows, as it is written. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_test.h"
#include "model/subscription.h"

static struct subscription parse(enum subscription_kind kind, const char *text)
{
    struct subscription parsed;
    char why[SUBSCRIPTION_WHY_SIZE] = "";

    if (subscription_parse(&parsed, kind, text, why) != 0)
        fail_msg("%s: %s", text, why);
    assert_ptr_equal(parsed.text, text);
    return parsed;
}

static void test_run(void **state)
{
    struct subscription parsed =
        parse(SUBSCRIPTION_RUN, "m%6c/production/r%31;phase=FAILED,4;name=A%3Bb;error=c;phase=1");

    (void)state;
    assert_string_equal(parsed.key.project, "ml");
    assert_string_equal(parsed.key.domain, "production");
    assert_string_equal(parsed.key.run_name, "r1");
    assert_int_equal(parsed.filter.phases,
                     1u << PHASE_FAILED | 1u << PHASE_RUNNING | 1u << PHASE_QUEUED);
    assert_string_equal(parsed.filter.name, "a;b");
    assert_string_equal(parsed.filter.error, "c");
    subscription_clear(&parsed);
    parsed = parse(SUBSCRIPTION_RUN, "a/b/c");
    assert_true(filter_is_empty(&parsed.filter));
    subscription_clear(&parsed);
}

static void test_list(void **state)
{
    struct subscription parsed = parse(SUBSCRIPTION_LIST, "*/production;limit=1000;name=n");

    (void)state;
    assert_string_equal(parsed.key.project, "");
    assert_string_equal(parsed.key.domain, "production");
    assert_null(parsed.key.run_name);
    assert_int_equal(parsed.limit, 1000);
    subscription_clear(&parsed);
    parsed = parse(SUBSCRIPTION_LIST, "*/*;label=team:a%3B;label=env:");
    assert_string_equal(parsed.labels, "team:a;");
    assert_string_equal(list_filter_next_label(parsed.labels), "env:");
    subscription_clear(&parsed);
    parsed = parse(SUBSCRIPTION_LIST, "ml/*");
    assert_string_equal(parsed.key.project, "ml");
    assert_string_equal(parsed.key.domain, "");
    assert_int_equal(parsed.limit, SUBSCRIPTION_LIMIT_DEFAULT);
    subscription_clear(&parsed);
}

static void test_names_with_separators(void **state)
{
    struct subscription parsed = parse(SUBSCRIPTION_RUN, "own%2Fer/ci/a%2Fb%3Bc=%25;name=x%2F=");

    (void)state;
    assert_string_equal(parsed.key.project, "own/er");
    assert_string_equal(parsed.key.run_name, "a/b;c=%");
    assert_string_equal(parsed.filter.name, "x/=");
    subscription_clear(&parsed);
}

static void test_a_plus_is_a_plus(void **state)
{
    struct subscription parsed = parse(SUBSCRIPTION_RUN, "a/b/c;name=x+y");

    (void)state;
    assert_string_equal(parsed.filter.name, "x+y");
    subscription_clear(&parsed);
}

static void test_what_is_none(void **state)
{
    static const struct {
        enum subscription_kind kind;
        const char *text;
    } wrong[] = {
        {SUBSCRIPTION_RUN, ""},
        {SUBSCRIPTION_RUN, "a/b"},
        {SUBSCRIPTION_RUN, "a/b/c/d"},
        {SUBSCRIPTION_RUN, "a/b/"},
        {SUBSCRIPTION_RUN, "a//c"},
        {SUBSCRIPTION_RUN, "*/b/c"},
        {SUBSCRIPTION_RUN, "a/b/%"},
        {SUBSCRIPTION_RUN, "a/b/%00"},
        {SUBSCRIPTION_RUN, "a/b/%ff"},
        {SUBSCRIPTION_RUN, "a/b/c;"},
        {SUBSCRIPTION_RUN, "a/b/c;phase"},
        {SUBSCRIPTION_RUN, "a/b/c;phase="},
        {SUBSCRIPTION_RUN, "a/b/c;limit=1"},
        {SUBSCRIPTION_RUN, "a/b/c;name=1;name=1"},
        {SUBSCRIPTION_RUN, "a/b/c;error=1;error=1"},
        {SUBSCRIPTION_RUN, "a/b/c;%6eame=1"},
        {SUBSCRIPTION_LIST, "a/b/c"},
        {SUBSCRIPTION_LIST, "a"},
        {SUBSCRIPTION_LIST, "a/"},
        {SUBSCRIPTION_LIST, "a/b;label=team"},
        {SUBSCRIPTION_RUN, "a/b/c;label=team:a"},
        {SUBSCRIPTION_LIST, "a/b;limit=0"},
        {SUBSCRIPTION_LIST, "a/b;limit=1001"},
        {SUBSCRIPTION_LIST, "a/b;limit=99999999999999999999"},
        {SUBSCRIPTION_LIST, "a/b;limit="},
        {SUBSCRIPTION_LIST, "a/b;limit=1;limit=1"},
        {SUBSCRIPTION_LIST, "a/b;error=1"},
        {SUBSCRIPTION_LIST, "a/b;label=x"},
        {SUBSCRIPTION_RUN, "a/b/c;label=x:y"},
    };
    struct subscription parsed;
    char why[SUBSCRIPTION_WHY_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        why[0] = '\0';
        if (subscription_parse(&parsed, wrong[i].kind, wrong[i].text, why) != -EINVAL || !why[0])
            fail_msg("%s was read", wrong[i].text);
    }
}

static void assert_equal(bool is_equal, enum subscription_kind kind, const char *a, const char *b)
{
    struct subscription one = parse(kind, a), other = parse(kind, b);

    if (subscription_equal(&one, &other) != is_equal)
        fail_msg("%s and %s", a, b);
    subscription_clear(&one);
    subscription_clear(&other);
}

static void test_equal(void **state)
{
    (void)state;
    assert_equal(true, SUBSCRIPTION_RUN, "a/b/c;phase=1;name=X", "a/%62/c;name=x;phase=1,1");
    assert_equal(true, SUBSCRIPTION_LIST, "a/*;limit=3", "a/*");
    assert_equal(false, SUBSCRIPTION_RUN, "a/b/c", "a/b/d");
    assert_equal(false, SUBSCRIPTION_RUN, "a/b/c", "a/b/c;phase=1");
    assert_equal(false, SUBSCRIPTION_LIST, "a/b", "b/b");
    assert_equal(false, SUBSCRIPTION_LIST, "a/b;label=x:y", "a/b;label=x:z");
    assert_equal(true, SUBSCRIPTION_LIST, "a/b;label=x:y", "a/b;label=%78:y");
    assert_equal(false, SUBSCRIPTION_LIST, "a/*", "a/b");
}

static void test_label(void **state)
{
    char *label = subscription_label("a/b/\"\n;name=ä", NULL);

    (void)state;
    assert_string_equal(label, "\"subscription\":\"a/b/\\\"\\n;name=ä\",");
    free(label);
    label = subscription_label("a/b", "eu-1");
    assert_string_equal(label, "\"subscription\":\"a/b\",\"cell\":\"eu-1\",");
    free(label);
    label = subscription_label(NULL, "2");
    assert_string_equal(label, "\"cell\":\"2\",");
    free(label);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_names_with_separators),
        cmocka_unit_test(test_a_plus_is_a_plus),
        cmocka_unit_test(test_what_is_none),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_label),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
