/* Hears that a run moved, and demands a re-read after any gap.
 *
 * A notification is a hint to read, never data. Its payload is "project/domain/run/revision/" of
 * each run that its transaction changed, and a transaction's number: all_heard_below. The slashes
 * are NEWS_SEPARATORs. */
#ifndef RUNTREE_SQL_NOTIFY_LISTENER_H
#define RUNTREE_SQL_NOTIFY_LISTENER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "model/run_key.h"

struct notify_listener;

struct run_notification {
    struct run_key run;
    int64_t revision; /* 0: it was deleted, or all its actions wait */
    int64_t
        all_heard_below; /* the changes of all transactions below it have been heard; 0: not said */
};

struct notify_listener_events {
    void (*on_run_changed)(void *arg, const struct run_notification *notification);
    /* LISTEN is on (again): what happened before was not heard, read everything anew. */
    void (*on_listening)(void *arg, uint32_t timeline);
    void (*on_lost)(void *arg, const char *why);
};

/* NULL when out of memory. */
struct notify_listener *notify_listener_new(uv_loop_t *loop, const char *url,
                                            const struct notify_listener_events *events, void *arg);

/* At the end: no callback comes any more. */
void notify_listener_stop(struct notify_listener *listener);
/* When the loop is empty; NULL is fine. */
void notify_listener_free(struct notify_listener *listener);

/* LISTEN is on, as the server itself said within the last seconds. A session that turns out to be
 * deaf is replaced; after two in a row the next counts only once the server has said so. */
bool notify_listener_is_on(const struct notify_listener *listener);

/* The part of the server's notification queue that is in use, 0 to 1, as of the last heartbeat. */
double notify_listener_queue_usage(const struct notify_listener *listener);

#endif
