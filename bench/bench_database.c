/* What the database alone can do: the limits of the write path, of notification and of reading.
 *
 *   bench_database ingest URL SECONDS CONNECTIONS EVENTS/REQUEST REQUESTS/BATCH RUNS NOTIFY
 *   bench_database notify URL SECONDS NOTIFICATIONS/S
 *   bench_database copy   URL ROUNDS PROJECT DOMAIN RUN
 *
 * `ingest` is the loop of sql/event_writer without all around it: the same statements with the same
 * parameters in the same two round trips (three when a run is new), over blocking libpq. It reads
 * every batch, as a writer does that does not know its runs (model/known_runs.h). `notify`
 * writes one event at a time and times from sending the half that commits to PQnotifies on another
 * connection. `copy` copies the rows of a run's actions out. Each prints one JSON object. */
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/latency.h"
#include "bench/synthetic.h"
#include "sql/rows.h"
#include "sql/write_statements.h"

enum { RUN_SENDERS_MAX = 64, REQUESTS_MAX = 100 /* of a batch */ };

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "bench_database: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

/* -------- a session with the writer's statements -------- */

static void must(PGconn *session, PGresult *result, ExecStatusType status)
{
    if (PQresultStatus(result) != status)
        fail("statement", PQerrorMessage(session));
    PQclear(result);
}

static void execute(PGconn *session, const char *sql)
{
    PGresult *result = PQexec(session, sql);
    ExecStatusType status = PQresultStatus(result);

    must(session, result, status == PGRES_TUPLES_OK ? PGRES_TUPLES_OK : PGRES_COMMAND_OK);
}

static PGconn *open_session(const char *url)
{
    PGconn *session = PQconnectdb(url);

    if (PQstatus(session) != CONNECTION_OK)
        fail("connect", PQerrorMessage(session));
    return session;
}

static PGconn *open_writer(const char *url)
{
    const struct pg_statement *const statements[] = {
        &begin_statement,         &commit_statement,         &find_events_statement,
        &lock_runs_statement,     &find_actions_statement,   &find_awaited_statement,
        &insert_events_statement, &insert_actions_statement, &update_actions_statement,
        &update_runs_statement,   &notify_statement,         &read_runs_statement,
    };
    PGconn *session = open_session(url);

    execute(session, "SELECT set_config('runtree.channel', 'runtree', false)");
    execute(session, writer_settings_statement.sql);
    for (size_t i = 0; i < sizeof statements / sizeof(const struct pg_statement *); i++)
        must(session,
             PQprepare(session, statements[i]->name, statements[i]->sql,
                       statements[i]->parameter_count, statements[i]->types),
             PGRES_COMMAND_OK);
    if (PQenterPipelineMode(session) == 0)
        fail("pipeline", PQerrorMessage(session));
    return session;
}

static void send_call(PGconn *session, const struct pg_call *call)
{
    const struct pg_parameters *given = call->parameters;
    const char *bytes[PG_PARAMETERS_MAX];
    int formats[PG_PARAMETERS_MAX];

    for (int i = 0; i < given->count; i++) {
        bytes[i] = given->lengths[i] < 0 ? NULL : given->bytes.bytes + given->offsets[i];
        formats[i] = 1;
    }
    if (PQsendQueryPrepared(session, call->statement->name, given->count, bytes, given->lengths,
                            formats, 1) == 0)
        fail("send", PQerrorMessage(session));
}

/* One round trip. With `changed_xids` the rows of statements that read runs fill it, in order; how
 * many there were. */
static size_t exchange(PGconn *session, struct pg_calls *calls, int64_t *changed_xids)
{
    enum { CALLS_MAX = 16 };
    bool are_runs[CALLS_MAX] = {false};
    bool is_synced = false;
    size_t runs = 0, call = 0;

    for (size_t i = 0; i < calls->count; i++) {
        const struct pg_statement *statement = calls->calls[i].statement;

        are_runs[i] = statement == &read_runs_statement || statement == &lock_runs_statement;
        send_call(session, &calls->calls[i]);
    }
    pg_calls_reset(calls);
    if (PQpipelineSync(session) == 0)
        fail("sync", PQerrorMessage(session));
    while (!is_synced) {
        PGresult *result = PQgetResult(session);

        if (result == NULL) {
            call++;
            continue;
        }
        is_synced = PQresultStatus(result) == PGRES_PIPELINE_SYNC;
        if (PQresultStatus(result) == PGRES_FATAL_ERROR)
            fail("statement", PQresultErrorMessage(result));
        if (changed_xids != NULL && !is_synced && are_runs[call])
            for (int row = 0; row < PQntuples(result); row++)
                changed_xids[runs++] = pg_int8(result, row, RUN_COLUMN_COUNT);
        PQclear(result);
    }
    return runs;
}

