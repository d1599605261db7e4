#include "server/http.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "server/app.h"
#include "server/http_internal.h"
#include "server/reply.h"

/* A body past its limit is read on, for the client to hear the answer, but not for ever. */
enum { BODY_DROPPED_MAX = 64 * 1024 * 1024 };

struct http_server {
    uv_loop_t *loop;
    struct http_options options;
    struct MHD_Daemon *daemon;
    uv_poll_t poll; /* libmicrohttpd's epoll descriptor */
    uv_timer_t timer;
    bool is_due; /* the descriptor or the timer fired */
    bool is_stopping;
    struct http_request *active; /* all between their head and their end */
    size_t active_count;
    struct http_request *to_resume;
    int open; /* handles not closed yet */
    void (*on_closed)(void *arg);
    void *closed_arg;
};

static struct http_request *request_new(struct http_server *server, const char *target,
                                        struct MHD_Connection *connection)
{
    struct http_request *request = calloc(1, sizeof *request);

    if (request == NULL)
        return NULL;
    request->target = strdup(target);
    if (request->target == NULL) {
        free(request);
        return NULL;
    }
    request->server = server;
    request->connection = connection;
    request->started_ns = uv_hrtime();
    DL_APPEND(server->active, request);
    server->active_count++;
    return request;
}

static void request_free(struct http_request *request)
{
    struct http_server *server = request->server;

    DL_DELETE(server->active, request);
    server->active_count--;
    if (request->packing != NULL)
        reply_abandon(request->packing);
    if (request->response != NULL)
        MHD_destroy_response(request->response);
    uri_clear(&request->uri);
    free(request->body);
    free(request->target);
    free(request);
}

/* The raw target, before libmicrohttpd unescapes it: an encoded slash or NUL must stay visible. */
static void *on_target(void *arg, const char *target, struct MHD_Connection *connection)
{
    return request_new(arg, target, connection);
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct http_request *request = *context;

    (void)arg;
    (void)connection;
    (void)code;
    if (request == NULL)
        return;
    app_count_request(request->server->options.app, request->route, request->status,
                      uv_hrtime() - request->started_ns);
    request_free(request);
    *context = NULL;
}

/* -------- answering -------- */

void http_request_answer(struct http_request *request, unsigned status,
                         struct MHD_Response *response)
{
    assert(!request->is_answered);
    request->is_answered = true;
    request->status = status;
    request->response = response;
    if (request->is_suspended)
        LL_PREPEND2(request->server->to_resume, request, resume_next);
}

void http_request_detach(struct http_request *request, http_detached_fn *on_detached, void *arg)
{
    assert(!request->is_answered);
    request->is_answered = true;
    request->on_detached = on_detached;
    request->detached_arg = arg;
    request->status = 200;
    if (request->is_suspended)
        LL_PREPEND2(request->server->to_resume, request, resume_next);
}

/* MHD_NO makes libmicrohttpd close its descriptor, with MHD_USE_TURBO without a shutdown: ours
 * lives on. A test (tests/system) holds it to that. */
static enum MHD_Result detach_now(struct http_request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    int fd = info == NULL ? -1 : dup(info->connect_fd);

    request->on_detached(request->detached_arg, fd);
    return MHD_NO;
}

static enum MHD_Result send_answer(struct http_request *request)
{
    if (request->on_detached != NULL)
        return detach_now(request);
    if (request->response == NULL)
        return MHD_NO;
    return MHD_queue_response(request->connection, request->status, request->response);
}

/* -------- reading -------- */

static const struct {
    const char *name;
    enum http_method method;
} methods[] = {
    {"GET", HTTP_GET}, {"HEAD", HTTP_GET},      {"POST", HTTP_POST},
    {"PUT", HTTP_PUT}, {"DELETE", HTTP_DELETE},
};

static void format_allow(unsigned allowed, char *out, size_t size)
{
    snprintf(out, size, "%s%s%s%sOPTIONS", (allowed & HTTP_GET) != 0 ? "GET, HEAD, " : "",
             (allowed & HTTP_POST) != 0 ? "POST, " : "", (allowed & HTTP_PUT) != 0 ? "PUT, " : "",
             (allowed & HTTP_DELETE) != 0 ? "DELETE, " : "");
}

static void check_parameters(struct http_request *request)
{
    const char *const *known = request->route->parameters;

    for (size_t i = 0; i < request->uri.parameter_count; i++) {
        const char *name = request->uri.parameters[i].name;
        size_t k = 0;

        while (known != NULL && known[k] != NULL && strcmp(known[k], name) != 0)
            k++;
        if (known == NULL || known[k] == NULL) {
            reply_problemf(request, PROBLEM_UNKNOWN_PARAMETER, NULL,
                           "There is no query parameter \"%s\" here.", name);
            return;
        }
        for (size_t other = 0; other < i; other++) {
            if (strcmp(name, "phase") != 0 &&
                strcmp(name, request->uri.parameters[other].name) == 0) {
                reply_problemf(request, PROBLEM_BAD_REQUEST, NULL,
                               "The query parameter \"%s\" is given twice.", name);
                return;
            }
        }
    }
}

