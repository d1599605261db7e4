#include "server/http.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "server/app.h"
#include "server/client_count.h"
#include "server/http_internal.h"
#include "server/linger.h"
#include "server/reply.h"

/* A body past its limit is read on, for the client to hear the answer, but not for ever. */
enum { BODY_DROPPED_MAX = 64 * 1024 * 1024, SWEEP_MS = 500 };

static const char body_too_large[] = "The body is over the limit of 4 MiB.";
static const char head_too_large[] = "The head of the request is over the limit of 16 KiB.";
enum {
    ANSWERS_NS_MAX = 2000000, /* of one turn of the loop are spent on making answers, about */
    PAUSED_AT_ONCE = 16,      /* answers that go on in a turn, of those that wait for one */
};

/* libmicrohttpd keeps a request's head, an entry for each field, parameter and cookie, a copy of
 * the cookies, and the answer's head in a pool of the connection. */
enum {
    POOL_BYTES = 2 * HTTP_HEAD_BYTES_MAX,
    POOL_ENTRY_BYTES = 64,
    POOL_ANSWER_BYTES = 4 * 1024,
};

/* A connection between two requests, or before its first one. */
struct http_connection {
    struct http_connection *prev, *next;
    struct MHD_Connection *connection;
    struct http_request *request;    /* begun and not completed; NULL: none */
    struct client_count *of_address; /* NULL: not counted */
    uint64_t since_ns;
    bool is_waiting; /* in the server's list: has no request */
    int linger_fd;   /* its socket once more, to be read on when libmicrohttpd is done; -1: not */
};

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
    uint64_t ids_start, ids_given; /* of requests */
    struct http_request *to_resume;
    struct http_request *paused; /* whose answers wait for a turn, the longest first */
    uint64_t turn_ends_ns;       /* for the making of answers */
    bool is_closing;
    struct http_connection *waiting; /* the longest first */
    struct client_count *addresses;  /* connections of each, if they are limited */
    struct lingering *lingering;
    uv_timer_t sweep;
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
    request->app = server->options.app;
    request->connection = connection;
    request->started_ns = uv_hrtime();
    DL_APPEND(server->active, request);
    server->active_count++;
    return request;
}

/* The end of every request, however it came: after its answer, without one, at the shutdown. What
 * it still owes is given here. */
static void request_end(struct http_request *request)
{
    struct http_server *server = request->server;

    DL_DELETE(server->active, request);
    server->active_count--;
    app_count_request(request->app, request->route, request->status,
                      uv_hrtime() - request->started_ns);
    http_request_log(request);
    if (request->on_detached != NULL) {
        close(request->detached_fd);
        request->on_detached(request->detached_arg, -1);
    }
    if (request->on_gone != NULL)
        request->on_gone(request->gone_arg);
    if (request->response != NULL)
        MHD_destroy_response(request->response);
    memory_hold(request->app->shared->memory, MEMORY_ANSWERS, &request->answer_held, 0);
    uri_clear(&request->uri);
    access_release(request->access);
    body_release(&request->body, request->app->shared->memory);
    free(request->target);
    free(request);
}

static struct http_connection *connection_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info == NULL ? NULL : info->socket_context;
}

static void start_waiting(struct http_server *server, struct http_connection *self)
{
    self->since_ns = uv_hrtime();
    self->is_waiting = true;
    DL_APPEND(server->waiting, self);
}

static void stop_waiting(struct http_server *server, struct http_connection *self)
{
    if (self->is_waiting)
        DL_DELETE(server->waiting, self);
    self->is_waiting = false;
}

/* libmicrohttpd's own limit for an address does not tell whom it refused. */
static enum MHD_Result on_accept(void *arg, const struct sockaddr *address, socklen_t length)
{
    struct http_server *server = arg;
    char text[CLIENT_ADDRESS_SIZE];

    (void)length;
    http_address_text(address, text);
    if (client_count_of(server->addresses, text) < server->options.connections_per_address_max)
        return MHD_YES;
    metrics_add(server->options.app->metrics, METRIC_CONNECTIONS_REFUSED, 1);
    return MHD_NO;
}

