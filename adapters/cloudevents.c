/* CloudEvents 1.0 (github.com/cloudevents/spec, v1.0.2) over HTTP: structured, binary and batched,
 * whose data is an event of the contract. Their type and source may be any; their time, if it is
 * one, is the event's where it says none itself. */
#include <stdio.h>
#include <string.h>

#include "adapters/tools.h"
#include "model/text.h"
#include "model/timestamp.h"

/* `data` is borrowed, `time` too. */
static void take_event(struct adapter_answer *answer, const json_t *data, const json_t *time)
{
    if (!json_is_object(data) || !adapter_text(data, "name")) {
        adapter_unmapped(answer, UNMAPPED_TYPE, NULL, NULL, "its data is no action event");
        return;
    }
    json_t *event = json_copy((json_t *)data);
    json_t *received = json_incref(json_object_get(data, "asReceived"));
    json_object_del(event, "revision"); /* what GET …/events adds */
    json_object_del(event, "recordedAt");
    json_object_del(event, "asReceived");
    json_object_update(event, received);
    json_decref(received);
    if (!json_is_string(json_object_get(event, "updatedTime")) &&
        adapter_time_us(time) != TIME_NONE)
        adapter_set(event, "updatedTime", json_incref((json_t *)time));
    adapter_emit(answer, event);
}

/* The JSON that data_base64 stands for (RFC 4648, section 4), a new reference; NULL if it is none.
 */
static json_t *decode_base64(struct adapter_answer *answer, const char *text)
{
    struct buffer bytes = {0};
    size_t length = strcspn(text, "=");
    unsigned char *out = (unsigned char *)buffer_reserve(&bytes, length);
    bool is_exact;
    ptrdiff_t used = out ? base64_decode(text, length, "+/", out, &is_exact) : 0;
    json_t *json = used > 0 ? json_loadb((const char *)out, (size_t)used, 0, NULL) : NULL;
    answer->failed |= bytes.failed;
    buffer_free(&bytes);
    return json;
}

/* Whether it is of a version that is known; else that is counted. */
static bool is_version_1(struct adapter_answer *answer, const char *version)
{
    if (version && strncmp(version, "1.", 2) == 0)
        return true;
    adapter_unmapped(answer, UNMAPPED_FIELD, NULL, NULL, "specversion is not 1.0");
    return false;
}

static void take_cloudevent(struct adapter_answer *answer, const json_t *cloudevent)
{
    const char *version = adapter_text(cloudevent, "specversion");
    const char *packed = adapter_text(cloudevent, "data_base64");
    const char *text = adapter_text(cloudevent, "data");
    json_t *unpacked = packed ? decode_base64(answer, packed)
                       : text ? json_loads(text, 0, NULL)
                              : NULL;
    if (is_version_1(answer, version))
        take_event(answer, unpacked ? unpacked : json_object_get(cloudevent, "data"),
                   json_object_get(cloudevent, "time"));
    json_decref(unpacked);
}

/* What a header says, which may be quoted and have escapes (HTTP Protocol Binding, 3.1.3.2): a new
 * reference; NULL if it says nothing that is text. */
static json_t *header_text(const char *value)
{
    char text[TIMESTAMP_SIZE * 4];
    size_t length = value ? strlen(value) : 0;
    bool is_quoted = length > 1 && value[0] == '"' && value[length - 1] == '"';
    if (length == 0 || length >= sizeof text)
        return NULL;
    snprintf(text, sizeof text, "%.*s", (int)length - 2 * is_quoted, value + is_quoted);
    return percent_decode(text, false) < 0 ? NULL : json_string(text);
}

void adapt_cloudevents(const struct adapter_request *request, struct adapter_answer *answer)
{
    if (strcmp(request->method, "POST") != 0) {
        adapter_unmapped(answer, UNMAPPED_PATH, NULL, NULL, "%s", request->method);
        return;
    }
    json_t *body = adapter_body(answer);
    if (!body)
        return;
    const char *version = adapter_header(request, "ce-specversion");
    if (version) {
        json_t *time = header_text(adapter_header(request, "ce-time"));
        if (is_version_1(answer, version))
            take_event(answer, body, time);
        json_decref(time);
    } else if (json_is_array(body)) {
        for (size_t i = 0; i < json_array_size(body); i++)
            take_cloudevent(answer, json_array_get(body, i));
    } else {
        take_cloudevent(answer, body);
    }
    json_decref(body);
}
