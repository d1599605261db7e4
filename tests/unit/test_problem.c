/* Problems and their documents. */
#include <string.h>

#include "cmocka_test.h"
#include "model/problem.h"

static void test_every_kind_is_described(void **state)
{
    (void)state;
    for (int kind = PROBLEM_NONE + 1; kind < PROBLEM_KINDS; kind++) {
        const struct problem_description *at = problem_describe((enum problem_kind)kind);
        assert_non_null(at->name);
        assert_true(at->name[strspn(at->name, "abcdefghijklmnopqrstuvwxyz-")] == '\0');
        assert_true(strlen(at->title) > 5);
        assert_true(strlen(at->explanation) > 80);
        assert_true(at->status >= 400 && at->status < 600);
        for (int other = PROBLEM_NONE + 1; other < kind; other++)
            assert_string_not_equal(at->name, problem_describe((enum problem_kind)other)->name);
    }
}

static void test_document(void **state)
{
    (void)state;
    struct problem problem;
    assert_int_equal(problem_set(&problem, PROBLEM_INVALID_FIELD, "/phase", "%s is %d.", "x", 7),
                     -1);
    json_t *json = problem_to_json(&problem);
    json_t *expected =
        json_pack("{s:s, s:s, s:i, s:s, s:s}", "type", "/problems/invalid-field", "title",
                  "A field is not valid", "status", 400, "detail", "x is 7.", "pointer", "/phase");
    assert_true(json_equal(json, expected));
    json_decref(json);
    json_decref(expected);

    problem_set(&problem, PROBLEM_NOT_FOUND, NULL, "No.");
    json = problem_to_json(&problem);
    assert_null(json_object_get(json, "pointer"));
    assert_int_equal(json_integer_value(json_object_get(json, "status")), 404);
    json_decref(json);
}

static void assert_is_utf8(const char *text)
{
    json_t *string = json_string(text);
    assert_non_null(string);
    json_decref(string);
}

static void test_long_texts_are_cut_between_characters(void **state)
{
    (void)state;
    static const char *const characters[] = {"a", "\u00e4", "\u20ac", "\U0001F600"};
    for (size_t i = 0; i < 4; i++) {
        for (size_t shift = 0; shift < 4; shift++) {
            char text[4 * PROBLEM_DETAIL_SIZE + 8] = "";
            struct problem problem;
            memset(text, 'x', shift);
            size_t length = shift;
            for (; length < 2 * PROBLEM_DETAIL_SIZE; length += strlen(characters[i]))
                memcpy(text + length, characters[i], strlen(characters[i]) + 1);
            problem_set(&problem, PROBLEM_BAD_REQUEST, text, "%s", text);
            assert_true(strlen(problem.detail) > PROBLEM_DETAIL_SIZE - 5);
            assert_true(strlen(problem.pointer) > PROBLEM_POINTER_SIZE - 5);
            assert_memory_equal(problem.detail, text, strlen(problem.detail));
            assert_memory_equal(problem.pointer, text, strlen(problem.pointer));
            assert_is_utf8(problem.detail);
            assert_is_utf8(problem.pointer);
        }
    }
}

static void test_invalid_bytes_become_question_marks(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"a\xff z", "a? z"},
        {"\xc0\xaf", "??"},           /* overlong */
        {"\xe0\x80\x80", "???"},      /* overlong */
        {"\xed\xa0\x80", "???"},      /* a surrogate */
        {"\xf4\x90\x80\x80", "????"}, /* beyond U+10FFFF */
        {"\xf0\x80\x80\x80", "????"}, /* overlong */
        {"\xe2\x82", "??"},           /* cut by the sender */
        {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct problem problem;
        problem_set(&problem, PROBLEM_BAD_REQUEST, NULL, "%s", cases[i].text);
        assert_string_equal(problem.detail, cases[i].expected);
        json_t *json = problem_to_json(&problem);
        assert_non_null(json);
        json_decref(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_is_described),
        cmocka_unit_test(test_document),
        cmocka_unit_test(test_long_texts_are_cut_between_characters),
        cmocka_unit_test(test_invalid_bytes_become_question_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
