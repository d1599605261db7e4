#include "handlers/flyte_watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/flyte_stream.h"
#include "handlers/action_document.h"
#include "handlers/flyte_reads.h"
#include "handlers/page.h"
#include "handlers/run_cells.h"
#include "handlers/stream_request.h"
#include "server/http.h"
#include "watch/run_hub.h"

/* A call that watches: at first a request, then what its stream says. */
struct flyte_watch {
    unsigned holds; /* of the request or the source, the framing, and a reading under way */
    const struct flyte_method *method;
    struct app *app;
    struct cell *cell;            /* of the run */
    struct http_request *request; /* NULL: there is a stream, or it has gone */
    bool is_json;
    struct arena arena; /* of the message */
    struct flyte_scope scope;
    struct run_key run;
    struct run_hub *hub;
    struct hub_view *view; /* of the actions, held; NULL: one action is watched */
    struct frame *head;
    const char *error, *why; /* that ends the stream; NULL: none */
    /* Of one action. */
    const char *action;
    struct stream *stream; /* NULL: not yet, or no more */
    struct hub_listener listener;
    int64_t said_revision; /* of the action */
    struct buffer ready;   /* to be sent */
    bool is_reading, has_moved;
    bool is_over; /* it has ended: `ready` is the last message */
};

static void leave_hub(struct flyte_watch *watch)
{
    if (watch->view != NULL)
        hub_view_release(watch->view);
    if (watch->hub != NULL)
        run_hub_release(watch->hub);
    watch->view = NULL;
    watch->hub = NULL;
}

static void release(struct flyte_watch *watch)
{
    if (--watch->holds > 0)
        return;
    leave_hub(watch);
    buffer_free(&watch->ready);
    arena_free(&watch->arena);
    free(watch);
}

/* -------- framing -------- */

/* Appends a message in its envelope; takes the document over. */
static void write_message(const struct flyte_watch *watch, json_t *document, struct buffer *out)
{
    struct buffer message = {0};

    flyte_write_answer(&message, watch->method->answer, document, watch->is_json);
    json_decref(document);
    out->failed |= message.failed;
    if (!message.failed) {
        connect_begin_envelope(out, false, message.length);
        buffer_append(out, message.bytes, message.length);
    }
    buffer_free(&message);
}

static int write_updates(void *arg, const char *records, size_t length, struct buffer *out)
{
    struct flyte_watch *watch = arg;
    struct flyte_updates updates;
    int status = flyte_updates_read(&updates, &watch->scope, records, length);

    if (status < 0)
        return status;
    if (updates.response != NULL)
        write_message(watch, updates.response, out);
    if (!updates.is_reset)
        return 0;
    watch->error = "unavailable";
    watch->why = "What was sent is worthless: watch again.";
    return 1;
}

/* Of one action: its messages are made whole, and what else there is says nothing. */
static int write_nothing(void *arg, const char *records, size_t length, struct buffer *out)
{
    (void)arg;
    (void)records;
    (void)length;
    (void)out;
    return 0;
}

static void write_end(void *arg, bool is_dismissed, struct buffer *out)
{
    const struct flyte_watch *watch = arg;

    if (watch->error == NULL && is_dismissed)
        connect_write_end(out, "unavailable", "The service goes, or the token: watch again.");
    else
        connect_write_end(out, watch->error, watch->why);
}

static void free_framing(void *arg)
{
    release(arg);
}

static const struct stream_framing updates_framing = {
    .write = write_updates, .write_end = write_end, .free = free_framing};
static const struct stream_framing details_framing = {
    .write = write_nothing, .write_end = write_end, .free = free_framing};

/* -------- from the call to the stream -------- */

static void refuse(struct flyte_watch *watch, enum problem_kind kind, const char *what)
{
    reply_problemf(watch->request, kind, NULL, "%s", what);
    release(watch);
}

static void fail(struct flyte_watch *watch, int status)
{
    reply_unavailable(watch->request, status);
    release(watch);
}

static bool open_head(struct flyte_watch *watch)
{
    struct buffer head = {0};

    reply_plain_stream_head(watch->request, connect_content_type(watch->is_json, true), &head);
    watch->head = frame_of_kind(&head, FRAME_HEAD);
    return watch->head != NULL;
}

static void detach(struct flyte_watch *watch, http_detached_fn *on_detached)
{
    int status =
        open_head(watch) ? http_request_detach(watch->request, on_detached, watch) : -ENOMEM;

    if (status == 0)
        return;
    if (watch->head != NULL)
        frame_release(watch->head);
    fail(watch, status);
}

/* The run that a call names, with its hub and the right to read it. NULL when it was answered. */
static struct flyte_watch *begin_watch(const struct flyte_method *method, struct connect_call *call,
                                       const void **message)
{
    struct flyte_watch *watch = calloc(1, sizeof *watch);
    struct problem problem;

    if (watch == NULL) {
        connect_clear(call);
        reply_unavailable(call->request, -ENOMEM);
        return NULL;
    }
    watch->holds = 1;
    watch->method = method;
    watch->app = call->app;
    watch->request = call->request;
    watch->is_json = call->is_json;
    *message = connect_message(call, method->request, &watch->arena, &problem);
    connect_clear(call);
    if (*message != NULL && call->is_stream)
        return watch;
    if (*message == NULL)
        reply_problem(call->request, &problem);
    else
        connect_refuse(call->request, "invalid_argument",
                       "This is a stream: application/connect+proto or application/connect+json.");
    release(watch);
    return NULL;
}

