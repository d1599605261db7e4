/* What is left of an error: model/error_info.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/error_info.h"
#include "model/text.h"

static json_t *object_of(const char *name, const char *character, size_t count)
{
    size_t size = strlen(character);
    char *text = malloc(size * count + 1);
    json_t *object;
    assert_non_null(text);
    for (size_t i = 0; i < count; i++)
        memcpy(text + i * size, character, size);
    object = json_pack("{s:s%}", name, text, size * count);
    free(text);
    assert_non_null(object);
    return object;
}

static size_t length_of(const json_t *cut, const char *name)
{
    return json_string_length(json_object_get(cut, name));
}

static bool is_truncated(const json_t *cut)
{
    return json_is_true(json_object_get(cut, "truncated"));
}

static void test_what_fits_stays(void **state)
{
    (void)state;
    json_t *error = object_of("message", "x", ERROR_TEXT_BYTES_MAX);
    json_object_set_new(error, "code", json_integer(7));
    json_t *cut = error_info_cut(error);
    assert_true(json_equal(cut, error));
    json_decref(cut);
    json_decref(error);
}

static void test_texts_are_cut_between_characters(void **state)
{
    (void)state;
    /* 512 bytes of the beginning and 505 of the end, as far as whole characters go, and 7 between.
     */
    static const struct {
        const char *character;
        size_t kept;
    } cases[] = {{"x", 1024}, {"é", 1023}, {"名", 510 + 7 + 504}, {"🙂", 512 + 7 + 504}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *error = object_of("message", cases[i].character, 1025);
        json_t *cut = error_info_cut(error);
        assert_int_equal(length_of(cut, "message"), cases[i].kept);
        assert_true(utf8_is_valid(json_string_value(json_object_get(cut, "message"))));
        assert_true(is_truncated(cut));
        json_decref(cut);
        json_decref(error);
    }
}

static void test_the_last_line_of_a_trace_stays(void **state)
{
    (void)state;
    char trace[3000] = "Traceback (most recent call last):\n";
    size_t length = strlen(trace);
    memset(trace + length, '.', sizeof trace - length);
    memcpy(trace + sizeof trace - sizeof "\nValueError: 133", "\nValueError: 133",
           sizeof "\nValueError: 133");
    json_t *error = json_pack("{s:s}", "message", trace);
    json_t *cut = error_info_cut(error);
    const char *message = json_string_value(json_object_get(cut, "message"));
    assert_memory_equal(message, "Traceback (most recent call last):\n", length);
    assert_non_null(strstr(message, ".\n[...]\n."));
    assert_string_equal(message + strlen(message) - 16, "\nValueError: 133");
    json_decref(cut);
    json_decref(error);
}

static void test_other_members_share_a_kibibyte(void **state)
{
    (void)state;
    json_t *error = object_of("trace", "t", 5000);
    json_t *list = json_array(), *cut;
    for (int i = 0; i < 1000; i++)
        json_array_append_new(list, json_integer(i));
    json_object_set_new(error, "frames", list);
    json_object_set_new(error, "kind", json_string("USER"));
    json_object_set_new(error, "code", json_integer(7));
    cut = error_info_cut(error);
    assert_null(json_object_get(cut, "trace"));
    assert_null(json_object_get(cut, "frames"));
    assert_string_equal(json_string_value(json_object_get(cut, "kind")), "USER");
    assert_int_equal(json_integer_value(json_object_get(cut, "code")), 7);
    assert_true(is_truncated(cut));
    json_decref(cut);
    json_decref(error);
}

static void test_cut_twice_is_cut_once(void **state)
{
    (void)state;
    json_t *error = object_of("message", "\x01", 5000);
    json_t *once = error_info_cut(error), *twice = error_info_cut(once);
    assert_true(json_equal(once, twice));
    assert_true(json_dumpb(once, NULL, 0, JSON_COMPACT) < 8 * 1024);
    json_decref(twice);
    json_decref(once);
    json_decref(error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_fits_stays),
        cmocka_unit_test(test_texts_are_cut_between_characters),
        cmocka_unit_test(test_the_last_line_of_a_trace_stays),
        cmocka_unit_test(test_other_members_share_a_kibibyte),
        cmocka_unit_test(test_cut_twice_is_cut_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
