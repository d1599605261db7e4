/* What waits for a writer: events with the place of their verdict, and the requests that they
 * belong to. */
#ifndef RUNTREE_SQL_WRITE_QUEUE_H
#define RUNTREE_SQL_WRITE_QUEUE_H

#include "model/event_batch.h"
#include "sql/event_writer.h"

/* One call of event_writers_submit; frees itself when its last event is finished. */
struct write_request {
    size_t pending; /* events not finished, and one for the call that submits */
    bool is_unavailable;
    event_write_fn *done;
    void *arg;
};

struct write_item {
    struct write_request *request;
    const struct action_event *event;
    struct event_result *result;
    /* The verdict of an earlier try whose commit may have happened: the connection was lost. It has
     * no problem. */
    struct event_result lost;
};

/* NULL when out of memory. */
struct write_request *write_request_new(event_write_fn *done, void *arg);

/* Every event is queued; a request without events is done with this. */
void write_request_submitted(struct write_request *request);

/* The event has its verdict, or was given up; tells the request when it is the last. */
void write_item_finish(struct write_item *item, enum event_write_outcome outcome);

/* Takes the verdict away and notes it, when it is not known whether it was committed. */
void write_item_lose(struct write_item *item);

/* A duplicate of what a lost try wrote, whose commit came after all, gets that try's verdict. */
void write_item_claim(struct write_item *item);

/* Takes the verdict back: the writing failed. */
void write_item_reopen(struct write_item *item);

/* The event is stored already, with this revision and document: a duplicate, or our own lost try
 * (write_item_claim). 0 or -ENOMEM. */
int write_item_found(struct write_item *item, int64_t revision, const char *info);

/* First in, first out. All zero is empty. */
struct write_queue {
    struct write_item *items; /* a ring */
    size_t first, count, capacity;
    size_t bytes;
};

void write_queue_free(struct write_queue *queue);
size_t write_queue_count(const struct write_queue *queue);
size_t write_queue_bytes(const struct write_queue *queue);

/* Copies the item. 0 or -ENOMEM. */
int write_queue_put(struct write_queue *queue, const struct write_item *item);

/* Moves up to `max` items of together at most `bytes_max` bytes (but at least one) to `items`; how
 * many. */
size_t write_queue_take(struct write_queue *queue, struct write_item *items, size_t max,
                        size_t bytes_max);

#endif
