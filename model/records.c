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
    buffer_timestamp_member(out, "{\"at\":", at_us);
    buffer_string_member(out, ",\"by\":", by);
    buffer_string_member(out, ",\"reason\":", reason);
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

    buffer_string_member(out, "\"name\":", action->name);
    buffer_string_member(out, ",\"parent\":", action->parent);
    buffer_string_member(out, ",\"phase\":", phase_name(action->phase));
    buffer_integer_member(out, ",\"attempt\":", action->attempt);
    buffer_integer_member(out, ",\"version\":", action->version);
    buffer_string_member(out, ",\"group\":", action->group);
    buffer_string_member(out, ",\"taskName\":", action->task_name);
    buffer_string_member(out, ",\"shortName\":", action->short_name);
    buffer_timestamp_member(out, ",\"createdAt\":", action->created_us);
    buffer_timestamp_member(out, ",\"startedAt\":", started_us);
    buffer_timestamp_member(out, ",\"endedAt\":", action->ended_us);
    buffer_text(out, ",\"durationMs\":");
    write_duration(out, milliseconds);
    if (is_abandoned)
        buffer_text(out, ",\"abandoned\":true");
    buffer_text(out, ",\"errorInfo\":");
    buffer_text(out, action->error_info ? action->error_info : "null");
    if (action->additions)
        additions_write(out, action->additions);
    buffer_text(out, ",\"revision\":");
    if (action->revision == 0)
        buffer_text(out, "null");
    else
        buffer_integer(out, action->revision);
    write_abort_request(out, action->abort_requested);
}

static void write_phase_counts(struct buffer *out, const uint32_t counts[static PHASE_SLOTS])
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

void record_write_node(struct buffer *out, const struct action *action,
                       const uint32_t counts[static PHASE_SLOTS])
{
    buffer_text(out, "{\"action\":{");
    record_write_action_members(out, action);
    buffer_text(out, "},\"childPhaseCounts\":");
    write_phase_counts(out, counts);
}

void record_write_waiting(struct buffer *out, int32_t count, const char *waiting_for)
{
    buffer_integer_member(out, "{\"count\":", count);
    buffer_text(out, ",\"for\":");
    buffer_text(out, waiting_for ? waiting_for : "[]");
    buffer_text(out, "}");
}

void record_write_run(struct buffer *out, const struct run *run)
{
    int64_t ended_us = run_ended_us(run);
    int64_t milliseconds = duration_ms(run->started_us, ended_us);
    uint32_t counts[PHASE_SLOTS];

    for (int phase = 0; phase < PHASE_SLOTS; phase++)
        counts[phase] = (uint32_t)run->phase_counts[phase];
    buffer_string_member(out, "{\"project\":", run->key.project);
    buffer_string_member(out, ",\"domain\":", run->key.domain);
    buffer_string_member(out, ",\"runName\":", run->key.run_name);
    buffer_string_member(out, ",\"incarnation\":", run->incarnation);
    buffer_integer_member(out, ",\"revision\":", run->revision);
    buffer_string_member(out, ",\"phase\":", phase_name(run->phase));
    buffer_string_member(out, ",\"root\":", run->root);
    buffer_integer_member(out, ",\"actionCount\":", run->action_count - run->removed_count);
    buffer_text(out, ",\"phaseCounts\":");
    write_phase_counts(out, counts);
    buffer_timestamp_member(out, ",\"firstSeenAt\":", run->first_seen_us);
    buffer_timestamp_member(out, ",\"createdAt\":", run->created_us);
    buffer_timestamp_member(out, ",\"startedAt\":", run->started_us);
    buffer_timestamp_member(out, ",\"endedAt\":", ended_us);
    buffer_text(out, ",\"durationMs\":");
    write_duration(out, milliseconds);
    buffer_timestamp_member(out, ",\"lastEventAt\":", run->last_event_us);
    buffer_text(out, ",\"waiting\":");
    record_write_waiting(out, run->waiting_count, run->waiting_for);
    if (run->additions != NULL) {
        buffer_text(out, ",");
        buffer_text(out, run->additions);
    }
    write_abort_request(out, run->abort_requested);
    buffer_text(out, "}");
}
