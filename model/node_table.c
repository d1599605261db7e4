/* A run's nodes, by ordinal and by name. */
#include "model/node_table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/run_state_manager.h"

/* The first chunk has 16 nodes, each of the next as many as all before it, up to 1,024 nodes in
 * all; from there on each has 1,024. So a small run is small and a big one wastes little. */
enum { FIRST_CHUNK_BITS = 4, CHUNK_BITS = 10, GROWING_CHUNKS = CHUNK_BITS - FIRST_CHUNK_BITS };
enum { SLOTS_MIN = 32 };

static size_t chunk_of(size_t index)
{
    if (index >> CHUNK_BITS)
        return (index >> CHUNK_BITS) + GROWING_CHUNKS;
    if (index >> FIRST_CHUNK_BITS == 0)
        return 0;
    size_t highest_bit = 63 - (size_t)__builtin_clzll(index);
    return highest_bit - FIRST_CHUNK_BITS + 1;
}

static size_t chunk_start(size_t chunk)
{
    if (chunk > GROWING_CHUNKS)
        return (chunk - GROWING_CHUNKS) << CHUNK_BITS;
    return chunk ? (size_t)1 << (FIRST_CHUNK_BITS + chunk - 1) : 0;
}

static size_t chunk_length(size_t chunk)
{
    return chunk_start(chunk + 1) - chunk_start(chunk);
}

void node_table_init(struct node_table *table)
{
    /* Address space randomisation is enough to keep names from being chosen to collide. */
    *table = (struct node_table){.seed = (uint64_t)(uintptr_t)table};
}

void node_table_free(struct node_table *table)
{
    for (size_t i = 0; i < table->chunk_count; i++)
        free(table->chunks[i]);
    free(table->chunks);
    free(table->slots);
    *table = (struct node_table){0};
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Eight bytes a step, each multiplied and folded (as in wyhash). The upper half is never used, so
 * the lower one is what counts. */
static uint32_t hash_name(const struct node_table *table, const char *name)
{
    size_t length = strlen(name);
    uint64_t hash = table->seed ^ length;
    while (length) {
        uint64_t word = 0;
        size_t step = length < sizeof word ? length : sizeof word;
        memcpy(&word, name, step);
        hash = mix(hash ^ word ^ UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xd1b54a32d192ed03));
        name += step;
        length -= step;
    }
    return (uint32_t)(hash ^ hash >> 32);
}

static uint32_t slot_ordinal(uint64_t slot)
{
    return (uint32_t)slot;
}

/* Puts an entry into the first free slot from its hash on. */
static void place(uint64_t *slots, size_t slot_count, uint64_t entry)
{
    size_t at = (size_t)(entry >> 32) & (slot_count - 1);
    while (slots[at])
        at = (at + 1) & (slot_count - 1);
    slots[at] = entry;
}

/* Keeps a third of the slots free or more, so that searches stay short. */
static int reserve_slots(struct node_table *table, size_t count)
{
    size_t slot_count = table->slot_count ? table->slot_count : SLOTS_MIN;
    while (count > slot_count / 3 * 2)
        slot_count *= 2;
    if (slot_count == table->slot_count)
        return 0;
    uint64_t *slots = calloc(slot_count, sizeof *slots);
    if (!slots)
        return -ENOMEM;
    for (size_t i = 0; i < table->slot_count; i++)
        if (table->slots[i])
            place(slots, slot_count, table->slots[i]);
    free(table->slots);
    table->slots = slots;
    table->slot_count = slot_count;
    return 0;
}

int node_table_reserve(struct node_table *table, size_t more)
{
    size_t count = table->count + more;
    if (more == 0)
        return 0;
    size_t chunk_count = chunk_of(count - 1) + 1;
    if (chunk_count > table->chunk_count) {
        struct run_node **chunks = realloc(table->chunks, chunk_count * sizeof(*chunks));
        if (!chunks)
            return -ENOMEM;
        table->chunks = chunks;
    }
    while (table->chunk_count < chunk_count) {
        size_t length = chunk_length(table->chunk_count);
        assert(length > 0);
        struct run_node *chunk = calloc(length, sizeof *chunk);
        if (!chunk)
            return -ENOMEM;
        table->chunks[table->chunk_count++] = chunk;
    }
    return reserve_slots(table, count);
}

struct run_node *node_table_at(const struct node_table *table, size_t index)
{
    size_t chunk = chunk_of(index);
    return &table->chunks[chunk][index - chunk_start(chunk)];
}

struct run_node *node_table_find(const struct node_table *table, const char *name)
{
    if (table->slot_count == 0)
        return NULL;
    uint32_t hash = hash_name(table, name);
    size_t at = hash & (table->slot_count - 1);
    for (; table->slots[at]; at = (at + 1) & (table->slot_count - 1)) {
        if (table->slots[at] >> 32 != hash)
            continue;
        struct run_node *node = node_table_at(table, slot_ordinal(table->slots[at]) - 1);
        if (strcmp(node->action.name, name) == 0)
            return node;
    }
    return NULL;
}

struct run_node *node_table_add(struct node_table *table, const char *name)
{
    struct run_node *node = node_table_at(table, table->count++);
    *node = (struct run_node){.action.name = name};
    place(table->slots, table->slot_count, (uint64_t)hash_name(table, name) << 32 | table->count);
    return node;
}

void node_table_undo_add(struct node_table *table)
{
    const struct run_node *node = node_table_at(table, table->count - 1);
    size_t at = hash_name(table, node->action.name) & (table->slot_count - 1);
    while (slot_ordinal(table->slots[at]) != table->count)
        at = (at + 1) & (table->slot_count - 1);
    table->slots[at] = 0; /* nothing was placed behind it that had to pass it */
    table->count--;
}

size_t node_table_bytes(const struct node_table *table)
{
    size_t nodes = chunk_start(table->chunk_count);
    return nodes * sizeof(struct run_node) + table->chunk_count * sizeof *table->chunks +
           table->slot_count * sizeof *table->slots;
}
