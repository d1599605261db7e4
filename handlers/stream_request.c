#include "handlers/stream_request.h"

#include <errno.h>
#include <string.h>

#include "server/reply.h"

/* RFC 9110, 12.5.1: a client that says what it takes must take an event stream. */
static bool takes_event_stream(const struct http_request *request)
{
    const char *accept = http_request_header(request, "Accept");

    return accept == NULL || *accept == '\0' || strcasestr(accept, "text/event-stream") != NULL ||
           strcasestr(accept, "text/*") != NULL || strstr(accept, "*/*") != NULL;
}

bool stream_can_be_taken(struct app *app, struct http_request *request)
{
    if (!takes_event_stream(request))
        reply_problemf(request, PROBLEM_NOT_ACCEPTABLE, NULL,
                       "A watch answers text/event-stream only.");
    else if (app->hubs == NULL || app->is_draining)
        reply_unavailable(request, -ENOTCONN);
    else if (sse_streams_stats(app->streams).count >= (size_t)app->shared->config->streams_max)
        reply_unavailable(request, -EAGAIN);
    else
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

void stream_limit_to_token(struct sse_stream *stream, const struct http_request *request)
{
    const struct access *access = http_request_access(request);
    uv_timeval64_t now;
    int64_t left_us;

    if (stream == NULL || access == NULL)
        return;
    uv_gettimeofday(&now);
    left_us = access->expires_us - (now.tv_sec * 1000000 + now.tv_usec);
    sse_stream_end_after(stream, left_us > 0 ? (uint64_t)left_us / 1000 : 0);
}
