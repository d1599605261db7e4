#include "cli/event_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set(char *text, size_t size, const char *value, size_t length)
{
    if (length < size) {
        memcpy(text, value, length);
        text[length] = '\0';
    }
}

static bool dispatch(struct event_stream *stream)
{
    bool goes_on = true;

    memcpy(stream->last_id, stream->next_id, sizeof stream->last_id);
    if (stream->data.length > 0) {
        stream->data.bytes[stream->data.length - 1] = '\0'; /* in place of the last line's end */
        goes_on = stream->take(stream->context, stream->type[0] == '\0' ? "message" : stream->type,
                               stream->data.bytes, stream->data.length - 1);
    }
    stream->data.length = 0;
    stream->type[0] = '\0';
    return goes_on;
}

static bool is_field(const char *line, size_t name_length, const char *name)
{
    return strlen(name) == name_length && memcmp(line, name, name_length) == 0;
}

/* One line, without its end. */
static bool take_line(struct event_stream *stream, const char *line, size_t length)
{
    const char *colon = memchr(line, ':', length), *value;
    size_t name_length = colon == NULL ? length : (size_t)(colon - line);

    if (length == 0)
        return dispatch(stream);
    value = colon == NULL ? line + length : colon + 1;
    if (value < line + length && *value == ' ')
        value++;
    length -= (size_t)(value - line);
    if (is_field(line, name_length, "data")) {
        buffer_append(&stream->data, value, length);
        buffer_append(&stream->data, "\n", 1);
    } else if (is_field(line, name_length, "event")) {
        set(stream->type, sizeof stream->type, value, length);
    } else if (is_field(line, name_length, "id") && memchr(value, '\0', length) == NULL) {
        set(stream->next_id, sizeof stream->next_id, value, length);
    } else if (is_field(line, name_length, "retry")) {
        char digits[16] = "";

        set(digits, sizeof digits, value, length);
        if (digits[0] != '\0' && strspn(digits, "0123456789") == strlen(digits))
            stream->retry_ms = strtoll(digits, NULL, 10);
    }
    return !stream->data.failed && stream->data.length <= EVENT_STREAM_BYTES_MAX;
}

bool event_stream_feed(struct event_stream *stream, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        size_t end = i;
        bool was_return = stream->was_return;

        stream->was_return = false;
        if (was_return && bytes[i] == '\n')
            continue;
        while (end < length && bytes[end] != '\n' && bytes[end] != '\r')
            end++;
        buffer_append(&stream->line, bytes + i, end - i);
        if (stream->line.failed || stream->line.length > EVENT_STREAM_BYTES_MAX)
            return false;
        if (end == length)
            return true;
        buffer_append(&stream->line, "", 1);
        if (stream->line.failed || !take_line(stream, stream->line.bytes, stream->line.length - 1))
            return false;
        stream->line.length = 0;
        stream->was_return = bytes[end] == '\r';
        i = end;
    }
    return true;
}

void event_stream_cut(struct event_stream *stream)
{
    stream->line.length = stream->data.length = 0;
    stream->type[0] = '\0';
    stream->was_return = false;
    memcpy(stream->next_id, stream->last_id, sizeof stream->next_id);
}

void event_stream_clear(struct event_stream *stream)
{
    buffer_free(&stream->line);
    buffer_free(&stream->data);
}
