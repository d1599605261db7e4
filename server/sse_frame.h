/* Bytes of a stream, made once and shared, by reference count, by all streams that send them. */
#ifndef RUNTREE_SERVER_SSE_FRAME_H
#define RUNTREE_SERVER_SSE_FRAME_H

#include <stddef.h>

#include "model/json_buffer.h"

struct sse_frame {
    size_t references;
    size_t length;
    char *bytes;
};

/* Takes the buffer's bytes over; one reference. NULL when out of memory (also if the buffer
 * failed); the buffer is empty then, too. */
struct sse_frame *sse_frame_new(struct json_buffer *buffer);

struct sse_frame *sse_frame_keep(struct sse_frame *frame);
void sse_frame_release(struct sse_frame *frame); /* NULL does nothing */

#endif
