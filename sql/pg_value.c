#include "sql/pg_value.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "model/timestamp.h"

/* From 1970-01-01 to 2000-01-01. */
#define POSTGRES_EPOCH_US INT64_C(946684800000000)

static void put16(struct buffer *bytes, int16_t number)
{
    uint16_t wire = htobe16((uint16_t)number);

    buffer_append(bytes, (const char *)&wire, sizeof wire);
}

static void put32(struct buffer *bytes, int32_t number)
{
    uint32_t wire = htobe32((uint32_t)number);

    buffer_append(bytes, (const char *)&wire, sizeof wire);
}

static void put64(struct buffer *bytes, int64_t number)
{
    uint64_t wire = htobe64((uint64_t)number);

    buffer_append(bytes, (const char *)&wire, sizeof wire);
}

static void patch32(struct buffer *bytes, size_t offset, int32_t number)
{
    uint32_t wire = htobe32((uint32_t)number);

    if (!bytes->failed)
        memcpy(bytes->bytes + offset, &wire, sizeof wire);
}

void pg_parameters_reset(struct pg_parameters *parameters)
{
    parameters->bytes.length = 0;
    parameters->bytes.failed = false;
    parameters->count = 0;
}

void pg_parameters_free(struct pg_parameters *parameters)
{
    buffer_free(&parameters->bytes);
}

void pg_calls_reset(struct pg_calls *calls)
{
    calls->count = 0;
}

void pg_calls_free(struct pg_calls *calls)
{
    for (size_t i = 0; i < PG_CALLS_MAX; i++)
        pg_parameters_free(&calls->parameters[i]);
}

bool pg_calls_have_failed(const struct pg_calls *calls)
{
    for (size_t i = 0; i < calls->count; i++)
        if (calls->parameters[i].bytes.failed)
            return true;
    return false;
}

struct pg_parameters *pg_calls_add(struct pg_calls *calls, const struct pg_statement *statement)
{
    struct pg_parameters *parameters = &calls->parameters[calls->count];

    assert(calls->count < PG_CALLS_MAX);
    calls->calls[calls->count++] = (struct pg_call){statement, parameters};
    pg_parameters_reset(parameters);
    return parameters;
}

static void begin_value(struct pg_parameters *parameters)
{
    assert(parameters->count < PG_PARAMETERS_MAX);
    parameters->offsets[parameters->count] = parameters->bytes.length;
}

static void end_value(struct pg_parameters *parameters)
{
    int i = parameters->count++;

    parameters->lengths[i] = (int)(parameters->bytes.length - parameters->offsets[i]);
}

static void bind_null(struct pg_parameters *parameters)
{
    begin_value(parameters);
    parameters->lengths[parameters->count++] = -1;
}

void pg_bind_text(struct pg_parameters *parameters, const char *text)
{
    if (text == NULL) {
        bind_null(parameters);
        return;
    }
    begin_value(parameters);
    buffer_append(&parameters->bytes, text, strlen(text));
    /* libpq wants a pointer for an empty value, too. */
    buffer_reserve(&parameters->bytes, 1);
    end_value(parameters);
}

void pg_bind_run(struct pg_parameters *parameters, const struct run_key *run)
{
    pg_bind_text(parameters, run->project);
    pg_bind_text(parameters, run->domain);
    pg_bind_text(parameters, run->run_name);
}

void pg_bind_int2(struct pg_parameters *parameters, int16_t number)
{
    begin_value(parameters);
    put16(&parameters->bytes, number);
    end_value(parameters);
}

void pg_bind_int4(struct pg_parameters *parameters, int32_t number)
{
    begin_value(parameters);
    put32(&parameters->bytes, number);
    end_value(parameters);
}

void pg_bind_int8(struct pg_parameters *parameters, int64_t number)
{
    begin_value(parameters);
    put64(&parameters->bytes, number);
    end_value(parameters);
}

void pg_bind_time(struct pg_parameters *parameters, int64_t time_us)
{
    if (time_us == TIME_NONE)
        bind_null(parameters);
    else
        pg_bind_int8(parameters, time_us - POSTGRES_EPOCH_US);
}

/* array_recv: dimensions, has-nulls flag, element type, then length and lower bound of the one
 * dimension. */
static void put_array_head(struct buffer *bytes, enum pg_type element, size_t count)
{
    put32(bytes, 1);
    put32(bytes, 1);
    put32(bytes, (int32_t)element);
    put32(bytes, (int32_t)count);
    put32(bytes, 1);
}

/* The number of elements is patched in at the end. */
void pg_array_begin(struct pg_parameters *parameters, enum pg_type element)
{
    begin_value(parameters);
    put_array_head(&parameters->bytes, element, 0);
    parameters->array_start = parameters->bytes.length - 2 * sizeof(int32_t);
    parameters->array_count = 0;
}

void pg_array_end(struct pg_parameters *parameters)
{
    patch32(&parameters->bytes, parameters->array_start, parameters->array_count);
    end_value(parameters);
}

void pg_array_bytes(struct pg_parameters *parameters, const char *bytes, size_t length)
{
    parameters->array_count++;
    put32(&parameters->bytes, (int32_t)length);
    buffer_append(&parameters->bytes, bytes, length);
}

void pg_array_text(struct pg_parameters *parameters, const char *text)
{
    if (text != NULL) {
        pg_array_bytes(parameters, text, strlen(text));
        return;
    }
    parameters->array_count++;
    put32(&parameters->bytes, -1);
}

