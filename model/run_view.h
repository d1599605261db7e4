/* What one filter sees of a run's tree. Flyte's rules: a node is visible if it matches or has a
 * matching descendant. Shared by all watchers with that filter. */
#ifndef RUNTREE_MODEL_RUN_VIEW_H
#define RUNTREE_MODEL_RUN_VIEW_H

#include "model/filter.h"
#include "model/json_buffer.h"
#include "model/run_state_manager.h"

struct run_view;

/* A view over `manager`, which must outlive it, synced to it. NULL when out of memory. */
struct run_view *run_view_new(struct run_state_manager *manager, const struct filter *filter);
void run_view_free(struct run_view *view);

/* Catches up with the manager, in time proportional to what changed and its depth; to be called
 * before anything is read from the view. 0 or -ENOMEM (then call again; nothing is lost). */
int run_view_sync(struct run_view *view);

int64_t run_view_revision(const struct run_view *view);
size_t run_view_visible_count(const struct run_view *view);
bool run_view_is_visible(const struct run_view *view, const struct run_node *node);

/* What to do with a node that changed after `since`, for a client that has everything up to `since`
 * (0: nothing). */
enum view_verdict {
    VIEW_SKIP,   /* it is hidden, and the client cannot have it */
    VIEW_SHOW,   /* send it, meetsFilter true */
    VIEW_REMOVE, /* send it, meetsFilter false: the client may have it */
};

/* A hidden node is VIEW_REMOVE if it became hidden after `since`, or if the view cannot know: it
 * knows the revisions to which it was synced lately, not those before it was made or between two
 * syncs, where a client may come from that resumes from another replica. */
enum view_verdict run_view_verdict(const struct run_view *view, const struct run_node *node,
                                   int64_t since);

/* Where a walk stands: everything that changed after `since`, in order of ordinal. */
struct view_walk {
    int64_t since;        /* what the client has */
    int32_t next_ordinal; /* 1 at the start */
    int64_t target;       /* the view's revision at the start: what the client has at the end */
};

/* A record of run_view_walk; `bytes` are everything up to the value of meetsFilter. */
typedef void view_record_fn(void *arg, const char *bytes, size_t length, bool meets_filter);

/* Starts a walk at the view's present revision. */
struct view_walk run_view_walk_begin(const struct run_view *view, int64_t since);

enum { VIEW_WALK_LIST_MAX = 512 };

/* Hands out the walk's next records, parents first, until about `bytes_max` bytes are out or
 * nothing is left. 1: done; 0: there is more, call again; -ENOMEM: call again, nothing is lost or
 * repeated. Costs time in proportion to the changes when they are few (at most VIEW_WALK_LIST_MAX
 * of them, by the list of changes), else scans at most `scan_max` nodes a call.
 *
 * The view may be synced between two calls. What changed meanwhile is handed out as it is now, but
 * for nodes that came into view only then: their parents may have been passed already. They changed
 * after `target`, so the next walk, which begins there, has them. */
int run_view_walk(struct run_view *view, struct view_walk *walk, size_t bytes_max, size_t scan_max,
                  view_record_fn *record, void *arg);

#endif
