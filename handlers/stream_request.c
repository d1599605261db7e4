#include "handlers/stream_request.h"

#include <errno.h>
#include <string.h>

#include "server/http.h"

enum { STREAMS_RETRY_S = 5 }; /* nobody knows when the client closes one */

/* RFC 9110, 12.5.1 */
bool stream_is_taken(const struct http_request *request)
{
    const char *accept = http_request_header(request, "Accept");

    return accept == NULL || *accept == '\0' || strcasestr(accept, "text/event-stream") != NULL ||
           strcasestr(accept, "text/*") != NULL || strstr(accept, "*/*") != NULL;
}

/* Whether the client has as many as it may. */
static bool has_enough(const struct app *app, const struct http_request *request)
{
    int64_t streams_max = app->shared->config->streams_per_client_max;
    char client[CLIENT_NAME_SIZE];

    if (streams_max == 0)
        return false;
    http_request_client(request, client);
    return streams_of(app->streams, client) >= (size_t)streams_max;
}

bool stream_admit(struct app *app, struct http_request *request)
{
    if (stream_is_taken(request))
        return stream_admit_any(app, request);
    reply_problemf(request, PROBLEM_NOT_ACCEPTABLE, NULL,
                   "A watch answers text/event-stream only.");
    return false;
}

bool stream_admit_any(struct app *app, struct http_request *request)
{
    if (app->is_draining) {
        reply_unavailable(request, -ENOTCONN);
    } else if (streams_stats(app->streams).count >= (size_t)app->shared->config->streams_max) {
        reply_unavailable(request, -EAGAIN);
    } else if (has_enough(app, request)) {
        metrics_add(app->metrics, METRIC_RATE_LIMITED, 1);
        reply_too_many(request, "streams", STREAMS_RETRY_S);
    } else {
        return true;
    }
    return false;
}

bool stream_has_cell(const struct app *app)
{
    for (size_t i = 0; i < app->cell_count; i++)
        if (app->cells[i]->has_database && action_repo_is_ready(app->cells[i]->live_repo))
            return true;
    return false;
}

const char *stream_last_event_id(const struct http_request *request)
{
    const char *id = http_request_header(request, "Last-Event-ID");

    if (id == NULL || *id == '\0')
        id = http_request_parameter(request, "lastEventId");
    return id == NULL || *id == '\0' ? NULL : id;
}

static struct frame *make_head(const struct http_request *request)
{
    struct buffer head = {0};
    bool is_gzip = reply_stream_head(request, &head);

    return frame_of_kind(&head, is_gzip ? FRAME_GZIP_HEAD : FRAME_HEAD);
}

int stream_detach(struct http_request *request, struct frame **head, http_detached_fn *on_detached,
                  void *arg)
{
    int status;

    *head = make_head(request);
    status = *head == NULL ? -ENOMEM : http_request_detach(request, on_detached, arg);
    if (status == 0)
        return 0;
    if (*head != NULL)
        frame_release(*head);
    *head = NULL;
    reply_unavailable(request, status);
    return -1;
}

static void limit_to_token(struct stream *stream, const struct access *access)
{
    uv_timeval64_t now;
    int64_t left_us;

    uv_gettimeofday(&now);
    left_us = access->expires_us - (now.tv_sec * 1000000 + now.tv_usec);
    stream_end_after(stream, left_us > 0 ? (uint64_t)left_us / 1000 : 0);
}

void stream_belongs_to(struct stream *stream, const struct http_request *request)
{
    char client[CLIENT_NAME_SIZE];

    if (stream == NULL)
        return;
    if (http_request_access(request) != NULL)
        limit_to_token(stream, http_request_access(request));
    if (http_request_app(request)->shared->config->streams_per_client_max == 0)
        return;
    http_request_client(request, client);
    stream_count_for(stream, client);
}
