/* What event_writer.c (one connection's batches), event_writer_read.c (their read half) and
 * event_writers.c (all connections, requests) share. */
#ifndef RUNTREE_SQL_EVENT_WRITER_INTERNAL_H
#define RUNTREE_SQL_EVENT_WRITER_INTERNAL_H

#include "model/decide.h"
#include "sql/event_writer.h"
#include "sql/pg_connection.h"
#include "sql/pg_value.h"
#include "sql/write_queue.h"

enum {
    WRITE_EVENTS_MAX = 5000,           /* in one transaction */
    WRITE_BYTES_MAX = 8 * 1024 * 1024, /* likewise, unless one event alone is bigger */
    WRITE_TIMEOUT_MS = 20000,          /* of one round trip */
    WRITE_RETRIES_MAX = 5,             /* after a serialization failure or a deadlock */
    WRITE_LOSSES_MAX = 3,              /* of the connection, while the same events are written */
    SIDE_BY_SIDE_EVENTS_MIN = 16, /* waiting for one writer, for it not to wait for the others */
    LOCK_FIRST_MIN_MS = 1000,     /* after a batch met another process's changes … */
    LOCK_FIRST_MAX_MS = 60000,    /* … and at most, if that goes on */
    RANGES_MAX = 32,              /* halves of halves: more than log2(WRITE_EVENTS_MAX) */
    STATEMENTS_MAX = 6,           /* with parameters, in one round trip */
};

/* A stretch of the batch, first to before last. */
struct range {
    size_t first, last;
};

struct event_writer {
    struct event_writers *owner;
    struct pg_connection *connection;
    bool is_set_up; /* the session has its settings */
    struct write_queue queue;

    /* The batch in flight, and what of it is still to do: ranges[0 … range_count). */
    struct write_item *batch; /* WRITE_EVENTS_MAX of them */
    size_t batch_count;       /* 0: none in flight */
    bool is_for_all;          /* it has events of all the writers' queues */
    struct range ranges[RANGES_MAX];
    size_t range_count;
    struct range range; /* the one that is being tried */
    int retries, losses;
    uv_timer_t patience; /* runs while the connection is away and somebody waits */
    bool patience_runs;

    /* Until then batches lock their runs before they read, and for how long that was decided. */
    uint64_t lock_first_until_ms, lock_first_ms;

    /* One try. */
    bool is_locked;  /* the runs are locked before they are read */
    bool is_writing; /* the half that commits was sent */
    struct decision *decision;
    const struct action_event **events; /* those asked for, WRITE_EVENTS_MAX of them */
    size_t event_count;
    const struct run_key *runs;
    size_t run_count;
    const struct decision_name *names; /* of the actions to be read */
    size_t name_count;
    int64_t *changed_xids;                  /* one for each run, as read */
    char (*incarnations)[INCARNATION_SIZE]; /* one for each run, should it be new */
    size_t runs_read;
    const struct decision_name *unread;
    int64_t now_us;
    uint64_t started_ns;
    bool is_out_of_memory;
    struct pg_parameters parameters[STATEMENTS_MAX];
};

struct event_writers {
    uv_loop_t *loop;
    struct event_writers_options options;
    const struct event_writers_events *events;
    void *arg;
    int count;
    int open; /* handles of connections and timers not closed yet */
    void (*on_closed)(void *arg);
    void *closed_arg;
    struct event_writer writers[WRITERS_MAX];
};

/* Starts the next batch if there is one and the connection is free. */
void event_writer_run(struct event_writer *writer);

/* The batch in flight and all that waits is answered as unavailable. */
void event_writer_give_up(struct event_writer *writer);

/* Frees what the tries used; the connection is closed. */
void event_writer_free(struct event_writer *writer);

/* Reads what the range's verdicts depend on, decides, and goes on with event_writer_write, or where
 * there is nothing to decide with event_writer_finish_range. */
void event_writer_read(struct event_writer *writer);

/* Adds the statement with what is bound in parameters[slot]. */
void event_writer_add(struct event_writer *writer, const struct pg_statement *statement, int slot);

/* Writes what was decided, if there is anything to write. */
void event_writer_write(struct event_writer *writer);

/* Takes the range as done: every item of it has its verdict. Goes on with the next. */
void event_writer_finish_range(struct event_writer *writer);

/* A round trip failed; returns after having arranged what comes next. */
void event_writer_failed(struct event_writer *writer, const struct pg_end *end);
void event_writer_fail_for_memory(struct event_writer *writer);

/* Frees what the try read and decided. */
void event_writer_drop_try(struct event_writer *writer);

/* A result that nobody looks at. */
pg_result_fn event_writer_ignore;

#endif
