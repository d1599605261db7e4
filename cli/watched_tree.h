/* A run's tree as its stream tells it. Pure. */
#ifndef RUNTREE_CLI_WATCHED_TREE_H
#define RUNTREE_CLI_WATCHED_TREE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "model/phase.h"

struct watched_node {
    char *name, *label; /* what people call it; owned, as the next */
    char *error;        /* its first line, or NULL */
    struct watched_node *parent, *first, *last, *next;
    enum phase phase;
    bool is_abort_asked;
    int64_t attempt, below[PHASE_SLOTS];      /* descendants by phase */
    int64_t created_us, started_us, ended_us; /* TIME_NONE: not */
    bool is_shown;                            /* for who draws */
    UT_hash_handle hh;
};

/* A plain value; all zero is empty. */
struct watched_tree {
    struct watched_node *nodes;        /* by name */
    struct watched_node *first, *last; /* the roots */
    size_t count;
};

void watched_tree_clear(struct watched_tree *tree);

/* Takes a nodeUpdate. Returns the node if its phase or attempt is another one than before, or it is
 * new; else NULL. What the update does not say well is left as it was. */
struct watched_node *watched_tree_update(struct watched_tree *tree, const json_t *update);

/* The next node in order of the tree, parents first, roots and children as they came; NULL behind
 * the last. `node` NULL: the first. */
struct watched_node *watched_tree_next(const struct watched_tree *tree,
                                       const struct watched_node *node);

/* The phase of the run, from all roots (docs/model.md); PHASE_NONE without any. */
enum phase watched_tree_phase(const struct watched_tree *tree);

/* From the first start to the last end, or to `now_us` while something runs; 0 before. */
int64_t watched_tree_duration_us(const struct watched_tree *tree, int64_t now_us);

/* How long it has run, in its current attempt; -1 if it has not. */
int64_t watched_node_duration_us(const struct watched_node *node, int64_t now_us);

#endif
