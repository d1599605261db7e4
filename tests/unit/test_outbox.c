#include <stdlib.h>
#include <string.h>

#include "cli/outbox.h"
#include "cmocka_test.h"

static void fill(struct outbox *outbox)
{
    assert_int_equal(outbox_init(outbox), 0);
    outbox_add(outbox, json_pack("{s:s, s:s, s:i, s:s, s:i}", "name", "a", "parent", "p", "attempt",
                                 2, "phase", "RUNNING", "version", 0));
    outbox_add(outbox, json_pack("{s:s, s:s, s:i, s:s, s:i}", "name", "a", "parent", "p", "attempt",
                                 2, "phase", "SUCCEEDED", "version", 0));
}

/* What is sent next: "NAME ATTEMPT PHASE, …". */
static void assert_sends(struct outbox *outbox, const char *expected)
{
    char *body = outbox_body(outbox), text[300] = "";
    json_t *document = json_loads(body, 0, NULL), *event;
    size_t i;

    json_array_foreach (json_object_get(document, "events"), i, event) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s %d %s", i == 0 ? "" : ", ",
                 json_string_value(json_object_get(event, "name")),
                 (int)json_integer_value(json_object_get(event, "attempt")),
                 json_string_value(json_object_get(event, "phase")));
    }
    assert_string_equal(text, expected);
    json_decref(document);
    free(body);
}

static enum outbox_verdict answer(struct outbox *outbox, int status, const char *body)
{
    return outbox_take_answer(outbox, status, body, body == NULL ? 0 : strlen(body));
}

#define TAKEN "{\"results\": [{\"status\": \"applied\", \"revision\": 1}]}"
#define OTHER "{\"results\": [{\"status\": \"duplicate\", \"identical\": false}]}"

static void test_the_start_goes_alone(void **state)
{
    struct outbox outbox;

    (void)state;
    fill(&outbox);
    assert_sends(&outbox, "a 2 RUNNING");
    assert_int_equal(answer(&outbox, 201, TAKEN), OUTBOX_TAKEN);
    assert_sends(&outbox, "a 2 SUCCEEDED");
    assert_int_equal(answer(&outbox, 200, "{\"results\": [{\"status\": \"waiting\"}]}"),
                     OUTBOX_TAKEN);
    assert_true(outbox_is_empty(&outbox));
    outbox_clear(&outbox);
}

static void test_what_is_not_taken_stays(void **state)
{
    static const int statuses[] = {0, 401, 403, 404, 429, 500, 503};
    struct outbox outbox;

    (void)state;
    fill(&outbox);
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        assert_sends(&outbox, "a 2 RUNNING");
        assert_int_equal(answer(&outbox, statuses[i], NULL), OUTBOX_RETRY);
    }
    assert_sends(&outbox, "a 2 RUNNING");
    assert_int_equal(answer(&outbox, 200, "hello"), OUTBOX_RETRY);
    assert_sends(&outbox, "a 2 RUNNING");
    assert_int_equal(answer(&outbox, 200, "{\"results\": []}"), OUTBOX_RETRY);
    outbox_clear(&outbox);
}

static void test_sent_twice_is_taken(void **state)
{
    struct outbox outbox;

    (void)state;
    fill(&outbox);
    assert_sends(&outbox, "a 2 RUNNING");
    answer(&outbox, 200, "{\"results\": [{\"status\": \"duplicate\", \"identical\": true}]}");
    assert_false(outbox.asks_state);
    assert_sends(&outbox, "a 2 SUCCEEDED");
    outbox_clear(&outbox);
}

static void test_next_attempt_of_a_name_that_was_there(void **state)
{
    json_t *action = json_pack("{s:i}", "attempt", 5);
    struct outbox outbox;

    (void)state;
    fill(&outbox);
    assert_sends(&outbox, "a 2 RUNNING");
    assert_int_equal(answer(&outbox, 200, OTHER), OUTBOX_TAKEN);
    assert_true(outbox.asks_state);
    outbox_take_state(&outbox, action);
    assert_false(outbox.asks_state);
    assert_sends(&outbox, "a 6 RUNNING");
    answer(&outbox, 201, OTHER);
    outbox_take_state(&outbox, NULL); /* may not be read */
    assert_sends(&outbox, "a 7 RUNNING");
    answer(&outbox, 201, TAKEN);
    assert_sends(&outbox, "a 7 SUCCEEDED");
    outbox_add(&outbox, json_pack("{s:s, s:i, s:s}", "name", "a", "attempt", 2, "phase", "FAILED"));
    assert_sends(&outbox, "a 7 SUCCEEDED, a 7 FAILED");
    json_decref(action);
    outbox_clear(&outbox);
}

