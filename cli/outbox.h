/* The events of one action (or, as a batch, of many) that the service has not taken yet, and what
 * to do about each answer to them. Pure. */
#ifndef RUNTREE_CLI_OUTBOX_H
#define RUNTREE_CLI_OUTBOX_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A plain value; outbox_init makes one. */
struct outbox {
    json_t *events;      /* owned array, oldest first */
    json_t *refused;     /* owned array of {"event", "problem"}: what the service will never take */
    bool is_batch;       /* of many actions: sent as they are, whatever was there before */
    size_t sent;         /* of `events`, in the request under way */
    bool is_abort_asked; /* an answer said that the action is to end */
    bool asks_state;     /* to know which attempt comes next, the action is to be read */
    int conflicts;
    json_t *start; /* the event of the start as it was taken, owned; NULL: not yet */
    json_t *name;  /* the action's, as all events of it are to say it, owned */
    int64_t attempt, first_attempt;
};

enum { OUTBOX_REQUEST_EVENTS_MAX = 1000 };
enum { OUTBOX_CONFLICTS_MAX = 20 }; /* then what is in the way is let be */

/* 0, or -1 without memory; outbox_clear in any case. */
int outbox_init(struct outbox *outbox);
void outbox_clear(struct outbox *outbox);

/* Takes `event` over (NULL is ignored). The first one gives the name and the attempt, the others
 * get them. */
void outbox_add(struct outbox *outbox, json_t *event);

bool outbox_is_empty(const struct outbox *outbox);

/* The body of a POST to /v1/events, malloc'd; NULL without memory. That an execution starts is sent
 * alone: only the answer to it says under which name and attempt the rest is to be. */
char *outbox_body(struct outbox *outbox);

enum outbox_verdict {
    OUTBOX_TAKEN, /* what was sent is settled; look whether there is more */
    OUTBOX_RETRY, /* later: the service is away, overloaded, or does not know us */
};

/* What came back. Events that were taken go. Where another execution has reported under the same
 * name, these become its next attempt (asks_state: read the action, then outbox_take_state). Where
 * that has another parent, the name becomes "parent.name". */
enum outbox_verdict outbox_take_answer(struct outbox *outbox, int status, const char *body,
                                       size_t length);

/* The body of a POST that changes nothing, for the start was taken already: the answer to it says
 * whether the action is to end. malloc'd; NULL before the start was taken, and without memory. */
char *outbox_question(const struct outbox *outbox);

/* The answer to that. */
void outbox_take_question_answer(struct outbox *outbox, const char *body, size_t length);

/* The answer to a GET of the action. */
void outbox_take_state(struct outbox *outbox, const json_t *action);

#endif
