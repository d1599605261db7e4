/* The work of a connection: statements into libpq's pipeline, results out of it. */
#include "sql/pg_session.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PARAMETERS_MAX = 64,
    PAUSE_AFTER_SUCCESS_MS = 100,
};

static const char invalid_statement_name[] = "26000";

/* Room for one more prepare and one more statement. */
static bool reserve(struct pg_connection *connection)
{
    struct exchange *exchange = &connection->exchange;
    if (exchange->step_count + 2 > exchange->step_capacity) {
        size_t capacity = exchange->step_capacity * 2 + 16;
        void *steps = realloc(exchange->steps, capacity * sizeof *exchange->steps);
        if (steps == NULL) {
            return false;
        }
        exchange->steps = steps;
        exchange->step_capacity = capacity;
    }
    size_t prepared = connection->prepared_count + exchange->step_count + 1;
    if (prepared > connection->prepared_capacity) {
        size_t capacity = prepared * 2 + 16;
        void *statements = realloc(connection->prepared, capacity * sizeof *connection->prepared);
        if (statements == NULL) {
            return false;
        }
        connection->prepared = statements;
        connection->prepared_capacity = capacity;
    }
    return true;
}

static bool is_prepared(const struct pg_connection *connection,
                        const struct pg_statement *statement)
{
    const struct exchange *exchange = &connection->exchange;
    for (size_t i = 0; i < connection->prepared_count; i++) {
        if (connection->prepared[i] == statement) {
            return true;
        }
    }
    for (size_t i = 0; i < exchange->step_count; i++) {
        if (exchange->steps[i].is_prepare && exchange->steps[i].statement == statement) {
            return true;
        }
    }
    return false;
}

static void push_step(struct exchange *exchange, const struct pg_statement *statement,
                      bool is_prepare)
{
    exchange->steps[exchange->step_count++] = (struct exchange_step){
        .statement = statement, .index = exchange->statement_count, .is_prepare = is_prepare};
}

/* Both go out now: an exchange whose phase is RUNNING or ROLLING_BACK ends with a Sync. */
static void send_sync(struct pg_connection *connection, enum exchange_phase phase)
{
    connection->exchange.step = 0;
    connection->exchange.phase = phase;
    if (PQpipelineSync(connection->pg) == 0) {
        pg_session_fail_soon(connection, PQerrorMessage(connection->pg));
    } else {
        pg_session_flush(connection);
    }
}

void pg_exchange_begin(struct pg_connection *connection, pg_result_fn *on_result, pg_end_fn *on_end,
                       void *arg)
{
    struct exchange *exchange = &connection->exchange;
    assert(connection->state == SESSION_LIVE && exchange->phase == EXCHANGE_NONE);
    exchange->phase = EXCHANGE_BUILDING;
    exchange->on_result = on_result;
    exchange->on_end = on_end;
    exchange->arg = arg;
    exchange->statement_count = 0;
    exchange->step_count = 0;
    exchange->is_refused = false;
    exchange->sqlstate[0] = '\0';
    exchange->message[0] = '\0';
}

void pg_exchange_add(struct pg_connection *connection, const struct pg_statement *statement,
                     const struct pg_value *values)
{
    struct exchange *exchange = &connection->exchange;
    const char *bytes[PARAMETERS_MAX];
    int lengths[PARAMETERS_MAX];
    int formats[PARAMETERS_MAX];
    int count = statement->parameter_count;

    if (connection->state != SESSION_LIVE) { /* failed on the way */
        return;
    }
    assert(exchange->phase == EXCHANGE_BUILDING);
    assert(count >= 0 && count <= PARAMETERS_MAX);
    for (int i = 0; i < count; i++) {
        bytes[i] = values[i].bytes;
        lengths[i] = values[i].length;
        formats[i] = !values[i].is_text;
    }
    if (!reserve(connection)) {
        pg_session_fail_soon(connection, "out of memory");
        return;
    }
    int sent;
    if (statement->name == NULL) {
        sent = PQsendQueryParams(connection->pg, statement->sql, count, statement->types, bytes,
                                 lengths, formats, 1);
    } else {
        if (!is_prepared(connection, statement)) {
            if (PQsendPrepare(connection->pg, statement->name, statement->sql, count,
                              statement->types) == 0) {
                pg_session_fail_soon(connection, PQerrorMessage(connection->pg));
                return;
            }
            push_step(exchange, statement, true);
        }
        sent =
            PQsendQueryPrepared(connection->pg, statement->name, count, bytes, lengths, formats, 1);
    }
    if (sent == 0) {
        pg_session_fail_soon(connection, PQerrorMessage(connection->pg));
        return;
    }
    push_step(exchange, statement, false);
    exchange->statement_count++;
}

void pg_exchange_send(struct pg_connection *connection)
{
    if (connection->state != SESSION_LIVE) {
        return;
    }
    assert(connection->exchange.phase == EXCHANGE_BUILDING);
    if (connection->is_set_up) { /* else the attempt's own limit runs */
        pg_session_start_timer(connection, connection->exchange_timeout_ms);
    }
    send_sync(connection, EXCHANGE_RUNNING);
}

bool pg_exchange_forget(struct pg_connection *connection)
{
    bool was_running = connection->exchange.phase != EXCHANGE_NONE;
    connection->exchange.phase = EXCHANGE_NONE;
    connection->prepared_count = 0;
    return was_running;
}

