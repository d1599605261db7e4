/* Drives libmicrohttpd from our loop: reads requests, hands them to their routes, sends answers.
 *
 * A request whose handler returned without an answer is suspended; the answer resumes it, together
 * with all others of the same turn of the loop (http_server_run), because a resume costs
 * libmicrohttpd a walk over all that are suspended. */
#ifndef RUNTREE_SERVER_HTTP_H
#define RUNTREE_SERVER_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "model/access.h"
#include "model/problem.h"
#include "model/run_key.h"
#include "server/rate_limit.h"
#include "server/router.h"

struct http_server;
struct http_request;

enum {
    HTTP_HEAD_BYTES_MAX = 16 * 1024, /* request line and headers; more is answered by 431 or 414 */
    HTTP_IDLE_TIMEOUT_S = 60,
    HTTP_ANSWER_TIMEOUT_S = 300, /* for an answer to be taken */
};

/* The cookie that keeps a browser's token (see handlers/session.c). By its prefix browsers take it
 * only from this very host, over TLS or loopback, and for all paths (RFC 6265bis, 4.1.3.2). */
#define SESSION_COOKIE "__Host-runtree_session"

struct http_options {
    int listen_fd;   /* listening, non-blocking; owned by the server from then on */
    struct app *app; /* handed to the handlers */
    unsigned connections_max;
    unsigned connections_per_address_max; /* 0: any number */
    uint64_t request_timeout_ms;          /* for head and body to arrive */
};

/* NULL with a reason in `why`. */
struct http_server *http_server_new(uv_loop_t *loop, const struct http_options *options, char *why,
                                    size_t why_size);

/* Once per turn of the loop, before it waits. */
void http_server_run(struct http_server *server);

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
bool http_request_is_head(const struct http_request *request);
struct app *http_request_app(const struct http_request *request);

/* What the request's token allows; borrowed. NULL: nobody is asked for a token, and everything is
 * allowed. */
struct access *http_request_access(const struct http_request *request);

/* Whether the client still waits for the answer: it has not closed its side of the connection,
 * which nobody does who reads the answer. For a request that is not answered yet. */
bool http_request_has_client(const struct http_request *request);

/* The token of `Authorization: Bearer …`; NULL if there is none. */
const char *http_request_bearer(const struct http_request *request);

/* Who asks, as limits count it: the token's subject, else the address. */
enum { CLIENT_NAME_SIZE = SUBJECT_SIZE + 8 };
void http_request_client(const struct http_request *request, char out[static CLIENT_NAME_SIZE]);

/* Whether the client may have so many more now; else answers 429. */
bool http_request_may_take(struct http_request *request, enum rate_kind kind, int64_t count);

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

#endif
