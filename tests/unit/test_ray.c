/* Ray's event export: a recording of 2.60, and what it did not record. */
#include <stdlib.h>
#include <string.h>

#include "adapting.h"
#include "cmocka_test.h"

#define SESSION "session_2026-11-25_18-42-23_940882_17423"
#define DRIVER "//////////////////////////8BAAAA"
#define LEAF "u4ET+NATNKj///////////////8BAAAA"
#define LEAF_HEX "bb8113f8d01334a8ffffffffffffffffffffffff01000000"

/* `what` is taken over. */
static struct adapted tell(const char *type, const char *member, json_t *what)
{
    json_object_set_new(what, "jobId", json_string("AQAAAA=="));
    return adapt_packed("ray", "[{s:s, s:s, s:s, s:o}]", "eventType", type, "sessionName", SESSION,
                        "timestamp", "2026-11-25T18:42:30.557037130Z", member, what);
}

static struct adapted tell_state(const char *state, const char *error)
{
    json_t *what =
        json_pack("{s:s, s:i, s:[{s:s, s:s}]}", "taskId", LEAF, "taskAttempt", 1,
                  "stateTransitions", "state", state, "timestamp", "2026-11-25T18:42:31.5Z");

    if (error != NULL)
        json_object_set_new(what, "rayErrorInfo",
                            json_pack("{s:s, s:s}", "errorType", error, "errorMessage",
                                      "\033[36mray::leaf()\033[39m [1;2] \033[K"));
    return tell("TASK_LIFECYCLE_EVENT", "taskLifecycleEvent", what);
}

static struct adapted replay(size_t index)
{
    json_t *recording = read_recording("ray");
    char *body = json_dumps(json_object_get(json_array_get(recording, index), "json"), 0);
    struct adapted adapted = adapt_text("ray", body);

    free(body);
    json_decref(recording);
    return adapted;
}

static void test_driver_is_the_run(void **state)
{
    struct adapted adapted = replay(1);
    const json_t *event = event_of(&adapted, "driver", "QUEUED", 1);
    const json_t *run = json_object_get(event, "run");

    (void)state;
    assert_string_equal(text_of(event, "runName"), SESSION "-01000000");
    assert_true(json_is_null(json_object_get(event, "parent")));
    assert_string_equal(text_of(run, "title"), "v-ray/bin/python ray1.py");
    assert_string_equal(text_of(json_object_get(run, "labels"), "tool"), "Ray");
    assert_string_equal(text_of(event_of(&adapted, "driver", "RUNNING", 1), "updatedTime"),
                        "2026-11-25T18:42:30.415456Z");
    assert_int_equal(json_array_size(adapted.events), 2);
    adapted_clear(&adapted);
}

static void test_definition_names_the_parent(void **state)
{
    struct adapted adapted =
        tell("TASK_DEFINITION_EVENT", "taskDefinitionEvent",
             json_pack("{s:s, s:s, s:s, s:i, s:{s:{s:s, s:s}}}", "taskId", LEAF, "parentTaskId",
                       "wmaKZb2mFsH///////////////8BAAAA", "taskName", "leaf-3", "taskAttempt", 1,
                       "taskFunc", "pythonFunctionDescriptor", "moduleName", "ray1", "functionName",
                       "leaf"));
    struct adapted actor = tell(
        "ACTOR_TASK_DEFINITION_EVENT", "actorTaskDefinitionEvent",
        json_pack("{s:s, s:s, s:s, s:{s:{s:s, s:s}}}", "taskId", "4NwXTINZkDRtPRN1NbRDVOgv5mcBAAAA",
                  "parentTaskId", DRIVER, "actorTaskName", "Counter.add", "actorFunc",
                  "javaFunctionDescriptor", "className", "Counter", "functionName", "add"));
    const json_t *event = event_of(&adapted, LEAF_HEX, "QUEUED", 2);

    (void)state;
    assert_string_equal(text_of(event, "parent"),
                        "c2668a65bda616c1ffffffffffffffffffffffff01000000");
    assert_string_equal(text_of(event, "title"), "leaf-3");
    assert_string_equal(text_of(event, "group"), "leaf");
    assert_string_equal(text_of(json_object_get(event, "task"), "name"), "ray1.leaf");
    event = event_of(&actor, "e0dc174c835990346d3d137535b44354e82fe66701000000", "QUEUED", 1);
    assert_string_equal(text_of(event, "parent"), "driver");
    assert_string_equal(text_of(event, "title"), "Counter.add");
    assert_string_equal(text_of(event, "group"), "Counter");
    assert_string_equal(text_of(json_object_get(event, "task"), "name"), "Counter.add");
    adapted_clear(&adapted);
    adapted_clear(&actor);
}

