/* One connection's batches: read, decide, write; or, where other processes write to the same runs:
 * find duplicates, lock and read, decide, write. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sql/event_rows.h"
#include "sql/event_writer_internal.h"
#include "sql/rows.h"

static void try_next_range(struct event_writer *writer);

static int64_t wall_clock_us(void)
{
    uv_timeval64_t now;

    uv_gettimeofday(&now);
    return now.tv_sec * 1000000 + now.tv_usec;
}

static void add_statement(struct event_writer *writer, const struct pg_statement *statement,
                          int slot)
{
    struct pg_value values[PG_PARAMETERS_MAX];

    pg_parameters_values(&writer->parameters[slot], values);
    writer->is_out_of_memory |= writer->parameters[slot].bytes.failed;
    pg_exchange_add(writer->connection, statement, values);
}

static void drop_try(struct event_writer *writer)
{
    decision_free(writer->decision);
    writer->decision = NULL;
    free(writer->incarnations);
    writer->incarnations = NULL;
    free(writer->changed_xids);
    writer->changed_xids = NULL;
}

static void end_batch(struct event_writer *writer)
{
    writer->batch_count = writer->range_count = 0;
    writer->is_for_all = false;
}

/* Takes the range as done: every item of it has its verdict. */
static void finish_range(struct event_writer *writer)
{
    drop_try(writer);
    writer->retries = 0;
    for (size_t i = writer->range.first; i < writer->range.last; i++)
        write_item_finish(&writer->batch[i], EVENT_WRITE_DONE);
    if (writer->range_count > 0) {
        try_next_range(writer);
        return;
    }
    end_batch(writer);
    event_writers_run(writer->owner);
}

void event_writer_give_up(struct event_writer *writer)
{
    struct write_item item;

    drop_try(writer);
    for (size_t i = 0; i < writer->batch_count; i++)
        write_item_finish(&writer->batch[i], EVENT_WRITE_UNAVAILABLE);
    end_batch(writer);
    while (write_queue_take(&writer->queue, &item, 1, SIZE_MAX) == 1)
        write_item_finish(&item, EVENT_WRITE_UNAVAILABLE);
}

static void reject_alone(struct event_writer *writer, const struct pg_end *end)
{
    struct problem problem;

    problem_set(&problem, PROBLEM_INTERNAL, NULL,
                "The database refused this event (SQLSTATE %s); it was not recorded.",
                end->sqlstate);
    if (event_result_reject(writer->batch[writer->range.first].result, &problem) < 0)
        event_writer_give_up(writer);
    else
        finish_range(writer);
}

/* Not the events' fault: the server lacks something (53 resources, 58 system error), goes away or
 * stopped us (57), is a standby now (25006), or its notification queue is full (54000, which no
 * event can bring about by its size: keys are shorter than what an index takes). */
