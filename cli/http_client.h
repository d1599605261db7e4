/* One request at a time to the service, without ever waiting in it: the caller's loop waits, for
 * this and for its own descriptors. */
#ifndef RUNTREE_CLI_HTTP_CLIENT_H
#define RUNTREE_CLI_HTTP_CLIENT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_client;

/* What came back. `status` is 0 if nothing did: not reached, or cut off. */
struct http_answer {
    int status;
    bool timed_out;
    int64_t retry_after_ms; /* -1: not said */
    char *body;             /* owned, ends with a NUL; NULL for nothing */
    size_t length;
};

void http_answer_clear(struct http_answer *answer);

/* `url` is the service's, with or without a path; `token` may be NULL. Both are copied. NULL
 * without memory. */
struct http_client *http_client_new(const char *url, const char *token);
void http_client_free(struct http_client *client);

/* Starts a request; the one before must have been taken. `body` (copied) is sent as JSON; NULL:
 * none. 0 or -1. */
int http_client_start(struct http_client *client, const char *method, const char *path,
                      const char *body, int64_t timeout_ms);

/* What of a stream comes meanwhile; false ends it. */
typedef bool http_receive(void *context, const char *bytes, size_t length);

/* As http_client_start, of a stream of Server-Sent Events, whose bytes go to `receive` as they come
 * if the status is 200; it ends after `silence_ms` without any. `last_event_id` may be NULL. */
int http_client_start_stream(struct http_client *client, const char *path,
                             const char *last_event_id, int64_t silence_ms, http_receive *receive,
                             void *context);

/* Gives up the request under way, if there is one. */
void http_client_cancel(struct http_client *client);

bool http_client_is_busy(const struct http_client *client);

/* Waits for the request, for any of the descriptors (at most HTTP_CLIENT_FDS_MAX, whose `revents`
 * are set), or for `timeout_ms`. */
enum { HTTP_CLIENT_FDS_MAX = 4 };
void http_client_wait(struct http_client *client, struct pollfd *fds, size_t count,
                      int64_t timeout_ms);

/* True if the request has ended: then *answer, which the caller clears, is what came. */
bool http_client_take(struct http_client *client, struct http_answer *answer);

/* Appends "/" and `part`, percent-encoded, to `path`, cut to `size`. */
void http_path_append(char *path, size_t size, const char *part);

#endif
