/* Bodies of requests: what is an event, what is refused, and by whom. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_test.h"
#include "model/buffer.h"
#include "model/event_batch.h"
#include "model/event_cut.h"

#define KEY "\"project\":\"p\",\"domain\":\"d\",\"runName\":\"r\",\"name\":\"a\",\"phase\":4"
#define EVENT "{" KEY "}"

static int decode_bytes(struct event_batch *batch, const char *bytes, size_t length,
                        enum event_batch_form form, struct problem *problem)
{
    /* Exactly as long, so that the sanitizer sees a byte too far. */
    char *body = malloc(length ? length : 1);
    memcpy(body, bytes, length);
    *problem = (struct problem){0};
    return event_batch_decode(batch, body, length, form, NULL, 77, problem);
}

static int decode(struct event_batch *batch, const char *text, enum event_batch_form form,
                  struct problem *problem)
{
    return decode_bytes(batch, text, strlen(text), form, problem);
}

static void assert_info(const struct event_batch *batch, size_t index, const char *expected)
{
    struct json_text info = batch->events[index].info;
    assert_int_equal(batch->results[index].status, EVENT_PENDING);
    assert_int_equal(info.length, strlen(expected));
    assert_memory_equal(info.bytes, expected, info.length);
}

static void assert_rejected(const struct event_batch *batch, size_t index, enum problem_kind kind)
{
    assert_int_equal(batch->results[index].status, EVENT_REJECTED);
    assert_int_equal(batch->results[index].problem->kind, kind);
    assert_null(batch->events[index].info.bytes);
}

static void test_single_event(void **state)
{
    (void)state;
    struct event_batch batch;
    struct problem problem;
    assert_int_equal(decode(&batch, " \n" EVENT "\r\n ", EVENT_BATCH_JSON, &problem), 0);
    assert_true(batch.is_single);
    assert_int_equal(batch.count, 1);
    assert_info(&batch, 0, EVENT);
    assert_int_equal(batch.events[0].updated_us, 77);
    event_batch_clear(&batch);

    assert_int_equal(decode(&batch, "{\"project\":\"p\"}", EVENT_BATCH_JSON, &problem), 0);
    assert_true(batch.is_single);
    assert_rejected(&batch, 0, PROBLEM_INVALID_FIELD);
    event_batch_clear(&batch);
}

static void test_list_keeps_each_event_as_it_came(void **state)
{
    (void)state;
    struct event_batch batch;
    struct problem problem;
    const char *body = " { \"ev\\u0065nts\" :\n[ " EVENT " ,\t{" KEY
                       ", \"outputs\": {\"x\": [\"]\", \"\\\"}\", 1.50]} } ,7, " EVENT " ] } ";
    assert_int_equal(decode(&batch, body, EVENT_BATCH_JSON, &problem), 0);
    assert_false(batch.is_single);
    assert_int_equal(batch.count, 4);
    assert_info(&batch, 0, EVENT);
    assert_info(&batch, 1, "{" KEY ", \"outputs\": {\"x\": [\"]\", \"\\\"}\", 1.50]} }");
    assert_rejected(&batch, 2, PROBLEM_INVALID_FIELD);
    assert_info(&batch, 3, EVENT);
    event_batch_clear(&batch);

    assert_int_equal(decode(&batch, "{\"events\":[]}", EVENT_BATCH_JSON, &problem), 0);
    assert_false(batch.is_single);
    assert_int_equal(batch.count, 0);
    event_batch_clear(&batch);
}

