/* A run's nodes, by ordinal and by name. Only run_state_manager uses it. */
#ifndef RUNTREE_MODEL_NODE_TABLE_H
#define RUNTREE_MODEL_NODE_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct run_node;

/* Nodes never move. They lie in chunks in the order of their ordinals, so that a scan of the run
 * reads memory in order; names are found by an open-addressed table of 8 bytes a slot. */
struct node_table {
    struct run_node **chunks;
    size_t chunk_count;
    size_t count;
    uint64_t *slots; /* hash in the upper half, ordinal in the lower; 0 is free */
    size_t slot_count;
    uint64_t seed; /* of the hash: names come from outside */
};

void node_table_init(struct node_table *table);

/* Frees the table; what hangs off its nodes is the caller's. */
void node_table_free(struct node_table *table);

/* Room for `more` nodes to be added. 0 or -ENOMEM. */
int node_table_reserve(struct node_table *table, size_t more);

/* The node with index `index` (its ordinal less one), which must be below `count`. */
struct run_node *node_table_at(const struct node_table *table, size_t index);

/* NULL if there is none. */
struct run_node *node_table_find(const struct node_table *table, const char *name);

/* Adds a node called `name`, which no other is and which the caller keeps as the node's
 * action.name; room must have been reserved. The node is all zero but for its name. */
struct run_node *node_table_add(struct node_table *table, const char *name);

/* Undoes the last node_table_add that is not undone yet. */
void node_table_undo_add(struct node_table *table);

/* Bytes that the table holds, unused room included. */
size_t node_table_bytes(const struct node_table *table);

#endif
