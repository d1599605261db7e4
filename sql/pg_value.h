/* Postgres' binary formats: parameters out of C values, C values out of results.
 *
 * Source: the send and recv functions of the types (src/backend/utils/adt); integers big-endian,
 * timestamptz in microseconds since 2000-01-01. */
#ifndef RUNTREE_SQL_PG_VALUE_H
#define RUNTREE_SQL_PG_VALUE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/run_key.h"
#include "sql/pg_connection.h"

/* Object ids of the types that we bind (catalog/pg_type.dat; fixed for ever). */
enum pg_type {
    PG_BOOL = 16,
    PG_INT8 = 20,
    PG_INT2 = 21,
    PG_INT4 = 23,
    PG_TEXT = 25,
    PG_TIMESTAMPTZ = 1184,
    PG_BOOL_ARRAY = 1000,
    PG_INT2_ARRAY = 1005,
    PG_INT4_ARRAY = 1007,
    PG_TEXT_ARRAY = 1009,
    PG_INT8_ARRAY = 1016,
    PG_TIMESTAMPTZ_ARRAY = 1185,
    PG_RECORD = 2249, /* stands for any type of ours: from 15 on the server takes that */
    PG_UNKNOWN = 0,   /* the server sees it by a cast in the statement */
};

/* Keeps the memory. */
void pg_parameters_reset(struct pg_parameters *parameters);
void pg_parameters_free(struct pg_parameters *parameters);

/* The statements of an exchange with their parameters. All zero is empty; reset keeps the memory.
 */
enum { PG_CALLS_MAX = 16 };

struct pg_calls {
    struct pg_call calls[PG_CALLS_MAX];
    struct pg_parameters parameters[PG_CALLS_MAX];
    size_t count;
};

void pg_calls_reset(struct pg_calls *calls);
void pg_calls_free(struct pg_calls *calls);
bool pg_calls_have_failed(const struct pg_calls *calls); /* there was no memory for a parameter */

/* The next statement; its parameters, to be bound. */
struct pg_parameters *pg_calls_add(struct pg_calls *calls, const struct pg_statement *statement);

/* Each adds the next parameter. A NULL text is SQL NULL, as is TIME_NONE. */
void pg_bind_text(struct pg_parameters *parameters, const char *text);
void pg_bind_int2(struct pg_parameters *parameters, int16_t number);
void pg_bind_int4(struct pg_parameters *parameters, int32_t number);
void pg_bind_int8(struct pg_parameters *parameters, int64_t number);
void pg_bind_time(struct pg_parameters *parameters, int64_t time_us);

/* An array of one dimension: begin, its elements, end. Elements as above. */
void pg_array_begin(struct pg_parameters *parameters, enum pg_type element);
void pg_array_end(struct pg_parameters *parameters);
void pg_array_text(struct pg_parameters *parameters, const char *text);
void pg_array_bytes(struct pg_parameters *parameters, const char *bytes, size_t length);
void pg_array_bool(struct pg_parameters *parameters, bool value);
void pg_array_int2(struct pg_parameters *parameters, int16_t number);
void pg_array_int4(struct pg_parameters *parameters, int32_t number);
void pg_array_int8(struct pg_parameters *parameters, int64_t number);
void pg_array_time(struct pg_parameters *parameters, int64_t time_us);

/* A whole array: `value` is of the element `i`. */
/* `add` is a statement. NOLINTBEGIN(bugprone-macro-parentheses) */
#define BIND_COLUMN(parameters, type, count, add)                                                  \
    do {                                                                                           \
        pg_array_begin(parameters, type);                                                          \
        for (size_t i = 0; i < (count); i++)                                                       \
            add;                                                                                   \
        pg_array_end(parameters);                                                                  \
    } while (0)

/* NOLINTEND(bugprone-macro-parentheses) */

#define BIND_TEXT(parameters, count, value)                                                        \
    BIND_COLUMN(parameters, PG_TEXT, count, pg_array_text(parameters, value))
#define BIND_INT2(parameters, count, value)                                                        \
    BIND_COLUMN(parameters, PG_INT2, count, pg_array_int2(parameters, (int16_t)(value)))
#define BIND_INT4(parameters, count, value)                                                        \
    BIND_COLUMN(parameters, PG_INT4, count, pg_array_int4(parameters, value))
#define BIND_INT8(parameters, count, value)                                                        \
    BIND_COLUMN(parameters, PG_INT8, count, pg_array_int8(parameters, value))
#define BIND_BOOL(parameters, count, value)                                                        \
    BIND_COLUMN(parameters, PG_BOOL, count, pg_array_bool(parameters, value))
#define BIND_TIME(parameters, count, value)                                                        \
    BIND_COLUMN(parameters, PG_TIMESTAMPTZ, count, pg_array_time(parameters, value))

/* An element of an array of PG_RECORD: begin, its fields, end. */
void pg_record_begin(struct pg_parameters *parameters, int32_t field_count);
void pg_record_end(struct pg_parameters *parameters);
void pg_field_text(struct pg_parameters *parameters, const char *text);
void pg_field_bytes(struct pg_parameters *parameters, const char *bytes, size_t length);
void pg_field_bool(struct pg_parameters *parameters, bool value);
void pg_field_int2(struct pg_parameters *parameters, int16_t number);
void pg_field_int4(struct pg_parameters *parameters, int32_t number);
void pg_field_int8(struct pg_parameters *parameters, int64_t number);
void pg_field_time(struct pg_parameters *parameters, int64_t time_us);
void pg_field_int4s(struct pg_parameters *parameters, const int32_t *numbers, size_t count);
void pg_field_run(struct pg_parameters *parameters, const struct run_key *run); /* three of them */

/* The key of one run, and the three arrays that name the run of each row. */
void pg_bind_run(struct pg_parameters *parameters, const struct run_key *run);

#define BIND_RUN(parameters, count, key)                                                           \
    do {                                                                                           \
        BIND_TEXT(parameters, count, (key).project);                                               \
        BIND_TEXT(parameters, count, (key).domain);                                                \
        BIND_TEXT(parameters, count, (key).run_name);                                              \
    } while (0)

/* Values of a result in binary format. Text is borrowed from the result, NULL for SQL NULL; a time
 * that is NULL is TIME_NONE. */
const char *pg_text(const PGresult *result, int row, int column);
bool pg_bool(const PGresult *result, int row, int column);
int16_t pg_int2(const PGresult *result, int row, int column);
int32_t pg_int4(const PGresult *result, int row, int column);
int64_t pg_int8(const PGresult *result, int row, int column);
int64_t pg_time(const PGresult *result, int row, int column);

/* An integer[] without NULLs: its first `max` elements into `out`; how many. */
size_t pg_int4_array(const PGresult *result, int row, int column, int32_t *out, size_t max);

#endif
