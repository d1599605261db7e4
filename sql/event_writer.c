/* All connections of the writers: their batches, what follows a failure, and the requests that they
 * share. */
#include "sql/event_writer.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A failed allocation leaves the element's hh.tbl NULL instead of ending the process. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "model/decide.h"
#include "model/known_runs.h"
#include "sql/pg_connection.h"
#include "sql/pg_value.h"
#include "sql/rows.h"
#include "sql/write_statements.h"

enum {
    WRITE_EVENTS_MAX = 5000,           /* in one transaction */
    WRITE_BYTES_MAX = 8 * 1024 * 1024, /* likewise, unless one event alone is bigger */
    WRITE_TIMEOUT_MS = 20000,          /* of one round trip */
    WRITE_RETRIES_MAX = 5,             /* after a serialization failure or a deadlock */
    WRITE_LOSSES_MAX = 3,              /* of the connection, while the same events are written */
    REFUSALS_MAX = 256,                /* of one batch, until what is left of it is given up */
    REFUSALS_OF_RUN_MAX = 32,          /* of one run in it, likewise */
    LOCK_WAITS_MAX = 16,               /* of one batch, until what is left of it is put aside */
    SIDE_BY_SIDE_EVENTS_MIN = 16, /* waiting for one writer, for it not to wait for the others */
    LOCK_FIRST_MS = 10000,        /* after a batch met another process's changes */
    PARK_MIN_MS = 20,          /* from one look at a run that is in other hands to the next … */
    PARK_MAX_MS = 1000,        /* … which doubles up to this */
    PARKED_SHARE = 8,          /* this part of the queue's bytes may wait for one such run … */
    PARKED_MAX_MS = 10000,     /* that an event waits for such a run */
    RANGES_MAX = 64,           /* halves of halves, of runs and then of events: 2 log2(5,000) */
    JOINS_MAX = 1000,          /* waiting children that join in one transaction */
    JOINS_LISTED_MAX = 2000,   /* pending joins that a writer has in mind */
    JOINS_FOUND_MAX = 100,     /* that one look finds */
    JOIN_PAUSE_MIN_MS = 1000,  /* until one that failed is tried again … */
    JOIN_PAUSE_MAX_MS = 60000, /* … which doubles up to this */
    JOINS_LOOK_MS = 10000,     /* between two looks for joins that nobody works on */
    QUEUE_CAPACITY_FIRST = 256,
    WRITE_WHY_SIZE = 1536,
};

/* What the exchange under way is for. enter() alone sets it, on_step_ended() says what comes next.
 */
enum step {
    STEP_NONE,   /* nothing is under way */
    STEP_SET_UP, /* the session's settings */
    STEP_PROVE,  /* rehearses the statements on a new session */
    STEP_READ,   /* a try of events begins here … */
    STEP_LOOK,   /* … or here, where others write to the same runs … */
    STEP_FIND_OLD,
    STEP_LOCK,      /* … goes on here if it must hold its runs, and reads them again … */
    STEP_READ_JOIN, /* (a try of a join begins here, with the run's lock) */
    STEP_READ_MORE,
    STEP_WRITE, /* … and ends here or with the next */
    STEP_UNLOCK,
    STEP_FIND_ABORTS,      /* behind that, of runs in which somebody asked for an end */
    STEP_UNLOCK_REMOVED,   /* what is left of a run must go first */
    STEP_UNLOCK_MISSING,   /* a run was deleted before it could be locked */
    STEP_UNLOCK_ELSEWHERE, /* a run is not there, and must not be made here */
    STEP_UNLOCK_GONE,      /* there is no run to join anything in */
    STEP_REHEARSE,         /* after a try was refused */
    STEP_PROBE_RANGE,      /* after a try waited for a lock */
    STEP_PROBE_PARKED,     /* between batches, as the next */
    STEP_FIND_JOINS,
};

/* One call of event_writers_submit; frees itself when its last event is finished. */
struct write_request {
    size_t pending; /* events not finished, and one for the call that submits */
    bool is_unavailable, is_misplaced;
    bool may_create;          /* runs that are not there … */
    int64_t generation;       /* … by this list of cells */
    char why[WRITE_WHY_SIZE]; /* of the first event that was given up for a reason of its own */
    event_write_fn *done;
    void *arg;
};

/* An event with the place of its verdict. */
struct write_item {
    struct write_request *request; /* NULL: it is finished or has moved */
    const struct action_event *event;
    struct event_result *result;
    uint64_t number;     /* in the order of arrival, over all writers */
    uint64_t arrived_ms; /* uv_now */
};

/* First in, first out. All zero is empty. */
struct write_queue {
    struct write_item *items; /* a ring */
    size_t first, count, capacity;
    size_t bytes;
};

/* A stretch of the batch, first to before last. */
struct range {
    size_t first, last;
};

/* A run that cannot be written to at the moment, with its events that came so far. */
struct parked_run {
    char path[RUN_PATH_SIZE], parts[RUN_PATH_SIZE];
    struct run_key key; /* into parts */
    struct write_queue queue;
    uint64_t due_ms, pause_ms; /* the next look, and from this to the one behind it */
    bool is_removed;           /* it waits for the removal of a deleted run, not for a lock */
    bool is_free;              /* seen so: its events go into the next batch */
    UT_hash_handle hh;         /* event_writer.parked, by the path */
};

/* An action in the tree for which others still wait, to be joined when there is time. */
struct pending_join {
    char path[RUN_PATH_SIZE];
    struct run_key key; /* into path */
    const char *parent; /* into text */
    uint64_t due_ms, pause_ms;
    UT_hash_handle hh; /* event_writer.joins, by the text: the next to work on comes first */
    char text[RUN_PATH_SIZE + NAME_BYTES_MAX + 1]; /* the run's path, a line feed, the parent */
};

/* A run that is looked at, and what was seen. */
struct probed_run {
    struct run_key key;
    bool is_stored, is_free;
    bool is_removed; /* deleted, but rows of it are left */
};

struct event_writer {
    struct event_writers *owner;
    struct pg_connection *connection;
    enum step step;
    bool is_set_up;  /* the session has its settings */
    bool was_proven; /* some session could do all that a write does */
    struct write_queue queue;
    struct parked_run *parked;  /* of the runs that are this writer's */
    struct pending_join *joins; /* likewise */
    struct pending_join *join;  /* the one that is being worked on, instead of a batch */
    bool was_join;              /* what was done last was one */
    bool looks_for_joins;       /* as soon as the connection is free */

    /* The batch in flight, and what of it is still to do: ranges[0 … range_count). */
    struct write_item *batch; /* WRITE_EVENTS_MAX of them */
    struct write_item *spare; /* likewise; NULL while those of the last batch are answered */
    size_t batch_count;       /* 0: none in flight */
    bool is_for_all;          /* it has events of all the writers' queues */
    struct range ranges[RANGES_MAX];
    size_t range_count;
    struct range range; /* the one that is being tried */
    int retries, losses;
    int lock_waits;                /* that timed out, of the batch */
    int refusals, refusals_of_run; /* of the batch; of the run that was refused last */
    char refused_run[RUN_PATH_SIZE];
    char sqlstate[6];             /* of the last refusal */
    bool was_schema_in_doubt;     /* because of this batch, and then looked at */
    uint64_t lock_first_until_ms; /* a conflict was a short while ago */
    uv_timer_t patience;          /* runs while the connection is away and somebody waits */

    /* One try. */
    bool is_locked;     /* the runs are locked before they are read */
    bool makes_runs;    /* and made, where they are missing */
    bool must_read;     /* also what is known */
    bool meets_removed; /* one of them was deleted, and not all of it is gone */
    bool meets_aborts;  /* in one of them somebody asked for the end of anything */
    struct decision *decision;
    const struct action_event **events; /* those asked for, WRITE_EVENTS_MAX of them */
    size_t event_count;
    const struct run_key *runs;
    size_t run_count;
    const struct decision_name *names; /* of the actions to be read */
    size_t name_count;
    int64_t *changed_xids;                  /* one for each run, as read */
    bool *is_known;                         /* likewise: it was not read */
    size_t known_count;                     /* runs of which that is so */
    struct decision_name *asked;            /* names of the others: those that are read … */
    size_t asked_count, asked_event_count;  /* … and, behind them, those of events alone */
    int64_t xid;                            /* of the transaction */
    char (*incarnations)[INCARNATION_SIZE]; /* one for each run, should it be new … */
    bool *may_create;                       /* … whether it may be made … */
    bool *is_here;               /* … and whether it is there, made rightly or before */
    size_t runs_read, old_count; /* of events: stored already */
    size_t written_count;        /* of events: new */
    const struct decision_name *event_names;
    size_t event_name_count;
    const struct decision_name *unread; /* whose waiting children are being read */
    size_t unread_count;
    const size_t *unread_roots; /* the runs, by index, whose roots are being read */
    int32_t children_left;      /* that may still be read and join in this transaction */
    int64_t now_us;
    uint64_t started_ns;
    bool is_out_of_memory;
    struct pg_calls calls;
    struct probed_run *probed; /* those that are looked at right now */
    size_t probed_count;
};

struct event_writers {
    uv_loop_t *loop;
    struct event_writers_options options;
    const struct event_writers_events *events;
    void *arg;
    int count;
    uint64_t number; /* of the last event submitted */
    struct known_runs *known;
    uint32_t known_timeline; /* of the database in which that is so */
    uv_timer_t parking;      /* the next look at a parked run */
    uv_timer_t joining;      /* the next look for pending joins */
    struct event_writer writers[WRITERS_MAX];
};

static void try_next_range(struct event_writer *writer);
static void run_writer(struct event_writer *writer);
static void write_decision(struct event_writer *writer);
static bool leaves_known(const struct event_writer *writer);
static void read_all(struct event_writer *writer);
static void on_step_ended(void *arg, const struct pg_end *end);

/* -------- requests and queues -------- */

static void release(struct write_request *request)
{
    if (--request->pending > 0)
        return;
    request->done(request->arg,
                  request->is_unavailable ? EVENT_WRITE_UNAVAILABLE
                  : request->is_misplaced ? EVENT_WRITE_MISPLACED
                                          : EVENT_WRITE_DONE,
                  request->why[0] == '\0' ? NULL : request->why);
    free(request);
}

/* The event has its verdict. Nothing for one that is finished already. */
static void finish_item(struct write_item *item)
{
    struct write_request *request = item->request;

    item->request = NULL;
    if (request != NULL)
        release(request);
}

