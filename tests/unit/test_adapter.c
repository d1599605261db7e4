/* What all adapters have in common: names, times, versions, and what is counted and kept. */
#include <string.h>

#include "adapters/adapter.h"
#include "cmocka_test.h"
#include "model/timestamp.h"

#define LONG_NAME_BYTES (NAME_BYTES_MAX + 1)

static void test_names(void **state)
{
    static const struct {
        const char *text, *name;
    } cases[] = {
        {"ALIGN (s1)", "ALIGN (s1)"},
        {"a\tb\x7f", "a?b?"},
        {"\xc2\x85\xc2\xa0", "?\xc2\xa0"},
        {"\xff\xe2\x82\xac", "?\xe2\x82\xac"},
        {"", "?"},
        {".", "?"},
        {"..", ".?"},
        {"...", "..."},
    };
    char name[ADAPTER_NAME_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        adapter_name(cases[i].text, name);
        assert_string_equal(name, cases[i].name);
    }
}

static void test_long_names_stay_apart(void **state)
{
    char text[LONG_NAME_BYTES + 2], a[ADAPTER_NAME_SIZE], b[ADAPTER_NAME_SIZE];

    (void)state;
    memset(text, 'x', LONG_NAME_BYTES);
    text[LONG_NAME_BYTES] = text[LONG_NAME_BYTES + 1] = '\0';
    adapter_name(text, a);
    assert_int_equal(strlen(a), NAME_BYTES_MAX);
    text[LONG_NAME_BYTES] = 'y';
    adapter_name(text, b);
    assert_int_equal(strlen(b), NAME_BYTES_MAX);
    assert_string_not_equal(a, b);
}

static void test_name_with_id(void **state)
{
    char text[LONG_NAME_BYTES + 1], name[ADAPTER_NAME_SIZE];

    (void)state;
    adapter_name_with_id("etl", "20ff6e971d03", name);
    assert_string_equal(name, "etl-20ff6e971d03");
    memset(text, 'x', LONG_NAME_BYTES);
    text[LONG_NAME_BYTES] = '\0';
    adapter_name_with_id(text, "20ff6e971d03", name);
    assert_int_equal(strlen(name), NAME_BYTES_MAX);
    assert_string_equal(name + NAME_BYTES_MAX - 13, "-20ff6e971d03");
}

static int64_t time_of(const char *json)
{
    json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
    int64_t time_us = adapter_time_us(value);

    assert_non_null(value);
    json_decref(value);
    return time_us;
}

static void test_times(void **state)
{
    static const char *const no_times[] = {"0",
                                           "-1",
                                           "1e9",
                                           "null",
                                           "\"\"",
                                           "\"soon\"",
                                           "\"0001-01-01T00:00:00Z\"",
                                           "\"1970-01-01T00:00:00Z\"",
                                           "9223372036854775807"};
    json_t *text = adapter_time(INT64_C(1795630821765043));

    (void)state;
    assert_string_equal(json_string_value(text), "2026-11-25T18:20:21.765043Z");
    json_decref(text);
    assert_null(adapter_time(TIME_NONE));
    assert_int_equal(time_of("1795630821765"), INT64_C(1795630821765000));
    assert_int_equal(time_of("\"2026-11-25T18:20:21.765043+00:00\""), INT64_C(1795630821765043));
    assert_int_equal(time_of("\"2026-11-25 18:20:21Z\""), INT64_C(1795630821000000));
    for (size_t i = 0; i < sizeof no_times / sizeof *no_times; i++)
        assert_int_equal(time_of(no_times[i]), TIME_NONE);
}

static void test_versions_keep_the_order_of_time(void **state)
{
    int64_t time_us = INT64_C(1795630821765000);

    (void)state;
    assert_true(adapter_version(time_us) < adapter_version(time_us + 1000));
    assert_true(adapter_version(time_us) >= 0 && adapter_version(INT64_MAX) >= 0);
}

static void test_paths(void **state)
{
    const char *const path[] = {"api", "v1"};
    struct adapter_request request = {.path = path, .path_count = 2};

    (void)state;
    assert_true(adapter_path_is(&request, "api/v1"));
    assert_false(adapter_path_is(&request, "api"));
    assert_false(adapter_path_is(&request, "api/v1/lineage"));
    assert_false(adapter_path_is(&request, "api/v"));
    request.path_count = 0;
    assert_true(adapter_path_is(&request, ""));
}

static void handle_by_giving_up(const struct adapter_request *request,
                                struct adapter_answer *answer)
{
    const struct adapter_place place = {.run_name = "r1", .root = "a0"};
    json_t *message = json_pack("{s:s}", "odd", "thing");

    (void)request;
    adapter_unmapped(answer, UNMAPPED_TYPE, NULL, message, "first");
    adapter_unmapped(answer, UNMAPPED_TYPE, &place, message, "sec\nond");
    json_decref(message);
}

static void test_unmapped_is_counted_and_kept(void **state)
{
    static const struct adapter_tool tool = {.name = "odd", .handle = handle_by_giving_up};
    const struct adapter_request request = {.project = "p", .domain = "d"};
    struct adapter_answer answer;
    json_t *event, *kept;

    (void)state;
    adapter_handle(&tool, &request, &answer);
    assert_false(answer.failed);
    assert_int_equal(answer.unmapped[UNMAPPED_TYPE], 2);
    assert_string_equal(answer.unmapped_detail[UNMAPPED_TYPE], "first");
    event = json_loadb(answer.events.bytes, answer.events.length, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(event, "project")), "p");
    assert_string_equal(json_string_value(json_object_get(event, "runName")), "r1");
    assert_string_equal(json_string_value(json_object_get(event, "name")), "unmapped:odd");
    assert_string_equal(json_string_value(json_object_get(event, "parent")), "a0");
    kept = json_object_get(event, "unmapped");
    assert_string_equal(json_string_value(json_object_get(kept, "detail")), "sec?ond");
    assert_string_equal(json_string_value(json_object_get(kept, "message")), "{\"odd\":\"thing\"}");
    json_decref(event);
    adapter_answer_clear(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_long_names_stay_apart),
        cmocka_unit_test(test_name_with_id),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_versions_keep_the_order_of_time),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_unmapped_is_counted_and_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
