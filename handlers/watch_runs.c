/* Watching the list of runs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "handlers/handlers.h"
#include "handlers/parameters.h"
#include "handlers/stream_request.h"
#include "server/http.h"
#include "watch/list_hub.h"
#include "watch/multiplexer.h"

struct runs_watch {
    struct app *app;
    struct http_request *request;
    struct list_view *view;          /* held; NULL where there are several cells … */
    struct multiplexer *multiplexer; /* … and until it has its stream */
    struct frame *head;
    const char *id; /* borrowed of the request */
};

static void watch_free(struct runs_watch *watch)
{
    if (watch->view != NULL)
        list_view_release(watch->view);
    multiplexer_free(watch->multiplexer);
    free(watch);
}

static struct stream *add_stream(struct runs_watch *watch, int fd)
{
    struct multiplexer *multiplexer = watch->multiplexer;

    if (multiplexer == NULL)
        return list_view_add_stream(watch->view, watch->app->streams, fd, watch->head, watch->id);
    watch->multiplexer = NULL;
    return multiplexer_add_stream(multiplexer, watch->app->streams, fd, watch->head);
}

static void on_detached(void *arg, int fd)
{
    struct runs_watch *watch = arg;
    struct stream *stream = NULL;

    if (fd >= 0)
        stream = add_stream(watch, fd);
    else
        frame_release(watch->head);
    stream_belongs_to(stream, watch->request);
    watch_free(watch);
}

/* Of several cells; whether the id is one of theirs. */
static int subscribe_to_all(struct runs_watch *watch, const struct list_filter *filter,
                            int32_t limit, bool *is_known)
{
    const struct multiplexer_options options = {.loop = watch->app->loop,
                                                .memory = watch->app->shared->memory,
                                                .cells = watch->app->cells,
                                                .cell_count = watch->app->cell_count};
    struct watch_id id;

    *is_known = watch->id != NULL && watch_id_parse(watch->id, &id) == 0;
    if (!*is_known)
        id.count = 0;
    watch->multiplexer = multiplexer_new(&options);
    return watch->multiplexer == NULL ? -ENOMEM
                                      : multiplexer_add_list(watch->multiplexer, filter, limit,
                                                             NULL, watch->id == NULL ? NULL : &id);
}

static int subscribe(struct runs_watch *watch, const struct list_filter *filter, int32_t limit,
                     bool *is_known)
{
    if (watch->app->cell_count > 1)
        return subscribe_to_all(watch, filter, limit, is_known);
    watch->view = list_hub_hold_view(watch->app->cells[0]->list_hub, filter, limit, NULL, NULL);
    if (watch->view == NULL)
        return -ENOMEM;
    *is_known = watch->id != NULL && list_view_knows(watch->view, watch->id);
    return 0;
}

static void open_stream(struct app *app, struct http_request *request,
                        const struct list_filter *filter, int32_t limit)
{
    struct runs_watch *watch = calloc(1, sizeof *watch);
    bool is_known, has_id = stream_last_event_id(request) != NULL;
    int status;

    if (watch == NULL) {
        reply_unavailable(request, -ENOMEM);
        return;
    }
    watch->app = app;
    watch->request = request;
    watch->id = stream_last_event_id(request);
    status = subscribe(watch, filter, limit, &is_known);
    if (status < 0)
        reply_unavailable(request, status);
    if (status < 0 || stream_detach(request, &watch->head, on_detached, watch) < 0)
        watch_free(watch);
    else if (has_id)
        metrics_add(app->metrics, is_known ? METRIC_STREAMS_RESUMED : METRIC_STREAMS_RESET, 1);
}

static void watch_runs(struct app *app, struct http_request *request)
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
    if (!stream_has_cell(app))
        reply_unavailable(request, -ENOTCONN);
    else if (!memory_has_room(app->shared->memory, 0))
        reply_unavailable(request, -ENOBUFS);
    else if (http_request_is_head(request))
        reply_stream_head_only(request);
    else
        open_stream(app, request, &filter, limit);
}

/* Whether no watch is asked for, but the record of a run that is called "watch". */
static bool is_of_one_run(const struct http_request *request)
{
    const char *accept = http_request_header(request, "Accept");

    return http_request_capture(request, "project") != NULL && !stream_is_taken(request) &&
           strcasestr(accept, "application/json") != NULL &&
           http_request_uri(request)->parameter_count == 0;
}

void handle_watch_runs(struct app *app, struct http_request *request)
{
    if (is_of_one_run(request))
        handle_get_run(app, request);
    else
        watch_runs(app, request);
}