static void test_lines(void **state)
{
    (void)state;
    struct event_batch batch;
    struct problem problem;
    const char *body = "\n" EVENT "\r\n  \t\r\n{bad\n[]\n " EVENT " \n" EVENT " " EVENT "\n" EVENT;
    assert_int_equal(decode(&batch, body, EVENT_BATCH_NDJSON, &problem), 0);
    assert_false(batch.is_single);
    assert_int_equal(batch.count, 6);
    assert_info(&batch, 0, EVENT);
    assert_rejected(&batch, 1, PROBLEM_INVALID_JSON);
    assert_rejected(&batch, 2, PROBLEM_INVALID_FIELD);
    assert_info(&batch, 3, EVENT);
    assert_rejected(&batch, 4, PROBLEM_INVALID_JSON);
    assert_info(&batch, 5, EVENT);
    event_batch_clear(&batch);

    static const char *const empty[] = {"", "\n", " \r\n\n\t"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(decode(&batch, empty[i], EVENT_BATCH_NDJSON, &problem), 0);
        assert_int_equal(batch.count, 0);
        event_batch_clear(&batch);
    }
}

static void test_bodies_that_are_refused_as_a_whole(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        enum problem_kind kind;
        const char *pointer;
    } cases[] = {
        {"", PROBLEM_INVALID_JSON, ""},
        {"  ", PROBLEM_INVALID_JSON, ""},
        {"{", PROBLEM_INVALID_JSON, ""},
        {EVENT "}", PROBLEM_INVALID_JSON, ""},
        {EVENT "\n" EVENT, PROBLEM_INVALID_JSON, ""},
        {"{" KEY ",\"x\":1,\"x\":1}", PROBLEM_INVALID_JSON, ""},
        {"{" KEY ",\"x\":{\"y\":1,\"y\":2}}", PROBLEM_INVALID_JSON, ""},
        {"{" KEY ",\"x\":\"\xff\"}", PROBLEM_INVALID_JSON, ""},
        {"{" KEY ",\"x\":\"\xed\xa0\x80\"}", PROBLEM_INVALID_JSON, ""},
        {"{" KEY ",\"x\":\"\\ud800\"}", PROBLEM_INVALID_JSON, ""},
        {"{" KEY ",\"x\":\"\\u0000\"}", PROBLEM_INVALID_JSON, ""},
        {"{" KEY ",\"\\u0000\":1}", PROBLEM_INVALID_JSON, ""},
        {"{" KEY ",\"x\":1e999}", PROBLEM_INVALID_JSON, ""},
        {"{" KEY ",\"x\":NaN}", PROBLEM_INVALID_JSON, ""},
        {"{" KEY ",\"x\":Infinity}", PROBLEM_INVALID_JSON, ""},
        {"{" KEY ",\"x\":9223372036854775808}", PROBLEM_INVALID_JSON, ""},
        {"{" KEY ",\"x\":01}", PROBLEM_INVALID_JSON, ""},
        {"{" KEY ",}", PROBLEM_INVALID_JSON, ""},
        {"\xef\xbb\xbf" EVENT, PROBLEM_INVALID_JSON, ""},
        {"[" EVENT "]", PROBLEM_BAD_REQUEST, ""},
        {"1", PROBLEM_BAD_REQUEST, ""},
        {"\"x\"", PROBLEM_BAD_REQUEST, ""},
        {"null", PROBLEM_BAD_REQUEST, ""},
        {"{\"events\":{}}", PROBLEM_INVALID_FIELD, "/events"},
        {"{\"events\":null}", PROBLEM_INVALID_FIELD, "/events"},
        {"{\"events\":[],\"a~/b\":1}", PROBLEM_INVALID_FIELD, "/a~0~1b"},
        {"{\"project\":\"p\",\"events\":[]}", PROBLEM_INVALID_FIELD, "/project"},
        {"{\"events\":[" EVENT ",]}", PROBLEM_INVALID_JSON, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct event_batch batch;
        struct problem problem;
        if (decode(&batch, cases[i].body, EVENT_BATCH_JSON, &problem) == 0)
            fail_msg("%s was decoded", cases[i].body);
        assert_int_equal(problem.kind, cases[i].kind);
        assert_string_equal(problem.pointer, cases[i].pointer);
        assert_true(strlen(problem.detail) > 0);
        assert_null(strstr(problem.detail, "JSON_"));
        assert_null(batch.body);
        json_t *json = problem_to_json(&problem);
        assert_non_null(json);
        json_decref(json);
    }
    struct event_batch batch;
    struct problem problem;
    assert_int_equal(decode_bytes(&batch, EVENT "\0", sizeof EVENT, EVENT_BATCH_JSON, &problem),
                     -1);
    assert_int_equal(problem.kind, PROBLEM_INVALID_JSON);
}

