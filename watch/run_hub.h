/* Keeps the trees of watched runs up with the database: one hub for each run that somebody watches.
 *
 * A notification, a poll, a reconnect or a watcher who knows more make a hub read what changed
 * since its revision (one read in flight for each hub, coalesced), unless it was handed what this
 * process wrote; what comes goes into its run_state_manager and, at most once in a flush interval
 * on average, to its watchers. */
#ifndef RUNTREE_WATCH_RUN_HUB_H
#define RUNTREE_WATCH_RUN_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "model/decide.h"
#include "model/run_view.h"
#include "model/stream_id.h"
#include "server/log.h"
#include "server/metrics.h"
#include "sql/action_repo.h"
#include "watch/channel.h"

struct run_hubs;
struct run_hub;
struct hub_view;

struct run_hubs_options {
    uint64_t flush_interval_ms;
    uint64_t linger_ms;        /* a hub without users is dropped after so long */
    struct memory *memory;     /* borrowed; trees and views draw from it */
    struct channels *channels; /* borrowed */
    struct metrics *metrics;   /* borrowed */
    bool *is_due;              /* set while run_hubs_run has something to do */
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

/* Once per turn of the loop: flushes what is due. */
void run_hubs_run(struct run_hubs *hubs);

/* What this process has just committed, as decision_run_rows and decision_action_rows have it:
 * trees that are where it begins take it, and are not read for it. */
void run_hubs_take(struct run_hubs *hubs, const struct run_row *changes, size_t count,
                   const struct action_row *rows, size_t row_count);

/* The run is said to be at `revision`; 0: it was deleted. */
void run_hubs_hear(struct run_hubs *hubs, const struct run_key *run, int64_t revision);

/* The repo has a session, perhaps with another database, or something was missed: every hub reads.
 */
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

int64_t run_hub_revision(const struct run_hub *hub); /* 0: the tree is not there */

/* Borrowed until the next turn of the loop, or, while somebody holds it, until the hold says that
 * it is gone; NULL: it is not there. */
struct run_state_manager *run_hub_tree(struct run_hub *hub);

/* Whether the tree is there and every action in it is terminal. */
bool run_hub_is_ended(const struct run_hub *hub);

/* Brings the account up to date with what the tree holds: to be called when records of it were made
 * or held. */
void run_hub_account(struct run_hub *hub);

/* The revision of the action's last change that a watcher sees; 0: the tree has no such action, or
 * is not there. */
int64_t run_hub_action_revision(const struct run_hub *hub, const char *name);

/* Who wants to know that the tree has moved, or is not there any more: at flushes, as watchers hear
 * it. */
struct hub_listener {
    struct hub_listener *prev, *next;
    void (*on_moved)(void *arg); /* must not touch the hub */
    void *arg;
};

/* From then on, until run_hub_unlisten; the hub must be referenced until then. */
void run_hub_listen(struct run_hub *hub, struct hub_listener *listener);
void run_hub_unlisten(struct run_hub *hub, struct hub_listener *listener);

/* -------- views: one filter over one hub -------- */

/* The view of `filter`, made if nobody has it, kept while it has streams or holds; each call wants
 * one hub_view_release. NULL when out of memory. `subscription` NULL: for streams of this view
 * alone. Else for streams of many: its records say that they belong to this subscription, whose
 * text says the filter, too, and have no id; and it tells of a run that does not exist. */
struct hub_view *run_hub_hold_view(struct run_hub *hub, const struct filter *filter,
                                   const char *subscription);
void hub_view_release(struct hub_view *view);

/* Whether there is room for what the view will know of the tree. */
bool hub_view_has_room(struct hub_view *view);

/* The hub's tree as the filter sees it now, borrowed until the next turn of the loop; what it knows
 * is brought up to date first, a part in a turn. 0; 1: call again in the next turn; -ENOMEM. The
 * hub's tree must be there. */
int hub_view_sync(struct hub_view *view, struct run_view **synced);

/* Whether what the client knows is of this run, this filter, this database, and not from the
 * future. */
bool hub_view_knows(const struct hub_view *view, const struct stream_id *id);

/* Where a watcher starts. */
struct hub_start {
    bool is_resuming; /* it has everything up to the revision `since`, and perhaps more */
    int64_t since;
    bool wants_reset;  /* first of all */
    bool is_following; /* goes on behind the end */
};

/* A stream of this view; see stream_new. */
struct stream *hub_view_add_stream(struct hub_view *view, struct streams *streams, int fd,
                                   struct frame *head, const struct hub_start *start);

/* -------- of a stream of many -------- */

/* By which an id finds what the client has of the run, as the filter shows it. */
uint64_t hub_view_key(const struct run_key *run, const struct filter *filter);

/* The same as hub_view_knows, of a position with the view's key. */
bool hub_view_knows_position(const struct hub_view *view, const struct watch_position *position);

/* A member of the view's channel; see channel_join. */
struct channel_member *hub_view_join(struct hub_view *view, const struct hub_start *start,
                                     channel_wake_fn *wake, void *arg);

/* See record_write_absent. */
void hub_view_write_absent(const struct hub_view *view, const char *reason, struct buffer *records);

#endif
