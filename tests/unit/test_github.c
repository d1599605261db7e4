/* GitHub's webhooks: the documented payloads, a run made up after them, and what neither has. */
#include <stdlib.h>
#include <string.h>

#include "adapting.h"
#include "cmocka_test.h"

enum { DOCUMENTED = 13, MADE_UP = 20 };

static struct adapted post(const json_t *message, const char *path, const char *event)
{
    const struct adapter_field header = {"X-GitHub-Event", event};
    char *body = json_dumps(message, 0);
    const struct adapter_request request = {
        .method = "POST",
        .project = "p",
        .domain = "d",
        .path = &path,
        .path_count = path == NULL ? 0 : 1,
        .headers = &header,
        .header_count = event == NULL ? 0 : 1,
        .body = body,
        .body_length = strlen(body),
        .received_us = INT64_C(1795630830000000),
    };
    struct adapted adapted = adapt_request("github", &request);

    free(body);
    return adapted;
}

/* One of those that are made up, counted from 0. */
static struct adapted replay(size_t index, const char *path)
{
    json_t *recording = read_recording("github");
    json_t *request = json_array_get(recording, DOCUMENTED + index);
    struct adapted adapted = post(json_object_get(request, "json"), path,
                                  text_of(json_object_get(request, "headers"), "X-GitHub-Event"));

    assert_int_equal(json_array_size(recording), DOCUMENTED + MADE_UP);
    json_decref(recording);
    return adapted;
}

static uint64_t unmapped_of(const struct adapted *adapted)
{
    uint64_t count = 0;

    for (int kind = 0; kind < UNMAPPED_KINDS; kind++)
        count += adapted->answer.unmapped[kind];
    return count;
}

static void test_documented_payloads_are_mapped(void **state)
{
    json_t *recording = read_recording("github");

    (void)state;
    for (size_t i = 0; i < DOCUMENTED; i++) {
        struct adapted adapted =
            post(json_object_get(json_array_get(recording, i), "json"), NULL, NULL);

        assert_int_equal(adapted.rejected, 0);
        assert_int_equal(unmapped_of(&adapted), 0);
        assert_true(json_array_size(adapted.events) > 0);
        adapted_clear(&adapted);
    }
    json_decref(recording);
}

static void test_run_says_what_it_is(void **state)
{
    struct adapted requested = replay(0, NULL), completed = replay(9, NULL);
    const json_t *queued = event_of(&requested, "17800000001", "QUEUED", 1);
    const json_t *failed = event_of(&completed, "17800000001", "FAILED", 1);
    const json_t *run = json_object_get(queued, "run"), *labels = json_object_get(run, "labels");

    (void)state;
    assert_string_equal(text_of(queued, "runName"), "17800000001");
    assert_true(json_is_null(json_object_get(queued, "parent")));
    assert_string_equal(text_of(queued, "title"), "CI");
    assert_string_equal(text_of(run, "title"), "CI #42: Pay in euros");
    assert_string_equal(text_of(labels, "branch"), "main");
    assert_string_equal(text_of(labels, "event"), "push");
    assert_string_equal(text_of(labels, "actor"), "mona");
    assert_string_equal(text_of(labels, "repository"), "acme/shop");
    assert_string_equal(text_of(json_array_get(json_object_get(run, "links"), 0), "url"),
                        "https://github.com/acme/shop/actions/runs/17800000001");
    assert_string_equal(text_of(event_of(&completed, "17800000001", "RUNNING", 1), "updatedTime"),
                        "2026-11-25T18:20:00.000000Z");
    assert_string_equal(text_of(failed, "updatedTime"), "2026-11-25T18:20:42.000000Z");
    assert_string_equal(text_of(json_object_get(failed, "errorInfo"), "message"), "failure");
    adapted_clear(&requested);
    adapted_clear(&completed);
}

