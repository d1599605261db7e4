/* Flyte's reports as events: adapters/flyte_events.h, on requests that its clients sent
 * (tests/data/flyte). */
#include "cmocka_test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/flyte.pb-c.h"
#include "adapters/flyte_events.h"
#include "adapters/protobuf.h"
#include "flyte_recordings.h"
#include "model/phase.h"

/* The events of a recorded request; *version is that of all. */
static json_t *events_of(const char *recording, const ProtobufCMessageDescriptor *descriptor,
                         int32_t *version)
{
    struct arena arena = {0};
    struct flyte_events events;
    json_t *json, *list;

    flyte_events_write(&events, recorded_message(recording, descriptor, &arena));
    assert_false(events.json.failed);
    json = json_loadb(events.json.bytes, events.json.length, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    list = json_incref(json_object_get(json, "events"));
    assert_int_equal(json_array_size(list), events.count);
    *version = events.version;
    json_decref(json);
    buffer_free(&events.json);
    arena_free(&arena);
    return list;
}

static const char *text_at(const json_t *object, const char *first, const char *second)
{
    const json_t *member = json_object_get(object, first);

    return json_string_value(second == NULL ? member : json_object_get(member, second));
}

static void assert_key(const json_t *event, const char *run, const char *name, int phase)
{
    assert_string_equal(text_at(event, "project", NULL), "ml");
    assert_string_equal(text_at(event, "domain", NULL), "production");
    assert_string_equal(text_at(event, "runName", NULL), run);
    assert_string_equal(text_at(event, "name", NULL), name);
    assert_int_equal(json_integer_value(json_object_get(event, "phase")), phase);
}

static void test_a_created_run_is_its_root(void **state)
{
    int32_t version;
    json_t *events = events_of("sdk-run-tracked.1.CreateRun.body",
                               &flyte__create_tracked_run_request__descriptor, &version);
    const json_t *root = json_array_get(events, 0);

    (void)state;
    assert_int_equal(json_array_size(events), 1);
    assert_int_equal(version, RECORD_VERSION);
    assert_key(root, "local-6e931ac8", "a0", PHASE_QUEUED);
    assert_true(json_is_null(json_object_get(root, "parent")));
    assert_string_equal(text_at(root, "task", "name"), "demo.root");
    assert_string_equal(text_at(root, "task", "shortName"), "root");
    assert_string_equal(text_at(root, "task", "environment"), "demo");
    assert_string_equal(text_at(root, "updatedTime", NULL), "2026-11-25T18:24:08.498307Z");
    assert_true(json_is_object(json_object_get(json_object_get(root, "run"), "labels")));
    json_decref(events);
}

static void test_children_say_their_parent_group_and_task(void **state)
{
    int32_t version;
    json_t *events = events_of("sdk-run-tracked.3.ReportActions-children-and-trace.body",
                               &flyte__report_tracked_actions_request__descriptor, &version);
    size_t traces = 0, index;
    json_t *event;

    (void)state;
    assert_int_equal(version, 0);
    assert_key(json_array_get(events, 0), "local-6e931ac8", "aaxhoakc99xwwqxijgxvt30e8",
               PHASE_RUNNING);
    json_array_foreach (events, index, event) {
        const char *type = text_at(event, "task", "type");

        if (type != NULL && strcmp(type, "trace") == 0) {
            traces++;
            assert_string_not_equal(text_at(event, "parent", NULL), "a0");
        } else if (type != NULL) {
            assert_string_equal(text_at(event, "parent", NULL), "a0");
            assert_string_equal(text_at(event, "group", NULL), "map");
            assert_string_equal(text_at(event, "task", "name"), "demo.leaf");
        }
    }
    assert_true(traces > 0);
    json_decref(events);
}

static void test_a_later_report_says_no_parent(void **state)
{
    int32_t version;
    json_t *events = events_of("sdk-run-tracked.4.ReportActions-failure.body",
                               &flyte__report_tracked_actions_request__descriptor, &version);
    const json_t *first = json_array_get(events, 0);
    const json_t *last = json_array_get(events, json_array_size(events) - 1);

    (void)state;
    assert_null(json_object_get(first, "parent"));
    assert_int_equal(json_integer_value(json_object_get(first, "version")), 1);
    assert_int_equal(json_integer_value(json_object_get(last, "phase")), PHASE_FAILED);
    assert_string_equal(text_at(last, "errorInfo", "kind"), "USER");
    assert_non_null(strstr(text_at(last, "errorInfo", "message"), "boom"));
    json_decref(events);
}

static void test_the_root_is_a_root_in_every_report(void **state)
{
    int32_t version;
    json_t *events = events_of("sdk-run-tracked.2.ReportActions-root.body",
                               &flyte__report_tracked_actions_request__descriptor, &version);

    (void)state;
    assert_int_equal(json_array_size(events), 2);
    assert_true(json_is_null(json_object_get(json_array_get(events, 1), "parent")));
    json_decref(events);
}

static void test_events_of_an_executor_keep_what_they_say(void **state)
{
    int32_t version;
    json_t *events = events_of("go-proto.005-EventsProxyService.Record.body",
                               &flyte__record_action_events_request__descriptor, &version);
    const json_t *running = json_array_get(events, 2), *failed = json_array_get(events, 4);
    const json_t *cluster_event = json_array_get(json_object_get(running, "clusterEvents"), 0);
    const json_t *log = json_array_get(json_object_get(running, "logInfo"), 0);

    (void)state;
    assert_int_equal(json_array_size(events), 5);
    assert_int_equal(version, 0);
    assert_key(running, "rcap1", "a1", PHASE_RUNNING);
    assert_null(json_object_get(running, "parent"));
    assert_string_equal(text_at(running, "updatedTime", NULL), "2026-04-12T08:00:02.123000Z");
    assert_string_equal(text_at(running, "reportedTime", NULL), "2026-04-12T08:00:02.143000Z");
    assert_string_equal(text_at(running, "cluster", NULL), "c1");
    assert_string_equal(text_at(running, "outputs", "outputUri"), "s3://b/o/a1");
    assert_string_equal(text_at(running, "logContext", "primaryPodName"), "p-0");
    assert_string_equal(text_at(log, "uri", NULL), "http://logs/x");
    assert_string_equal(text_at(log, "messageFormat", NULL), "JSON");
    assert_string_equal(text_at(cluster_event, "occurredAt", NULL), "2026-04-12T08:00:00.123000Z");
    assert_string_equal(text_at(cluster_event, "type", NULL), "TYPE_NORMAL");
    assert_string_equal(text_at(failed, "errorInfo", "message"), "boom");
    assert_string_equal(text_at(failed, "errorInfo", "kind"), "USER");
    json_decref(events);
}

static void test_calls_without_a_version_take_no_events_key(void **state)
{
    int32_t record_version, status_version;
    json_t *record = events_of("go-proto.002-InternalRunService.RecordAction.body",
                               &flyte__record_action_request__descriptor, &record_version);
    json_t *status = events_of("go-proto.003-InternalRunService.UpdateActionStatus.body",
                               &flyte__update_action_status_request__descriptor, &status_version);

    (void)state;
    assert_true(record_version < 0 && status_version < 0 && record_version != status_version);
    assert_key(json_array_get(record, 0), "rcap1", "a1", PHASE_QUEUED);
    assert_string_equal(text_at(json_array_get(record, 0), "parent", NULL), "a0");
    assert_string_equal(text_at(json_array_get(record, 0), "group", NULL), "map");
    assert_string_equal(text_at(json_array_get(record, 0), "task", "name"), "pkg.train");
    assert_key(json_array_get(status, 0), "rcap1", "a0", PHASE_RUNNING);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(status, 0), "attempt")), 1);
    assert_string_equal(text_at(json_array_get(status, 0), "updatedTime", NULL),
                        "2026-04-12T08:00:00.123000Z");
    json_decref(record);
    json_decref(status);
}

