#include "watch/channel.h"

#include <stdlib.h>
#include <utlist.h>

enum { ENTRIES_MAX = 16 };

void frame_cache_drop(struct frame_cache *cache)
{
    if (cache->entries == NULL)
        return;
    for (size_t i = 0; i < ENTRIES_MAX; i++)
        frame_release(cache->entries[i].frame);
    free(cache->entries);
    cache->entries = NULL;
    cache->put = 0;
    DL_DELETE(cache->pool->warm, cache);
}

struct frame_pool *frame_pool_new(struct memory *memory)
{
    struct frame_pool *pool = calloc(1, sizeof *pool);

    if (pool != NULL)
        pool->memory = memory;
    return pool;
}

void frame_pool_free(struct frame_pool *pool)
{
    free(pool);
}

void frame_pool_cool(struct frame_pool *pool)
{
    struct frame_cache *cache, *next;

    DL_FOREACH_SAFE (pool->warm, cache, next) {
        if (!cache->was_used)
            frame_cache_drop(cache);
        cache->was_used = false;
    }
}

const struct cached_frame *frame_cache_find(struct frame_cache *cache, int64_t version,
                                            const struct stream_position *position,
                                            same_place_fn *is_same_place)
{
    if (cache->version != version)
        frame_cache_drop(cache);
    cache->version = version;
    for (size_t i = 0; i < cache->put && i < ENTRIES_MAX; i++) {
        const struct cached_frame *entry = &cache->entries[i];

        if (!is_same_place(&entry->before, position))
            continue;
        cache->was_used = true;
        return entry;
    }
    return NULL;
}

void frame_cache_put(struct frame_cache *cache, const struct cached_frame *piece)
{
    struct cached_frame *entry;

    if (cache->entries == NULL) {
        cache->entries = calloc(ENTRIES_MAX, sizeof *cache->entries);
        if (cache->entries == NULL)
            return;
        DL_APPEND(cache->pool->warm, cache);
    }
    entry = &cache->entries[cache->put++ % ENTRIES_MAX];
    frame_release(entry->frame);
    *entry = *piece;
    if (entry->frame != NULL)
        frame_keep(entry->frame);
    cache->was_used = true;
}