/* Likewise, but it will have none. `why` is for people and copied; NULL: the database is away. */
static void give_up_item(struct write_item *item, const char *why)
{
    struct write_request *request = item->request;

    if (request == NULL)
        return;
    request->is_unavailable = true;
    if (why != NULL && request->why[0] == '\0')
        snprintf(request->why, sizeof request->why, "%s", why);
    finish_item(item);
}

/* Takes the verdict back: the writing failed. */
static void reopen_item(struct write_item *item)
{
    event_result_clear(item->result);
    *item->result = (struct event_result){.status = EVENT_PENDING};
}

/* 0 or -ENOMEM. */
static int make_room(struct write_queue *queue)
{
    size_t capacity = queue->capacity == 0 ? QUEUE_CAPACITY_FIRST : queue->capacity * 2;
    struct write_item *items;

    if (queue->count < queue->capacity)
        return 0;
    items = calloc(capacity, sizeof *items);
    if (items == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < queue->count; i++)
        /* Nothing is in one without room. NOLINTNEXTLINE(clang-analyzer-core.DivideZero) */
        items[i] = queue->items[(queue->first + i) % queue->capacity];
    free(queue->items);
    queue->items = items;
    queue->first = 0;
    queue->capacity = capacity;
    return 0;
}

/* Copies the item, behind the others or before them; if that cannot be it is given up. */
static void queue_item(struct write_queue *queue, struct write_item *item, bool is_first)
{
    if (make_room(queue) < 0) {
        give_up_item(item, "Out of memory.");
        return;
    }
    if (is_first)
        queue->first = (queue->first + queue->capacity - 1) % queue->capacity;
    queue->items[(queue->first + (is_first ? 0 : queue->count)) % queue->capacity] = *item;
    queue->count++;
    queue->bytes += item->event->info.length;
}

/* Moves up to `max` items of together at most `bytes_max` bytes (but at least one) to `items`; how
 * many. */
static size_t take_items(struct write_queue *queue, struct write_item *items, size_t max,
                         size_t bytes_max)
{
    size_t taken = 0, bytes = 0;

    while (taken < max && queue->count > 0) {
        const struct write_item *item = &queue->items[queue->first];

        bytes += item->event->info.length;
        if (taken > 0 && bytes > bytes_max)
            break;
        items[taken++] = *item;
        queue->bytes -= item->event->info.length;
        queue->first = (queue->first + 1) % queue->capacity;
        queue->count--;
    }
    return taken;
}

/* -------- what all steps use -------- */

static int64_t wall_clock_us(void)
{
    uv_timeval64_t now;

    uv_gettimeofday(&now);
    return now.tv_sec * 1000000 + now.tv_usec;
}

static struct event_writer *writer_of(struct event_writers *writers, const struct run_key *run)
{
    return &writers->writers[run_key_hash(run) % (uint32_t)writers->count];
}

/* Begins the exchange of a step: what writer->calls is given then goes out with send_step(). */
static void enter(struct event_writer *writer, enum step step)
{
    writer->step = step;
    pg_calls_reset(&writer->calls);
}

static void send_step(struct event_writer *writer, pg_result_fn *on_result)
{
    writer->is_out_of_memory |= pg_calls_have_failed(&writer->calls);
    pg_exchange(writer->connection, writer->calls.calls, writer->calls.count, on_result,
                on_step_ended, writer);
}

static bool is_idle(const struct event_writer *writer)
{
    return writer->is_set_up && writer->step == STEP_NONE;
}

/* The session is of no use any more; on_ready comes with the next. */
static void break_session(struct event_writer *writer, const char *why)
{
    writer->is_set_up = false;
    pg_connection_reset(writer->connection, why);
}

/* -------- what is known of runs -------- */

static void forget_all(struct event_writers *owner)
{
    known_runs_clear(owner->known);
    owner->events->on_kept(owner->arg, 0);
}

/* After a failover transactions may be lost, and their numbers given out again. */
static void use_timeline(const struct event_writer *writer)
{
    struct event_writers *owner = writer->owner;
    uint32_t timeline = pg_connection_timeline(writer->connection);

    if (timeline != owner->known_timeline)
        forget_all(owner);
    owner->known_timeline = timeline;
}

/* The try failed, perhaps because of what is known of its runs. */
static void forget_runs(struct event_writer *writer)
{
    for (size_t i = 0; writer->decision != NULL && i < writer->run_count; i++)
        known_runs_forget(writer->owner->known, &writer->runs[i]);
}

void event_writers_hear(struct event_writers *writers, const struct run_key *run, int64_t revision)
{
    known_runs_hear(writers->known, run, revision);
}

/* Frees what the try read and decided. */
static void drop_try(struct event_writer *writer)
{
    decision_free(writer->decision);
    writer->decision = NULL;
    free(writer->incarnations);
    writer->incarnations = NULL;
    free(writer->changed_xids);
    writer->changed_xids = NULL;
    free(writer->is_known);
    writer->is_known = NULL;
    free(writer->asked);
    writer->asked = NULL;
    free(writer->may_create);
    writer->may_create = NULL;
    free(writer->is_here);
    writer->is_here = NULL;
}

static void end_batch(struct event_writer *writer)
{
    writer->batch_count = writer->range_count = 0;
    writer->retries = writer->losses = writer->refusals = writer->lock_waits = 0;
    writer->refused_run[0] = '\0';
    writer->was_schema_in_doubt = false;
    writer->is_for_all = false;
}

static void go_on(struct event_writer *writer)
{
    writer->retries = writer->losses = 0;
    if (writer->range_count > 0) {
        if (is_idle(writer))
            try_next_range(writer);
        return;
    }
    end_batch(writer);
    event_writers_run(writer->owner);
}

/* Takes the range as done: every item of it has its verdict. Goes on with the next, and with the
 * next batch before this one is answered: the database need not wait for that. */
static void finish_range(struct event_writer *writer)
{
    struct write_item *answered = writer->batch, *spare = writer->spare;
    struct range range = writer->range;
    bool is_last = writer->range_count == 0 && spare != NULL;

    drop_try(writer);
    if (is_last) {
        writer->batch = spare;
        writer->spare = NULL;
        go_on(writer);
    }
    for (size_t i = range.first; i < range.last; i++)
        finish_item(&answered[i]);
    if (is_last)
        writer->spare = answered;
    else
        go_on(writer);
}

static void give_up_range(struct event_writer *writer, const char *why)
{
    drop_try(writer);
    for (size_t i = writer->range.first; i < writer->range.last; i++)
        give_up_item(&writer->batch[i], why);
    go_on(writer);
}

/* The batch in flight is answered as unavailable. */
static void give_up_batch(struct event_writer *writer, const char *why)
{
    drop_try(writer);
    for (size_t i = 0; i < writer->batch_count; i++)
        give_up_item(&writer->batch[i], why);
    end_batch(writer);
    *writer->owner->options.is_due = true; /* for whom it held up */
}

static void give_up_queue(struct write_queue *queue, const char *why)
{
    struct write_item item;

    while (take_items(queue, &item, 1, SIZE_MAX) == 1)
        give_up_item(&item, why);
}

/* Likewise all that waits: the database is away. */
static void give_up(struct event_writer *writer)
{
    struct parked_run *parked, *next;

    give_up_batch(writer, NULL);
    give_up_queue(&writer->queue, NULL);
    HASH_ITER (hh, writer->parked, parked, next)
        give_up_queue(&parked->queue, NULL);
}

static void put_join_off(struct event_writer *writer);

static void fail_for_memory(struct event_writer *writer)
{
    if (writer->join != NULL)
        put_join_off(writer);
    give_up_batch(writer, "Out of memory.");
    run_writer(writer);
}

static void send_rollback(struct event_writer *writer, enum step step)
{
    enter(writer, step);
    pg_calls_add(&writer->calls, &rollback_statement);
    send_step(writer, NULL);
}

/* -------- the read half -------- */

/* The action of a row that begins with the ordinality of its name; that name's index. */
static size_t put_action(struct event_writer *writer, const PGresult *result, int row,
                         const struct decision_name *names)
{
    size_t i = (size_t)pg_int8(result, row, 0) - 1;
    struct action action;
    struct action_origin origin;

    decided_action_from_row(result, row, 1, &action, &origin);
    if (decision_put_action(writer->decision, &writer->runs[names[i].run], &action, &origin) < 0)
        writer->is_out_of_memory = true;
    return i;
}

static void put_actions(struct event_writer *writer, const PGresult *result)
{
    const int level_column = 1 + DECIDED_ACTION_COLUMN_COUNT;
    int rows = PQntuples(result);

    for (int row = 0; row < rows; row++) {
        size_t i = put_action(writer, result, row, writer->asked);

        if (!PQgetisnull(result, row, level_column))
            decision_put_parent_level(writer->decision, &writer->asked[i],
                                      pg_int4(result, row, level_column));
    }
}

static void put_awaited(struct event_writer *writer, const PGresult *result)
{
    const struct decision_name *names = writer->asked + writer->asked_count;
    int rows = PQntuples(result);

    for (int row = 0; row < rows; row++)
        decision_put_awaited(writer->decision, &names[pg_int8(result, row, 0) - 1]);
}

/* Rows come in the order of the names: when there may be more of them, that is of the last name and
 * of those behind it. */
static void on_more_result(void *arg, size_t statement, const PGresult *result)
{
    struct event_writer *writer = arg;
    int rows = PQntuples(result);
    size_t last = 0;

    (void)statement;
    for (int row = 0; row < rows; row++) {
        size_t i = put_action(writer, result, row, writer->unread);

        assert(i >= last);
        last = i;
    }
    writer->children_left -= rows;
    if (writer->children_left > 0) {
        writer->unread_count = 0;
        return;
    }
    decision_put_unfinished(writer->decision, &writer->unread[last]);
    writer->unread += last + 1;
    writer->unread_count -= last + 1;
}

/* Those of writer->unread for which anything waits. */
static void on_unread_result(void *arg, size_t statement, const PGresult *result)
{
    struct event_writer *writer = arg;
    int rows = PQntuples(result);

    (void)statement;
    for (int row = 0; row < rows; row++)
        decision_put_unfinished(writer->decision, &writer->unread[pg_int8(result, row, 0) - 1]);
    writer->unread_count = 0;
}

/* Asks for the children of writer->unread, or, when no more may join now, whether there are any. */
static void send_read_more(struct event_writer *writer)
{
    bool reads = writer->children_left > 0;

    enter(writer, STEP_READ_MORE);
    if (reads)
        add_find_waiting(&writer->calls, writer->runs, writer->unread, writer->unread_count,
                         writer->children_left);
    else
        add_names(&writer->calls, &find_awaited_statement, writer->runs, writer->unread,
                  writer->unread_count);
    send_step(writer, reads ? on_more_result : on_unread_result);
}

