/* Values found in JSON text, and how deep they nest. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_test.h"
#include "model/json_scan.h"
#include "random.h"

static void assert_value(const char *text, const char *value, size_t nesting)
{
    const char *end = text + strlen(text);
    const char *begin = json_scan_space(text, end);
    size_t found;
    const char *behind = json_scan_value(begin, end, &found);
    assert_int_equal(behind - begin, strlen(value));
    assert_memory_equal(begin, value, strlen(value));
    assert_int_equal(found, nesting);
}

static void test_values(void **state)
{
    (void)state;
    assert_value("1,2", "1", 0);
    assert_value(" \t\r\n-1.5e3]", "-1.5e3", 0);
    assert_value("true }", "true", 0);
    assert_value("null", "null", 0);
    assert_value("\"a,]}\" ,", "\"a,]}\"", 0);
    assert_value("\"\\\"\\\\\",", "\"\\\"\\\\\"", 0);
    assert_value("{} ,", "{}", 1);
    assert_value("[],", "[]", 1);
    assert_value("[[],[[]]],1", "[[],[[]]]", 3);
    assert_value("{\"a\":\"}\\\"]\",\"b\":[{\"c\":[]}]}]", "{\"a\":\"}\\\"]\",\"b\":[{\"c\":[]}]}",
                 4);
}

static void test_never_reads_past_the_end(void **state)
{
    (void)state;
    static const char *const cut[] = {"", "{", "[[", "\"abc", "\"abc\\", "{\"a\":\"\\", "12"};
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        size_t length = strlen(cut[i]), nesting;
        /* Of its own, so that the sanitizer sees the byte behind it. */
        char *text = malloc(length + 1);
        char *at_end = memcpy(text + 1, cut[i], length);
        assert_ptr_equal(json_scan_value(at_end, at_end + length, &nesting), at_end + length);
        free(text);
    }
}

static json_t *make_value(struct random *random, size_t depth)
{
    static const char *const strings[] = {"", "\"", "\\", "]}", "a\\\"b", "\n", "{[", "\u00e4"};
    switch (random_below(random, depth ? 5 : 3)) {
    case 0:
        return json_integer((json_int_t)random_below(random, 1000));
    case 1:
        return json_string(strings[random_below(random, 8)]);
    case 2:
        return json_real(0.5);
    case 3: {
        json_t *array = json_array();
        for (size_t i = random_below(random, 4); i > 0; i--)
            json_array_append_new(array, make_value(random, depth - 1));
        return array;
    }
    default: {
        json_t *object = json_object();
        for (size_t i = random_below(random, 4); i > 0; i--)
            json_object_set_new(object, strings[random_below(random, 8)],
                                make_value(random, depth - 1));
        return object;
    }
    }
}

static size_t nesting_of(json_t *value)
{
    size_t deepest = 0, index;
    const char *key;
    json_t *child;
    if (!json_is_object(value) && !json_is_array(value))
        return 0;
    json_array_foreach (value, index, child) {
        size_t below = nesting_of(child);
        deepest = below > deepest ? below : deepest;
    }
    json_object_foreach (value, key, child) {
        size_t below = nesting_of(child);
        deepest = below > deepest ? below : deepest;
    }
    return deepest + 1;
}

static void test_agrees_with_the_parser(void **state)
{
    (void)state;
    struct random random = random_start("json scan");
    for (int i = 0; i < 3000; i++) {
        json_t *value = make_value(&random, 5);
        char *text = json_dumps(value, JSON_ENCODE_ANY | (i % 2 ? JSON_INDENT(2) : JSON_COMPACT));
        assert_value(text, text, nesting_of(value));
        free(text);
        json_decref(value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_never_reads_past_the_end),
        cmocka_unit_test(test_agrees_with_the_parser),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