static bool is_servers_fault(const char *sqlstate)
{
    return strncmp(sqlstate, "53", 2) == 0 || strncmp(sqlstate, "57", 2) == 0 ||
           strncmp(sqlstate, "58", 2) == 0 || strncmp(sqlstate, "XX", 2) == 0 ||
           strcmp(sqlstate, "25006") == 0 || strcmp(sqlstate, "54000") == 0 ||
           strcmp(sqlstate, "") == 0;
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

static bool locks_first(const struct event_writer *writer)
{
    return uv_now(writer->owner->loop) < writer->lock_first_until_ms;
}

/* Where one conflict was there are more, and each costs a batch that is decided twice: from now on
 * locks come first, the longer the sooner the last time was. */
static void note_conflict(struct event_writer *writer)
{
    uint64_t now_ms = uv_now(writer->owner->loop);
    bool was_recent = now_ms < writer->lock_first_until_ms + writer->lock_first_ms;

    writer->lock_first_ms = was_recent ? writer->lock_first_ms * 2 : LOCK_FIRST_MIN_MS;
    if (writer->lock_first_ms > LOCK_FIRST_MAX_MS)
        writer->lock_first_ms = LOCK_FIRST_MAX_MS;
    writer->lock_first_until_ms = now_ms + writer->lock_first_ms;
}

/* A round trip failed; returns after having arranged what comes next. */
static void handle_failure(struct event_writer *writer, const struct pg_end *end)
{
    struct event_writers *owner = writer->owner;
    size_t count = writer->range.last - writer->range.first;

    drop_try(writer);
    for (size_t i = writer->range.first; i < writer->range.last; i++) {
        if (end->outcome == PG_LOST && writer->is_writing)
            write_item_lose(&writer->batch[i]);
        write_item_reopen(&writer->batch[i]);
    }
    if (end->outcome == PG_LOST) { /* on_ready goes on, or patience ends it */
        writer->ranges[writer->range_count++] = writer->range;
        return;
    }
    if (is_conflict(end->sqlstate)) {
        note_conflict(writer);
        owner->events->on_conflict(owner->arg, count);
    } else {
        owner->events->on_refused(owner->arg, count, end->sqlstate, end->message);
    }
    if (is_worth_a_retry(end->sqlstate) && writer->retries++ < WRITE_RETRIES_MAX) {
        writer->ranges[writer->range_count++] = writer->range;
        try_next_range(writer);
    } else if (is_servers_fault(end->sqlstate)) {
        event_writer_give_up(writer);
        if (strcmp(end->sqlstate, "25006") == 0)
            pg_connection_reset(writer->connection, end->message);
        event_writer_run(writer);
    } else if (count == 1) {
        reject_alone(writer, end);
    } else {
        size_t middle = writer->range.first + count / 2;

        assert(writer->range_count + 2 <= RANGES_MAX);
        writer->ranges[writer->range_count++] = (struct range){middle, writer->range.last};
        writer->ranges[writer->range_count++] = (struct range){writer->range.first, middle};
        try_next_range(writer);
    }
}

static void fail_for_memory(struct event_writer *writer)
{
    event_writer_give_up(writer);
    event_writer_run(writer);
}

/* -------- the write half -------- */

void event_writer_ignore(void *arg, size_t statement, const PGresult *result)
{
    (void)arg;
    (void)statement;
    (void)result;
}

static void on_written(void *arg, const struct pg_end *end)
{
    struct event_writer *writer = arg;
    struct event_writers *owner = writer->owner;
    size_t count;

    if (end->outcome != PG_OK) {
        handle_failure(writer, end);
        return;
    }
    if (writer->is_out_of_memory) { /* rolled back */
        fail_for_memory(writer);
        return;
    }
    decision_event_rows(writer->decision, &count);
    owner->events->on_committed(owner->arg, count, uv_hrtime() - writer->started_ns);
    finish_range(writer);
}

static void send_rollback(struct event_writer *writer)
{
    pg_exchange_begin(writer->connection, event_writer_ignore, on_written, writer);
    pg_exchange_add(writer->connection, &rollback_statement, NULL);
    pg_exchange_send(writer->connection);
}

static void send_write(struct event_writer *writer)
{
    struct pg_parameters *parameters = writer->parameters;
    size_t event_count, action_count, joined_count, run_count;
    const struct event_row *events = decision_event_rows(writer->decision, &event_count);
    const struct action_row *actions = decision_action_rows(writer->decision, &action_count);
    const struct joined_row *joined = decision_joined_rows(writer->decision, &joined_count);
    const struct run_row *runs = decision_run_rows(writer->decision, &run_count);

    writer->is_writing = true;
    pg_exchange_begin(writer->connection, event_writer_ignore, on_written, writer);
    if (!writer->is_locked)
        pg_exchange_add(writer->connection, &begin_statement, NULL);
    bind_update_runs(&parameters[0], writer->runs, writer->changed_xids, runs, run_count);
    add_statement(writer, &update_runs_statement, 0);
    bind_insert_events(&parameters[1], writer->runs, events, event_count, writer->now_us);
    add_statement(writer, &insert_events_statement, 1);
    bind_upsert_actions(&parameters[2], writer->runs, actions, action_count);
    add_statement(writer, &upsert_actions_statement, 2);
    if (joined_count > 0) {
        bind_join_events(&parameters[3], writer->runs, joined, joined_count);
        add_statement(writer, &join_events_statement, 3);
    }
    bind_notify(&parameters[4], writer->runs, runs, run_count);
    add_statement(writer, &notify_statement, 4);
    pg_exchange_add(writer->connection,
                    writer->is_out_of_memory ? &rollback_statement : &commit_statement, NULL);
    pg_exchange_send(writer->connection);
}

static void write_decided(struct event_writer *writer)
{
    size_t event_count;

    decision_event_rows(writer->decision, &event_count);
    if (event_count > 0)
        send_write(writer);
    else if (writer->is_locked)
        send_rollback(writer);
    else
        finish_range(writer);
}

/* -------- the read half -------- */

static void on_more_read(void *arg, const struct pg_end *end);

static void put_actions(struct event_writer *writer, const PGresult *result,
                        const struct decision_name *names)
{
    int rows = PQntuples(result);

    for (int row = 0; row < rows; row++) {
        size_t i = (size_t)pg_int8(result, row, 0) - 1;
        struct action action;

        action_from_row(result, row, 1, &action);
        if (decision_put_action(writer->decision, &writer->runs[names[i].run], &action) < 0)
            writer->is_out_of_memory = true;
    }
}

static void on_more_result(void *arg, size_t statement, const PGresult *result)
{
    struct event_writer *writer = arg;

    (void)statement;
    put_actions(writer, result, writer->unread);
}

/* Reads the waiting children of actions that are about to join, level by level, then decides. */
static void read_more_or_decide(struct event_writer *writer)
{
    size_t count;

    writer->unread = decision_unread_parents(writer->decision, &count);
    if (writer->unread == NULL && count > 0)
        writer->is_out_of_memory = true;
    if (!writer->is_out_of_memory && count > 0) {
        bind_names(&writer->parameters[0], writer->runs, writer->unread, count);
        pg_exchange_begin(writer->connection, on_more_result, on_more_read, writer);
        add_statement(writer, &find_waiting_statement, 0);
        pg_exchange_send(writer->connection);
        return;
    }
    if (writer->is_out_of_memory || decision_make(writer->decision) < 0) {
        pg_connection_reset(writer->connection, "out of memory");
        fail_for_memory(writer);
        return;
    }
    for (size_t i = writer->range.first; i < writer->range.last; i++)
        write_item_claim(&writer->batch[i]);
    write_decided(writer);
}

static void on_more_read(void *arg, const struct pg_end *end)
{
    struct event_writer *writer = arg;

    if (end->outcome == PG_OK)
        read_more_or_decide(writer);
    else
        handle_failure(writer, end);
}

static void put_runs(struct event_writer *writer, const PGresult *result)
{
    int rows = PQntuples(result);

    for (int row = 0; row < rows; row++) {
        struct run run;
        size_t i = (size_t)row; /* where none is missing they come in order, here at least */

        run_from_row(result, row, 0, &run);
        for (size_t tried = 0; run_key_compare(&writer->runs[i], &run.key) != 0; tried++) {
            assert(tried < writer->run_count);
            i = (i + 1) % writer->run_count;
        }
        writer->changed_xids[i] = pg_int8(result, row, RUN_COLUMN_COUNT);
        if (decision_put_run(writer->decision, &run,
                             writer->is_locked &&
                                 strcmp(run.incarnation, writer->incarnations[i]) == 0) < 0)
            writer->is_out_of_memory = true;
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
    writer->duplicates_read = (size_t)rows;
}

/* What is read of the batch's runs, first of all the runs: what changes after that makes
 * update_runs fail, unless they are locked. */
enum { READ_RUNS, READ_EVENTS, READ_ACTIONS, READ_WAITING };

static void put_read(struct event_writer *writer, size_t statement, const PGresult *result)
{
    size_t count;

    if (statement == READ_RUNS)
        put_runs(writer, result);
    else if (statement == READ_EVENTS)
        put_events(writer, result);
    else
        put_actions(writer, result, decision_names(writer->decision, &count));
}

/* Behind the statement that reads the runs. */
static void add_reads(struct event_writer *writer)
{
    struct pg_parameters *parameters = writer->parameters;
    size_t name_count;
    const struct decision_name *names = decision_names(writer->decision, &name_count);

    bind_find_events(&parameters[READ_EVENTS], writer->events, writer->event_count);
    add_statement(writer, &find_events_statement, READ_EVENTS);
    bind_names(&parameters[READ_ACTIONS], writer->runs, names, name_count);
    add_statement(writer, &find_actions_statement, READ_ACTIONS);
    bind_names(&parameters[READ_WAITING], writer->runs, names, name_count);
    add_statement(writer, &find_waiting_statement, READ_WAITING);
}

static int take_runs(struct event_writer *writer)
{
    size_t name_count;

    writer->runs = decision_runs(writer->decision, &writer->run_count);
    if (writer->runs == NULL || decision_names(writer->decision, &name_count) == NULL)
        return -ENOMEM;
    writer->changed_xids = calloc(writer->run_count, sizeof *writer->changed_xids);
    return writer->changed_xids == NULL ? -ENOMEM : 0;
}

/* -------- with locks -------- */

static void on_locked_result(void *arg, size_t statement, const PGresult *result)
{
    if (statement > 0) /* BEGIN */
        put_read(arg, statement - 1, result);
}

static void on_locked(void *arg, const struct pg_end *end)
{
    struct event_writer *writer = arg;

    if (end->outcome == PG_OK)
        read_more_or_decide(writer);
    else
        handle_failure(writer, end);
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

static void send_lock(struct event_writer *writer)
{
    if (take_runs(writer) < 0 || make_incarnations(writer) < 0) {
        fail_for_memory(writer);
        return;
    }
    pg_exchange_begin(writer->connection, on_locked_result, on_locked, writer);
    pg_exchange_add(writer->connection, &begin_statement, NULL);
    bind_lock_runs(&writer->parameters[READ_RUNS], writer->runs,
                   (const char(*)[INCARNATION_SIZE])writer->incarnations, writer->run_count,
                   writer->now_us);
    add_statement(writer, &lock_runs_statement, READ_RUNS);
    add_reads(writer);
    pg_exchange_send(writer->connection);
}

/* Starts the decision with those events of the range that are not known as duplicates. */
static int start_decision(struct event_writer *writer)
{
    writer->decision = decision_new();
    if (writer->decision == NULL)
        return -ENOMEM;
    writer->event_count = 0;
    for (size_t i = writer->range.first; i < writer->range.last; i++) {
        struct write_item *item = &writer->batch[i];

        if (item->result->status != EVENT_PENDING)
            continue;
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
    else if (writer->event_count == 0)
        finish_range(writer);
    else
        send_lock(writer);
}

static void on_found_result(void *arg, size_t statement, const PGresult *result)
{
    struct event_writer *writer = arg;
    int rows = PQntuples(result);

    (void)statement;
    for (int row = 0; row < rows; row++) {
        size_t i = writer->range.first + (size_t)pg_int8(result, row, 0) - 1;

        if (write_item_found(&writer->batch[i], pg_int8(result, row, 1), pg_text(result, row, 2)) <
            0)
            writer->is_out_of_memory = true;
    }
}

static void on_found(void *arg, const struct pg_end *end)
{
    struct event_writer *writer = arg;

    if (end->outcome == PG_OK)
        lock_range(writer);
    else
        handle_failure(writer, end);
}

/* A repeated event must not lock anything, because that makes a row version. */
static void find_duplicates(struct event_writer *writer)
{
    writer->event_count = 0;
    for (size_t i = writer->range.first; i < writer->range.last; i++)
        writer->events[writer->event_count++] = writer->batch[i].event;
    bind_find_events(&writer->parameters[0], writer->events, writer->event_count);
    pg_exchange_begin(writer->connection, on_found_result, on_found, writer);
    add_statement(writer, &find_events_statement, 0);
    pg_exchange_send(writer->connection);
}

/* -------- without -------- */

static void on_read_result(void *arg, size_t statement, const PGresult *result)
{
    put_read(arg, statement, result);
}

/* A run that is to be made is made by the lock: two who make the same ones, each in its order,
 * could wait for each other. */
static void on_read(void *arg, const struct pg_end *end)
{
    struct event_writer *writer = arg;

    if (end->outcome != PG_OK)
        handle_failure(writer, end);
    else if (writer->runs_read == writer->run_count)
        read_more_or_decide(writer);
    else if (writer->duplicates_read == 0)
        lock_range(writer);
    else
        find_duplicates(writer);
}

static void send_read(struct event_writer *writer)
{
    if (start_decision(writer) < 0 || take_runs(writer) < 0) {
        fail_for_memory(writer);
        return;
    }
    pg_exchange_begin(writer->connection, on_read_result, on_read, writer);
    bind_read_runs(&writer->parameters[READ_RUNS], writer->runs, writer->run_count);
    add_statement(writer, &read_runs_statement, READ_RUNS);
    add_reads(writer);
    pg_exchange_send(writer->connection);
}

static void try_next_range(struct event_writer *writer)
{
    writer->range = writer->ranges[--writer->range_count];
    writer->is_out_of_memory = false;
    writer->now_us = wall_clock_us();
    writer->started_ns = uv_hrtime();
    writer->is_locked = writer->is_writing = false;
    if (locks_first(writer))
        find_duplicates(writer);
    else
        send_read(writer);
}

/* -------- batches -------- */

static size_t take_from(struct event_writer *writer, struct event_writer *other)
{
    return write_queue_take(&other->queue, writer->batch + writer->batch_count,
                            WRITE_EVENTS_MAX - writer->batch_count, WRITE_BYTES_MAX);
}

/* The writers side by side, each with its own runs, are worth it when there is much to do. Else
 * small transactions only cost each other time: then one takes what waits for all of them, and
 * meanwhile the others wait, so that no two have a run at once. */
static void take_batch(struct event_writer *writer)
{
    struct event_writers *owner = writer->owner;
    bool is_alone = true, is_busy = write_queue_count(&writer->queue) >= SIDE_BY_SIDE_EVENTS_MIN;

    for (int i = 0; i < owner->count; i++) {
        const struct event_writer *other = &owner->writers[i];

        if (other == writer)
            continue;
        if (other->is_for_all)
            return;
        is_alone = is_alone && other->batch_count == 0;
        is_busy = is_busy || write_queue_count(&other->queue) >= SIDE_BY_SIDE_EVENTS_MIN;
    }
    if (is_busy) {
        writer->batch_count = take_from(writer, writer);
    } else if (is_alone) {
        for (int i = 0; i < owner->count; i++)
            writer->batch_count += take_from(writer, &owner->writers[i]);
        writer->is_for_all = writer->batch_count > 0;
    }
}

void event_writer_run(struct event_writer *writer)
{
    if (!writer->is_set_up || !pg_connection_is_idle(writer->connection))
        return;
    if (writer->batch_count == 0) {
        take_batch(writer);
        if (writer->batch_count == 0)
            return;
        writer->ranges[0] = (struct range){0, writer->batch_count};
        writer->range_count = 1;
    }
    try_next_range(writer);
}

void event_writer_free(struct event_writer *writer)
{
    for (int slot = 0; slot < STATEMENTS_MAX; slot++)
        pg_parameters_free(&writer->parameters[slot]);
    write_queue_free(&writer->queue);
    free((void *)writer->events);
    free(writer->batch);
}
