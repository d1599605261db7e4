/* One run's tree, and what changed in it since revision N. */
#include "model/run_state_manager.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "model/arena.h"
#include "model/buffer.h"
#include "model/records.h"

/* -------- the nodes, by ordinal and by name -------- */

/* Nodes never move. They lie in chunks in the order of their ordinals, so that a scan of the run
 * reads memory in order; names are found by an open-addressed table of 8 bytes a slot. */
struct node_table {
    struct run_node **chunks;
    size_t chunk_count;
    size_t count;
    uint64_t *slots; /* hash in the upper half, ordinal in the lower; 0 is free */
    size_t slot_count;
    uint64_t seed; /* of the hash: names come from outside */
};

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

static void node_table_init(struct node_table *table)
{
    /* Address space randomisation is enough to keep names from being chosen to collide. */
    *table = (struct node_table){.seed = (uint64_t)(uintptr_t)table};
}

/* Frees the table; what hangs off its nodes is the caller's. */
static void node_table_free(struct node_table *table)
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

/* Room for `more` nodes to be added. 0 or -ENOMEM. */
static int node_table_reserve(struct node_table *table, size_t more)
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

/* The node with index `index` (its ordinal less one), which must be below `count`. */
static struct run_node *node_table_at(const struct node_table *table, size_t index)
{
    size_t chunk = chunk_of(index);
    return &table->chunks[chunk][index - chunk_start(chunk)];
}

/* NULL if there is none. */
static struct run_node *node_table_find(const struct node_table *table, const char *name)
{
    if (table->slot_count == 0)
        return NULL;
    uint32_t hash = hash_name(table, name);
    size_t at = hash & (table->slot_count - 1);
    for (; table->slots[at]; at = (at + 1) & (table->slot_count - 1)) {
        if (table->slots[at] >> 32 != hash)
            continue;
        struct run_node *node = node_table_at(table, slot_ordinal(table->slots[at]) - 1);
        if (!node->action.is_removed && strcmp(node->action.name, name) == 0)
            return node;
    }
    return NULL;
}

/* Adds a node called `name`, which no other is and which the caller keeps as the node's
 * action.name; room must have been reserved. The node is all zero but for its name. */
static struct run_node *node_table_add(struct node_table *table, const char *name)
{
    struct run_node *node = node_table_at(table, table->count++);
    *node = (struct run_node){.action.name = name};
    place(table->slots, table->slot_count, (uint64_t)hash_name(table, name) << 32 | table->count);
    return node;
}

/* Undoes the last node_table_add that is not undone yet. */
static void node_table_undo_add(struct node_table *table)
{
    const struct run_node *node = node_table_at(table, table->count - 1);
    size_t at = hash_name(table, node->action.name) & (table->slot_count - 1);
    while (slot_ordinal(table->slots[at]) != table->count)
        at = (at + 1) & (table->slot_count - 1);
    table->slots[at] = 0; /* nothing was placed behind it that had to pass it */
    table->count--;
}

/* Bytes that the table holds, unused room included. */
static size_t node_table_bytes(const struct node_table *table)
{
    size_t nodes = chunk_start(table->chunk_count);
    return nodes * sizeof(struct run_node) + table->chunk_count * sizeof *table->chunks +
           table->slot_count * sizeof *table->slots;
}

/* -------- the nodes, by changed_revision -------- */

/* A list by newer and older. While a run is watched its changes come in order and go to the tail at
 * once. While it is read for the first time they come in the order of ordinals; then `buckets`
 * finds the place: for each range of 1 << `shift` revisions the newest node in it, or NULL. */
struct change_list {
    struct run_node *newest, *oldest;
    struct run_node **buckets;
    size_t bucket_count;
    unsigned shift;
};

/* Half a byte a revision, and half a megabyte at most: past it the ranges get wider. */
enum { SHIFT_MIN = 4, BUCKETS_MIN = 16, BUCKETS_MAX = 64 * 1024 };

/* All zero is an empty list but for `shift`. */
static void change_list_init(struct change_list *list)
{
    *list = (struct change_list){.shift = SHIFT_MIN};
}

static void change_list_free(struct change_list *list)
{
    free(list->buckets);
    change_list_init(list);
}

static size_t bucket_of(const struct change_list *list, int64_t revision)
{
    return (size_t)(revision >> list->shift);
}