static void on_root_result(void *arg, size_t statement, const PGresult *result)
{
    struct event_writer *writer = arg;
    int rows = PQntuples(result);

    (void)statement;
    for (int row = 0; row < rows; row++)
        decision_put_root(writer->decision, writer->unread_roots[pg_int8(result, row, 0) - 1],
                          pg_text(result, row, 1), pg_time(result, row, 2),
                          pg_time(result, row, 3));
}

static void send_read_roots(struct event_writer *writer, size_t count)
{
    enter(writer, STEP_READ_MORE);
    add_find_roots(&writer->calls, writer->runs, writer->unread_roots, count);
    send_step(writer, on_root_result);
}

static void decide(struct event_writer *writer)
{
    if (writer->is_out_of_memory || decision_make(writer->decision) < 0) {
        break_session(writer, "out of memory");
        fail_for_memory(writer);
    } else if (leaves_known(writer)) {
        read_all(writer);
    } else {
        write_decision(writer);
    }
}

/* Reads the waiting children of actions that are about to join, level by level, as many as may join
 * in one transaction, and what else the decision asks for; then decides. */
static void read_more_or_decide(struct event_writer *writer)
{
    size_t root_runs;

    if (writer->unread_count == 0)
        writer->unread = decision_unread_parents(writer->decision, &writer->unread_count);
    if (writer->unread == NULL && writer->unread_count > 0)
        writer->is_out_of_memory = true;
    if (!writer->is_out_of_memory && writer->unread_count > 0) {
        send_read_more(writer);
        return;
    }
    writer->unread_roots = decision_unread_roots(writer->decision, &root_runs);
    writer->is_out_of_memory |= writer->unread_roots == NULL;
    if (!writer->is_out_of_memory && root_runs > 0) {
        send_read_roots(writer, root_runs);
        return;
    }
    decide(writer);
}

static void put_runs(struct event_writer *writer, const PGresult *result)
{
    int rows = PQntuples(result);
    size_t i = 0;

    for (int row = 0; row < rows; row++) {
        struct run run;
        bool is_new;

        run_from_row(result, row, 0, &run);
        for (size_t tried = 0; run_key_compare(&writer->runs[i], &run.key) != 0; tried++) {
            assert(tried < writer->run_count);
            i = (i + 1) % writer->run_count;
        }
        writer->changed_xids[i] = pg_int8(result, row, RUN_COLUMN_COUNT);
        writer->meets_aborts |= run.abort_requested != NULL || run.abort_count > 0;
        is_new =
            writer->incarnations != NULL && strcmp(run.incarnation, writer->incarnations[i]) == 0;
        if (writer->is_here != NULL)
            writer->is_here[i] =
                !is_new || (writer->may_create[i] && pg_bool(result, row, RUN_COLUMN_COUNT + 1));
        if (decision_put_run(writer->decision, &run, is_new) < 0)
            writer->is_out_of_memory = true;
        i = (i + 1) % writer->run_count; /* they come in order, here at least */
    }
    writer->runs_read = (size_t)rows;
}

static void put_events(struct event_writer *writer, const PGresult *result)
{
    int rows = PQntuples(result);

    for (int row = 0; row < rows; row++) {
        const struct action_event *event = writer->events[pg_int8(result, row, 0) - 1];

        if (decision_put_event(writer->decision, &event->run, event->name, event->attempt,
                               event->phase, event->version, pg_int8(result, row, 1),
                               pg_text(result, row, 2)) < 0)
            writer->is_out_of_memory = true;
    }
}

/* What is read of the batch's runs, first of all the runs: what changes after that makes
 * update_runs fail, unless they are locked. */
enum { READ_RUNS, READ_ACTIONS, READ_AWAITED, READ_EVENTS };

static void put_read(struct event_writer *writer, size_t statement, const PGresult *result)
{
    if (statement == READ_RUNS)
        put_runs(writer, result);
    else if (statement == READ_EVENTS)
        put_events(writer, result);
    else if (statement == READ_ACTIONS)
        put_actions(writer, result);
    else
        put_awaited(writer, result);
}

/* The names of runs that are not known. 0 or -ENOMEM. */
static int choose_asked(struct event_writer *writer)
{
    size_t count = 0;

    writer->asked =
        calloc(writer->name_count + writer->event_name_count + 1, sizeof *writer->asked);
    if (writer->asked == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < writer->name_count; i++)
        if (!writer->is_known[writer->names[i].run])
            writer->asked[count++] = writer->names[i];
    writer->asked_count = count;
    for (size_t i = 0; i < writer->event_name_count; i++)
        if (!writer->is_known[writer->event_names[i].run])
            writer->asked[count++] = writer->event_names[i];
    writer->asked_event_count = count - writer->asked_count;
    return 0;
}

/* Behind the statement that reads the runs. */
static void add_reads(struct event_writer *writer)
{
    add_names(&writer->calls, &find_actions_statement, writer->runs, writer->asked,
              writer->asked_count);
    add_names(&writer->calls, &find_awaited_statement, writer->runs,
              writer->asked + writer->asked_count, writer->asked_event_count);
}

static int take_runs_and_names(struct event_writer *writer)
{
    writer->runs = decision_runs(writer->decision, &writer->run_count);
    writer->names = decision_names(writer->decision, &writer->name_count);
    writer->event_names = decision_event_names(writer->decision, &writer->event_name_count);
    writer->children_left = JOINS_MAX;
    if (writer->runs == NULL || writer->names == NULL)
        return -ENOMEM;
    writer->changed_xids = calloc(writer->run_count, sizeof *writer->changed_xids);
    writer->is_known = calloc(writer->run_count, sizeof *writer->is_known);
    writer->known_count = 0;
    return writer->changed_xids == NULL || writer->is_known == NULL ? -ENOMEM : 0;
}

/* -------- with locks -------- */

/* What comes behind BEGIN and the reads: whether a key is free, seen when the run is locked. */
enum { LOCKED_READS = 1, LOCKED_REMOVED = LOCKED_READS + READ_EVENTS + 1 };

static void on_locked_result(void *arg, size_t statement, const PGresult *result)
{
    struct event_writer *writer = arg;

    if (statement == LOCKED_REMOVED)
        writer->meets_removed = PQntuples(result) > 0;
    else if (statement >= LOCKED_READS) /* BEGIN comes before */
        put_read(writer, statement - LOCKED_READS, result);
}

/* Random ids of twelve of 0-9 a-z. */
static int make_incarnations(struct event_writer *writer)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    size_t size = writer->run_count * sizeof *writer->incarnations;

    writer->incarnations = malloc(size);
    if (writer->incarnations == NULL)
        return -ENOMEM;
    if (uv_random(NULL, NULL, writer->incarnations, size, 0, NULL) != 0)
        return -EIO;
    for (size_t i = 0; i < writer->run_count; i++) {
        for (size_t k = 0; k < INCARNATION_SIZE - 1; k++)
            writer->incarnations[i][k] = digits[(unsigned char)writer->incarnations[i][k] % 36];
        writer->incarnations[i][INCARNATION_SIZE - 1] = '\0';
    }
    return 0;
}

/* Of the runs, which are in their order, those that any event may make. */
static void note_creatable(struct event_writer *writer)
{
    for (size_t i = writer->range.first; i < writer->range.last; i++) {
        const struct write_item *item = &writer->batch[i];
        size_t low = 0, high = writer->run_count;

        if (item->request == NULL || !item->request->may_create ||
            item->request->generation != *writer->owner->options.generation)
            continue;
        while (low < high) {
            size_t middle = low + (high - low) / 2;

            if (run_key_compare(&writer->runs[middle], &item->event->run) < 0)
                low = middle + 1;
            else
                high = middle;
        }
        writer->may_create[low] = true;
    }
}

/* Locks the runs, and makes those that are missing. 0 or -ENOMEM. */
static int add_lock(struct event_writer *writer)
{
    if (!writer->makes_runs) {
        add_runs(&writer->calls, &lock_stored_runs_statement, writer->runs, writer->run_count);
        return 0;
    }
    writer->may_create = calloc(writer->run_count, sizeof *writer->may_create);
    writer->is_here = calloc(writer->run_count, sizeof *writer->is_here);
    if (writer->may_create == NULL || writer->is_here == NULL || make_incarnations(writer) < 0)
        return -ENOMEM;
    note_creatable(writer);
    add_lock_runs(&writer->calls, writer->runs,
                  (const char(*)[INCARNATION_SIZE])writer->incarnations, writer->may_create,
                  writer->run_count, writer->now_us, *writer->owner->options.generation);
    return 0;
}

static void send_lock(struct event_writer *writer)
{
    enter(writer, STEP_LOCK);
    pg_calls_add(&writer->calls, &begin_statement);
    if (take_runs_and_names(writer) < 0 || choose_asked(writer) < 0 || add_lock(writer) < 0) {
        writer->step = STEP_NONE;
        fail_for_memory(writer);
        return;
    }
    add_reads(writer);
    /* Most were found before: another round trip would cost more. */
    add_find_events(&writer->calls, writer->events, writer->event_count);
    if (writer->makes_runs)
        add_runs(&writer->calls, &removed_runs_statement, writer->runs, writer->run_count);
    send_step(writer, on_locked_result);
}

/* Starts the decision with the events of the range. */
static int start_decision(struct event_writer *writer)
{
    writer->decision = decision_new();
    if (writer->decision == NULL)
        return -ENOMEM;
    writer->event_count = 0;
    for (size_t i = writer->range.first; i < writer->range.last; i++) {
        const struct write_item *item = &writer->batch[i];

        writer->events[writer->event_count++] = item->event;
        if (decision_add_event(writer->decision, item->event, item->result) < 0)
            return -ENOMEM;
    }
    return 0;
}

static void lock_range(struct event_writer *writer)
{
    drop_try(writer);
    writer->is_locked = true;
    if (writer->is_out_of_memory || start_decision(writer) < 0)
        fail_for_memory(writer);
    else
        send_lock(writer);
}

/* -------- without -------- */

static void on_read_result(void *arg, size_t statement, const PGresult *result)
{
    put_read(arg, statement, result);
}

static void on_old_result(void *arg, size_t statement, const PGresult *result)
{
    struct event_writer *writer = arg;

    (void)statement;
    put_events(writer, result);
    writer->old_count = (size_t)PQntuples(result);
}

