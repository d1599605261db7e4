/* Snakemake's messages to a panoptes server: forms of a recording, JSON of versions before 9. */
#include <stdlib.h>
#include <string.h>

#include "adapting.h"
#include "cmocka_test.h"

static const int64_t received_us = INT64_C(1795631815500000); /* 2026-11-25T18:36:55.5Z */

static struct adapted ask(const char *method, const char *path, const char *body,
                          const struct adapter_field *parameter)
{
    const struct adapter_request request = {
        .method = method,
        .project = "p",
        .domain = "d",
        .path = &path,
        .path_count = 1,
        .parameters = parameter,
        .parameter_count = parameter == NULL ? 0 : 1,
        .body = body,
        .body_length = body == NULL ? 0 : strlen(body),
        .received_us = received_us,
    };

    return adapt_request("snakemake", &request);
}

static struct adapted update(const char *body)
{
    return ask("POST", "update_workflow_status", body, NULL);
}

/* `message` is taken over. */
static struct adapted tell(const char *time, json_t *message)
{
    char *text = json_dumps(message, 0);
    json_t *envelope = json_pack("{s:s, s:s, s:s}", "msg", text, "timestamp", time, "id", "w-1");
    char *body = json_dumps(envelope, 0);
    struct adapted adapted = update(body);

    free(body);
    free(text);
    json_decref(envelope);
    json_decref(message);
    return adapted;
}

static json_t *answer_of(const struct adapted *adapted)
{
    const struct buffer *body = &adapted->answer.body;

    return json_loadb(body->bytes, body->length, 0, NULL);
}

static void test_it_is_running(void **state)
{
    struct adapted adapted = ask("GET", "service-info", NULL, NULL);
    json_t *said = answer_of(&adapted);

    (void)state;
    assert_string_equal(text_of(said, "status"), "running");
    json_decref(said);
    adapted_clear(&adapted);
}

