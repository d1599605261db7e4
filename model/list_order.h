/* In which order the runs of a snapshot of the list stand: so that the snapshots of several cells
 * become one, of the newest of them all. */
#ifndef RUNTREE_MODEL_LIST_ORDER_H
#define RUNTREE_MODEL_LIST_ORDER_H

#include "model/buffer.h"
#include "model/run_key.h"

/* A plain value; all zero is empty. Once a buffer has failed the order is not to be used. */
struct list_order {
    struct buffer places; /* of the runs, each a struct of list_order.c */
    struct buffer paths;
};

void list_order_free(struct list_order *order);

/* One more run, which stands behind the others; the records of the snapshot have `end` bytes with
 * it. */
void list_order_add(struct list_order *order, int64_t shown_us, const struct run_key *key,
                    size_t end);

bool list_order_failed(const struct list_order *order);

size_t list_order_count(const struct list_order *order);

/* The bytes of the records of the first `count` runs. */
size_t list_order_end(const struct list_order *order, size_t count);

/* How many each of the `count` orders gives to the first `limit` of all their runs: into `taken`.
 * They are newest first by the time that is shown, then by project, domain and name, backwards. */
void list_order_merge(const struct list_order *const orders[], size_t count, size_t limit,
                      size_t taken[]);

#endif