/* Opens the run's hub, with a view of `filter` (NULL: none), and reads its tree. */
static void open_hub(struct flyte_watch *watch, const struct filter *filter, hub_ready_fn *on_ready)
{
    int status = run_hub_open(watch->cell->hubs, &watch->run, &watch->hub);

    if (status == 0 && filter != NULL) {
        watch->view = run_hub_hold_view(watch->hub, filter, NULL);
        status = watch->view == NULL ? -ENOMEM : 0;
    }
    if (status == 0)
        status = run_hub_when_read(watch->hub, INT64_MAX, on_ready, watch);
    if (status < 0)
        fail(watch, status);
}

/* The run that the call names, if it may be read and there is room for a stream; else false, when
 * the call was answered. */
static bool admit(struct flyte_watch *watch, const Flyte__RunIdentifier *id)
{
    if (!flyte_run_key(id, &watch->run)) {
        refuse(watch, PROBLEM_INVALID_FIELD,
               "run_id: project, domain and name must be a run's, org at most 255 bytes");
        return false;
    }
    watch->scope = (struct flyte_scope){id->org, id->project, id->domain, id->name};
    if (!access_allows(http_request_access(watch->request), ACCESS_READ, id->project, id->domain))
        reply_forbidden(watch->request, "read", id->project, id->domain);
    else if (stream_admit_any(watch->app, watch->request) &&
             (watch->cell = find_cell(watch->request, &watch->run)) != NULL)
        return true;
    release(watch);
    return false;
}

/* Whether the tree is there; if not the request was answered. */
static bool has_tree(struct flyte_watch *watch, enum hub_outcome outcome)
{
    if (outcome == HUB_LIVE)
        return true;
    if (outcome == HUB_ABSENT)
        refuse(watch, PROBLEM_NOT_FOUND, "There is no such run.");
    else
        fail(watch, outcome == HUB_NO_ROOM ? -ENOBUFS : -ENOTCONN);
    return false;
}

/* -------- the actions of a run -------- */

/* What the messages depend on besides the records. NULL when out of memory. */
static const char *form_of(struct flyte_watch *watch)
{
    char path[RUN_PATH_SIZE];
    size_t size = sizeof path + strlen(watch->scope.org) + 2;
    char *form = arena_alloc_text(&watch->arena, size);

    run_key_path(&watch->run, path);
    if (form != NULL) /* the organization may be any text */
        snprintf(form, size, "%c%s%s%s", watch->is_json ? 'j' : 'p', path, RUN_PATH_SEPARATOR,
                 watch->scope.org);
    return form;
}

static void on_actions_detached(void *arg, int fd)
{
    const struct hub_start start = {.is_following = true};
    struct flyte_watch *watch = arg;
    struct stream *stream = NULL;

    if (fd >= 0)
        stream = hub_view_add_stream(watch->view, watch->app->streams, fd, watch->head, &start);
    else
        frame_release(watch->head);
    stream_belongs_to(stream, watch->request);
    watch->request = NULL;
    if (stream != NULL)
        stream_use_framing(stream, &updates_framing, watch, form_of(watch));
    else
        release(watch);
}

static void on_actions_ready(void *arg, enum hub_outcome outcome)
{
    struct flyte_watch *watch = arg;

    if (!has_tree(watch, outcome))
        return;
    if (hub_view_has_room(watch->view))
        detach(watch, on_actions_detached);
    else
        fail(watch, -ENOBUFS);
}

void flyte_watch_actions(const struct flyte_method *method, struct connect_call *call)
{
    const void *any = NULL;
    struct flyte_watch *watch = begin_watch(method, call, &any);
    const Flyte__WatchActionsRequest *message = any;
    struct flyte_filters filters = {0};
    char why[FLYTE_WHY_SIZE];

    if (watch == NULL)
        return;
    if (flyte_read_filters(message->filter, message->n_filter, &filters, why) < 0)
        refuse(watch, PROBLEM_INVALID_FIELD, why);
    else if (admit(watch, message->run_id))
        open_hub(watch, &filters.filter, on_actions_ready);
}

/* -------- one action -------- */

/* From any thread. */
static void shape_details(void *arg, struct buffer *text)
{
    struct flyte_watch *watch = arg;
    json_t *action = json_loadb(text->bytes, text->length, 0, NULL);
    const char *phase = json_string_value(json_object_get(action, "phase"));

    watch->is_over = phase != NULL && phase_is_terminal(phase_parse(phase, strlen(phase)));
    buffer_free(text);
    *text = (struct buffer){0};
    write_message(watch, action == NULL ? NULL : flyte_action_details(&watch->scope, action), text);
    json_decref(action);
}

