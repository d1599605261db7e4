/* Those who are told the same: the members of one source, and the frames that they share.
 *
 * Each member stands at a place in what the source has to tell. A place is bytes that only the
 * source understands; it knows neither members nor frames that others have. Whoever comes to a
 * place where somebody stood lately is given the piece that was made for him. A member is a stream,
 * or one subscription of a stream that has many (watch/multiplexer.h). */
#ifndef RUNTREE_WATCH_CHANNEL_H
#define RUNTREE_WATCH_CHANNEL_H

#include <stdint.h>

#include "model/buffer.h"
#include "model/watch_id.h"
#include "server/memory.h"
#include "watch/stream.h"

/* -------- records -------- */

/* The line of a record's data up to its first member. `label` is the member that says whose it is,
 * with a comma (subscription_label); NULL on a stream of one source. */
static inline void record_begin(struct buffer *records, const char *event, const char *label)
{
    buffer_text(records, "event: ");
    buffer_text(records, event);
    buffer_text(records, "\ndata: {");
    if (label != NULL)
        buffer_text(records, label);
}

/* The whole of a reset. */
static inline void record_write_reset(struct buffer *records, const char *label)
{
    record_begin(records, "reset", NULL);
    if (label != NULL) /* without its comma */
        buffer_append(records, label, strlen(label) - 1);
    buffer_text(records, "}\n\n");
}

/* The whole of what is told when nothing can be shown of a run now, and why: "not-found" or
 * "unavailable". */
static inline void record_write_absent(struct buffer *records, const char *label,
                                       const char *reason)
{
    record_begin(records, "absent", label);
    buffer_string_member(records, "\"reason\":", reason);
    buffer_text(records, "}\n\n");
}

/* -------- channels -------- */

/* The channels of a loop. */
struct channels;

/* NULL when out of memory. Frames draw from `memory` (borrowed; NULL: from none). */
struct channels *channels_new(struct memory *memory);
void channels_free(struct channels *channels); /* NULL does nothing */

/* Drops the frames that nobody has asked for since the last call. */
void channels_cool(struct channels *channels);

enum { CHANNEL_PLACE_BYTES = 64 };

/* All zero: at the start. */
struct channel_place {
    _Alignas(int64_t) unsigned char bytes[CHANNEL_PLACE_BYTES];
};

enum channel_next {
    CHANNEL_IDLE,  /* nothing to send now: the source will call channel_wake */
    CHANNEL_LATER, /* ask again in the next turn of the loop */
    CHANNEL_PIECE, /* what make_piece makes of the place */
    CHANNEL_FRAME, /* *frame, with a reference for the stream */
    CHANNEL_RESET, /* what the client knows is worthless */
    CHANNEL_END,   /* *frame is the last until something changes; NULL: it was given already */
    CHANNEL_LOST,  /* only a client that comes back with its id can be told more */
};

struct channel_source {
    /* What comes next for who stands at `place`, which may be moved. `is_following`: he wants to
     * stay behind the end. */
    enum channel_next (*next)(void *source, void *place, bool is_following, struct frame **frame);

    /* Appends the records of the next piece, perhaps none, and moves `place` behind it. 0 or
     * -ENOMEM. */
    int (*make_piece)(void *source, void *place, struct buffer *records);

    /* Whether the next piece is the same at both places, and what is behind it. */
    bool (*is_same_place)(const void *a, const void *b);

    /* The client was told, by the record of write_reset, to forget everything. */
    void (*restart)(const void *source, void *place);

    void (*write_reset)(const void *source, struct buffer *records);
    void (*write_heartbeat)(const void *source, struct buffer *records);

    /* What the client has that was sent everything up to `place`; its key stays as it is. False:
     * the place is inside of something, as is what was said before of it. */
    bool (*position)(const void *source, const void *place, struct watch_position *position);

    /* The member that stood at `place` is no more; the channel may be freed. */
    void (*on_left)(void *source, const void *place);
};

struct channel;

/* NULL when out of memory. */
struct channel *channel_new(struct channels *owner, const struct channel_source *source_class,
                            void *source);

/* There must be no members any more; NULL does nothing. */
void channel_free(struct channel *channel);

size_t channel_member_count(const struct channel *channel);

/* There is something new: what was made before is dropped, all members ask. */
void channel_wake(struct channel *channel);

/* Each member is given `reset` and goes on at the start; a stream ends there if there will be
 * nothing. */
void channel_reset(struct channel *channel, bool is_gone);

/* Drops the frames. */
void channel_forget(struct channel *channel);

struct channel_start {
    struct channel_place place;
    bool wants_reset; /* first of all */
    bool is_following;
};

/* A member; NULL when out of memory. `wake` is called when there may be something new for it, not
 * before the first channel_member_next. */
struct channel_member;
typedef void channel_wake_fn(void *arg);
struct channel_member *channel_join(struct channel *channel, const struct channel_start *start,
                                    channel_wake_fn *wake, void *arg);
void channel_leave(struct channel_member *member);

/* What comes next for the member, whom `wake` calls when that is CHANNEL_IDLE. Never CHANNEL_PIECE:
 * a piece is CHANNEL_FRAME. With CHANNEL_FRAME and CHANNEL_RESET *frame is what is to be sent, with
 * a reference. */
enum channel_next channel_member_next(struct channel_member *member, struct frame **frame);

/* See struct channel_source. */
bool channel_member_position(const struct channel_member *member, struct watch_position *position);

/* For the source: what it was made with, and where the member stands. */
void *channel_member_source(const struct channel_member *member);
void *channel_member_place(const struct channel_member *member);

/* A stream of this channel alone; see stream_new. */
struct stream *channel_add_stream(struct channel *channel, struct streams *streams, int fd,
                                  struct frame *head, const struct channel_start *start);

#endif
