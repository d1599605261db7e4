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

#include "model/run_view.h"
#include "watch/frame.h"
#include "watch/list_walk.h"

struct streams;
struct stream;

/* Where a stream stands in what its source has to tell. Only the source changes it. */
struct stream_position {
    int64_t cursor; /* the client has everything up to this revision, or move of a run */
    union {
        struct view_walk walk; /* of a run */
        struct list_walk list; /* of the list of runs */
    };
    bool is_walking;
    bool is_resuming;  /* came with an id, and was not sent what it lacks yet */
    bool is_synced;    /* `synced` was sent */
    bool wants_reset;  /* `reset` is to be sent first */
    bool is_gone;      /* and nothing behind it: the run was deleted */
    bool is_following; /* goes on behind the end */
};

enum stream_next {
    STREAM_IDLE,  /* nothing to send now: the source will call stream_wake */
    STREAM_FRAME, /* *frame, with a reference for the stream */
    STREAM_LATER, /* there may be more, ask again in the next turn of the loop */
    STREAM_END,   /* *frame (may be NULL) is the last */
};

struct stream_source {
    enum stream_next (*next)(void *source, struct stream_position *position, struct frame **frame);
    /* The data of a heartbeat, with a reference for the stream; NULL: none now. */
    struct frame *(*heartbeat)(void *source);
    /* The stream leaves its source. */
    void (*on_left)(void *source, struct stream *stream);
};

struct streams_options {
    uint64_t heartbeat_ms;
    uint64_t stall_ms;
    struct gzip_packer *packer; /* borrowed */
};

struct streams_stats {
    size_t count;
    uint64_t opened, frames, bytes, stalled;
    uint64_t compressed; /* frames that were deflated, each for all its streams */
};

/* NULL when out of memory. */
struct streams *streams_new(uv_loop_t *loop, const struct streams_options *options);

/* Once per turn of the loop: serves the streams that were woken, so many at most that the loop is
 * not held up. Whether some are left for the next turn. */
bool streams_run(struct streams *streams);

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
                          const struct stream_position *position,
                          const struct stream_source *source_class, void *source);

/* The source has something new for it. */
void stream_wake(struct stream *stream);

/* The stream ends (`retry` first) after `after_ms`: its token expires then. */
void stream_end_after(struct stream *stream, uint64_t after_ms);

/* Counts the stream for its client (any text), as long as it lasts; out of memory it is not. */
void stream_count_for(struct stream *stream, const char *client);

/* The streams that are counted for the client. */
size_t streams_of(const struct streams *streams, const char *client);

struct stream_position *stream_position(struct stream *stream);

/* A source's own list of its streams. A plain value; all zero is empty. */
struct stream_list {
    struct stream *first;
    size_t count;
};

/* A stream is in at most one list. */
void stream_list_add(struct stream_list *list, struct stream *stream);
void stream_list_remove(struct stream_list *list, struct stream *stream);

/* The one behind `stream`, NULL behind the last. */
struct stream *stream_list_next(const struct stream *stream);

#endif
