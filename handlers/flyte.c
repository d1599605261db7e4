/* Flyte 2's services, as far as its clients need them to report runs and to read them: the paths
 * are those of its protocol, /SERVICE/METHOD (docs/flyte.md). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/flyte.pb-c.h"
#include "adapters/flyte_events.h"
#include "adapters/flyte_records.h"
#include "handlers/connect.h"
#include "handlers/handlers.h"
#include "handlers/submission.h"
#include "server/http.h"

struct flyte_method;

typedef void flyte_handler(const struct flyte_method *method, struct connect_call *call);

struct flyte_method {
    const char *service, *name;
    const ProtobufCMessageDescriptor *request, *answer;
    flyte_handler *handle; /* takes the call over, but for its struct */
};

/* -------- answers -------- */

/* Takes the document over. */
static void reply_document(struct http_request *request, const ProtobufCMessageDescriptor *answer,
                           json_t *document, bool is_json)
{
    struct buffer body = {0};

    flyte_write_answer(&body, answer, document, is_json);
    json_decref(document);
    reply_buffer(request, 200, connect_content_type(is_json, false), &body);
}

/* -------- reports -------- */

struct report {
    const struct flyte_method *method;
    struct connect_call call;
    struct arena arena;
    const ProtobufCMessage *message; /* in the arena */
    int64_t received_us;
};

static void report_free(void *arg)
{
    struct report *report = arg;

    connect_clear(&report->call);
    arena_free(&report->arena);
    free(report);
}

/* The events that the request says. */
static int report_make(void *arg, struct event_batch *batch, struct problem *problem)
{
    struct report *report = arg;
    struct flyte_events events;
    int status;

    report->message =
        connect_message(&report->call, report->method->request, &report->arena, problem);
    if (report->message == NULL)
        return -1;
    flyte_events_write(&events, report->message);
    if (events.json.failed) {
        buffer_free(&events.json);
        return problem_set(problem, PROBLEM_OVERLOADED, NULL, "Out of memory.");
    }
    status = event_batch_decode(batch, events.json.bytes, events.json.length, EVENT_BATCH_JSON,
                                NULL, report->received_us, problem);
    for (size_t i = 0; i < batch->count && events.version != 0; i++)
        batch->events[i].version = events.version;
    return status;
}

/* The problem of the batch's first rejected event; NULL if there is none. */
static const struct problem *first_problem(const struct event_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        if (batch->results[i].status == EVENT_REJECTED)
            return batch->results[i].problem;
    return NULL;
}

/* What its clients drop or send again for ever is not told to them: an executor repeats the whole
 * of a batch that is refused. */
static void log_rejected(const struct report *report, const struct problem *problem)
{
    log_write(report->call.app->shared->log, LOG_WARNING, "an event was rejected", "s:s, s:s, s:s",
              "service", report->method->service, "method", report->method->name, "why",
              problem->detail);
}

static json_t *id_of(const ProtobufCMessage *message, const char *field)
{
    struct buffer text = {0};
    json_t *id = NULL;

    buffer_text(&text, "{\"\":0");
    message_write_member(&text, message, field);
    buffer_text(&text, "}");
    if (!text.failed)
        id = json_loadb(text.bytes, text.length, 0, NULL);
    buffer_free(&text);
    return id;
}

/* The document that answers a report whose events have their verdicts. */
static json_t *answer_of(const struct report *report, const struct event_batch *batch,
                         const struct problem *problem)
{
    const ProtobufCMessageDescriptor *kind = report->method->answer;
    const char *why = problem == NULL ? NULL : problem->detail;
    json_t *document;

    if (kind == &flyte__report_tracked_actions_response__descriptor)
        return flyte_statuses(batch);
    if (kind == &flyte__create_run_response__descriptor) {
        const struct run_key *run = &batch->events[0].run;
        const struct flyte_scope scope = {"", run->project, run->domain, run->run_name};

        return flyte_created_run(&scope);
    }
    if (kind == &flyte__record_action_events_response__descriptor)
        return json_pack("{s:o}", "status", flyte_status(NULL));
    if (kind == &flyte__record_response__descriptor)
        return json_object();
    document = id_of(report->message, "action_id");
    json_object_set_new(document, "status", flyte_status(why));
    return document;
}

static void report_reply(void *arg, struct http_request *request, const struct event_batch *batch)
{
    struct report *report = arg;
    const struct problem *problem = first_problem(batch);
    bool is_single = report->method->request == &flyte__create_tracked_run_request__descriptor;

    if (problem != NULL && (is_single || problem->kind == PROBLEM_FORBIDDEN)) {
        reply_problem(request, problem);
        return;
    }
    if (problem != NULL)
        log_rejected(report, problem);
    reply_document(request, report->method->answer, answer_of(report, batch, problem),
                   report->call.is_json);
}

static void handle_report(const struct flyte_method *method, struct connect_call *call)
{
    static const struct submission_steps steps = {
        .make = report_make, .reply = report_reply, .free = report_free};
    struct report *report = calloc(1, sizeof *report);
    bool is_large = call->length > DECODED_ON_LOOP_MAX;

    if (report == NULL) {
        connect_clear(call);
        reply_unavailable(call->request, -ENOMEM);
        return;
    }
    report->method = method;
    report->call = *call;
    report->received_us = submission_now_us();
    submission_start(call->app, call->request, &steps, report, is_large);
}

/* -------- what does not need the database -------- */

/* An empty answer is this endpoint. */
static void handle_select_cluster(const struct flyte_method *method, struct connect_call *call)
{
    reply_document(call->request, method->answer, json_object(), call->is_json);
    connect_clear(call);
}