/* Makes one range of each two. */
static void widen(struct change_list *list)
{
    size_t half = list->bucket_count / 2;
    for (size_t i = 0; i < half; i++) {
        struct run_node *newer = list->buckets[2 * i + 1];
        list->buckets[i] = newer ? newer : list->buckets[2 * i];
    }
    if (half)
        memset(list->buckets + half, 0, (list->bucket_count - half) * sizeof(*list->buckets));
    list->shift++;
}

/* Makes ready for revisions up to `revision`. 0 or -ENOMEM. */
static int change_list_reserve(struct change_list *list, int64_t revision)
{
    while (bucket_of(list, revision) >= BUCKETS_MAX)
        widen(list);
    size_t bucket_count = list->bucket_count ? list->bucket_count : BUCKETS_MIN;
    while (bucket_count <= bucket_of(list, revision))
        bucket_count *= 2;
    if (bucket_count == list->bucket_count)
        return 0;
    struct run_node **buckets = realloc(list->buckets, bucket_count * sizeof(*buckets));
    if (!buckets)
        return -ENOMEM;
    memset(buckets + list->bucket_count, 0, (bucket_count - list->bucket_count) * sizeof(*buckets));
    list->buckets = buckets;
    list->bucket_count = bucket_count;
    return 0;
}

static bool is_in_bucket(const struct change_list *list, const struct run_node *node, size_t bucket)
{
    return node && bucket_of(list, node->changed_revision) == bucket;
}

static void take_out(struct change_list *list, struct run_node *node)
{
    size_t bucket = bucket_of(list, node->changed_revision);
    if (!is_in_bucket(list, node->newer, bucket))
        list->buckets[bucket] = is_in_bucket(list, node->older, bucket) ? node->older : NULL;
    *(node->newer ? &node->newer->older : &list->newest) = node->older;
    *(node->older ? &node->older->newer : &list->oldest) = node->newer;
}

/* The newest node that is not newer than `revision`, NULL if there is none. */
static struct run_node *find_place(const struct change_list *list, int64_t revision)
{
    if (!list->newest || list->newest->changed_revision <= revision)
        return list->newest;
    size_t bucket = bucket_of(list, revision);
    struct run_node *place = list->buckets[bucket];
    while (place && place->changed_revision > revision)
        place = place->older;
    while (!place && bucket > 0)
        place = list->buckets[--bucket];
    return place;
}

/* Puts the node, which is in the list or has changed_revision 0, to where `revision` belongs. The
 * revision must be greater than the node's changed_revision, which it becomes, and have been
 * reserved. */
static void change_list_move(struct change_list *list, struct run_node *node, int64_t revision)
{
    if (node->changed_revision)
        take_out(list, node);
    struct run_node *place = find_place(list, revision);
    node->changed_revision = revision;
    node->older = place;
    node->newer = place ? place->newer : list->oldest;
    *(node->newer ? &node->newer->older : &list->newest) = node;
    *(node->older ? &node->older->newer : &list->oldest) = node;
    size_t bucket = bucket_of(list, revision);
    if (!is_in_bucket(list, node->newer, bucket))
        list->buckets[bucket] = node;
}

struct run_state_manager {
    int64_t revision;
    struct node_table nodes;
    struct change_list changes;
    struct arena texts; /* names, and the first strings of each node */
    uint32_t phase_counts[PHASE_SLOTS];
    size_t removed_count;
    size_t string_bytes, encoded_bytes; /* outside of `texts` */
    size_t next_to_forget;              /* of the records: where dropping them goes on */
    struct tree_hold *holds;            /* by revision */
    struct node_record *held;           /* records of nodes that changed since, oldest first */
    size_t held_bytes;
    struct buffer scratch; /* in which a record is built before its length is known */
};

/* -------- records -------- */

/* In place of the length of a record that is not kept. */
#define ENCODED_ONCE UINT32_MAX

/* The node has changed: forgets its record, if it is kept. */
static void node_update_forget(struct run_node *node)
{
    if (node->encoded) {
        node->manager->encoded_bytes -= node->encoded_length;
        free(node->encoded);
        node->encoded = NULL;
    }
    node->encoded_length = 0;
}

