/* One watcher: a socket and a cursor.
 *
 * A stream has no queue. It holds at most one frame, and when that is sent it asks its source for
 * the next one; a slow stream therefore gets the newest state of fewer, later frames, and costs no
 * memory. */
#ifndef RUNTREE_WATCH_STREAM_H
#define RUNTREE_WATCH_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "model/buffer.h"
#include "server/gzip.h"
#include "server/memory.h"

struct streams;
struct stream;

/* -------- frames -------- */

enum frame_kind {
    FRAME_RECORDS,   /* goes out deflated on a compressed stream */
    FRAME_HEAD,      /* the head of an answer; begins a plain stream */
    FRAME_GZIP_HEAD, /* the same with gzip's header; begins a compressed stream */
    FRAME_TRAILER,   /* ends a compressed stream */
    FRAME_FRAMED,    /* as its stream's framing has it */
};

/* Bytes of a stream, made once and shared, by reference count, by all streams that send them. */
struct frame;

/* Takes the buffer's bytes over; with one reference. NULL when out of memory (also if the buffer
 * failed); the buffer is empty then, too. */
struct frame *frame_of_kind(struct buffer *buffer, enum frame_kind kind);

/* The same for records, which draw from `memory` (NULL: from none). */
struct frame *frame_new(struct memory *memory, struct buffer *buffer);

/* A frame of its own for `text`, with one reference; NULL when out of memory. */
struct frame *frame_of_text(const char *text);

/* A frame of its own for the first `length` bytes of the records of `frame`; as frame_new. */
struct frame *frame_new_of_start(struct memory *memory, const struct frame *frame, size_t length);

size_t frame_length(const struct frame *frame); /* in bytes, not deflated */

struct frame *frame_keep(struct frame *frame);
void frame_release(struct frame *frame); /* NULL does nothing */

/* -------- streams -------- */

enum stream_next {
    STREAM_IDLE,  /* nothing to send now: the source will call stream_wake */
    STREAM_FRAME, /* *frame, with a reference for the stream */
    STREAM_LATER, /* there may be more, ask again in the next turn of the loop */
    STREAM_END,   /* *frame (may be NULL) is the last */
};

struct stream_source {
    enum stream_next (*next)(void *source, struct frame **frame);
    /* The data of a heartbeat, with a reference for the stream; NULL: none now. */
    struct frame *(*heartbeat)(void *source);
    /* The stream leaves its source. */
    void (*on_left)(void *source);
};

struct streams_options {
    uint64_t heartbeat_ms;
    uint64_t stall_ms;
    struct gzip_packer *packer; /* borrowed */
    bool *is_due;               /* set while streams_run has something to do */
};

struct streams_stats {
    size_t count;
    uint64_t opened, frames, bytes, stalled;
    uint64_t compressed; /* frames that were deflated, each for all its streams */
};

/* NULL when out of memory. */
struct streams *streams_new(uv_loop_t *loop, const struct streams_options *options);

/* Once per turn of the loop: serves the streams that were woken, so many at most that the loop is
 * not held up. */
void streams_run(struct streams *streams);

/* Tells every stream to come back (`retry`) and ends it, spread over `spread_ms`. */
void streams_dismiss(struct streams *streams, uint64_t spread_ms);

/* At the end: cuts off what is left. */
void streams_stop(struct streams *streams);
/* When the loop is empty; NULL is fine. */
void streams_free(struct streams *streams);

struct streams_stats streams_stats(const struct streams *streams);

/* A stream on socket `fd`, which it takes over (also on failure). `head` (see reply_stream_head) is
 * sent first, and taken over; then comes `retry`, and then what `source` has. NULL when out of
 * memory or the socket is dead; then the source does not hear of it. */
struct stream *stream_new(struct streams *streams, int fd, struct frame *head,
                          const struct stream_source *source_class, void *source);

/* How a stream says its records, if not as they are made (text/event-stream). */
struct stream_framing {
    /* Appends what says the same as `records`, which are whole ones; perhaps nothing. 0; 1: and
     * that is the last, never shared; -ENOMEM. */
    int (*write)(void *arg, const char *records, size_t length, struct buffer *out);
    /* Appends the end. `is_dismissed`: there would be more, the client is to come back. */
    void (*write_end)(void *arg, bool is_dismissed, struct buffer *out);
    void (*free)(void *arg);
};

/* To be called right after the stream was made, which is not a compressed one. `arg` is taken over.
 * `form` says all that `write` goes by besides the records: of the streams that share a frame,
 * those of one form are sent what was written for the first of them. It is borrowed as long as
 * `arg`; NULL: `write` is called for this stream alone. */
void stream_use_framing(struct stream *stream, const struct stream_framing *framing, void *arg,
                        const char *form);

/* The source has something new for it. */
void stream_wake(struct stream *stream);

/* The source has something that may wait a little: wakes the stream within a quarter of a second.
 */
void stream_wake_later(struct stream *stream);

/* The stream ends (`retry` first) after `after_ms`: its token expires then. */
void stream_end_after(struct stream *stream, uint64_t after_ms);

/* Counts the stream for its client (any text), as long as it lasts; out of memory it is not. */
void stream_count_for(struct stream *stream, const char *client);

/* The streams that are counted for the client. */
size_t streams_of(const struct streams *streams, const char *client);

#endif
