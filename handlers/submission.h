/* Events on their way from a request to the writers: made, perhaps on a worker thread, held to what
 * the request's token and rate allow, written, and answered for. */
#ifndef RUNTREE_HANDLERS_SUBMISSION_H
#define RUNTREE_HANDLERS_SUBMISSION_H

#include "model/event_batch.h"
#include "server/app.h"

/* What an endpoint does with `arg`, which is its own. */
struct submission_steps {
    /* Makes the events, from any thread: 0; 1 if there are more, for which it is called again when
     * these are written; or -1 and *problem, which is then the answer. */
    int (*make)(void *arg, struct event_batch *batch, struct problem *problem);
    /* For each batch whose events have their verdicts, `batch->results`. Whether there are more
     * events because of them. NULL: nobody. */
    bool (*written)(void *arg, const struct event_batch *batch);
    /* Answers, after the last of them. */
    void (*reply)(void *arg, struct http_request *request, const struct event_batch *batch);
    /* Once, at the end, perhaps after the request. */
    void (*free)(void *arg);
};

/* Answers the request, by 429 or 503 if need be. `is_large`: making the events takes so long that a
 * worker thread does it. */
void submission_start(struct app *app, struct http_request *request,
                      const struct submission_steps *steps, void *arg, bool is_large);

enum { DECODED_ON_LOOP_MAX = 32 * 1024 }; /* bytes of a body; more is large */

/* The time of receipt, in microseconds since 1970. */
int64_t submission_now_us(void);

#endif
