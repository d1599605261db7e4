/* The read half of a batch: what is stored of its runs, with or without locks, up to the decision.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sql/event_rows.h"
#include "sql/event_writer_internal.h"
#include "sql/rows.h"

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
        event_writer_add(writer, &find_waiting_statement, 0);
        pg_exchange_send(writer->connection);
        return;
    }
    if (writer->is_out_of_memory || decision_make(writer->decision) < 0) {
        pg_connection_reset(writer->connection, "out of memory");
        event_writer_fail_for_memory(writer);
        return;
    }
    for (size_t i = writer->range.first; i < writer->range.last; i++)
        write_item_claim(&writer->batch[i]);
    event_writer_write(writer);
}

static void on_more_read(void *arg, const struct pg_end *end)
{
    struct event_writer *writer = arg;

    if (end->outcome == PG_OK)
        read_more_or_decide(writer);
    else
        event_writer_failed(writer, end);
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
}

/* What is read of the batch's runs, first of all the runs: what changes after that makes
 * update_runs fail, unless they are locked. */
enum { READ_RUNS, READ_ACTIONS, READ_WAITING, READ_EVENTS };

static void put_read(struct event_writer *writer, size_t statement, const PGresult *result)
{
    if (statement == READ_RUNS)
        put_runs(writer, result);
    else if (statement == READ_EVENTS)
        put_events(writer, result);
    else
        put_actions(writer, result, writer->names);
}

static void add_find_events(struct event_writer *writer)
{
    bind_find_events(&writer->parameters[READ_EVENTS], writer->events, writer->event_count);
    event_writer_add(writer, &find_events_statement, READ_EVENTS);
}

/* Behind the statement that reads the runs. */
static void add_reads(struct event_writer *writer)
{
    struct pg_parameters *parameters = writer->parameters;

    bind_names(&parameters[READ_ACTIONS], writer->runs, writer->names, writer->name_count);
    event_writer_add(writer, &find_actions_statement, READ_ACTIONS);
    bind_names(&parameters[READ_WAITING], writer->runs, writer->names, writer->name_count);
    event_writer_add(writer, &find_waiting_statement, READ_WAITING);
}

static int take_runs_and_names(struct event_writer *writer)
{
    writer->runs = decision_runs(writer->decision, &writer->run_count);
    writer->names = decision_names(writer->decision, &writer->name_count);
    if (writer->runs == NULL || writer->names == NULL)
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
        event_writer_failed(writer, end);
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
    if (take_runs_and_names(writer) < 0 || make_incarnations(writer) < 0) {
        event_writer_fail_for_memory(writer);
        return;
    }
    pg_exchange_begin(writer->connection, on_locked_result, on_locked, writer);
    pg_exchange_add(writer->connection, &begin_statement, NULL);
    bind_lock_runs(&writer->parameters[READ_RUNS], writer->runs,
                   (const char(*)[INCARNATION_SIZE])writer->incarnations, writer->run_count,
                   writer->now_us);
    event_writer_add(writer, &lock_runs_statement, READ_RUNS);
    add_reads(writer);
    add_find_events(writer); /* most were found before: another round trip would cost more */
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
    event_writer_drop_try(writer);
    writer->is_locked = true;
    if (writer->is_out_of_memory || start_decision(writer) < 0)
        event_writer_fail_for_memory(writer);
    else if (writer->event_count == 0)
        event_writer_finish_range(writer);
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
        event_writer_failed(writer, end);
}

/* A repeated event must not lock anything, because that makes a row version. */
static void find_duplicates(struct event_writer *writer)
{
    writer->event_count = 0;
    for (size_t i = writer->range.first; i < writer->range.last; i++)
        writer->events[writer->event_count++] = writer->batch[i].event;
    pg_exchange_begin(writer->connection, on_found_result, on_found, writer);
    add_find_events(writer);
    pg_exchange_send(writer->connection);
}

/* -------- without -------- */

static void on_read_result(void *arg, size_t statement, const PGresult *result)
{
    put_read(arg, statement, result);
}

static void on_old_result(void *arg, size_t statement, const PGresult *result)
{
    (void)statement;
    put_events(arg, result);
}

/* Looks for the events that may be there already: those that `old` names, of writer->events. */
static void find_old_events(struct event_writer *writer, const size_t *old, size_t count)
{
    for (size_t i = 0; i < count; i++)
        writer->events[i] = writer->events[old[i]];
    writer->event_count = count;
    pg_exchange_begin(writer->connection, on_old_result, on_more_read, writer);
    add_find_events(writer);
    pg_exchange_send(writer->connection);
}

/* A run that is to be made is made by the lock: two who make the same ones, each in its order,
 * could wait for each other. */
static void on_read(void *arg, const struct pg_end *end)
{
    struct event_writer *writer = arg;

    const size_t *old;
    size_t count;

    if (end->outcome != PG_OK) {
        event_writer_failed(writer, end);
        return;
    }
    old = decision_old_events(writer->decision, &count);
    writer->is_out_of_memory |= old == NULL;
    if (writer->runs_read < writer->run_count && count == 0)
        lock_range(writer);
    else if (writer->runs_read < writer->run_count)
        find_duplicates(writer);
    else if (count == 0 || writer->is_out_of_memory)
        read_more_or_decide(writer);
    else
        find_old_events(writer, old, count);
}

static void send_read(struct event_writer *writer)
{
    if (start_decision(writer) < 0 || take_runs_and_names(writer) < 0) {
        event_writer_fail_for_memory(writer);
        return;
    }
    pg_exchange_begin(writer->connection, on_read_result, on_read, writer);
    bind_read_runs(&writer->parameters[READ_RUNS], writer->runs, writer->run_count);
    event_writer_add(writer, &read_runs_statement, READ_RUNS);
    add_reads(writer);
    pg_exchange_send(writer->connection);
}

static bool locks_first(const struct event_writer *writer)
{
    return uv_now(writer->owner->loop) < writer->lock_first_until_ms;
}

void event_writer_read(struct event_writer *writer)
{
    writer->is_locked = false;
    if (locks_first(writer))
        find_duplicates(writer);
    else
        send_read(writer);
}
