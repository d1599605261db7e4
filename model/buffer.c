/* A growing stretch of bytes, and JSON written into it. */
#include "model/buffer.h"

#include <stdlib.h>
#include <string.h>

#include "model/timestamp.h"

enum { CAPACITY_MIN = 256 };

void buffer_free(struct buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (struct buffer){0};
}

char *buffer_grow(struct buffer *buffer, size_t more)
{
    if (buffer->failed)
        return NULL;
    size_t capacity = buffer->capacity < CAPACITY_MIN / 2 ? CAPACITY_MIN : buffer->capacity * 2;
    if (capacity - buffer->length <= more)
        capacity = buffer->length + more + 1;
    char *bytes = more >= SIZE_MAX / 2 ? NULL : realloc(buffer->bytes, capacity);
    if (!bytes) {
        buffer->failed = true;
        buffer->capacity = buffer->length; /* so that nothing fits any more */
        return NULL;
    }
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return bytes + buffer->length;
}

/* The escape of one byte that may not stand in a JSON string as it is (RFC 8259, section 7). */
static size_t escape(unsigned char c, char out[static 6])
{
    static const char hex[] = "0123456789abcdef";
    static const char short_from[] = "\"\\\b\f\n\r\t", short_to[] = "\"\\bfnrt";
    const char *found = memchr(short_from, c, sizeof short_from - 1);
    out[0] = '\\';
    if (found) {
        out[1] = short_to[found - short_from];
        return 2;
    }
    memcpy(out + 1, "u00", 3);
    out[4] = hex[c >> 4];
    out[5] = hex[c & 15];
    return 6;
}

void buffer_string(struct buffer *buffer, const char *text)
{
    if (!text) {
        buffer_text(buffer, "null");
        return;
    }
    buffer_append(buffer, "\"", 1);
    const char *plain = text;
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        char escaped[6];
        buffer_append(buffer, plain, (size_t)(text - plain));
        size_t length = escape(c, escaped);
        buffer_append(buffer, escaped, length);
        plain = text + 1;
    }
    buffer_append(buffer, plain, (size_t)(text - plain));
    buffer_append(buffer, "\"", 1);
}

void buffer_integer(struct buffer *buffer, int64_t number)
{
    char digits[20];
    char *at = digits + sizeof digits;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (number < 0)
        *--at = '-';
    buffer_append(buffer, at, (size_t)(digits + sizeof digits - at));
}

void buffer_timestamp(struct buffer *buffer, int64_t time_us)
{
    if (time_us == TIME_NONE) {
        buffer_text(buffer, "null");
        return;
    }
    char *to = buffer_reserve(buffer, TIMESTAMP_SIZE + 1);
    if (!to)
        return;
    *to++ = '"';
    timestamp_format(time_us, to);
    to[TIMESTAMP_SIZE - 1] = '"'; /* in place of its NUL */
    buffer->length += TIMESTAMP_SIZE + 1;
}
