/* A growing stretch of bytes, of any kind; and JSON written into it, for the records that are too
 * many for a tree of json_t. */
#ifndef RUNTREE_MODEL_BUFFER_H
#define RUNTREE_MODEL_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A plain value; all zero is empty. After a failed allocation `failed` is set, every later write
 * does nothing, and `length` is not to be used: check once, at the end. */
struct buffer {
    char *bytes;
    size_t length, capacity;
    bool failed;
};

void buffer_free(struct buffer *buffer);

/* What buffer_reserve does when there is no room. */
char *buffer_grow(struct buffer *buffer, size_t more);

/* Room for `more` bytes behind `length`: a pointer to them, or NULL. */
static inline char *buffer_reserve(struct buffer *buffer, size_t more)
{
    if (more < buffer->capacity - buffer->length)
        return buffer->bytes + buffer->length;
    return buffer_grow(buffer, more);
}

static inline void buffer_append(struct buffer *buffer, const char *bytes, size_t length)
{
    char *to = buffer_reserve(buffer, length);
    if (!to)
        return;
    memcpy(to, bytes, length);
    buffer->length += length;
}

/* The text as it is. Inline, so that a literal's length is known and its copy a move or two. */
static inline void buffer_text(struct buffer *buffer, const char *text)
{
    buffer_append(buffer, text, strlen(text));
}

/* As JSON. */
void buffer_string(struct buffer *buffer, const char *text);
void buffer_integer(struct buffer *buffer, int64_t number);
void buffer_timestamp(struct buffer *buffer, int64_t time_us); /* TIME_NONE: null */

/* The same behind the name of the member that it is, written as it is: ",\"name\":". */
static inline void buffer_string_member(struct buffer *buffer, const char *name, const char *text)
{
    buffer_text(buffer, name);
    buffer_string(buffer, text);
}

static inline void buffer_integer_member(struct buffer *buffer, const char *name, int64_t number)
{
    buffer_text(buffer, name);
    buffer_integer(buffer, number);
}

static inline void buffer_timestamp_member(struct buffer *buffer, const char *name, int64_t time_us)
{
    buffer_text(buffer, name);
    buffer_timestamp(buffer, time_us);
}

#endif
