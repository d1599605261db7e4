/* Nextflow's weblog: a recording of 22.10.6, and what it did not record. */
#include <stdlib.h>
#include <string.h>

#include "adapting.h"
#include "cmocka_test.h"

static struct adapted replay(json_t *recording, size_t index)
{
    char *body = json_dumps(json_object_get(json_array_get(recording, index), "json"), 0);
    struct adapted adapted = adapt_text("nextflow", body);

    free(body);
    return adapted;
}

/* A task has ended; `trace` is taken over, and gets what it lacks. */
static struct adapted post_end(json_t *trace)
{
    json_object_set_new(trace, "name", json_string("ALIGN (s1)"));
    return adapt_packed("nextflow", "{s:s, s:s, s:s, s:s, s:o}", "event", "process_completed",
                        "runName", "mad_ritchie", "runId", "b1599c6d-22bb", "utcTime",
                        "2026-11-25T18:20:22Z", "trace", trace);
}

static void test_run_from_start_to_end(void **state)
{
    json_t *recording = read_recording("nextflow");
    struct adapted start = replay(recording, 0), end = replay(recording, 79);
    const json_t *begun = event_of(&start, "amazing_mirzakhani", "RUNNING", 1);
    const json_t *ended = event_of(&end, "amazing_mirzakhani", "SUCCEEDED", 1);
    const json_t *run = json_object_get(begun, "run");
    const json_t *tasks = json_object_get(json_object_get(ended, "outputs"), "tasks");

    (void)state;
    assert_string_equal(text_of(begun, "runName"), "amazing_mirzakhani-b1599c6d");
    assert_true(json_is_null(json_object_get(begun, "parent")));
    assert_string_equal(text_of(begun, "updatedTime"), "2026-11-25T18:20:15.584223Z");
    assert_string_equal(text_of(ended, "updatedTime"), "2026-11-25T18:20:26.149962Z");
    assert_string_equal(text_of(run, "title"), "main.nf amazing_mirzakhani");
    assert_string_equal(text_of(json_object_get(run, "labels"), "profile"), "standard");
    assert_int_equal(json_integer_value(json_object_get(tasks, "succeeded")), 24);
    assert_int_equal(json_integer_value(json_object_get(tasks, "cached")), 0);
    assert_null(json_object_get(ended, "errorInfo"));
    adapted_clear(&start);
    adapted_clear(&end);
    json_decref(recording);
}

static void test_task_in_its_process(void **state)
{
    json_t *recording = read_recording("nextflow");
    struct adapted queued = replay(recording, 5), started = replay(recording, 9);
    const json_t *event = event_of(&queued, "QC:PREP (s1)", "QUEUED", 1);

    (void)state;
    assert_string_equal(text_of(event, "parent"), "amazing_mirzakhani");
    assert_string_equal(text_of(event, "group"), "QC/PREP");
    assert_string_equal(text_of(json_object_get(event, "task"), "name"), "QC:PREP");
    assert_string_equal(text_of(json_object_get(event, "task"), "shortName"), "PREP");
    assert_string_equal(text_of(json_array_get(json_object_get(event, "logInfo"), 0), "uri"),
                        text_of(json_object_get(event, "nextflow"), "workdir"));
    event_of(&queued, "amazing_mirzakhani", "RUNNING", 1); /* the first tasks tell of the run */
    event = event_of(&started, "QC:PREP (s1)", "RUNNING", 1);
    assert_int_equal(json_array_size(started.events), 1);
    adapted_clear(&queued);
    adapted_clear(&started);
    json_decref(recording);
}

/* Nextflow's number of the retry is another, its name is the same. */
static void test_retry_is_an_attempt(void **state)
{
    json_t *recording = read_recording("nextflow");
    struct adapted failed = replay(recording, 14), again = replay(recording, 58);
    const json_t *event = event_of(&failed, "ALIGN (s3)", "FAILED", 1);

    (void)state;
    assert_string_equal(text_of(json_object_get(event, "errorInfo"), "message"),
                        "exit code 137 (signal 9), RETRY");
    event_of(&again, "ALIGN (s3)", "SUCCEEDED", 2);
    adapted_clear(&failed);
    adapted_clear(&again);
    json_decref(recording);
}