static void count_for_address(struct http_server *server, struct http_connection *self)
{
    char text[CLIENT_ADDRESS_SIZE];

    http_connection_address(self->connection, text);
    self->of_address = client_count_join(&server->addresses, text);
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_server *server = arg;
    struct http_connection *self = *socket_context;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        self = calloc(1, sizeof *self);
        if (self == NULL)
            return;
        self->connection = connection;
        self->linger_fd = -1;
        if (server->options.connections_per_address_max > 0)
            count_for_address(server, self);
        start_waiting(server, self);
        *socket_context = self;
    } else if (self != NULL) {
        stop_waiting(server, self);
        if (self->request != NULL) /* libmicrohttpd refused its head, and does not complete it */
            request_end(self->request);
        client_count_leave(&server->addresses, self->of_address);
        if (self->linger_fd >= 0)
            linger_start(&server->lingering, server->loop, self->linger_fd);
        free(self);
        *socket_context = NULL;
    }
}

/* -------- answers past libmicrohttpd -------- */

static int socket_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

    assert(info != NULL);
    return info->connect_fd;
}

/* What the client still sends is read on when its last answer is sent. */
static void let_linger(struct MHD_Connection *connection)
{
    struct http_connection *self = connection_of(connection);

    if (self != NULL && self->linger_fd < 0)
        self->linger_fd = fcntl(socket_of(connection), F_DUPFD_CLOEXEC, 0);
}

/* Sends the problem, which is the last of the connection: `how` is SHUT_WR if libmicrohttpd notices
 * by itself that it cannot send any more, SHUT_RDWR to make it. */
static void say_farewell(struct MHD_Connection *connection, enum problem_kind kind,
                         const char *detail, int how)
{
    struct json_buffer answer = {0};
    int fd = socket_of(connection);

    let_linger(connection);
    reply_farewell(&answer, kind, detail);
    if (!answer.failed)
        send(fd, answer.bytes, answer.length, MSG_NOSIGNAL | MSG_DONTWAIT);
    json_buffer_free(&answer);
    shutdown(fd, how);
}

/* libmicrohttpd answers by itself a Content-Length that it cannot read, and cookies that it has no
 * room for; version 0.9.75 sends the head of such an answer twice. It logs that just before: the
 * request is the one whose head is complete, but was not seen yet. */
static void on_log(void *arg, const char *format, va_list arguments)
{
    static const char error[] = "Error processing request (HTTP response code is %u";
    struct http_server *server = arg;
    struct http_request *request = server->active == NULL ? NULL : server->active->prev;
    unsigned status;

    if (request == NULL || strncmp(format, error, sizeof error - 1) != 0)
        return;
    while (request->was_seen ||
           MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE) ==
               NULL) {
        if (request == server->active)
            return;
        request = request->prev;
    }
    status = va_arg(arguments, unsigned);
    if (status == MHD_HTTP_BAD_REQUEST)
        say_farewell(request->connection, PROBLEM_BAD_REQUEST,
                     "Content-Length is not a number, or the header Host is missing.", SHUT_WR);
    else if (status == MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE)
        say_farewell(request->connection, PROBLEM_HEAD_TOO_LARGE, head_too_large, SHUT_WR);
    else
        say_farewell(request->connection, PROBLEM_PAYLOAD_TOO_LARGE, body_too_large, SHUT_WR);
}

/* -------- heads that are too large -------- */

/* What does not fit into the pool is answered by libmicrohttpd, but it closes a connection without
 * a word when only its answer does not fit any more. */
static bool is_head_too_large(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    const char *cookies = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Cookie");
    int entries = MHD_get_connection_values(
        connection, MHD_HEADER_KIND | MHD_GET_ARGUMENT_KIND | MHD_COOKIE_KIND, NULL, NULL);
    size_t head = info == NULL ? 0 : info->header_size;
    size_t kept = head + (size_t)entries * POOL_ENTRY_BYTES;

    if (cookies != NULL)
        kept += strlen(cookies);
    return head > HTTP_HEAD_BYTES_MAX || kept > POOL_BYTES - POOL_ANSWER_BYTES;
}