static void test_both_forms_say_the_same(void **state)
{
    static const struct {
        const char *json, *proto;
        const ProtobufCMessageDescriptor *descriptor;
    } pairs[] = {
        {"go-json.009-InternalRunService.RecordAction.body",
         "go-proto.001-InternalRunService.RecordAction.body",
         &flyte__record_action_request__descriptor},
        {"go-json.010-InternalRunService.RecordAction.body",
         "go-proto.002-InternalRunService.RecordAction.body",
         &flyte__record_action_request__descriptor},
        {"go-json.012-InternalRunService.UpdateActionStatus.body",
         "go-proto.004-InternalRunService.UpdateActionStatus.body",
         &flyte__update_action_status_request__descriptor},
        {"go-json.013-EventsProxyService.Record.body",
         "go-proto.005-EventsProxyService.Record.body",
         &flyte__record_action_events_request__descriptor},
        {"go-json.014-InternalRunService.RecordActionEvents.body",
         "go-proto.006-InternalRunService.RecordActionEvents.body",
         &flyte__record_action_events_request__descriptor},
    };

    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        int32_t version[2];
        json_t *one = events_of(pairs[i].json, pairs[i].descriptor, &version[0]);
        json_t *other = events_of(pairs[i].proto, pairs[i].descriptor, &version[1]);

        assert_true(json_equal(one, other));
        assert_int_equal(version[0], version[1]);
        json_decref(one);
        json_decref(other);
    }
}

static void test_labels_of_the_request_stand_over_those_of_its_spec(void **state)
{
    Flyte__TextEntry old = FLYTE__TEXT_ENTRY__INIT, new = FLYTE__TEXT_ENTRY__INIT;
    Flyte__TextEntry *olds[] = {&old}, *news[] = {&new};
    Flyte__Labels labels = FLYTE__LABELS__INIT;
    Flyte__RunSpec spec = FLYTE__RUN_SPEC__INIT;
    Flyte__CreateTrackedRunRequest request = FLYTE__CREATE_TRACKED_RUN_REQUEST__INIT;
    struct flyte_events events;

    (void)state;
    old.key = new.key = (char[]){"team"};
    old.value = (char[]){"old"};
    new.value = (char[]){"new"};
    labels.n_values = request.n_labels = 1;
    labels.values = olds;
    request.labels = news;
    spec.labels = &labels;
    request.run_spec = &spec;
    flyte_events_write(&events, &request.base);
    buffer_append(&events.json, "", 1);
    assert_non_null(strstr(events.json.bytes, "\"run\":{\"labels\":{\"team\":\"new\"}}"));
    buffer_free(&events.json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_created_run_is_its_root),
        cmocka_unit_test(test_children_say_their_parent_group_and_task),
        cmocka_unit_test(test_a_later_report_says_no_parent),
        cmocka_unit_test(test_the_root_is_a_root_in_every_report),
        cmocka_unit_test(test_events_of_an_executor_keep_what_they_say),
        cmocka_unit_test(test_calls_without_a_version_take_no_events_key),
        cmocka_unit_test(test_both_forms_say_the_same),
        cmocka_unit_test(test_labels_of_the_request_stand_over_those_of_its_spec),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
