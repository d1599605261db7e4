/* Submitting action events. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "handlers/handlers.h"
#include "handlers/submission.h"
#include "model/event_batch.h"
#include "server/http.h"

struct posted_events {
    char *body; /* owned until it is decoded */
    size_t length;
    enum event_batch_form form;
    struct action_event_path path; /* of a PUT, else all NULL */
    struct arena path_texts;
    int64_t received_us;
};

static void posted_free(void *arg)
{
    struct posted_events *posted = arg;

    free(posted->body);
    arena_free(&posted->path_texts);
    free(posted);
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
    buffer_integer_member(&body, "],\"rejected\":", rejected);
    buffer_text(&body, "}");
    reply_buffer(request, rejected > 0 ? 207 : 200, "application/json", &body);
}

static void posted_reply(void *arg, struct http_request *request, const struct event_batch *batch)
{
    (void)arg;
    if (batch->is_single)
        reply_single(request, batch);
    else
        reply_list(request, batch);
}

static int posted_decode(void *arg, struct event_batch *batch, struct problem *problem)
{
    struct posted_events *posted = arg;
    char *body = posted->body;

    posted->body = NULL;
    return event_batch_decode(batch, body, posted->length, posted->form,
                              posted->path.project == NULL ? NULL : &posted->path,
                              posted->received_us, problem);
}

/* The path outlives the request, too. */
static int copy_path(struct posted_events *posted)
{
    struct action_event_path *path = &posted->path;
    const char **parts[] = {&path->project, &path->domain, &path->run_name, &path->name,
                            &path->attempt, &path->phase,  &path->version};

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (*parts[i] != NULL)
            *parts[i] = arena_copy(&posted->path_texts, *parts[i]);
        if (*parts[i] == NULL && path->project != NULL)
            return -ENOMEM;
    }
    return 0;
}

/* A large body would hold the loop: a worker thread decodes it. */
static void take_events(struct app *app, struct http_request *request, enum event_batch_form form,
                        const struct action_event_path *path)
{
    static const struct submission_steps steps = {
        .make = posted_decode, .reply = posted_reply, .free = posted_free};
    struct posted_events *posted = calloc(1, sizeof *posted);
    bool is_large;

    if (posted == NULL) {
        reply_unavailable(request, -ENOMEM);
        return;
    }
    posted->form = form;
    posted->received_us = submission_now_us();
    if (path != NULL)
        posted->path = *path;
    posted->body = http_request_take_body(request, &posted->length);
    is_large = posted->length > DECODED_ON_LOOP_MAX;
    if (is_large && copy_path(posted) < 0) {
        posted_free(posted);
        reply_unavailable(request, -ENOMEM);
        return;
    }
    submission_start(app, request, &steps, posted, is_large);
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
