/* One filter over the list of runs: the frames that its watchers are sent, each made once.
 *
 * A stream starts with the snapshot (the newest runs, as the list has them) or, with a good id,
 * with every run that moved since; then it walks along the runs that moved. A filter by phase
 * means: runs in these phases, and each of the others at least once when it leaves them. */
#ifndef RUNTREE_WATCH_LIST_VIEW_H
#define RUNTREE_WATCH_LIST_VIEW_H

#include "model/list_filter.h"
#include "model/list_stream_id.h"
#include "model/moved_runs.h"
#include "server/log.h"
#include "sql/action_repo.h"
#include "watch/channel.h"

struct list_view;

/* What the hub tells its views; borrowed, and kept up to date by the hub. */
struct list_state {
    struct action_repo *repo;
    const struct log *log;
    struct frame_pool *frames;
    struct moved_runs *runs;
    bool is_started;
    uint32_t timeline;
    int64_t heard_below; /* all moves of transactions below it are known */
    int64_t none_from;   /* no transaction from here on has been seen */
    int64_t reads_begun; /* of what moved since a transaction; numbers the reads */
    int64_t reads_done;
};

/* A stream wants to know what moved since this transaction. False: that is too much. */
typedef bool list_want_fn(void *arg, int64_t xid);

/* NULL when out of memory. `limit` is the size of the snapshot. */
struct list_view *list_view_new(const struct list_state *hub, const struct list_filter *filter,
                                int32_t limit, list_want_fn *want, void *arg);

/* It must not be in use any more (have a stream, a hold, or a read under way), unless the repo is
 * closed. */
void list_view_free(struct list_view *view);
bool list_view_is_used(const struct list_view *view);
void list_view_hold(struct list_view *view);
void list_view_release(struct list_view *view);

bool list_view_is(const struct list_view *view, const struct list_filter *filter, int32_t limit);

/* The hub's state has changed: wakes the streams. */
void list_view_flush(struct list_view *view);

/* Reads a snapshot that could not be read before. */
void list_view_retry(struct list_view *view);

/* Where a client starts. `id_text` NULL: with a snapshot; else at the id, or with a reset and a
 * snapshot if it can be seen that the id is of no use. */
struct stream_position list_view_start(const struct list_view *view, const char *id_text);

/* A stream of this view; see stream_new. */
struct stream *list_view_add_stream(struct list_view *view, struct streams *streams, int fd,
                                    struct frame *head, const struct stream_position *position);

#endif
