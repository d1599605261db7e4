/* A run's nodes in the order of their changed_revision. */
#include "model/change_list.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "model/run_state_manager.h"

/* Half a byte a revision, and half a megabyte at most: past it the ranges get wider. */
enum { SHIFT_MIN = 4, BUCKETS_MIN = 16, BUCKETS_MAX = 64 * 1024 };

void change_list_init(struct change_list *list)
{
    *list = (struct change_list){.shift = SHIFT_MIN};
}

void change_list_free(struct change_list *list)
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

int change_list_reserve(struct change_list *list, int64_t revision)
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

void change_list_move(struct change_list *list, struct run_node *node, int64_t revision)
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
