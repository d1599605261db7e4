/* Server-Sent Events, read from bytes as they come (WHATWG HTML, 9.2). Pure. */
#ifndef RUNTREE_CLI_EVENT_STREAM_H
#define RUNTREE_CLI_EVENT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/buffer.h"

enum { EVENT_STREAM_BYTES_MAX = 16 * 1024 * 1024, EVENT_STREAM_ID_SIZE = 512 };

/* An event whose data is not empty; `type` is "message" if none was given. False ends the stream.
 */
typedef bool event_stream_take(void *context, const char *type, const char *data, size_t length);

/* A plain value; all zero, but for the first two, before the first byte. */
struct event_stream {
    event_stream_take *take;
    void *context;
    struct buffer line, data;
    char type[64];
    char next_id[EVENT_STREAM_ID_SIZE];
    char last_id[EVENT_STREAM_ID_SIZE]; /* of the last event that was taken; "": none */
    int64_t retry_ms;                   /* 0: not said */
    bool was_return;                    /* the last byte was a carriage return */
};

/* False if `take` said so, or a line or an event is longer than EVENT_STREAM_BYTES_MAX. */
bool event_stream_feed(struct event_stream *stream, const char *bytes, size_t length);

/* Forgets what of an event has come, as at the end of a connection; last_id stays. */
void event_stream_cut(struct event_stream *stream);

void event_stream_clear(struct event_stream *stream);

#endif
