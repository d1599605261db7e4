#include "model/records.h"

#include "model/additions.h"

static void write_duration(struct buffer *out, int64_t milliseconds)
{
    if (milliseconds < 0)
        buffer_text(out, "null");
    else
        buffer_integer(out, milliseconds);
}

void abort_request_write(struct buffer *out, int64_t at_us, const char *by, const char *reason)
{
    buffer_text(out, "{\"at\":");
    buffer_timestamp(out, at_us);
    buffer_text(out, ",\"by\":");
    buffer_string(out, by);
    buffer_text(out, ",\"reason\":");
    buffer_string(out, reason);
    buffer_text(out, "}");
}

static void write_abort_request(struct buffer *out, const char *request)
{
    if (!request)
        return;
    buffer_text(out, ",\"abortRequested\":");
    buffer_text(out, request);
}

void record_write_action_members(struct buffer *out, const struct action *action)
{
    int64_t started_us = action_started_us(action);
    int64_t milliseconds = duration_ms(started_us, action->ended_us);
    bool is_abandoned = action_is_abandoned(action);

    buffer_text(out, "\"name\":");
    buffer_string(out, action->name);
    buffer_text(out, ",\"parent\":");
    buffer_string(out, action->parent);
    buffer_text(out, ",\"phase\":");
    buffer_string(out, phase_name(action->phase));
    buffer_text(out, ",\"attempt\":");
    buffer_integer(out, action->attempt);
    buffer_text(out, ",\"version\":");
    buffer_integer(out, action->version);
    buffer_text(out, ",\"group\":");
    buffer_string(out, action->group);
    buffer_text(out, ",\"taskName\":");
    buffer_string(out, action->task_name);
    buffer_text(out, ",\"shortName\":");
    buffer_string(out, action->short_name);
    buffer_text(out, ",\"createdAt\":");
    buffer_timestamp(out, action->created_us);
    buffer_text(out, ",\"startedAt\":");
    buffer_timestamp(out, started_us);
    buffer_text(out, ",\"endedAt\":");
    buffer_timestamp(out, action->ended_us);
    buffer_text(out, ",\"durationMs\":");
    write_duration(out, milliseconds);
    if (is_abandoned)
        buffer_text(out, ",\"abandoned\":true");
    buffer_text(out, ",\"errorInfo\":");
    buffer_text(out, action->error_info ? action->error_info : "null");
    additions_write(out, action->additions);
    buffer_text(out, ",\"revision\":");
    if (action->revision == 0)
        buffer_text(out, "null");
    else
        buffer_integer(out, action->revision);
    write_abort_request(out, action->abort_requested);
}

void record_write_phase_counts(struct buffer *out, const uint32_t counts[static PHASE_SLOTS])
{
    const char *separator = "{";

    for (int phase = PHASE_QUEUED; phase < PHASE_SLOTS; phase++) {
        if (counts[phase] == 0)
            continue;
        buffer_text(out, separator);
        buffer_string(out, phase_name((enum phase)phase));
        buffer_text(out, ":");
        buffer_integer(out, counts[phase]);
        separator = ",";
    }
    buffer_text(out, *separator == '{' ? "{}" : "}");
}

void record_write_waiting(struct buffer *out, int32_t count, const char *waiting_for)
{
    buffer_text(out, "{\"count\":");
    buffer_integer(out, count);
    buffer_text(out, ",\"for\":");
    buffer_text(out, waiting_for ? waiting_for : "[]");
    buffer_text(out, "}");
}

void record_write_run(struct buffer *out, const struct run *run)
{
    uint32_t counts[PHASE_SLOTS];

    for (int phase = 0; phase < PHASE_SLOTS; phase++)
        counts[phase] = (uint32_t)run->phase_counts[phase];
    buffer_text(out, "{\"project\":");
    buffer_string(out, run->key.project);
    buffer_text(out, ",\"domain\":");
    buffer_string(out, run->key.domain);
    buffer_text(out, ",\"runName\":");
    buffer_string(out, run->key.run_name);
    buffer_text(out, ",\"incarnation\":");
    buffer_string(out, run->incarnation);
    buffer_text(out, ",\"revision\":");
    buffer_integer(out, run->revision);
    buffer_text(out, ",\"phase\":");
    buffer_string(out, phase_name(run->phase));
    buffer_text(out, ",\"root\":");
    buffer_string(out, run->root);
    buffer_text(out, ",\"actionCount\":");
    buffer_integer(out, run->action_count - run->removed_count);
    buffer_text(out, ",\"phaseCounts\":");
    record_write_phase_counts(out, counts);
    buffer_text(out, ",\"firstSeenAt\":");
    buffer_timestamp(out, run->first_seen_us);
    buffer_text(out, ",\"createdAt\":");
    buffer_timestamp(out, run->created_us);
    buffer_text(out, ",\"startedAt\":");
    buffer_timestamp(out, run->started_us);
    buffer_text(out, ",\"endedAt\":");
    buffer_timestamp(out, run_ended_us(run));
    buffer_text(out, ",\"durationMs\":");
    write_duration(out, duration_ms(run->started_us, run_ended_us(run)));
    buffer_text(out, ",\"lastEventAt\":");
    buffer_timestamp(out, run->last_event_us);
    buffer_text(out, ",\"waiting\":");
    record_write_waiting(out, run->waiting_count, run->waiting_for);
    if (run->additions != NULL) {
        buffer_text(out, ",");
        buffer_text(out, run->additions);
    }
    write_abort_request(out, run->abort_requested);
    buffer_text(out, "}");
}