/* The record is only a cache, so a node that is const to the world may get one. */
static struct run_node *writable(const struct run_node *node)
{
    return node_table_at(&node->manager->nodes, (size_t)node->action.ordinal - 1);
}

/* Into the manager's buffer; NULL when out of memory. */
static const struct buffer *encode(const struct run_node *node)
{
    struct buffer *out = &node->manager->scratch;
    out->length = 0;
    record_write_node(out, &node->action, node->child_phase_counts);
    buffer_text(out, ",\"meetsFilter\":");
    if (!out->failed && out->length < ENCODED_ONCE)
        return out;
    buffer_free(out);
    return NULL;
}

/* A copy of what encode made; NULL when out of memory. */
static char *copy_encoded(const struct buffer *record)
{
    char *copy = malloc(record->length);
    if (copy)
        memcpy(copy, record->bytes, record->length);
    return copy;
}

const char *node_update_encode(const struct run_node *node, size_t *length)
{
    *length = node->encoded_length;
    if (node->encoded)
        return node->encoded;
    const struct buffer *record = encode(node);
    if (!record)
        return NULL;
    struct run_node *cache = writable(node);
    if (node->encoded_length == ENCODED_ONCE)
        cache->encoded = copy_encoded(record);
    cache->encoded_length = cache->encoded ? (uint32_t)record->length : ENCODED_ONCE;
    node->manager->encoded_bytes += cache->encoded ? record->length : 0;
    *length = record->length;
    return record->bytes;
}

/* -------- the tree as it was, for who reads it slowly -------- */

/* A record that a node had until it changed. */
struct node_record {
    struct node_record *prev, *next; /* of all nodes, in the order in which they changed */
    struct node_record *newer;       /* of the same node */
    struct run_node *node;
    int64_t until; /* those who hold an earlier revision want this record */
    size_t length;
    char *bytes;
};

/* It is its node's oldest one. */
static void free_oldest(struct run_state_manager *manager)
{
    struct node_record *oldest = manager->held;
    oldest->node->held = oldest->newer;
    manager->held_bytes -= sizeof *oldest + oldest->length;
    DL_DELETE(manager->held, oldest);
    free(oldest->bytes);
    free(oldest);
}

static void free_unwanted(struct run_state_manager *manager)
{
    while (manager->held && (!manager->holds || manager->held->until <= manager->holds->revision))
        free_oldest(manager);
}

void run_state_manager_hold(struct run_state_manager *manager, struct tree_hold *hold)
{
    *hold = (struct tree_hold){
        .manager = manager, .revision = manager->revision, .count = (int32_t)manager->nodes.count};
    DL_APPEND(manager->holds, hold);
}

static void lose(struct run_state_manager *manager, struct tree_hold *hold)
{
    DL_DELETE(manager->holds, hold);
    hold->manager = NULL;
}

void tree_hold_release(struct tree_hold *hold)
{
    struct run_state_manager *manager = hold->manager;
    if (!manager)
        return;
    lose(manager, hold);
    free_unwanted(manager);
}

void run_state_manager_end_holds(struct run_state_manager *manager)
{
    while (manager->holds)
        lose(manager, manager->holds);
}

const char *tree_hold_encode(const struct tree_hold *hold, int32_t ordinal, size_t *length)
{
    const struct run_node *node = run_state_manager_at(hold->manager, ordinal);
    for (const struct node_record *held = node->held; held; held = held->newer) {
        if (held->until > hold->revision) {
            *length = held->length;
            return held->bytes;
        }
    }
    return node_update_encode(node, length);
}

/* The node's record as it is, which becomes the caller's; NULL when out of memory. */
static struct node_record *take_record(struct run_node *node)
{
    struct node_record *record = malloc(sizeof *record);
    if (!record)
        return NULL;
    size_t length = node->encoded_length;
    char *bytes = node->encoded;
    if (!bytes) {
        const struct buffer *encoded = encode(node);
        bytes = encoded ? copy_encoded(encoded) : NULL;
        length = encoded ? encoded->length : 0;
    } else {
        node->manager->encoded_bytes -= length;
    }
    if (!bytes) {
        free(record);
        return NULL;
    }
    node->encoded = NULL;
    *record = (struct node_record){.node = node, .length = length, .bytes = bytes};
    return record;
}