static void test_two_tasks_of_one_name_share_no_key(void **state)
{
    struct adapted a = post_end(json_pack("{s:s, s:i}", "status", "COMPLETED", "task_id", 6));
    struct adapted b = post_end(json_pack("{s:s, s:i}", "status", "COMPLETED", "task_id", 7));
    const json_t *one = event_of(&a, "ALIGN (s1)", "SUCCEEDED", 1);
    const json_t *other = event_of(&b, "ALIGN (s1)", "SUCCEEDED", 1);

    (void)state;
    assert_int_equal(json_integer_value(json_object_get(one, "version")), 6);
    assert_int_equal(json_integer_value(json_object_get(other, "version")), 7);
    adapted_clear(&a);
    adapted_clear(&b);
}

static void test_ends(void **state)
{
    static const struct {
        const char *status, *phase, *error;
        int start, exit;
    } cases[] = {
        {"COMPLETED", "SUCCEEDED", NULL, 1, 0},
        {"CACHED", "RECOVERED", NULL, 1, 0},
        {"ABORTED", "ABORTED", NULL, 1, 0},
        {"ABORTED", "SKIPPED", NULL, 0, 0},
        {"FAILED", "FAILED", "exit code 2", 1, 2},
        {"FAILED", "FAILED", "exit code 128", 1, 128},
        {"FAILED", "FAILED", "exit code 255", 1, 255},
        {"FAILED", "FAILED", "no exit code", 1, 2147483647},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct adapted adapted =
            post_end(json_pack("{s:s, s:i, s:i}", "status", cases[i].status, "start",
                               cases[i].start, "exit", cases[i].exit));
        const json_t *event = event_of(&adapted, "ALIGN (s1)", cases[i].phase, 1);
        const char *error = text_of(json_object_get(event, "errorInfo"), "message");

        assert_true(error == NULL ? cases[i].error == NULL : strcmp(error, cases[i].error) == 0);
        adapted_clear(&adapted);
    }
}

/* In case the message of it was lost: under another key, and not of what never began. */
static void test_end_tells_the_start_again(void **state)
{
    struct adapted adapted = post_end(
        json_pack("{s:s, s:i, s:i, s:I, s:I}", "status", "COMPLETED", "task_id", 6, "attempt", 2,
                  "start", (json_int_t)1795630821765, "complete", (json_int_t)1795630822000));
    struct adapted skipped = post_end(json_pack("{s:s, s:i}", "status", "ABORTED", "start", 0));
    struct adapted cached = post_end(json_pack("{s:s, s:i}", "status", "CACHED", "start", 1));
    const json_t *start = event_of(&adapted, "ALIGN (s1)", "RUNNING", 2);

    (void)state;
    assert_string_equal(text_of(start, "updatedTime"), "2026-11-25T18:20:21.765000Z");
    assert_int_equal(json_integer_value(json_object_get(start, "version")), INT32_MAX - 6);
    assert_int_equal(json_array_size(skipped.events), 1);
    assert_int_equal(json_array_size(cached.events), 1);
    adapted_clear(&adapted);
    adapted_clear(&skipped);
    adapted_clear(&cached);
}

static void test_run_that_failed_says_why(void **state)
{
    struct adapted adapted =
        adapt_packed("nextflow", "{s:s, s:s, s:s, s:s, s:{s:{s:b, s:s, s:s, s:s, s:{s:i}}}}",
                     "event", "completed", "runName", "mad_ritchie", "runId", "b1599c6d-22bb",
                     "utcTime", "2026-11-25T18:20:22Z", "metadata", "workflow", "success", 0,
                     "errorMessage", "No space", "errorReport", "Error executing process > 'A'",
                     "complete", "2026-11-25T18:20:21.5Z", "stats", "cachedCount", 25);
    const json_t *event = event_of(&adapted, "mad_ritchie", "FAILED", 1);

    (void)state;
    assert_string_equal(text_of(json_object_get(event, "errorInfo"), "message"),
                        "No space\n\nError executing process > 'A'");
    assert_string_equal(text_of(event, "updatedTime"), "2026-11-25T18:20:21.500000Z");
    assert_int_equal(json_integer_value(json_object_get(
                         json_object_get(json_object_get(event, "outputs"), "tasks"), "cached")),
                     25);
    adapted_clear(&adapted);
}

