/* Group commit: one transaction for everything that gathered while the last one was in flight.
 *
 * A run's events always go through the same connection, in order of arrival. What a batch goes
 * through, each arrow one round trip:
 *
 *   read -> (find old events) -> (read more) -> model/decide -> write if no run has changed since,
 * notify, commit
 *
 * or without the read, where model/known_runs has all that would be read; or, where another process
 * wrote to the same runs a short while ago:
 *
 *   look for the events -> lock and read -> (read more) -> model/decide -> write …
 *
 * or from the first read on, where a run is to be made.
 *
 * A batch that Postgres refuses is tried again in halves, run by run first, until the culprit
 * stands alone and is given up; the others are committed. A run that somebody else holds locked is
 * put aside with its events and tried again on its own. A batch whose connection broke is repeated,
 * which the events' keys make safe. */
#ifndef RUNTREE_SQL_EVENT_WRITER_H
#define RUNTREE_SQL_EVENT_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "model/decide.h"
#include "model/event_batch.h"

struct event_writers;

enum { WRITERS_MAX = 16 };

struct event_writers_options {
    const char *url;
    int connections;        /* 1 to WRITERS_MAX */
    size_t queue_bytes_max; /* of events that wait, over all connections */
    size_t known_bytes_max; /* of what is kept of runs that were written (model/known_runs.h) */
    uint64_t retry_for_ms;  /* how long a broken connection may take to come back before events in
                               flight are given up */
    const int64_t *generation; /* the newest list of cells (model/generations.h) that is known */
    bool *is_due;              /* set while event_writers_run has something to do */
};

struct event_writers_events {
    void (*on_lost)(void *arg, const char *why);
    /* Postgres refused a batch of `count` events, for the first time, or they are given up. */
    void (*on_refused)(void *arg, size_t count, const char *sqlstate, const char *message);
    /* Another process changed a run between the read and the write of a batch of `count` events,
     * which is decided again. */
    void (*on_conflict)(void *arg, size_t count);
    /* `count` events were committed; the time from the first byte to Postgres until its answer.
     * `is_unread`: nothing was read for them. */
    void (*on_committed)(void *arg, size_t count, uint64_t duration_ns, bool is_unread);
    /* And that is what was written, borrowed. */
    void (*on_recorded)(void *arg, const struct decision *decision);
    /* What is kept of runs that were written takes so many bytes from now on. */
    void (*on_kept)(void *arg, size_t bytes);
};

enum event_write_outcome {
    EVENT_WRITE_DONE,        /* every result is filled, and what they acknowledge is committed */
    EVENT_WRITE_UNAVAILABLE, /* some results are still pending; repeating the request is safe */
    EVENT_WRITE_MISPLACED, /* likewise, each because its run is not here, and must not be made here,
                              or not by the list of cells that is known */
};

/* `why`, for people and borrowed, says what was in the way where it is not that the database is
 * away; else NULL. */
typedef void event_write_fn(void *arg, enum event_write_outcome outcome, const char *why);

/* NULL when out of memory. `events` and `arg` are borrowed. */
struct event_writers *event_writers_new(uv_loop_t *loop,
                                        const struct event_writers_options *options,
                                        const struct event_writers_events *events, void *arg);

/* At the end: requests under way end with EVENT_WRITE_UNAVAILABLE, then no callback comes any more.
 */
void event_writers_stop(struct event_writers *writers);
/* When the loop is empty; NULL is fine. */
void event_writers_free(struct event_writers *writers);

/* Submits the events of `batch` whose results are EVENT_PENDING. Their runs are made if they are
 * not there, and `may_create`, and there is no newer list of cells than the one that is known now.
 * The batch is borrowed until `done`, which comes exactly once, perhaps before the return. -EAGAIN:
 * the queue is full; -ENOTCONN: Postgres is away; -ENOMEM; then `done` does not come and nothing
 * was submitted. */
int event_writers_submit(struct event_writers *writers, struct event_batch *batch, bool may_create,
                         event_write_fn *done, void *arg);

/* Starts what was submitted: to be called once per turn of the loop, so that a turn's requests
 * share a transaction. */
void event_writers_run(struct event_writers *writers);

/* Somebody made the run's revision (struct run_notification). */
void event_writers_hear(struct event_writers *writers, const struct run_key *run, int64_t revision);

/* All connections are usable. */
bool event_writers_are_ready(const struct event_writers *writers);
size_t event_writers_usable(const struct event_writers *writers); /* how many are */
size_t event_writers_queued_bytes(const struct event_writers *writers);

#endif
