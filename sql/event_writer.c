/* One connection's batches: which events, what is written, and what follows a failure. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "sql/event_rows.h"
#include "sql/event_writer_internal.h"

static void try_next_range(struct event_writer *writer);

static int64_t wall_clock_us(void)
{
    uv_timeval64_t now;

    uv_gettimeofday(&now);
    return now.tv_sec * 1000000 + now.tv_usec;
}

void event_writer_add(struct event_writer *writer, const struct pg_statement *statement, int slot)
{
    struct pg_value values[PG_PARAMETERS_MAX];

    pg_parameters_values(&writer->parameters[slot], values);
    writer->is_out_of_memory |= writer->parameters[slot].bytes.failed;
    pg_exchange_add(writer->connection, statement, values);
}

void event_writer_drop_try(struct event_writer *writer)
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
    writer->retries = writer->losses = 0;
    writer->is_for_all = false;
}

void event_writer_finish_range(struct event_writer *writer)
{
    event_writer_drop_try(writer);
    writer->retries = writer->losses = 0;
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

    event_writer_drop_try(writer);
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
        event_writer_finish_range(writer);
}

/* Not the events' fault: the server lacks something (53 resources, 58 system error), goes away or
 * stopped us (57), is a standby now (25006), others hold what we need (55P03) or were in the way
 * each time (40), or its notification queue is full (54000, which no event can bring about by its
 * size: keys are shorter than what an index takes). */
static bool is_servers_fault(const char *sqlstate)
{
    return strncmp(sqlstate, "53", 2) == 0 || strncmp(sqlstate, "57", 2) == 0 ||
           strncmp(sqlstate, "58", 2) == 0 || strncmp(sqlstate, "XX", 2) == 0 ||
           strncmp(sqlstate, "40", 2) == 0 || strcmp(sqlstate, "55P03") == 0 ||
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

void event_writer_failed(struct event_writer *writer, const struct pg_end *end)
{
    struct event_writers *owner = writer->owner;
    size_t count = writer->range.last - writer->range.first;
    bool is_tried_again;

    event_writer_drop_try(writer);
    for (size_t i = writer->range.first; i < writer->range.last; i++) {
        if (end->outcome == PG_LOST && writer->is_writing)
            write_item_lose(&writer->batch[i]);
        write_item_reopen(&writer->batch[i]);
    }
    if (end->outcome == PG_LOST) {
        if (writer->losses++ < WRITE_LOSSES_MAX) /* on_ready goes on, or patience ends it */
            writer->ranges[writer->range_count++] = writer->range;
        else /* perhaps it is because of these events */
            event_writer_give_up(writer);
        return;
    }
    is_tried_again = is_worth_a_retry(end->sqlstate) && writer->retries++ < WRITE_RETRIES_MAX;
    if (is_tried_again && is_conflict(end->sqlstate)) {
        note_conflict(writer);
        owner->events->on_conflict(owner->arg, count);
    } else {
        owner->events->on_refused(owner->arg, count, end->sqlstate, end->message);
    }
    if (is_tried_again) {
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
        writer->retries = 0;
        writer->ranges[writer->range_count++] = (struct range){middle, writer->range.last};
        writer->ranges[writer->range_count++] = (struct range){writer->range.first, middle};
        try_next_range(writer);
    }
}

void event_writer_fail_for_memory(struct event_writer *writer)
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
        event_writer_failed(writer, end);
        return;
    }
    if (writer->is_out_of_memory) { /* rolled back */
        event_writer_fail_for_memory(writer);
        return;
    }
    decision_event_rows(writer->decision, &count);
    owner->events->on_committed(owner->arg, count, uv_hrtime() - writer->started_ns);
    event_writer_finish_range(writer);
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
    event_writer_add(writer, &update_runs_statement, 0);
    bind_insert_events(&parameters[1], writer->runs, events, event_count, writer->now_us);
    event_writer_add(writer, &insert_events_statement, 1);
    bind_upsert_actions(&parameters[2], writer->runs, actions, action_count);
    event_writer_add(writer, &upsert_actions_statement, 2);
    if (joined_count > 0) {
        bind_join_events(&parameters[3], writer->runs, joined, joined_count);
        event_writer_add(writer, &join_events_statement, 3);
    }
    bind_notify(&parameters[4], writer->runs, runs, run_count);
    event_writer_add(writer, &notify_statement, 4);
    pg_exchange_add(writer->connection,
                    writer->is_out_of_memory ? &rollback_statement : &commit_statement, NULL);
    pg_exchange_send(writer->connection);
}

void event_writer_write(struct event_writer *writer)
{
    size_t event_count;

    decision_event_rows(writer->decision, &event_count);
    if (event_count > 0)
        send_write(writer);
    else if (writer->is_locked)
        send_rollback(writer);
    else
        event_writer_finish_range(writer);
}

static void try_next_range(struct event_writer *writer)
{
    writer->range = writer->ranges[--writer->range_count];
    writer->is_out_of_memory = false;
    writer->now_us = wall_clock_us();
    writer->started_ns = uv_hrtime();
    writer->is_writing = false;
    event_writer_read(writer);
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