static void test_states(void **state)
{
    static const struct {
        const char *state, *error, *phase, *kind;
    } cases[] = {
        {"PENDING_ARGS_AVAIL", NULL, "QUEUED", NULL},
        {"PENDING_NODE_ASSIGNMENT", NULL, "WAITING_FOR_RESOURCES", NULL},
        {"PENDING_OBJ_STORE_MEM_AVAIL", NULL, "WAITING_FOR_RESOURCES", NULL},
        {"SUBMITTED_TO_WORKER", NULL, "INITIALIZING", NULL},
        {"PENDING_ACTOR_TASK_ORDERING_OR_CONCURRENCY", NULL, "INITIALIZING", NULL},
        {"RUNNING", NULL, "RUNNING", NULL},
        {"RUNNING_IN_RAY_GET", NULL, "RUNNING", NULL},
        {"FINISHED", NULL, "SUCCEEDED", NULL},
        {"FAILED", "TASK_EXECUTION_EXCEPTION", "FAILED", "USER"},
        {"FAILED", "OUT_OF_MEMORY", "FAILED", "SYSTEM"},
        {"FAILED", "TASK_CANCELLED", "ABORTED", "SYSTEM"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct adapted adapted = tell_state(cases[i].state, cases[i].error);
        const json_t *event = event_of(&adapted, LEAF_HEX, cases[i].phase, 2);
        const json_t *error = json_object_get(event, "errorInfo");

        assert_string_equal(text_of(event, "updatedTime"), "2026-11-25T18:42:31.500000Z");
        assert_null(json_object_get(event, "parent")); /* it is not known here */
        assert_int_equal(error != NULL, cases[i].kind != NULL);
        if (error != NULL) {
            assert_string_equal(text_of(error, "kind"), cases[i].kind);
            assert_string_equal(text_of(error, "message"), "ray::leaf() [1;2] \033[K");
        }
        adapted_clear(&adapted);
    }
}

/* By the driver's clock it is submitted after it runs by the worker's: it runs all the same. */
static void test_what_waits_has_lower_versions_than_what_runs(void **state)
{
    static const char *const waiting[][2] = {
        {"PENDING_ARGS_AVAIL", "QUEUED"},
        {"PENDING_ARGS_FETCH", "WAITING_FOR_RESOURCES"},
        {"PENDING_ACTOR_TASK_ORDERING_OR_CONCURRENCY", "INITIALIZING"},
    };
    struct adapted running = tell_state("RUNNING", NULL);
    json_int_t version =
        json_integer_value(json_object_get(event_of(&running, LEAF_HEX, "RUNNING", 2), "version"));

    (void)state;
    for (size_t i = 0; i < sizeof waiting / sizeof *waiting; i++) {
        struct adapted adapted = tell_state(waiting[i][0], NULL);
        const json_t *event = event_of(&adapted, LEAF_HEX, waiting[i][1], 2);

        assert_true(json_integer_value(json_object_get(event, "version")) < version);
        adapted_clear(&adapted);
    }
    adapted_clear(&running);
}

static void test_logs_come_apart(void **state)
{
    struct adapted adapted =
        tell("TASK_LIFECYCLE_EVENT", "taskLifecycleEvent",
             json_pack("{s:s, s:[], s:{s:s}}", "taskId", LEAF, "stateTransitions", "taskLogInfo",
                       "stdoutFile", "/logs/1.out"));
    struct adapted end = tell("TASK_LIFECYCLE_EVENT", "taskLifecycleEvent",
                              json_pack("{s:s, s:[], s:{s:s}}", "taskId", LEAF, "stateTransitions",
                                        "taskLogInfo", "stdoutEnd", "71"));
    const json_t *logs = json_object_get(event_of(&adapted, LEAF_HEX, "RUNNING", 1), "logInfo");

    (void)state;
    assert_string_equal(text_of(json_array_get(logs, 0), "name"), "stdout");
    assert_string_equal(text_of(json_array_get(logs, 0), "uri"), "/logs/1.out");
    assert_int_equal(json_array_size(end.events), 0);
    adapted_clear(&adapted);
    adapted_clear(&end);
}

static void test_driver_ends(void **state)
{
    struct adapted job = tell("DRIVER_JOB_LIFECYCLE_EVENT", "driverJobLifecycleEvent",
                              json_pack("{s:[{s:s}]}", "stateTransitions", "state", "FINISHED"));
    struct adapted task = tell(
        "TASK_LIFECYCLE_EVENT", "taskLifecycleEvent",
        json_pack("{s:s, s:[{s:s}]}", "taskId", DRIVER, "stateTransitions", "state", "FAILED"));
    const json_t *succeeded = event_of(&job, "driver", "SUCCEEDED", 1);
    const json_t *failed = event_of(&task, "driver", "FAILED", 1);

    (void)state;
    assert_true(json_is_null(json_object_get(failed, "parent")));
    assert_true(json_integer_value(json_object_get(succeeded, "version")) <
                json_integer_value(json_object_get(failed, "version")));
    assert_string_equal(text_of(json_object_get(failed, "errorInfo"), "message"),
                        "Ray did not say why");
    adapted_clear(&job);
    adapted_clear(&task);
}

static void test_ids_in_other_forms(void **state)
{
    static const char *const ids[][2] = {
        {LEAF_HEX, LEAF_HEX},
        {"a!b", "a!b"},
        {"AQI=", "0102"},
        {"AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqKywtLi8w", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        struct adapted adapted = tell("TASK_LIFECYCLE_EVENT", "taskLifecycleEvent",
                                      json_pack("{s:s, s:[{s:s}]}", "taskId", ids[i][0],
                                                "stateTransitions", "state", "RUNNING"));

        event_of(&adapted, ids[i][1] == NULL ? ids[i][0] : ids[i][1], "RUNNING", 1);
        adapted_clear(&adapted);
    }
}

static void test_names_may_be_those_of_the_proto(void **state)
{
    struct adapted adapted = adapt_packed(
        "ray",
        "[{s:s, s:s, s:s, s:{s:s, s:s, s:i, s:[{s:s, s:s}], s:{s:s, s:s}}},"
        " {s:s, s:s, s:s, s:{s:s, s:s, s:{s:{s:s}}}}]",
        "event_type", "TASK_LIFECYCLE_EVENT", "session_name", SESSION, "timestamp",
        "2026-11-25T18:42:30.5Z", "task_lifecycle_event", "job_id", "AQAAAA==", "task_id", LEAF,
        "task_attempt", 1, "state_transitions", "state", "FAILED", "timestamp",
        "2026-11-25T18:42:31.5Z", "ray_error_info", "error_type", "TASK_EXECUTION_EXCEPTION",
        "error_message", "ray::leaf()", "event_type", "DRIVER_JOB_DEFINITION_EVENT", "session_name",
        SESSION, "timestamp", "2026-11-25T18:42:30.5Z", "driver_job_definition_event", "job_id",
        "AQAAAA==", "entrypoint", "python a.py", "config", "metadata", "my_name", "as it is");
    const json_t *failed = event_of(&adapted, LEAF_HEX, "FAILED", 2);
    const json_t *run = json_object_get(event_of(&adapted, "driver", "QUEUED", 1), "run");

    (void)state;
    assert_string_equal(text_of(failed, "runName"), SESSION "-01000000");
    assert_string_equal(text_of(json_object_get(failed, "errorInfo"), "message"), "ray::leaf()");
    assert_string_equal(text_of(json_object_get(run, "params"), "my_name"), "as it is");
    adapted_clear(&adapted);
}

/* Of the cluster and its jobs: known, and no actions. */
static void test_other_events_are_none_of_a_task(void **state)
{
    static const char *const types[] = {"NODE_LIFECYCLE_EVENT", "PLACEMENT_GROUP_DEFINITION_EVENT",
                                        "SUBMISSION_JOB_LIFECYCLE_EVENT", "ACTOR_DEFINITION_EVENT",
                                        "TASK_PROFILE_EVENT"};

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct adapted adapted = adapt_packed("ray", "[{s:s}]", "eventType", types[i]);

        assert_int_equal(json_array_size(adapted.events), 0);
        assert_int_equal(adapted.answer.unmapped[UNMAPPED_TYPE], 0);
        adapted_clear(&adapted);
    }
}

static void test_what_is_not_mapped(void **state)
{
    static const struct unmapped_case cases[] = {
        {"{}", UNMAPPED_TYPE, false},
        {"[1]", UNMAPPED_TYPE, false},
        {"[{\"eventType\": \"TASK_NAP_EVENT\"}]", UNMAPPED_TYPE, false},
        {"[{\"eventType\": \"TASK_LIFECYCLE_EVENT\"}]", UNMAPPED_FIELD, false},
        {"[{\"eventType\": \"TASK_LIFECYCLE_EVENT\", \"taskLifecycleEvent\": {\"jobId\": \"j\"}}]",
         UNMAPPED_FIELD, true},
        {"[{\"eventType\": \"TASK_DEFINITION_EVENT\", \"taskDefinitionEvent\":"
         " {\"jobId\": \"j\", \"taskId\": \"t\"}}]",
         UNMAPPED_FIELD, true},
        {"[{\"eventType\": \"TASK_LIFECYCLE_EVENT\", \"taskLifecycleEvent\": {\"jobId\": \"j\","
         " \"taskId\": \"t\", \"stateTransitions\": [{\"state\": \"ASLEEP\"}]}}]",
         UNMAPPED_STATE, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct adapted adapted = adapt_text("ray", cases[i].body);

        assert_unmapped(&adapted, &cases[i]);
        adapted_clear(&adapted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_driver_is_the_run),
        cmocka_unit_test(test_definition_names_the_parent),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_what_waits_has_lower_versions_than_what_runs),
        cmocka_unit_test(test_logs_come_apart),
        cmocka_unit_test(test_driver_ends),
        cmocka_unit_test(test_ids_in_other_forms),
        cmocka_unit_test(test_names_may_be_those_of_the_proto),
        cmocka_unit_test(test_other_events_are_none_of_a_task),
        cmocka_unit_test(test_what_is_not_mapped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