static void test_job_with_its_steps(void **state)
{
    static const char job[] = "test (3.13, ubuntu)";
    struct adapted started = replay(5, NULL), ended = replay(7, NULL);
    const json_t *failed = event_of(&ended, job, "FAILED", 1);

    (void)state;
    event_of(&started, "test (3.13, ubuntu)#1", "SUCCEEDED", 1);
    event_of(&started, "test (3.13, ubuntu)#2", "RUNNING", 1);
    event_of(&started, "test (3.13, ubuntu)#3", "QUEUED", 1);
    assert_string_equal(text_of(failed, "parent"), "17800000001");
    assert_string_equal(text_of(failed, "group"), "test");
    assert_string_equal(text_of(failed, "cluster"), "GitHub Actions 7");
    assert_string_equal(text_of(json_object_get(failed, "errorInfo"), "message"),
                        "failure: Run pytest");
    assert_string_equal(text_of(event_of(&ended, job, "QUEUED", 1), "updatedTime"),
                        "2026-11-25T18:20:01.000000Z");
    assert_string_equal(text_of(event_of(&ended, job, "RUNNING", 1), "updatedTime"),
                        "2026-11-25T18:20:04.000000Z");
    failed = event_of(&ended, "test (3.13, ubuntu)#2", "FAILED", 1);
    assert_string_equal(text_of(failed, "parent"), job);
    assert_string_equal(text_of(failed, "title"), "Run pytest");
    event_of(&ended, "test (3.13, ubuntu)#3", "SKIPPED", 1);
    adapted_clear(&started);
    adapted_clear(&ended);
}

static void test_later_attempt_and_a_called_workflow(void **state)
{
    struct adapted waiting = replay(15, NULL), ended = replay(18, NULL);

    (void)state;
    event_of(&waiting, "deploy / staging", "WAITING_FOR_RESOURCES", 2);
    event_of(&waiting, "17800000001", "QUEUED", 2);
    assert_string_equal(text_of(event_of(&ended, "deploy / staging", "ABORTED", 2), "group"),
                        "deploy");
    event_of(&ended, "deploy / staging#2", "ABORTED", 2);
    event_of(&ended, "deploy / staging#3", "SKIPPED", 2); /* still queued as its job ended */
    event_of(&ended, "17800000001", "RUNNING", 2);
    adapted_clear(&waiting);
    adapted_clear(&ended);
}

static void test_who_sends_jobs_alone_has_them_as_roots(void **state)
{
    struct adapted run = replay(0, "jobs"), job = replay(6, "jobs");
    const json_t *ended = event_of(&job, "test (3.9, ubuntu)", "SUCCEEDED", 1);

    (void)state;
    assert_int_equal(json_array_size(run.events), 0);
    assert_int_equal(unmapped_of(&run), 0);
    assert_true(json_is_null(json_object_get(ended, "parent")));
    assert_string_equal(text_of(json_object_get(ended, "run"), "title"), "CI");
    adapted_clear(&run);
    adapted_clear(&job);
}

static json_int_t version_of(const struct adapted *adapted, const char *phase)
{
    return json_integer_value(json_object_get(event_of(adapted, "7", phase, 1), "version"));
}

/* The hook of the run comes before what jobs say of it in the same second, and what differs takes
 * nobody's key. */
static void test_versions_tell_who_tells_what(void **state)
{
    static const char job[] = "{s:s, s:{s:i, s:s, s:s, s:s}}";
    struct adapted run =
        adapt_packed("github", "{s:s, s:{s:i, s:s}}", "action", "requested", "workflow_run", "id",
                     7, "created_at", "2026-11-25T18:20:00Z");
    struct adapted one =
        adapt_packed("github", job, "action", "queued", "workflow_job", "run_id", 7, "name", "a",
                     "created_at", "2026-11-25T18:20:00Z", "head_branch", "main");
    struct adapted other =
        adapt_packed("github", job, "action", "queued", "workflow_job", "run_id", 7, "name", "a",
                     "created_at", "2026-11-25T18:20:00Z", "head_branch", "other");
    struct adapted later =
        adapt_packed("github", "{s:s, s:{s:i, s:s}}", "action", "requested", "workflow_run", "id",
                     7, "created_at", "2026-11-25T18:20:01Z");

    (void)state;
    assert_true(version_of(&run, "QUEUED") < version_of(&one, "QUEUED"));
    assert_true(version_of(&one, "QUEUED") != version_of(&other, "QUEUED"));
    assert_true(version_of(&other, "QUEUED") < version_of(&later, "QUEUED"));
    adapted_clear(&run);
    adapted_clear(&one);
    adapted_clear(&other);
    adapted_clear(&later);
}

