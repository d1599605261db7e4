/* Submitting action events. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "handlers/handlers.h"
#include "model/event_batch.h"
#include "server/reply.h"

struct submission {
    struct app *app;
    struct http_request *request;
    struct event_batch batch;
    int submit_status;
};

static void submission_free(struct submission *submission)
{
    event_batch_clear(&submission->batch);
    free(submission);
}

static void count_results(struct app *app, const struct event_batch *batch)
{
    static const enum metric metrics[] = {
        [EVENT_APPLIED] = METRIC_EVENTS_APPLIED,   [EVENT_RECORDED] = METRIC_EVENTS_RECORDED,
        [EVENT_WAITING] = METRIC_EVENTS_WAITING,   [EVENT_DUPLICATE] = METRIC_EVENTS_DUPLICATE,
        [EVENT_REJECTED] = METRIC_EVENTS_REJECTED,
    };

    for (size_t i = 0; i < batch->count; i++)
        if (batch->results[i].status != EVENT_PENDING)
            metrics_add(app->metrics, metrics[batch->results[i].status], 1);
}

static void reply_single(struct http_request *request, const struct event_result *result)
{
    struct json_buffer body = {0};

    if (result->status == EVENT_REJECTED) {
        reply_problem(request, result->problem);
        return;
    }
    event_result_write(&body, result);
    reply_buffer(request, result->status == EVENT_DUPLICATE ? 200 : 201, "application/json", &body);
}

static void reply_list(struct http_request *request, const struct event_batch *batch)
{
    struct json_buffer body = {0};
    int64_t rejected = 0;

    json_buffer_text(&body, "{\"results\":[");
    for (size_t i = 0; i < batch->count; i++) {
        rejected += batch->results[i].status == EVENT_REJECTED;
        if (i > 0)
            json_buffer_text(&body, ",");
        event_result_write(&body, &batch->results[i]);
    }
    json_buffer_text(&body, "],\"rejected\":");
    json_buffer_integer(&body, rejected);
    json_buffer_text(&body, "}");
    reply_buffer(request, rejected > 0 ? 207 : 200, "application/json", &body);
}

static void on_written(void *arg, enum event_write_outcome outcome, const char *why)
{
    struct submission *submission = arg;

    count_results(submission->app, &submission->batch);
    if (outcome == EVENT_WRITE_UNAVAILABLE && why != NULL)
        reply_problemf(submission->request, PROBLEM_UNAVAILABLE, NULL, "%s", why);
    else if (outcome == EVENT_WRITE_UNAVAILABLE)
        reply_unavailable(submission->request, -ENOTCONN);
    else if (submission->batch.is_single)
        reply_single(submission->request, &submission->batch.results[0]);
    else
        reply_list(submission->request, &submission->batch);
    submission_free(submission);
}

/* How many of the batch are left to be written. */
static int64_t count_pending(const struct event_batch *batch)
{
    int64_t count = 0;

    for (size_t i = 0; i < batch->count; i++)
        count += batch->results[i].status == EVENT_PENDING;
    return count;
}

/* Rejects the events of projects that the request's token must not write. 0, or -ENOMEM. */
static int reject_forbidden(const struct access *access, struct event_batch *batch)
{
    struct problem problem;

    for (size_t i = 0; i < batch->count; i++) {
        const struct run_key *run = &batch->events[i].run;

        if (batch->results[i].status != EVENT_PENDING ||
            access_allows(access, ACCESS_WRITE, run->project, run->domain))
            continue;
        problem_set(&problem, PROBLEM_FORBIDDEN, NULL, "The token does not give write on %s/%s.",
                    run->project, run->domain);
        if (event_result_reject(&batch->results[i], &problem) < 0)
            return -ENOMEM;
    }
    return 0;
}

static void submit(struct app *app, struct http_request *request, enum event_batch_form form,
                   const struct action_event_path *path)
{
    struct submission *submission = calloc(1, sizeof *submission);
    struct problem problem;
    uv_timeval64_t now;
    size_t length;
    char *body;
    int status;

    if (submission == NULL) {
        reply_unavailable(request, -ENOMEM);
        return;
    }
    uv_gettimeofday(&now);
    submission->app = app;
    submission->request = request;
    body = http_request_take_body(request, &length);
    if (event_batch_decode(&submission->batch, body, length, form, path,
                           now.tv_sec * 1000000 + now.tv_usec, &problem) < 0) {
        free(submission);
        reply_problem(request, &problem);
        return;
    }
    if (reject_forbidden(http_request_access(request), &submission->batch) < 0) {
        submission_free(submission);
        reply_unavailable(request, -ENOMEM);
        return;
    }
    if (!http_request_may_take(request, RATE_EVENTS, count_pending(&submission->batch))) {
        submission_free(submission);
        return;
    }
    if (count_pending(&submission->batch) == 0) {
        on_written(submission, EVENT_WRITE_DONE, NULL);
        return;
    }
    status = app->writers == NULL || app->is_draining
                 ? -ENOTCONN
                 : event_writers_submit(app->writers, &submission->batch, on_written, submission);
    if (status < 0) {
        submission_free(submission);
        reply_unavailable(request, status);
    }
}

static bool has_type(const char *header, const char *type)
{
    size_t length = strlen(type);

    return strncasecmp(header, type, length) == 0 &&
           (header[length] == '\0' || header[length] == ';' || header[length] == ' ');
}

/* 0 and *form, or -1 when answered. curl -d says application/x-www-form-urlencoded of whatever it
 * sends; that is taken as JSON, too. */
static int read_form(struct http_request *request, enum event_batch_form *form)
{
    const char *type = http_request_header(request, "Content-Type");

    *form = EVENT_BATCH_JSON;
    if (type == NULL || has_type(type, "application/json") ||
        has_type(type, "application/x-www-form-urlencoded"))
        return 0;
    *form = EVENT_BATCH_NDJSON;
    if (has_type(type, "application/x-ndjson"))
        return 0;
    reply_problemf(request, PROBLEM_UNSUPPORTED_MEDIA_TYPE, NULL,
                   "The body must be application/json or application/x-ndjson, not %.100s.", type);
    return -1;
}

void handle_post_events(struct app *app, struct http_request *request)
{
    enum event_batch_form form;

    if (read_form(request, &form) == 0)
        submit(app, request, form, NULL);
}

void handle_put_event(struct app *app, struct http_request *request)
{
    const struct action_event_path path = {
        .project = http_request_capture(request, "project"),
        .domain = http_request_capture(request, "domain"),
        .run_name = http_request_capture(request, "run"),
        .name = http_request_capture(request, "action"),
        .attempt = http_request_capture(request, "attempt"),
        .phase = http_request_capture(request, "phase"),
        .version = http_request_capture(request, "version"),
    };
    enum event_batch_form form;

    if (read_form(request, &form) < 0)
        return;
    if (form == EVENT_BATCH_NDJSON)
        reply_problemf(request, PROBLEM_UNSUPPORTED_MEDIA_TYPE, NULL,
                       "The body of a PUT is one event: application/json.");
    else
        submit(app, request, form, &path);
}