/* libmicrohttpd 0.9.75 says nothing, and waits, when the parameters do not fit into the pool. */
static bool has_too_many_parameters(const char *target)
{
    size_t count = 0;

    for (const char *at = strchr(target, '&'); at != NULL; at = strchr(at + 1, '&'))
        count++;
    return count * POOL_ENTRY_BYTES > HTTP_HEAD_BYTES_MAX;
}

/* -------- requests -------- */

/* The raw target, before libmicrohttpd unescapes it: an encoded slash or NUL must stay visible. */
static void *on_target(void *arg, const char *target, struct MHD_Connection *connection)
{
    struct http_connection *self = connection_of(connection);
    struct http_request *request;

    if (self != NULL)
        stop_waiting(arg, self);
    if (has_too_many_parameters(target))
        say_farewell(connection, PROBLEM_URI_TOO_LONG, "The query has too many parameters.",
                     SHUT_RDWR);
    request = self == NULL ? NULL : request_new(arg, target, connection);
    if (self != NULL)
        self->request = request;
    return request;
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct http_request *request = *context;
    struct http_connection *self = connection_of(connection);

    (void)code;
    if (self != NULL)
        self->request = NULL;
    if (self != NULL && !self->is_waiting)
        start_waiting(arg, self);
    if (request != NULL)
        request_end(request);
    *context = NULL;
}

/* -------- answering -------- */

void http_request_answer(struct http_request *request, unsigned status,
                         struct MHD_Response *response)
{
    assert(!request->is_answered);
    request->is_answered = true;
    request->answered_ns = uv_hrtime();
    request->status = status;
    request->response = response;
    if (request->is_suspended)
        LL_PREPEND2(request->server->to_resume, request, resume_next);
}

bool http_request_has_client(const struct http_request *request)
{
    char next;
    ssize_t got = recv(socket_of(request->connection), &next, 1, MSG_PEEK | MSG_DONTWAIT);

    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR));
}

int http_request_detach(struct http_request *request, http_detached_fn *on_detached, void *arg)
{
    assert(!request->is_answered);
    request->detached_fd = fcntl(socket_of(request->connection), F_DUPFD_CLOEXEC, 0);
    if (request->detached_fd < 0)
        return -EMFILE;
    request->on_detached = on_detached;
    request->detached_arg = arg;
    http_request_answer(request, MHD_HTTP_OK, NULL);
    return 0;
}

/* MHD_NO makes libmicrohttpd close its descriptor, with MHD_USE_TURBO without a shutdown: ours
 * lives on. A test (tests/system) holds it to that. */
static enum MHD_Result detach_now(struct http_request *request)
{
    http_detached_fn *on_detached = request->on_detached;

    request->on_detached = NULL;
    on_detached(request->detached_arg, request->detached_fd);
    return MHD_NO;
}

static enum MHD_Result send_answer(struct http_request *request)
{
    if (request->on_detached != NULL)
        return detach_now(request);
    if (request->response == NULL)
        return MHD_NO;
    request->is_sent = true;
    return MHD_queue_response(request->connection, request->status, request->response);
}

bool http_request_has_turn(struct http_request *request)
{
    struct http_server *server = request->server;

    if (uv_hrtime() < server->turn_ends_ns || server->is_closing)
        return true;
    request->is_suspended = true;
    MHD_suspend_connection(request->connection);
    DL_APPEND2(server->paused, request, paused_prev, paused_next);
    return false;
}

void http_request_cut(struct http_request *request)
{
    shutdown(socket_of(request->connection), SHUT_RDWR);
}

static void resume_paused(struct http_server *server)
{
    for (int i = 0; server->paused != NULL && (i < PAUSED_AT_ONCE || server->is_closing); i++) {
        struct http_request *request = server->paused;

        DL_DELETE2(server->paused, request, paused_prev, paused_next);
        request->is_suspended = false;
        MHD_resume_connection(request->connection);
    }
}

/* -------- reading -------- */

