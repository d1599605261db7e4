/* A pg_connection on a loop of its own that notes everything that it hears. */
#ifndef RUNTREE_TESTS_SQL_SESSION_H
#define RUNTREE_TESTS_SQL_SESSION_H

#include "sql/pg_connection.h"
#include "tests/sql/scratch_postgres.h"

enum {
    SESSION_RESULTS_MAX = 16,
    SESSION_CALLS_MAX = 16,
};

struct session {
    uv_loop_t loop;
    struct pg_connection *connection;
    bool is_in_call; /* a pg_connection function is running: it may not call back */
    bool is_closed;
    int ready_count;
    int lost_count;
    char why[512]; /* of the last on_lost */
    int notification_count;
    char payload[64]; /* of the last notification */

    /* Of the last exchange. */
    int end_count;
    enum pg_outcome outcome;
    char sqlstate[6];
    char message[512];
    int result_count;
    size_t statements[SESSION_RESULTS_MAX]; /* each result's number, */
    char fields[SESSION_RESULTS_MAX][64];   /* its first field, */
    int lengths[SESSION_RESULTS_MAX];       /* and that field's length */
    void (*on_result)(
        struct session *session); /* if not NULL: a test's own work inside the callback */
};

/* Begins to connect. */
void session_open(struct session *session, const char *url, uint64_t exchange_timeout_ms);

/* Runs the loop until *count reaches `wanted`; the test fails if that takes 20 s. */
void session_wait(struct session *session, const int *count, int wanted);

/* Opens and waits until it is ready. */
void session_open_ready(struct session *session, const char *url);

/* Sends these statements, `count` of them, each with the values at the same place (`values` NULL:
 * none has any), and waits for the end. */
void session_run(struct session *session, size_t count,
                 const struct pg_statement *const statements[],
                 const struct pg_parameters *const values[]);

/* The same without the wait. */
void session_send(struct session *session, size_t count,
                  const struct pg_statement *const statements[],
                  const struct pg_parameters *const values[]);

/* Closes; the test fails if the loop still knows anything afterwards. */
void session_close(struct session *session);

#endif
