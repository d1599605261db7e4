/* A growing stretch of bytes, and JSON written into it: for the records that are too many for a
 * tree of json_t. */
#ifndef RUNTREE_MODEL_JSON_BUFFER_H
#define RUNTREE_MODEL_JSON_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A plain value; all zero is empty. After a failed allocation `failed` is set, every later write
 * does nothing, and `length` is not to be used: check once, at the end. */
struct json_buffer {
    char *bytes;
    size_t length, capacity;
    bool failed;
};

void json_buffer_free(struct json_buffer *buffer);

/* Room for `more` bytes behind `length`: a pointer to them, or NULL. */
char *json_buffer_reserve(struct json_buffer *buffer, size_t more);

void json_buffer_append(struct json_buffer *buffer, const char *bytes, size_t length);
void json_buffer_text(struct json_buffer *buffer, const char *text); /* as it is */
/* Quoted and escaped; NULL is null. */
void json_buffer_string(struct json_buffer *buffer, const char *text);
void json_buffer_integer(struct json_buffer *buffer, int64_t number);
void json_buffer_timestamp(struct json_buffer *buffer, int64_t time_us); /* TIME_NONE: null */

#endif
