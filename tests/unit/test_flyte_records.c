/* Our records as Flyte's clients read them: adapters/flyte_records.h. */
#include "cmocka_test.h"

#include <string.h>

#include "adapters/flyte.pb-c.h"
#include "adapters/flyte_records.h"
#include "adapters/protobuf.h"

static const struct flyte_scope scope = {
    .org = "acme", .project = "ml", .domain = "production", .run = "r1"};

/* What a JSON client of the answer reads; the document's reference is taken over. */
static json_t *read_back(const ProtobufCMessageDescriptor *descriptor, json_t *document)
{
    struct buffer out = {0};
    json_t *json;

    assert_non_null(document);
    flyte_write_answer(&out, descriptor, document, true);
    assert_false(out.failed);
    json = json_loadb(out.bytes, out.length, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    json_decref(document);
    buffer_free(&out);
    return json;
}

static void assert_reads(const ProtobufCMessageDescriptor *descriptor, json_t *document,
                         const char *expected)
{
    json_t *read = read_back(descriptor, document), *wanted = json_loads(expected, 0, NULL);
    char *text = json_dumps(read, JSON_COMPACT | JSON_SORT_KEYS);
    char *wanted_text = json_dumps(wanted, JSON_COMPACT | JSON_SORT_KEYS);

    assert_non_null(wanted);
    assert_string_equal(text, wanted_text);
    free(text);
    free(wanted_text);
    json_decref(read);
    json_decref(wanted);
}

#define ID(name)                                                                                   \
    "\"id\":{\"run\":{\"org\":\"acme\",\"project\":\"ml\",\"domain\":\"production\","              \
    "\"name\":\"r1\"},\"name\":\"" name "\"}"
#define TASK_METADATA                                                                              \
    "\"task\":{\"id\":{\"org\":\"acme\",\"project\":\"ml\",\"domain\":\"production\","             \
    "\"name\":\"pkg.train\"},\"shortName\":\"train\"},\"actionType\":\"ACTION_TYPE_TASK\","        \
    "\"funtionName\":\"train\",\"source\":\"RUN_SOURCE_TRACKED\""
#define ACTION                                                                                     \
    "\"name\":\"a1\",\"parent\":\"a0\",\"attempt\":2,\"version\":0,\"group\":\"map\","             \
    "\"taskName\":\"pkg.train\",\"shortName\":\"train\","                                          \
    "\"createdAt\":\"2026-04-12T08:00:00.000Z\""

static void test_a_waiting_action_starts_when_it_was_made(void **state)
{
    json_t *action = json_loads("{" ACTION ",\"phase\":\"QUEUED\",\"startedAt\":null,"
                                "\"endedAt\":null,\"durationMs\":null,\"errorInfo\":null}",
                                0, NULL);

    (void)state;
    assert_reads(&flyte__action__descriptor, flyte_action(&scope, action),
                 "{" ID("a1") ",\"metadata\":{\"parent\":\"a0\",\"group\":\"map\"," TASK_METADATA
                              "},\"status\":{\"phase\":\"ACTION_PHASE_QUEUED\","
                              "\"startTime\":\"2026-04-12T08:00:00.000000Z\",\"attempts\":2}}");
    json_decref(action);
}

static void test_details_have_the_attempts(void **state)
{
    json_t *action = json_loads(
        "{" ACTION ",\"phase\":\"FAILED\",\"startedAt\":\"2026-04-12T08:00:02.000Z\","
        "\"endedAt\":\"2026-04-12T08:00:09.000Z\",\"durationMs\":7000,"
        "\"errorInfo\":{\"kind\":\"USER\",\"message\":\"boom\",\"code\":\"E1\"},"
        "\"attempts\":[{\"attempt\":2,\"phase\":\"FAILED\","
        "\"createdAt\":\"2026-04-12T08:00:01.000Z\",\"startedAt\":null,"
        "\"endedAt\":\"2026-04-12T08:00:09.000Z\",\"errorInfo\":{\"message\":\"boom\"},"
        "\"cluster\":\"c1\",\"outputs\":{\"outputUri\":\"s3://b\",\"more\":1},"
        "\"logInfo\":[{\"uri\":\"u\",\"name\":\"n\"},\"odd\"],"
        "\"clusterEvents\":[{\"message\":\"Pulled\"}],"
        "\"phaseTransitions\":["
        "{\"phase\":\"RUNNING\",\"version\":0,\"startTime\":\"2026-04-12T08:00:02.000Z\","
        "\"endTime\":\"2026-04-12T08:00:03.000Z\"},"
        "{\"phase\":\"RUNNING\",\"version\":1,\"startTime\":\"2026-04-12T08:00:03.000Z\","
        "\"endTime\":\"2026-04-12T08:00:09.000Z\"},"
        "{\"phase\":\"FAILED\",\"version\":0,\"startTime\":\"2026-04-12T08:00:09.000Z\","
        "\"endTime\":null}]}]}",
        0, NULL);

    (void)state;
    assert_non_null(action);
    assert_reads(
        &flyte__action_details_response__descriptor, flyte_action_details(&scope, action),
        "{\"details\":{" ID(
            "a1") ",\"metadata\":{\"parent\":\"a0\",\"group\":\"map\"," TASK_METADATA
                  "},\"status\":{\"phase\":\"ACTION_PHASE_FAILED\","
                  "\"startTime\":\"2026-04-12T08:00:02.000000Z\",\"endTime\":\"2026-04-12T08:00:09."
                  "000000Z\","
                  "\"attempts\":2,\"durationMs\":\"7000\"},"
                  "\"errorInfo\":{\"kind\":\"KIND_USER\",\"message\":\"boom\",\"code\":\"E1\"},"
                  "\"task\":{\"taskTemplate\":{\"id\":{\"resourceType\":\"TASK\",\"project\":"
                  "\"ml\","
                  "\"domain\":\"production\",\"name\":\"pkg.train\"}},\"shortName\":\"train\"},"
                  "\"attempts\":[{\"attempt\":2,\"phase\":\"ACTION_PHASE_FAILED\","
                  "\"startTime\":\"2026-04-12T08:00:01.000000Z\",\"endTime\":\"2026-04-12T08:00:09."
                  "000000Z\","
                  "\"errorInfo\":{\"message\":\"boom\"},\"cluster\":\"c1\","
                  "\"outputs\":{\"outputUri\":\"s3://"
                  "b\"},\"logInfo\":[{\"uri\":\"u\",\"name\":\"n\"}],"
                  "\"clusterEvents\":[{\"message\":\"Pulled\"}],"
                  "\"phaseTransitions\":[{\"phase\":\"ACTION_PHASE_RUNNING\","
                  "\"startTime\":\"2026-04-12T08:00:02.000000Z\","
                  "\"endTime\":\"2026-04-12T08:00:09.000000Z\"},"
                  "{\"phase\":\"ACTION_PHASE_FAILED\",\"startTime\":\"2026-04-12T08:00:09."
                  "000000Z\"}]}]}}");
    json_decref(action);
}

static void test_an_abort_says_its_reason(void **state)
{
    json_t *action = json_loads("{" ACTION ",\"phase\":\"ABORTED\",\"errorInfo\":{\"message\":\"by "
                                "hand\"},\"attempts\":[]}",
                                0, NULL);
    json_t *read = read_back(&flyte__action_details_response__descriptor,
                             flyte_action_details(&scope, action));
    const json_t *details = json_object_get(read, "details");

    (void)state;
    assert_null(json_object_get(details, "errorInfo"));
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(details, "abortInfo"), "reason")),
        "by hand");
    json_decref(read);
    json_decref(action);
}