static void reply_bad_body(struct http_request *request, int status)
{
    if (status == -E2BIG)
        reply_problemf(request, PROBLEM_PAYLOAD_TOO_LARGE, NULL, "%s", body_too_large);
    else if (status == -EBADMSG)
        reply_problemf(request, PROBLEM_BAD_REQUEST, NULL,
                       "The body is not what Content-Encoding says: it is no gzip, not all of it, "
                       "or has something behind it.");
    else
        reply_unavailable(request, status);
}

/* What comes after an answer is dropped: the answer goes out at its end. */
static enum MHD_Result append_body(struct http_request *request, const char *bytes, size_t length)
{
    int status;

    if (request->is_answered) {
        request->dropped_length += length;
        return request->dropped_length > BODY_DROPPED_MAX ? MHD_NO : MHD_YES;
    }
    status = body_append(&request->body, request->app->shared->memory, bytes, length,
                         request->announced_length);
    if (status < 0)
        reply_bad_body(request, status);
    return MHD_YES;
}

static void read_announced_length(struct http_request *request)
{
    const char *length = http_request_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);

    request->announced_length = length == NULL ? 0 : strtoull(length, NULL, 10);
}

/* Nothing of a body is read that is too large, or that there is no room for. */
static bool guard_length(struct http_request *request)
{
    size_t length = request->announced_length;
    int status = 0;

    if (length > BODY_BYTES_MAX)
        status = -E2BIG;
    else if (length > 0 && !memory_has_room(request->app->shared->memory, length))
        status = -ENOBUFS;
    if (status == 0)
        return true;
    request->is_last = true;
    reply_bad_body(request, status);
    return false;
}

static void read_head(struct http_request *request, const char *url, const char *method,
                      const char *version)
{
    struct http_server *server = request->server;

    request->was_seen = true;
    request->method_name = method;
    request->is_http_1_1 = strcmp(version, "HTTP/1.0") != 0;
    http_request_read_ids(request, server->ids_start + server->ids_given++);
    if (!http_guard_form(request, url, version))
        return;
    read_announced_length(request);
    request->is_last = request->announced_length > BODY_BYTES_MAX;
    http_dispatch(request);
    if (!request->is_answered && http_guard_access(request) && http_guard_coding(request))
        guard_length(request);
}

/* Called for the head, for each stretch of the body, at its end, and again after a resume. */
static enum MHD_Result on_access(void *arg, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *upload,
                                 size_t *upload_size, void **context)
{
    struct http_request *request = *context;

    (void)arg;
    if (request == NULL)
        return MHD_NO; /* out of memory in on_target */
    if (!request->was_seen) {
        if (is_head_too_large(connection)) {
            if (strlen(request->target) > HTTP_HEAD_BYTES_MAX / 2)
                say_farewell(connection, PROBLEM_URI_TOO_LONG, head_too_large, SHUT_WR);
            else
                say_farewell(connection, PROBLEM_HEAD_TOO_LARGE, head_too_large, SHUT_WR);
            return MHD_NO;
        }
        read_head(request, url, method, version);
        /* An answer before the body would leave its rest unread, and the connection useless: a body
         * that is not too large is read first. */
        if (!request->is_last)
            return MHD_YES;
        let_linger(connection);
        return send_answer(request);
    }
    if (*upload_size > 0) {
        size_t length = *upload_size;

        *upload_size = 0;
        return append_body(request, upload, length);
    }
    if (request->read_ns == 0)
        request->read_ns = uv_hrtime();
    if (!request->is_answered) {
        if (body_end(&request->body) < 0)
            reply_bad_body(request, -EBADMSG);
        else
            request->route->handler(request->app, request);
        if (!request->is_answered) {
            request->is_suspended = true;
            MHD_suspend_connection(connection);
            return MHD_YES;
        }
    }
    return send_answer(request);
}

/* -------- deadlines -------- */

/* libmicrohttpd's timeout is for silence only: who sends a byte now and then has all the time in
 * the world. */
static void count_timeout(struct http_server *server)
{
    metrics_add(server->options.app->metrics, METRIC_REQUESTS_TIMED_OUT, 1);
}

static void cut(struct http_server *server, struct MHD_Connection *connection)
{
    shutdown(socket_of(connection), SHUT_RDWR);
    count_timeout(server);
}