/* Looks for the events that may be there already: those that `old` names, of writer->events. */
static void find_old_events(struct event_writer *writer, const size_t *old, size_t count)
{
    for (size_t i = 0; i < count; i++)
        writer->events[i] = writer->events[old[i]];
    writer->event_count = count;
    enter(writer, STEP_FIND_OLD);
    add_find_events(&writer->calls, writer->events, writer->event_count);
    send_step(writer, on_old_result);
}

static void send_read(struct event_writer *writer);

/* What is known may be out of date, which only a write finds out: a verdict that writes nothing is
 * taken from what is read. */
static void read_all(struct event_writer *writer)
{
    drop_try(writer);
    for (size_t i = writer->range.first; i < writer->range.last; i++)
        reopen_item(&writer->batch[i]);
    writer->is_locked = false;
    writer->must_read = true;
    send_read(writer);
}

static int compare_keys(const void *a, const void *b)
{
    return run_key_compare(a, b);
}

static bool is_of_known_run(const struct event_writer *writer, const struct action_event *event)
{
    const struct run_key *run =
        writer->known_count == 0
            ? NULL
            : bsearch(&event->run, writer->runs, writer->run_count, sizeof *run, compare_keys);

    return run != NULL && writer->is_known[run - writer->runs];
}

/* Whether an event that may be stored already is of a known run. */
static bool asks_known(const struct event_writer *writer, const size_t *old, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is_of_known_run(writer, writer->events[old[i]]))
            return true;
    return false;
}

/* Whether an event of a known run is not recorded by what was decided. */
static bool leaves_known(const struct event_writer *writer)
{
    for (size_t i = writer->range.first; i < writer->range.last; i++) {
        enum event_status status = writer->batch[i].result->status;

        if ((status == EVENT_DUPLICATE || status == EVENT_REJECTED) &&
            is_of_known_run(writer, writer->batch[i].event))
            return true;
    }
    return false;
}

/* A run that is to be made is made by the lock: two who make the same ones, each in its order,
 * could wait for each other. Whether one is. */
static bool is_run_missing(struct event_writer *writer)
{
    writer->makes_runs |= writer->runs_read + writer->known_count < writer->run_count;
    return writer->makes_runs;
}

static void on_read(struct event_writer *writer)
{
    size_t count;
    const size_t *old;

    if (is_run_missing(writer)) {
        lock_range(writer);
        return;
    }
    old = decision_old_events(writer->decision, &count);
    writer->is_out_of_memory |= old == NULL;
    if (count > 0 && !writer->is_out_of_memory && asks_known(writer, old, count))
        read_all(writer);
    else if (count > 0 && !writer->is_out_of_memory)
        find_old_events(writer, old, count);
    else
        read_more_or_decide(writer);
}

/* Events that are all repeated lock nothing, and there is no more to know of them. */
static void on_looked(struct event_writer *writer)
{
    if (is_run_missing(writer) || writer->old_count < writer->event_count)
        lock_range(writer);
    else
        decide(writer);
}

/* Takes what is known, where it may be used. 0 or -ENOMEM. */
static int recall(struct event_writer *writer)
{
    int count = 0;

    use_timeline(writer);
    if (!writer->must_read)
        count = known_runs_recall(writer->owner->known, writer->decision, writer->is_known,
                                  writer->changed_xids);
    writer->known_count = count < 0 ? 0 : (size_t)count;
    return count < 0 ? count : choose_asked(writer);
}

/* The runs that are not known. 0 or -ENOMEM. */
static int add_read_runs(struct event_writer *writer)
{
    struct run_key *keys = calloc(writer->run_count, sizeof *keys);
    size_t count = 0;

    if (keys == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < writer->run_count; i++)
        if (!writer->is_known[i])
            keys[count++] = writer->runs[i];
    add_runs(&writer->calls, &read_runs_statement, keys, count);
    free(keys);
    return 0;
}

/* Behind read_runs: which of the events are there already. */
static void on_look_result(void *arg, size_t statement, const PGresult *result)
{
    if (statement == 0)
        put_runs(arg, result);
    else
        on_old_result(arg, statement, result);
}

static void send_look(struct event_writer *writer)
{
    if (start_decision(writer) < 0 || take_runs_and_names(writer) < 0) {
        fail_for_memory(writer);
        return;
    }
    enter(writer, STEP_LOOK);
    add_runs(&writer->calls, &read_runs_statement, writer->runs, writer->run_count);
    add_find_events(&writer->calls, writer->events, writer->event_count);
    send_step(writer, on_look_result);
}

static void send_read(struct event_writer *writer)
{
    if (start_decision(writer) < 0 || take_runs_and_names(writer) < 0 || recall(writer) < 0) {
        fail_for_memory(writer);
        return;
    }
    if (writer->known_count == writer->run_count) {
        on_read(writer);
        return;
    }
    enter(writer, STEP_READ);
    writer->is_out_of_memory |= add_read_runs(writer) < 0;
    add_reads(writer);
    send_step(writer, on_read_result);
}

/* -------- pending joins -------- */

static struct pending_join *find_join(const struct event_writer *writer, const char *text)
{
    struct pending_join *join;

    HASH_FIND_STR(writer->joins, text, join);
    return join;
}

static void drop_join(struct event_writer *writer, struct pending_join *join)
{
    HASH_DEL(writer->joins, join);
    free(join);
}

/* Puts the join behind the others, or drops it: then a look in the database finds it again. */
static void enqueue_join(struct event_writer *writer, struct pending_join *join)
{
    HASH_ADD_STR(writer->joins, text, join);
    if (join->hh.tbl == NULL)
        free(join);
}

/* NULL when out of memory: then a look in the database finds it later. */
static struct pending_join *join_new(const struct run_key *run, const char *parent)
{
    struct pending_join *join = calloc(1, sizeof *join);

    if (join == NULL)
        return NULL;
    run_key_path(run, join->path);
    snprintf(join->text, sizeof join->text, "%s\n%s", join->path, parent);
    join->parent = strchr(join->text, '\n') + 1;
    join->key = run_key_split(join->path);
    return join;
}

/* Puts the join into its writer's list, unless it is there already. */
static void note_join(struct event_writers *owner, const struct run_key *run, const char *parent)
{
    struct event_writer *home = writer_of(owner, run);
    struct pending_join *join = join_new(run, parent);

    if (join == NULL)
        return;
    if (HASH_COUNT(home->joins) >= JOINS_LISTED_MAX || find_join(home, join->text) != NULL)
        free(join);
    else
        enqueue_join(home, join);
}

/* After the commit: what it left pending goes on as soon as there is time, the one that was worked
 * on behind the others. */
static void note_pending(struct event_writer *writer)
{
    size_t count;
    const struct pending_join_row *rows = decision_pending_rows(writer->decision, &count);

    if (writer->join != NULL)
        HASH_DEL(writer->joins, writer->join);
    for (size_t i = 0; i < count; i++)
        if (!rows[i].is_done)
            note_join(writer->owner, &writer->runs[rows[i].run], rows[i].parent);
    free(writer->join); /* the decision has borrowed of it what was noted */
}

static void on_join_look_due(uv_timer_t *timer);

/* The join failed; it is tried again after a pause. */
static void put_join_off(struct event_writer *writer)
{
    uv_timer_t *joining = &writer->owner->joining;
    struct pending_join *join = writer->join;

    drop_try(writer);
    writer->join = NULL;
    join->pause_ms = join->pause_ms == 0 ? JOIN_PAUSE_MIN_MS : join->pause_ms * 2;
    if (join->pause_ms > JOIN_PAUSE_MAX_MS)
        join->pause_ms = JOIN_PAUSE_MAX_MS;
    join->due_ms = uv_now(writer->owner->loop) + join->pause_ms;
    if (uv_timer_get_due_in(joining) > join->pause_ms)
        uv_timer_start(joining, on_join_look_due, join->pause_ms, JOINS_LOOK_MS);
    *writer->owner->options.is_due = true;
    HASH_DEL(writer->joins, join);
    enqueue_join(writer, join);
}

static void fail_join(struct event_writer *writer, const struct pg_end *end)
{
    struct event_writers *owner = writer->owner;

    put_join_off(writer);
    if (end->outcome == PG_LOST)
        return;
    owner->events->on_refused(owner->arg, 0, end->sqlstate, end->message);
    event_writers_run(owner);
}

static void on_run_gone(struct event_writer *writer)
{
    struct pending_join *join = writer->join;

    drop_try(writer);
    writer->join = NULL;
    drop_join(writer, join);
    event_writers_run(writer->owner);
}

/* Behind BEGIN: the run, locked, and the parent. */
enum { JOIN_RUN = 1, JOIN_PARENT };

static void on_join_result(void *arg, size_t statement, const PGresult *result)
{
    struct event_writer *writer = arg;

    if (statement == JOIN_RUN)
        put_runs(writer, result);
    else if (statement == JOIN_PARENT && writer->runs_read > 0)
        put_actions(writer, result);
}

static void send_join(struct event_writer *writer)
{
    writer->decision = decision_new();
    if (writer->decision == NULL ||
        decision_add_join(writer->decision, &writer->join->key, writer->join->parent) < 0 ||
        take_runs_and_names(writer) < 0 || choose_asked(writer) < 0) {
        put_join_off(writer);
        return;
    }
    enter(writer, STEP_READ_JOIN);
    pg_calls_add(&writer->calls, &begin_statement);
    add_runs(&writer->calls, &lock_stored_runs_statement, writer->runs, writer->run_count);
    add_names(&writer->calls, &find_actions_statement, writer->runs, writer->asked,
              writer->asked_count);
    send_step(writer, on_join_result);
}

static void start_try(struct event_writer *writer)
{
    writer->is_out_of_memory = false;
    writer->now_us = wall_clock_us();
    writer->started_ns = uv_hrtime();
    writer->meets_removed = writer->meets_aborts = writer->must_read = false;
    writer->is_locked = writer->makes_runs = false;
    writer->runs_read = writer->unread_count = 0;
}

/* Works on the next pending join, one transaction of it. False if there is none. */
static bool start_join(struct event_writer *writer)
{
    struct event_writers *owner = writer->owner;
    struct pending_join *join, *next;

    for (int i = 0; i < owner->count; i++)
        if (owner->writers[i].is_for_all && &owner->writers[i] != writer)
            return false;
    HASH_ITER (hh, writer->joins, join, next) {
        if (join->due_ms > uv_now(owner->loop))
            continue;
        writer->join = join;
        writer->was_join = true;
        writer->range = (struct range){0, 0};
        start_try(writer);
        writer->is_locked = true;
        send_join(writer);
        return true;
    }
    return false;
}

