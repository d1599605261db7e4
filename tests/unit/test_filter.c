/* Which actions a filter lets through, and what it is called in an id. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cmocka_test.h"
#include "model/filter.h"
#include "random.h"

static struct filter make(const char *phases, const char *name)
{
    struct filter filter = {0};
    if (phases)
        assert_int_equal(filter_add_phases(&filter, phases), 0);
    if (name)
        assert_int_equal(filter_set_name(&filter, name), 0);
    return filter;
}

static bool matches(const struct filter *filter, enum phase phase, const char *name)
{
    return filter_matches(filter, &(struct filter_subject){.phase = phase, .names = {name}});
}

static void test_phases(void **state)
{
    (void)state;
    struct filter filter = make("RUNNING,ACTION_PHASE_FAILED", NULL);
    assert_int_equal(filter_add_phases(&filter, "9"), 0);
    for (int phase = 1; phase < PHASE_SLOTS; phase++)
        assert_int_equal(matches(&filter, (enum phase)phase, "x"),
                         phase == PHASE_RUNNING || phase == PHASE_FAILED || phase == PHASE_PAUSED);
    static const char *const wrong[] = {
        "",        ",",           "RUNNING,", ",RUNNING", "RUNNING,,FAILED", "RUNNING, FAILED",
        "running", "RUNNING,NOPE"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct filter none = {0};
        assert_int_equal(filter_add_phases(&none, wrong[i]), -EINVAL);
        assert_true(filter_is_empty(&none));
    }
}

static void test_name(void **state)
{
    (void)state;
    struct filter filter = make(NULL, "TrAin");
    assert_true(matches(&filter, PHASE_QUEUED, "train"));
    assert_true(matches(&filter, PHASE_QUEUED, "my_TRAINer"));
    assert_true(matches(&filter, PHASE_QUEUED, "trtrain"));
    assert_false(matches(&filter, PHASE_QUEUED, "trai"));
    assert_false(matches(&filter, PHASE_QUEUED, ""));
    /* ASCII alone is folded. */
    struct filter umlaut = make(NULL, "\u00c4");
    assert_true(matches(&umlaut, PHASE_QUEUED, "x\u00c4"));
    assert_false(matches(&umlaut, PHASE_QUEUED, "x\u00e4"));
}

static void test_both_must_hold(void **state)
{
    (void)state;
    struct filter filter = make("RUNNING", "train");
    assert_true(matches(&filter, PHASE_RUNNING, "train"));
    assert_false(matches(&filter, PHASE_QUEUED, "train"));
    assert_false(matches(&filter, PHASE_RUNNING, "clean"));
    struct filter any = {0};
    assert_true(matches(&any, PHASE_QUEUED, ""));
}

static void test_name_at_the_limit_and_one_past_it(void **state)
{
    (void)state;
    char name[FILTER_TEXT_BYTES_MAX + 2];
    struct filter filter = {0};
    memset(name, 'a', sizeof name);
    name[FILTER_TEXT_BYTES_MAX] = '\0';
    assert_int_equal(filter_set_name(&filter, name), 0);
    name[FILTER_TEXT_BYTES_MAX] = 'a';
    name[FILTER_TEXT_BYTES_MAX + 1] = '\0';
    assert_int_equal(filter_set_name(&filter, name), -EINVAL);
}

static bool contains_naively(const char *text, const char *lower)
{
    for (; *text; text++)
        if (strncasecmp(text, lower, strlen(lower)) == 0)
            return true;
    return false;
}

/* Words of two letters, so that a search must often go back. */
static void test_name_equals_the_naive_search(void **state)
{
    (void)state;
    struct random random = random_start("filter");
    for (int round = 0; round < 20000; round++) {
        char text[40], name[10];
        size_t text_length = random_below(&random, sizeof text);
        size_t name_length = 1 + random_below(&random, sizeof name - 1);
        for (size_t i = 0; i < text_length; i++)
            text[i] = "aAbB"[random_below(&random, 4)];
        text[text_length] = '\0';
        for (size_t i = 0; i < name_length; i++)
            name[i] = "ab"[random_below(&random, 2)];
        name[name_length] = '\0';
        struct filter filter = make(NULL, name);
        assert_int_equal(matches(&filter, PHASE_QUEUED, text), contains_naively(text, name));
    }
}

/* Every place of the text costs the whole name if the search compares anew. */
static void test_name_that_matches_nearly_everywhere(void **state)
{
    (void)state;
    enum { TEXT_BYTES = 64 * 1024 * 1024 };
    char *text = malloc(TEXT_BYTES + 1), name[FILTER_TEXT_BYTES_MAX + 1];
    memset(text, 'a', TEXT_BYTES);
    text[TEXT_BYTES] = '\0';
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    struct filter all = make(NULL, name);
    assert_true(matches(&all, PHASE_QUEUED, text));
    name[sizeof name - 2] = 'b';
    struct filter none = make(NULL, name);
    assert_false(matches(&none, PHASE_QUEUED, text));
    free(text);
}