/* Appends a text as a segment of a path. */
static void write_segment(struct buffer *out, const char *text)
{
    static const char digits[] = "0123456789ABCDEF";

    for (; *text != '\0'; text++) {
        const unsigned char c = (unsigned char)*text;
        const char escaped[3] = {'%', digits[c >> 4], digits[c & 15]};
        bool is_plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                        (c >= 'a' && c <= 'z') || c == '-' || c == '_' || c == '.' || c == '~';

        buffer_append(out, is_plain ? text : escaped, is_plain ? 1 : sizeof escaped);
    }
}

static void write_upload_url(struct buffer *out, const struct http_request *request,
                             const Flyte__CreateUploadLocationRequest *upload)
{
    const char *scheme = http_request_header(request, "X-Forwarded-Proto");
    const char *host = http_request_header(request, "Host");

    buffer_text(out, scheme != NULL && strcmp(scheme, "https") == 0 ? "https://" : "http://");
    buffer_text(out, host == NULL ? "" : host);
    buffer_text(out, "/v1/projects/");
    write_segment(out, upload->project);
    buffer_text(out, "/domains/");
    write_segment(out, upload->domain);
    buffer_text(out, "/uploads/");
    write_segment(out, upload->filename);
    buffer_append(out, "", 1);
}

/* Where a task's inputs and outputs go: to nowhere (handle_put_upload), and the address that they
 * then have says so. The client's own token goes with them. */
static json_t *upload_location(const struct http_request *request,
                               const Flyte__CreateUploadLocationRequest *upload)
{
    const char *token = http_request_header(request, "Authorization");
    struct buffer url = {0}, address = {0};
    json_t *location = NULL;

    write_upload_url(&url, request, upload);
    buffer_text(&address, "not-kept:");
    buffer_text(&address, upload->filename_root);
    buffer_text(&address, "/");
    buffer_text(&address, upload->filename);
    buffer_append(&address, "", 1);
    if (!url.failed && !address.failed)
        location = json_pack("{s:s, s:s, s:{}}", "signedUrl", url.bytes, "nativeUrl", address.bytes,
                             "headers");
    if (location != NULL && token != NULL)
        json_object_set_new(json_object_get(location, "headers"), "Authorization",
                            json_string(token));
    buffer_free(&url);
    buffer_free(&address);
    return location;
}

static void handle_create_upload_location(const struct flyte_method *method,
                                          struct connect_call *call)
{
    struct arena arena = {0};
    struct problem problem;
    const void *message = connect_message(call, method->request, &arena, &problem);

    if (message == NULL)
        reply_problem(call->request, &problem);
    else
        reply_document(call->request, method->answer, upload_location(call->request, message),
                       call->is_json);
    arena_free(&arena);
    connect_clear(call);
}

void handle_put_upload(struct app *app, struct http_request *request)
{
    (void)app;
    reply_empty(request, 200);
}

static void handle_tail_logs(const struct flyte_method *method, struct connect_call *call)
{
    (void)method;
    connect_refuse(call->request, "unimplemented",
                   "runtree keeps no logs. Where an action's logs are is in its details: "
                   "`flyte get action RUN ACTION` shows the links.");
    connect_clear(call);
}

/* -------- all methods -------- */

#define WORKFLOW "flyteidl2.workflow."

static const struct flyte_method methods[] = {
    {WORKFLOW "TrackedRunService", "CreateRun", &flyte__create_tracked_run_request__descriptor,
     &flyte__create_run_response__descriptor, handle_report},
    {WORKFLOW "TrackedRunService", "ReportActions",
     &flyte__report_tracked_actions_request__descriptor,
     &flyte__report_tracked_actions_response__descriptor, handle_report},
    {WORKFLOW "InternalRunService", "RecordAction", &flyte__record_action_request__descriptor,
     &flyte__record_action_response__descriptor, handle_report},
    {WORKFLOW "InternalRunService", "UpdateActionStatus",
     &flyte__update_action_status_request__descriptor,
     &flyte__update_action_status_response__descriptor, handle_report},
    {WORKFLOW "InternalRunService", "RecordActionEvents",
     &flyte__record_action_events_request__descriptor,
     &flyte__record_action_events_response__descriptor, handle_report},
    {WORKFLOW "EventsProxyService", "Record", &flyte__record_action_events_request__descriptor,
     &flyte__record_response__descriptor, handle_report},
    {"flyteidl2.cluster.ClusterService", "SelectCluster",
     &flyte__select_cluster_request__descriptor, &flyte__select_cluster_response__descriptor,
     handle_select_cluster},
    {"flyteidl2.dataproxy.DataProxyService", "CreateUploadLocation",
     &flyte__create_upload_location_request__descriptor,
     &flyte__create_upload_location_response__descriptor, handle_create_upload_location},
    {"flyteidl2.dataproxy.DataProxyService", "TailLogs", &flyte__tail_logs_request__descriptor,
     NULL, handle_tail_logs},
};

void handle_flyte(struct app *app, struct http_request *request)
{
    const char *service = http_request_uri(request)->segments[0];
    const char *name = http_request_capture(request, "method");
    struct connect_call call;
    char text[256];

    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (strcmp(methods[i].service, service) != 0 || strcmp(methods[i].name, name) != 0)
            continue;
        if (connect_begin(&call, app, request) == 0)
            methods[i].handle(&methods[i], &call);
        return;
    }
    snprintf(text, sizeof text,
             "runtree does not do %.60s/%.60s (docs/flyte.md says what it does).", service, name);
    connect_refuse(request, "unimplemented", text);
}
