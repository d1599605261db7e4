/* What the files that drive libmicrohttpd share. */
#ifndef RUNTREE_SERVER_HTTP_INTERNAL_H
#define RUNTREE_SERVER_HTTP_INTERNAL_H

#include <microhttpd.h>

#include "model/json_buffer.h"
#include "server/body.h"
#include "server/http.h"

enum { REQUEST_ID_SIZE = 65, TRACEPARENT_SIZE = 56, CLIENT_ADDRESS_SIZE = 46 };

struct http_request {
    struct http_request *prev, *next; /* in the server's list of active requests */
    struct http_request *resume_next; /* in its list of those to resume */
    struct http_server *server;
    struct app *app;
    struct MHD_Connection *connection;
    const char *method_name; /* borrowed from libmicrohttpd */
    bool is_head, is_http_1_1;
    char *target;
    struct uri uri;
    struct route_captures captures;
    const struct route *route; /* NULL: answered without one */
    struct access *access;     /* what the token allows; NULL: nobody is asked for one */
    bool was_seen;             /* its head was read */
    bool is_last;              /* of its connection, which cannot be trusted with another */
    bool is_answered;          /* without response or on_detached the connection is closed */
    bool is_suspended;
    bool is_sent; /* libmicrohttpd has the answer */
    struct body body;
    size_t announced_length;    /* of the body; 0: not known */
    size_t dropped_length;      /* of what came of it and is not wanted */
    void (*on_gone)(void *arg); /* of who works for it on another thread; NULL: nobody */
    void *gone_arg;
    struct http_request *paused_prev, *paused_next; /* in the list of those that wait for a turn */
    size_t answer_held;                             /* of the account */
    struct MHD_Response *response;
    unsigned status;
    http_detached_fn *on_detached; /* owed: it was not called yet */
    void *detached_arg;
    int detached_fd; /* the request's own as long as on_detached is owed */
    uint64_t started_ns, read_ns, answered_ns; /* of the head, the body's end, the answer */
    struct rate_state rates[RATE_KINDS];
    char id[REQUEST_ID_SIZE];           /* X-Request-Id, taken over or made */
    char traceparent[TRACEPARENT_SIZE]; /* "": none */
};

/* The answer is there: sends it, or resumes the request to have it sent. */
void http_request_answer(struct http_request *request, unsigned status,
                         struct MHD_Response *response);

/* Of a request whose answer is being sent: whether this turn of the loop has time to make more of
 * it. If not it has been suspended until a later turn. */
bool http_request_has_turn(struct http_request *request);

/* Ends the connection of a request whose answer cannot be ended: its client is to know at once, and
 * libmicrohttpd, which would keep it until its timeout (seen with 0.9.75). */
void http_request_cut(struct http_request *request);

/* -------- http_dispatch.c -------- */

/* Finds the request's route, or answers. */
void http_dispatch(struct http_request *request);

/* Whether libmicrohttpd refuses by itself, if told to, a head that can be read in two ways. */
bool http_guard_parser_is_strict(void);

/* -------- http_guard.c: these answer a request that must not go on, and return false -------- */

/* The head can be read in one way only, so that no proxy in front reads another. `url` and
 * `version` are libmicrohttpd's. */
bool http_guard_form(struct http_request *request, const char *url, const char *version);

/* The body's content coding is one that is known here. */
bool http_guard_coding(struct http_request *request);

/* Nobody's page, and nobody without the right for it, goes to the route. */
bool http_guard_access(struct http_request *request);

/* Whether the configured list (comma-separated) has the origin. */
bool http_origin_is_listed(const char *list, const char *origin);

/* -------- http_request.c -------- */

/* Fills id and traceparent; `number` makes an id of its own unique. */
void http_request_read_ids(struct http_request *request, uint64_t number);

/* A client's address as text, without the port; "" if unknown. */
void http_address_text(const struct sockaddr *address, char out[static CLIENT_ADDRESS_SIZE]);
void http_connection_address(struct MHD_Connection *connection,
                             char out[static CLIENT_ADDRESS_SIZE]);

/* A line in the log for a request that failed or was slow. */
void http_request_log(const struct http_request *request);

/* The problem as an answer that ends its connection, in bytes, for who sends it past
 * libmicrohttpd (reply.c). A failed allocation is noted in `out`. */
void reply_farewell(struct json_buffer *out, enum problem_kind kind, const char *detail);

/* Headers that every answer has (CORS, security); `add` gets each. */
typedef void http_header_fn(void *arg, const char *name, const char *value);
void http_common_headers(const struct http_request *request, http_header_fn *add, void *arg);

#endif
