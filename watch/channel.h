/* Those who are told the same: the streams of one source, and the frames that they share.
 *
 * Each stream stands at a place in what the source has to tell. A place is bytes that only the
 * source understands; it knows neither streams nor frames that others have. Whoever comes to a
 * place where somebody stood lately is sent the piece that was made for him. */
#ifndef RUNTREE_WATCH_CHANNEL_H
#define RUNTREE_WATCH_CHANNEL_H

#include <stdint.h>

#include "server/memory.h"
#include "watch/stream.h"

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
    CHANNEL_END,   /* *frame (may be NULL) is the last */
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

    /* The client was told to forget everything. */
    void (*restart)(void *place);

    void (*write_heartbeat)(const void *source, struct buffer *records);

    /* The stream that stood at `place` is no more; the channel may be freed. */
    void (*on_left)(void *source, const void *place);
};

struct channel;

/* NULL when out of memory. */
struct channel *channel_new(struct channels *owner, const struct channel_source *source_class,
                            void *source);

/* There must be no streams any more; NULL does nothing. */
void channel_free(struct channel *channel);

size_t channel_stream_count(const struct channel *channel);

/* There is something new: what was made before is dropped, all streams ask. */
void channel_wake(struct channel *channel);

/* Each stream is sent `reset` and goes on at the start, or ends there if there will be nothing. */
void channel_reset(struct channel *channel, bool is_gone);

/* Drops the frames. */
void channel_forget(struct channel *channel);

struct channel_start {
    struct channel_place place;
    bool wants_reset; /* first of all */
    bool is_following;
};

/* A stream of this channel; see stream_new. */
struct stream *channel_add_stream(struct channel *channel, struct streams *streams, int fd,
                                  struct frame *head, const struct channel_start *start);

#endif
