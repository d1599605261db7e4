/* What handlers ask of a request, and what its answer and its line in the log say of it. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/app.h"
#include "server/http_internal.h"
#include "server/reply.h"

enum { SLOW_REQUEST_MS = 1000, LOGGED_PATH_SIZE = 512 };

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

struct app *http_request_app(const struct http_request *request)
{
    return request->app;
}

struct access *http_request_access(const struct http_request *request)
{
    return request->access;
}

const char *http_request_bearer(const struct http_request *request)
{
    const char *value = http_request_header(request, "Authorization");

    if (value == NULL || strncasecmp(value, "Bearer ", 7) != 0)
        return NULL;
    return value + 7 + strspn(value + 7, " ");
}

char *http_request_take_body(struct http_request *request, size_t *length)
{
    return body_take(&request->body, length);
}

void http_request_hold(struct http_request *request, size_t bytes)
{
    body_hold(&request->body, request->app->shared->memory, bytes);
}

void http_request_when_gone(struct http_request *request, void (*gone)(void *arg), void *arg)
{
    request->on_gone = gone;
    request->gone_arg = arg;
}

/* -------- who asks, and how often -------- */

void http_address_text(const struct sockaddr *address, char out[static CLIENT_ADDRESS_SIZE])
{
    const void *bytes;

    out[0] = '\0';
    if (address == NULL || (address->sa_family != AF_INET && address->sa_family != AF_INET6))
        return;
    bytes = address->sa_family == AF_INET
                ? (const void *)&((const struct sockaddr_in *)(const void *)address)->sin_addr
                : (const void *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    inet_ntop(address->sa_family, bytes, out, CLIENT_ADDRESS_SIZE);
}

void http_connection_address(struct MHD_Connection *connection,
                             char out[static CLIENT_ADDRESS_SIZE])
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

    http_address_text(info == NULL ? NULL : info->client_addr, out);
}

void http_request_client(const struct http_request *request, char out[static CLIENT_NAME_SIZE])
{
    const struct access *access = request->access;
    char address[CLIENT_ADDRESS_SIZE];

    http_connection_address(request->connection, address);
    if (access != NULL && access->subject[0] != '\0')
        snprintf(out, CLIENT_NAME_SIZE, "sub:%s", access->subject);
    else
        snprintf(out, CLIENT_NAME_SIZE, "addr:%s", address);
}

bool http_request_may_take(struct http_request *request, enum rate_kind kind, int64_t count)
{
    struct app *app = request->app;
    char client[CLIENT_NAME_SIZE];
    int64_t retry_s;

    if (app->rate_limits == NULL)
        return true;
    http_request_client(request, client);
    if (rate_limits_take(app->rate_limits, client, kind, count, uv_hrtime(), &request->rates[kind],
                         &retry_s))
        return true;
    metrics_add(app->metrics, METRIC_RATE_LIMITED, 1);
    reply_too_many(request, rate_kind_name(kind), retry_s);
    return false;
}

static bool is_request_id(const char *text)
{
    size_t length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                 "._:/+=-");

    return length > 0 && length < REQUEST_ID_SIZE && text[length] == '\0';
}

/* W3C Trace Context, version 00: 2, 32, 16 and 2 hex digits with a dash between them. */
static bool is_traceparent(const char *text)
{
    if (strlen(text) != TRACEPARENT_SIZE - 1)
        return false;
    for (size_t i = 0; text[i] != '\0'; i++) {
        bool is_dash = i == 2 || i == 35 || i == 52;

        if (is_dash ? text[i] != '-'
                    : !isxdigit((unsigned char)text[i]) || isupper((unsigned char)text[i]))
            return false;
    }
    return true;
}

void http_request_read_ids(struct http_request *request, uint64_t number)
{
    const char *id = http_request_header(request, "X-Request-Id");
    const char *traceparent = http_request_header(request, "traceparent");

    if (id != NULL && is_request_id(id))
        snprintf(request->id, sizeof request->id, "%s", id);
    else
        snprintf(request->id, sizeof request->id, "%016llx", (unsigned long long)number);
    if (traceparent != NULL && is_traceparent(traceparent))
        snprintf(request->traceparent, sizeof request->traceparent, "%s", traceparent);
}

