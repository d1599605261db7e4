/* What other tools send, through their adapters. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/table.h"
#include "handlers/handlers.h"
#include "handlers/parameters.h"
#include "handlers/submission.h"
#include "handlers/unmapped.h"

/* Of /v1/adapters/{tool}/{project}/{domain}/… */
enum { SEGMENTS_BEFORE_REST = 5, HEADERS_MAX = 16 };

/* A request with all that its adapter sees, which outlives the http_request. */
struct adaptation {
    struct app *app;
    const struct adapter_tool *tool;
    struct adapter_request seen;
    struct adapter_answer answer;
    struct arena texts;
    char *body;
    bool is_handled; /* the answer is there, of whose events so many bytes are taken */
    size_t taken_length;
    size_t events; /* that the adapter made */
    uint64_t rejected;
    char why[PROBLEM_DETAIL_SIZE]; /* the first one was */
};

static void adaptation_free(void *arg)
{
    struct adaptation *adaptation = arg;

    adapter_answer_clear(&adaptation->answer);
    arena_free(&adaptation->texts);
    free(adaptation->body);
    free(adaptation);
}

/* -------- what the adapter sees -------- */

static int copy_path(struct adaptation *adaptation, const struct uri *uri)
{
    size_t count = uri->segment_count - SEGMENTS_BEFORE_REST;
    const char **path = arena_alloc(&adaptation->texts, (count + 1) * sizeof *path);

    if (path == NULL)
        return -ENOMEM;
    if (count > 0 && uri->segments[uri->segment_count - 1][0] == '\0')
        count--; /* "…/": what is behind the last slash */
    for (size_t i = 0; i < count; i++) {
        path[i] = arena_copy(&adaptation->texts, uri->segments[SEGMENTS_BEFORE_REST + i]);
        if (path[i] == NULL)
            return -ENOMEM;
    }
    adaptation->seen.path = path;
    adaptation->seen.path_count = count;
    return 0;
}

static int copy_field(struct adaptation *adaptation, struct adapter_field *field, const char *name,
                      const char *value)
{
    field->name = arena_copy(&adaptation->texts, name);
    field->value = arena_copy(&adaptation->texts, value);
    return field->name == NULL || field->value == NULL ? -ENOMEM : 0;
}

static int copy_parameters(struct adaptation *adaptation, const struct uri *uri)
{
    struct adapter_field *fields =
        arena_alloc(&adaptation->texts, (uri->parameter_count + 1) * sizeof *fields);

    if (fields == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < uri->parameter_count; i++)
        if (copy_field(adaptation, &fields[i], uri->parameters[i].name, uri->parameters[i].value) <
            0)
            return -ENOMEM;
    adaptation->seen.parameters = fields;
    adaptation->seen.parameter_count = uri->parameter_count;
    return 0;
}

static int copy_headers(struct adaptation *adaptation, const struct http_request *request)
{
    struct adapter_field *fields = arena_alloc(&adaptation->texts, HEADERS_MAX * sizeof *fields);

    if (fields == NULL)
        return -ENOMEM;
    adaptation->seen.headers = fields;
    for (const char *const *name = adaptation->tool->headers; name != NULL && *name != NULL;
         name++) {
        const char *value = http_request_header(request, *name);

        if (value == NULL || adaptation->seen.header_count == HEADERS_MAX)
            continue;
        if (copy_field(adaptation, &fields[adaptation->seen.header_count], *name, value) < 0)
            return -ENOMEM;
        adaptation->seen.header_count++;
    }
    return 0;
}

static int copy_request(struct adaptation *adaptation, struct http_request *request)
{
    const struct uri *uri = http_request_uri(request);
    struct adapter_request *seen = &adaptation->seen;
    struct arena *texts = &adaptation->texts;

    seen->received_us = submission_now_us();
    seen->method = http_request_method(request);
    seen->project = arena_copy(texts, http_request_capture(request, "project"));
    seen->domain = arena_copy(texts, http_request_capture(request, "domain"));
    adaptation->body = http_request_take_body(request, &seen->body_length);
    seen->body = adaptation->body;
    if (seen->project == NULL || seen->domain == NULL || copy_path(adaptation, uri) < 0 ||
        copy_parameters(adaptation, uri) < 0)
        return -ENOMEM;
    return copy_headers(adaptation, request);
}

/* -------- from the request to the events, and from their verdicts to the answer -------- */

/* How much of the lines one batch may have: whole ones. */
static size_t piece_length(const char *lines, size_t length)
{
    const char *end = lines;

    for (int count = 0; count < BATCH_EVENTS_MAX && end < lines + length; count++) {
        const char *newline = memchr(end, '\n', length - (size_t)(end - lines));

        if (newline == NULL || newline - lines >= BATCH_BYTES_MAX)
            break;
        end = newline + 1;
    }
    return end == lines ? length : (size_t)(end - lines);
}

/* The adapter runs once; its events are taken a batch at a time. */
static int make_events(void *arg, struct event_batch *batch, struct problem *problem)
{
    struct adaptation *adaptation = arg;
    struct buffer *events = &adaptation->answer.events;
    const char *from;
    size_t length;
    char *lines;

    if (!adaptation->is_handled) {
        adapter_handle(adaptation->tool, &adaptation->seen, &adaptation->answer);
        for (size_t i = 0; i < events->length && !adaptation->answer.failed; i++)
            adaptation->events += events->bytes[i] == '\n';
    }
    adaptation->is_handled = true;
    from = events->length == 0 ? "" : events->bytes + adaptation->taken_length;
    length = piece_length(from, events->length - adaptation->taken_length);
    lines = adaptation->answer.failed ? NULL : malloc(length + 1);
    if (lines == NULL)
        return problem_set(problem, PROBLEM_OVERLOADED, NULL,
                           "There was not enough memory to read the request.");
    memcpy(lines, from, length);
    adaptation->taken_length += length;
    if (event_batch_decode(batch, lines, length, EVENT_BATCH_NDJSON, NULL,
                           adaptation->seen.received_us, problem) < 0)
        return -1;
    return adaptation->taken_length < events->length;
}