static void test_long_member_beside_events(void **state)
{
    (void)state;
    struct event_batch batch;
    struct problem problem;
    char member[600], body[700];
    memset(member, '~', sizeof member - 1);
    member[sizeof member - 1] = '\0';
    snprintf(body, sizeof body, "{\"events\":[],\"%s\":1}", member);
    assert_int_equal(decode(&batch, body, EVENT_BATCH_JSON, &problem), -1);
    assert_true(strlen(problem.pointer) < PROBLEM_POINTER_SIZE);
    assert_memory_equal(problem.pointer, "/~0~0~0", 7);
}

/* `count` events as one body of either form. */
static struct buffer make_body(size_t count, enum event_batch_form form)
{
    struct buffer body = {0};
    bool is_list = form == EVENT_BATCH_JSON;
    buffer_text(&body, is_list ? "{\"events\":[" : "");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buffer_text(&body, is_list ? "," : "\n");
        buffer_text(&body, EVENT);
    }
    buffer_text(&body, is_list ? "]}" : "\n");
    return body;
}

static void test_number_of_events_at_the_limit_and_one_past_it(void **state)
{
    (void)state;
    static const enum event_batch_form forms[] = {EVENT_BATCH_JSON, EVENT_BATCH_NDJSON};
    for (size_t i = 0; i < 2; i++) {
        struct event_batch batch;
        struct problem problem;
        struct buffer body = make_body(BATCH_EVENTS_MAX, forms[i]);
        assert_int_equal(decode_bytes(&batch, body.bytes, body.length, forms[i], &problem), 0);
        assert_int_equal(batch.count, BATCH_EVENTS_MAX);
        assert_info(&batch, BATCH_EVENTS_MAX - 1, EVENT);
        event_batch_clear(&batch);
        buffer_free(&body);
        body = make_body(BATCH_EVENTS_MAX + 1, forms[i]);
        assert_int_equal(decode_bytes(&batch, body.bytes, body.length, forms[i], &problem), -1);
        assert_int_equal(problem.kind, PROBLEM_TOO_MANY_EVENTS);
        buffer_free(&body);
    }
}

/* An event whose text is exactly `length` bytes long. */
static void append_event(struct buffer *body, size_t length)
{
    static const char begin[] = "{" KEY ",\"cluster\":\"", end[] = "\"}";
    buffer_text(body, begin);
    for (size_t i = sizeof begin - 1 + sizeof end - 1; i < length; i++)
        buffer_text(body, "x");
    buffer_text(body, end);
}

static void assert_truncated(const struct event_batch *batch, size_t index)
{
    assert_int_equal(batch->results[index].status, EVENT_PENDING);
    assert_true(batch->events[index].is_truncated);
    assert_string_equal(batch->events[index].name, "a");
    assert_true(batch->events[index].info.length < 2 * CUT_TEXT_BYTES_MAX);
}

