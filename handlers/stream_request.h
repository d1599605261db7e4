/* What both watches do before a stream is theirs. */
#ifndef RUNTREE_HANDLERS_STREAM_REQUEST_H
#define RUNTREE_HANDLERS_STREAM_REQUEST_H

#include <stdbool.h>

#include "server/app.h"
#include "watch/stream.h"

/* Whether the client, if it says what it takes, takes an event stream. */
bool stream_is_taken(const struct http_request *request);

/* Whether the request may become a stream; if not it was answered 406, 429 or 503. */
bool stream_admit(struct app *app, struct http_request *request);

/* The same for a stream of another type than text/event-stream, whatever the client takes. */
bool stream_admit_any(struct app *app, struct http_request *request);

/* Whether any of the cells can be read. */
bool stream_has_cell(const struct app *app);

/* What the client last heard: of the header, else of the query; NULL if neither says anything.
 * Borrowed. */
const char *stream_last_event_id(const struct http_request *request);

/* Makes the head of the answer, which begins the stream, and takes the request's socket for
 * `on_detached`, whose *head it is then. 0; else the request was answered, and *head is NULL. */
int stream_detach(struct http_request *request, struct frame **head, http_detached_fn *on_detached,
                  void *arg);

/* The stream counts for the request's client, and ends when its token expires. NULL is fine. */
void stream_belongs_to(struct stream *stream, const struct http_request *request);

#endif
