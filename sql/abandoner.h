/* Gives up what nobody ended: in runs that are over, the actions that are not, once nothing was
 * heard of the run for a while. Each gets an event of the service's own, an ABORTED of the version
 * ABANDONED_VERSION that ends when the run did and loses to any end that comes later
 * (docs/model.md). Such events go the way of all others; of several processes one records each. */
#ifndef RUNTREE_SQL_ABANDONER_H
#define RUNTREE_SQL_ABANDONER_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct abandoner;
struct action_repo;
struct event_writers;

struct abandoner_options {
    struct action_repo *repo; /* borrowed, as the writers */
    struct event_writers *writers;
    int64_t after_us;                              /* 0: gives nothing up */
    void (*on_abandoned)(void *arg, size_t count); /* actions, of which that is committed */
    void *arg;
};

/* NULL when out of memory. */
struct abandoner *abandoner_new(uv_loop_t *loop, const struct abandoner_options *options);

/* At the end, before repo and writers are stopped. */
void abandoner_stop(struct abandoner *abandoner);
/* When the loop is empty; NULL is fine. */
void abandoner_free(struct abandoner *abandoner);

#endif