/* Finds the route, or answers. */
static void route_request(struct http_request *request)
{
    enum http_method method = 0;
    unsigned allowed;
    int status = uri_parse(&request->uri, request->target);

    if (status < 0) {
        reply_problemf(request, status == -E2BIG ? PROBLEM_URI_TOO_LONG : PROBLEM_BAD_REQUEST, NULL,
                       "The request target is not a path and query with valid percent-encoding"
                       " of UTF-8 text without NUL.");
        return;
    }
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(request->method_name, methods[i].name) == 0)
            method = methods[i].method;
    request->is_head = strcmp(request->method_name, "HEAD") == 0;
    request->route = route_find(request->server->options.routes, method, &request->uri,
                                &request->captures, &allowed);
    if (request->route != NULL) {
        check_parameters(request);
    } else if (allowed == 0) {
        reply_problemf(request, PROBLEM_NOT_FOUND, NULL, "There is nothing at this path.");
    } else {
        char allow[64];

        format_allow(allowed, allow, sizeof allow);
        if (strcmp(request->method_name, "OPTIONS") == 0)
            reply_options(request, allow);
        else
            reply_method_not_allowed(request, allow);
    }
}

static int append_body(struct http_request *request, const char *bytes, size_t length)
{
    size_t needed = request->body_length + length;

    if (request->is_answered || request->is_too_large || needed > HTTP_BODY_BYTES_MAX) {
        request->is_too_large = !request->is_answered;
        request->body_dropped += length;
        return request->body_dropped > BODY_DROPPED_MAX ? -E2BIG : 0;
    }
    if (needed > request->body_capacity) {
        size_t capacity = request->body_capacity == 0 ? 1024 : request->body_capacity * 2;
        char *body;

        while (capacity < needed)
            capacity *= 2;
        body = realloc(request->body, capacity);
        if (body == NULL)
            return -ENOMEM;
        request->body = body;
        request->body_capacity = capacity;
    }
    memcpy(request->body + request->body_length, bytes, length);
    request->body_length = needed;
    return 0;
}

static void check_announced_length(struct http_request *request)
{
    const char *length = http_request_header(request, "Content-Length");

    if (length != NULL && strtoull(length, NULL, 10) > HTTP_BODY_BYTES_MAX)
        request->is_too_large = true;
}

static void reply_too_large(struct http_request *request)
{
    reply_problemf(request, PROBLEM_PAYLOAD_TOO_LARGE, NULL,
                   "The body is over the limit of %d bytes.", HTTP_BODY_BYTES_MAX);
}

/* Called for the head, for each stretch of the body, at its end, and again after a resume. */
static enum MHD_Result on_access(void *arg, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *upload,
                                 size_t *upload_size, void **context)
{
    struct http_server *server = arg;
    struct http_request *request = *context;

    (void)connection;
    (void)url;
    (void)version;
    if (request == NULL)
        return MHD_NO; /* out of memory in on_target */
    if (!request->was_seen) {
        request->was_seen = true;
        request->method_name = method;
        check_announced_length(request);
        route_request(request);
        if (!request->is_answered && request->is_too_large)
            reply_too_large(request);
        /* An answer before the body would leave its rest unread, and the connection useless: a body
         * that is not too large is read first. */
        return request->is_too_large ? send_answer(request) : MHD_YES;
    }
    if (*upload_size > 0) {
        int status = append_body(request, upload, *upload_size);

        *upload_size = 0;
        return status < 0 ? MHD_NO : MHD_YES;
    }
    if (!request->is_answered) {
        if (request->is_too_large)
            reply_too_large(request);
        else
            request->route->handler(server->options.app, request);
        if (!request->is_answered) {
            request->is_suspended = true;
            MHD_suspend_connection(connection);
            return MHD_YES;
        }
    }
    return send_answer(request);
}

/* -------- the loop -------- */

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct http_server *server = poll->data;

    (void)status;
    (void)events;
    server->is_due = true;
}

static void on_timer(uv_timer_t *timer)
{
    struct http_server *server = timer->data;

    server->is_due = true;
}

void http_server_run(struct http_server *server)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms;

    if (server->daemon == NULL || (!server->is_due && server->to_resume == NULL))
        return;
    server->is_due = false;
    while (server->to_resume != NULL) {
        struct http_request *request = server->to_resume;

        LL_DELETE2(server->to_resume, request, resume_next);
        request->is_suspended = false;
        MHD_resume_connection(request->connection);
    }
    MHD_run(server->daemon);
    if (server->to_resume != NULL) {
        uv_timer_start(&server->timer, on_timer, 0, 0);
    } else if (MHD_get_timeout(server->daemon, &timeout_ms) == MHD_YES) {
        uv_timer_start(&server->timer, on_timer, timeout_ms, 0);
    } else {
        uv_timer_stop(&server->timer);
    }
}

