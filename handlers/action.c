/* Reading one action with its attempts, which are merged from its events: the newest of them, as
 * many as fit into the limits below. */
#include <errno.h>
#include <stdlib.h>

#include "handlers/handlers.h"
#include "handlers/page.h"
#include "handlers/parameters.h"
#include "model/attempts.h"
#include "model/records.h"
#include "server/http.h"

enum {
    PART_EVENTS = 1000, /* are read at once … */
    PART_BYTES = 1024 * 1024,
    MERGED_EVENTS_MAX = 20000, /* … until there are so many … */
    MERGED_BYTES_MAX = 8 * 1024 * 1024,
    MERGED_ATTEMPTS_MAX = 1000,
    MADE_ON_LOOP_BYTES_MAX = 16 * 1024, /* more are merged by a worker thread */
};

struct action_reply {
    struct app *app;
    struct http_request *request;
    struct buffer body; /* the action's members */
    struct attempts *attempts;
    struct attempt_query query;
    struct {
        bool goes_on;           /* the attempt has more events */
        int32_t attempt_before; /* 0: none */
    } part;
    int32_t merged_events, merged_attempts;
    size_t merged_bytes;
    size_t held_bytes; /* in the account of memory */
    bool is_truncated, is_out_of_memory;
};

static void action_reply_free(void *arg)
{
    struct action_reply *reply = arg;

    memory_hold(reply->app->shared->memory, MEMORY_READS, &reply->held_bytes, 0);
    attempts_free(reply->attempts);
    buffer_free(&reply->body);
    free(reply);
}

static void on_action(void *arg, const struct action *action)
{
    struct action_reply *reply = arg;
    struct buffer *body = &reply->body;

    buffer_text(body, "{\"project\":");
    buffer_string(body, reply->query.run.project);
    buffer_text(body, ",\"domain\":");
    buffer_string(body, reply->query.run.domain);
    buffer_text(body, ",\"runName\":");
    buffer_string(body, reply->query.run.run_name);
    buffer_text(body, ",\"waiting\":");
    buffer_text(body, action->ordinal == 0 ? "true," : "false,");
    record_write_action_members(body, action);
}

/* -------- the answer -------- */

/* Perhaps on a worker thread. */
static void make_document(void *arg, struct buffer *out)
{
    struct action_reply *reply = arg;
    bool is_whole;

    buffer_append(out, reply->body.bytes, reply->body.length);
    buffer_text(out, ",\"attempts\":");
    is_whole = attempts_write(reply->attempts, out) && !reply->is_truncated;
    buffer_text(out, is_whole ? ",\"truncated\":false}" : ",\"truncated\":true}");
}

static void finish_action(struct action_reply *reply)
{
    struct buffer document = {0};

    if (reply->body.failed || reply->is_out_of_memory) {
        reply_unavailable(reply->request, -ENOMEM);
    } else if (attempts_bytes(reply->attempts) > MADE_ON_LOOP_BYTES_MAX) {
        reply_made(reply->request, make_document, action_reply_free, reply);
        return;
    } else {
        make_document(reply, &document);
        reply_buffer(reply->request, 200, "application/json", &document);
    }
    action_reply_free(reply);
}

/* -------- reading the events, the furthest first -------- */

static void on_attempt_event(void *arg, const struct stored_event *event)
{
    struct action_reply *reply = arg;

    reply->merged_events++;
    reply->merged_bytes += event->info.length;
    reply->query.attempt = event->attempt;
    reply->query.before = event_order_of(event->attempt, event->phase, event->version).position;
    reply->part.goes_on = event->goes_on;
    reply->part.attempt_before = event->attempt_before;
    if (attempts_add(reply->attempts, event->attempt, event->phase, event->version,
                     event->updated_us, event->info) < 0)
        reply->is_out_of_memory = true;
}