static int keep_record(struct run_node *node)
{
    struct run_state_manager *manager = node->manager;
    struct node_record *record = take_record(node), **place = &node->held;
    if (!record)
        return -ENOMEM;
    record->until = manager->revision + 1;
    while (*place)
        place = &(*place)->newer;
    *place = record;
    DL_APPEND(manager->held, record);
    manager->held_bytes += sizeof *record + record->length;
    return 0;
}

/* Before a node, or what is below it, changes: keeps its record, and of those above it, for who
 * holds them. */
static void keep_records(struct run_node *node)
{
    struct run_state_manager *manager = node->manager;
    for (struct run_node *at = node; at && manager->holds; at = at->parent) {
        if (at->changed_revision == 0) /* it is new */
            continue;
        /* The last one holds the greatest revision. Whoever came after the node's last change has
         * it as it is, and those above it changed with it. */
        if (at->changed_revision > manager->holds->prev->revision)
            return;
        if (keep_record(at) != 0) {
            run_state_manager_end_holds(manager);
            free_unwanted(manager);
        }
    }
    while (manager->holds && manager->held_bytes > TREE_HELD_BYTES_MAX) {
        lose(manager, manager->holds);
        free_unwanted(manager);
    }
}

/* -------- life -------- */

struct run_state_manager *run_state_manager_new(void)
{
    struct run_state_manager *manager = calloc(1, sizeof *manager);
    if (!manager)
        return NULL;
    node_table_init(&manager->nodes);
    change_list_init(&manager->changes);
    return manager;
}

void run_state_manager_free(struct run_state_manager *manager)
{
    if (!manager)
        return;
    for (size_t i = 0; i < manager->nodes.count; i++) {
        struct run_node *node = node_table_at(&manager->nodes, i);
        free(node->strings);
        free(node->encoded);
    }
    run_state_manager_end_holds(manager);
    free_unwanted(manager);
    buffer_free(&manager->scratch);
    arena_free(&manager->texts);
    change_list_free(&manager->changes);
    node_table_free(&manager->nodes);
    free(manager);
}

/* -------- upserting -------- */

/* An action of an upsert after it was checked: everything that can fail is done. */
struct prepared {
    struct run_node *node;
    char *strings; /* a block for the node; NULL if it needs none, or keeps what it has */
    bool is_new, is_newer, replaces_strings;
    bool was_removed;
};

/* As many are prepared without asking for memory. */
enum { PREPARED_FEW = 16 };

static bool has_same_strings(const struct action *a, const struct action *b)
{
    for (size_t i = 0; i < ACTION_TEXTS; i++) {
        const char *text_a = action_text(a, i), *text_b = action_text(b, i);
        if (!text_a != !text_b || (text_a && strcmp(text_a, text_b) != 0))
            return false;
    }
    return true;
}

/* Copies the strings of `action` into a block. */
static void copy_strings(const struct action *action, char *block)
{
    struct action copy = *action;
    action_move_texts(&copy, block);
}

/* Points the strings of `action` into a block that copy_strings made of it. */
static void point_into_block(struct action *action, const char *block)
{
    for (size_t i = 0; i < ACTION_TEXTS; i++) {
        if (!action_text(action, i))
            continue;
        assert(block);
        action_set_text(action, i, block);
        block += strlen(block) + 1;
    }
}

static bool is_child_of(const struct run_node *node, const char *parent)
{
    if (!node->parent || !parent)
        return !node->parent && !parent;
    return strcmp(node->parent->action.name, parent) == 0;
}

static int prepare_held(struct prepared *prepared, struct run_node *node,
                        const struct action *action)
{
    /* They lie anywhere in memory and are written to when the node moves in the list of changes:
     * fetching them while the names are compared makes an upsert a fifth cheaper. */
    __builtin_prefetch(node->newer, 1);
    __builtin_prefetch(node->older, 1);
    if (strcmp(action->name, node->action.name) != 0 ||
        (!action->is_removed && !is_child_of(node, action->parent)))
        return -EINVAL;
    prepared->node = node;
    prepared->is_newer = action->revision > node->action.revision;
    prepared->was_removed = node->action.is_removed;
    prepared->replaces_strings = prepared->is_newer && !has_same_strings(action, &node->action);
    size_t size = prepared->replaces_strings ? action_texts_size(action) : 0;
    if (size == 0)
        return 0;
    prepared->strings = malloc(size);
    if (!prepared->strings)
        return -ENOMEM;
    copy_strings(action, prepared->strings);
    return 0;
}