static void on_idle_join(void *arg, size_t statement, const PGresult *result)
{
    struct event_writer *writer = arg;
    int rows = PQntuples(result);

    (void)statement;
    for (int row = 0; row < rows; row++) {
        const struct run_key key = {pg_text(result, row, 0), pg_text(result, row, 1),
                                    pg_text(result, row, 2)};

        note_join(writer->owner, &key, pg_text(result, row, 3));
    }
}

static void on_joins_found(struct event_writer *writer, const struct pg_end *end)
{
    struct event_writers *owner = writer->owner;

    if (end->outcome == PG_REFUSED)
        owner->events->on_refused(owner->arg, 0, end->sqlstate, end->message);
    if (end->outcome != PG_LOST)
        event_writers_run(owner);
}

/* What a process left that has ended, or what was too much to keep in mind. */
static void look_for_joins(struct event_writer *writer)
{
    writer->looks_for_joins = false;
    enter(writer, STEP_FIND_JOINS);
    pg_bind_int4(pg_calls_add(&writer->calls, &idle_joins_statement), JOINS_FOUND_MAX);
    send_step(writer, on_idle_join);
}

static void on_join_look_due(uv_timer_t *timer)
{
    struct event_writers *owner = timer->data;

    owner->writers[0].looks_for_joins = true;
    event_writers_run(owner);
}

/* -------- the write half -------- */

static void on_asked_event(void *arg, size_t statement, const PGresult *result)
{
    struct event_writer *writer = arg;
    int rows = PQntuples(result);

    (void)statement;
    for (int row = 0; row < rows; row++) {
        size_t i = writer->range.first + (size_t)pg_int8(result, row, 0) - 1;

        writer->batch[i].result->is_abort_requested = true;
    }
}

/* The range has its verdicts. Whose end somebody asked for is told so, if that can be found out. */
static void find_aborts(struct event_writer *writer)
{
    struct range range = writer->range;

    if (!writer->meets_aborts) {
        finish_range(writer);
        return;
    }
    for (size_t i = range.first; i < range.last; i++)
        writer->events[i - range.first] = writer->batch[i].event;
    enter(writer, STEP_FIND_ABORTS);
    add_find_aborts(&writer->calls, writer->events, range.last - range.first);
    send_step(writer, on_asked_event);
}

static void on_aborts_found(struct event_writer *writer, const struct pg_end *end)
{
    if (end->outcome == PG_REFUSED)
        writer->owner->events->on_refused(writer->owner->arg, 0, end->sqlstate, end->message);
    finish_range(writer);
}

/* After the commit. */
static void note_written(struct event_writer *writer)
{
    struct event_writers *owner = writer->owner;

    use_timeline(writer);
    known_runs_note(owner->known, writer->decision, writer->changed_xids, writer->xid,
                    writer->now_us);
    owner->events->on_kept(owner->arg, known_runs_bytes(owner->known));
}

static void on_written(struct event_writer *writer)
{
    struct event_writers *owner = writer->owner;
    bool was_join;

    if (writer->is_out_of_memory) { /* rolled back */
        fail_for_memory(writer);
        return;
    }
    owner->events->on_committed(owner->arg, writer->written_count, uv_hrtime() - writer->started_ns,
                                writer->known_count == writer->run_count);
    owner->events->on_recorded(owner->arg, writer->decision);
    note_written(writer);
    was_join = writer->join != NULL;
    note_pending(writer);
    if (!was_join) {
        find_aborts(writer);
    } else {
        writer->join = NULL;
        drop_try(writer);
        event_writers_run(owner);
    }
}

/* Of one list, what begins or goes on and what has ended: mostly one of either. */
static void add_pending(struct event_writer *writer, const struct pending_join_row *rows,
                        size_t count)
{
    size_t ended = 0;

    while (ended < count && rows[ended].is_done)
        ended++;
    if (ended > 0) {
        add_pending_joins(&writer->calls, &end_pending_statement, writer->runs, rows, ended);
    }
    if (ended < count) {
        add_pending_joins(&writer->calls, &add_pending_statement, writer->runs, rows + ended,
                          count - ended);
    }
}

static bool is_moved(const struct run_row *row)
{
    return row->is_moved;
}

static bool gets_open_ends(const struct run_row *row)
{
    return row->gets_open_ends;
}

static bool loses_open_ends(const struct run_row *row)
{
    return row->loses_open_ends;
}

/* For those of the runs of which it is true. */
static void add_for_some(struct event_writer *writer, const struct pg_statement *statement,
                         const struct run_row *rows, size_t count,
                         bool is_meant(const struct run_row *row))
{
    size_t meant = 0;
    struct run_key *keys = calloc(count, sizeof *keys);

    writer->is_out_of_memory |= keys == NULL;
    for (size_t i = 0; i < count && keys != NULL; i++)
        if (is_meant(&rows[i]))
            keys[meant++] = writer->runs[rows[i].run];
    if (meant > 0)
        add_runs(&writer->calls, statement, keys, meant);
    free(keys);
}

static void on_write_result(void *arg, size_t statement, const PGresult *result)
{
    struct event_writer *writer = arg;

    if (statement == (writer->is_locked ? 0 : 1)) /* update_runs, perhaps behind BEGIN */
        writer->xid = pg_int8(result, 0, 0);
}

/* Writes what was decided, if it is anything. */
static void write_decision(struct event_writer *writer)
{
    size_t event_count, action_count, joined_count, run_count, pending_count, addition_count;
    const struct event_row *events = decision_event_rows(writer->decision, &event_count);
    const struct action_row *actions = decision_action_rows(writer->decision, &action_count);
    const struct joined_row *joined = decision_joined_rows(writer->decision, &joined_count);
    const struct run_row *runs = decision_run_rows(writer->decision, &run_count);
    const struct pending_join_row *pending =
        decision_pending_rows(writer->decision, &pending_count);
    const struct run_addition_row *additions =
        decision_run_addition_rows(writer->decision, &addition_count);

    writer->written_count = event_count;
    if (event_count == 0 && writer->join == NULL) {
        if (writer->is_locked)
            send_rollback(writer, STEP_UNLOCK);
        else
            find_aborts(writer);
        return;
    }
    enter(writer, STEP_WRITE);
    if (!writer->is_locked)
        pg_calls_add(&writer->calls, &begin_statement);
    add_update_runs(&writer->calls, writer->runs, writer->changed_xids, runs, run_count,
                    writer->now_us);
    add_for_some(writer, &move_labels_statement, runs, run_count, is_moved);
    if (event_count > 0) {
        add_insert_events(&writer->calls, writer->runs, events, event_count, writer->now_us);
    }
    add_write_actions(&writer->calls, writer->runs, actions, action_count);
    if (joined_count > 0) {
        add_join_events(&writer->calls, writer->runs, joined, joined_count);
    }
    if (addition_count > 0)
        add_additions_to_runs(&writer->calls, writer->runs, additions, addition_count);
    add_notify(&writer->calls, writer->runs, runs, run_count);
    if (pending_count > 0)
        add_pending(writer, pending, pending_count);
    add_for_some(writer, &add_open_ends_statement, runs, run_count, gets_open_ends);
    add_for_some(writer, &end_open_ends_statement, runs, run_count, loses_open_ends);
    writer->is_out_of_memory |= pg_calls_have_failed(&writer->calls);
    pg_calls_add(&writer->calls,
                 writer->is_out_of_memory ? &rollback_statement : &commit_statement);
    send_step(writer, on_write_result);
}

/* Where one conflict was there are more, and each costs a batch that is decided twice: then the
 * runs are locked first. */
static void try_next_range(struct event_writer *writer)
{
    writer->range = writer->ranges[--writer->range_count];
    start_try(writer);
    if (uv_now(writer->owner->loop) < writer->lock_first_until_ms)
        send_look(writer);
    else
        send_read(writer);
}

/* -------- runs in other hands -------- */

static struct parked_run *find_parked(const struct event_writer *writer, const struct run_key *key)
{
    char path[RUN_PATH_SIZE];
    struct parked_run *parked;

    if (writer->parked == NULL)
        return NULL;
    run_key_path(key, path);
    HASH_FIND_STR(writer->parked, path, parked);
    return parked;
}

/* NULL when out of memory. */
static struct parked_run *get_parked(struct event_writer *writer, const struct run_key *key)
{
    struct parked_run *parked = find_parked(writer, key);

    if (parked != NULL)
        return parked;
    parked = calloc(1, sizeof *parked);
    if (parked == NULL)
        return NULL;
    run_key_path(key, parked->path);
    run_key_path(key, parked->parts);
    parked->key = run_key_split(parked->parts);
    HASH_ADD_STR(writer->parked, path, parked);
    if (parked->hh.tbl == NULL) {
        free(parked);
        return NULL;
    }
    return parked;
}

static void drop_parked(struct event_writer *writer, struct parked_run *parked)
{
    HASH_DEL(writer->parked, parked);
    free(parked->queue.items);
    free(parked);
}

static void on_look_due(uv_timer_t *timer);

static void look_later(struct event_writers *owner, struct parked_run *parked)
{
    uint64_t now_ms = uv_now(owner->loop);

    parked->is_free = false;
    parked->pause_ms = parked->pause_ms == 0 ? PARK_MIN_MS : parked->pause_ms * 2;
    if (parked->pause_ms > PARK_MAX_MS)
        parked->pause_ms = PARK_MAX_MS;
    parked->due_ms = now_ms + parked->pause_ms;
    if (!uv_is_active((uv_handle_t *)&owner->parking) ||
        uv_timer_get_due_in(&owner->parking) > parked->pause_ms)
        uv_timer_start(&owner->parking, on_look_due, parked->pause_ms, 0);
}

/* Puts the events of a stretch of one run aside, before those of it that are there already. */
static void park(struct event_writer *writer, struct range range, bool is_removed)
{
    const struct run_key *key = &writer->batch[range.first].event->run;
    struct event_writer *home = writer_of(writer->owner, key);
    struct parked_run *parked = get_parked(home, key);

    for (size_t i = range.last; i > range.first; i--) {
        struct write_item *item = &writer->batch[i - 1];

        if (parked == NULL)
            give_up_item(item, "Out of memory.");
        else
            queue_item(&parked->queue, item, true);
        item->request = NULL; /* it has moved */
    }
    if (parked == NULL)
        return;
    parked->is_removed = is_removed;
    look_later(writer->owner, parked);
}

