/* Memory that is given out piece by piece and freed all at once. */
#include "model/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Chunks double between these, so that a small arena stays small and a big one has few. */
enum { CHUNK_BYTES_MIN = 1024, CHUNK_BYTES_MAX = 64 * 1024 };

struct arena_chunk {
    struct arena_chunk *older;
    alignas(max_align_t) char bytes[];
};

/* Makes sure that `size` bytes are left. 0, or -1 when out of memory. */
static int make_room(struct arena *arena, size_t size)
{
    if (size <= arena->left)
        return 0;
    size_t bytes = arena->bytes < CHUNK_BYTES_MIN ? CHUNK_BYTES_MIN : arena->bytes;
    if (bytes > CHUNK_BYTES_MAX)
        bytes = CHUNK_BYTES_MAX;
    if (bytes < size)
        bytes = size;
    struct arena_chunk *chunk = malloc(sizeof *chunk + bytes);
    if (!chunk)
        return -1;
    chunk->older = arena->chunks;
    arena->chunks = chunk;
    arena->left = bytes;
    arena->bytes += bytes;
    return 0;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    const size_t alignment = alignof(max_align_t);
    if (size > SIZE_MAX / 2 || make_room(arena, size + alignment) != 0)
        return NULL;
    arena->left -= size;
    arena->left -= arena->left % alignment;
    return memset(arena->chunks->bytes + arena->left, 0, size);
}

char *arena_alloc_text(struct arena *arena, size_t size)
{
    if (make_room(arena, size) != 0)
        return NULL;
    arena->left -= size;
    return arena->chunks->bytes + arena->left;
}

char *arena_copy(struct arena *arena, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = arena_alloc_text(arena, size);
    return copy ? memcpy(copy, text, size) : NULL;
}

void arena_free(struct arena *arena)
{
    while (arena->chunks) {
        struct arena_chunk *older = arena->chunks->older;
        free(arena->chunks);
        arena->chunks = older;
    }
    *arena = (struct arena){0};
}
