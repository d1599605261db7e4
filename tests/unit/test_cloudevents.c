/* CloudEvents 1.0 over HTTP: structured, binary, batched. */
#include <string.h>

#include "adapting.h"
#include "cmocka_test.h"

#define DATA "{\"runName\": \"r1\", \"name\": \"a0\", \"phase\": \"RUNNING\", \"parent\": null}"
#define EVENT                                                                                      \
    "{\"specversion\": \"1.0\", \"id\": \"1\", \"source\": \"/s\", \"type\": \"t\","               \
    " \"time\": \"2026-04-12T08:00:00Z\", \"data\": " DATA "}"

static struct adapted post(const char *type, const char *body, const char *specversion,
                           const char *time)
{
    const struct adapter_field headers[] = {
        {"Content-Type", type}, {"ce-specversion", specversion}, {"ce-time", time}};
    struct adapter_request request = {.method = "POST",
                                      .project = "p",
                                      .domain = "d",
                                      .headers = headers,
                                      .header_count = specversion == NULL ? 1 : 3,
                                      .body = body,
                                      .body_length = strlen(body)};

    return adapt_request("cloudevents", &request);
}

static void assert_is_event(const struct adapted *adapted, const char *time)
{
    const json_t *event = event_of(adapted, "a0", "RUNNING", 1);

    assert_string_equal(text_of(event, "project"), "p");
    assert_string_equal(text_of(event, "domain"), "d");
    assert_string_equal(text_of(event, "runName"), "r1");
    assert_string_equal(text_of(event, "updatedTime"), time);
}

static void test_modes(void **state)
{
    struct adapted structured =
        post("application/cloudevents+json; charset=utf-8", EVENT, NULL, "");
    struct adapted batch = post("application/cloudevents-batch+json", "[" EVENT "]", NULL, "");
    struct adapted plain = post("application/json", "[" EVENT "]", NULL, "");
    struct adapted binary = post("application/json", DATA, "1.0", "2026-04-12T09:00:00Z");
    struct adapted empty = post("application/cloudevents-batch+json", "[]", NULL, "");

    (void)state;
    assert_is_event(&structured, "2026-04-12T08:00:00Z");
    assert_is_event(&batch, "2026-04-12T08:00:00Z");
    assert_is_event(&plain, "2026-04-12T08:00:00Z");
    assert_is_event(&binary, "2026-04-12T09:00:00Z");
    assert_int_equal(json_array_size(empty.events), 0);
    adapted_clear(&structured);
    adapted_clear(&batch);
    adapted_clear(&plain);
    adapted_clear(&binary);
    adapted_clear(&empty);
}

static void test_data_may_be_base64(void **state)
{
    struct adapted adapted = post(
        "application/cloudevents+json",
        "{\"specversion\": \"1.0\", \"data_base64\": "
        "\"eyJydW5OYW1lIjoicjEiLCJuYW1lIjoiYTAiLCJwaGFzZSI6IlJVTk5JTkciLCJ1cGRhdGVkVGltZSI6IjIwMjYt"
        "MDQtMTJUMDg6MDA6MDBaIn0=\"}",
        NULL, "");

    (void)state;
    assert_is_event(&adapted, "2026-04-12T08:00:00Z");
    adapted_clear(&adapted);
}

static void test_data_may_be_text(void **state)
{
    struct adapted adapted =
        post("application/cloudevents+json",
             "{\"specversion\": \"1.0\", \"datacontenttype\": \"text/plain\", \"data\":"
             " \"{\\\"runName\\\": \\\"r1\\\", \\\"name\\\": \\\"a0\\\","
             " \\\"phase\\\": \\\"RUNNING\\\"}\", \"time\": \"2026-04-12T08:00:00Z\"}",
             NULL, "");

    (void)state;
    assert_is_event(&adapted, "2026-04-12T08:00:00Z");
    adapted_clear(&adapted);
}

static void test_time_of_a_header_may_have_escapes(void **state)
{
    struct adapted escaped = post("application/json", DATA, "1.0", "2026-04-12T09%3A00%3a00Z");
    struct adapted quoted = post("application/json", DATA, "1.0", "\"2026-04-12T09:00:00Z\"");

    (void)state;
    assert_is_event(&escaped, "2026-04-12T09:00:00Z");
    assert_is_event(&quoted, "2026-04-12T09:00:00Z");
    adapted_clear(&escaped);
    adapted_clear(&quoted);
}