static void end_with(struct flyte_watch *watch, const struct action_document *document)
{
    watch->error = document->status == -ENOENT ? "not_found" : "unavailable";
    watch->why = document->status == -ENOENT ? "There is no such action any more."
                                             : "The action could not be read: watch again.";
}

/* Reads the action's document for `done`. 0, or a negative status. */
static int read_details(struct flyte_watch *watch, struct repo_client client,
                        void (*done)(void *arg, struct action_document *document))
{
    const struct action_document_reader reader = {
        .client = client, .shape = shape_details, .done = done, .arg = watch};

    watch->said_revision = run_hub_action_revision(watch->hub, watch->action);
    return action_document_read(watch->cell, &watch->run, watch->action, &reader);
}

static void on_document(void *arg, struct action_document *document)
{
    struct flyte_watch *watch = arg;

    watch->is_reading = false;
    if (document->status == 0) {
        watch->ready = document->text;
        document->text = (struct buffer){0};
    } else {
        end_with(watch, document);
    }
    if (watch->stream != NULL)
        stream_wake(watch->stream);
    release(watch);
}

/* Has what the action has become read, unless that was sent. */
static void read_what_moved(struct flyte_watch *watch)
{
    const struct repo_client client = {0};
    int64_t revision = run_hub_action_revision(watch->hub, watch->action);
    struct action_document failed = {0};

    watch->has_moved = false;
    if (revision != 0 && revision == watch->said_revision)
        return;
    watch->is_reading = true;
    watch->holds++;
    failed.status = read_details(watch, client, on_document);
    if (failed.status < 0)
        on_document(watch, &failed);
}

static enum stream_next on_next(void *source, struct frame **frame)
{
    struct flyte_watch *watch = source;

    if (watch->ready.length > 0) {
        *frame = frame_of_kind(&watch->ready, FRAME_FRAMED);
        if (*frame == NULL)
            return STREAM_END;
        return watch->is_over ? STREAM_END : STREAM_FRAME;
    }
    if (watch->error == NULL && watch->has_moved && !watch->is_reading)
        read_what_moved(watch);
    *frame = NULL;
    return watch->error != NULL ? STREAM_END : STREAM_IDLE;
}

static struct frame *on_heartbeat(void *source)
{
    (void)source;
    return NULL;
}

static void on_left(void *source)
{
    struct flyte_watch *watch = source;

    watch->stream = NULL;
    run_hub_unlisten(watch->hub, &watch->listener);
    leave_hub(watch); /* a reading may outlast it */
    release(watch);
}

static void on_moved(void *arg)
{
    struct flyte_watch *watch = arg;

    watch->has_moved = true;
    stream_wake(watch->stream);
}

static void on_details_detached(void *arg, int fd)
{
    static const struct stream_source source_class = {
        .next = on_next, .heartbeat = on_heartbeat, .on_left = on_left};
    struct flyte_watch *watch = arg;

    if (fd >= 0)
        watch->stream = stream_new(watch->app->streams, fd, watch->head, &source_class, watch);
    else
        frame_release(watch->head);
    stream_belongs_to(watch->stream, watch->request);
    watch->request = NULL;
    if (watch->stream == NULL) {
        release(watch);
        return;
    }
    watch->holds++;
    stream_use_framing(watch->stream, &details_framing, watch, NULL);
    /* What happened since the first reading began is looked for. */
    watch->has_moved = true;
    watch->listener = (struct hub_listener){.on_moved = on_moved, .arg = watch};
    run_hub_listen(watch->hub, &watch->listener);
}

static void on_gone(void *arg)
{
    struct flyte_watch *watch = arg;

    watch->request = NULL;
    leave_hub(watch);
}

static void on_first_document(void *arg, struct action_document *document)
{
    struct flyte_watch *watch = arg;

    if (watch->request == NULL) {
        release(watch);
        return;
    }
    http_request_when_gone(watch->request, NULL, NULL);
    if (document->status == 0) {
        watch->ready = document->text;
        document->text = (struct buffer){0};
        detach(watch, on_details_detached);
    } else {
        reply_action_document_failure(watch->request, document);
        release(watch);
    }
}

static void on_details_ready(void *arg, enum hub_outcome outcome)
{
    struct flyte_watch *watch = arg;
    int status;

    if (!has_tree(watch, outcome))
        return;
    http_request_when_gone(watch->request, on_gone, watch);
    status = read_details(watch, repo_client_of(watch->request), on_first_document);
    if (status == 0)
        return;
    http_request_when_gone(watch->request, NULL, NULL);
    fail(watch, status);
}

void flyte_watch_action_details(const struct flyte_method *method, struct connect_call *call)
{
    const void *any = NULL;
    struct flyte_watch *watch = begin_watch(method, call, &any);
    const Flyte__ActionIdentifier *id;

    if (watch == NULL)
        return;
    id = ((const Flyte__ActionRequest *)any)->action_id;
    if (id == NULL || !key_part_is_valid(KEY_NAME, id->name, strlen(id->name))) {
        refuse(watch, PROBLEM_INVALID_FIELD, "action_id: name must be an action's");
        return;
    }
    watch->action = id->name;
    if (admit(watch, id->run))
        open_hub(watch, NULL, on_details_ready);
}
