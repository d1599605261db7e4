/* Watching a run. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "handlers/handlers.h"
#include "handlers/parameters.h"
#include "handlers/stream_request.h"
#include "model/stream_id.h"
#include "server/http.h"
#include "watch/run_hub.h"

struct watch {
    struct app *app;
    struct http_request *request;
    struct run_hub *hub;
    struct hub_view *view; /* held */
    bool wants_to_wait;
    bool has_id;
    bool id_is_valid;
    struct stream_id id;
    struct hub_start start;
    struct frame *head;
};

static void watch_free(struct watch *watch)
{
    if (watch->view != NULL)
        hub_view_release(watch->view);
    if (watch->hub != NULL)
        run_hub_release(watch->hub);
    free(watch);
}

static void read_last_event_id(struct watch *watch)
{
    const char *text = stream_last_event_id(watch->request);

    watch->has_id = text != NULL;
    watch->id_is_valid = text != NULL && stream_id_parse(text, &watch->id) == 0;
}

static void on_detached(void *arg, int fd)
{
    struct watch *watch = arg;
    struct stream *stream = NULL;

    if (fd >= 0)
        stream =
            hub_view_add_stream(watch->view, watch->app->streams, fd, watch->head, &watch->start);
    else
        frame_release(watch->head);
    stream_belongs_to(stream, watch->request);
    watch_free(watch);
}

static void open_stream(struct watch *watch)
{
    if (http_request_is_head(watch->request)) {
        reply_stream_head_only(watch->request);
        watch_free(watch);
        return;
    }
    if (stream_detach(watch->request, &watch->head, on_detached, watch) < 0)
        watch_free(watch);
}

/* The tree is there: where does this client go on? */
static void resume_or_start(struct watch *watch)
{
    if (!hub_view_has_room(watch->view)) {
        reply_unavailable(watch->request, -ENOBUFS);
        watch_free(watch);
        return;
    }
    if (watch->has_id && !(watch->id_is_valid && hub_view_knows(watch->view, &watch->id))) {
        watch->start.wants_reset = true;
        metrics_add(watch->app->metrics, METRIC_STREAMS_RESET, 1);
    } else if (watch->has_id) {
        watch->start.since = watch->id.revision;
        watch->start.is_resuming = true;
        metrics_add(watch->app->metrics, METRIC_STREAMS_RESUMED, 1);
        if (watch->id.is_end && !watch->start.is_following &&
            watch->id.revision == run_hub_revision(watch->hub) && run_hub_is_ended(watch->hub)) {
            reply_empty(watch->request, 204);
            watch_free(watch);
            return;
        }
    }
    open_stream(watch);
}

static void on_hub_ready(void *arg, enum hub_outcome outcome)
{
    struct watch *watch = arg;

    if (outcome == HUB_LIVE) {
        resume_or_start(watch);
        return;
    }
    if (outcome == HUB_ABSENT && watch->wants_to_wait) {
        watch->start.wants_reset = watch->has_id;
        open_stream(watch);
        return;
    }
    if (outcome == HUB_ABSENT)
        reply_problemf(watch->request, PROBLEM_NOT_FOUND, NULL, "There is no such run.");
    else
        reply_unavailable(watch->request, outcome == HUB_NO_ROOM ? -ENOBUFS : -ENOTCONN);
    watch_free(watch);
}

void handle_watch_run(struct app *app, struct http_request *request)
{
    struct watch *watch;
    struct filter filter;
    struct run_key key;
    struct cell *cell;
    bool wait, follow;
    int status;

    if (read_run_key(request, &key, &cell) < 0 || read_filter(request, &filter) < 0 ||
        read_flag(request, "wait", &wait) < 0 || read_flag(request, "follow", &follow) < 0 ||
        !stream_admit(app, request))
        return;
    watch = calloc(1, sizeof *watch);
    if (watch == NULL) {
        reply_unavailable(request, -ENOMEM);
        return;
    }
    watch->app = app;
    watch->request = request;
    watch->wants_to_wait = wait;
    watch->start.is_following = follow;
    status = run_hub_open(cell->hubs, &key, &watch->hub);
    if (status == 0) {
        watch->view = run_hub_hold_view(watch->hub, &filter, NULL);
        status = watch->view == NULL ? -ENOMEM : 0;
    }
    read_last_event_id(watch);
    /* Read anew: whoever comes from a replica that was ahead must not be shown less than it has
     * seen, nor told that nothing has changed. Those who come at the same time share the read. */
    if (status == 0)
        status = run_hub_when_read(watch->hub, INT64_MAX, on_hub_ready, watch);
    if (status < 0) {
        watch_free(watch);
        reply_unavailable(request, status);
    }
}
