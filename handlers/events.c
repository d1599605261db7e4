/* Submitting action events. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "handlers/handlers.h"
#include "model/event_batch.h"
#include "server/http.h"

enum { DECODED_ON_LOOP_MAX = 32 * 1024 };

struct submission {
    struct app *app;
    struct http_request *request; /* NULL: gone while its body was decoded */
    char *body;                   /* owned until it is decoded */
    size_t length;
    enum event_batch_form form;
    struct action_event_path path; /* of a PUT, else all NULL */
    struct arena path_texts;
    int64_t received_us;
    uv_work_t work;
    int decode_status; /* other than 0: `problem` says why */
    struct problem problem;
    struct event_batch batch;
};

static void submission_free(struct submission *submission)
{
    free(submission->body);
    arena_free(&submission->path_texts);
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

static void reply_single(struct http_request *request, const struct event_batch *batch)
{
    const struct event_result *result = &batch->results[0];
    struct buffer body = {0};

    if (result->status == EVENT_REJECTED) {
        reply_problem(request, result->problem);
        return;
    }
    event_result_write(&body, result, batch->events[0].is_truncated);
    reply_buffer(request, result->status == EVENT_DUPLICATE ? 200 : 201, "application/json", &body);
}

static void reply_list(struct http_request *request, const struct event_batch *batch)
{
    struct buffer body = {0};
    int64_t rejected = 0;

    buffer_text(&body, "{\"results\":[");
    for (size_t i = 0; i < batch->count; i++) {
        rejected += batch->results[i].status == EVENT_REJECTED;
        if (i > 0)
            buffer_text(&body, ",");
        event_result_write(&body, &batch->results[i], batch->events[i].is_truncated);
    }
    buffer_text(&body, "],\"rejected\":");
    buffer_integer(&body, rejected);
    buffer_text(&body, "}");
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
        reply_single(submission->request, &submission->batch);
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

/* Hands the events to the writers. */
static void submit(struct submission *submission)
{
    struct app *app = submission->app;
    struct http_request *request = submission->request;
    struct event_batch *batch = &submission->batch;
    int status;

    http_request_hold(request, event_batch_bytes(batch));
    if (reject_forbidden(http_request_access(request), batch) < 0) {
        submission_free(submission);
        reply_unavailable(request, -ENOMEM);
        return;
    }
    if (!http_request_spend(request, RATE_EVENTS, count_pending(batch))) {
        submission_free(submission);
        return;
    }
    if (count_pending(batch) == 0) {
        on_written(submission, EVENT_WRITE_DONE, NULL);
        return;
    }
    status = app->is_draining ? -ENOTCONN
                              : event_writers_submit(app->writers, batch, on_written, submission);
    if (status < 0) {
        submission_free(submission);
        reply_unavailable(request, status);
    }
}

/* -------- from the body to the events -------- */

static void decode(struct submission *submission)
{
    char *body = submission->body;

    submission->body = NULL;
    submission->decode_status =
        event_batch_decode(&submission->batch, body, submission->length, submission->form,
                           submission->path.project == NULL ? NULL : &submission->path,
                           submission->received_us, &submission->problem);
}

static void on_worker(uv_work_t *work)
{
    decode(work->data);
}

static void after_decode(struct submission *submission)
{
    struct http_request *request = submission->request;

    if (submission->decode_status == 0) {
        submit(submission);
        return;
    }
    reply_problem(request, &submission->problem);
    submission_free(submission);
}

static void after_worker(uv_work_t *work, int status)
{
    struct submission *submission = work->data;

    (void)status;
    if (submission->request == NULL) {
        submission_free(submission);
        return;
    }
    http_request_when_gone(submission->request, NULL, NULL);
    after_decode(submission);
}

static void on_gone(void *arg)
{
    struct submission *submission = arg;

    submission->request = NULL;
}

/* The path outlives the request, too. */
static int copy_path(struct submission *submission)
{
    struct action_event_path *path = &submission->path;
    const char **parts[] = {&path->project, &path->domain, &path->run_name, &path->name,
                            &path->attempt, &path->phase,  &path->version};

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (*parts[i] != NULL)
            *parts[i] = arena_copy(&submission->path_texts, *parts[i]);
        if (*parts[i] == NULL && path->project != NULL)
            return -ENOMEM;
    }
    return 0;
}

/* A large body would hold the loop: a worker thread decodes it. */
static void take_events(struct app *app, struct http_request *request, enum event_batch_form form,
                        const struct action_event_path *path)
{
    struct submission *submission = calloc(1, sizeof *submission);
    uv_timeval64_t now;

    if (submission == NULL) {
        reply_unavailable(request, -ENOMEM);
        return;
    }
    uv_gettimeofday(&now);
    submission->app = app;
    submission->request = request;
    submission->form = form;
    submission->received_us = now.tv_sec * 1000000 + now.tv_usec;
    if (path != NULL)
        submission->path = *path;
    submission->body = http_request_take_body(request, &submission->length);
    if (submission->length <= DECODED_ON_LOOP_MAX) {
        decode(submission);
        after_decode(submission);
        return;
    }
    if (copy_path(submission) < 0) {
        submission_free(submission);
        reply_unavailable(request, -ENOMEM);
        return;
    }
    submission->work.data = submission;
    http_request_when_gone(request, on_gone, submission);
    uv_queue_work(app->loop, &submission->work, on_worker, after_worker);
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
        take_events(app, request, form, NULL);
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
        take_events(app, request, form, &path);
}
