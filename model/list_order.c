#include "model/list_order.h"

struct place {
    int64_t shown_us;
    size_t path; /* in the paths */
    size_t end;
};

void list_order_free(struct list_order *order)
{
    buffer_free(&order->places);
    buffer_free(&order->paths);
    *order = (struct list_order){0};
}

void list_order_add(struct list_order *order, int64_t shown_us, const struct run_key *key,
                    size_t end)
{
    const struct place place = {.shown_us = shown_us, .path = order->paths.length, .end = end};
    char path[RUN_PATH_SIZE];

    run_key_path(key, path);
    buffer_append(&order->paths, path, strlen(path) + 1);
    buffer_append(&order->places, (const char *)&place, sizeof place);
}

bool list_order_failed(const struct list_order *order)
{
    return order->places.failed || order->paths.failed;
}

size_t list_order_count(const struct list_order *order)
{
    return order->places.length / sizeof(struct place);
}

static struct place place_at(const struct list_order *order, size_t number)
{
    struct place place;

    memcpy(&place, order->places.bytes + number * sizeof place, sizeof place);
    return place;
}

size_t list_order_end(const struct list_order *order, size_t count)
{
    return count == 0 ? 0 : place_at(order, count - 1).end;
}

/* A path's order is that of its parts: the separator is less than whatever a part may have. */
static bool is_before(const struct list_order *a, size_t of_a, const struct list_order *b,
                      size_t of_b)
{
    const struct place one = place_at(a, of_a), other = place_at(b, of_b);

    if (one.shown_us != other.shown_us)
        return one.shown_us > other.shown_us;
    return strcmp(a->paths.bytes + one.path, b->paths.bytes + other.path) > 0;
}

void list_order_merge(const struct list_order *const orders[], size_t count, size_t limit,
                      size_t taken[])
{
    memset(taken, 0, count * sizeof *taken);
    for (; limit > 0; limit--) {
        size_t next = count;

        for (size_t i = 0; i < count; i++)
            if (taken[i] < list_order_count(orders[i]) &&
                (next == count || is_before(orders[i], taken[i], orders[next], taken[next])))
                next = i;
        if (next == count)
            return;
        taken[next]++;
    }
}
