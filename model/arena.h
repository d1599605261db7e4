/* Memory that is given out piece by piece and freed all at once. */
#ifndef RUNTREE_MODEL_ARENA_H
#define RUNTREE_MODEL_ARENA_H

#include <stddef.h>

struct arena_chunk;

/* A plain value; all zero is empty. */
struct arena {
    struct arena_chunk *chunks; /* the newest first */
    size_t left;                /* bytes still free in it */
};

/* `size` bytes, zeroed and aligned for any type; NULL when out of memory. */
void *arena_alloc(struct arena *arena, size_t size);

/* A copy of `text`; NULL when out of memory. `text` must not be NULL. */
char *arena_copy(struct arena *arena, const char *text);

void arena_free(struct arena *arena);

#endif