/* The first strings of a node lie right behind its name, which never changes: a child's
 * action.parent points to it. Strings that replace them get a block of their own. */
static int prepare_new(struct run_state_manager *manager, struct prepared *prepared,
                       const struct action *action)
{
    struct run_node *parent =
        action->parent ? node_table_find(&manager->nodes, action->parent) : NULL;
    if (!action->is_removed &&
        ((action->parent && !parent) || node_table_find(&manager->nodes, action->name)))
        return -EINVAL;
    size_t name_size = strlen(action->name) + 1;
    char *name = arena_alloc_text(&manager->texts, name_size + action_texts_size(action));
    if (!name)
        return -ENOMEM;
    memcpy(name, action->name, name_size);
    copy_strings(action, name + name_size);
    prepared->node = node_table_add(&manager->nodes, name);
    prepared->node->manager = manager;
    prepared->node->parent = parent;
    prepared->node->action.is_removed = action->is_removed;
    prepared->is_new = prepared->is_newer = true;
    return 0;
}

static int prepare(struct run_state_manager *manager, struct prepared *prepared,
                   const struct action *action, int64_t revision)
{
    *prepared = (struct prepared){0};
    if (action->ordinal < 1 || action->revision < 1 || action->revision > revision ||
        phase_from_index((int64_t)action->phase) == PHASE_NONE)
        return -EINVAL;
    size_t index = (size_t)action->ordinal - 1;
    if (index > manager->nodes.count)
        return -EINVAL;
    if (index == manager->nodes.count)
        return prepare_new(manager, prepared, action);
    int status = prepare_held(prepared, node_table_at(&manager->nodes, index), action);
    if (status == 0 && prepared->is_newer) /* at once: its name is free for those behind it */
        prepared->node->action.is_removed = action->is_removed;
    return status;
}

static void undo_prepare(struct run_state_manager *manager, struct prepared *prepared)
{
    prepared->node->action.is_removed = prepared->was_removed;
    free(prepared->strings);
    if (prepared->is_new)
        node_table_undo_add(&manager->nodes);
}

/* Prepares all or nothing. */
static int prepare_all(struct run_state_manager *manager, struct prepared *prepared,
                       const struct action *actions, size_t count, int64_t revision)
{
    int32_t ordinal = 0;
    for (size_t i = 0; i < count; i++) {
        int status = actions[i].ordinal > ordinal
                         ? prepare(manager, &prepared[i], &actions[i], revision)
                         : -EINVAL;
        if (status != 0) {
            while (i-- > 0)
                undo_prepare(manager, &prepared[i]);
            return status;
        }
        ordinal = actions[i].ordinal;
    }
    return 0;
}

static void count_phase(struct run_node *node, enum phase before, enum phase now)
{
    struct run_state_manager *manager = node->manager;
    if (before == now)
        return;
    manager->phase_counts[before] -= before != PHASE_NONE;
    manager->phase_counts[now] += now != PHASE_NONE;
    for (struct run_node *at = node->parent; at; at = at->parent) {
        at->child_phase_counts[before] -= before != PHASE_NONE;
        at->child_phase_counts[now] += now != PHASE_NONE;
        node_update_forget(at);
    }
}

static void replace_strings(struct run_node *node, struct action *action, char *block)
{
    struct run_state_manager *manager = node->manager;
    if (node->strings)
        manager->string_bytes -= action_texts_size(&node->action);
    free(node->strings);
    node->strings = block;
    if (block)
        manager->string_bytes += action_texts_size(action);
    point_into_block(action, block);
}

static void keep_strings(const struct run_node *node, struct action *action)
{
    for (size_t i = 0; i < ACTION_TEXTS; i++)
        action_set_text(action, i, action_text(&node->action, i));
}

