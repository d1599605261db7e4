/* A node's record on the wire. */
#include <stdlib.h>
#include <string.h>

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

static void write_action(struct json_buffer *out, const struct action *action)
{
    int64_t duration_ms = action_duration_ms(action);
    json_buffer_text(out, "{\"name\":");
    json_buffer_string(out, action->name);
    json_buffer_text(out, ",\"parent\":");
    json_buffer_string(out, action->parent);
    json_buffer_text(out, ",\"phase\":");
    json_buffer_string(out, phase_name(action->phase));
    json_buffer_text(out, ",\"attempt\":");
    json_buffer_integer(out, action->attempt);
    json_buffer_text(out, ",\"version\":");
    json_buffer_integer(out, action->version);
    json_buffer_text(out, ",\"group\":");
    json_buffer_string(out, action->group);
    json_buffer_text(out, ",\"taskName\":");
    json_buffer_string(out, action->task_name);
    json_buffer_text(out, ",\"shortName\":");
    json_buffer_string(out, action->short_name);
    json_buffer_text(out, ",\"createdAt\":");
    json_buffer_timestamp(out, action->created_us);
    json_buffer_text(out, ",\"startedAt\":");
    json_buffer_timestamp(out, action->started_us);
    json_buffer_text(out, ",\"endedAt\":");
    json_buffer_timestamp(out, action->ended_us);
    json_buffer_text(out, ",\"durationMs\":");
    if (duration_ms < 0)
        json_buffer_text(out, "null");
    else
        json_buffer_integer(out, duration_ms);
    json_buffer_text(out, ",\"errorInfo\":");
    json_buffer_text(out, action->error_info ? action->error_info : "null");
    json_buffer_text(out, ",\"revision\":");
    json_buffer_integer(out, action->revision);
    json_buffer_text(out, "}");
}

static void write_phase_counts(struct json_buffer *out, const uint32_t counts[static PHASE_SLOTS])
{
    const char *separator = "{";
    for (int phase = PHASE_QUEUED; phase < PHASE_SLOTS; phase++) {
        if (counts[phase] == 0)
            continue;
        json_buffer_text(out, separator);
        json_buffer_string(out, phase_name((enum phase)phase));
        json_buffer_text(out, ":");
        json_buffer_integer(out, counts[phase]);
        separator = ",";
    }
    json_buffer_text(out, *separator == '{' ? "{}" : "}");
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
    json_buffer_text(out, "{\"action\":");
    write_action(out, &node->action);
    json_buffer_text(out, ",\"childPhaseCounts\":");
    write_phase_counts(out, node->child_phase_counts);
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
