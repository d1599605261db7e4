/* Bytes of a stream, made once and shared, by reference count, by all streams that send them. */
#ifndef RUNTREE_WATCH_FRAME_H
#define RUNTREE_WATCH_FRAME_H

#include <stddef.h>

#include "model/json_buffer.h"
#include "server/gzip.h"
#include "server/memory.h"

enum frame_kind {
    FRAME_RECORDS,   /* goes out deflated on a compressed stream */
    FRAME_HEAD,      /* the head of an answer; begins a plain stream */
    FRAME_GZIP_HEAD, /* the same with gzip's header; begins a compressed stream */
    FRAME_TRAILER,   /* ends a compressed stream */
};

struct frame {
    size_t references;
    size_t length, capacity; /* of `bytes` */
    char *bytes;
    struct gzip_piece *packed; /* the same deflated; NULL until a compressed stream sends it */
    enum frame_kind kind;
    struct memory *memory; /* that it draws from; NULL: none */
    size_t held;
};

/* Takes the buffer's bytes over; with one reference. NULL when out of memory (also if the buffer
 * failed); the buffer is empty then, too. */
struct frame *frame_of_kind(struct json_buffer *buffer, enum frame_kind kind);

/* The same for records, which draw from `memory` (NULL: from none). */
struct frame *frame_new(struct memory *memory, struct json_buffer *buffer);

/* The frame deflated, kept in it for all who send it so; NULL when out of memory. */
const struct gzip_piece *frame_pack(struct frame *frame, struct gzip_packer *packer);

/* A frame of its own for `text`, with one reference; NULL when out of memory. */
struct frame *frame_of_text(const char *text);

struct frame *frame_keep(struct frame *frame);
void frame_release(struct frame *frame); /* NULL does nothing */

#endif
