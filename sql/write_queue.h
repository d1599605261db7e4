/* What waits for a writer: events with the place of their verdict, and the requests that they
 * belong to. */
#ifndef RUNTREE_SQL_WRITE_QUEUE_H
#define RUNTREE_SQL_WRITE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/event_batch.h"

enum event_write_outcome {
    EVENT_WRITE_DONE,        /* every result is filled, and what they acknowledge is committed */
    EVENT_WRITE_UNAVAILABLE, /* some results are still pending; repeating the request is safe */
};

/* `why`, for people and borrowed, says what was in the way where it is not that the database is
 * away; else NULL. */
typedef void event_write_fn(void *arg, enum event_write_outcome outcome, const char *why);

enum { WRITE_WHY_SIZE = 512 };

/* One call of event_writers_submit; frees itself when its last event is finished. */
struct write_request {
    size_t pending; /* events not finished, and one for the call that submits */
    bool is_unavailable;
    char why[WRITE_WHY_SIZE]; /* of the first event that was given up for a reason of its own */
    event_write_fn *done;
    void *arg;
};

struct write_item {
    struct write_request *request;
    const struct action_event *event;
    struct event_result *result;
    uint64_t number;     /* in the order of arrival, over all writers */
    uint64_t arrived_ms; /* uv_now */
};

/* NULL when out of memory. */
struct write_request *write_request_new(event_write_fn *done, void *arg);

/* Every event is queued; a request without events is done with this. */
void write_request_submitted(struct write_request *request);

/* One more event of the request is under way: one of the two below is to be called for it. */
void write_request_add(struct write_request *request);

/* The event has its verdict; tells the request when it is the last. Nothing for one that is
 * finished already. */
void write_item_finish(struct write_item *item);

/* Likewise, when it will have none. `why` is for people and copied; NULL: the database is away. */
void write_item_give_up(struct write_item *item, const char *why);

/* Takes the verdict back: the writing failed. */
void write_item_reopen(struct write_item *item);

/* First in, first out. All zero is empty. */
struct write_queue {
    struct write_item *items; /* a ring */
    size_t first, count, capacity;
    size_t bytes;
};

void write_queue_free(struct write_queue *queue);
size_t write_queue_count(const struct write_queue *queue);
size_t write_queue_bytes(const struct write_queue *queue);

/* Copies the item, behind the others or before them. 0 or -ENOMEM. */
int write_queue_put(struct write_queue *queue, const struct write_item *item);
int write_queue_put_first(struct write_queue *queue, const struct write_item *item);

/* The next item to be taken, or NULL. Borrowed until the queue changes. */
const struct write_item *write_queue_first(const struct write_queue *queue);

/* Moves up to `max` items of together at most `bytes_max` bytes (but at least one) to `items`; how
 * many. */
size_t write_queue_take(struct write_queue *queue, struct write_item *items, size_t max,
                        size_t bytes_max);

#endif
