/* Memory that is given out piece by piece and freed all at once. */
#ifndef RUNTREE_MODEL_ARENA_H
#define RUNTREE_MODEL_ARENA_H

#include <stddef.h>

struct arena_chunk;

/* A plain value; all zero is empty. */
struct arena {
    struct arena_chunk *chunks; /* the newest first; pieces are cut off its end */
    size_t left;                /* bytes still free in it */
    size_t bytes;               /* of all chunks */
};

/* `size` bytes, zeroed and aligned for any type; NULL when out of memory. */
void *arena_alloc(struct arena *arena, size_t size);

/* `size` bytes for text: neither zeroed nor aligned; NULL when out of memory. */
char *arena_alloc_text(struct arena *arena, size_t size);

/* A copy of `text`, which must not be NULL; NULL when out of memory. */
char *arena_copy(struct arena *arena, const char *text);

void arena_free(struct arena *arena);

#endif