/* Left as it is: uri_parse decodes, once, and itself. */
static size_t keep_escapes(void *arg, struct MHD_Connection *connection, char *text)
{
    (void)arg;
    (void)connection;
    return strlen(text);
}

struct http_server *http_server_new(uv_loop_t *loop, const struct http_options *options, char *why,
                                    size_t why_size)
{
    struct http_server *server = calloc(1, sizeof *server);
    const union MHD_DaemonInfo *info;

    if (server == NULL) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    server->loop = loop;
    server->options = *options;
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_TURBO | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_access, server,
        MHD_OPTION_LISTEN_SOCKET, options->listen_fd, MHD_OPTION_CONNECTION_LIMIT,
        options->connections_max, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_HEAD_BYTES_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_IDLE_TIMEOUT_S, MHD_OPTION_URI_LOG_CALLBACK,
        on_target, server, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_END);
    if (server->daemon == NULL) {
        snprintf(why, why_size, "libmicrohttpd did not start");
        close(options->listen_fd);
        free(server);
        return NULL;
    }
    info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    uv_poll_init(loop, &server->poll, info->epoll_fd);
    uv_timer_init(loop, &server->timer);
    server->poll.data = server->timer.data = server;
    server->open = 2;
    uv_poll_start(&server->poll, UV_READABLE, on_poll);
    return server;
}

void http_server_stop_listening(struct http_server *server)
{
    MHD_socket fd;

    if (server->is_stopping)
        return;
    server->is_stopping = true;
    fd = MHD_quiesce_daemon(server->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
}

size_t http_server_active(const struct http_server *server)
{
    return server->active_count;
}

unsigned http_server_connections(const struct http_server *server)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

    return info == NULL ? 0 : info->num_connections;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct http_server *server = handle->data;

    if (--server->open > 0)
        return;
    if (server->on_closed != NULL)
        server->on_closed(server->closed_arg);
    free(server);
}

void http_server_close(struct http_server *server, void (*on_closed)(void *arg), void *arg)
{
    struct http_request *request;

    server->on_closed = on_closed;
    server->closed_arg = arg;
    DL_FOREACH (server->active, request) {
        if (request->is_suspended && !request->is_answered)
            reply_problemf(request, PROBLEM_UNAVAILABLE, NULL, "The service is shutting down.");
    }
    http_server_run(server);
    http_server_stop_listening(server);
    MHD_stop_daemon(server->daemon);
    server->daemon = NULL;
    uv_close((uv_handle_t *)&server->poll, on_handle_closed);
    uv_close((uv_handle_t *)&server->timer, on_handle_closed);
}

/* -------- what handlers ask -------- */

static size_t name_length(const char *captured)
{
    return strcspn(captured, "}");
}

const char *http_request_capture(const struct http_request *request, const char *name)
{
    for (size_t i = 0; i < request->captures.count; i++) {
        const struct uri_parameter *item = &request->captures.items[i];

        if (strlen(name) == name_length(item->name) && strncmp(item->name, name, strlen(name)) == 0)
            return item->value;
    }
    return NULL;
}

const char *http_request_parameter(const struct http_request *request, const char *name)
{
    const char *value = NULL;

    for (size_t i = 0; i < request->uri.parameter_count; i++)
        if (strcmp(request->uri.parameters[i].name, name) == 0)
            value = request->uri.parameters[i].value;
    return value;
}

const struct uri *http_request_uri(const struct http_request *request)
{
    return &request->uri;
}

const char *http_request_header(const struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

bool http_request_is_head(const struct http_request *request)
{
    return request->is_head;
}

uv_loop_t *http_request_loop(const struct http_request *request)
{
    return request->server->loop;
}

struct app *http_request_app(const struct http_request *request)
{
    return request->server->options.app;
}

char *http_request_take_body(struct http_request *request, size_t *length)
{
    char *body = request->body;

    *length = request->body_length;
    request->body = NULL;
    request->body_length = request->body_capacity = 0;
    return body;
}

/* -------- headers that every answer has -------- */

static bool is_allowed_origin(const char *list, const char *origin)
{
    size_t length = strlen(origin);

    while (*list != '\0') {
        size_t item = strcspn(list, ",");

        if (item == length && strncmp(list, origin, length) == 0)
            return true;
        list += item + (list[item] == ',');
    }
    return false;
}

void http_common_headers(const struct http_request *request, http_header_fn *add, void *arg)
{
    const char *list = request->server->options.cors_origins;
    const char *origin = http_request_header(request, "Origin");

    add(arg, "X-Content-Type-Options", "nosniff");
    if (strcmp(list, "*") == 0) {
        add(arg, "Access-Control-Allow-Origin", "*");
    } else if (list[0] != '\0') {
        add(arg, "Vary", "Origin");
        if (origin != NULL && is_allowed_origin(list, origin))
            add(arg, "Access-Control-Allow-Origin", origin);
    }
}