static void test_size_of_an_event_at_the_limit_and_one_past_it(void **state)
{
    (void)state;
    for (int form = 0; form < 3; form++) {
        struct buffer body = {0};
        struct event_batch batch;
        struct problem problem;
        buffer_text(&body, form == 0 ? "{\"events\":[ " : "");
        append_event(&body, EVENT_BYTES_MAX);
        buffer_text(&body, form == 0 ? " , " : "\n");
        if (form < 2)
            append_event(&body, EVENT_BYTES_MAX + 1);
        buffer_text(&body, form == 0 ? "]}" : "\n");
        assert_int_equal(decode_bytes(&batch, body.bytes, body.length,
                                      form == 1 ? EVENT_BATCH_NDJSON : EVENT_BATCH_JSON, &problem),
                         0);
        assert_int_equal(batch.results[0].status, EVENT_PENDING);
        assert_int_equal(batch.events[0].info.length, EVENT_BYTES_MAX);
        assert_false(batch.events[0].is_truncated);
        if (form < 2)
            assert_truncated(&batch, 1);
        event_batch_clear(&batch);
        buffer_free(&body);
    }
    struct buffer body = {0};
    struct event_batch batch;
    struct problem problem;
    append_event(&body, EVENT_BYTES_MAX + 1);
    assert_int_equal(decode_bytes(&batch, body.bytes, body.length, EVENT_BATCH_JSON, &problem), 0);
    assert_true(batch.is_single);
    assert_truncated(&batch, 0);
    event_batch_clear(&batch);
    buffer_free(&body);
}

static void test_size_of_a_body_at_the_limit_and_one_past_it(void **state)
{
    (void)state;
    char *body = malloc(BATCH_BYTES_MAX + 1);
    struct event_batch batch;
    struct problem problem;
    memset(body, ' ', BATCH_BYTES_MAX + 1);
    memcpy(body, EVENT, sizeof EVENT - 1);
    assert_int_equal(decode_bytes(&batch, body, BATCH_BYTES_MAX, EVENT_BATCH_JSON, &problem), 0);
    event_batch_clear(&batch);
    assert_int_equal(decode_bytes(&batch, body, BATCH_BYTES_MAX + 1, EVENT_BATCH_JSON, &problem),
                     -1);
    assert_int_equal(problem.kind, PROBLEM_PAYLOAD_TOO_LARGE);
    free(body);
}

/* An event that is `nesting` levels deep; the event itself is the first. */
static void append_nested_event(struct buffer *body, size_t nesting)
{
    buffer_text(body, "{" KEY ",\"x\":");
    for (size_t i = 1; i < nesting; i++)
        buffer_text(body, i % 2 ? "[" : "{\"y\":");
    buffer_text(body, "1");
    for (size_t i = nesting - 1; i > 0; i--)
        buffer_text(body, i % 2 ? "]" : "}");
    buffer_text(body, "}");
}

static void test_nesting_at_the_limit_and_one_past_it(void **state)
{
    (void)state;
    for (int form = 0; form < 2; form++) {
        struct buffer body = {0};
        struct event_batch batch;
        struct problem problem;
        buffer_text(&body, form == 0 ? "{\"events\":[" : "");
        append_nested_event(&body, EVENT_NESTING_MAX);
        buffer_text(&body, form == 0 ? "," : "\n");
        append_nested_event(&body, EVENT_NESTING_MAX + 1);
        buffer_text(&body, form == 0 ? "]}" : "\n");
        assert_int_equal(decode_bytes(&batch, body.bytes, body.length,
                                      form == 1 ? EVENT_BATCH_NDJSON : EVENT_BATCH_JSON, &problem),
                         0);
        assert_int_equal(batch.results[0].status, EVENT_PENDING);
        assert_rejected(&batch, 1, PROBLEM_INVALID_FIELD);
        assert_non_null(strstr(batch.results[1].problem->detail, "33"));
        event_batch_clear(&batch);
        buffer_free(&body);
    }
    struct buffer body = {0};
    struct event_batch batch;
    struct problem problem;
    append_nested_event(&body, 100000);
    assert_int_equal(decode_bytes(&batch, body.bytes, body.length, EVENT_BATCH_JSON, &problem), -1);
    assert_int_equal(problem.kind, PROBLEM_INVALID_JSON);
    buffer_free(&body);
}

