/* Drives libmicrohttpd from our loop: reads requests, hands them to their routes, sends answers.
 *
 * A request whose handler returned without an answer is suspended; the answer resumes it, together
 * with all others of the same turn of the loop (http_server_run), because a resume costs
 * libmicrohttpd a walk over all that are suspended. */
#ifndef RUNTREE_SERVER_HTTP_H
#define RUNTREE_SERVER_HTTP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "model/access.h"
#include "model/buffer.h"
#include "model/problem.h"
#include "server/auth.h"
#include "server/gzip.h"
#include "server/log.h"
#include "server/memory.h"
#include "server/metrics.h"
#include "server/rate_limit.h"
#include "server/router.h"

struct http_server;
struct http_request;
struct webhook_secrets;

enum {
    HTTP_HEAD_BYTES_MAX = 16 * 1024, /* request line and headers; more is answered by 431 or 414 */
    HTTP_IDLE_TIMEOUT_S = 60,
    HTTP_ANSWER_TIMEOUT_S = 300, /* for an answer to be taken */
};

/* A problem as an answer. */
struct problem_answer {
    unsigned status;
    const char *content_type; /* static */
    struct buffer body;
};

/* Fills *answer, which is all zero, for clients that do not read problems as RFC 9457 has them;
 * false for all others. */
typedef bool problem_form(const struct http_request *request, const struct problem *problem,
                          struct problem_answer *answer);

/* Calls the handler, now or later; or answers the request itself. */
typedef void call_handler(struct app *app, struct http_request *request, route_handler *handler);

/* What is borrowed lives longer than the server. */
struct http_options {
    int listen_fd;   /* listening, non-blocking; owned by the server from then on */
    struct app *app; /* handed to the handlers, and nothing else */
    const struct route *routes;
    problem_form *problem_form; /* NULL: all problems are RFC 9457's */
    call_handler *call_handler; /* of what is not local */
    const struct log *log;
    struct memory *memory;
    struct metrics *metrics;
    struct gzip_packer *packer;
    struct auth *auth;                       /* NULL: nobody is asked for a token */
    struct webhook_secrets *webhook_secrets; /* NULL: none */
    struct rate_limits *rate_limits;         /* NULL: none */
    const char *cors_origins;                /* comma-separated; "": same origin only; "*": any */
    bool answers_to_any_name;                /* in the header Host, without auth */
    bool metrics_open;
    unsigned connections_max;
    unsigned connections_per_address_max; /* 0: any number */
    uint64_t request_timeout_ms;          /* for head and body to arrive */
    bool *is_due;                         /* set while http_server_run has something to do */
};

/* NULL with a reason in `why`. */
struct http_server *http_server_new(uv_loop_t *loop, const struct http_options *options, char *why,
                                    size_t why_size);

/* Once per turn of the loop, before it waits. */
void http_server_run(struct http_server *server);

/* The database is there: until then what needs it is answered 503. */
void http_server_use_database(struct http_server *server);

/* Takes no more connections; the listening socket is closed. */
void http_server_stop_listening(struct http_server *server);

/* Requests whose answer is not sent yet. */
size_t http_server_active(const struct http_server *server);
unsigned http_server_connections(const struct http_server *server);

/* At the end: every suspended request is answered by 503, then all are ended. */
void http_server_stop(struct http_server *server);
/* When the loop is empty; NULL is fine. */
void http_server_free(struct http_server *server);

/* What handlers ask of a request. Everything borrowed lives until the answer. */

const char *http_request_capture(const struct http_request *request, const char *name);
/* The last value of a query parameter, NULL if absent. */
const char *http_request_parameter(const struct http_request *request, const char *name);
const struct uri *http_request_uri(const struct http_request *request);
const char *http_request_header(const struct http_request *request, const char *name);
const char *http_request_method(const struct http_request *request); /* "POST", static */
bool http_request_is_head(const struct http_request *request);
/* Whether its path and method are known. */
bool http_request_has_route(const struct http_request *request);
struct app *http_request_app(const struct http_request *request);

/* What the request's token allows; borrowed. NULL: nobody is asked for a token, and everything is
 * allowed. */
struct access *http_request_access(const struct http_request *request);

/* Whether it was let in without a token, for its WEBHOOK_SIGNATURE_HEADER, which its handler has to
 * verify before anything else. */
bool http_request_is_unverified(const struct http_request *request);

/* Whether the client still waits for the answer: it has not closed its side of the connection,
 * which nobody does who reads the answer. For a request that is not answered yet. */
bool http_request_has_client(const struct http_request *request);

/* The token of `Authorization: Bearer …`; NULL if there is none. */
const char *http_request_bearer(const struct http_request *request);

/* Who asks, as limits count it: the token's subject, else the address. */
enum { CLIENT_NAME_SIZE = SUBJECT_SIZE + 8 };
void http_request_client(const struct http_request *request, char out[static CLIENT_NAME_SIZE]);

