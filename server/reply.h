/* Every answer that is not a stream leaves here. Each function answers the request, exactly once;
 * the request must not be touched afterwards. Bodies of 1 KiB and more are compressed for those who
 * take gzip, large ones piece by piece as they are sent. */
#ifndef RUNTREE_SERVER_REPLY_H
#define RUNTREE_SERVER_REPLY_H

#include <jansson.h>
#include <stddef.h>

#include "model/json_buffer.h"
#include "model/problem.h"
#include "server/http.h"

/* Takes the reference over; NULL answers as out of memory. */
void reply_json(struct http_request *request, unsigned status, json_t *document);

/* Takes the buffer's bytes over. */
void reply_buffer(struct http_request *request, unsigned status, const char *content_type,
                  struct json_buffer *buffer);

/* Sends the JSON that `make` writes, on a worker thread. Then, on the loop's thread and even if the
 * request has gone meanwhile, `done` is called, which frees what `arg` has. */
typedef void reply_make_fn(void *arg, struct json_buffer *out);
void reply_made(struct http_request *request, reply_make_fn *make, void (*done)(void *arg),
                void *arg);

/* A body that is made piece by piece while its client takes it. */
struct reply_source {
    /* Appends the next piece, some REPLY_PIECE_BYTES, and perhaps none of it. 1: that was the last;
     * 0: there is more; negative: there is no more, and the connection is closed. */
    int (*next)(void *arg, struct json_buffer *piece);
    /* Once, when nothing more is asked of it. */
    void (*end)(void *arg);
};

enum { REPLY_PIECE_BYTES = 64 * 1024 };

/* An error of the first piece is answered (reply_unavailable). */
void reply_pieces(struct http_request *request, unsigned status, const char *content_type,
                  const struct reply_source *source, void *arg);

/* `bytes` must live as long as the program. */
void reply_static(struct http_request *request, unsigned status, const char *content_type,
                  const void *bytes, size_t length);

/* The same with more headers, and as it is; an entry without a name ends them. */
struct reply_header {
    const char *name, *value;
};
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

/* Appends the head of a stream's answer. Whether it begins a compressed stream: the client takes
 * gzip. */
bool reply_stream_head(const struct http_request *request, struct json_buffer *head);

/* For a HEAD. */
void reply_stream_head_only(struct http_request *request);

#endif
