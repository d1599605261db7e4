/* One run's tree, and what changed in it since revision N (Flyte 2: runStateManager).
 *
 * The unit of time is the run's revision. A node's `changed_revision` is the greatest revision in
 * its subtree: a change moves the node and all its ancestors to the tail of the list of changes. */
#ifndef RUNTREE_MODEL_RUN_STATE_MANAGER_H
#define RUNTREE_MODEL_RUN_STATE_MANAGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/action.h"

struct run_state_manager;

/* A node, to be read; only run_state_manager.c writes it. Node `ordinal` n has index n - 1.
 * All strings belong to the node. */
struct run_node {
    struct run_node *parent;        /* NULL: a root */
    struct run_node *newer, *older; /* the list of changes */
    int64_t changed_revision;
    struct action action; /* action.parent is the parent's name, borrowed from that node */
    uint32_t child_phase_counts[PHASE_SLOTS]; /* all descendants */
    uint32_t encoded_length;                  /* UINT32_MAX: it was encoded once, and not kept */
    char *encoded;                            /* cache of node_update_encode, NULL if stale */
    char *strings; /* the block that holds strings of `action` that replaced its first ones, or NULL
                    */
    struct run_state_manager *manager;
    struct node_record
        *held; /* the records that it had, for those who hold the tree; oldest first */
};

/* NULL when out of memory. */
struct run_state_manager *run_state_manager_new(void);
void run_state_manager_free(struct run_state_manager *manager);

/* Takes over the state of `count` actions, ordered by ordinal, and moves the manager to `revision`
 * (at least the one it has and that of every action). An action whose state (revision) it has
 * already changes nothing. Flyte's strict rule: a child whose parent is neither held nor earlier in
 * `actions` is an error, -EINVAL; -ENOMEM when out of memory; both leave the manager unchanged.
 * Also -EINVAL: an ordinal or a revision that is 0, an ordinal that skips one or stands twice, or a
 * held action that changes its ordinal or parent. The actions' strings are copied. One that is
 * removed keeps its node, counts nowhere, and leaves its name to a later one; what is below it is
 * removed before it, or with it.
 *
 * Revisions need not be in order, so a run may be read in chunks of ordinals and then be caught up
 * from the revision that it had when the first chunk was read. Until then the tree is of no one
 * revision, and nothing may be shown of it. */
int run_state_manager_upsert_actions(struct run_state_manager *manager,
                                     const struct action *actions, size_t count, int64_t revision);

int64_t run_state_manager_revision(const struct run_state_manager *manager);
size_t run_state_manager_count(const struct run_state_manager *manager); /* the greatest ordinal */
size_t run_state_manager_live_count(const struct run_state_manager *manager); /* not removed */

/* Counts of the run's actions by phase, PHASE_SLOTS of them, borrowed. */
const uint32_t *run_state_manager_phase_counts(const struct run_state_manager *manager);

/* There is a root, and every action is terminal. */
bool run_state_manager_is_ended(const struct run_state_manager *manager);

/* NULL if there is none. */
const struct run_node *run_state_manager_find(const struct run_state_manager *manager,
                                              const char *name);

/* `ordinal` 1 to run_state_manager_count. */
const struct run_node *run_state_manager_at(const struct run_state_manager *manager,
                                            int32_t ordinal);

/* The node that changed last, NULL in an empty tree; follow `older` from it until changed_revision
 * is not greater than the revision you know. */
const struct run_node *run_state_manager_newest(const struct run_state_manager *manager);

/* Bytes that the manager holds, for the metric; strings and cached records included. */
size_t run_state_manager_bytes(const struct run_state_manager *manager);

/* The node's record without its last member: {"action":{…},"childPhaseCounts":{…},"meetsFilter":
 * until the next call that encodes or changes a node of its tree. *length in bytes; NULL when out
 * of memory. A record that is asked for a second time before the node changes is kept in it: most
 * never are, because watchers share what is made of them. */
const char *node_update_encode(const struct run_node *node, size_t *length);

/* Who reads the tree as it is at one moment, and takes his time. A plain value that must not move
 * while it holds a tree. */
struct tree_hold {
    struct tree_hold *prev, *next;
    struct run_state_manager *manager; /* NULL: it holds none, or lost it */
    int64_t revision;
    int32_t count; /* nodes */
};

/* Records that a tree keeps at most for those who hold it; the longest holder loses it then. */
enum { TREE_HELD_BYTES_MAX = 64 * 1024 * 1024 };

/* Holds the tree as it is now: until it is released, tree_hold_encode answers what
 * node_update_encode would answer now. Each node that changes meanwhile costs its record once. */
void run_state_manager_hold(struct run_state_manager *manager, struct tree_hold *hold);
void tree_hold_release(struct tree_hold *hold); /* one that holds none: does nothing */

/* `ordinal` 1 to hold->count; see node_update_encode. */
const char *tree_hold_encode(const struct tree_hold *hold, int32_t ordinal, size_t *length);

/* Nobody holds the tree any more; before it is freed, which another thread may do. */
void run_state_manager_end_holds(struct run_state_manager *manager);

/* Forgets cached records (when nobody watches), going on where the last call stopped: looks at
 * `nodes` of the tree. Whether some are left. */
bool run_state_manager_drop_encoded(struct run_state_manager *manager, size_t nodes);

#endif
