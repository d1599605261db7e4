/* One filter over one hub: the frames that its watchers are sent, each made once. */
#ifndef RUNTREE_WATCH_HUB_VIEW_H
#define RUNTREE_WATCH_HUB_VIEW_H

#include "model/run_view.h"
#include "model/stream_id.h"
#include "watch/channel.h"
#include "watch/stream.h"

struct hub_view;

/* What the hub tells its views; borrowed, and kept up to date by the hub. */
struct hub_state {
    struct run_state_manager *manager; /* NULL: nothing to show (yet) */
    char incarnation[INCARNATION_SIZE];
    uint32_t timeline;
    struct frame_pool *frames; /* its account is the one for views, too */
};

struct hub_view_events {
    void (*on_left)(void *arg);   /* a stream leaves; the view may be freed */
    void (*on_walked)(void *arg); /* the tree holds more records than before */
};

/* NULL when out of memory. */
struct hub_view *hub_view_new(const struct hub_state *hub, const struct filter *filter,
                              const struct hub_view_events *events, void *arg);

/* There must be no streams any more. */
void hub_view_free(struct hub_view *view);

const struct filter *hub_view_filter(const struct hub_view *view);
size_t hub_view_stream_count(const struct hub_view *view);

/* What is known of the hub's tree: made when it is needed first. `bytes` of memory that this takes
 * more than is held now; 0: none. */
size_t hub_view_bytes_needed(const struct hub_view *view);

/* The hub's tree as the filter sees it now, borrowed until the next turn of the loop; what it knows
 * is brought up to date first, a part in a turn. 0; 1: call again in the next turn; -ENOMEM. The
 * hub must have a manager. */
int hub_view_sync(struct hub_view *view, struct run_view **synced);

/* The hub's manager is about to be freed: everything derived from it is dropped. */
void hub_view_forget(struct hub_view *view);

/* The manager has moved: wakes the streams. */
void hub_view_flush(struct hub_view *view);

/* What the clients know is worthless: each stream sends `reset`, and then the new snapshot, or
 * nothing more if the run `is_gone`. */
void hub_view_reset_streams(struct hub_view *view, bool is_gone);

/* A stream of this view; see stream_new. */
struct stream *hub_view_add_stream(struct hub_view *view, struct streams *streams, int fd,
                                   struct frame *head, const struct stream_position *position);

/* The `id` of the view's records at `revision`. */
void hub_view_stream_id(const struct hub_view *view, int64_t revision, bool is_end,
                        char out[static STREAM_ID_SIZE]);

#endif