static struct adapted post_job(const char *action, const char *status, const char *conclusion,
                               const char *name)
{
    return adapt_packed("github", "{s:s, s:{s:I, s:s, s:s, s:s?, s:s}}", "action", action,
                        "workflow_job", "run_id", (json_int_t)7, "name", name, "status", status,
                        "conclusion", conclusion, "started_at", "2026-11-25T18:20:00Z");
}

/* GitHub says of a job that was cancelled in the queue that it started after its end. */
static void test_nothing_starts_after_its_end(void **state)
{
    struct adapted queued =
        adapt_packed("github", "{s:s, s:{s:I, s:s, s:s, s:s, s:s, s:s, s:[]}}", "action",
                     "completed", "workflow_job", "run_id", (json_int_t)7, "name", "lint", "status",
                     "completed", "conclusion", "cancelled", "started_at", "2026-11-25T18:20:09Z",
                     "completed_at", "2026-11-25T18:20:05Z", "steps");
    struct adapted ran = adapt_packed(
        "github", "{s:s, s:{s:I, s:s, s:s, s:s, s:s, s:s, s:[{s:s, s:i, s:s, s:s, s:s, s:s}]}}",
        "action", "completed", "workflow_job", "run_id", (json_int_t)7, "name", "lint", "status",
        "completed", "conclusion", "cancelled", "started_at", "2026-11-25T18:20:09Z",
        "completed_at", "2026-11-25T18:20:05Z", "steps", "name", "Set up", "number", 1, "status",
        "completed", "conclusion", "cancelled", "started_at", "2026-11-25T18:20:04Z",
        "completed_at", "2026-11-25T18:20:03Z");

    (void)state;
    event_of(&queued, "lint", "QUEUED", 1);
    event_of(&queued, "lint", "ABORTED", 1);
    assert_int_equal(json_array_size(queued.events), 3); /* and the workflow */
    assert_string_equal(text_of(event_of(&ran, "lint", "RUNNING", 1), "updatedTime"),
                        "2026-11-25T18:20:05.000000Z");
    assert_string_equal(text_of(event_of(&ran, "lint#1", "RUNNING", 1), "updatedTime"),
                        "2026-11-25T18:20:03.000000Z");
    adapted_clear(&queued);
    adapted_clear(&ran);
}

