/* Flyte's messages: requests in both forms, and records on their way to an answer. The first byte
 * says which. */
#include "adapters/flyte.pb-c.h"
#include "adapters/flyte_events.h"
#include "adapters/flyte_stream.h"
#include "adapters/protobuf.h"
#include "fuzz.h"
#include "model/event_batch.h"

static const ProtobufCMessageDescriptor *const requests[] = {
    &flyte__record_action_events_request__descriptor,
    &flyte__report_tracked_actions_request__descriptor,
    &flyte__create_tracked_run_request__descriptor,
    &flyte__record_action_request__descriptor,
    &flyte__update_action_status_request__descriptor,
    &flyte__list_runs_request__descriptor,
    &flyte__watch_actions_request__descriptor,
    &flyte__create_upload_location_request__descriptor,
};
enum { REQUESTS = sizeof requests / sizeof *requests };

static struct buffer json_of(const ProtobufCMessage *message)
{
    struct buffer text = {0};

    message_write_json(&text, message);
    MUST(!text.failed);
    return text;
}

/* As JSON it is read again, and that is the same on the wire. (Of what protobuf-c passes over it
 * keeps the bytes, which are not always such that it reads them again.) */
static void check_survives(const ProtobufCMessage *message)
{
    struct arena arena = {0};
    struct buffer packed = {0}, text = json_of(message), before, after;
    char why[MESSAGE_WHY_SIZE];
    json_t *json = json_loadb(text.bytes, text.length, 0, NULL);

    MUST(json != NULL);
    message = message_from_json(message->descriptor, json, &arena, why);
    MUST(message != NULL);
    before = json_of(message);
    message_pack(&packed, message);
    message = message_unpack(message->descriptor, packed.bytes == NULL ? "" : packed.bytes,
                             packed.length, &arena, why);
    MUST(message != NULL);
    after = json_of(message);
    MUST(after.length == before.length && memcmp(after.bytes, before.bytes, after.length) == 0);
    json_decref(json);
    buffer_free(&text);
    buffer_free(&before);
    buffer_free(&after);
    buffer_free(&packed);
    arena_free(&arena);
}

/* Events are a document that can be read, one for each that was sent. */
static void check_events(const ProtobufCMessage *message)
{
    struct event_batch batch = {0};
    struct flyte_events events;
    struct problem problem;
    json_t *json;

    flyte_events_write(&events, message);
    MUST(!events.json.failed);
    json = json_loadb(events.json.bytes, events.json.length, JSON_REJECT_DUPLICATES, NULL);
    MUST(json != NULL);
    MUST(json_array_size(json_object_get(json, "events")) == events.count);
    json_decref(json);
    if (event_batch_decode(&batch, events.json.bytes, events.json.length, EVENT_BATCH_JSON, NULL,
                           INT64_C(1775980800000000), &problem) == 0) {
        MUST(batch.count == events.count);
        json = flyte_statuses(&batch);
        MUST(json_array_size(json_object_get(json, "statuses")) == batch.count);
        json_decref(json);
    }
    event_batch_clear(&batch);
}

static void read_request(const ProtobufCMessageDescriptor *descriptor, bool is_json,
                         const uint8_t *data, size_t size)
{
    struct arena arena = {0};
    char why[MESSAGE_WHY_SIZE] = "";
    const ProtobufCMessage *message = NULL;
    json_t *json = NULL;

    if (!is_json)
        message = message_unpack(descriptor, data, size, &arena, why);
    else if ((json = json_loadb((const char *)data, size, 0, NULL)) != NULL)
        message = message_from_json(descriptor, json, &arena, why);
    MUST(message != NULL || why[0] != '\0' || (is_json && json == NULL));
    json_decref(json);
    if (message != NULL) {
        check_survives(message);
        check_events(message);
    }
    arena_free(&arena);
}

/* Whatever a record has in its places, there is an answer in both forms. */
static void check_answer(const ProtobufCMessageDescriptor *descriptor, json_t *document)
{
    for (int is_json = 0; is_json < 2; is_json++) {
        struct buffer out = {0};

        MUST(document != NULL);
        flyte_write_answer(&out, descriptor, document, is_json);
        MUST(!out.failed);
        buffer_free(&out);
    }
    json_decref(document);
}

static void write_records(const uint8_t *data, size_t size)
{
    static const struct flyte_scope scope = {"o", "p", "d", "r"};
    json_t *record = json_loadb((const char *)data, size, 0, NULL);
    struct flyte_updates updates;

    if (flyte_updates_read(&updates, &scope, (const char *)data, size) == 0)
        json_decref(updates.response);
    if (record == NULL)
        return;
    check_answer(&flyte__action_details_response__descriptor, flyte_action_details(&scope, record));
    check_answer(&flyte__get_run_details_response__descriptor, flyte_run_details(&scope, record));
    check_answer(&flyte__run__descriptor, flyte_run("o", record, record));
    check_answer(&flyte__enriched_action__descriptor, flyte_enriched_action(&scope, record));
    check_answer(&flyte__list_projects_response__descriptor, flyte_projects("o", record));
    json_decref(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy;

    if (size == 0)
        return 0;
    copy =
        malloc(size == 1 ? 1 : size - 1); /* to the byte, so that a read behind its end is seen */
    MUST(copy != NULL);
    memcpy(copy, data + 1, size - 1);
    if (data[0] < 2 * REQUESTS)
        read_request(requests[data[0] / 2], data[0] % 2 == 1, copy, size - 1);
    else
        write_records(copy, size - 1);
    free(copy);
    return 0;
}
