/* A node's record on the wire. */
#include <stdlib.h>
#include <string.h>

#include "model/records.h"
#include "model/run_state_manager_internal.h"

void node_update_forget(struct run_node *node)
{
    if (!node->encoded)
        return;
    node->manager->encoded_bytes -= node->encoded_length;
    free(node->encoded);
    node->encoded = NULL;
    node->encoded_length = 0;
}

/* The record is only a cache, so a node that is const to the world may get one. */
static struct run_node *writable(const struct run_node *node)
{
    return node_table_at(&node->manager->nodes, (size_t)node->action.ordinal - 1);
}

const char *node_update_encode(const struct run_node *node, size_t *length)
{
    struct run_state_manager *manager = node->manager;
    *length = node->encoded_length;
    if (node->encoded)
        return node->encoded;
    struct json_buffer *out = &manager->scratch;
    out->length = 0;
    json_buffer_text(out, "{\"action\":{");
    record_write_action_members(out, &node->action);
    json_buffer_text(out, "},\"childPhaseCounts\":");
    record_write_phase_counts(out, node->child_phase_counts);
    json_buffer_text(out, ",\"meetsFilter\":");
    char *encoded = out->failed || out->length > UINT32_MAX ? NULL : malloc(out->length);
    if (!encoded) {
        json_buffer_free(out);
        return NULL;
    }
    memcpy(encoded, out->bytes, out->length);
    struct run_node *cache = writable(node);
    cache->encoded = encoded;
    cache->encoded_length = (uint32_t)out->length;
    manager->encoded_bytes += out->length;
    *length = out->length;
    return encoded;
}
