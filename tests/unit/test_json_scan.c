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

static void assert_items(const char *text, const char *const *items)
{
    const char *at = text, *end = text + strlen(text);
    struct json_text item;
    while (json_scan_item(&at, end, &item)) {
        assert_non_null(*items);
        assert_int_equal(item.length, strlen(*items));
        assert_memory_equal(item.bytes, *items++, item.length);
    }
    assert_null(*items);
}

static void test_items(void **state)
{
    (void)state;
    assert_items("[]", (const char *[]){NULL});
    assert_items(" [ \n] ", (const char *[]){NULL});
    assert_items("[1]", (const char *[]){"1", NULL});
    assert_items("[ 1 , \"],\" ,[2,3],{\"a\":[]} ]",
                 (const char *[]){"1", "\"],\"", "[2,3]", "{\"a\":[]}", NULL});
    assert_items("[[[]]]", (const char *[]){"[[]]", NULL});
}

static void test_members(void **state)
{
    (void)state;
    const char *at = " { \"a\" : 1e5 ,\"lo\\u0067\\u0049nfo\":[{\"a\":2}], \"\":null }";
    const char *end = at + strlen(at);
    struct json_member member;
    assert_true(json_scan_member(&at, end, &member));
    assert_true(json_name_is(member.name, "a"));
    assert_false(json_name_is(member.name, "ab"));
    assert_false(json_name_is(member.name, ""));
    assert_memory_equal(member.value.bytes, "1e5", member.value.length);
    assert_true(json_scan_member(&at, end, &member));
    assert_true(json_name_is(member.name, "logInfo"));
    assert_false(json_name_is(member.name, "logInf"));
    assert_false(json_name_is(member.name, "logInfos"));
    assert_memory_equal(member.value.bytes, "[{\"a\":2}]", member.value.length);
    assert_true(json_scan_member(&at, end, &member));
    assert_true(json_name_is(member.name, ""));
    assert_memory_equal(member.value.bytes, "null", member.value.length);
    assert_false(json_scan_member(&at, end, &member));
}

/* A name that only begins like one, or ends inside an escape, is another. */
static void test_names(void **state)
{
    (void)state;
    static const char *const others[] = {"\\u00",   "\\",      "\\u0061\\u", "\\n",
                                         "\\u0161", "\\u00g1", "A"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(
            json_name_is((struct json_text){.bytes = others[i], .length = strlen(others[i])}, "a"));
    assert_true(json_name_is((struct json_text){.bytes = "\\u0061", .length = 6}, "a"));
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

static bool is_valid(const char *text, size_t length)
{
    /* Of its own, so that the sanitizer sees the byte behind it. */
    char *copy = malloc(length ? length : 1);
    memcpy(copy, text, length);
    const char *wrong = json_scan_error((struct json_text){.bytes = copy, .length = length});
    assert_true(!wrong || (wrong >= copy && wrong <= copy + length));
    free(copy);
    return !wrong;
}

static void test_what_is_json(void **state)
{
    (void)state;
    static const char *const valid[] = {"1", " [ ] ",
                                        "{\"a\":[{},[],\"\\u00e9\\\"\"],\"b\":-0.5E+7}",
                                        "\"\xf0\x9f\x98\x80\"", "[true,false,null,0,-1]"};
    static const char *const invalid[] = {"",
                                          " ",
                                          "[",
                                          "]",
                                          "{",
                                          "[1,]",
                                          "{\"a\":1,}",
                                          "{\"a\"}",
                                          "{a:1}",
                                          "[1 2]",
                                          "1 2",
                                          "[1}",
                                          "{\"a\":1]",
                                          "01",
                                          "-",
                                          "1.",
                                          ".5",
                                          "1e",
                                          "+1",
                                          "tru",
                                          "truex",
                                          "\"",
                                          "\"\\",
                                          "\"\\q\"",
                                          "\"\\u12g4\"",
                                          "\"\x01\"",
                                          "\"\x80\"",
                                          "\"\xc3\"",
                                          "\"\xc0\x80\"",
                                          "\"\xed\xa0\x80\"",
                                          "NaN",
                                          "{\"a\"::1}",
                                          "[,]",
                                          "{,}",
                                          "[[]",
                                          "\xf0\x9f"};
    for (size_t i = 0; i < sizeof valid / sizeof *valid; i++)
        assert_true(is_valid(valid[i], strlen(valid[i])));
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++)
        assert_false(is_valid(invalid[i], strlen(invalid[i])));
    assert_false(is_valid("1\0", 2));
    char deep[2 * JSON_SCAN_NESTING_MAX + 2];
    memset(deep, '[', JSON_SCAN_NESTING_MAX + 1);
    memset(deep + JSON_SCAN_NESTING_MAX + 1, ']', JSON_SCAN_NESTING_MAX + 1);
    assert_false(is_valid(deep, sizeof deep));
    assert_true(is_valid(deep + 1, sizeof deep - 2));
}

/* One byte of a valid text changed: the same verdict as jansson's. */
static void test_verdicts_are_those_of_jansson(void **state)
{
    (void)state;
    static const char bytes[] = "{}[],:\"\\ 0123456789-+.eEtrufalsn x\x01\x80\xc3\xa9\xe4";
    struct random random = random_start("json_scan_error");
    for (int round = 0; round < 20000; round++) {
        json_t *value = make_value(&random, 4);
        char *text = json_dumps(value, JSON_ENCODE_ANY);
        size_t length = strlen(text);
        text[random_below(&random, length)] = bytes[random_below(&random, sizeof bytes - 1)];
        json_t *parsed = json_loadb(text, length, JSON_DECODE_ANY, NULL);
        if (!strstr(text, "\\u") && is_valid(text, length) != (parsed != NULL))
            fail_msg("%s", text);
        json_decref(parsed);
        json_decref(value);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_what_is_json),
        cmocka_unit_test(test_verdicts_are_those_of_jansson),
        cmocka_unit_test(test_never_reads_past_the_end),
        cmocka_unit_test(test_items),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_agrees_with_the_parser),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