static void end_exchange(struct pg_connection *connection)
{
    struct exchange ended = connection->exchange;
    struct pg_end end = {.outcome = PG_OK};

    if (strcmp(ended.sqlstate, invalid_statement_name) == 0) {
        /* Someone (DISCARD ALL, a pooler) dropped our prepared statements: a new session has them
         * again. */
        pg_session_failed(connection, ended.message);
        return;
    }
    if (ended.is_refused) {
        end.outcome = PG_REFUSED;
        memcpy(end.sqlstate, ended.sqlstate, sizeof end.sqlstate);
        end.message = ended.message;
    } else if (connection->is_set_up) {
        connection->pause_ms = PAUSE_AFTER_SUCCESS_MS;
    }
    if (connection->is_set_up) {
        uv_timer_stop(&connection->timer);
    }
    connection->exchange.phase = EXCHANGE_NONE;
    ended.on_end(ended.arg, &end);
}

static void roll_back(struct pg_connection *connection)
{
    static const struct pg_statement rollback = {.sql = "ROLLBACK"};
    struct exchange *exchange = &connection->exchange;

    exchange->step_count = 0;
    if (PQsendQueryParams(connection->pg, rollback.sql, 0, NULL, NULL, NULL, NULL, 1) == 0) {
        pg_session_fail_soon(connection, PQerrorMessage(connection->pg));
        return;
    }
    push_step(exchange, &rollback, false);
    send_sync(connection, EXCHANGE_ROLLING_BACK);
}

/* The server has answered the Sync: the whole exchange is done. */
static void take_sync(struct pg_connection *connection)
{
    struct exchange *exchange = &connection->exchange;
    PGTransactionStatusType transaction = PQtransactionStatus(connection->pg);

    if (exchange->step != exchange->step_count) {
        pg_session_failed(connection, "the database answered fewer statements than it was sent");
        /* Two reasons to end. NOLINTNEXTLINE(bugprone-branch-clone) */
    } else if (transaction == PQTRANS_IDLE) {
        end_exchange(connection);
    } else if (exchange->phase == EXCHANGE_RUNNING && exchange->is_refused) {
        roll_back(connection);
    } else if (transaction == PQTRANS_INTRANS && exchange->phase == EXCHANGE_RUNNING) {
        end_exchange(connection); /* a later exchange ends it */
    } else {
        pg_session_failed(connection, "the database left a transaction in a state of failure");
    }
}

static void take_failure(struct pg_connection *connection, const PGresult *result)
{
    struct exchange *exchange = &connection->exchange;
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    char text[PG_WHY_SIZE];

    if (exchange->is_refused) {
        return;
    }
    exchange->is_refused = true;
    snprintf(exchange->sqlstate, sizeof exchange->sqlstate, "%s", sqlstate != NULL ? sqlstate : "");
    snprintf(text, sizeof text, "%s%s%s", primary != NULL ? primary : PQresultErrorMessage(result),
             detail != NULL ? ": " : "", detail != NULL ? detail : "");
    pg_copy_line(exchange->message, sizeof exchange->message, text);
}

static void take_success(struct pg_connection *connection, PGresult *result)
{
    struct exchange *exchange = &connection->exchange;
    const struct exchange_step *step = &exchange->steps[exchange->step];

    if (step->is_prepare) {
        connection->prepared[connection->prepared_count++] = step->statement;
    } else if (strcmp(step->statement->sql, "COMMIT") == 0 &&
               strcmp(PQcmdStatus(result), "COMMIT") != 0) {
        pg_session_failed(connection, "the database answered COMMIT with a rollback");
    } else if (exchange->phase == EXCHANGE_RUNNING && exchange->on_result != NULL) {
        exchange->on_result(exchange->arg, step->index, result);
    }
}

static void take_result(struct pg_connection *connection, PGresult *result)
{
    struct exchange *exchange = &connection->exchange;

    switch (PQresultStatus(result)) {
    case PGRES_PIPELINE_SYNC:
        take_sync(connection);
        break;
    case PGRES_PIPELINE_ABORTED:
        break;
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
        if (exchange->step < exchange->step_count) {
            take_success(connection, result);
        } else {
            pg_session_failed(connection, "the database answered more than it was asked");
        }
        break;
    case PGRES_EMPTY_QUERY:
    case PGRES_BAD_RESPONSE:
    case PGRES_FATAL_ERROR:
        take_failure(connection, result);
        break;
    case PGRES_COPY_OUT:
    case PGRES_COPY_IN:
    case PGRES_COPY_BOTH:
    case PGRES_SINGLE_TUPLE:
    case PGRES_NONFATAL_ERROR:
    default:
        pg_session_failed(connection,
                          "the database answered with something that was not asked for");
        break;
    }
}

void pg_exchange_read(struct pg_connection *connection)
{
    struct exchange *exchange = &connection->exchange;

    while (connection->state == SESSION_LIVE && exchange->phase >= EXCHANGE_RUNNING &&
           PQisBusy(connection->pg) == 0) {
        PGresult *result = PQgetResult(connection->pg);
        if (result != NULL) {
            take_result(connection, result);
            PQclear(result);
        } else if (exchange->step < exchange->step_count &&
                   PQstatus(connection->pg) == CONNECTION_OK) {
            exchange->step++; /* NULL ends one statement's results */
        } else {
            pg_session_failed(connection, exchange->is_refused ? exchange->message
                                                               : PQerrorMessage(connection->pg));
        }
    }
}
