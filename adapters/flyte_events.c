#include "adapters/flyte_events.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/flyte.pb-c.h"
#include "adapters/protobuf.h"
#include "model/phase.h"

/* -------- an event's members -------- */

static void write_text_member(struct buffer *out, const char *name, const char *text)
{
    if (*text == '\0')
        return;
    buffer_text(out, ",\"");
    buffer_text(out, name);
    buffer_text(out, "\":");
    buffer_string(out, text);
}

static void write_time_member(struct buffer *out, const char *name, const Flyte__Timestamp *time)
{
    if (time == NULL)
        return;
    buffer_text(out, ",\"");
    buffer_text(out, name);
    buffer_text(out, "\":");
    time_write_json(out, time->seconds, time->nanos);
}

static void write_integer_member(struct buffer *out, const char *name, int64_t number)
{
    buffer_text(out, ",\"");
    buffer_text(out, name);
    buffer_text(out, "\":");
    buffer_integer(out, number);
}

/* What a parent says of itself: the root of a run has none. Others say it once, and where the name
 * is empty it is `is_root_if_empty` that tells what that means. */
static void write_parent(struct buffer *out, const char *name, const char *parent,
                         bool is_root_if_empty)
{
    if (*parent != '\0')
        write_text_member(out, "parent", parent);
    else if (is_root_if_empty || strcmp(name, FLYTE_ROOT_NAME) == 0)
        buffer_text(out, ",\"parent\":null");
}

/* Begins an event; behind its key come members that begin with a comma. */
static void begin_event(struct flyte_events *events, const Flyte__RunIdentifier *run,
                        const char *name, int64_t phase)
{
    struct buffer *out = &events->json;

    buffer_text(out, events->count++ == 0 ? "{\"project\":" : ",{\"project\":");
    buffer_string(out, run == NULL ? "" : run->project);
    buffer_text(out, ",\"domain\":");
    buffer_string(out, run == NULL ? "" : run->domain);
    buffer_text(out, ",\"runName\":");
    buffer_string(out, run == NULL ? "" : run->name);
    buffer_text(out, ",\"name\":");
    buffer_string(out, name);
    write_integer_member(out, "phase", phase);
}

static void end_event(struct flyte_events *events)
{
    buffer_text(&events->json, "}");
}

/* -------- tasks -------- */

/* "name", "shortName", and what else there is of a task. */
static void write_task(struct buffer *out, const Flyte__TaskIdentifier *id,
                       const Flyte__TaskSpec *spec)
{
    const Flyte__TaskTemplate *template = spec == NULL ? NULL : spec->task_template;
    const Flyte__Identifier *template_id = template == NULL ? NULL : template->id;
    const char *name = id == NULL ? "" : id->name, *version = id == NULL ? "" : id->version;

    if (*name == '\0' && template_id != NULL)
        name = template_id->name;
    if (*version == '\0' && template_id != NULL)
        version = template_id->version;
    buffer_text(out, ",\"task\":{\"name\":");
    buffer_string(out, *name == '\0' ? NULL : name);
    if (spec != NULL)
        write_text_member(out, "shortName", spec->short_name);
    write_text_member(out, "version", version);
    if (template != NULL)
        write_text_member(out, "type", template->type);
    if (spec != NULL && spec->environment != NULL)
        write_text_member(out, "environment", spec->environment->name);
    buffer_text(out, "}");
}

static void write_named_task(struct buffer *out, const char *name, const char *type)
{
    buffer_text(out, ",\"task\":{\"name\":");
    buffer_string(out, *name == '\0' ? NULL : name);
    write_text_member(out, "type", type);
    buffer_text(out, "}");
}

static void write_spec(struct buffer *out, const Flyte__TaskAction *task,
                       const Flyte__TraceAction *trace, const Flyte__ConditionAction *condition)
{
    if (task != NULL)
        write_task(out, task->id, task->spec);
    else if (trace != NULL)
        write_named_task(out, trace->name, "trace");
    else if (condition != NULL)
        write_named_task(out, condition->name, "condition");
}

/* -------- action events -------- */