static bool is_conflict_of_an_alias(const struct problem *problem)
{
    return problem->kind == PROBLEM_ALIAS_CONFLICT && strncmp(problem->pointer, "/aliases", 8) == 0;
}

/* What is rejected is kept with its run, by events of its own. */
static void take_rejected(struct adaptation *adaptation, const char *line, size_t length,
                          const struct problem *problem)
{
    struct adapter_answer *answer = &adaptation->answer;

    if (adaptation->rejected++ == 0)
        snprintf(adaptation->why, sizeof adaptation->why, "%s", problem->detail);
    if (is_conflict_of_an_alias(problem))
        adapter_drop_aliases(&adaptation->seen, answer, line, length);
    else
        adapter_keep_rejected(&adaptation->seen, answer, line, length, problem->detail);
}

static bool after_written(void *arg, const struct event_batch *batch)
{
    struct adaptation *adaptation = arg;
    struct adapter_answer *answer = &adaptation->answer;
    const char *line = batch->body;

    for (size_t i = 0; i < batch->count; i++) {
        const char *end = memchr(line, '\n', batch->body_length - (size_t)(line - batch->body));
        const struct event_result *result = &batch->results[i];

        assert(end != NULL); /* each event is a line */
        if (result->status == EVENT_REJECTED)
            take_rejected(adaptation, line, (size_t)(end - line), result->problem);
        line = end + 1;
    }
    return adaptation->taken_length < answer->events.length;
}

/* {"events": …, "rejected": …, "unmapped": …}, for who tries it by hand. */
static void write_summary(struct buffer *out, size_t events, uint64_t rejected, uint64_t unmapped)
{
    buffer_integer_member(out, "{\"events\":", (int64_t)events);
    buffer_integer_member(out, ",\"rejected\":", (int64_t)rejected);
    buffer_integer_member(out, ",\"unmapped\":", (int64_t)unmapped);
    buffer_text(out, "}");
}

static void reply_adapted(void *arg, struct http_request *request, const struct event_batch *batch)
{
    struct adaptation *adaptation = arg;
    struct adapter_answer *answer = &adaptation->answer;
    const struct app *app = adaptation->app;
    const struct run_key place = {adaptation->seen.project, adaptation->seen.domain, ""};
    const char *tool = adaptation->tool->name;
    uint64_t unmapped = 0;

    (void)batch;
    for (int kind = 0; kind < UNMAPPED_KINDS; kind++) {
        unmapped += answer->unmapped[kind];
        count_unmapped(app, tool, (enum unmapped_kind)kind, answer->unmapped[kind], &place,
                       answer->unmapped_detail[kind]);
    }
    count_unmapped(app, tool, UNMAPPED_REJECTED, adaptation->rejected, &place, adaptation->why);
    if (answer->body.length == 0)
        write_summary(&answer->body, adaptation->events, adaptation->rejected, unmapped);
    reply_buffer(request, answer->status, answer->type == NULL ? "application/json" : answer->type,
                 &answer->body);
}

/* Whether the request may go on: what GitHub signs is held to the secrets of its project and
 * domain, unless a token let it in; else it is answered. */
static bool verify_signature(const struct adaptation *adaptation, struct http_request *request)
{
    const struct adapter_request *seen = &adaptation->seen;
    struct webhook_secrets *secrets = adaptation->app->shared->webhook_secrets;
    const char *signature = http_request_header(request, WEBHOOK_SIGNATURE_HEADER);
    bool is_unverified = http_request_is_unverified(request) ||
                         (adaptation->app->auth == NULL && adaptation->tool->is_signed &&
                          webhook_secrets_know(secrets, seen->project, seen->domain));

    if (!is_unverified)
        return true;
    if (adaptation->tool->is_signed && signature != NULL &&
        webhook_secrets_verify(secrets, seen->project, seen->domain, seen->body, seen->body_length,
                               signature))
        return true;
    reply_unauthorized(request, "The body is not signed (" WEBHOOK_SIGNATURE_HEADER
                                ") with a secret of this project and domain.");
    return false;
}

void handle_adapter(struct app *app, struct http_request *request)
{
    static const struct submission_steps steps = {.make = make_events,
                                                  .written = after_written,
                                                  .reply = reply_adapted,
                                                  .free = adaptation_free};
    const struct adapter_tool *tool = adapter_find(http_request_capture(request, "tool"));
    struct adaptation *adaptation;
    const char *project, *domain;

    if (tool == NULL) {
        reply_problemf(request, PROBLEM_NOT_FOUND, NULL, "There is no adapter of this name.");
        return;
    }
    if (read_scope(request, &project, &domain) < 0)
        return;
    adaptation = calloc(1, sizeof *adaptation);
    if (adaptation != NULL) {
        adaptation->app = app;
        adaptation->tool = tool;
    }
    if (adaptation == NULL || copy_request(adaptation, request) < 0) {
        if (adaptation != NULL)
            adaptation_free(adaptation);
        reply_unavailable(request, -ENOMEM);
        return;
    }
    if (!verify_signature(adaptation, request)) {
        adaptation_free(adaptation);
        return;
    }
    submission_start(app, request, &steps, adaptation,
                     adaptation->seen.body_length > DECODED_ON_LOOP_MAX);
}