static void test_states(void **state)
{
    static const struct {
        const char *action, *status, *conclusion, *phase;
    } cases[] = {
        {"queued", "queued", NULL, "QUEUED"},
        {"queued", "waiting", NULL, "WAITING_FOR_RESOURCES"},
        {"queued", "pending", NULL, "WAITING_FOR_RESOURCES"},
        {"in_progress", "queued", NULL, "RUNNING"},
        {"queued", "in_progress", NULL, "RUNNING"},
        {"completed", "completed", "success", "SUCCEEDED"},
        {"completed", "completed", "neutral", "SUCCEEDED"},
        {"completed", "completed", "skipped", "SKIPPED"},
        {"completed", "completed", "failure", "FAILED"},
        {"completed", "completed", "startup_failure", "FAILED"},
        {"completed", "completed", "cancelled", "ABORTED"},
        {"completed", "completed", "timed_out", "TIMED_OUT"},
        {"completed", "completed", "stale", "TIMED_OUT"},
        {"completed", "completed", "action_required", "WAITING_FOR_RESOURCES"},
        {"completed", "queued", NULL, "ABORTED"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct adapted adapted =
            post_job(cases[i].action, cases[i].status, cases[i].conclusion, "lint");
        const json_t *event = event_of(&adapted, "lint", cases[i].phase, 1);
        const char *error = text_of(json_object_get(event, "errorInfo"), "message");

        if (cases[i].conclusion == NULL || error == NULL)
            assert_true((error == NULL) == (strcmp(cases[i].phase, "ABORTED") != 0 &&
                                            strcmp(cases[i].phase, "FAILED") != 0 &&
                                            strcmp(cases[i].phase, "TIMED_OUT") != 0));
        else
            assert_string_equal(error, cases[i].conclusion);
        adapted_clear(&adapted);
    }
}

static void test_groups(void **state)
{
    static const struct {
        const char *name, *group;
    } cases[] = {
        {"lint", NULL},
        {"test (3.9)", "test"},
        {"test (a (b), c)", "test"},
        {"call / test (3.9)", "call/test"},
        {"call (x) / test", "call (x)"},
        {"outer / inner / test", "outer/inner"},
        {"(odd)", NULL},
        {")", NULL},
        {"a/b", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct adapted adapted = post_job("queued", "queued", NULL, cases[i].name);
        const char *group = text_of(event_of(&adapted, cases[i].name, "QUEUED", 1), "group");

        assert_true(group == NULL ? cases[i].group == NULL
                                  : cases[i].group != NULL && strcmp(group, cases[i].group) == 0);
        adapted_clear(&adapted);
    }
}

/* The webhook's other content type, which GitHub proposes. */
static void test_form(void **state)
{
    struct adapted adapted = adapt_text(
        "github", "a=b&payload=%7B%22action%22%3A+%22queued%22%2C+%22workflow_job%22%3A+%7B"
                  "%22run_id%22%3A+7%2C+%22name%22%3A+%22a+b%22%7D%7D&c=%zz");

    (void)state;
    event_of(&adapted, "a b", "QUEUED", 1);
    adapted_clear(&adapted);
    adapted =
        adapt_text("github", "{\"workflow_job\": {\"run_id\": 7, \"name\": \"u?a=b&payload=c\","
                             " \"status\": \"queued\"}}");
    event_of(&adapted, "u?a=b&payload=c", "QUEUED", 1);
    adapted_clear(&adapted);
}

static void test_ping_and_what_is_not_mapped(void **state)
{
    static const struct {
        const char *event, *body;
        int kind; /* -1: all is well */
        size_t events;
    } cases[] = {
        {"ping", "{\"zen\": \"Speak like a human.\"}", -1, 0},
        {NULL, "{\"zen\": \"Speak like a human.\"}", -1, 0},
        {"push", "{\"workflow_run\": {\"id\": 1}}", UNMAPPED_TYPE, 0},
        {NULL, "[]", UNMAPPED_TYPE, 0},
        {NULL, "{\"workflow_run\": {\"id\": 0}}", UNMAPPED_FIELD, 0},
        {NULL, "{\"action\": \"nap\", \"workflow_run\": {\"id\": 1}}", UNMAPPED_STATE, 1},
        {NULL, "{\"action\": \"completed\", \"workflow_run\": {\"id\": 1, \"conclusion\": \"?\"}}",
         UNMAPPED_STATE, 1},
        {NULL, "{\"action\": \"queued\", \"workflow_job\": {\"run_id\": 1}}", UNMAPPED_FIELD, 1},
        {NULL,
         "{\"action\": \"queued\", \"workflow_job\": {\"run_id\": 1, \"name\": \"j\","
         " \"steps\": [{\"number\": 1, \"status\": \"asleep\"}]}}",
         UNMAPPED_STATE, 3},
        {NULL,
         "{\"action\": \"queued\", \"workflow_job\": {\"run_id\": 1, \"name\": \"j\","
         " \"steps\": [{\"status\": \"queued\"}]}}",
         UNMAPPED_FIELD, 3},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *message = json_loads(cases[i].body, 0, NULL);
        struct adapted adapted = post(message, NULL, cases[i].event);

        assert_int_equal(unmapped_of(&adapted), cases[i].kind >= 0);
        if (cases[i].kind >= 0)
            assert_int_equal(adapted.answer.unmapped[cases[i].kind], 1);
        assert_int_equal(json_array_size(adapted.events), cases[i].events);
        adapted_clear(&adapted);
        json_decref(message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documented_payloads_are_mapped),
        cmocka_unit_test(test_run_says_what_it_is),
        cmocka_unit_test(test_job_with_its_steps),
        cmocka_unit_test(test_later_attempt_and_a_called_workflow),
        cmocka_unit_test(test_who_sends_jobs_alone_has_them_as_roots),
        cmocka_unit_test(test_versions_tell_who_tells_what),
        cmocka_unit_test(test_nothing_starts_after_its_end),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_ping_and_what_is_not_mapped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