static void write_error_info(struct buffer *out, const Flyte__ErrorInfo *error)
{
    static const char *const kinds[] = {[FLYTE__ERROR_INFO__KIND__KIND_USER] = "USER",
                                        [FLYTE__ERROR_INFO__KIND__KIND_SYSTEM] = "SYSTEM"};

    if (error == NULL)
        return;
    buffer_text(out, ",\"errorInfo\":{\"kind\":");
    buffer_string(out, error->kind == FLYTE__ERROR_INFO__KIND__KIND_USER ||
                               error->kind == FLYTE__ERROR_INFO__KIND__KIND_SYSTEM
                           ? kinds[error->kind]
                           : NULL);
    buffer_text(out, ",\"message\":");
    buffer_string(out, error->message);
    write_text_member(out, "code", error->code);
    buffer_text(out, "}");
}

/* Flyte counts attempts from 1, and takes 0 for the first, too. */
static int64_t attempt_of(uint32_t attempt)
{
    return attempt == 0 ? 1 : attempt;
}

/* The event's key and everything that it says itself; end_event ends it. */
static void begin_action_event(struct flyte_events *events, const Flyte__ActionEvent *event)
{
    static const char *const kept[] = {"log_info",       "log_context",  "outputs",
                                       "cluster_events", "cache_status", "cache_metadata"};
    struct buffer *out = &events->json;
    const Flyte__ActionIdentifier *id = event->id;

    begin_event(events, id == NULL ? NULL : id->run, id == NULL ? "" : id->name, event->phase);
    write_integer_member(out, "attempt", attempt_of(event->attempt));
    write_integer_member(out, "version", event->version);
    write_time_member(out, "updatedTime", event->updated_time);
    write_time_member(out, "reportedTime", event->reported_time);
    write_time_member(out, "startTime", event->start_time);
    write_time_member(out, "endTime", event->end_time);
    write_error_info(out, event->error_info);
    write_text_member(out, "cluster", event->cluster);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        message_write_member(out, &event->base, kept[i]);
}

static void write_action_event(struct flyte_events *events, const Flyte__ActionEvent *event)
{
    begin_action_event(events, event);
    write_parent(&events->json, event->id == NULL ? "" : event->id->name, "", false);
    end_event(events);
}

static void write_update(struct flyte_events *events, const Flyte__TrackedActionUpdate *update,
                         const Flyte__RunIdentifier *run)
{
    static const Flyte__ActionEvent nothing = FLYTE__ACTION_EVENT__INIT;
    Flyte__ActionIdentifier id = FLYTE__ACTION_IDENTIFIER__INIT;
    Flyte__ActionEvent event = update->event == NULL ? nothing : *update->event;

    if (event.id != NULL)
        id.name = event.id->name;
    id.run = event.id == NULL || event.id->run == NULL ? (Flyte__RunIdentifier *)(uintptr_t)run
                                                       : event.id->run;
    event.id = &id;
    begin_action_event(events, &event);
    write_parent(&events->json, id.name, update->parent_name, false);
    write_text_member(&events->json, "group", update->group);
    write_spec(&events->json, update->task, update->trace, NULL);
    end_event(events);
}

/* -------- calls without a version -------- */

static void put_labels(json_t *all, Flyte__TextEntry *const *labels, size_t count)
{
    for (size_t i = 0; i < count; i++)
        json_object_set_new(all, labels[i]->key, json_string(labels[i]->value));
}

/* Those of the request stand over those of its spec. */
static void write_labels(struct buffer *out, const Flyte__CreateTrackedRunRequest *request)
{
    const Flyte__RunSpec *spec = request->run_spec;
    json_t *all = json_object();
    char *text;

    if (spec != NULL && spec->labels != NULL)
        put_labels(all, spec->labels->values, spec->labels->n_values);
    put_labels(all, request->labels, request->n_labels);
    text = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    out->failed |= text == NULL;
    buffer_text(out, "\"labels\":");
    buffer_text(out, text == NULL ? "{}" : text);
    free(text);
}