static void give_up_parked(const struct parked_run *parked, struct write_item *item)
{
    char why[WRITE_WHY_SIZE], run[RUN_PATH_SIZE];

    run_key_words(&parked->key, run);
    snprintf(why, sizeof why,
             parked->is_removed ? "What is left of a deleted run %s is still being removed."
                                : "The run %s is locked in the database by somebody else.",
             run);
    give_up_item(item, why);
}

static void give_up_overdue(const struct event_writers *owner, struct parked_run *parked)
{
    const struct write_queue *queue = &parked->queue;
    struct write_item item;

    while (queue->count > 0 &&
           queue->items[queue->first].arrived_ms + PARKED_MAX_MS <= uv_now(owner->loop)) {
        take_items(&parked->queue, &item, 1, SIZE_MAX);
        give_up_parked(parked, &item);
    }
}

/* The timer runs as long as anything is parked. */
static void on_look_due(uv_timer_t *timer)
{
    struct event_writers *owner = timer->data;
    uint64_t now_ms = uv_now(owner->loop), next_ms = UINT64_MAX;

    for (int i = 0; i < owner->count; i++) {
        struct parked_run *parked, *next;

        HASH_ITER (hh, owner->writers[i].parked, parked, next) {
            uint64_t due_ms = parked->due_ms > now_ms ? parked->due_ms : now_ms + PARK_MIN_MS;

            give_up_overdue(owner, parked);
            next_ms = due_ms < next_ms ? due_ms : next_ms;
        }
    }
    if (next_ms != UINT64_MAX)
        uv_timer_start(&owner->parking, on_look_due, next_ms - now_ms, 0);
    event_writers_run(owner);
}

/* What is looked for, of the runs in writer->probed. */
enum { PROBE_STORED, PROBE_FREE, PROBE_REMOVED };

static void on_probe_result(void *arg, size_t statement, const PGresult *result)
{
    struct event_writer *writer = arg;
    int rows = PQntuples(result);

    for (int row = 0; row < rows; row++) {
        struct probed_run *run = &writer->probed[pg_int8(result, row, 0) - 1];

        if (statement == PROBE_STORED)
            run->is_stored = true;
        else if (statement == PROBE_FREE)
            run->is_free = true;
        else
            run->is_removed = true;
    }
}

static bool is_blocked(const struct probed_run *run)
{
    return run->is_removed || (run->is_stored && !run->is_free);
}

/* Looks which of writer->probed are locked. 0 or -ENOMEM. */
static int send_probe(struct event_writer *writer, enum step step)
{
    static const struct pg_statement *const looks[] = {&stored_runs_statement, &free_runs_statement,
                                                       &removed_runs_statement};
    assert(writer->probed_count > 0);
    struct run_key *keys = calloc(writer->probed_count, sizeof *keys);

    if (keys == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < writer->probed_count; i++)
        keys[i] = writer->probed[i].key;
    enter(writer, step);
    for (size_t i = 0; i < sizeof looks / sizeof looks[0]; i++) {
        add_runs(&writer->calls, looks[i], keys, writer->probed_count);
    }
    free(keys);
    send_step(writer, on_probe_result);
    return 0;
}

static void drop_probe(struct event_writer *writer)
{
    free(writer->probed);
    writer->probed = NULL;
    writer->probed_count = 0;
}

static void on_parked_probed(struct event_writer *writer, const struct pg_end *end)
{
    for (size_t i = 0; i < writer->probed_count; i++) {
        struct parked_run *parked = find_parked(writer, &writer->probed[i].key);

        parked->is_removed = writer->probed[i].is_removed;
        if (end->outcome != PG_OK || is_blocked(&writer->probed[i]))
            look_later(writer->owner, parked);
        else
            parked->is_free = true;
    }
    drop_probe(writer);
    run_writer(writer);
}

/* Looks again at the runs whose time has come. False if there are none. */
static bool look_at_parked(struct event_writer *writer)
{
    uint64_t now_ms = uv_now(writer->owner->loop);
    struct parked_run *parked, *next;

    if (writer->parked == NULL)
        return false;
    writer->probed = calloc(HASH_COUNT(writer->parked), sizeof *writer->probed);
    if (writer->probed == NULL)
        return false;
    HASH_ITER (hh, writer->parked, parked, next)
        if (!parked->is_free && parked->due_ms <= now_ms)
            writer->probed[writer->probed_count++].key = parked->key;
    if (writer->probed_count > 0 && send_probe(writer, STEP_PROBE_PARKED) == 0)
        return true;
    drop_probe(writer);
    return false;
}

/* -------- what was refused -------- */

/* Not the fault of anything in the batch: the server cannot reach the node that has the rows (08),
 * lacks something (53 resources), has a system error (58), goes away (57, but for 57014, a
 * statement that took too long), is a standby now (25006), or its notification queue is full
 * (54000, which no event can bring about by its size: keys are shorter than what an index takes).
 * Everything else may be about one run or one row. */
static bool is_servers_fault(const char *sqlstate)
{
    return strncmp(sqlstate, "08", 2) == 0 || strncmp(sqlstate, "53", 2) == 0 ||
           strncmp(sqlstate, "58", 2) == 0 ||
           (strncmp(sqlstate, "57", 2) == 0 && strcmp(sqlstate, "57014") != 0) ||
           strcmp(sqlstate, "25006") == 0 || strcmp(sqlstate, "54000") == 0 ||
           strcmp(sqlstate, "") == 0;
}

/* Tables, columns or rights are not as they were (42), or the schema is gone (3F000): all batches
 * may fail now, or only what a trigger or a policy does not let in. */
static bool is_schema_in_doubt(const char *sqlstate)
{
    return strncmp(sqlstate, "42", 2) == 0 || strncmp(sqlstate, "3F", 2) == 0;
}

/* Another process changed a run after it was read. Also by a unique violation, though the runs are
 * updated first. */
static bool is_conflict(const char *sqlstate)
{
    return strcmp(sqlstate, RUNS_CHANGED_SQLSTATE) == 0 || strcmp(sqlstate, "23505") == 0;
}

/* Serialization failure, deadlock, conflict. */
static bool is_worth_a_retry(const char *sqlstate)
{
    return strncmp(sqlstate, "40", 2) == 0 || is_conflict(sqlstate);
}

static bool is_lock_timeout(const char *sqlstate)
{
    return strcmp(sqlstate, "55P03") == 0;
}

static const struct run_key *run_at(const struct event_writer *writer, size_t i)
{
    return &writer->batch[i].event->run;
}

/* Of a range that is in the order of runs. */
static bool is_one_run(const struct event_writer *writer, struct range range)
{
    return run_key_compare(run_at(writer, range.first), run_at(writer, range.last - 1)) == 0;
}

static int compare_items(const void *a, const void *b)
{
    const struct write_item *left = a, *right = b;
    int order = run_key_compare(&left->event->run, &right->event->run);

    return order != 0 ? order : (left->number > right->number) - (left->number < right->number);
}

/* The stretch of one run that begins at `first`, of a range that is in the order of runs. */
static struct range run_stretch(const struct event_writer *writer, size_t first, size_t last)
{
    size_t end = first + 1;

    while (end < last && run_key_compare(run_at(writer, first), run_at(writer, end)) == 0)
        end++;
    return (struct range){first, end};
}

static void log_refusal(const struct event_writer *writer, const char *message)
{
    const struct event_writers *owner = writer->owner;

    owner->events->on_refused(owner->arg, writer->range.last - writer->range.first,
                              writer->sqlstate, message);
}

/* Where to cut the range: between two runs, as near to the middle as can be, or in the middle of
 * the only one. */
static size_t middle_of(const struct event_writer *writer, struct range range)
{
    size_t middle = range.first + (range.last - range.first) / 2, after, before = middle;

    if (is_one_run(writer, range))
        return middle;
    after = run_stretch(writer, middle, range.last).last;
    while (before > range.first &&
           run_key_compare(run_at(writer, before - 1), run_at(writer, middle)) == 0)
        before--;
    if (before == range.first || (after < range.last && after - middle < middle - before))
        return after;
    return before;
}

static void try_halves(struct event_writer *writer)
{
    struct range range = writer->range;
    size_t middle = middle_of(writer, range);

    assert(writer->range_count + 2 <= RANGES_MAX);
    writer->retries = 0;
    writer->ranges[writer->range_count++] = (struct range){middle, range.last};
    writer->ranges[writer->range_count++] = (struct range){range.first, middle};
    try_next_range(writer);
}

/* Counts the refusal; whether halves of the range are worth a try. */
static bool may_be_halved(struct event_writer *writer)
{
    char path[RUN_PATH_SIZE];

    writer->refusals++;
    if (writer->range.last - writer->range.first == 1 || writer->refusals >= REFUSALS_MAX)
        return false;
    if (!is_one_run(writer, writer->range))
        return true;
    run_key_path(run_at(writer, writer->range.first), path);
    writer->refusals_of_run =
        strcmp(writer->refused_run, path) == 0 ? writer->refusals_of_run + 1 : 1;
    memcpy(writer->refused_run, path, sizeof path);
    return writer->refusals_of_run < REFUSALS_OF_RUN_MAX;
}

/* Looks for what of the range is refused, run by run and then event by event: that alone is given
 * up, for a reason that we do not know, and the rest is written. */
static void isolate(struct event_writer *writer)
{
    const struct write_item *first = &writer->batch[writer->range.first];
    char why[WRITE_WHY_SIZE], path[RUN_PATH_SIZE];

    if (may_be_halved(writer)) {
        try_halves(writer);
        return;
    }
    run_key_words(&first->event->run, path);
    snprintf(why, sizeof why,
             "The database refused the event of action %s of the run %s (SQLSTATE %s);"
             " it was not recorded.",
             first->event->name, path, writer->sqlstate);
    if (writer->refusals > 1)
        log_refusal(writer, why);
    give_up_range(writer, why);
}

static void park_all(struct event_writer *writer, struct range range)
{
    for (size_t at = range.first; at < range.last;) {
        struct range stretch = run_stretch(writer, at, range.last);

        park(writer, stretch, false);
        at = stretch.last;
    }
}

/* Parks the runs of the range that were seen blocked. Where the others end, which come first now.
 */
static size_t park_blocked(struct event_writer *writer, struct range range)
{
    size_t at = range.first;
    size_t kept = at;

    for (size_t i = 0; i < writer->probed_count; i++) {
        struct range stretch = run_stretch(writer, at, range.last);

        at = stretch.last;
        if (is_blocked(&writer->probed[i])) {
            park(writer, stretch, writer->probed[i].is_removed);
            continue;
        }
        for (size_t k = stretch.first; k < stretch.last; k++) {
            struct write_item item = writer->batch[k];

            writer->batch[k].request = NULL;
            writer->batch[kept++] = item;
        }
    }
    return kept;
}