static void apply(struct run_state_manager *manager, const struct prepared *prepared,
                  const struct action *given)
{
    struct run_node *node = prepared->node;
    struct action action = *given;
    enum phase phase_before = prepared->was_removed ? PHASE_NONE : node->action.phase;
    if (!prepared->is_newer)
        return;
    manager->removed_count += action.is_removed && !prepared->was_removed;
    keep_records(node);
    action.name = node->action.name;
    action.parent = node->parent ? node->parent->action.name : NULL;
    if (prepared->is_new)
        point_into_block(&action, action.name + strlen(action.name) + 1);
    else if (prepared->replaces_strings)
        replace_strings(node, &action, prepared->strings);
    else
        keep_strings(node, &action);
    node->action = action;
    count_phase(node, phase_before, action.is_removed ? PHASE_NONE : action.phase);
    node_update_forget(node);
    /* An ancestor that has this revision, or a later one, has it from another node, and so have
     * those above it. */
    for (struct run_node *at = node; at && at->changed_revision < action.revision; at = at->parent)
        change_list_move(&manager->changes, at, action.revision);
}

/* As run_state_manager_upsert_actions, with room for `count` in `prepared`. */
static int upsert(struct run_state_manager *manager, struct prepared *prepared,
                  const struct action *actions, size_t count, int64_t revision)
{
    size_t last = count ? (size_t)actions[count - 1].ordinal : 0;
    size_t held = manager->nodes.count;
    if (node_table_reserve(&manager->nodes, last > held ? count : 0) != 0 ||
        change_list_reserve(&manager->changes, revision) != 0)
        return -ENOMEM;
    int status = prepare_all(manager, prepared, actions, count, revision);
    if (status != 0)
        return status;
    for (size_t i = 0; i < count; i++)
        apply(manager, &prepared[i], &actions[i]);
    manager->revision = revision;
    return 0;
}

int run_state_manager_upsert_actions(struct run_state_manager *manager,
                                     const struct action *actions, size_t count, int64_t revision)
{
    if (revision < manager->revision)
        return -EINVAL;
    if (count <= PREPARED_FEW) {
        struct prepared few[PREPARED_FEW];
        return upsert(manager, few, actions, count, revision);
    }
    struct prepared *many = malloc(count * sizeof *many);
    if (!many)
        return -ENOMEM;
    int status = upsert(manager, many, actions, count, revision);
    free(many);
    return status;
}

/* -------- reading -------- */

int64_t run_state_manager_revision(const struct run_state_manager *manager)
{
    return manager->revision;
}

size_t run_state_manager_count(const struct run_state_manager *manager)
{
    return manager->nodes.count;
}

size_t run_state_manager_live_count(const struct run_state_manager *manager)
{
    return manager->nodes.count - manager->removed_count;
}

const uint32_t *run_state_manager_phase_counts(const struct run_state_manager *manager)
{
    return manager->phase_counts;
}

bool run_state_manager_is_ended(const struct run_state_manager *manager)
{
    size_t terminal = 0;
    for (int phase = PHASE_QUEUED; phase < PHASE_SLOTS; phase++)
        if (phase_is_terminal((enum phase)phase))
            terminal += manager->phase_counts[phase];
    return terminal > 0 && terminal == run_state_manager_live_count(manager);
}

const struct run_node *run_state_manager_find(const struct run_state_manager *manager,
                                              const char *name)
{
    return node_table_find(&manager->nodes, name);
}

const struct run_node *run_state_manager_at(const struct run_state_manager *manager,
                                            int32_t ordinal)
{
    return node_table_at(&manager->nodes, (size_t)ordinal - 1);
}

const struct run_node *run_state_manager_newest(const struct run_state_manager *manager)
{
    return manager->changes.newest;
}

size_t run_state_manager_bytes(const struct run_state_manager *manager)
{
    return sizeof *manager + node_table_bytes(&manager->nodes) +
           manager->changes.bucket_count * sizeof(*manager->changes.buckets) +
           manager->texts.bytes + manager->string_bytes + manager->encoded_bytes +
           manager->held_bytes + manager->scratch.capacity;
}

bool run_state_manager_drop_encoded(struct run_state_manager *manager, size_t nodes)
{
    for (; nodes > 0 && manager->encoded_bytes > 0; nodes--) {
        if (manager->next_to_forget >= manager->nodes.count)
            manager->next_to_forget = 0;
        node_update_forget(node_table_at(&manager->nodes, manager->next_to_forget++));
    }
    if (manager->encoded_bytes == 0)
        buffer_free(&manager->scratch);
    return manager->encoded_bytes > 0;
}