/* -------- one batch, as the writer sends it -------- */

struct writer {
    const char *url;
    PGconn *session;
    struct synthetic_batch *batch;
    struct pg_calls calls;
    double seconds;
    bool notifies;
    uint64_t events, batches;
    bool is_locked;
    int64_t changed_xids[REQUESTS_MAX]; /* of the batch's runs */
    bool may_create[REQUESTS_MAX];      /* all of them */
    int64_t generation;                 /* the database's newest list of cells */
    int64_t write_sent_us;              /* when the half that commits was sent */
};

/* As sql/event_writer reads a batch when it knows of nobody else who writes to its runs, or else,
 * and when a run is new, with locks. */
static void read_half(struct writer *writer, const struct synthetic_rows *rows)
{
    struct pg_calls *calls = &writer->calls;

    add_runs(calls, &read_runs_statement, rows->runs, rows->run_count);
    add_names(calls, &find_actions_statement, rows->runs, rows->names, rows->name_count);
    add_names(calls, &find_awaited_statement, rows->runs, rows->names, rows->name_count);
    writer->is_locked = exchange(writer->session, calls, writer->changed_xids) < rows->run_count;
    if (!writer->is_locked)
        return;
    pg_calls_add(calls, &begin_statement);
    add_lock_runs(calls, rows->runs, rows->incarnations, writer->may_create, rows->run_count, 0,
                  writer->generation);
    add_names(calls, &find_actions_statement, rows->runs, rows->names, rows->name_count);
    add_names(calls, &find_awaited_statement, rows->runs, rows->names, rows->name_count);
    add_find_events(calls, rows->events, rows->event_count);
    exchange(writer->session, calls, writer->changed_xids);
}

static void write_half(struct writer *writer, const struct synthetic_rows *rows)
{
    struct pg_calls *calls = &writer->calls;

    if (!writer->is_locked)
        pg_calls_add(calls, &begin_statement);
    add_update_runs(calls, rows->runs, writer->changed_xids, rows->run_rows, rows->run_count, 0);
    add_insert_events(calls, rows->runs, rows->event_rows, rows->event_count, 0);
    add_write_actions(calls, rows->runs, rows->action_rows, rows->event_count);
    if (writer->notifies)
        add_notify(calls, rows->runs, rows->run_rows, rows->run_count);
    pg_calls_add(calls, &commit_statement);
    writer->write_sent_us = monotonic_us();
    exchange(writer->session, calls, NULL);
}

static void write_batch(struct writer *writer)
{
    struct synthetic_rows rows;

    synthetic_batch_advance(writer->batch);
    rows = synthetic_batch_rows(writer->batch);
    read_half(writer, &rows);
    write_half(writer, &rows);
    writer->events += rows.event_count;
    writer->batches++;
}

static int64_t newest_generation(const char *url)
{
    PGconn *session = open_session(url);
    PGresult *result = PQexec(session, "SELECT max(number) FROM cell_generations");
    int64_t number = PQntuples(result) == 1 ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : -1;

    must(session, result, PGRES_TUPLES_OK);
    PQfinish(session);
    return number;
}

static void start_writer(struct writer *writer, const struct synthetic_options *options)
{
    writer->generation = newest_generation(writer->url);
    for (size_t i = 0; i < REQUESTS_MAX; i++)
        writer->may_create[i] = true;
    writer->session = open_writer(writer->url);
    writer->batch = synthetic_batch_new(options);
    if (writer->batch == NULL)
        fail("start", "out of memory");
}

static void *run_writer(void *arg)
{
    struct writer *writer = arg;
    int64_t end_us = monotonic_us() + (int64_t)(writer->seconds * 1e6);

    while (monotonic_us() < end_us)
        write_batch(writer);
    return NULL;
}

/* -------- the three limits -------- */

static void ingest(const char *url, char *const argv[])
{
    static struct writer writers[RUN_SENDERS_MAX];
    static char senders[RUN_SENDERS_MAX][32];
    pthread_t threads[RUN_SENDERS_MAX];
    int connections = (int)strtol(argv[1], NULL, 10);
    uint64_t events = 0, batches = 0;
    int64_t started_us;
    double seconds;

    for (int i = 0; i < connections; i++) {
        struct synthetic_options options = {
            .sender = senders[i],
            .events_per_request = strtoul(argv[2], NULL, 10),
            .requests_per_batch = strtoul(argv[3], NULL, 10),
            .runs = strtoul(argv[4], NULL, 10),
        };

        snprintf(senders[i], sizeof senders[i], "bare-%ld-%d", (long)time(NULL), i);
        writers[i] = (struct writer){
            .url = url, .seconds = strtod(argv[0], NULL), .notifies = strcmp(argv[5], "1") == 0};
        start_writer(&writers[i], &options);
    }
    started_us = monotonic_us();
    for (int i = 0; i < connections; i++)
        if (pthread_create(&threads[i], NULL, run_writer, &writers[i]) != 0)
            fail("thread", "cannot be started");
    for (int i = 0; i < connections; i++) {
        pthread_join(threads[i], NULL);
        events += writers[i].events;
        batches += writers[i].batches;
    }
    seconds = (double)(monotonic_us() - started_us) / 1e6;
    printf("{\"events_per_second\": %.1f, \"batches_per_second\": %.1f}\n",
           (double)events / seconds, (double)batches / seconds);
}

