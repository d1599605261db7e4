#include "handlers/cloud_events.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "handlers/cursor.h"

#define BATCH_TYPE "application/cloudevents-batch+json"

bool wants_cloud_events(const struct http_request *request)
{
    const char *accept = http_request_header(request, "Accept");

    for (; accept != NULL && *accept != '\0'; accept += strcspn(accept, ",")) {
        accept += strspn(accept, ", \t");
        if (strncasecmp(accept, BATCH_TYPE, sizeof BATCH_TYPE - 1) == 0 &&
            strchr(",; \t", accept[sizeof BATCH_TYPE - 1]) != NULL)
            return true;
    }
    return false;
}

/* As a segment of a path (RFC 3986, section 3.3); what stays has nothing that JSON escapes. */
static void write_segment(struct buffer *out, const char *segment)
{
    static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789-._~";
    static const char digits[] = "0123456789ABCDEF";

    for (const char *at = segment; *at != '\0'; at++) {
        const char encoded[] = {'%', digits[(unsigned char)*at >> 4],
                                digits[(unsigned char)*at & 15]};

        if (strchr(unreserved, *at) != NULL)
            buffer_append(out, at, 1);
        else
            buffer_append(out, encoded, sizeof encoded);
    }
}

static void write_id(struct buffer *out, const struct event_record *record)
{
    char id[NAME_BYTES_MAX + 64];

    snprintf(id, sizeof id, "%s/%d/%s/%d", record->name, record->attempt, phase_name(record->phase),
             record->version);
    buffer_string(out, id);
}

void cloud_event_write(struct buffer *out, const struct event_record *record)
{
    buffer_text(out, "{\"specversion\":\"1.0\",\"id\":");
    write_id(out, record);
    buffer_text(out, ",\"source\":\"/v1/projects/");
    write_segment(out, record->run.project);
    buffer_text(out, "/domains/");
    write_segment(out, record->run.domain);
    buffer_text(out, "/runs/");
    write_segment(out, record->run.run_name);
    buffer_string_member(out, "\",\"type\":\"runtree.action-event\",\"subject\":", record->name);
    buffer_timestamp_member(out, ",\"time\":", record->updated_us);
    buffer_text(out, ",\"datacontenttype\":\"application/json\",\"data\":");
    event_record_write(out, record);
    buffer_text(out, "}");
}

/* <?attempt=…&limit=…&cursor=…>; rel="next", relative to the request. */
static void write_link(const struct http_request *request, const char *cursor, char *out,
                       size_t size)
{
    static const char *const kept[] = {"attempt", "limit"};
    size_t length = (size_t)snprintf(out, size, "<?");

    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        const char *value = http_request_parameter(request, kept[i]);

        if (value != NULL) /* a number, as was checked */
            length += (size_t)snprintf(out + length, size - length, "%s=%s&", kept[i], value);
    }
    snprintf(out + length, size - length, "cursor=%.*s>; rel=\"next\"", (int)strcspn(cursor, "\""),
             cursor);
}

/* {"events":[ … ],"nextCursor":"…"}: what stands in the list, and the cursor if there is one. */
static void take_page(void *arg, struct http_request *request, struct buffer *document)
{
    static const char before[] = "{\"events\":", before_cursor[] = ",\"nextCursor\":\"";
    const char *end = memrchr(document->bytes, ']', document->length);
    size_t length = (size_t)(end - document->bytes) + 1 - (sizeof before - 1);
    char link[2 * CURSOR_TEXT_SIZE + 128];
    struct reply_header headers[] = {{"Vary", "Accept"}, {"Link", link}, {0}};

    (void)arg;
    buffer_append(document, "", 1);
    if (document->failed) {
        reply_buffer(request, 200, BATCH_TYPE, document);
        return;
    }
    end = document->bytes + sizeof before - 1 + length;
    if (strncmp(end, before_cursor, sizeof before_cursor - 1) == 0)
        write_link(request, end + sizeof before_cursor - 1, link, sizeof link);
    else
        headers[1] = (struct reply_header){0};
    memmove(document->bytes, document->bytes + sizeof before - 1, length);
    document->length = length;
    reply_buffer_with(request, 200, BATCH_TYPE, document, headers);
}

static void drop_page(void *arg)
{
    (void)arg;
}

const struct page_taker cloud_events_taker = {.take = take_page, .drop = drop_page};
