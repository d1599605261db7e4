#include "server/reply.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/http_internal.h"

static void add_header(void *arg, const char *name, const char *value)
{
    MHD_add_response_header(arg, name, value);
}

/* NULL (out of memory) closes the connection: there is nothing left to answer with. */
static void send_response(struct http_request *request, unsigned status, const char *content_type,
                          struct MHD_Response *response)
{
    if (response != NULL) {
        if (content_type != NULL)
            MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
        http_common_headers(request, add_header, response);
    }
    http_request_answer(request, status, response);
}

void reply_buffer(struct http_request *request, unsigned status, const char *content_type,
                  struct json_buffer *buffer)
{
    struct MHD_Response *response;

    if (buffer->failed) {
        json_buffer_free(buffer);
        reply_problemf(request, PROBLEM_INTERNAL, NULL, "Out of memory.");
        return;
    }
    response =
        MHD_create_response_from_buffer(buffer->length, buffer->bytes, MHD_RESPMEM_MUST_FREE);
    if (response == NULL)
        json_buffer_free(buffer);
    *buffer = (struct json_buffer){0};
    send_response(request, status, content_type, response);
}

static struct MHD_Response *json_response(json_t *document)
{
    char *text = document == NULL ? NULL : json_dumps(document, JSON_COMPACT);
    struct MHD_Response *response;

    json_decref(document);
    if (text == NULL)
        return NULL;
    response = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    if (response == NULL)
        free(text);
    return response;
}

void reply_json(struct http_request *request, unsigned status, json_t *document)
{
    if (document == NULL) {
        reply_problemf(request, PROBLEM_INTERNAL, NULL, "Out of memory.");
        return;
    }
    send_response(request, status, "application/json", json_response(document));
}

void reply_static(struct http_request *request, unsigned status, const char *content_type,
                  const void *bytes, size_t length)
{
    /* MHD_RESPMEM_PERSISTENT does not write to the buffer; its type is not const for the other
     * modes. */
    union {
        const void *in;
        void *out;
    } buffer = {.in = bytes};

    send_response(request, status, content_type,
                  MHD_create_response_from_buffer(length, buffer.out, MHD_RESPMEM_PERSISTENT));
}

void reply_empty(struct http_request *request, unsigned status)
{
    reply_static(request, status, NULL, "", 0);
}

static void reply_problem_with(struct http_request *request, const struct problem *problem,
                               const char *header, const char *value)
{
    const struct problem_description *description = problem_describe(problem->kind);
    struct MHD_Response *response = json_response(problem_to_json(problem));

    if (response != NULL && header != NULL)
        MHD_add_response_header(response, header, value);
    if (response != NULL && description->status == 503)
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    send_response(request, (unsigned)description->status, "application/problem+json", response);
}

void reply_problem(struct http_request *request, const struct problem *problem)
{
    reply_problem_with(request, problem, NULL, NULL);
}

void reply_problemf(struct http_request *request, enum problem_kind kind, const char *pointer,
                    const char *format, ...)
{
    char detail[PROBLEM_DETAIL_SIZE];
    struct problem problem;
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    problem_set(&problem, kind, pointer, "%s", detail);
    reply_problem(request, &problem);
}

void reply_unavailable(struct http_request *request, int status)
{
    if (status == -EAGAIN)
        reply_problemf(request, PROBLEM_OVERLOADED, NULL,
                       "More is waiting for the database than the configured limit.");
    else if (status == -ENOMEM)
        reply_problemf(request, PROBLEM_OVERLOADED, NULL, "Out of memory.");
    else
        reply_problemf(request, PROBLEM_UNAVAILABLE, NULL, "The database cannot be reached.");
}

void reply_method_not_allowed(struct http_request *request, const char *allow)
{
    struct problem problem;

    problem_set(&problem, PROBLEM_METHOD_NOT_ALLOWED, NULL, "This path takes %s.", allow);
    reply_problem_with(request, &problem, MHD_HTTP_HEADER_ALLOW, allow);
}

void reply_options(struct http_request *request, const char *allow)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);

    if (response != NULL) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
        if (http_request_header(request, "Access-Control-Request-Method") != NULL) {
            MHD_add_response_header(response, "Access-Control-Allow-Methods", allow);
            MHD_add_response_header(response, "Access-Control-Allow-Headers",
                                    "Authorization, Content-Type, Last-Event-ID");
            MHD_add_response_header(response, "Access-Control-Max-Age", "600");
        }
    }
    send_response(request, MHD_HTTP_NO_CONTENT, NULL, response);
}

/* -------- streams -------- */

static const struct {
    const char *name, *value;
} stream_headers[] = {
    {"Content-Type", "text/event-stream"},
    {"Cache-Control", "no-store, no-transform"},
    {"X-Accel-Buffering", "no"},
};

static void append_header(void *arg, const char *name, const char *value)
{
    json_buffer_text(arg, name);
    json_buffer_text(arg, ": ");
    json_buffer_text(arg, value);
    json_buffer_text(arg, "\r\n");
}

void reply_stream_head(const struct http_request *request, struct json_buffer *head)
{
    json_buffer_text(head, "HTTP/1.1 200 OK\r\n");
    for (size_t i = 0; i < sizeof stream_headers / sizeof *stream_headers; i++)
        append_header(head, stream_headers[i].name, stream_headers[i].value);
    append_header(head, "Connection", "close");
    http_common_headers(request, append_header, head);
    json_buffer_text(head, "\r\n");
}

void reply_stream_head_only(struct http_request *request)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);

    if (response != NULL)
        for (size_t i = 1; i < sizeof stream_headers / sizeof *stream_headers; i++)
            MHD_add_response_header(response, stream_headers[i].name, stream_headers[i].value);
    send_response(request, MHD_HTTP_OK, stream_headers[0].value, response);
}