/* Counts so many more against what the client may have. False: it has had enough, and was answered
 * 429. */
bool http_request_spend(struct http_request *request, enum rate_kind kind, int64_t count);

/* Hands the body over (malloc'd, not ended by a NUL, NULL if empty). */
char *http_request_take_body(struct http_request *request, size_t *length);

/* The body, and what was made of it, takes so many bytes from now on. */
void http_request_hold(struct http_request *request, size_t bytes);

/* Who works for the request on another thread is told if it ends before its answer: `gone` is
 * called then, instead of what was given before; NULL: nobody. */
void http_request_when_gone(struct http_request *request, void (*gone)(void *arg), void *arg);

/* The socket leaves libmicrohttpd: on_detached gets a descriptor of its own, which it then owns, or
 * -1 if the request ended otherwise (its client has left, the service shuts down). It is called
 * exactly once, at the earliest by the return of the handler; the request is gone when it returns.
 * 0, or -EMFILE when there is no descriptor for it: then the request is still to be answered. */
typedef void http_detached_fn(void *arg, int fd);
int http_request_detach(struct http_request *request, http_detached_fn *on_detached, void *arg);

/* What answers a request, exactly once; it must not be touched afterwards. Bodies of 1 KiB and more
 * are gzipped for those who take that, piece by piece as they are sent. */

/* Takes the reference over; NULL answers as out of memory. */
void reply_json(struct http_request *request, unsigned status, json_t *document);

/* Takes the buffer's bytes over. */
void reply_buffer(struct http_request *request, unsigned status, const char *content_type,
                  struct buffer *buffer);

/* A body that is made piece by piece while its client takes it. */
struct reply_source {
    /* Appends the next piece, some REPLY_PIECE_BYTES, and perhaps none of it. 1: that was the last;
     * 0: there is more; negative: there is no more, and the connection is closed. */
    int (*next)(void *arg, struct buffer *piece);
    /* Once, when nothing more is asked of it. */
    void (*end)(void *arg);
};

enum { REPLY_PIECE_BYTES = 64 * 1024 };

/* An error of the first piece is answered (reply_unavailable). */
void reply_pieces(struct http_request *request, unsigned status, const char *content_type,
                  const struct reply_source *source, void *arg);

/* reply_buffer with more headers; an entry without a name ends them. */
struct reply_header {
    const char *name, *value;
};
void reply_buffer_with(struct http_request *request, unsigned status, const char *content_type,
                       struct buffer *buffer, const struct reply_header *headers);

/* `bytes` must live as long as the program. */
void reply_static(struct http_request *request, unsigned status, const char *content_type,
                  const void *bytes, size_t length);

/* The same with more headers, and as it is. */
void reply_static_with(struct http_request *request, unsigned status, const char *content_type,
                       const void *bytes, size_t length, const struct reply_header *headers);

void reply_empty(struct http_request *request, unsigned status);

void reply_problem(struct http_request *request, const struct problem *problem);

/* The same, put together here. */
void reply_problemf(struct http_request *request, enum problem_kind kind, const char *pointer,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* 401; `why` NULL: there was no token. */
void reply_unauthorized(struct http_request *request, const char *why);

/* 403: the token does not give `right` on the project and domain ("*": on all). */
void reply_forbidden(struct http_request *request, const char *right, const char *project,
                     const char *domain);

/* 429: more of `what` ("events") than a client may have; in `retry_s` seconds it may. */
void reply_too_many(struct http_request *request, const char *what, int64_t retry_s);

/* With a cookie set; takes the reference over, NULL: an empty answer. */
void reply_session(struct http_request *request, unsigned status, json_t *document,
                   const char *cookie);

/* For a call that answered -ENOTCONN, -EAGAIN, -ENOMEM, -EMFILE (no descriptor) or -ENOBUFS (no
 * room: memory_has_room): 503 with Retry-After. */
void reply_unavailable(struct http_request *request, int status);

/* 415 that says which codings are known (RFC 9110, section 15.5.16). */
void reply_unsupported_coding(struct http_request *request, const char *coding);

/* For a client that has left: closes the connection. */
void reply_nobody(struct http_request *request);

/* 405 and the answer to OPTIONS; `allow` is the value of the Allow header. */
void reply_method_not_allowed(struct http_request *request, const char *allow);
void reply_options(struct http_request *request, const char *allow);

/* Appends the head of a stream's answer. Whether the client takes gzip: then it begins a compressed
 * stream. A failed allocation is noted in `out`. */
bool reply_stream_head(const struct http_request *request, struct buffer *out);

/* The same of a stream of another type, which is never compressed. */
void reply_plain_stream_head(const struct http_request *request, const char *content_type,
                             struct buffer *out);

/* For a HEAD. */
void reply_stream_head_only(struct http_request *request);

#endif
