/* What one filter sees of a run's tree. Flyte's rules: a node is visible if it matches or has a
 * matching descendant. Shared by all watchers with that filter. */
#ifndef RUNTREE_MODEL_RUN_VIEW_H
#define RUNTREE_MODEL_RUN_VIEW_H

#include "model/buffer.h"
#include "model/filter.h"
#include "model/run_state_manager.h"

struct run_view;

/* A view over `manager`, which must outlive it; it sees nothing before it is synced. NULL when out
 * of memory. */
struct run_view *run_view_new(struct run_state_manager *manager, const struct filter *filter);
void run_view_free(struct run_view *view); /* NULL does nothing */

enum { VIEW_SYNC_MAX = 20000 };

/* Catches up with the manager; to be called before anything is read from the view. 0: done; 1: a
 * view that was never synced has looked at VIEW_SYNC_MAX nodes of a tree that has more, call again;
 * -ENOMEM: call again, nothing is lost. A view that was synced catches up in one call, in time
 * proportional to what changed and its depth. */
int run_view_sync(struct run_view *view);

/* Bytes that the view holds; what a new one will hold of a tree of `nodes`. */
size_t run_view_bytes(const struct run_view *view);
size_t run_view_bytes_for(const struct filter *filter, size_t nodes);

int64_t run_view_revision(const struct run_view *view);
size_t run_view_visible_count(const struct run_view *view);
bool run_view_is_visible(const struct run_view *view, const struct run_node *node);

/* Where a walk stands: everything that changed after `since`, in order of ordinal. */
struct view_walk {
    int64_t since;        /* what the client has; 0: nothing, unless it resumes */
    int32_t next_ordinal; /* 1 at the start */
    bool is_resume;
    int64_t target; /* the view's revision at the start: what the client has at the end */
};

/* A record of run_view_walk; `bytes` are everything up to the value of meetsFilter, which is
 * whether the node is to be shown. If not, the client may have it; to remove an absent one is
 * harmless. */
typedef void view_record_fn(void *arg, const char *bytes, size_t length, bool meets_filter);

/* Starts a walk at the view's present revision for a client that this view has brought to `since`,
 * or that has nothing. What is hidden is handed out if it became so after `since`, or if the view
 * does not know: it remembers only the revisions to which it was synced lately. */
struct view_walk run_view_walk_begin(const struct run_view *view, int64_t since);

/* The same for a client that says itself that it has everything up to `since`. It may have more, of
 * a walk that was cut off, perhaps on another replica; so all that is hidden and changed is handed
 * out. This holds for 0, too: the client was there before the run's first action. */
struct view_walk run_view_walk_resume(const struct run_view *view, int64_t since);

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

/* The tree as a view sees it at one moment, to be read as slowly as one likes. */
struct view_reading;

/* As it is now; the view must be synced, and is not needed any more. NULL when out of memory. */
struct view_reading *view_reading_new(const struct run_view *view);
void view_reading_free(struct view_reading *reading); /* NULL does nothing */

int64_t view_reading_revision(const struct view_reading *reading);
size_t view_reading_bytes(const struct view_reading *reading); /* that it holds */

/* Hands out the next visible nodes, as run_view_walk does. 1: done; 0: there is more; -ENOMEM: call
 * again, nothing is lost or repeated; -ESTALE: the tree is not held any more (see struct
 * tree_hold). */
int view_reading_next(struct view_reading *reading, size_t bytes_max, size_t scan_max,
                      view_record_fn *record, void *arg);

#endif
