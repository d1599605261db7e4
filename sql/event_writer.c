/* One connection's batches: find duplicates, lock and read, decide, write. */
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
}

static void end_batch(struct event_writer *writer)
{
    writer->batch_count = writer->range_count = 0;
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
    event_writer_run(writer);
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

/* Serialization failure, deadlock, and the unique violation that the lock excludes. */
static bool is_worth_a_retry(const char *sqlstate)
{
    return strncmp(sqlstate, "40", 2) == 0 || strcmp(sqlstate, "23505") == 0;
}

/* A round trip failed; returns after having arranged what comes next. */
static void handle_failure(struct event_writer *writer, const struct pg_end *end)
{
    struct event_writers *owner = writer->owner;
    size_t count = writer->range.last - writer->range.first;

    drop_try(writer);
    for (size_t i = writer->range.first; i < writer->range.last; i++)
        write_item_reopen(&writer->batch[i]);
    if (end->outcome == PG_LOST) { /* on_ready goes on, or patience ends it */
        writer->ranges[writer->range_count++] = writer->range;
        return;
    }
    owner->events->on_refused(owner->arg, count, end->sqlstate, end->message);
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

static void send_write(struct event_writer *writer)
{
    struct pg_parameters *parameters = writer->parameters;
    size_t event_count, action_count, joined_count, run_count;
    const struct event_row *events = decision_event_rows(writer->decision, &event_count);
    const struct action_row *actions = decision_action_rows(writer->decision, &action_count);
    const struct joined_row *joined = decision_joined_rows(writer->decision, &joined_count);
    const struct run_row *runs = decision_run_rows(writer->decision, &run_count);

    pg_exchange_begin(writer->connection, event_writer_ignore, on_written, writer);
    if (event_count == 0) {
        pg_exchange_add(writer->connection, &rollback_statement, NULL);
        pg_exchange_send(writer->connection);
        return;
    }
    bind_insert_events(&parameters[0], writer->runs, events, event_count, writer->now_us);
    add_statement(writer, &insert_events_statement, 0);
    bind_upsert_actions(&parameters[1], writer->runs, actions, action_count);
    add_statement(writer, &upsert_actions_statement, 1);
    if (joined_count > 0) {
        bind_join_events(&parameters[2], writer->runs, joined, joined_count);
        add_statement(writer, &join_events_statement, 2);
    }
    bind_update_runs(&parameters[3], writer->runs, runs, run_count);
    add_statement(writer, &update_runs_statement, 3);
    bind_notify(&parameters[4], writer->runs, runs, run_count);
    add_statement(writer, &notify_statement, 4);
    pg_exchange_add(writer->connection,
                    writer->is_out_of_memory ? &rollback_statement : &commit_statement, NULL);
    pg_exchange_send(writer->connection);
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
        write_item_remember(&writer->batch[i]);
    send_write(writer);
}

static void on_more_read(void *arg, const struct pg_end *end)
{
    struct event_writer *writer = arg;

    if (end->outcome == PG_OK)
        read_more_or_decide(writer);
    else
        handle_failure(writer, end);
}

/* Statement numbers of the locking round trip. */
enum { LOCK_BEGIN, LOCK_RUNS, LOCK_EVENTS, LOCK_ACTIONS, LOCK_WAITING };

static void put_runs(struct event_writer *writer, const PGresult *result)
{
    int rows = PQntuples(result);

    for (int row = 0; row < rows; row++) {
        struct run run;
        size_t i = (size_t)row; /* RETURNING keeps the order, here at least */

        run_from_row(result, row, 0, &run);
        for (size_t tried = 0; run_key_compare(&writer->runs[i], &run.key) != 0; tried++) {
            assert(tried < writer->run_count);
            i = (i + 1) % writer->run_count;
        }
        if (decision_put_run(writer->decision, &run,
                             strcmp(run.incarnation, writer->incarnations[i]) == 0) < 0)
            writer->is_out_of_memory = true;
    }
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

static void on_locked_result(void *arg, size_t statement, const PGresult *result)
{
    struct event_writer *writer = arg;
    size_t count;

    if (statement == LOCK_RUNS)
        put_runs(writer, result);
    else if (statement == LOCK_EVENTS)
        put_events(writer, result);
    else if (statement == LOCK_ACTIONS || statement == LOCK_WAITING)
        put_actions(writer, result, decision_names(writer->decision, &count));
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
    struct pg_parameters *parameters = writer->parameters;
    const struct decision_name *names;
    size_t name_count;

    writer->runs = decision_runs(writer->decision, &writer->run_count);
    names = decision_names(writer->decision, &name_count);
    if (writer->runs == NULL || names == NULL || make_incarnations(writer) < 0) {
        fail_for_memory(writer);
        return;
    }
    pg_exchange_begin(writer->connection, on_locked_result, on_locked, writer);
    pg_exchange_add(writer->connection, &begin_statement, NULL);
    bind_lock_runs(&parameters[0], writer->runs,
                   (const char(*)[INCARNATION_SIZE])writer->incarnations, writer->run_count,
                   writer->now_us);
    add_statement(writer, &lock_runs_statement, 0);
    bind_find_events(&parameters[1], writer->events, writer->event_count);
    add_statement(writer, &find_events_statement, 1);
    bind_names(&parameters[2], writer->runs, names, name_count);
    add_statement(writer, &find_actions_statement, 2);
    bind_names(&parameters[3], writer->runs, names, name_count);
    add_statement(writer, &find_waiting_statement, 3);
    pg_exchange_send(writer->connection);
}

/* -------- before: drop the duplicates -------- */

static void on_found_result(void *arg, size_t statement, const PGresult *result)
{
    struct event_writer *writer = arg;
    int rows = PQntuples(result);

    (void)statement;
    for (int row = 0; row < rows; row++) {
        size_t i = (size_t)pg_int8(result, row, 0) - 1;

        if (write_item_found(&writer->batch[writer->items[i]], pg_int8(result, row, 1),
                             pg_text(result, row, 2)) < 0)
            writer->is_out_of_memory = true;
    }
}

static void on_found(void *arg, const struct pg_end *end)
{
    struct event_writer *writer = arg;

    if (end->outcome != PG_OK) {
        handle_failure(writer, end);
        return;
    }
    writer->event_count = 0;
    for (size_t i = writer->range.first; i < writer->range.last; i++) {
        struct write_item *item = &writer->batch[i];

        if (item->result->status != EVENT_PENDING)
            continue;
        writer->events[writer->event_count++] = item->event;
        if (decision_add_event(writer->decision, item->event, item->result) < 0)
            writer->is_out_of_memory = true;
    }
    if (writer->is_out_of_memory)
        fail_for_memory(writer);
    else if (writer->event_count == 0)
        finish_range(writer);
    else
        send_lock(writer);
}

static void try_next_range(struct event_writer *writer)
{
    writer->range = writer->ranges[--writer->range_count];
    writer->is_out_of_memory = false;
    writer->now_us = wall_clock_us();
    writer->started_ns = uv_hrtime();
    writer->decision = decision_new();
    if (writer->decision == NULL) {
        fail_for_memory(writer);
        return;
    }
    writer->event_count = 0;
    for (size_t i = writer->range.first; i < writer->range.last; i++) {
        writer->items[writer->event_count] = i;
        writer->events[writer->event_count++] = writer->batch[i].event;
    }
    bind_find_events(&writer->parameters[0], writer->events, writer->event_count);
    pg_exchange_begin(writer->connection, on_found_result, on_found, writer);
    add_statement(writer, &find_events_statement, 0);
    pg_exchange_send(writer->connection);
}

/* -------- batches -------- */

void event_writer_run(struct event_writer *writer)
{
    if (!writer->is_set_up || !pg_connection_is_idle(writer->connection))
        return;
    if (writer->batch_count == 0) {
        writer->batch_count =
            write_queue_take(&writer->queue, writer->batch, WRITE_EVENTS_MAX, WRITE_BYTES_MAX);
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
    free(writer->items);
    free((void *)writer->events);
    free(writer->batch);
}
