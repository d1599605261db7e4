/* Flyte 2's services, as far as its clients need them to report runs and to read them: the paths
 * are those of its protocol, /SERVICE/METHOD (docs/flyte.md). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/flyte.pb-c.h"
#include "handlers/flyte_abort.h"
#include "handlers/flyte_call.h"
#include "handlers/flyte_reads.h"
#include "handlers/flyte_reports.h"
#include "handlers/flyte_watch.h"
#include "handlers/handlers.h"
#include "handlers/run_cells.h"
#include "server/http.h"

/* -------- what does not need the database -------- */

/* An empty answer is this endpoint. */
static void handle_select_cluster(const struct flyte_method *method, struct connect_call *call)
{
    flyte_reply(call->request, method->answer, json_object(), call->is_json, NULL);
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
        flyte_reply(call->request, method->answer, upload_location(call->request, message),
                    call->is_json, NULL);
    arena_free(&arena);
    connect_clear(call);
}

void handle_put_upload(struct app *app, struct http_request *request)
{
    (void)app;
    reply_empty(request, 200);
}

/* The address that Flyte's SDK prints of a run, of an action with ?i=: its console's, here the
 * page's. */
void handle_flyte_console(struct app *app, struct http_request *request)
{
    static const char *const parts[] = {"project", "domain", "run"};
    const char *action = http_request_parameter(request, "i");
    struct buffer place = {0};

    (void)app;
    buffer_text(&place, "/#/runs");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        buffer_text(&place, "/");
        write_segment(&place, http_request_capture(request, parts[i]));
    }
    if (action != NULL) {
        buffer_text(&place, "?action=");
        write_segment(&place, action);
    }
    buffer_append(&place, "", 1);
    if (place.failed) {
        reply_unavailable(request, -ENOMEM);
    } else {
        const struct reply_header headers[] = {{"Location", place.bytes}, {NULL, NULL}};

        reply_static_with(request, 302, NULL, "", 0, headers);
    }
    buffer_free(&place);
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
#define CLUSTER "flyteidl2.cluster."
#define DATA "flyteidl2.dataproxy."
#define PROJECT "flyteidl2.project."

#define ROW(service, name, request, answer, handle)                                                \
    {                                                                                              \
        service, name, &flyte__##request##__descriptor, &flyte__##answer##__descriptor, handle     \
    }

/* Runs and tracked runs are the same here. */
#define READING_ROWS(service)                                                                      \
    ROW(service, "ListRuns", list_runs_request, list_runs_response, flyte_list_runs),              \
        ROW(service, "GetRunDetails", run_request, get_run_details_response,                       \
            flyte_get_run_details),                                                                \
        ROW(service, "ListActions", list_actions_request, list_actions_response,                   \
            flyte_list_actions),                                                                   \
        ROW(service, "GetActionDetails", action_request, action_details_response,                  \
            flyte_get_action_details),                                                             \
        ROW(service, "WatchActions", watch_actions_request, watch_actions_response,                \
            flyte_watch_actions),                                                                  \
        ROW(service, "WatchActionDetails", action_request, action_details_response,                \
            flyte_watch_action_details)

static const struct flyte_method methods[] = {
    ROW(WORKFLOW "TrackedRunService", "CreateRun", create_tracked_run_request, create_run_response,
        flyte_report),
    ROW(WORKFLOW "TrackedRunService", "ReportActions", report_tracked_actions_request,
        report_tracked_actions_response, flyte_report),
    ROW(WORKFLOW "TrackedRunService", "AbortRun", abort_run_request, abort_response,
        flyte_abort_run),
    ROW(WORKFLOW "RunService", "AbortRun", abort_run_request, abort_response, flyte_abort_run),
    ROW(WORKFLOW "RunService", "AbortAction", abort_action_request, abort_response,
        flyte_abort_action),
    ROW(WORKFLOW "InternalRunService", "RecordAction", record_action_request,
        record_action_response, flyte_report),
    ROW(WORKFLOW "InternalRunService", "UpdateActionStatus", update_action_status_request,
        update_action_status_response, flyte_report),
    ROW(WORKFLOW "InternalRunService", "RecordActionEvents", record_action_events_request,
        record_action_events_response, flyte_report),
    ROW(WORKFLOW "EventsProxyService", "Record", record_action_events_request, record_response,
        flyte_report),
    READING_ROWS(WORKFLOW "RunService"),
    READING_ROWS(WORKFLOW "TrackedRunService"),
    ROW(PROJECT "ProjectService", "ListProjects", list_projects_request, list_projects_response,
        flyte_list_projects),
    ROW(CLUSTER "ClusterService", "SelectCluster", select_cluster_request, select_cluster_response,
        handle_select_cluster),
    ROW(DATA "DataProxyService", "CreateUploadLocation", create_upload_location_request,
        create_upload_location_response, handle_create_upload_location),
    ROW(DATA "DataProxyService", "TailLogs", tail_logs_request, tail_logs_request,
        handle_tail_logs),
};

/* A call that waits until it is known where its run is. */
struct waiting_call {
    const struct flyte_method *method;
    struct connect_call call;
};

static void call_now(void *arg)
{
    struct waiting_call waiting = *(struct waiting_call *)arg;

    free(arg);
    waiting.method->handle(waiting.method, &waiting.call);
}

static void drop_call(void *arg)
{
    struct waiting_call *waiting = arg;

    connect_clear(&waiting->call);
    free(waiting);
}

/* The message in the field of that name; NULL if there is none. */
static const ProtobufCMessage *member(const ProtobufCMessage *message, const char *name)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);

    if (field == NULL || field->type != PROTOBUF_C_TYPE_MESSAGE ||
        field->label == PROTOBUF_C_LABEL_REPEATED)
        return NULL;
    return *(const ProtobufCMessage *const *)(const void *)((const char *)message + field->offset);
}

/* The run that the message is about, which knows it as its own or as its action's. */
static bool read_run(const ProtobufCMessage *message, struct run_key *run)
{
    const ProtobufCMessage *id = member(message, "run_id");
    const ProtobufCMessage *action = member(message, "action_id");

    if (id == NULL && action != NULL)
        id = member(action, "run");
    return id != NULL && id->descriptor == &flyte__run_identifier__descriptor &&
           flyte_run_key((const Flyte__RunIdentifier *)(const void *)id, run);
}

/* Events find their runs' cells themselves; what is wrong is left to the method to refuse. */
static void call_with_its_run(const struct flyte_method *method, struct connect_call *call)
{
    struct waiting_call *waiting;
    const ProtobufCMessage *message = NULL;
    struct arena arena = {0};
    struct problem problem;
    struct run_key run;

    if (method->handle != flyte_report && places_may_differ(call->app->places))
        message = connect_message(call, method->request, &arena, &problem);
    if (message == NULL || !read_run(message, &run)) {
        method->handle(method, call);
    } else if ((waiting = malloc(sizeof *waiting)) != NULL) {
        *waiting = (struct waiting_call){method, *call};
        when_runs_are_found(call->request, &run, 1, call_now, drop_call, waiting);
    } else {
        connect_clear(call);
        reply_unavailable(call->request, -ENOMEM);
    }
    arena_free(&arena);
}

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
            call_with_its_run(&methods[i], &call);
        return;
    }
    snprintf(text, sizeof text,
             "runtree does not do %.60s/%.60s (docs/flyte.md says what it does).", service, name);
    connect_refuse(request, "unimplemented", text);
}
