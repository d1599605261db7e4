#include "handlers/flyte_reports.h"

#include <errno.h>
#include <stdlib.h>

#include "adapters/flyte.pb-c.h"
#include "adapters/flyte_events.h"
#include "adapters/flyte_records.h"
#include "handlers/submission.h"
#include "handlers/unmapped.h"
#include "server/http.h"

enum { JSON_PER_PROTO = 3 }; /* so much longer are the events that a message becomes, about */

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

/* Counts what was rejected; the problem of the first, NULL if there is none. Its clients are not
 * told of it where they would drop all of a request, or send it again for ever: an executor does so
 * with a batch that is refused. */
static const struct problem *count_rejected(const struct report *report,
                                            const struct event_batch *batch)
{
    const struct run_key nowhere = {"", "", ""};
    const struct problem *first = NULL;
    uint64_t count = 0;

    for (size_t i = 0; i < batch->count; i++)
        if (batch->results[i].status == EVENT_REJECTED && count++ == 0)
            first = batch->results[i].problem;
    if (first != NULL)
        count_unmapped(report->call.app, "flyte", UNMAPPED_REJECTED, count, &nowhere,
                       first->detail);
    return first;
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
        const Flyte__CreateTrackedRunRequest *asked =
            (const Flyte__CreateTrackedRunRequest *)report->message;
        const struct run_key *run = &batch->events[0].run;
        const struct flyte_scope scope = {asked->run_id == NULL ? "" : asked->run_id->org,
                                          run->project, run->domain, run->run_name};

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
    const struct problem *problem = count_rejected(report, batch);
    bool is_single = report->method->request == &flyte__create_tracked_run_request__descriptor;

    if (problem != NULL && (is_single || problem->kind == PROBLEM_FORBIDDEN)) {
        reply_problem(request, problem);
        return;
    }
    flyte_reply(request, report->method->answer, answer_of(report, batch, problem),
                report->call.is_json, NULL);
}

void flyte_report(const struct flyte_method *method, struct connect_call *call)
{
    static const struct submission_steps steps = {
        .make = report_make, .reply = report_reply, .free = report_free};
    struct report *report = calloc(1, sizeof *report);
    size_t length = call->is_json ? call->length : call->length * JSON_PER_PROTO;

    if (report == NULL) {
        connect_clear(call);
        reply_unavailable(call->request, -ENOMEM);
        return;
    }
    report->method = method;
    report->call = *call;
    report->received_us = submission_now_us();
    submission_start(call->app, call->request, &steps, report, length > DECODED_ON_LOOP_MAX);
}