static void test_every_name_is_looked_at(void **state)
{
    (void)state;
    const struct action action = {.name = "a17",
                                  .task_name = "pkg.sub.Train",
                                  .short_name = "short",
                                  .group = "map/7",
                                  .additions = "{\"links\":[1,2,[]],\"title\":[1,2,\"Say "
                                               "\\\"hi\\\"\\nto \u00c9t\u00e9\"]}",
                                  .phase = PHASE_RUNNING};
    const struct action nameless = {.name = "a17", .phase = PHASE_RUNNING};
    struct filter_subject subject = filter_subject_of(&action), bare = filter_subject_of(&nameless);
    static const char *const found[] = {"A17",   "pkg.",  "sub.train",
                                        "SHORT", "map/7", "say \"HI\"\nto \u00c9t"};
    for (size_t i = 0; i < sizeof found / sizeof *found; i++) {
        struct filter filter = make("RUNNING", found[i]);
        assert_true(filter_matches(&filter, &subject));
        assert_int_equal(filter_matches(&filter, &bare), i == 0);
    }
    /* Each on its own: what begins in one does not go on in another. */
    struct filter position = make(NULL, "2,");
    assert_false(filter_matches(&position, &subject));
    struct filter across = make(NULL, "17pkg");
    assert_false(filter_matches(&across, &subject));
}

static bool finds_error(const char *error, const char *error_info)
{
    struct filter filter = {0};
    assert_int_equal(filter_set_error(&filter, error), 0);
    return filter_matches(&filter,
                          &(struct filter_subject){.names = {error}, .error_info = error_info});
}

static void test_error_is_sought_in_the_first_line(void **state)
{
    (void)state;
    static const char lines[] =
        "{\"kind\":\"USER\",\"message\":\"Out of \\\"Memory\\\"\\t(137)\\nat "
        "pod 7\",\"code\":\"oops\"}";
    assert_true(finds_error("out of", lines));
    assert_true(finds_error("\"MEMORY\"\t(", lines));
    assert_false(finds_error("pod 7", lines));
    assert_false(finds_error("137)\n", lines));
    assert_false(finds_error("user", lines));
    assert_false(finds_error("oops", lines));
    assert_true(finds_error("second", "{\"message\":\"\\r\\n\\nsecond\\rthird\"}"));
    assert_false(finds_error("third", "{\"message\":\"\\r\\n\\nsecond\\rthird\"}"));
    assert_true(finds_error("\x1b[31m\\u", "{\"message\":\"\\u001B[31m\\\\u\"}"));
    assert_true(finds_error("Gr\u00f6", "{\"message\":\"gr\u00f6\u00dfe\"}"));
    assert_false(finds_error("x", NULL));
    assert_false(finds_error("x", "{\"kind\":\"x\"}"));
    assert_false(finds_error("x", "{\"message\":\"\"}"));
    assert_true(finds_error("", NULL));
}

static void test_equal_and_empty(void **state)
{
    (void)state;
    struct filter empty = make(NULL, ""), a = make("RUNNING,FAILED", "X"), b = make("6,4", "x");
    struct filter c = make("RUNNING", "x"), d = make("RUNNING,FAILED", "xy");
    assert_true(filter_is_empty(&empty));
    assert_false(filter_is_empty(&a));
    assert_false(filter_is_empty(&c));
    assert_true(filter_equal(&a, &b));
    assert_false(filter_equal(&a, &c));
    assert_false(filter_equal(&a, &d));
    struct filter error = a;
    assert_int_equal(filter_set_error(&error, "E"), 0);
    assert_false(filter_equal(&a, &error));
    error.phases = 0;
    error.name[0] = '\0';
    assert_false(filter_is_empty(&error));
    /* What stood behind a shorter name does not count. */
    struct filter reused = make("4,6", "xyz");
    assert_int_equal(filter_set_name(&reused, "x"), 0);
    assert_true(filter_equal(&a, &reused));
}

static void test_hash(void **state)
{
    (void)state;
    char hashes[250][FILTER_HASH_SIZE + 1];
    size_t count = 0;
    struct filter empty = {0};
    filter_hash(&empty, hashes[count]);
    assert_string_equal(hashes[count++], "0");
    for (int phase = 1; phase < PHASE_SLOTS; phase++)
        for (int c = 'a'; c < 'p'; c++) {
            struct filter filter = {.phases = 1u << phase, .name = {(char)c}};
            filter_hash(&filter, hashes[count++]);
        }
    for (int c = 'a'; c < 'p'; c++) {
        struct filter filter = {.phases = 1u << PHASE_FAILED, .error = {(char)c}};
        filter_hash(&filter, hashes[count++]);
        filter.name[0] = 'x';
        filter_hash(&filter, hashes[count++]);
    }
    for (size_t i = 0; i < count; i++) {
        assert_true(strlen(hashes[i]) >= 1 && strlen(hashes[i]) <= FILTER_HASH_SIZE);
        assert_int_equal(strspn(hashes[i], "0123456789abcdefghijklmnopqrstuvwxyz"),
                         strlen(hashes[i]));
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(hashes[i], hashes[j]);
    }
    /* Fixed: another replica, and the next version, must find the same. */
    struct filter phases = make("RUNNING", NULL), known = make("RUNNING", "train");
    char again[FILTER_HASH_SIZE + 1];
    filter_hash(&phases, again);
    assert_string_equal(again, "4lqt9nb1ftz1");
    filter_hash(&known, again);
    assert_string_equal(again, "k8p43n1xvwo3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_phases),
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_both_must_hold),
        cmocka_unit_test(test_name_at_the_limit_and_one_past_it),
        cmocka_unit_test(test_name_equals_the_naive_search),
        cmocka_unit_test(test_name_that_matches_nearly_everywhere),
        cmocka_unit_test(test_every_name_is_looked_at),
        cmocka_unit_test(test_error_is_sought_in_the_first_line),
        cmocka_unit_test(test_equal_and_empty),
        cmocka_unit_test(test_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
