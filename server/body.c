#include "server/body.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/gzip.h"

enum {
    CAPACITY_MIN = 1024,
    CAPACITY_AT_ONCE = 64 * 1024, /* of a length that is only announced */
    GUNZIP_BYTES = 48 * 1024,     /* of zlib's inflate, with its window */
};

int body_expect_gzip(struct body *body)
{
    body->gunzip = gunzip_new();
    return body->gunzip == NULL ? -ENOMEM : 0;
}

void body_hold(struct body *body, struct memory *memory, size_t bytes)
{
    memory_hold(memory, MEMORY_BODIES, &body->held, bytes);
}

static void drop_bytes(struct body *body)
{
    gunzip_free(body->gunzip);
    free(body->bytes);
    body->bytes = NULL;
    body->gunzip = NULL;
    body->length = body->capacity = 0;
}

void body_release(struct body *body, struct memory *memory)
{
    drop_bytes(body);
    body_hold(body, memory, 0);
}

/* Room for `needed` bytes in all. */
static int make_room(struct body *body, struct memory *memory, size_t needed, size_t expected)
{
    size_t capacity = body->capacity * 2;
    char *bytes;

    if (needed <= body->capacity)
        return 0;
    if (capacity == 0)
        capacity = expected < CAPACITY_AT_ONCE ? expected : CAPACITY_AT_ONCE;
    if (capacity < CAPACITY_MIN && capacity < expected)
        capacity = CAPACITY_MIN;
    if (capacity < needed)
        capacity = needed;
    if (!memory_has_room(memory, capacity - body->capacity))
        return -ENOBUFS;
    bytes = realloc(body->bytes, capacity);
    if (bytes == NULL)
        return -ENOMEM;
    body->bytes = bytes;
    body->capacity = capacity;
    body_hold(body, memory, capacity + (body->gunzip == NULL ? 0 : GUNZIP_BYTES));
    return 0;
}

static int append_plain(struct body *body, struct memory *memory, const char *bytes, size_t length,
                        size_t expected)
{
    size_t needed = body->length + length;
    int status = needed > BODY_BYTES_MAX ? -E2BIG : make_room(body, memory, needed, expected);

    if (status < 0)
        return status;
    memcpy(body->bytes + body->length, bytes, length);
    body->length = needed;
    return 0;
}

/* One byte more than the limit is room to see that there is more. */
static int append_packed(struct body *body, struct memory *memory, const char *bytes, size_t length)
{
    while (length > 0) {
        size_t room = body->capacity - body->length, taken;
        int status = room > 0 ? 0 : make_room(body, memory, body->length + 1, CAPACITY_AT_ONCE);

        if (status < 0)
            return status;
        room = body->capacity - body->length;
        status =
            gunzip_some(body->gunzip, bytes, length, &taken, body->bytes + body->length, &room);
        if (status < 0)
            return status;
        body->length += room;
        bytes += taken;
        length -= taken;
        if (body->length > BODY_BYTES_MAX)
            return -E2BIG;
    }
    return 0;
}

int body_append(struct body *body, struct memory *memory, const char *bytes, size_t length,
                size_t expected)
{
    int status = body->gunzip == NULL ? append_plain(body, memory, bytes, length, expected)
                                      : append_packed(body, memory, bytes, length);

    if (status < 0)
        body_release(body, memory);
    return status;
}

int body_end(struct body *body)
{
    return body->gunzip == NULL || gunzip_is_complete(body->gunzip) ? 0 : -EBADMSG;
}

char *body_take(struct body *body, size_t *length)
{
    char *bytes = body->bytes;

    *length = body->length;
    body->bytes = NULL;
    drop_bytes(body);
    return bytes;
}
