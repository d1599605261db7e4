/* Watching the list of runs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "handlers/handlers.h"
#include "handlers/parameters.h"
#include "handlers/stream_request.h"
#include "server/http.h"
#include "watch/list_hub.h"

struct runs_watch {
    struct app *app;
    struct http_request *request;
    struct list_view *view; /* held */
    struct frame *head;
    const char *id; /* borrowed of the request */
};

static void on_detached(void *arg, int fd)
{
    struct runs_watch *watch = arg;
    struct stream *stream = NULL;

    if (fd >= 0)
        stream = list_view_add_stream(watch->view, watch->app->streams, fd, watch->head, watch->id);
    else
        frame_release(watch->head);
    stream_belongs_to(stream, watch->request);
    list_view_release(watch->view);
    free(watch);
}

static void open_stream(struct app *app, struct http_request *request,
                        const struct list_filter *filter, int32_t limit)
{
    struct runs_watch *watch = calloc(1, sizeof *watch);

    if (watch != NULL)
        watch->view = list_hub_hold_view(app->cells[0]->list_hub, filter, limit, NULL);
    if (watch == NULL || watch->view == NULL) {
        free(watch);
        reply_unavailable(request, -ENOMEM);
        return;
    }
    watch->app = app;
    watch->request = request;
    watch->id = stream_last_event_id(request);
    if (stream_detach(request, &watch->head, on_detached, watch) < 0) {
        list_view_release(watch->view);
        free(watch);
    } else if (watch->id != NULL) {
        metrics_add(app->metrics,
                    list_view_knows(watch->view, watch->id) ? METRIC_STREAMS_RESUMED
                                                            : METRIC_STREAMS_RESET,
                    1);
    }
}

void handle_watch_runs(struct app *app, struct http_request *request)
{
    struct list_filter filter = {.access = http_request_access(request)};
    const char *project, *domain;
    int32_t limit;

    if (read_scope(request, &project, &domain) < 0 || read_filter(request, &filter.filter) < 0 ||
        read_labels(request, &filter) < 0 || read_limit(request, &limit) < 0 ||
        !stream_admit(app, request))
        return;
    snprintf(filter.project, sizeof filter.project, "%s", project == NULL ? "" : project);
    snprintf(filter.domain, sizeof filter.domain, "%s", domain == NULL ? "" : domain);
    if (!app->cells[0]->has_database || !action_repo_is_ready(app->cells[0]->live_repo))
        reply_unavailable(request, -ENOTCONN);
    else if (!memory_has_room(app->shared->memory, 0))
        reply_unavailable(request, -ENOBUFS);
    else if (http_request_is_head(request))
        reply_stream_head_only(request);
    else
        open_stream(app, request, &filter, limit);
}