static void test_longer_name_below_another_parent(void **state)
{
    struct outbox outbox;

    (void)state;
    fill(&outbox);
    assert_sends(&outbox, "a 2 RUNNING");
    answer(&outbox, 200, OTHER);
    outbox_take_state(&outbox, NULL);
    assert_sends(&outbox, "a 3 RUNNING");
    answer(&outbox, 207,
           "{\"results\": [{\"status\": \"rejected\", \"problem\": {\"type\": "
           "\"/problems/parent-conflict\"}}]}");
    assert_sends(&outbox, "p.a 2 RUNNING");
    answer(&outbox, 201, TAKEN);
    assert_sends(&outbox, "p.a 2 SUCCEEDED");
    outbox_clear(&outbox);
}

static void test_batch_goes_as_it_is(void **state)
{
    struct outbox outbox;

    (void)state;
    assert_int_equal(outbox_init(&outbox), 0);
    outbox.is_batch = true;
    for (int i = 0; i < OUTBOX_REQUEST_EVENTS_MAX + 1; i++)
        outbox_add(&outbox, json_pack("{s:s, s:i, s:s, s:i}", "name", i == 0 ? "a" : "b", "attempt",
                                      1, "phase", "RUNNING", "version", 0));
    free(outbox_body(&outbox));
    assert_int_equal(outbox.sent, OUTBOX_REQUEST_EVENTS_MAX);
    outbox.sent = 1;
    assert_int_equal(answer(&outbox, 200, OTHER), OUTBOX_TAKEN);
    assert_false(outbox.asks_state);
    assert_int_equal(json_array_size(outbox.events), OUTBOX_REQUEST_EVENTS_MAX);
    outbox_clear(&outbox);
}

static void test_conflicts_without_end(void **state)
{
    struct outbox outbox;

    (void)state;
    fill(&outbox);
    for (int i = 0; i < OUTBOX_CONFLICTS_MAX; i++) {
        free(outbox_body(&outbox));
        answer(&outbox, 200, OTHER);
        assert_true(outbox.asks_state);
        outbox_take_state(&outbox, NULL);
    }
    free(outbox_body(&outbox));
    answer(&outbox, 200, OTHER);
    assert_false(outbox.asks_state);
    assert_int_equal(json_array_size(outbox.events), 1);
    outbox_clear(&outbox);
}

static void test_what_is_refused_for_ever(void **state)
{
    struct outbox outbox;

    (void)state;
    fill(&outbox);
    free(outbox_body(&outbox));
    assert_int_equal(answer(&outbox, 207,
                            "{\"results\": [{\"status\": \"rejected\", \"problem\": {\"type\": "
                            "\"/problems/invalid-field\"}}]}"),
                     OUTBOX_TAKEN);
    free(outbox_body(&outbox));
    assert_int_equal(answer(&outbox, 400, "{\"type\": \"/problems/invalid-json\"}"), OUTBOX_TAKEN);
    assert_true(outbox_is_empty(&outbox));
    assert_int_equal(json_array_size(outbox.refused), 2);
    outbox_clear(&outbox);
}

/* The question repeats the start as it was taken, which changes nothing. */
static void test_whether_to_end(void **state)
{
    static const char asked[] = "{\"results\": [{\"status\": \"duplicate\", \"identical\": true, "
                                "\"abortRequested\": true}]}";
    struct outbox outbox;
    char *question;

    (void)state;
    fill(&outbox);
    assert_null(outbox_question(&outbox));
    assert_sends(&outbox, "a 2 RUNNING");
    answer(&outbox, 200, OTHER);
    outbox_take_state(&outbox, NULL);
    assert_sends(&outbox, "a 3 RUNNING");
    answer(&outbox, 201, TAKEN);
    question = outbox_question(&outbox);
    assert_non_null(strstr(question, "\"attempt\":3,\"phase\":\"RUNNING\",\"version\":0"));
    outbox_take_question_answer(&outbox, TAKEN, strlen(TAKEN));
    outbox_take_question_answer(&outbox, "?", 1);
    assert_false(outbox.is_abort_asked);
    outbox_take_question_answer(&outbox, asked, strlen(asked));
    assert_true(outbox.is_abort_asked);
    free(question);
    outbox_clear(&outbox);
}

static void test_end_that_an_answer_asks_for(void **state)
{
    struct outbox outbox;

    (void)state;
    fill(&outbox);
    free(outbox_body(&outbox));
    answer(&outbox, 201, "{\"results\": [{\"status\": \"applied\", \"abortRequested\": true}]}");
    assert_true(outbox.is_abort_asked);
    outbox_clear(&outbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_start_goes_alone),
        cmocka_unit_test(test_what_is_not_taken_stays),
        cmocka_unit_test(test_sent_twice_is_taken),
        cmocka_unit_test(test_next_attempt_of_a_name_that_was_there),
        cmocka_unit_test(test_longer_name_below_another_parent),
        cmocka_unit_test(test_batch_goes_as_it_is),
        cmocka_unit_test(test_conflicts_without_end),
        cmocka_unit_test(test_whether_to_end),
        cmocka_unit_test(test_end_that_an_answer_asks_for),
        cmocka_unit_test(test_what_is_refused_for_ever),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
