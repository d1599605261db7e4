/* Keeps the trees of watched runs up with the database: one hub for each run that somebody watches.
 *
 * A notification, a poll, a reconnect or a watcher who knows more make a hub read what changed
 * since its revision (one read in flight for each hub, coalesced); what comes goes into its
 * run_state_manager and, at most once in a flush interval, to its watchers. */
#ifndef RUNTREE_WATCH_RUN_HUB_H
#define RUNTREE_WATCH_RUN_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "server/log.h"
#include "sql/action_repo.h"
#include "watch/hub_view.h"

struct run_hubs;
struct run_hub;

struct run_hubs_options {
    uint64_t flush_interval_ms;
    uint64_t linger_ms;        /* a hub without users is dropped after so long */
    struct frame_pool *frames; /* borrowed; its account is the one for trees and views, too */
    /* Called at a flush to watchers of a live tree, with the time since the first notification of
     * what it sends was heard. */
    void (*on_flushed)(void *arg, uint64_t lag_ns);
    void *arg;
};

struct run_hubs_stats {
    size_t hubs, views, nodes;
    uint64_t reads, polled, resets;
};

/* NULL when out of memory. `repo` and `log` are borrowed. */
struct run_hubs *run_hubs_new(uv_loop_t *loop, struct action_repo *repo,
                              const struct run_hubs_options *options, const struct log *log);

/* At the end, when there are no streams and no waiters any more (run_hubs_abandon), and the repo is
 * stopped. */
void run_hubs_stop(struct run_hubs *hubs);
/* When the loop is empty; NULL is fine. */
void run_hubs_free(struct run_hubs *hubs);

/* Once per turn of the loop: flushes what is due. Whether there is work for the next turn. */
bool run_hubs_run(struct run_hubs *hubs);

/* `revision` 0: the run was deleted. */
void run_hubs_moved(struct run_hubs *hubs, const struct run_key *run, int64_t revision);

/* Something may have been missed: every hub reads. */
void run_hubs_read_all(struct run_hubs *hubs);

/* Whoever waits is told HUB_UNAVAILABLE. */
void run_hubs_abandon(struct run_hubs *hubs);

struct run_hubs_stats run_hubs_stats(const struct run_hubs *hubs);

/* The run's hub, with a reference, into *opened. 0; -ENOBUFS: there is no room for more (trees that
 * nobody uses make room first); -ENOMEM. Then *opened is NULL. A hub is kept while it has
 * references, and one that has a tree for the time of linger_ms behind them. */
int run_hub_open(struct run_hubs *hubs, const struct run_key *run, struct run_hub **opened);
void run_hub_release(struct run_hub *hub);

enum hub_outcome {
    HUB_LIVE,   /* the tree is there */
    HUB_ABSENT, /* there is no such run */
    HUB_UNAVAILABLE,
    HUB_NO_ROOM, /* for the tree */
};
typedef void hub_ready_fn(void *arg, enum hub_outcome outcome);

/* Calls `fn` once, perhaps before the return: when the hub's tree is at `at_least` or has been read
 * after this call. The caller keeps its reference until then. 0 or -ENOMEM (then it is not called).
 */
int run_hub_when_read(struct run_hub *hub, int64_t at_least, hub_ready_fn *fn, void *arg);

/* Calls `fn` once, in the next turn of the loop: for work on the tree that is too much for one
 * turn. If the tree is not there any more, when it has been read again. The caller keeps its
 * reference until then. 0 or -ENOMEM (then it is not called). */
int run_hub_next_turn(struct run_hub *hub, hub_ready_fn *fn, void *arg);

/* The tree, and what ids are made of. */
const struct hub_state *run_hub_state(const struct run_hub *hub);
int64_t run_hub_revision(const struct run_hub *hub);

/* The view of `filter`, made if nobody has it, kept while it has streams or holds; each call wants
 * one run_hub_release_view. NULL when out of memory. */
struct hub_view *run_hub_hold_view(struct run_hub *hub, const struct filter *filter);
void run_hub_release_view(struct run_hub *hub, struct hub_view *view);

/* Brings the account up to date with what the tree holds: to be called when records of it were made
 * or held. */
void run_hub_account(struct run_hub *hub);

/* Whether there is room for what the view will know of the tree; the hub's tree is there. */
bool run_hub_has_room_for(struct run_hub *hub, const struct hub_view *view);

#endif