void pg_array_bool(struct pg_parameters *parameters, bool value)
{
    pg_array_bytes(parameters, value ? "\1" : "\0", 1);
}

void pg_array_int2(struct pg_parameters *parameters, int16_t number)
{
    parameters->array_count++;
    put32(&parameters->bytes, (int32_t)sizeof number);
    put16(&parameters->bytes, number);
}

void pg_array_int4(struct pg_parameters *parameters, int32_t number)
{
    parameters->array_count++;
    put32(&parameters->bytes, (int32_t)sizeof number);
    put32(&parameters->bytes, number);
}

void pg_array_int8(struct pg_parameters *parameters, int64_t number)
{
    parameters->array_count++;
    put32(&parameters->bytes, (int32_t)sizeof number);
    put64(&parameters->bytes, number);
}

void pg_array_time(struct pg_parameters *parameters, int64_t time_us)
{
    if (time_us == TIME_NONE)
        pg_array_text(parameters, NULL);
    else
        pg_array_int8(parameters, time_us - POSTGRES_EPOCH_US);
}

/* record_recv: the number of fields, then of each its type, its length and the value. */
void pg_record_begin(struct pg_parameters *parameters, int32_t field_count)
{
    put32(&parameters->bytes, 0);
    parameters->record_start = parameters->bytes.length;
    parameters->record_number = parameters->array_count;
    put32(&parameters->bytes, field_count);
}

void pg_record_end(struct pg_parameters *parameters)
{
    size_t start = parameters->record_start;

    patch32(&parameters->bytes, start - sizeof(int32_t),
            (int32_t)(parameters->bytes.length - start));
    parameters->array_count = parameters->record_number + 1;
}

void pg_field_text(struct pg_parameters *parameters, const char *text)
{
    put32(&parameters->bytes, PG_TEXT);
    pg_array_text(parameters, text);
}

void pg_field_bytes(struct pg_parameters *parameters, const char *bytes, size_t length)
{
    put32(&parameters->bytes, PG_TEXT);
    pg_array_bytes(parameters, bytes, length);
}

void pg_field_bool(struct pg_parameters *parameters, bool value)
{
    put32(&parameters->bytes, PG_BOOL);
    pg_array_bool(parameters, value);
}

void pg_field_int2(struct pg_parameters *parameters, int16_t number)
{
    put32(&parameters->bytes, PG_INT2);
    pg_array_int2(parameters, number);
}

void pg_field_int4(struct pg_parameters *parameters, int32_t number)
{
    put32(&parameters->bytes, PG_INT4);
    pg_array_int4(parameters, number);
}

void pg_field_int8(struct pg_parameters *parameters, int64_t number)
{
    put32(&parameters->bytes, PG_INT8);
    pg_array_int8(parameters, number);
}

void pg_field_time(struct pg_parameters *parameters, int64_t time_us)
{
    put32(&parameters->bytes, PG_TIMESTAMPTZ);
    pg_array_time(parameters, time_us);
}

void pg_field_int4s(struct pg_parameters *parameters, const int32_t *numbers, size_t count)
{
    put32(&parameters->bytes, PG_INT4_ARRAY);
    put32(&parameters->bytes, (int32_t)(5 * sizeof(int32_t) + count * 2 * sizeof(int32_t)));
    put_array_head(&parameters->bytes, PG_INT4, count);
    for (size_t i = 0; i < count; i++)
        pg_array_int4(parameters, numbers[i]);
}

void pg_field_run(struct pg_parameters *parameters, const struct run_key *run)
{
    pg_field_text(parameters, run->project);
    pg_field_text(parameters, run->domain);
    pg_field_text(parameters, run->run_name);
}

const char *pg_text(const PGresult *result, int row, int column)
{
    return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}

bool pg_bool(const PGresult *result, int row, int column)
{
    return PQgetvalue(result, row, column)[0] != 0;
}

int16_t pg_int2(const PGresult *result, int row, int column)
{
    uint16_t wire;

    memcpy(&wire, PQgetvalue(result, row, column), sizeof wire);
    return (int16_t)be16toh(wire);
}

static int32_t get32(const char *bytes)
{
    uint32_t wire;

    memcpy(&wire, bytes, sizeof wire);
    return (int32_t)be32toh(wire);
}

int32_t pg_int4(const PGresult *result, int row, int column)
{
    return get32(PQgetvalue(result, row, column));
}

int64_t pg_int8(const PGresult *result, int row, int column)
{
    uint64_t wire;

    memcpy(&wire, PQgetvalue(result, row, column), sizeof wire);
    return (int64_t)be64toh(wire);
}

int64_t pg_time(const PGresult *result, int row, int column)
{
    if (PQgetisnull(result, row, column))
        return TIME_NONE;
    return pg_int8(result, row, column) + POSTGRES_EPOCH_US;
}

size_t pg_int4_array(const PGresult *result, int row, int column, int32_t *out, size_t max)
{
    const char *bytes = PQgetvalue(result, row, column);
    size_t count;

    if (get32(bytes) != 1)
        return 0;
    count = (size_t)get32(bytes + 12);
    if (count > max)
        count = max;
    for (size_t i = 0; i < count; i++)
        out[i] = get32(bytes + 20 + 8 * i + 4);
    return count;
}
