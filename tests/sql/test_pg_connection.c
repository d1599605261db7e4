#include "tests/sql/session.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define STATEMENT(variable, text, parameters)                                                      \
    static const struct pg_statement variable = {                                                  \
        .name = #variable, .sql = (text), .parameter_count = (parameters)}

STATEMENT(begin, "BEGIN", 0);
STATEMENT(commit, "COMMIT", 0);
STATEMENT(make_table, "CREATE TABLE IF NOT EXISTS numbers (number text PRIMARY KEY)", 0);
STATEMENT(empty_table, "DELETE FROM numbers", 0);
STATEMENT(insert, "INSERT INTO numbers VALUES ($1)", 1);
STATEMENT(count_rows, "SELECT count(*)::text FROM numbers", 0);
STATEMENT(divide, "SELECT 1 / 0", 0);
STATEMENT(sleep_long, "SELECT pg_sleep(30)", 0);
STATEMENT(backend, "SELECT pg_backend_pid()::text", 0);

static const struct pg_parameters one = {.bytes.bytes = "one", .count = 1, .lengths = {3}};

static void open_with_table(struct session *session, void **state)
{
    const struct scratch_postgres *scratch = *state;
    const struct pg_statement *const statements[] = {&make_table, &empty_table};
    session_open_ready(session, scratch->url);
    session_run(session, COUNT(statements), statements, NULL);
    assert_int_equal(session->outcome, PG_OK);
}

static void assert_rows(struct session *session, const char *wanted)
{
    const struct pg_statement *const statements[] = {&count_rows};
    session_run(session, 1, statements, NULL);
    assert_int_equal(session->outcome, PG_OK);
    assert_string_equal(session->fields[0], wanted);
}

static void sets_the_session_up(void **state)
{
    static const char *const settings[][2] = {{"TimeZone", "UTC"},
                                              {"statement_timeout", "30s"},
                                              {"idle_in_transaction_session_timeout", "30s"},
                                              {"application_name", "runtree test"},
                                              {"client_encoding", "UTF8"},
                                              {"synchronous_commit", "on"}};
    static const struct pg_statement show = {
        .name = "show", .sql = "SELECT current_setting($1)", .parameter_count = 1};
    const struct scratch_postgres *scratch = *state;
    char url[2048];
    struct session session;

    snprintf(url, sizeof url, "%s options='-c synchronous_commit=off'", scratch->url);
    session_open_ready(&session, url);
    for (size_t i = 0; i < COUNT(settings); i++) {
        const struct pg_parameters name = {.bytes.bytes = (char *)settings[i][0],
                                           .count = 1,
                                           .lengths = {(int)strlen(settings[i][0])}};
        session_run(&session, 1, (const struct pg_statement *[]){&show},
                    (const struct pg_parameters *[]){&name});
        assert_string_equal(session.fields[0], settings[i][1]);
    }
    assert_int_equal(pg_connection_timeline(session.connection), 1);
    session_close(&session);
}

static void leaves_a_limit_of_the_urls_alone(void **state)
{
    static const struct pg_statement show = {.sql = "SELECT current_setting('statement_timeout')"};
    const struct scratch_postgres *scratch = *state;
    char url[2048];
    struct session session;

    snprintf(url, sizeof url, "%s options='-c statement_timeout=7s'", scratch->url);
    session_open_ready(&session, url);
    session_run(&session, 1, (const struct pg_statement *[]){&show}, NULL);
    assert_string_equal(session.fields[0], "7s");
    session_close(&session);
}

static void gives_results_in_order(void **state)
{
    const struct pg_statement *const statements[] = {&begin, &insert, &count_rows, &commit,
                                                     &count_rows};
    const struct pg_parameters *const values[] = {NULL, &one, NULL, NULL, NULL};
    struct session session;

    open_with_table(&session, state);
    session_run(&session, COUNT(statements), statements, values);
    assert_int_equal(session.outcome, PG_OK);
    assert_int_equal(session.result_count, COUNT(statements));
    for (size_t i = 0; i < COUNT(statements); i++) {
        assert_int_equal(session.statements[i], i);
    }
    assert_string_equal(session.fields[4], "1");
    session_close(&session);
}

static void rolls_back_what_was_refused(void **state)
{
    const struct pg_statement *const statements[] = {&begin, &insert, &insert, &commit,
                                                     &count_rows};
    const struct pg_parameters *const values[] = {NULL, &one, &one, NULL, NULL};
    struct session session;

    open_with_table(&session, state);
    session_run(&session, COUNT(statements), statements, values);
    assert_int_equal(session.outcome, PG_REFUSED);
    assert_string_equal(session.sqlstate, "23505");
    assert_non_null(strstr(session.message, "already exists"));
    assert_int_equal(session.result_count, 2);
    assert_rows(&session, "0");
    assert_int_equal(session.ready_count, 1);
    session_close(&session);
}

static void keeps_a_transaction_open_between_exchanges(void **state)
{
    const struct pg_statement *const first[] = {&begin, &insert};
    const struct pg_parameters *const first_values[] = {NULL, &one};
    const struct pg_statement *const second[] = {&commit};
    struct session session;

    open_with_table(&session, state);
    session_run(&session, 2, first, first_values);
    assert_int_equal(session.outcome, PG_OK);
    session_run(&session, 1, second, NULL);
    assert_int_equal(session.outcome, PG_OK);
    assert_rows(&session, "1");
    session_close(&session);
}

static void a_later_refusal_undoes_the_whole_transaction(void **state)
{
    const struct pg_statement *const first[] = {&begin, &insert};
    const struct pg_parameters *const first_values[] = {NULL, &one};
    const struct pg_statement *const second[] = {&divide, &commit};
    struct session session;

    open_with_table(&session, state);
    session_run(&session, 2, first, first_values);
    session_run(&session, 2, second, NULL);
    assert_int_equal(session.outcome, PG_REFUSED);
    assert_string_equal(session.sqlstate, "22012");
    assert_rows(&session, "0");
    session_close(&session);
}

/* A statement whose prepare failed or was skipped is prepared again; one that was prepared in a
 * transaction that failed later is not, since the server still has it. */
static void prepares_what_is_not_prepared(void **state)
{
    STATEMENT(read_late, "SELECT count(*)::text FROM late", 0);
    STATEMENT(skipped, "SELECT 'skipped'", 0);
    static const struct pg_statement make_late = {.sql = "CREATE TABLE late ()"};
    const struct pg_statement *const refused[] = {&begin, &read_late, &skipped};
    const struct pg_statement *const later[] = {&begin, &make_late, &read_late, &skipped, &divide};
    struct session session;

    open_with_table(&session, state);
    session_run(&session, COUNT(refused), refused, NULL);
    assert_int_equal(session.outcome, PG_REFUSED);
    assert_string_equal(session.sqlstate, "42P01");
    session_run(&session, COUNT(later), later, NULL);
    assert_string_equal(session.sqlstate, "22012");
    assert_int_equal(session.result_count, 4);
    session_run(&session, 1, (const struct pg_statement *[]){&skipped}, NULL);
    assert_int_equal(session.outcome, PG_OK);
    assert_int_equal(session.ready_count, 1);
    session_close(&session);
}

static void comes_back_when_the_backend_is_terminated(void **state)
{
    const struct scratch_postgres *scratch = *state;
    const struct pg_statement *const ask[] = {&backend};
    char sql[128];
    struct session session;

    open_with_table(&session, state);
    session_run(&session, 1, ask, NULL);
    snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(%s)", session.fields[0]);
    session_send(&session, 2, (const struct pg_statement *[]){&backend, &sleep_long}, NULL);
    uv_run(&session.loop, UV_RUN_NOWAIT);
    free(scratch_query(scratch->url, sql));
    session_wait(&session, &session.lost_count, 1);
    assert_int_equal(session.outcome, PG_LOST);
    assert_true(session.why[0] != '\0');
    session_wait(&session, &session.ready_count, 2);

    session_run(&session, 1, ask, NULL); /* idle this time, and prepared anew */
    assert_int_equal(session.outcome, PG_OK);
    snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(%s)", session.fields[0]);
    free(scratch_query(scratch->url, sql));
    session_wait(&session, &session.lost_count, 2);
    assert_true(session.why[0] != '\0');
    session_wait(&session, &session.ready_count, 3);
    session_close(&session);
}

/* Its socket is in error, for it had not read all, and has what it had said before: both in one
 * event, after which libuv listens no more. */
static void notices_the_death_of_a_backend_that_had_not_read_all(void **state)
{
    STATEMENT(say_much, "SELECT repeat('x', 40000)", 0);
    STATEMENT(say_back, "SELECT length($1)", 1);
    static char much[60000];
    const struct pg_statement *const ask_pid[] = {&backend};
    const struct pg_statement *const statements[] = {&say_much, &sleep_long, &say_back};
    const struct pg_parameters long_one = {
        .bytes.bytes = much, .count = 1, .lengths = {sizeof much}};
    const struct pg_parameters *const values[] = {NULL, NULL, &long_one};
    const struct scratch_postgres *scratch = *state;
    char *sleeping = NULL;
    struct session session;

    memset(much, 'y', sizeof much);
    session_open(&session, scratch->url, 120000);
    session_wait(&session, &session.ready_count, 1);
    session_run(&session, 1, ask_pid, NULL);
    session_send(&session, COUNT(statements), statements, values);
    while (sleeping == NULL) {
        free(sleeping);
        sleeping = scratch_query(
            scratch->url, "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' LIMIT 1");
    }
    assert_string_equal(sleeping, session.fields[0]);
    free(sleeping);
    kill((pid_t)strtol(session.fields[0], NULL, 10), SIGKILL);
    session_wait(&session, &session.lost_count, 1);
    session_wait(&session, &session.ready_count, 2);
    session_close(&session);
}

static void breaks_a_session_that_does_not_answer(void **state)
{
    const struct scratch_postgres *scratch = *state;
    struct session session;

    session_open(&session, scratch->url, 300);
    session_wait(&session, &session.ready_count, 1);
    session_run(&session, 1, (const struct pg_statement *[]){&sleep_long}, NULL);
    assert_int_equal(session.outcome, PG_LOST);
    assert_string_equal(session.message, "the database did not answer within 0.3 s");
    session_wait(&session, &session.ready_count, 2);
    session_close(&session);
}

static void comes_back_when_prepared_statements_are_gone(void **state)
{
    static const struct pg_statement discard = {.sql = "DEALLOCATE ALL"};
    struct session session;

    open_with_table(&session, state);
    assert_rows(&session, "0");
    session_run(&session, 1, (const struct pg_statement *[]){&discard}, NULL);
    session_run(&session, 1, (const struct pg_statement *[]){&count_rows}, NULL);
    assert_int_equal(session.outcome, PG_LOST);
    session_wait(&session, &session.ready_count, 2);
    assert_rows(&session, "0");
    session_close(&session);
}

/* More than the sockets' buffers hold, both ways at once. */
static void carries_large_values(void **state)
{
    STATEMENT(echo, "SELECT $1::bytea", 1);
    enum { SIZE = 8 << 20 };
    const struct pg_statement *const statements[] = {&echo, &echo, &echo};
    char *bytes = malloc(SIZE);
    struct session session;

    assert_non_null(bytes);
    memset(bytes, 'x', SIZE);
    const struct pg_parameters value = {.bytes.bytes = bytes, .count = 1, .lengths = {SIZE}};
    open_with_table(&session, state);
    session_run(&session, 3, statements, (const struct pg_parameters *[]){&value, &value, &value});
    assert_int_equal(session.outcome, PG_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(session.lengths[i], SIZE);
    }
    free(bytes);
    session_close(&session);
}

static void hears_notifications(void **state)
{
    static const struct pg_statement listen_test = {.sql = "LISTEN test"};
    static const struct pg_statement notify_test = {.sql = "NOTIFY test, 'own'"};
    const struct scratch_postgres *scratch = *state;
    struct session session;

    open_with_table(&session, state);
    session_run(&session, 1, (const struct pg_statement *[]){&listen_test}, NULL);
    free(scratch_query(scratch->url, "NOTIFY test, 'while idle'"));
    session_wait(&session, &session.notification_count, 1);
    assert_string_equal(session.payload, "while idle");
    session_run(&session, 1, (const struct pg_statement *[]){&notify_test}, NULL);
    session_wait(&session, &session.notification_count, 2);
    assert_string_equal(session.payload, "own");
    session_close(&session);
}

static void reset_breaks_the_session(void **state)
{
    struct session session;

    open_with_table(&session, state);
    session_send(&session, 1, (const struct pg_statement *[]){&sleep_long}, NULL);
    session.is_in_call = true;
    pg_connection_reset(session.connection, "enough");
    session.is_in_call = false;
    assert_false(pg_connection_is_idle(session.connection));
    session_wait(&session, &session.lost_count, 1);
    assert_int_equal(session.outcome, PG_LOST);
    assert_string_equal(session.message, "enough");
    assert_string_equal(session.why, "enough");
    session_wait(&session, &session.ready_count, 2);
    session_close(&session);
}

static void reset_inside(struct session *session)
{
    pg_connection_reset(session->connection, "found useless");
}

static void reset_in_a_result_ends_the_exchange(void **state)
{
    struct session session;

    open_with_table(&session, state);
    session.on_result = reset_inside;
    session_run(&session, 2, (const struct pg_statement *[]){&count_rows, &count_rows}, NULL);
    assert_int_equal(session.outcome, PG_LOST);
    assert_int_equal(session.result_count, 1);
    session_wait(&session, &session.ready_count, 2);
    session_close(&session);
}

static void on_closed_inside(void *arg)
{
    struct session *session = arg;
    session->is_closed = true;
}

static void close_inside(struct session *session)
{
    pg_connection_close(session->connection, on_closed_inside);
}

static void close_in_a_result_is_the_end(void **state)
{
    struct session session;

    open_with_table(&session, state);
    int ended = session.end_count;
    session.on_result = close_inside;
    session_send(&session, 2, (const struct pg_statement *[]){&count_rows, &count_rows}, NULL);
    uv_run(&session.loop, UV_RUN_DEFAULT);
    assert_true(session.is_closed);
    assert_int_equal(session.end_count, ended);
    assert_int_equal(session.result_count, 1);
    assert_int_equal(uv_loop_close(&session.loop), 0);
}

/* At every moment of its life: the loop is run for some turns, then it is closed. */
static void closes_at_any_time(void **state)
{
    const struct scratch_postgres *scratch = *state;
    char url[2048];

    snprintf(url, sizeof url, "%s host=localhost port=1", scratch->url);
    for (int turns = 0; turns < 24; turns++) {
        struct session session;
        session_open(&session, turns % 2 == 0 ? scratch->url : url, 1000);
        for (int turn = 0; turn < turns / 2 && !pg_connection_is_idle(session.connection); turn++) {
            uv_run(&session.loop, UV_RUN_ONCE);
        }
        if (pg_connection_is_idle(session.connection)) {
            session_send(&session, 1, (const struct pg_statement *[]){&sleep_long}, NULL);
        }
        session_close(&session);
        assert_int_equal(session.end_count, 0);
    }
}

static char *socket_dir_of(const struct scratch_postgres *scratch, char *dir, size_t size)
{
    snprintf(dir, size, "%s/run", scratch->folder);
    return dir;
}

static void tries_each_host(void **state)
{
    const struct scratch_postgres *scratch = *state;
    char dir[1024];
    char url[2048];
    struct session session;

    snprintf(url, sizeof url, "host=/nowhere,localhost,127.0.0.1,%s port=1,1,1,5432 user=runtree",
             socket_dir_of(scratch, dir, sizeof dir));
    session_open_ready(&session, url);
    assert_int_equal(session.lost_count, 0);
    session_close(&session);
}

/* A port on loopback that takes connections and says nothing. */
static int silent_server(int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    *port = ntohs(address.sin_port);
    return listener;
}

static void a_silent_host_does_not_hold_up_the_next(void **state)
{
    const struct scratch_postgres *scratch = *state;
    char dir[1024];
    char url[2048];
    int port;
    int listener = silent_server(&port);
    struct session session;

    snprintf(url, sizeof url, "host=127.0.0.1 port=%d user=runtree connect_timeout=1", port);
    session_open(&session, url, 1000);
    session_wait(&session, &session.lost_count, 1);
    assert_non_null(strstr(session.why, "127.0.0.1"));
    assert_non_null(strstr(session.why, "timeout expired"));
    session_close(&session);

    snprintf(url, sizeof url, "host=127.0.0.1,%s port=%d,5432 user=runtree connect_timeout=1",
             socket_dir_of(scratch, dir, sizeof dir), port);
    session_open_ready(&session, url);
    session_close(&session);
    close(listener);
}

static void do_nothing(uv_work_t *work)
{
    (void)work;
}

static void note_done(uv_work_t *work, int status)
{
    (void)status;
    ++*(int *)work->data;
}

/* libuv has four threads for everybody. What is connecting is closed when that has ended. */
static void connections_that_wait_leave_the_workers_to_others(void **state)
{
    enum { WAITING = 6 };
    char url[2048];
    int port, done = 0;
    int listener = silent_server(&port);
    struct session sessions[WAITING];
    uv_work_t work = {.data = &done};

    (void)state;
    snprintf(url, sizeof url, "host=127.0.0.1 port=%d user=runtree connect_timeout=2", port);
    for (int i = 0; i < WAITING; i++) {
        session_open(&sessions[i], url, 1000);
        uv_run(&sessions[i].loop, UV_RUN_NOWAIT);
    }
    uv_queue_work(&sessions[0].loop, &work, do_nothing, note_done);
    session_wait(&sessions[0], &done, 1);
    for (int i = 0; i < WAITING; i++) {
        assert_int_equal(sessions[i].lost_count, 0);
        session_close(&sessions[i]);
        assert_int_equal(sessions[i].lost_count, 0);
    }
    close(listener);
}

static void says_why_it_cannot_connect(void **state)
{
    const struct scratch_postgres *scratch = *state;
    char url[2048];
    struct session session;

    session_open(&session, "postgresql://me:secret@%zz/", 1000);
    session_wait(&session, &session.lost_count, 2);
    assert_string_equal(session.why, "the database URL is not a PostgreSQL connection string");
    session_close(&session);

    snprintf(url, sizeof url, "%s dbname=missing", scratch->url);
    session_open(&session, url, 1000);
    session_wait(&session, &session.lost_count, 2);
    assert_non_null(strstr(session.why, "database \"missing\" does not exist"));
    session_close(&session);

    session_open(&session, "postgresql://me:sec/ret@host/", 1000); /* a port, says libpq */
    session_wait(&session, &session.lost_count, 1);
    assert_string_equal(session.why, "the database URL has a port that is no number");
    session_close(&session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_the_session_up),
        cmocka_unit_test(leaves_a_limit_of_the_urls_alone),
        cmocka_unit_test(gives_results_in_order),
        cmocka_unit_test(rolls_back_what_was_refused),
        cmocka_unit_test(keeps_a_transaction_open_between_exchanges),
        cmocka_unit_test(a_later_refusal_undoes_the_whole_transaction),
        cmocka_unit_test(prepares_what_is_not_prepared),
        cmocka_unit_test(comes_back_when_the_backend_is_terminated),
        cmocka_unit_test(notices_the_death_of_a_backend_that_had_not_read_all),
        cmocka_unit_test(breaks_a_session_that_does_not_answer),
        cmocka_unit_test(comes_back_when_prepared_statements_are_gone),
        cmocka_unit_test(carries_large_values),
        cmocka_unit_test(hears_notifications),
        cmocka_unit_test(reset_breaks_the_session),
        cmocka_unit_test(reset_in_a_result_ends_the_exchange),
        cmocka_unit_test(close_in_a_result_is_the_end),
        cmocka_unit_test(closes_at_any_time),
        cmocka_unit_test(tries_each_host),
        cmocka_unit_test(a_silent_host_does_not_hold_up_the_next),
        cmocka_unit_test(connections_that_wait_leave_the_workers_to_others),
        cmocka_unit_test(says_why_it_cannot_connect),
    };
    return cmocka_run_group_tests_name("pg_connection", tests, scratch_postgres_start,
                                       scratch_postgres_stop);
}
