/* What run_state_manager.c and node_update.c share; nobody else includes this. */
#ifndef RUNTREE_MODEL_RUN_STATE_MANAGER_INTERNAL_H
#define RUNTREE_MODEL_RUN_STATE_MANAGER_INTERNAL_H

#include "model/arena.h"
#include "model/change_list.h"
#include "model/json_buffer.h"
#include "model/node_table.h"
#include "model/run_state_manager.h"

struct run_state_manager {
    int64_t revision;
    struct node_table nodes;
    struct change_list changes;
    struct arena texts; /* names, and the first strings of each node */
    uint32_t phase_counts[PHASE_SLOTS];
    size_t string_bytes, encoded_bytes; /* outside of `texts` */
    size_t next_to_forget;              /* of the records: where dropping them goes on */
    struct json_buffer scratch;         /* in which a record is built before its length is known */
};

/* Forgets the node's cached record. */
void node_update_forget(struct run_node *node);

#endif
