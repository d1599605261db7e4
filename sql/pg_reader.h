/* Reads, with a queue and connections of their own, so that a big read never delays a write. */
#ifndef RUNTREE_SQL_PG_READER_H
#define RUNTREE_SQL_PG_READER_H

#include "sql/pg_connection.h"
#include "sql/pg_value.h"

struct pg_reader;

struct pg_reader_events {
    void (*on_ready)(void *arg); /* of each connection, when it is usable; may be NULL */
    void (*on_lost)(void *arg, const char *why);
};

enum { PG_READER_CONNECTIONS_MAX = 4 };

struct pg_reader_options {
    const char *url;
    size_t connections;   /* reads go to the first that is free: with one, in the order of asking */
    size_t waiting_max;   /* so many reads wait at most */
    uint64_t read_max_ms; /* a read that takes longer is cancelled; 0: by Postgres' limits alone */
};

/* NULL when out of memory. `events` may be NULL. */
struct pg_reader *pg_reader_new(uv_loop_t *loop, const struct pg_reader_options *options,
                                const struct pg_reader_events *events, void *arg);

/* At the end: reads under way end with PG_LOST, then no callback comes any more. */
void pg_reader_stop(struct pg_reader *reader);
/* When the loop is empty. */
void pg_reader_free(struct pg_reader *reader);

/* All connections are usable. */
bool pg_reader_is_ready(const struct pg_reader *reader);
size_t pg_reader_connections_ready(const struct pg_reader *reader);
uint32_t pg_reader_timeline(const struct pg_reader *reader); /* of the first connection */
size_t pg_reader_queued(const struct pg_reader *reader);

/* Whoever a read is for. While it waits and while it runs `is_wanted` (NULL: always) is asked now
 * and then; a read that is not wanted any more is dropped or cancelled. `arg` lives until end_fn.
 */
struct pg_read_client {
    bool (*is_wanted)(void *arg);
    void *arg;
};

/* Runs a statement once with each of `count` sets of parameters, in order and in one exchange, so
 * that Postgres works on the next while the result of the last is looked at. Takes the parameters'
 * memory over if it answers 0. end_fn comes exactly once, after the return; with PG_REFUSED and
 * sqlstate 57014 if the read was cancelled or dropped. -ENOTCONN while the database is away,
 * -EAGAIN when as many wait as may, -ENOMEM; then end_fn does not come. */
int pg_reader_query(struct pg_reader *reader, const struct pg_statement *statement,
                    struct pg_parameters *sets, size_t count, struct pg_read_client client,
                    pg_result_fn *result_fn, pg_end_fn *end_fn, void *arg);

#endif
