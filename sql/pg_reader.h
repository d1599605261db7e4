/* A connection for reads, with a queue of its own, so that a big read never delays a write. */
#ifndef RUNTREE_SQL_PG_READER_H
#define RUNTREE_SQL_PG_READER_H

#include "sql/pg_connection.h"
#include "sql/pg_value.h"

struct pg_reader;

struct pg_reader_events {
    void (*on_ready)(void *arg);
    void (*on_lost)(void *arg, const char *why);
};

/* NULL when out of memory. `events` may be NULL; at most `waiting_max` reads wait. */
struct pg_reader *pg_reader_new(uv_loop_t *loop, const char *url, size_t waiting_max,
                                const struct pg_reader_events *events, void *arg);

/* Reads under way end with PG_LOST first. */
void pg_reader_close(struct pg_reader *reader, void (*on_closed)(void *arg), void *arg);

bool pg_reader_is_ready(const struct pg_reader *reader);
uint32_t pg_reader_timeline(const struct pg_reader *reader);
size_t pg_reader_queued(const struct pg_reader *reader);

/* Runs a statement once with each of `count` sets of parameters, in order and in one exchange, so
 * that Postgres works on the next while the result of the last is looked at. Takes the parameters'
 * memory over if it answers 0. end_fn comes exactly once, after the return. -ENOTCONN while the
 * database is away, -EAGAIN when as many wait as may, -ENOMEM; then end_fn does not come.
 */
int pg_reader_query_each(struct pg_reader *reader, const struct pg_statement *statement,
                         struct pg_parameters *sets, size_t count, pg_result_fn *result_fn,
                         pg_end_fn *end_fn, void *arg);

/* The same with one set. */
int pg_reader_query(struct pg_reader *reader, const struct pg_statement *statement,
                    struct pg_parameters *parameters, pg_result_fn *result_fn, pg_end_fn *end_fn,
                    void *arg);

#endif
