/* One non-blocking connection to Postgres on the loop, that comes back by itself.
 *
 * Life: pg_connection_new starts to connect at once. Whenever the session is usable, on_ready is
 * called; when it breaks, the running exchange ends with PG_LOST, on_lost is called, and after a
 * pause (0.1 s, doubling to 0.5 s, with jitter) it connects again, for as long as it lives.
 * Everything runs on the loop's thread, and nothing on it waits: libpq connects, with all that it
 * knows of hosts, names and time limits, on a thread of this connection's own for as long as that
 * takes. libuv's few threads would all wait together for a database that is away.
 *
 * Work is done in exchanges: one round trip in libpq's pipeline mode. There is one exchange at a
 * time; who wants a queue makes one above (see sql/action_repo.c). */
#ifndef RUNTREE_SQL_PG_CONNECTION_H
#define RUNTREE_SQL_PG_CONNECTION_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "model/buffer.h"

enum {
    PG_WHY_SIZE = 512,
};

/* What `url` says, to be freed by PQconninfoFree; NULL with a sentence in `why` when it is no
 * connection string, which never quotes it: it may hold a password. */
PQconninfoOption *pg_url_parse(const char *url, char why[static PG_WHY_SIZE]);

/* Connects and waits for it, as libpq does: for each address of each host the URL's
 * connect_timeout, 5 s if it has none or one without end; of several hosts, unless the URL says
 * otherwise, the first that can be written to. The caller owns the session; NULL with a sentence in
 * `why` when there is none. Drops notices. */
PGconn *pg_connect(const char *url, const char *application_name, char why[static PG_WHY_SIZE]);

/* In SQL of a pg_connection's session: the channel on which is told what changed. Several runtrees
 * may share a database, each with a schema of its own; those outside of "public" add its oid. NULL
 * in a session that a pooler has put in the place of ours. */
#define PG_CHANNEL "current_setting('runtree.channel', true)"

/* Between the parts of what is told there; no part of a run's key has it. */
#define NEWS_SEPARATOR "\x1e"

/* SQL that fails, with a sentence, on a worker of a Citus cluster. Its coordinator is the way in
 * for all: that one counts the transactions, and what is notified on another is not heard there.
 * Each pg_connection asks it of each session. */
#define PG_REFUSE_WORKER                                                                           \
    "DO $$BEGIN IF to_regproc('citus_is_coordinator') IS NOT NULL THEN"                            \
    " IF NOT citus_is_coordinator() THEN RAISE EXCEPTION"                                          \
    " 'this server is a worker of a Citus cluster: runtree needs its coordinator'; END IF;"        \
    " END IF; END$$"

struct pg_connection;

/* Called on the loop's thread, never from inside a pg_connection function. */
struct pg_connection_events {
    void (*on_ready)(void *arg);
    /* `why` is for people and lives until the return. Also called for each failed attempt to
     * connect. */
    void (*on_lost)(void *arg, const char *why);
    /* NULL if the owner does not LISTEN. */
    void (*on_notification)(void *arg, const char *channel, const char *payload);
};

struct pg_statement;

struct pg_connection_options {
    const char *url;                     /* any libpq connection string; copied */
    const char *application_name;        /* shown in pg_stat_activity; copied */
    uint64_t exchange_timeout_ms;        /* an exchange that takes longer breaks the session */
    const struct pg_statement *settings; /* that each session begins with; NULL: none */
};

/* NULL when out of memory. */
struct pg_connection *pg_connection_new(uv_loop_t *loop,
                                        const struct pg_connection_options *options,
                                        const struct pg_connection_events *events, void *arg);

/* Closes and frees; no callback comes any more but on_closed (may be NULL), after which the loop no
 * longer knows the connection: if it is connecting, once that has ended. A running exchange ends
 * without its callback. */
void pg_connection_close(struct pg_connection *connection, void (*on_closed)(void *arg));

/* The session is usable and no exchange is running. */
bool pg_connection_is_idle(const struct pg_connection *connection);

/* Breaks the session, as if the server had (for a caller that finds it useless). */
void pg_connection_reset(struct pg_connection *connection, const char *why);

/* The server's WAL timeline at the time of the connect; 0 where it has none. Asked by the
 * connection itself before on_ready. */
uint32_t pg_connection_timeline(const struct pg_connection *connection);

/* A statement: define it `static const`; its address identifies it. With a name it is prepared the
 * first time that a session runs it. */
struct pg_statement {
    const char *name; /* NULL: not prepared */
    const char *sql;
    int parameter_count;
    const Oid *types; /* NULL: left to the server; else parameter_count of them */
};

/* Parameters of a statement in binary, gathered value by value into one block (sql/pg_value.h). All
 * zero is empty. `bytes.failed` after a failed allocation: then all are NULL. */
enum { PG_PARAMETERS_MAX = 64 };

struct pg_parameters {
    struct buffer bytes;
    int count;
    size_t offsets[PG_PARAMETERS_MAX];
    int lengths[PG_PARAMETERS_MAX]; /* -1: NULL */
    size_t array_start;             /* of the array that is being written */
    int32_t array_count;
    size_t record_start; /* of the element that is being written */
    int32_t record_number;
};

struct pg_call {
    const struct pg_statement *statement;
    const struct pg_parameters *parameters; /* borrowed; NULL: it has none */
};

enum pg_outcome {
    PG_OK,
    PG_REFUSED, /* a statement failed; the session lives, a transaction it began was rolled back */
    PG_LOST,    /* the session broke: whether anything was committed is unknown */
};

/* How an exchange ended. The strings live until the return of the callback. */
struct pg_end {
    enum pg_outcome outcome;
    char sqlstate[6];    /* of the statement that failed; "" if there is none */
    const char *message; /* for people; NULL when PG_OK */
};

/* Called for each statement in order, with its result (PGRES_TUPLES_OK or PGRES_COMMAND_OK);
 * cleared after the return. After a failed statement it is not called any more. */
typedef void pg_result_fn(void *arg, size_t statement, const PGresult *result);
typedef void pg_end_fn(void *arg, const struct pg_end *end);

/* Sends the statements, with one Sync: without BEGIN and COMMIT they are one transaction of their
 * own. To be called between on_ready and on_lost, while no other exchange runs; nothing is borrowed
 * behind the return. Results come in binary format; on_result NULL: nobody looks at them. Any
 * failure ends the exchange with PG_LOST in on_end, which is always called exactly once, from the
 * loop. */
void pg_exchange(struct pg_connection *connection, const struct pg_call *calls, size_t count,
                 pg_result_fn *on_result, pg_end_fn *on_end, void *arg);

/* Asks the server, on a thread, to stop what the running exchange does, if one is running. It ends
 * as the server ends it, PG_REFUSED with sqlstate 57014 if the request came in time, and not before
 * the request has come to its end. */
void pg_exchange_cancel(struct pg_connection *connection);

#endif