/* Goes on without the runs that are blocked. When none is seen to be, the lock is on something else
 * that some run needs, which is found by halves; or, when there are too many, on a table. */
static void on_range_probed(struct event_writer *writer, const struct pg_end *end)
{
    struct range range = writer->range;
    size_t kept = end->outcome == PG_OK ? park_blocked(writer, range) : range.last;

    drop_probe(writer);
    if (end->outcome == PG_LOST || kept < range.last) {
        writer->range.last = kept;
        if (kept > range.first)
            writer->ranges[writer->range_count++] = writer->range;
    } else if (end->outcome == PG_REFUSED || writer->lock_waits > LOCK_WAITS_MAX ||
               is_one_run(writer, range)) {
        park_all(writer, range);
    } else {
        try_halves(writer);
        return;
    }
    go_on(writer);
}

/* Somebody holds a lock that the range needs: mostly that of a run's row. */
static void find_locked(struct event_writer *writer)
{
    struct range range = writer->range;

    writer->probed = calloc(range.last - range.first, sizeof *writer->probed);
    if (writer->probed == NULL) {
        fail_for_memory(writer);
        return;
    }
    for (size_t at = range.first; at < range.last; at = run_stretch(writer, at, range.last).last)
        writer->probed[writer->probed_count++].key = *run_at(writer, at);
    if (send_probe(writer, STEP_PROBE_RANGE) < 0) {
        drop_probe(writer);
        fail_for_memory(writer);
    }
}

/* Takes back what the try decided, and puts the range in the order of runs. */
static void take_back(struct event_writer *writer)
{
    struct range range = writer->range;

    drop_try(writer);
    for (size_t i = range.first; i < range.last; i++)
        reopen_item(&writer->batch[i]);
    qsort(&writer->batch[range.first], range.last - range.first, sizeof *writer->batch,
          compare_items);
}

static void set_aside(struct event_writer *writer)
{
    take_back(writer);
    find_locked(writer);
}

/* -------- runs that must not be made here -------- */

static bool misses_runs(const struct event_writer *writer)
{
    for (size_t i = 0; writer->is_here != NULL && i < writer->run_count; i++)
        if (!writer->is_here[i])
            return true;
    return false;
}

/* Notes which of the runs were not there, in their order, and lets the others go. One that went
 * between the statement's snapshot and its insert was made all the same, which is taken back. */
static void leave_missing(struct event_writer *writer)
{
    writer->probed = calloc(writer->run_count, sizeof *writer->probed);
    if (writer->probed == NULL) {
        break_session(writer, "out of memory");
        fail_for_memory(writer);
        return;
    }
    writer->probed_count = writer->run_count;
    for (size_t i = 0; i < writer->run_count; i++)
        writer->probed[i].is_stored = writer->is_here[i];
    send_rollback(writer, STEP_UNLOCK_ELSEWHERE);
}

static void give_back_item(struct write_item *item)
{
    if (item->request == NULL)
        return;
    item->request->is_misplaced = true;
    finish_item(item);
}

/* The events of runs that are not there go back to whoever brought them; the others are tried
 * again. */
static void give_back_missing(struct event_writer *writer)
{
    struct range *range = &writer->range;
    size_t kept = range->first, run = 0;

    take_back(writer);
    for (size_t at = range->first; at < range->last; run++) {
        struct range stretch = run_stretch(writer, at, range->last);

        at = stretch.last;
        for (size_t i = stretch.first; i < stretch.last; i++) {
            struct write_item item = writer->batch[i];

            writer->batch[i].request = NULL;
            if (writer->probed[run].is_stored)
                writer->batch[kept++] = item;
            else
                give_back_item(&item);
        }
    }
    drop_probe(writer);
    range->last = kept;
    if (kept > range->first)
        writer->ranges[writer->range_count++] = *range;
    go_on(writer);
}

/* Writes nothing, to see whether it could. */
static void rehearse(struct event_writer *writer, enum step step)
{
    enter(writer, step);
    pg_calls_add(&writer->calls, &begin_statement);
    add_lock_runs(&writer->calls, NULL, NULL, NULL, 0, 0, 0);
    add_update_runs(&writer->calls, NULL, NULL, NULL, 0, 0);
    add_insert_events(&writer->calls, NULL, NULL, 0, 0);
    add_no_actions(&writer->calls);
    add_join_events(&writer->calls, NULL, NULL, 0);
    add_additions_to_runs(&writer->calls, NULL, NULL, 0);
    add_pending_joins(&writer->calls, &end_pending_statement, NULL, NULL, 0);
    add_pending_joins(&writer->calls, &add_pending_statement, NULL, NULL, 0);
    add_runs(&writer->calls, &move_labels_statement, NULL, 0);
    add_runs(&writer->calls, &add_open_ends_statement, NULL, 0);
    add_runs(&writer->calls, &end_open_ends_statement, NULL, 0);
    pg_calls_add(&writer->calls, &rollback_statement);
    send_step(writer, NULL);
}

static void on_rehearsed(struct event_writer *writer, const struct pg_end *end)
{
    if (end->outcome == PG_OK) {
        isolate(writer);
        return;
    }
    writer->ranges[writer->range_count++] = writer->range;
    if (end->outcome == PG_REFUSED) { /* not ready, until a session can write */
        writer->was_proven = false;
        break_session(writer, end->message);
    }
}

static void fail_lost(struct event_writer *writer)
{
    if (writer->losses++ < WRITE_LOSSES_MAX) { /* on_ready goes on, or patience ends it */
        writer->ranges[writer->range_count++] = writer->range;
        return;
    }
    give_up_range(writer, "The connection to the database was lost with these events each time;"
                          " perhaps because of them.");
}

static void fail_refused(struct event_writer *writer, const struct pg_end *end)
{
    memcpy(writer->sqlstate, end->sqlstate, sizeof writer->sqlstate);
    if (writer->refusals == 0)
        log_refusal(writer, end->message);
    if (is_servers_fault(end->sqlstate)) {
        char why[WRITE_WHY_SIZE];

        snprintf(why, sizeof why, "The database cannot take anything at the moment (SQLSTATE %s).",
                 end->sqlstate);
        give_up_batch(writer, why);
        if (strcmp(end->sqlstate, "25006") == 0)
            break_session(writer, end->message);
        event_writers_run(writer->owner);
        return;
    }
    if (is_lock_timeout(end->sqlstate)) {
        writer->lock_waits++;
        find_locked(writer);
    } else if (is_schema_in_doubt(end->sqlstate) && !writer->was_schema_in_doubt) {
        writer->was_schema_in_doubt = true;
        rehearse(writer, STEP_REHEARSE);
    } else {
        isolate(writer);
    }
}

/* A round trip failed; returns after having arranged what comes next. */
static void fail(struct event_writer *writer, const struct pg_end *end)
{
    struct event_writers *owner = writer->owner;

    forget_runs(writer);
    drop_probe(writer);
    if (writer->join != NULL) {
        fail_join(writer, end);
        return;
    }
    take_back(writer);
    if (end->outcome == PG_LOST) {
        fail_lost(writer);
    } else if (is_worth_a_retry(end->sqlstate) && writer->retries++ < WRITE_RETRIES_MAX) {
        if (is_conflict(end->sqlstate)) {
            writer->lock_first_until_ms = uv_now(owner->loop) + LOCK_FIRST_MS;
            owner->events->on_conflict(owner->arg, writer->range.last - writer->range.first);
        } else {
            memcpy(writer->sqlstate, end->sqlstate, sizeof writer->sqlstate);
            log_refusal(writer, end->message);
        }
        writer->ranges[writer->range_count++] = writer->range;
        try_next_range(writer);
    } else {
        fail_refused(writer, end);
    }
}

/* -------- batches -------- */

/* One event of the queue, which waits for its run if that is put aside: not more of a run than its
 * share of the memory. */
static void take_item(struct event_writer *writer, struct event_writer *home,
                      struct write_item *item)
{
    struct parked_run *parked = find_parked(home, &item->event->run);
    size_t bytes_max = home->owner->options.queue_bytes_max / PARKED_SHARE;

    if (parked == NULL || (parked->is_free && parked->queue.count == 0)) {
        writer->batch[writer->batch_count++] = *item;
    } else if (parked->queue.bytes > bytes_max) {
        give_up_parked(parked, item);
    } else {
        queue_item(&parked->queue, item, false);
    }
}

static void take_queued(struct event_writer *writer, struct event_writer *home)
{
    size_t before = writer->batch_count;

    while (writer->batch_count == before && home->queue.count > 0) {
        struct write_item *items = writer->batch + before;
        size_t taken = take_items(&home->queue, items, WRITE_EVENTS_MAX - before, WRITE_BYTES_MAX);

        if (taken == 0)
            return;
        for (size_t i = 0; i < taken; i++) {
            struct write_item item = items[i];

            take_item(writer, home, &item);
        }
    }
}

/* The events of runs that were put aside and are free again come first. */
static void take_from(struct event_writer *writer, struct event_writer *home)
{
    struct parked_run *parked, *next;

    HASH_ITER (hh, home->parked, parked, next) {
        if (!parked->is_free)
            continue;
        if (parked->queue.count == 0)
            drop_parked(home, parked);
        else
            writer->batch_count +=
                take_items(&parked->queue, writer->batch + writer->batch_count,
                           WRITE_EVENTS_MAX - writer->batch_count, WRITE_BYTES_MAX);
    }
    take_queued(writer, home);
}

/* The writers side by side, each with its own runs, are worth it when there is much to do. Else
 * small transactions only cost each other time: then one takes what waits for all of them, and
 * meanwhile the others wait, so that no two have a run at once. */
static void take_batch(struct event_writer *writer)
{
    struct event_writers *owner = writer->owner;
    bool is_alone = true, is_busy = writer->queue.count >= SIDE_BY_SIDE_EVENTS_MIN;

    for (int i = 0; i < owner->count; i++) {
        const struct event_writer *other = &owner->writers[i];

        if (other == writer)
            continue;
        if (other->is_for_all)
            return;
        is_alone = is_alone && other->batch_count == 0 && other->join == NULL;
        is_busy = is_busy || other->queue.count >= SIDE_BY_SIDE_EVENTS_MIN;
    }
    if (is_busy) {
        take_from(writer, writer);
    } else if (is_alone) {
        for (int i = 0; i < owner->count; i++)
            take_from(writer, &owner->writers[i]);
        writer->is_for_all = writer->batch_count > 0;
    }
}