static void test_a_run_is_its_root(void **state)
{
    json_t *run = json_loads("{\"project\":\"ml\",\"domain\":\"production\",\"runName\":\"r1\","
                             "\"root\":\"a0\",\"phase\":\"RUNNING\",\"labels\":{\"team\":\"ml\"},"
                             "\"createdAt\":\"2026-04-12T08:00:00.000Z\",\"startedAt\":null,"
                             "\"endedAt\":null,\"durationMs\":null}",
                             0, NULL);
    json_t *root = json_loads("{\"name\":\"a0\",\"parent\":null,\"phase\":\"QUEUED\","
                              "\"attempt\":3,\"taskName\":\"pkg.train\",\"shortName\":\"train\"}",
                              0, NULL);

    (void)state;
    assert_reads(
        &flyte__run__descriptor, flyte_run("acme", run, root),
        "{\"action\":{" ID("a0") ",\"metadata\":{" TASK_METADATA "},"
                                 "\"status\":{\"phase\":\"ACTION_PHASE_RUNNING\","
                                 "\"startTime\":\"2026-04-12T08:00:00.000000Z\",\"attempts\":3}},"
                                 "\"labels\":{\"team\":\"ml\"}}");
    json_decref(root);
    json_object_set_new(run, "root", json_null());
    json_object_set_new(run, "phase", json_null());
    assert_reads(
        &flyte__run__descriptor, flyte_run("acme", run, NULL),
        "{\"action\":{" ID("a0") ",\"metadata\":{},"
                                 "\"status\":{\"startTime\":\"2026-04-12T08:00:00.000000Z\"}},"
                                 "\"labels\":{\"team\":\"ml\"}}");
    json_decref(run);
}