static void cut_reading(struct http_server *server, struct http_request *request)
{
    say_farewell(request->connection, PROBLEM_REQUEST_TIMEOUT,
                 "The request did not arrive in time.", SHUT_RDWR);
    count_timeout(server);
}

static bool is_older(uint64_t since_ns, uint64_t now_ns, uint64_t limit_ms)
{
    return now_ns - since_ns > limit_ms * 1000000;
}

static void on_sweep(uv_timer_t *timer)
{
    struct http_server *server = timer->data;
    uint64_t reading_ms = server->options.request_timeout_ms, now_ns = uv_hrtime();
    struct http_connection *self;
    struct http_request *request;

    DL_FOREACH (server->active, request) {
        if (!request->is_sent && request->read_ns == 0 &&
            is_older(request->started_ns, now_ns, reading_ms))
            cut_reading(server, request);
        else if (request->is_sent &&
                 is_older(request->answered_ns, now_ns, HTTP_ANSWER_TIMEOUT_S * 1000))
            cut(server, request->connection);
    }
    DL_FOREACH (server->waiting, self) {
        if (!is_older(self->since_ns, now_ns, HTTP_IDLE_TIMEOUT_S * 1000 + reading_ms))
            break;
        cut(server, self->connection);
    }
    linger_sweep(&server->lingering);
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
    unsigned connections;

    if (server->daemon == NULL ||
        (!server->is_due && server->to_resume == NULL && server->paused == NULL))
        return;
    server->is_due = false;
    server->turn_ends_ns = uv_hrtime() + ANSWERS_NS_MAX;
    resume_paused(server);
    while (server->to_resume != NULL) {
        struct http_request *request = server->to_resume;

        LL_DELETE2(server->to_resume, request, resume_next);
        request->is_suspended = false;
        MHD_resume_connection(request->connection);
    }
    connections = http_server_connections(server);
    MHD_run(server->daemon);
    /* At its limit libmicrohttpd does not accept; after one has left, not before it runs again. */
    if (http_server_connections(server) < connections)
        MHD_run(server->daemon);
    if (server->to_resume != NULL || server->paused != NULL) {
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
    if (getrandom(&server->ids_start, sizeof server->ids_start, GRND_NONBLOCK) < 0)
        server->ids_start = uv_hrtime();
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_TURBO | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0,
        options->connections_per_address_max > 0 ? on_accept : NULL, server, on_access, server,
        MHD_OPTION_EXTERNAL_LOGGER, on_log, server, MHD_OPTION_STRICT_FOR_CLIENT,
        http_guard_parser_is_strict() ? 1 : 0, MHD_OPTION_LISTEN_SOCKET, options->listen_fd,
        MHD_OPTION_CONNECTION_LIMIT, options->connections_max, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)POOL_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_IDLE_TIMEOUT_S,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, server, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        server, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_UNESCAPE_CALLBACK,
        keep_escapes, NULL, MHD_OPTION_END);
    if (server->daemon == NULL) {
        snprintf(why, why_size, "libmicrohttpd did not start");
        close(options->listen_fd);
        free(server);
        return NULL;
    }
    info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    uv_poll_init(loop, &server->poll, info->epoll_fd);
    uv_timer_init(loop, &server->timer);
    uv_timer_init(loop, &server->sweep);
    server->poll.data = server->timer.data = server->sweep.data = server;
    uv_timer_start(&server->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
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

void http_server_stop(struct http_server *server)
{
    struct http_request *request;

    server->is_closing = true;
    DL_FOREACH (server->active, request) {
        if (request->is_suspended && !request->is_answered)
            reply_problemf(request, PROBLEM_UNAVAILABLE, NULL, "The service is shutting down.");
    }
    http_server_run(server);
    http_server_stop_listening(server);
    MHD_stop_daemon(server->daemon);
    server->daemon = NULL;
    linger_end_all(&server->lingering);
    uv_close((uv_handle_t *)&server->poll, NULL);
    uv_close((uv_handle_t *)&server->timer, NULL);
    uv_close((uv_handle_t *)&server->sweep, NULL);
}

void http_server_free(struct http_server *server)
{
    free(server);
}
