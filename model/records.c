#include "model/records.h"

static void write_duration(struct json_buffer *out, int64_t duration_ms)
{
    if (duration_ms < 0)
        json_buffer_text(out, "null");
    else
        json_buffer_integer(out, duration_ms);
}

void record_write_action_members(struct json_buffer *out, const struct action *action)
{
    json_buffer_text(out, "\"name\":");
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
    write_duration(out, action_duration_ms(action));
    json_buffer_text(out, ",\"errorInfo\":");
    json_buffer_text(out, action->error_info ? action->error_info : "null");
    json_buffer_text(out, ",\"revision\":");
    if (action->revision == 0)
        json_buffer_text(out, "null");
    else
        json_buffer_integer(out, action->revision);
}

void record_write_phase_counts(struct json_buffer *out, const uint32_t counts[static PHASE_SLOTS])
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

void record_write_run(struct json_buffer *out, const struct run *run)
{
    const struct action root = {
        .created_us = run->created_us, .started_us = run->started_us, .ended_us = run->ended_us};
    uint32_t counts[PHASE_SLOTS];

    for (int phase = 0; phase < PHASE_SLOTS; phase++)
        counts[phase] = (uint32_t)run->phase_counts[phase];
    json_buffer_text(out, "{\"project\":");
    json_buffer_string(out, run->key.project);
    json_buffer_text(out, ",\"domain\":");
    json_buffer_string(out, run->key.domain);
    json_buffer_text(out, ",\"runName\":");
    json_buffer_string(out, run->key.run_name);
    json_buffer_text(out, ",\"incarnation\":");
    json_buffer_string(out, run->incarnation);
    json_buffer_text(out, ",\"revision\":");
    json_buffer_integer(out, run->revision);
    json_buffer_text(out, ",\"phase\":");
    json_buffer_string(out, phase_name(run->phase));
    json_buffer_text(out, ",\"root\":");
    json_buffer_string(out, run->root);
    json_buffer_text(out, ",\"actionCount\":");
    json_buffer_integer(out, run->action_count);
    json_buffer_text(out, ",\"phaseCounts\":");
    record_write_phase_counts(out, counts);
    json_buffer_text(out, ",\"firstSeenAt\":");
    json_buffer_timestamp(out, run->first_seen_us);
    json_buffer_text(out, ",\"createdAt\":");
    json_buffer_timestamp(out, run->created_us);
    json_buffer_text(out, ",\"startedAt\":");
    json_buffer_timestamp(out, run->started_us);
    json_buffer_text(out, ",\"endedAt\":");
    json_buffer_timestamp(out, run->ended_us);
    json_buffer_text(out, ",\"durationMs\":");
    write_duration(out, action_duration_ms(&root));
    json_buffer_text(out, "}");
}