/* Without the query, and with what could not stand in JSON made visible. */
static void copy_path(const char *target, char out[static LOGGED_PATH_SIZE])
{
    size_t length = strcspn(target, "?");

    snprintf(out, LOGGED_PATH_SIZE, "%.*s", (int)length, target);
    for (char *at = out; *at != '\0'; at++)
        if (!isprint((unsigned char)*at))
            *at = '?';
}

void http_request_log(const struct http_request *request)
{
    /* Not the time that the client took to send it, or to take the answer. */
    uint64_t duration_ms = request->read_ns == 0 || request->answered_ns < request->read_ns
                               ? 0
                               : (request->answered_ns - request->read_ns) / 1000000;
    bool is_failed = request->status >= 500, is_slow = duration_ms >= SLOW_REQUEST_MS;
    const struct log *log = request->app->shared->log;
    enum log_level level = is_failed || is_slow ? LOG_WARNING : LOG_DEBUG;
    char address[CLIENT_ADDRESS_SIZE], path[LOGGED_PATH_SIZE];
    const char *subject = request->access == NULL ? "" : request->access->subject;

    if (!log_has_level(log, level) || !request->is_answered)
        return;
    http_connection_address(request->connection, address);
    copy_path(request->target, path);
    log_write(log, level,
              is_failed ? "request failed"
              : is_slow ? "request was slow"
                        : "request",
              "s:s, s:s, s:i, s:I, s:s, s:s?, s:s?, s:s", "method",
              request->method_name == NULL ? "" : request->method_name, "path", path, "status",
              (int)request->status, "milliseconds", (json_int_t)duration_ms, "requestId",
              request->id, "traceparent",
              request->traceparent[0] == '\0' ? NULL : request->traceparent, "subject",
              subject[0] == '\0' ? NULL : subject, "address", address);
}

/* -------- headers that every answer has -------- */

static void add_cors(const struct http_request *request, http_header_fn *add, void *arg)
{
    const char *list = request->app->shared->config->cors_origins;
    const char *origin = http_request_header(request, "Origin");

    if (list[0] == '\0') {
        add(arg, "Cross-Origin-Resource-Policy", "same-origin");
        return;
    }
    if (strcmp(list, "*") == 0) {
        add(arg, "Access-Control-Allow-Origin", "*");
    } else {
        add(arg, "Vary", "Origin");
        if (origin == NULL || !http_origin_is_listed(list, origin))
            return;
        add(arg, "Access-Control-Allow-Origin", origin);
        add(arg, "Access-Control-Allow-Credentials", "true");
    }
    add(arg, "Access-Control-Expose-Headers",
        "RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, X-Request-Id");
}

/* As draft-ietf-httpapi-ratelimit-headers has it. */
static void add_rates(const struct http_request *request, http_header_fn *add, void *arg)
{
    char policy[96] = "", left[96] = "";

    for (int kind = 0; kind < RATE_KINDS; kind++) {
        const struct rate_state *rate = &request->rates[kind];
        size_t policy_length = strlen(policy), left_length = strlen(left);
        const char *name = rate_kind_name((enum rate_kind)kind);
        const char *comma = policy_length == 0 ? "" : ", ";

        if (rate->quota == 0)
            continue;
        snprintf(policy + policy_length, sizeof policy - policy_length, "%s\"%s\";q=%lld;w=%d",
                 comma, name, (long long)rate->quota, RATE_WINDOW_S);
        snprintf(left + left_length, sizeof left - left_length, "%s\"%s\";r=%lld;t=%lld", comma,
                 name, (long long)rate->remaining, (long long)rate->reset_s);
    }
    if (policy[0] == '\0')
        return;
    add(arg, "RateLimit-Policy", policy);
    add(arg, "RateLimit", left);
}

void http_common_headers(const struct http_request *request, http_header_fn *add, void *arg)
{
    add(arg, "X-Content-Type-Options", "nosniff");
    add(arg, "Referrer-Policy", "no-referrer");
    add(arg, "X-Request-Id", request->id);
    add_rates(request, add, arg);
    add_cors(request, add, arg);
}