/* The run and its root, which is not begun by that. */
static void write_run(struct flyte_events *events, const Flyte__CreateTrackedRunRequest *request)
{
    struct buffer *out = &events->json;

    begin_event(events, request->run_id, FLYTE_ROOT_NAME, PHASE_QUEUED);
    buffer_text(out, ",\"parent\":null");
    write_time_member(out, "updatedTime", request->run_start_time);
    if (request->task_spec != NULL || request->task_id != NULL)
        write_task(out, request->task_id, request->task_spec);
    buffer_text(out, ",\"run\":{");
    write_labels(out, request);
    buffer_text(out, "}");
    message_write_member(out, &request->base, "offloaded_input_data");
    end_event(events);
    events->version = RECORD_VERSION;
}

static void write_record(struct flyte_events *events, const Flyte__RecordActionRequest *request)
{
    const Flyte__ActionIdentifier *id = request->action_id;
    const char *name = id == NULL ? "" : id->name;
    struct buffer *out = &events->json;

    begin_event(events, id == NULL ? NULL : id->run, name, PHASE_QUEUED);
    write_parent(out, name, request->parent, true);
    write_text_member(out, "group", request->group);
    write_spec(out, request->task, request->trace, request->condition);
    write_text_member(out, "inputUri", request->input_uri);
    message_write_member(out, &request->base, "recovered_from");
    end_event(events);
    events->version = RECORD_VERSION;
}

static void write_status(struct flyte_events *events,
                         const Flyte__UpdateActionStatusRequest *request)
{
    static const Flyte__ActionStatus nothing = FLYTE__ACTION_STATUS__INIT;
    const Flyte__ActionIdentifier *id = request->action_id;
    const Flyte__ActionStatus *status = request->status == NULL ? &nothing : request->status;
    const char *name = id == NULL ? "" : id->name;
    struct buffer *out = &events->json;
    bool is_end = phase_is_terminal(phase_from_number(status->phase));

    begin_event(events, id == NULL ? NULL : id->run, name, status->phase);
    write_parent(out, name, "", false);
    write_integer_member(out, "attempt", attempt_of(status->attempts));
    /* When the phase came: the start says it of one that has just begun. */
    if (is_end)
        write_time_member(out, "updatedTime", status->end_time);
    else if (status->phase == FLYTE__ACTION_PHASE__ACTION_PHASE_QUEUED ||
             status->phase == FLYTE__ACTION_PHASE__ACTION_PHASE_RUNNING)
        write_time_member(out, "updatedTime", status->start_time);
    write_time_member(out, "startTime", status->start_time);
    write_time_member(out, "endTime", status->end_time);
    message_write_member(out, &status->base, "cache_status");
    if (*request->abort_reason != '\0') {
        buffer_text(out, ",\"errorInfo\":{\"message\":");
        buffer_string(out, request->abort_reason);
        buffer_text(out, "}");
    }
    end_event(events);
    events->version = STATUS_VERSION;
}

/* -------- all of them -------- */

void flyte_events_write(struct flyte_events *events, const ProtobufCMessage *request)
{
    const ProtobufCMessageDescriptor *kind = request->descriptor;
    const void *message = request;

    *events = (struct flyte_events){0};
    buffer_text(&events->json, "{\"events\":[");
    if (kind == &flyte__create_tracked_run_request__descriptor) {
        write_run(events, message);
    } else if (kind == &flyte__record_action_request__descriptor) {
        write_record(events, message);
    } else if (kind == &flyte__update_action_status_request__descriptor) {
        write_status(events, message);
    } else if (kind == &flyte__report_tracked_actions_request__descriptor) {
        const Flyte__ReportTrackedActionsRequest *report = message;

        for (size_t i = 0; i < report->n_updates; i++)
            write_update(events, report->updates[i], report->run_id);
    } else if (kind == &flyte__record_action_events_request__descriptor) {
        const Flyte__RecordActionEventsRequest *record = message;

        for (size_t i = 0; i < record->n_events; i++)
            write_action_event(events, record->events[i]);
    }
    buffer_text(&events->json, "]}");
}
