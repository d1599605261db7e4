#include "tests/sql/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka's asserts jump, and must not jump out of a loop's callback: a breach of contract ends the
 * program here. */
static void check(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

static void on_ready(void *arg)
{
    struct session *session = arg;
    check(!session->is_in_call, "on_ready inside a call");
    check(pg_connection_is_idle(session->connection), "not idle when ready");
    session->ready_count++;
}

static void on_lost(void *arg, const char *why)
{
    struct session *session = arg;
    check(!session->is_in_call, "on_lost inside a call");
    check(!pg_connection_is_idle(session->connection), "ready though lost");
    session->lost_count++;
    snprintf(session->why, sizeof session->why, "%s", why);
}

static void on_notification(void *arg, const char *channel, const char *payload)
{
    struct session *session = arg;
    check(!session->is_in_call, "on_notification inside a call");
    check(strcmp(channel, "test") == 0, "another channel");
    session->notification_count++;
    snprintf(session->payload, sizeof session->payload, "%s", payload);
}

static void on_result(void *arg, size_t statement, const PGresult *result)
{
    struct session *session = arg;
    check(!session->is_in_call, "on_result inside a call");
    check(session->result_count < SESSION_RESULTS_MAX, "too many results");
    int at = session->result_count++;
    session->statements[at] = statement;
    session->fields[at][0] = '\0';
    session->lengths[at] = -1;
    if (PQntuples(result) > 0) {
        session->lengths[at] = PQgetlength(result, 0, 0);
        snprintf(session->fields[at], sizeof session->fields[at], "%s", PQgetvalue(result, 0, 0));
    }
    if (session->on_result != NULL) {
        session->on_result(session);
    }
}

static void on_end(void *arg, const struct pg_end *end)
{
    struct session *session = arg;
    check(!session->is_in_call, "on_end inside a call");
    check(end->outcome == PG_LOST || pg_connection_is_idle(session->connection),
          "not idle after the end");
    check((end->outcome == PG_OK) == (end->message == NULL), "a failure without a message");
    session->end_count++;
    session->outcome = end->outcome;
    memcpy(session->sqlstate, end->sqlstate, sizeof session->sqlstate);
    snprintf(session->message, sizeof session->message, "%s",
             end->message != NULL ? end->message : "");
}

static void on_closed(void *arg)
{
    struct session *session = arg;
    check(!session->is_in_call, "on_closed inside a call");
    session->is_closed = true;
}

void session_open(struct session *session, const char *url, uint64_t exchange_timeout_ms)
{
    static const struct pg_connection_events events = {on_ready, on_lost, on_notification};
    const struct pg_connection_options options = {
        .url = url, .application_name = "runtree test", .exchange_timeout_ms = exchange_timeout_ms};
    memset(session, 0, sizeof *session);
    assert_int_equal(uv_loop_init(&session->loop), 0);
    session->is_in_call = true;
    session->connection = pg_connection_new(&session->loop, &options, &events, session);
    session->is_in_call = false;
    assert_non_null(session->connection);
}

static void on_deadline(uv_timer_t *deadline)
{
    *(bool *)deadline->data = true;
}

void session_wait(struct session *session, const int *count, int wanted)
{
    bool is_late = false;
    uv_timer_t deadline;
    uv_timer_init(&session->loop, &deadline);
    deadline.data = &is_late;
    uv_update_time(&session->loop);
    uv_timer_start(&deadline, on_deadline, 20000, 0);
    while (*count < wanted && !is_late) {
        uv_run(&session->loop, UV_RUN_ONCE);
    }
    uv_close((uv_handle_t *)&deadline, NULL);
    uv_run(&session->loop, UV_RUN_NOWAIT);
    assert_false(is_late);
}

void session_open_ready(struct session *session, const char *url)
{
    session_open(session, url, 10000);
    session_wait(session, &session->ready_count, 1);
}

void session_send(struct session *session, size_t count,
                  const struct pg_statement *const statements[],
                  const struct pg_parameters *const values[])
{
    struct pg_call calls[SESSION_CALLS_MAX];
    assert_true(count <= SESSION_CALLS_MAX);
    for (size_t i = 0; i < count; i++) {
        calls[i] = (struct pg_call){statements[i], values != NULL ? values[i] : NULL};
    }
    session->result_count = 0;
    session->is_in_call = true;
    pg_exchange(session->connection, calls, count, on_result, on_end, session);
    session->is_in_call = false;
}

void session_run(struct session *session, size_t count,
                 const struct pg_statement *const statements[],
                 const struct pg_parameters *const values[])
{
    int ended = session->end_count;
    session_send(session, count, statements, values);
    session_wait(session, &session->end_count, ended + 1);
    assert_int_equal(session->end_count, ended + 1);
}

void session_close(struct session *session)
{
    session->is_in_call = true;
    pg_connection_close(session->connection, on_closed);
    session->is_in_call = false;
    uv_run(&session->loop, UV_RUN_DEFAULT);
    assert_true(session->is_closed);
    assert_int_equal(uv_loop_close(&session->loop), 0);
}