static void test_run_that_a_signal_ended_is_aborted(void **state)
{
    static const char *const cases[][2] = {
        {"SIGINT", "ABORTED"}, {"SIGTERM", "ABORTED"}, {"SIGNAL 9 of `ALIGN`", "FAILED"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct adapted adapted =
            adapt_packed("nextflow", "{s:s, s:s, s:s, s:{s:{s:b, s:s}}}", "event", "completed",
                         "runName", "mad_ritchie", "runId", "b1599c6d-22bb", "metadata", "workflow",
                         "success", 0, "errorMessage", cases[i][0]);
        const json_t *event = event_of(&adapted, "mad_ritchie", cases[i][1], 1);

        assert_string_equal(text_of(json_object_get(event, "errorInfo"), "message"), cases[i][0]);
        adapted_clear(&adapted);
    }
}

static void test_what_is_not_mapped(void **state)
{
    static const struct unmapped_case cases[] = {
        {"{\"event\": \"started\"}", UNMAPPED_FIELD, false},
        {"{\"event\": \"nap\", \"runName\": \"r\", \"runId\": \"i\"}", UNMAPPED_TYPE, true},
        {"{\"event\": \"process_started\", \"runName\": \"r\", \"runId\": \"i\"}", UNMAPPED_FIELD,
         true},
        {"{\"event\": \"process_completed\", \"runName\": \"r\", \"runId\": \"i\","
         " \"trace\": {\"name\": \"A\", \"status\": \"DREAMING\"}}",
         UNMAPPED_STATE, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct adapted adapted = adapt_text("nextflow", cases[i].body);

        assert_unmapped(&adapted, &cases[i]);
        if (cases[i].is_kept)
            event_of(&adapted, "unmapped:nextflow", "SKIPPED", 1);
        adapted_clear(&adapted);
    }
}

static void test_later_tasks_tell_of_themselves_alone(void **state)
{
    struct adapted adapted =
        adapt_packed("nextflow", "{s:s, s:s, s:s, s:{s:s, s:i, s:I}}", "event", "process_submitted",
                     "runName", "mad_ritchie", "runId", "b1599c6d-22bb", "trace", "name",
                     "ALIGN (s9)", "task_id", 9, "submit", (json_int_t)1795630821765);

    (void)state;
    assert_int_equal(json_array_size(adapted.events), 1);
    adapted_clear(&adapted);
}

static void test_moment_of_another_zone(void **state)
{
    struct adapted adapted = adapt_text(
        "nextflow",
        "{\"event\": \"started\", \"runName\": \"r\", \"runId\": \"i\", \"metadata\": "
        "{\"workflow\": "
        "{\"start\": {\"year\": 2026, \"monthValue\": 11, \"dayOfMonth\": 25, \"hour\": 19,"
        " \"minute\": 20, \"second\": 15, \"nano\": 5000000, \"offset\": {\"totalSeconds\": "
        "3600}}}}}");

    (void)state;
    assert_string_equal(text_of(event_of(&adapted, "r", "RUNNING", 1), "updatedTime"),
                        "2026-11-25T18:20:15.005000Z");
    adapted_clear(&adapted);
}

static void test_error_of_the_run_is_told_by_its_end(void **state)
{
    struct adapted adapted =
        adapt_text("nextflow",
                   "{\"event\": \"error\", \"runName\": \"r\", \"runId\": \"i\", \"trace\": null}");

    (void)state;
    assert_int_equal(json_array_size(adapted.events), 0);
    for (int kind = 0; kind < UNMAPPED_KINDS; kind++)
        assert_int_equal(adapted.answer.unmapped[kind], 0);
    adapted_clear(&adapted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_from_start_to_end),
        cmocka_unit_test(test_task_in_its_process),
        cmocka_unit_test(test_retry_is_an_attempt),
        cmocka_unit_test(test_two_tasks_of_one_name_share_no_key),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_end_tells_the_start_again),
        cmocka_unit_test(test_run_that_failed_says_why),
        cmocka_unit_test(test_run_that_a_signal_ended_is_aborted),
        cmocka_unit_test(test_what_is_not_mapped),
        cmocka_unit_test(test_later_tasks_tell_of_themselves_alone),
        cmocka_unit_test(test_moment_of_another_zone),
        cmocka_unit_test(test_error_of_the_run_is_told_by_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