static void test_body_of_a_put(void **state)
{
    (void)state;
    static const struct action_event_path path = {"p", "d", "r", "a17", "2", "RUNNING", "3"};
    static const char *const bodies[] = {"", " \n", "{}", "{\"events\":[]}"};
    for (size_t i = 0; i < 4; i++) {
        struct event_batch batch;
        struct problem problem = {0};
        char *body = strdup(bodies[i]);
        assert_int_equal(
            event_batch_decode(&batch, body, strlen(body), EVENT_BATCH_JSON, &path, 0, &problem),
            0);
        assert_true(batch.is_single);
        assert_info(&batch, 0, i < 3 ? "{}" : bodies[i]);
        assert_string_equal(batch.events[0].name, "a17");
        event_batch_clear(&batch);
    }
    struct event_batch batch;
    struct problem problem = {0};
    assert_int_equal(event_batch_decode(&batch, NULL, 0, EVENT_BATCH_JSON, &path, 0, &problem), 0);
    event_batch_clear(&batch);
}

static void assert_answer(struct event_result result, const char *expected)
{
    struct buffer answer = {0};
    event_result_write(&answer, &result, false);
    assert_false(answer.failed);
    assert_int_equal(answer.length, strlen(expected));
    assert_memory_equal(answer.bytes, expected, answer.length);
    buffer_free(&answer);
}

static void test_answers(void **state)
{
    (void)state;
    static char parent[] = "a0";
    assert_answer((struct event_result){.status = EVENT_APPLIED, .revision = 17},
                  "{\"status\":\"applied\",\"revision\":17}");
    assert_answer((struct event_result){.status = EVENT_RECORDED, .revision = 17},
                  "{\"status\":\"recorded\",\"revision\":17}");
    assert_answer(
        (struct event_result){.status = EVENT_DUPLICATE, .identical = true, .revision = 3},
        "{\"status\":\"duplicate\",\"revision\":3,\"identical\":true}");
    assert_answer((struct event_result){.status = EVENT_DUPLICATE},
                  "{\"status\":\"duplicate\",\"identical\":false}");
    static char differing[] = "group, \"x\"";
    assert_answer(
        (struct event_result){.status = EVENT_DUPLICATE, .differing = differing},
        "{\"status\":\"duplicate\",\"identical\":false,\"detail\":\"An event with this"
        " attempt, phase and version is stored already, and says something else: group,"
        " \\\"x\\\". The stored event stays; to say the phase again, send it with a greater"
        " version.\"}");
    assert_answer((struct event_result){.status = EVENT_WAITING},
                  "{\"status\":\"waiting\",\"detail\":"
                  "\"The action waits for an event that names its parent.\"}");
    assert_answer((struct event_result){.status = EVENT_WAITING, .waiting_for = parent},
                  "{\"status\":\"waiting\",\"detail\":"
                  "\"The action waits for its parent a0 to join the tree.\"}");
    struct problem problem;
    struct event_result rejected = {0};
    problem_set(&problem, PROBLEM_TOO_DEEP, "/parent", "No.");
    assert_int_equal(event_result_reject(&rejected, &problem), 0);
    assert_answer(rejected, "{\"status\":\"rejected\",\"problem\":{\"type\":\"/problems/too-deep\","
                            "\"title\":\"The tree would become too deep\",\"status\":409,"
                            "\"detail\":\"No.\",\"pointer\":\"/parent\"}}");
    event_result_clear(&rejected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single_event),
        cmocka_unit_test(test_list_keeps_each_event_as_it_came),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_bodies_that_are_refused_as_a_whole),
        cmocka_unit_test(test_long_member_beside_events),
        cmocka_unit_test(test_number_of_events_at_the_limit_and_one_past_it),
        cmocka_unit_test(test_size_of_an_event_at_the_limit_and_one_past_it),
        cmocka_unit_test(test_size_of_a_body_at_the_limit_and_one_past_it),
        cmocka_unit_test(test_nesting_at_the_limit_and_one_past_it),
        cmocka_unit_test(test_body_of_a_put),
        cmocka_unit_test(test_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