static void on_beginnings_end(void *arg, enum repo_outcome outcome, const char *message)
{
    struct action_reply *reply = arg;

    if (outcome == REPO_OK) {
        finish_action(reply);
    } else {
        reply_repo_failure(reply->request, outcome, message);
        action_reply_free(reply);
    }
}

/* An attempt of which events are left out has its first ones all the same, so that its times are
 * right. */
static void read_beginnings(struct action_reply *reply)
{
    int status = action_repo_attempt_beginnings(reply->app->repo, &reply->query, on_attempt_event,
                                                on_beginnings_end, reply);

    if (status < 0) {
        reply_unavailable(reply->request, status);
        action_reply_free(reply);
    }
}

static void on_part_end(void *arg, enum repo_outcome outcome, const char *message);

static void read_part(struct action_reply *reply)
{
    int status = -ENOBUFS;

    reply->part.goes_on = false;
    reply->part.attempt_before = 0;
    if (memory_has_room(reply->app->shared->memory, PART_BYTES))
        status = action_repo_attempt_events(reply->app->repo, &reply->query, on_attempt_event,
                                            on_part_end, reply);
    if (status < 0) {
        reply_unavailable(reply->request, status);
        action_reply_free(reply);
    }
}

static void on_part_end(void *arg, enum repo_outcome outcome, const char *message)
{
    struct action_reply *reply = arg;
    bool goes_on = reply->part.goes_on;

    if (outcome != REPO_OK) {
        reply_repo_failure(reply->request, outcome, message);
        action_reply_free(reply);
        return;
    }
    memory_hold(reply->app->shared->memory, MEMORY_READS, &reply->held_bytes,
                attempts_bytes(reply->attempts));
    reply->merged_attempts += !goes_on;
    reply->is_truncated =
        (goes_on || reply->part.attempt_before > 0) &&
        (reply->merged_events >= MERGED_EVENTS_MAX || reply->merged_bytes >= MERGED_BYTES_MAX ||
         reply->merged_attempts >= MERGED_ATTEMPTS_MAX);
    if (!goes_on) {
        reply->query.attempt = reply->part.attempt_before;
        reply->query.before = INT64_MAX;
    }
    if (!goes_on && (reply->is_truncated || reply->part.attempt_before == 0))
        finish_action(reply);
    else if (reply->is_truncated)
        read_beginnings(reply);
    else
        read_part(reply);
}

static void on_action_end(void *arg, enum repo_outcome outcome, const char *message)
{
    struct action_reply *reply = arg;

    if (outcome == REPO_OK && (reply->body.length > 0 || reply->body.failed)) {
        read_part(reply);
        return;
    }
    if (outcome != REPO_OK)
        reply_repo_failure(reply->request, outcome, message);
    else
        reply_problemf(reply->request, PROBLEM_NOT_FOUND, NULL, "There is no such action.");
    action_reply_free(reply);
}

void handle_get_action(struct app *app, struct http_request *request)
{
    struct action_reply *reply;
    struct run_key run;
    const char *name;
    int status;

    if (read_run_key(request, &run) < 0 ||
        read_captured_name(request, "action", KEY_NAME, &name) < 0)
        return;
    reply = calloc(1, sizeof *reply);
    if (reply != NULL)
        reply->attempts = attempts_new();
    if (reply == NULL || reply->attempts == NULL) {
        free(reply);
        reply_unavailable(request, -ENOMEM);
        return;
    }
    reply->app = app;
    reply->request = request;
    reply->query = (struct attempt_query){.client = repo_client_of(request),
                                          .run = run,
                                          .name = name,
                                          .attempt = INT32_MAX,
                                          .before = INT64_MAX,
                                          .limit = PART_EVENTS,
                                          .bytes_max = PART_BYTES};
    status = action_repo_get_action(app->repo, &run, name, on_action, on_action_end, reply);
    if (status < 0) {
        reply_unavailable(request, status);
        action_reply_free(reply);
    }
}
