/* A run's nodes in the order of their changed_revision. Only run_state_manager uses it. */
#ifndef RUNTREE_MODEL_CHANGE_LIST_H
#define RUNTREE_MODEL_CHANGE_LIST_H

#include <stddef.h>
#include <stdint.h>

struct run_node;

/* A list by newer and older. While a run is watched its changes come in order and go to the tail at
 * once. While it is read for the first time they come in the order of ordinals; then `buckets`
 * finds the place: for each range of 1 << `shift` revisions the newest node in it, or NULL. */
struct change_list {
    struct run_node *newest, *oldest;
    struct run_node **buckets;
    size_t bucket_count;
    unsigned shift;
};

/* All zero is an empty list but for `shift`. */
void change_list_init(struct change_list *list);
void change_list_free(struct change_list *list);

/* Makes ready for revisions up to `revision`. 0 or -ENOMEM. */
int change_list_reserve(struct change_list *list, int64_t revision);

/* Puts the node, which is in the list or has changed_revision 0, to where `revision` belongs. The
 * revision must be greater than the node's changed_revision, which it becomes, and have been
 * reserved. */
void change_list_move(struct change_list *list, struct run_node *node, int64_t revision);

#endif
