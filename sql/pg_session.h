/* The inside of a pg_connection, shared by pg_connection.c (its life) and pg_exchange.c (its work);
 * nobody else includes this. */
#ifndef RUNTREE_SQL_PG_SESSION_H
#define RUNTREE_SQL_PG_SESSION_H

#include "sql/pg_connection.h"
#include "sql/pg_conninfo.h"

enum {
    PG_WHY_SIZE = 512,
};

enum session_state {
    SESSION_STARTING, /* `soon` begins the next attempt */
    SESSION_LOOKING_UP,
    SESSION_CONNECTING,
    SESSION_LIVE,
    SESSION_BREAKING, /* `soon` ends the session */
    SESSION_PAUSING,
    SESSION_CLOSING,
};

enum exchange_phase {
    EXCHANGE_NONE,
    EXCHANGE_BUILDING, /* between begin and send */
    EXCHANGE_RUNNING,
    EXCHANGE_ROLLING_BACK, /* refused, and the transaction that it left open is being ended */
};

/* What one command in the pipeline was. */
struct exchange_step {
    const struct pg_statement *statement;
    size_t index; /* the statement's number in the exchange */
    bool is_prepare;
};

struct exchange {
    enum exchange_phase phase;
    pg_result_fn *on_result;
    pg_end_fn *on_end;
    void *arg;
    size_t statement_count;
    struct exchange_step *steps;
    size_t step_count;
    size_t step_capacity;
    size_t step; /* whose results are being read */
    bool is_refused;
    char sqlstate[6];
    char message[PG_WHY_SIZE];
};

struct pg_connection {
    uv_loop_t *loop;
    char *url;
    char *application_name;
    uint64_t exchange_timeout_ms;
    struct pg_connection_events events;
    void *arg;
    void (*on_closed)(void *arg);

    enum session_state state;
    char why[PG_WHY_SIZE];   /* the attempt's failures, or why the session is being ended */
    char fatal[PG_WHY_SIZE]; /* what the server said last before it hung up */
    uint64_t pause_ms;
    uint64_t attempt_timeout_ms;

    uv_timer_t timer; /* the attempt's limit, the exchange's limit, or the pause, by state */
    uv_idle_t soon;
    uv_poll_t *poll;
    int poll_events;
    size_t known_to_loop; /* handles and requests that have yet to call back */

    struct pg_conninfo *conninfo;
    size_t host;                /* the one being tried */
    struct addrinfo *addresses; /* its name's, when that was looked up */
    struct addrinfo *address;   /* the one being tried */
    struct lookup *lookup;

    PGconn *pg;
    bool is_set_up; /* on_ready was due */
    uint32_t timeline;
    struct exchange exchange;
    const struct pg_statement **prepared; /* in this session */
    size_t prepared_count;
    size_t prepared_capacity;
};

/* Copies `text` as one line without trailing space, cut between characters. */
void pg_copy_line(char *line, size_t size, const char *text);

/* Replaces the limit or the pause that is running. */
void pg_session_start_timer(struct pg_connection *connection, uint64_t timeout_ms);

/* Ends the session or the attempt now and calls back; only from a callback of the loop. `why` may
 * point into it. */
void pg_session_failed(struct pg_connection *connection, const char *why);

/* The same from the loop's next turn, for functions that may not call back. */
void pg_session_fail_soon(struct pg_connection *connection, const char *why);

/* Sends what libpq holds back, and has the loop say when more can be sent. */
void pg_session_flush(struct pg_connection *connection);

/* Takes the results that have arrived. */
void pg_exchange_read(struct pg_connection *connection);

/* Whether an exchange was running; it ends without a callback. Forgets what was prepared as well.
 */
bool pg_exchange_forget(struct pg_connection *connection);

#endif