/* An id of its own for each workflow, and no run before its first message. */
static void test_id(void **state)
{
    static const struct adapter_field id = {"workflow_id", "nightly"}, name = {"name", "a/b"};
    static const struct {
        const struct adapter_field *parameter;
        const char *body, *id;
    } cases[] = {
        {NULL, NULL, "snakemake-6447eab7a4de0"},
        {&id, "{\"workdir\": \"/home/me/shop\"}", "nightly-6447eab7a4de0"},
        {&name, NULL, "a/b-6447eab7a4de0"},
        {NULL, "{\"workdir\": \"/home/me/shop\"}", "shop-6447eab7a4de0"},
        {NULL, "{\"workdir\": \"/\"}", "snakemake-6447eab7a4de0"},
        {NULL, "command=snakemake+-c2&workdir=%2Fhome%2Fme%2Fshop", "shop-6447eab7a4de0"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct adapted adapted = ask("GET", "create_workflow", cases[i].body, cases[i].parameter);
        json_t *said = answer_of(&adapted);

        assert_int_equal(strlen(text_of(said, "id")), strlen(cases[i].id));
        assert_memory_equal(text_of(said, "id"), cases[i].id, strlen(cases[i].id) - 13);
        assert_int_equal(json_array_size(adapted.events), 0);
        json_decref(said);
        adapted_clear(&adapted);
    }
}

static struct adapted replay(size_t index)
{
    json_t *recording = read_recording("snakemake");
    struct adapted adapted = update(text_of(json_array_get(recording, index), "text"));

    json_decref(recording);
    return adapted;
}

static void test_recorded_job(void **state)
{
    struct adapted started = replay(3), info = replay(4), finished = replay(6);
    const json_t *event = event_of(&info, "job-13", "RUNNING", 1);

    (void)state;
    event_of(&started, "job-13", "RUNNING", 1);
    event_of(&started, "job-25", "RUNNING", 1);
    assert_string_equal(text_of(event, "runName"), "1");
    assert_string_equal(text_of(event, "parent"), "workflow");
    assert_string_equal(text_of(event, "title"), "prep s=s4");
    assert_string_equal(text_of(event, "group"), "prep");
    assert_string_equal(text_of(event, "updatedTime"), "2026-10-25T18:36:53.000000Z");
    assert_string_equal(text_of(json_object_get(event, "snakemake"), "shellcmd"),
                        "sleep 0.2; echo s4 > prep/s4.txt");
    event_of(&finished, "job-13", "SUCCEEDED", 1);
    adapted_clear(&started);
    adapted_clear(&info);
    adapted_clear(&finished);
}

static void test_run_begins_and_ends(void **state)
{
    static const struct {
        const char *level, *msg;
        int done, total;
        const char *phase; /* NULL: nothing is told */
    } cases[] = {
        {"info", "Workflow started: Snakefile", -1, -1, "RUNNING"},
        {"info", "Building DAG of jobs...", -1, -1, "RUNNING"},
        {"info", "Nothing to be done (all requested files are present).", -1, -1, "SUCCEEDED"},
        {"info", "Complete log: .snakemake/log", -1, -1, NULL},
        {"progress", NULL, 0, 27, "RUNNING"},
        {"progress", NULL, 9, 27, NULL},
        {"progress", NULL, 27, 27, "SUCCEEDED"},
        {"progress", NULL, 30, 27, "SUCCEEDED"},
        {"workflow_success", NULL, -1, -1, "SUCCEEDED"},
        {"error", "Exiting because a job execution failed.", -1, -1, "FAILED"},
        {"shellcmd", "true", -1, -1, NULL},
        {"dag_debug", NULL, -1, -1, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct adapted adapted =
            tell("Wed Nov 25 18:36:55 2026",
                 json_pack("{s:s, s:s?, s:i, s:i}", "level", cases[i].level, "msg", cases[i].msg,
                           "done", cases[i].done, "total", cases[i].total));

        assert_int_equal(json_array_size(adapted.events), cases[i].phase != NULL);
        if (cases[i].phase != NULL)
            event_of(&adapted, "workflow", cases[i].phase, 1);
        for (int kind = 0; kind < UNMAPPED_KINDS; kind++)
            assert_int_equal(adapted.answer.unmapped[kind], 0);
        adapted_clear(&adapted);
    }
}

static json_int_t version_of(const struct adapted *adapted, const char *name, const char *phase)
{
    return json_integer_value(json_object_get(event_of(adapted, name, phase, 1), "version"));
}

/* All of it within one second, as recorded: the job and the run succeed after an error. */
static void test_success_stands_over_errors_before_it(void **state)
{
    struct adapted failed =
        tell("Wed Nov 25 18:36:55 2026",
             json_pack("{s:s, s:i, s:s, s:s, s:[s]}", "level", "job_error", "jobid", 9, "name",
                       "align", "shellcmd", "exit 1", "log", "logs/9"));
    struct adapted finished = tell("Wed Nov 25 18:36:55 2026",
                                   json_pack("{s:s, s:i}", "level", "job_finished", "jobid", 9));
    struct adapted error =
        tell("Wed Nov 25 18:36:54 2026", json_pack("{s:s, s:s, s:s}", "level", "error", "msg",
                                                   "RuleException", "traceback", "line 7"));
    struct adapted done =
        tell("Wed Nov 25 18:36:55 2026",
             json_pack("{s:s, s:i, s:i}", "level", "progress", "done", 30, "total", 30));
    const json_t *event = event_of(&failed, "job-9", "FAILED", 1);

    (void)state;
    assert_true(version_of(&failed, "job-9", "FAILED") <
                version_of(&finished, "job-9", "SUCCEEDED"));
    assert_true(version_of(&error, "workflow", "FAILED") <
                version_of(&done, "workflow", "SUCCEEDED"));
    assert_string_equal(text_of(json_object_get(event, "errorInfo"), "message"),
                        "Error in rule align\n\nexit 1");
    assert_string_equal(text_of(json_array_get(json_object_get(event, "logInfo"), 0), "uri"),
                        "logs/9");
    event = event_of(&error, "workflow", "FAILED", 1);
    assert_string_equal(text_of(json_object_get(event, "errorInfo"), "message"),
                        "RuleException\n\nline 7");
    adapted_clear(&failed);
    adapted_clear(&finished);
    adapted_clear(&error);
    adapted_clear(&done);
}

/* With times of a fraction of a second: starts that are told twice are apart, and the same
 * whichever comes first; and a success is the later one although the error's clock was ahead. */
static void test_what_is_told_in_one_second(void **state)
{
    static const char format[] = "{s:s, s:i, s:i, s:f}";
    const double second = 1795631815.0;
    struct adapted building =
        tell("", json_pack("{s:s, s:s, s:f}", "level", "info", "msg", "Building DAG of jobs...",
                           "timestamp", second + 0.1));
    struct adapted begun = tell("", json_pack(format, "level", "progress", "done", 1, "total", 30,
                                              "timestamp", second + 0.1004));
    struct adapted later = tell("", json_pack(format, "level", "progress", "done", 2, "total", 30,
                                              "timestamp", second + 0.2));
    struct adapted error = tell("", json_pack("{s:s, s:s, s:f}", "level", "error", "msg", "late",
                                              "timestamp", second + 400000.0));
    struct adapted done = tell("", json_pack(format, "level", "progress", "done", 30, "total", 30,
                                             "timestamp", second + 0.3));

    (void)state;
    assert_true(json_equal(building.events, begun.events));
    assert_int_equal(version_of(&begun, "workflow", "RUNNING") + 100,
                     version_of(&later, "workflow", "RUNNING"));
    assert_true(version_of(&error, "workflow", "FAILED") <
                version_of(&done, "workflow", "SUCCEEDED"));
    adapted_clear(&building);
    adapted_clear(&begun);
    adapted_clear(&later);
    adapted_clear(&error);
    adapted_clear(&done);
}

static void test_times(void **state)
{
    static const struct {
        const char *envelope;
        double message;
        const char *time;
    } cases[] = {
        {"Wed Nov 25 18:36:50 2026", 0, "2026-11-25T18:36:50.000000Z"},
        {"Wed Nov 25 19:36:50 2026", 0, "2026-11-25T18:36:50.000000Z"}, /* Berlin */
        {"Wed Nov 25 13:36:59 2026", 0, "2026-11-25T18:36:59.000000Z"}, /* New York */
        {"Thu Nov 26 00:06:50 2026", 0, "2026-11-25T18:36:50.000000Z"}, /* Delhi */
        {"Wed Nov 25 18:29:50 2026", 0, "2026-11-25T18:29:50.000000Z"}, /* sent again */
        {"Sun Nov  1 08:00:01 2026", 0, "2026-11-01T08:00:01.000000Z"},
        {"Wed Nov 25 19:36:50 2026", 1795631810.25, "2026-11-25T18:36:50.250000Z"},
        {"Wed Xov 25 18:36:50 2026", 0, "2026-11-25T18:36:55.500000Z"},
        {"Wed ovD 25 18:36:50 2026", 0, "2026-11-25T18:36:55.500000Z"},
        {"Wed Nov 25 18:36:60 2026", 0, "2026-11-25T18:36:55.500000Z"},
        {"today", 0, "2026-11-25T18:36:55.500000Z"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct adapted adapted =
            tell(cases[i].envelope, json_pack("{s:s, s:f}", "level", "workflow_success",
                                              "timestamp", cases[i].message));

        assert_string_equal(text_of(event_of(&adapted, "workflow", "SUCCEEDED", 1), "updatedTime"),
                            cases[i].time);
        adapted_clear(&adapted);
    }
}

/* Jobs that ran as one on a cluster fail together. */
static void test_jobs_of_a_group_fail(void **state)
{
    struct adapted adapted =
        tell("Wed Nov 25 18:36:55 2026",
             json_pack("{s:s, s:s, s:[{s:i, s:s, s:[s]}, {s:i, s:s, s:[]}]}", "level",
                       "group_error", "groupid", "g", "job_error_info", "jobid", 4, "name", "align",
                       "log", "logs/4", "jobid", 5, "name", "stats", "log"));
    const json_t *event = event_of(&adapted, "job-4", "FAILED", 1);

    (void)state;
    assert_string_equal(text_of(event, "group"), "align");
    assert_string_equal(text_of(json_array_get(json_object_get(event, "logInfo"), 0), "uri"),
                        "logs/4");
    event_of(&adapted, "job-5", "FAILED", 1);
    adapted_clear(&adapted);
}

static void test_what_is_not_mapped(void **state)
{
    static const struct unmapped_case cases[] = {
        {"msg=%7B%7D&id=w", UNMAPPED_FIELD, true},
        {"msg=%7B%7D", UNMAPPED_FIELD, false},
        {"msg=x&id=w", UNMAPPED_FIELD, false},
        {"msg=%zz&id=w", UNMAPPED_BODY, false},
        {"no JSON", UNMAPPED_BODY, false},
        {"{\"id\": 7, \"msg\": \"{\\\"level\\\": \\\"nap\\\"}\"}", UNMAPPED_TYPE, true},
        {"{\"id\": 7, \"msg\": \"{\\\"level\\\": \\\"job_error\\\"}\"}", UNMAPPED_FIELD, true},
        {"{\"id\": 7, \"msg\": \"{\\\"level\\\": \\\"group_error\\\"}\"}", UNMAPPED_FIELD, true},
        {"{\"id\": 7, \"msg\": \"{\\\"level\\\": \\\"job_started\\\", \\\"jobs\\\": [null]}\"}",
         UNMAPPED_FIELD, true},
    };
    struct adapted adapted;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        adapted = update(cases[i].body);
        assert_unmapped(&adapted, &cases[i]);
        adapted_clear(&adapted);
    }
    adapted = ask("PUT", "7", "{}", NULL);
    assert_int_equal(adapted.answer.unmapped[UNMAPPED_PATH], 1);
    assert_int_equal(adapted.answer.status, 200);
    adapted_clear(&adapted);
}

/* What version 8 sends when its workflow has been created. */
static void test_change_of_a_workflow_says_nothing(void **state)
{
    static const char *const path[] = {"api", "workflow", "shop-6447eab7a4de0"};
    const struct adapter_request request = {.method = "PUT",
                                            .project = "p",
                                            .domain = "d",
                                            .path = path,
                                            .path_count = 3,
                                            .body = "{}",
                                            .body_length = 2,
                                            .received_us = received_us};
    struct adapted adapted = adapt_request("snakemake", &request);

    (void)state;
    assert_int_equal(json_array_size(adapted.events), 0);
    assert_int_equal(adapted.answer.unmapped[UNMAPPED_PATH], 0);
    assert_int_equal(adapted.answer.status, 200);
    adapted_clear(&adapted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_is_running),
        cmocka_unit_test(test_id),
        cmocka_unit_test(test_recorded_job),
        cmocka_unit_test(test_run_begins_and_ends),
        cmocka_unit_test(test_success_stands_over_errors_before_it),
        cmocka_unit_test(test_what_is_told_in_one_second),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_jobs_of_a_group_fail),
        cmocka_unit_test(test_what_is_not_mapped),
        cmocka_unit_test(test_change_of_a_workflow_says_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
