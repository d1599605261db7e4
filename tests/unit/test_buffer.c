/* JSON written into a growing buffer. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cmocka_test.h"
#include "model/buffer.h"
#include "model/timestamp.h"

static void assert_holds(struct buffer *buffer, const char *expected)
{
    assert_false(buffer->failed);
    assert_int_equal(buffer->length, strlen(expected));
    assert_memory_equal(buffer->bytes, expected, buffer->length);
    buffer_free(buffer);
    assert_int_equal(buffer->length, 0);
}

static void test_values(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    buffer_text(&buffer, "[");
    buffer_string(&buffer, "a\"b\\c/\b\f\n\r\t\x01\x1f\x7f\u00e4");
    buffer_text(&buffer, ",");
    buffer_string(&buffer, NULL);
    buffer_text(&buffer, ",");
    buffer_string(&buffer, "");
    buffer_text(&buffer, "]");
    assert_holds(&buffer, "[\"a\\\"b\\\\c/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\u00e4\",null,\"\"]");
}

static void test_integers(void **state)
{
    (void)state;
    static const int64_t numbers[] = {0, 7, -1, 10, 1234567890123, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct buffer buffer = {0};
        char expected[32];
        snprintf(expected, sizeof expected, "%lld", (long long)numbers[i]);
        buffer_integer(&buffer, numbers[i]);
        assert_holds(&buffer, expected);
    }
}

static void test_timestamps(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    buffer_timestamp(&buffer, 1000);
    buffer_timestamp(&buffer, TIME_NONE);
    assert_holds(&buffer, "\"1970-01-01T00:00:00.001Z\"null");
}

/* Every character comes back as it was, through a parser. */
static void test_strings_can_be_read_back(void **state)
{
    (void)state;
    for (int c = 1; c < 128; c++) {
        struct buffer buffer = {0};
        char text[] = {'x', (char)c, (char)c, 'y', '\0'};
        buffer_string(&buffer, text);
        json_t *json = json_loadb(buffer.bytes, buffer.length, JSON_DECODE_ANY, NULL);
        assert_string_equal(json_string_value(json), text);
        json_decref(json);
        buffer_free(&buffer);
    }
}

static void test_grows(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    for (int i = 0; i < 100000; i++)
        buffer_append(&buffer, "0123456789", 10);
    assert_int_equal(buffer.length, 1000000);
    for (size_t i = 0; i < buffer.length; i++)
        assert_int_equal(buffer.bytes[i], '0' + (int)(i % 10));
    char *room = buffer_reserve(&buffer, 5000000);
    assert_non_null(room);
    memset(room, 'x', 5000000);
    assert_int_equal(buffer.length, 1000000);
    buffer_free(&buffer);
}

static void test_failure_stays(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    buffer_text(&buffer, "a");
    assert_null(buffer_reserve(&buffer, SIZE_MAX - 10));
    assert_true(buffer.failed);
    buffer_text(&buffer, "b");
    buffer_text(&buffer, "");
    assert_null(buffer_reserve(&buffer, 1));
    assert_true(buffer.failed);
    buffer_free(&buffer);
    assert_false(buffer.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),     cmocka_unit_test(test_integers),
        cmocka_unit_test(test_timestamps), cmocka_unit_test(test_strings_can_be_read_back),
        cmocka_unit_test(test_grows),      cmocka_unit_test(test_failure_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