/* Until the notification is there. */
static void wait_for_notification(PGconn *listener)
{
    PGnotify *notify;

    while ((notify = PQnotifies(listener)) == NULL) {
        struct pollfd wanted = {.fd = PQsocket(listener), .events = POLLIN};

        poll(&wanted, 1, 1000);
        if (PQconsumeInput(listener) == 0)
            fail("listen", PQerrorMessage(listener));
    }
    PQfreemem(notify);
}

struct listening {
    PGconn *session;
    int64_t heard_us;
    pthread_barrier_t heard;
};

static void *listen_on(void *arg)
{
    struct listening *listening = arg;

    for (;;) {
        wait_for_notification(listening->session);
        listening->heard_us = monotonic_us();
        pthread_barrier_wait(&listening->heard);
    }
    return NULL;
}

static void notify(const char *url, char *const argv[])
{
    static struct latencies latencies;
    static struct writer writer;
    static struct listening listening;
    const struct synthetic_options options = {
        .sender = "notify", .events_per_request = 1, .requests_per_batch = 1, .runs = 1};
    int64_t interval_us = (int64_t)(1e6 / strtod(argv[1], NULL));
    int64_t started_us, end_us;
    pthread_t thread;

    writer = (struct writer){.url = url, .notifies = true};
    start_writer(&writer, &options);
    listening.session = open_session(url);
    execute(listening.session, "LISTEN runtree");
    pthread_barrier_init(&listening.heard, NULL, 2);
    pthread_create(&thread, NULL, listen_on, &listening);
    started_us = monotonic_us();
    end_us = started_us + (int64_t)(strtod(argv[0], NULL) * 1e6);
    for (int64_t due_us = started_us; due_us < end_us; due_us += interval_us) {
        int64_t wait_us = due_us - monotonic_us();

        if (wait_us > 0)
            nanosleep(&(struct timespec){wait_us / 1000000, wait_us % 1000000 * 1000}, NULL);
        write_batch(&writer);
        pthread_barrier_wait(&listening.heard);
        latencies_add(&latencies, listening.heard_us - writer.write_sent_us);
    }
    printf("{");
    latencies_print(&latencies, "latency");
    printf("}\n");
}

static size_t copy_once(PGconn *session, const char *sql, size_t *bytes)
{
    size_t rows = 0;
    char *row;
    int length;

    must(session, PQexec(session, sql), PGRES_COPY_OUT);
    *bytes = 0;
    while ((length = PQgetCopyData(session, &row, 0)) > 0) {
        rows++;
        *bytes += (size_t)length;
        PQfreemem(row);
    }
    must(session, PQgetResult(session), PGRES_COMMAND_OK);
    return rows;
}

static void copy(const char *url, char *const argv[])
{
    static struct latencies latencies;
    PGconn *session = open_session(url);
    long rounds = strtol(argv[0], NULL, 10);
    size_t rows = 0, bytes = 0;
    char sql[2048];

    snprintf(sql, sizeof sql,
             "COPY (SELECT " ACTION_COLUMNS " FROM actions a WHERE project = '%s'"
             " AND domain = '%s' AND run_name = '%s' AND ordinal > 0 ORDER BY ordinal) TO STDOUT",
             argv[1], argv[2], argv[3]);
    for (long round = 0; round < rounds; round++) {
        int64_t started_us = monotonic_us();

        rows = copy_once(session, sql, &bytes);
        latencies_add(&latencies, monotonic_us() - started_us);
    }
    PQfinish(session);
    printf("{\"rows\": %zu, \"bytes\": %zu, ", rows, bytes);
    latencies_print(&latencies, "copy");
    printf("}\n");
}

int main(int argc, char *argv[])
{
    if (argc == 9 && strcmp(argv[1], "ingest") == 0)
        ingest(argv[2], argv + 3);
    else if (argc == 5 && strcmp(argv[1], "notify") == 0)
        notify(argv[2], argv + 3);
    else if (argc == 7 && strcmp(argv[1], "copy") == 0)
        copy(argv[2], argv + 3);
    else
        fail("usage", "see the head of bench/bench_database.c");
    return EXIT_SUCCESS;
}
