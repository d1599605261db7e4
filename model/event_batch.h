/* One request's events: from a body to decoded events, and from verdicts to an answer. */
#ifndef RUNTREE_MODEL_EVENT_BATCH_H
#define RUNTREE_MODEL_EVENT_BATCH_H

#include "model/action_event.h"
#include "model/arena.h"
#include "model/buffer.h"

enum { BATCH_BYTES_MAX = 4 * 1024 * 1024, BATCH_EVENTS_MAX = 5000 };

enum event_status {
    EVENT_PENDING = 0,
    EVENT_APPLIED,
    EVENT_RECORDED,
    EVENT_WAITING,
    EVENT_DUPLICATE,
    EVENT_REJECTED,
};

struct event_result {
    enum event_status status;
    bool identical;    /* of a duplicate */
    char *differing;   /* of one that is not identical: the members, owned; NULL: not known */
    int64_t revision;  /* 0: none (yet) */
    char *waiting_for; /* of a waiting one: the parent's name, owned; NULL: that one is named */
    bool is_too_deep;  /* of a waiting one: that parent is on the last level, it will not join */
    bool is_paused; /* of a recorded RUNNING: a PAUSED before it has the same version, and stands */
    bool is_given_up;        /* of a recorded one: the service has abandoned what goes on with it */
    struct problem *problem; /* of a rejected one, owned */
    bool is_abort_requested; /* somebody asked for the end of the action, of one above it or of the
                                run */
};

void event_result_clear(struct event_result *result);

/* Rejects the event: copies `problem`. -ENOMEM if that fails. */
int event_result_reject(struct event_result *result, const struct problem *problem);

/* events[i] and results[i] belong together, in the order of the request. An event whose result is
 * EVENT_REJECTED already is empty. */
struct event_batch {
    char *body; /* owned */
    size_t body_length;
    bool is_single;     /* one event, answered by itself and not as a list */
    size_t count, room; /* events that there are, and that there is memory for */
    struct action_event *events;
    struct event_result *results;
    struct arena texts; /* the events' strings, and what of `info` does not stand in the body */
};

enum event_batch_form { EVENT_BATCH_JSON, EVENT_BATCH_NDJSON };

/* Decodes a request's body and takes it over (malloc'd; freed also on failure). 0, or -1 and
 * *problem when the request as a whole is refused: not JSON, too many events, neither an event
 * nor {"events": [ … ]}. An empty body of a PUT counts as {}. `path` may be NULL. An event over
 * EVENT_BYTES_MAX is truncated (model/event_cut.h). From any thread. */
int event_batch_decode(struct event_batch *batch, char *body, size_t length,
                       enum event_batch_form form, const struct action_event_path *path,
                       int64_t received_us, struct problem *problem);

void event_batch_clear(struct event_batch *batch);

/* What it holds, but for the problems of rejected events. */
size_t event_batch_bytes(const struct event_batch *batch);

/* {"status", "revision"?, "detail"?, "identical"?, "truncated"?, "abortRequested"?, "problem"?} */
void event_result_write(struct buffer *out, const struct event_result *result, bool is_truncated);

#endif
