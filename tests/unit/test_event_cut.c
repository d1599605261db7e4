/* What is left of an event that is too large. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_test.h"
#include "model/action_event.h"
#include "model/event_cut.h"

static char *cut(const char *text)
{
    struct buffer out = {0};
    event_cut(&out, (struct json_text){.bytes = text, .length = strlen(text)});
    buffer_append(&out, "", 1);
    assert_false(out.failed);
    return out.bytes;
}

static void assert_cut(const char *text, const char *expected)
{
    char *kept = cut(text);
    assert_string_equal(kept, expected);
    free(kept);
}

static void test_small_members_stay_as_they_are(void **state)
{
    (void)state;
    assert_cut("{}", "{\"truncated\":true}");
    assert_cut(" { \"a\" : [ 1 ] , \"name\" : \"x\" } ",
               "{\"a\":[ 1 ],\"name\":\"x\",\"truncated\":true}");
    assert_cut("{\"truncated\":false,\"a\":1}", "{\"a\":1,\"truncated\":true}");
    assert_cut("{\"errorInfo\":{},\"task\":null}",
               "{\"errorInfo\":{},\"task\":null,\"truncated\":true}");
    assert_cut("{\"task\":{\"name\":\"n\",\"x\":[]},\"a\":1}",
               "{\"task\":{\"name\":\"n\",\"x\":[]},\"a\":1,\"truncated\":true}");
}

/* A text whose limit falls at every place of what `piece` writes is cut before or behind it. */
static void test_text_is_cut_between_characters(void **state)
{
    static const char *const pieces[] = {
        "x",    "\xc3\xa9", "\xe2\x82\xac",  "\xf0\x9f\x98\x80", "\\n", "\\u00e9", "\\ud83d\\ude00",
        "\\\\", "\\\"",     "\\uD83D\\uDE00"};
    (void)state;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        for (size_t shift = 0; shift < 12; shift++) {
            struct buffer text = {0};
            buffer_text(&text, "{\"a\":\"");
            for (size_t k = 0; k < shift; k++)
                buffer_text(&text, "s");
            while (text.length < 2 * CUT_TEXT_BYTES_MAX)
                buffer_text(&text, pieces[i]);
            buffer_append(&text, "\"}", sizeof "\"}");
            char *kept = cut(text.bytes);
            json_t *json = json_loads(kept, 0, NULL);
            assert_non_null(json);
            size_t written = strlen(kept) - strlen("{\"a\":\"\",\"truncated\":true}");
            assert_true(written <= CUT_TEXT_BYTES_MAX);
            assert_true(written > CUT_TEXT_BYTES_MAX - strlen(pieces[i]));
            assert_memory_equal(kept, text.bytes, written + strlen("{\"a\":\""));
            json_decref(json);
            free(kept);
            buffer_free(&text);
        }
    }
}

static void append_text(struct buffer *out, const char *before, size_t length)
{
    buffer_text(out, before);
    for (size_t i = 0; i < length; i++)
        buffer_text(out, "x");
}

static void test_the_largest_that_is_kept_fits(void **state)
{
    static const char *const texts[] = {"project", "domain",      "runName",      "name",
                                        "attempt", "phase",       "version",      "parent",
                                        "group",   "updatedTime", "reportedTime", "cluster"};
    struct buffer text = {0};
    (void)state;
    buffer_text(&text, "{\"a\":0");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        buffer_text(&text, ",\"");
        buffer_text(&text, texts[i]);
        append_text(&text, "\":\"", EVENT_BYTES_MAX);
        buffer_text(&text, "\"");
    }
    append_text(&text, ",\"task\":{\"name\":\"", EVENT_BYTES_MAX);
    append_text(&text, "\",\"shortName\":\"", EVENT_BYTES_MAX);
    append_text(&text, "\"},\"errorInfo\":{\"message\":\"", EVENT_BYTES_MAX);
    append_text(&text, "\",\"kind\":\"", EVENT_BYTES_MAX);
    buffer_text(&text, "\"}");
    for (int i = 0; i < 100; i++) {
        char name[32];
        snprintf(name, sizeof name, ",\"m%d\":\"", i);
        append_text(&text, name, CUT_TEXT_BYTES_MAX);
        buffer_text(&text, "\"");
    }
    buffer_append(&text, "}", sizeof "}");
    char *kept = cut(text.bytes), *again = cut(text.bytes);
    json_t *json = json_loads(kept, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    assert_string_equal(kept, again);
    assert_true(strlen(kept) < EVENT_BYTES_MAX);
    assert_true(strlen(kept) > CUT_MESSAGE_BYTES_MAX + CUT_REST_BYTES_MAX / 2);
    json_decref(json);
    free(kept);
    free(again);
    buffer_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_members_stay_as_they_are),
        cmocka_unit_test(test_text_is_cut_between_characters),
        cmocka_unit_test(test_the_largest_that_is_kept_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
