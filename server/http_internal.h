/* What http.c and reply.c share. */
#ifndef RUNTREE_SERVER_HTTP_INTERNAL_H
#define RUNTREE_SERVER_HTTP_INTERNAL_H

#include <microhttpd.h>

#include "server/http.h"

struct http_request {
    struct http_request *prev, *next; /* in the server's list of active requests */
    struct http_request *resume_next; /* in its list of those to resume */
    struct http_server *server;
    struct MHD_Connection *connection;
    const char *method_name; /* borrowed from libmicrohttpd */
    bool is_head;
    char *target;
    struct uri uri;
    struct route_captures captures;
    const struct route *route; /* NULL: answered without one */
    bool was_seen;             /* its head was read */
    bool is_too_large;
    bool is_answered; /* response or on_detached is set; a response of NULL closes the connection */
    bool is_suspended;
    char *body;
    size_t body_length, body_capacity, body_dropped;
    struct answer *packing; /* an answer that a worker thread compresses; NULL: none */
    struct MHD_Response *response;
    unsigned status;
    http_detached_fn *on_detached;
    void *detached_arg;
    uint64_t started_ns;
};

/* The answer is there: sends it, or resumes the request to have it sent. */
void http_request_answer(struct http_request *request, unsigned status,
                         struct MHD_Response *response);

/* The request is gone: its answer, which is being compressed, is dropped (reply.c). */
void reply_abandon(struct answer *answer);

uv_loop_t *http_request_loop(const struct http_request *request);

/* Headers that every answer has (CORS, security); `add` gets each. */
typedef void http_header_fn(void *arg, const char *name, const char *value);
void http_common_headers(const struct http_request *request, http_header_fn *add, void *arg);

#endif
