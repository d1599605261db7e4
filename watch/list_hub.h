/* Keeps the watch of the list of runs up with the database: one hub for all its watchers.
 *
 * Notified runs are gathered for a flush interval and read at once, by their keys. What was not
 * heard (after a lost connection, for a client that comes back with an old id, and now and then for
 * a notification that never came) is read by transaction id. */
#ifndef RUNTREE_WATCH_LIST_HUB_H
#define RUNTREE_WATCH_LIST_HUB_H

#include <uv.h>

#include "model/list_filter.h"
#include "model/list_order.h"
#include "server/log.h"
#include "server/metrics.h"
#include "sql/action_repo.h"
#include "sql/notify_listener.h"
#include "watch/channel.h"

struct list_hub;
struct list_view;

struct list_hub_options {
    uint64_t flush_interval_ms;
    uint64_t linger_ms;        /* without watchers it goes on for so long */
    struct memory *memory;     /* borrowed; what is known of runs draws from it */
    struct metrics *metrics;   /* borrowed */
    bool *is_due;              /* set while list_hub_run has something to do */
    struct channels *channels; /* borrowed */
};

struct list_hub_stats {
    size_t views, runs;
    uint64_t reads, resets;
};

/* NULL when out of memory. `repo` and `log` are borrowed. */
struct list_hub *list_hub_new(uv_loop_t *loop, struct action_repo *repo,
                              const struct list_hub_options *options, const struct log *log);

/* At the end, when there are no streams any more, and the repo is stopped. */
void list_hub_stop(struct list_hub *hub);
/* When the loop is empty; NULL is fine. */
void list_hub_free(struct list_hub *hub);

/* Once per turn of the loop: reads what is due. */
void list_hub_run(struct list_hub *hub);

/* A run is said to have changed. */
void list_hub_hear(struct list_hub *hub, const struct run_notification *notification);

/* Something may have been missed. */
void list_hub_read_all(struct list_hub *hub);

struct list_hub_stats list_hub_stats(const struct list_hub *hub);

/* -------- views: one filter over the list --------
 *
 * A stream starts with the snapshot (the newest runs, as the list has them) or, with a good id,
 * with every run that moved since; then it is told every move of a run that the filter covers. What
 * the filter says of phases holds for the snapshot: of the others the client knows itself whether
 * it wants them. */

/* The view of this filter, made if nobody has it, with a hold (list_view_release); it is dropped
 * some time after nobody uses it. `limit` is the size of the snapshot. `subscription` and `cell`
 * NULL: for streams of this view alone. Else for streams of many: its records say that they belong
 * to this subscription, and are of this cell, and have no id. With a cell the view is a part of a
 * list over several, see below. NULL when out of memory. */
struct list_view *list_hub_hold_view(struct list_hub *hub, const struct list_filter *filter,
                                     int32_t limit, const char *subscription, const char *cell);
void list_view_release(struct list_view *view);

/* Whether a client may go on at the id, as far as can be seen without the database. */
bool list_view_knows(const struct list_view *view, const char *id);

/* A stream of this view; see stream_new. It starts at `id`, or with a reset and a snapshot if that
 * is of no use; NULL: with the snapshot. */
struct stream *list_view_add_stream(struct list_view *view, struct streams *streams, int fd,
                                    struct frame *head, const char *id);

/* -------- of a stream of many -------- */

/* By which an id finds what the client has of such a view; `cell` NULL: of no part. */
uint64_t list_view_key(const struct list_filter *filter, const char *cell);

/* A member of the view's channel; see channel_join. It starts at the position, or with a reset and
 * a snapshot if that is NULL or of no use. */
struct channel_member *list_view_join(struct list_view *view, const struct watch_position *position,
                                      channel_wake_fn *wake, void *arg);

/* -------- of a list over several cells --------
 *
 * Such a view says nothing of `synced`, for that is of all parts together: its member is synced
 * when it has a position. */

/* A member that starts with as much of the snapshot as it is told to take, and until then is woken
 * when the snapshot is there. */
struct channel_member *list_view_join_merged(struct list_view *view, channel_wake_fn *wake,
                                             void *arg);

/* The runs of the snapshot that is there for such a member, until the next turn of the loop; NULL:
 * not yet. */
const struct list_order *list_member_snapshot(const struct channel_member *member);

/* The member has the newest `count` of them with *frame; NULL if that is none of them. 0 or
 * -ENOMEM. */
int list_member_take(struct channel_member *member, size_t count, struct frame **frame);

/* It takes all of them by itself. */
void list_member_take_all(struct channel_member *member);

/* How many runs a member was given up to when it was synced. */
int64_t list_member_runs(const struct channel_member *member);

#endif