static void test_what_flyte_has_no_phase_for_is_aborted(void **state)
{
    json_t *update = json_loads("{\"action\":{\"name\":\"a1\",\"phase\":\"SKIPPED\"},"
                                "\"childPhaseCounts\":{\"SKIPPED\":2,\"ABORTED\":1,\"RUNNING\":3},"
                                "\"meetsFilter\":true}",
                                0, NULL);
    json_t *read =
        read_back(&flyte__enriched_action__descriptor, flyte_enriched_action(&scope, update));
    const json_t *status = json_object_get(json_object_get(read, "action"), "status");
    json_t *counts = json_loads("{\"7\":3,\"4\":3}", 0, NULL);

    (void)state;
    assert_string_equal(json_string_value(json_object_get(status, "phase")),
                        "ACTION_PHASE_ABORTED");
    assert_true(json_equal(json_object_get(read, "childrenPhaseCounts"), counts));
    assert_true(json_is_true(json_object_get(read, "meetsFilter")));
    json_decref(counts);
    json_decref(read);
    json_decref(update);
}

static void test_projects_have_their_domains(void **state)
{
    json_t *page = json_loads("{\"projects\":[{\"project\":\"ml\",\"domain\":\"a\",\"runs\":1},"
                              "{\"project\":\"ml\",\"domain\":\"b\",\"runs\":1},"
                              "{\"project\":\"web\",\"domain\":\"a\",\"runs\":1}],"
                              "\"nextCursor\":\"71\"}",
                              0, NULL);

    (void)state;
    assert_reads(&flyte__list_projects_response__descriptor, flyte_projects("acme", page),
                 "{\"projects\":{\"projects\":["
                 "{\"id\":\"ml\",\"name\":\"ml\",\"org\":\"acme\",\"domains\":["
                 "{\"id\":\"a\",\"name\":\"a\"},{\"id\":\"b\",\"name\":\"b\"}]},"
                 "{\"id\":\"web\",\"name\":\"web\",\"org\":\"acme\",\"domains\":["
                 "{\"id\":\"a\",\"name\":\"a\"}]}],\"token\":\"71\"}}");
    json_decref(page);
}

static void test_each_report_has_its_status(void **state)
{
    struct problem problem = {.kind = PROBLEM_INVALID_FIELD, .detail = "phase: must be"};
    struct event_result results[] = {{.status = EVENT_APPLIED},
                                     {.status = EVENT_REJECTED, .problem = &problem},
                                     {.status = EVENT_DUPLICATE}};
    const struct event_batch batch = {.count = 3, .results = results};

    (void)state;
    assert_reads(&flyte__report_tracked_actions_response__descriptor, flyte_statuses(&batch),
                 "{\"statuses\":[{},{\"code\":3,\"message\":\"phase: must be\"},{}]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_waiting_action_starts_when_it_was_made),
        cmocka_unit_test(test_details_have_the_attempts),
        cmocka_unit_test(test_an_abort_says_its_reason),
        cmocka_unit_test(test_a_run_is_its_root),
        cmocka_unit_test(test_what_flyte_has_no_phase_for_is_aborted),
        cmocka_unit_test(test_projects_have_their_domains),
        cmocka_unit_test(test_each_report_has_its_status),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