/* Starts the next batch if there is one and the connection is free. */
static void run_writer(struct event_writer *writer)
{
    if (!is_idle(writer))
        return;
    if (writer->batch_count == 0) {
        if (look_at_parked(writer))
            return;
        if (writer->looks_for_joins) {
            look_for_joins(writer);
            return;
        }
        if (!writer->was_join && start_join(writer)) /* in turns with batches */
            return;
        take_batch(writer);
        if (writer->batch_count == 0) {
            start_join(writer);
            return;
        }
        writer->was_join = false;
        writer->ranges[0] = (struct range){0, writer->batch_count};
        writer->range_count = 1;
    }
    try_next_range(writer);
}

static void free_parked(struct event_writer *writer)
{
    struct parked_run *parked = writer->parked, *next;

    HASH_CLEAR(hh, writer->parked);
    for (; parked != NULL; parked = next) {
        next = parked->hh.next;
        free(parked->queue.items);
        free(parked);
    }
}

static void free_joins(struct event_writer *writer)
{
    struct pending_join *join = writer->joins, *next;

    HASH_CLEAR(hh, writer->joins);
    for (; join != NULL; join = next) {
        next = join->hh.next;
        free(join);
    }
}

static void free_writer(struct event_writer *writer)
{
    free_parked(writer);
    free_joins(writer);
    pg_calls_free(&writer->calls);
    free(writer->queue.items);
    drop_probe(writer);
    free((void *)writer->events);
    free(writer->batch);
    free(writer->spare);
}

/* -------- connections -------- */

static void on_set_up(struct event_writer *writer, const struct pg_end *end)
{
    if (end->outcome == PG_REFUSED)
        break_session(writer, end->message);
    if (end->outcome != PG_OK)
        return;
    writer->is_set_up = writer->was_proven = true;
    uv_timer_stop(&writer->patience);
    writer->looks_for_joins = writer == &writer->owner->writers[0];
    run_writer(writer);
}

static void on_ready(void *arg)
{
    struct event_writer *writer = arg;

    enter(writer, STEP_SET_UP);
    pg_calls_add(&writer->calls, &writer_settings_statement);
    send_step(writer, NULL);
}

/* The way of a try: what comes behind a step that went well. */
static void go_on_behind(struct event_writer *writer, enum step step)
{
    if (step == STEP_READ)
        on_read(writer);
    else if (step == STEP_LOOK)
        on_looked(writer);
    else if (step == STEP_LOCK && misses_runs(writer))
        leave_missing(writer);
    else if (step == STEP_LOCK && writer->runs_read < writer->run_count)
        send_rollback(writer, STEP_UNLOCK_MISSING);
    else if (step == STEP_LOCK && writer->meets_removed)
        send_rollback(writer, STEP_UNLOCK_REMOVED);
    else if (step == STEP_READ_JOIN && writer->runs_read == 0)
        send_rollback(writer, STEP_UNLOCK_GONE);
    else if (step == STEP_UNLOCK_REMOVED)
        set_aside(writer);
    else if (step == STEP_UNLOCK_MISSING)
        read_all(writer);
    else if (step == STEP_UNLOCK_ELSEWHERE)
        give_back_missing(writer);
    else if (step == STEP_UNLOCK_GONE)
        on_run_gone(writer);
    else if (step == STEP_WRITE || step == STEP_UNLOCK)
        on_written(writer);
    else
        read_more_or_decide(writer);
}

/* The rehearsal comes behind the settings: its rollback would take them back. */
static void on_step_ended(void *arg, const struct pg_end *end)
{
    struct event_writer *writer = arg;
    enum step step = writer->step;

    writer->step = STEP_NONE;
    writer->is_set_up = writer->is_set_up && end->outcome != PG_LOST;
    if (step == STEP_SET_UP && end->outcome == PG_OK && !writer->was_proven)
        rehearse(writer, STEP_PROVE);
    else if (step == STEP_SET_UP || step == STEP_PROVE)
        on_set_up(writer, end);
    else if (step == STEP_REHEARSE)
        on_rehearsed(writer, end);
    else if (step == STEP_PROBE_RANGE)
        on_range_probed(writer, end);
    else if (step == STEP_PROBE_PARKED)
        on_parked_probed(writer, end);
    else if (step == STEP_FIND_JOINS)
        on_joins_found(writer, end);
    else if (step == STEP_FIND_ABORTS)
        on_aborts_found(writer, end);
    else if (end->outcome == PG_OK)
        go_on_behind(writer, step);
    else
        fail(writer, end);
}

static void on_patience_ended(uv_timer_t *timer)
{
    give_up(timer->data);
}

static void on_lost(void *arg, const char *why)
{
    struct event_writer *writer = arg;
    struct event_writers *owner = writer->owner;

    writer->is_set_up = false;
    forget_all(owner);
    owner->events->on_lost(owner->arg, why);
    if (!uv_is_active((uv_handle_t *)&writer->patience))
        uv_timer_start(&writer->patience, on_patience_ended, owner->options.retry_for_ms, 0);
}

static int start_writer(struct event_writers *writers, struct event_writer *writer)
{
    static const struct pg_connection_events events = {.on_ready = on_ready, .on_lost = on_lost};
    const struct pg_connection_options options = {
        .url = writers->options.url,
        .application_name = "runtree writer",
        .exchange_timeout_ms = WRITE_TIMEOUT_MS,
    };

    writer->owner = writers;
    writer->batch = malloc(WRITE_EVENTS_MAX * sizeof *writer->batch);
    writer->spare = malloc(WRITE_EVENTS_MAX * sizeof *writer->spare);
    writer->events = malloc(WRITE_EVENTS_MAX * sizeof(const struct action_event *));
    if (writer->batch == NULL || writer->spare == NULL || writer->events == NULL)
        goto error_memory;
    writer->connection = pg_connection_new(writers->loop, &options, &events, writer);
    if (writer->connection == NULL)
        goto error_memory;
    return 0;

error_memory:
    free_writer(writer);
    return -ENOMEM;
}

static void close_connections(struct event_writers *writers)
{
    for (int i = 0; i < writers->count; i++)
        pg_connection_close(writers->writers[i].connection, NULL);
}

struct event_writers *event_writers_new(uv_loop_t *loop,
                                        const struct event_writers_options *options,
                                        const struct event_writers_events *events, void *arg)
{
    struct event_writers *writers = calloc(1, sizeof *writers);

    if (writers == NULL)
        return NULL;
    writers->loop = loop;
    writers->options = *options;
    writers->events = events;
    writers->arg = arg;
    writers->known = known_runs_new(options->known_bytes_max);
    if (writers->known == NULL)
        goto error_memory;
    while (writers->count < options->connections) {
        if (start_writer(writers, &writers->writers[writers->count]) < 0)
            goto error_memory;
        writers->count++;
    }
    uv_timer_init(loop, &writers->parking);
    uv_timer_init(loop, &writers->joining);
    writers->parking.data = writers->joining.data = writers;
    uv_timer_start(&writers->joining, on_join_look_due, JOINS_LOOK_MS, JOINS_LOOK_MS);
    for (int i = 0; i < writers->count; i++) {
        uv_timer_init(loop, &writers->writers[i].patience);
        writers->writers[i].patience.data = &writers->writers[i];
    }
    return writers;

error_memory:
    close_connections(writers);
    event_writers_free(writers);
    return NULL;
}

void event_writers_stop(struct event_writers *writers)
{
    uv_close((uv_handle_t *)&writers->parking, NULL);
    uv_close((uv_handle_t *)&writers->joining, NULL);
    forget_all(writers);
    for (int i = 0; i < writers->count; i++) {
        give_up(&writers->writers[i]);
        uv_close((uv_handle_t *)&writers->writers[i].patience, NULL);
    }
    close_connections(writers);
}

void event_writers_free(struct event_writers *writers)
{
    if (writers == NULL)
        return;
    for (int i = 0; i < writers->count; i++)
        free_writer(&writers->writers[i]);
    known_runs_free(writers->known);
    free(writers);
}

/* -------- requests -------- */

int event_writers_submit(struct event_writers *writers, struct event_batch *batch, bool may_create,
                         event_write_fn *done, void *arg)
{
    struct write_request *request;
    size_t bytes = 0;

    for (size_t i = 0; i < batch->count; i++) {
        if (batch->results[i].status != EVENT_PENDING)
            continue;
        if (!writer_of(writers, &batch->events[i].run)->is_set_up)
            return -ENOTCONN;
        bytes += batch->events[i].info.length;
    }
    if (event_writers_queued_bytes(writers) + bytes > writers->options.queue_bytes_max)
        return -EAGAIN;
    request = malloc(sizeof *request);
    if (request == NULL)
        return -ENOMEM;
    request->pending = 1;
    request->is_unavailable = request->is_misplaced = false;
    request->may_create = may_create;
    request->generation = *writers->options.generation;
    request->why[0] = '\0'; /* and no more of it: there is one for each event */
    request->done = done;
    request->arg = arg;
    for (size_t i = 0; i < batch->count; i++) {
        struct write_item item = {.request = request,
                                  .event = &batch->events[i],
                                  .result = &batch->results[i],
                                  .number = ++writers->number,
                                  .arrived_ms = uv_now(writers->loop)};

        if (item.result->status != EVENT_PENDING)
            continue;
        request->pending++;
        queue_item(&writer_of(writers, &item.event->run)->queue, &item, false);
    }
    release(request);
    *writers->options.is_due = true;
    return 0;
}

void event_writers_run(struct event_writers *writers)
{
    *writers->options.is_due = false;
    for (int i = 0; i < writers->count; i++)
        run_writer(&writers->writers[i]);
}

size_t event_writers_usable(const struct event_writers *writers)
{
    size_t count = 0;

    for (int i = 0; i < writers->count; i++)
        count += writers->writers[i].is_set_up;
    return count;
}

bool event_writers_are_ready(const struct event_writers *writers)
{
    return event_writers_usable(writers) == (size_t)writers->count;
}

size_t event_writers_queued_bytes(const struct event_writers *writers)
{
    size_t bytes = 0;

    for (int i = 0; i < writers->count; i++) {
        struct parked_run *parked, *next;

        bytes += writers->writers[i].queue.bytes;
        HASH_ITER (hh, writers->writers[i].parked, parked, next)
            bytes += parked->queue.bytes;
    }
    return bytes;
}
