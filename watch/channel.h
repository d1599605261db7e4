/* The pieces of a view's walks that were made lately, for whoever comes to the same place. */
#ifndef RUNTREE_WATCH_CHANNEL_H
#define RUNTREE_WATCH_CHANNEL_H

#include "server/memory.h"
#include "watch/stream.h"

struct frame_cache;

/* The caches of a loop that hold frames. */
struct frame_pool {
    struct memory *memory; /* frames draw from it; NULL: from none */
    struct frame_cache *warm;
};

/* NULL when out of memory. `memory` is borrowed; NULL: frames draw from none. */
struct frame_pool *frame_pool_new(struct memory *memory);
void frame_pool_free(struct frame_pool *pool); /* NULL does nothing */

/* Drops the frames that nobody has asked for since the last call. */
void frame_pool_cool(struct frame_pool *pool);

/* A piece as it was made for the first who stood at `before`. */
struct cached_frame {
    struct stream_position before, after;
    struct frame *frame; /* NULL: the piece has no record */
    enum stream_next next;
};

/* A plain value; all zero but for the pool. Its frames are of one state of what is walked. */
struct frame_cache {
    struct frame_pool *pool;
    struct frame_cache *prev, *next; /* in the pool, while it holds frames */
    int64_t version;
    struct cached_frame *entries; /* NULL: none are held */
    size_t put;                   /* so many into `entries`, a ring */
    bool was_used;                /* since the pool was cooled */
};

typedef bool same_place_fn(const struct stream_position *a, const struct stream_position *b);

/* The piece that was made of `version` at `position`; NULL: there is none. Frames of another
 * version are dropped. */
const struct cached_frame *frame_cache_find(struct frame_cache *cache, int64_t version,
                                            const struct stream_position *position,
                                            same_place_fn *is_same_place);

/* Keeps a piece of the version that was last looked for, with a reference to its frame; it is not
 * kept when out of memory. */
void frame_cache_put(struct frame_cache *cache, const struct cached_frame *piece);

void frame_cache_drop(struct frame_cache *cache);

#endif