/* An event is not lost because of it. */
static void test_what_is_no_time_is_none(void **state)
{
    static const char *const times[] = {"",
                                        "\"",
                                        "noon",
                                        "2026-04-12T09%3",
                                        "%00",
                                        "2026-04-12T09:00:00Z and much more than any time is long, "
                                        "which is to say that it is a text of another kind, and so "
                                        "no time"};

    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        struct adapted adapted = post("application/json", DATA, "1.0", times[i]);

        assert_null(json_object_get(event_of(&adapted, "a0", "RUNNING", 1), "updatedTime"));
        assert_int_equal(adapted.rejected, 0);
        adapted_clear(&adapted);
    }
}

static void test_binary_of_another_version_is_not_mapped(void **state)
{
    const struct unmapped_case expected = {DATA, UNMAPPED_FIELD, false};
    struct adapted adapted = post("application/json", DATA, "0.3", "");

    (void)state;
    assert_unmapped(&adapted, &expected);
    adapted_clear(&adapted);
}

static void test_time_of_the_data_stands(void **state)
{
    struct adapted adapted = post("application/json",
                                  "{\"runName\": \"r1\", \"name\": \"a0\", \"phase\": \"RUNNING\","
                                  " \"updatedTime\": \"2026-04-12T07:00:00Z\"}",
                                  "1.0", "2026-04-12T09:00:00Z");

    (void)state;
    assert_is_event(&adapted, "2026-04-12T07:00:00Z");
    adapted_clear(&adapted);
}

/* What GET …/events gives is what may come in, and has the same members as the first time. */
static void test_members_of_answers_are_left_out(void **state)
{
    struct adapted adapted =
        post("application/json",
             "{\"runName\": \"r1\", \"name\": \"a0\", \"phase\": \"RUNNING\", \"revision\": 7,"
             " \"recordedAt\": \"2026-04-12T07:00:01Z\", \"updatedTime\": \"2026-04-12T07:00:00Z\","
             " \"asReceived\": {\"recordedAt\": \"on tape\", \"attempt\": 1}}",
             "1.0", "2026-04-12T09:00:00Z");
    const json_t *event = event_of(&adapted, "a0", "RUNNING", 1);

    (void)state;
    assert_null(json_object_get(event, "revision"));
    assert_null(json_object_get(event, "asReceived"));
    assert_string_equal(text_of(event, "recordedAt"), "on tape");
    adapted_clear(&adapted);
}

static void test_what_is_not_mapped(void **state)
{
    static const struct {
        const char *body;
        enum unmapped_kind kind;
    } cases[] = {
        {"{\"specversion\": \"0.3\", \"data\": " DATA "}", UNMAPPED_FIELD},
        {DATA, UNMAPPED_FIELD},
        {"[[" EVENT "]]", UNMAPPED_FIELD},
        {"{\"specversion\": \"1.0\", \"data\": \"text\"}", UNMAPPED_TYPE},
        {"{\"specversion\": \"1.0\", \"data\": {\"order\": 7}}", UNMAPPED_TYPE},
        {"{\"specversion\": \"1.0\", \"data_base64\": \"%\"}", UNMAPPED_TYPE},
        {"not JSON", UNMAPPED_BODY},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct adapted adapted = post("application/cloudevents+json", cases[i].body, NULL, "");

        assert_int_equal(adapted.answer.unmapped[cases[i].kind], 1);
        assert_int_equal(json_array_size(adapted.events), 0);
        adapted_clear(&adapted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_data_may_be_base64),
        cmocka_unit_test(test_data_may_be_text),
        cmocka_unit_test(test_time_of_a_header_may_have_escapes),
        cmocka_unit_test(test_what_is_no_time_is_none),
        cmocka_unit_test(test_binary_of_another_version_is_not_mapped),
        cmocka_unit_test(test_time_of_the_data_stands),
        cmocka_unit_test(test_members_of_answers_are_left_out),
        cmocka_unit_test(test_what_is_not_mapped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
