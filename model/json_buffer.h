/* A growing stretch of bytes, and JSON written into it: for the records that are too many for a
 * tree of json_t. */
#ifndef RUNTREE_MODEL_JSON_BUFFER_H
#define RUNTREE_MODEL_JSON_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A plain value; all zero is empty. After a failed allocation `failed` is set, every later write
 * does nothing, and `length` is not to be used: check once, at the end. */
struct json_buffer {
    char *bytes;
    size_t length, capacity;
    bool failed;
};

void json_buffer_free(struct json_buffer *buffer);

/* What json_buffer_reserve does when there is no room. */
char *json_buffer_grow(struct json_buffer *buffer, size_t more);

/* Room for `more` bytes behind `length`: a pointer to them, or NULL. */
static inline char *json_buffer_reserve(struct json_buffer *buffer, size_t more)
{
    if (more < buffer->capacity - buffer->length)
        return buffer->bytes + buffer->length;
    return json_buffer_grow(buffer, more);
}

static inline void json_buffer_append(struct json_buffer *buffer, const char *bytes, size_t length)
{
    char *to = json_buffer_reserve(buffer, length);
    if (!to)
        return;
    memcpy(to, bytes, length);
    buffer->length += length;
}

/* The text as it is. Inline, so that a literal's length is known and its copy a move or two. */
static inline void json_buffer_text(struct json_buffer *buffer, const char *text)
{
    json_buffer_append(buffer, text, strlen(text));
}

void json_buffer_string(struct json_buffer *buffer, const char *text);
void json_buffer_integer(struct json_buffer *buffer, int64_t number);
void json_buffer_timestamp(struct json_buffer *buffer, int64_t time_us); /* TIME_NONE: null */

#endif
