#include "sql/pg_connection.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum {
    PAUSE_MIN_MS = 100,
    PAUSE_MAX_MS = 500,
};

enum session_state {
    SESSION_PAUSING,    /* until the timer begins the next attempt */
    SESSION_CONNECTING, /* the thread has `pg` and `why` */
    SESSION_SETTING_UP,
    SESSION_READY,
    SESSION_BREAKING, /* until the timer ends the session, in the loop's next turn */
    SESSION_CLOSING,
};

enum exchange_state {
    EXCHANGE_NONE,
    EXCHANGE_OVER, /* but for the request to cancel it, which may still reach the server */
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
    enum exchange_state state;
    pg_result_fn *on_result;
    pg_end_fn *on_end;
    void *arg;
    size_t statement_count;
    struct exchange_step *steps;
    size_t step_count;
    size_t step_capacity;
    size_t step; /* whose results are being read */
    bool is_refused;
    bool is_stale; /* refused for what the session has prepared: it is given up */
    char sqlstate[6];
    char message[PG_WHY_SIZE];
};

struct pg_connection {
    uv_loop_t *loop;
    char *url;
    char *application_name;
    uint64_t exchange_timeout_ms;
    const struct pg_statement *settings;
    struct pg_connection_events events;
    void *arg;
    void (*on_closed)(void *arg);

    enum session_state state;
    char why[PG_WHY_SIZE];   /* the attempt failed, or the session is being ended */
    char fatal[PG_WHY_SIZE]; /* what the server said last before it hung up */
    uint64_t pause_ms;

    uv_timer_t timer; /* the pause, the exchange's limit, or 0 while breaking */
    uv_thread_t thread;
    uv_async_t connected; /* the thread's last word */
    PGcancel *cancel;     /* that a thread asks for; NULL: none */
    uv_thread_t cancel_thread;
    uv_async_t cancelled; /* that thread's last word */
    uv_poll_t poll;
    int poll_events; /* 0: there is no poll */
    int open_handles;

    PGconn *pg;
    uint32_t timeline;
    struct exchange exchange;
    const struct pg_statement **prepared; /* in this session */
    size_t prepared_count;
    size_t prepared_capacity;
};

static void enter(struct pg_connection *connection, enum session_state state);

/* Copies `text` as one line without trailing space, cut between characters. */
static void copy_line(char *line, size_t size, const char *text)
{
    size_t length = 0;

    for (; *text != '\0' && length + 1 < size; text++) {
        bool is_space = *text == ' ' || *text == '\n' || *text == '\t' || *text == '\r';

        if (!is_space)
            line[length++] = *text;
        else if (length > 0 && line[length - 1] != ' ')
            line[length++] = ' ';
    }
    line[length] = *text; /* its NUL, or where it is cut */
    length = utf8_cut(line, length);
    while (length > 0 && line[length - 1] == ' ')
        length--;
    line[length] = '\0';
}

/* -------- connecting, which waits -------- */

/* NULL when it is not given. */
static const char *option_value(const PQconninfoOption *options, const char *keyword)
{
    for (; options != NULL && options->keyword != NULL; options++)
        if (strcmp(options->keyword, keyword) == 0)
            return options->val;
    return NULL;
}

PQconninfoOption *pg_url_parse(const char *url, char why[static PG_WHY_SIZE])
{
    PQconninfoOption *options = PQconninfoParse(url, NULL);
    const char *port = option_value(options, "port");

    if (options == NULL) {
        snprintf(why, PG_WHY_SIZE, "the database URL is not a PostgreSQL connection string");
    } else if (port != NULL && port[strspn(port, "0123456789,")] != '\0') {
        /* libpq would quote it, and it may be a piece of a password with a slash in it. */
        snprintf(why, PG_WHY_SIZE, "the database URL has a port that is no number");
        PQconninfoFree(options);
        return NULL;
    }
    return options;
}

static const char *value_of(const PQconninfoOption *given, const PQconninfoOption *environment,
                            const char *keyword)
{
    const char *value = option_value(given, keyword);

    if (value == NULL)
        value = option_value(environment, keyword);
    return value != NULL ? value : "";
}

static void drop_notice(void *arg, const PGresult *notice)
{
    (void)arg;
    (void)notice;
}

PGconn *pg_connect(const char *url, const char *application_name, char why[static PG_WHY_SIZE])
{
    PQconninfoOption *given = pg_url_parse(url, why), *environment;
    bool has_several, has_choice, has_limit;
    PGconn *pg;

    if (given == NULL)
        return NULL;
    environment = PQconndefaults();
    has_several = strchr(value_of(given, environment, "host"), ',') != NULL ||
                  strchr(value_of(given, environment, "hostaddr"), ',') != NULL;
    has_choice = strcmp(value_of(given, environment, "target_session_attrs"), "any") != 0;
    has_limit = strtol(value_of(given, environment, "connect_timeout"), NULL, 10) > 0;
    PQconninfoFree(environment);
    PQconninfoFree(given);

    /* libpq skips what is NULL, and of a keyword that comes twice takes the last: what stands
     * before the URL is used where the URL does not say otherwise. Kerberos would be asked for
     * encryption, and waited for. Of several hosts only the one that can be written to is of use.
     */
    const char *const parameters[][2] = {
        {"application_name", application_name},
        {"keepalives", "1"},
        {"keepalives_idle", "10"},
        {"keepalives_interval", "5"},
        {"keepalives_count", "3"},
        {"tcp_user_timeout", "10000"},
        {"gssencmode", "disable"},
        {"target_session_attrs", has_several && !has_choice ? "read-write" : NULL},
        {"dbname", url},
        {"connect_timeout", has_limit ? NULL : "5"},
        {"client_encoding", "UTF8"},
    };
    const char *keywords[COUNT(parameters) + 1] = {NULL}, *values[COUNT(parameters) + 1] = {NULL};

    for (size_t i = 0; i < COUNT(parameters); i++) {
        keywords[i] = parameters[i][0];
        values[i] = parameters[i][1];
    }
    pg = PQconnectdbParams(keywords, values, 1);
    if (PQstatus(pg) != CONNECTION_OK) {
        copy_line(why, PG_WHY_SIZE, pg == NULL ? "out of memory" : PQerrorMessage(pg));
        PQfinish(pg);
        return NULL;
    }
    PQsetNoticeReceiver(pg, drop_notice, NULL);
    return pg;
}

/* -------- the end of a session -------- */

static bool is_live(const struct pg_connection *connection)
{
    return connection->state == SESSION_SETTING_UP || connection->state == SESSION_READY;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct pg_connection *connection = handle->data;
    void (*on_closed)(void *arg) = connection->on_closed;
    void *arg = connection->arg;

    if (--connection->open_handles > 0 || connection->state != SESSION_CLOSING)
        return;
    free(connection->exchange.steps);
    free(connection->prepared);
    free(connection->application_name);
    free(connection->url);
    free(connection);
    if (on_closed != NULL)
        on_closed(arg);
}

/* An exchange that is running ends without its callback. */
static void drop_session(struct pg_connection *connection)
{
    if (connection->poll_events != 0)
        uv_close((uv_handle_t *)&connection->poll, on_handle_closed);
    connection->poll_events = 0;
    PQfinish(connection->pg);
    connection->pg = NULL;
    connection->fatal[0] = '\0';
    connection->exchange.state = EXCHANGE_NONE;
    connection->prepared_count = 0;
}

/* Ends the session or the attempt now and calls back; only from a callback of the loop. `why` may
 * point into it. */
static void lose(struct pg_connection *connection, const char *why)
{
    char line[PG_WHY_SIZE];
    struct pg_end end = {.outcome = PG_LOST, .message = line};
    struct exchange ended = connection->exchange;

    if (connection->state == SESSION_CLOSING)
        return;
    copy_line(line, sizeof line, why);
    enter(connection, SESSION_PAUSING);
    if (ended.state != EXCHANGE_NONE)
        ended.on_end(ended.arg, &end);
    if (connection->state != SESSION_CLOSING)
        connection->events.on_lost(connection->arg, line);
}

/* The same from the loop's next turn, for functions that may not call back. */
static void lose_soon(struct pg_connection *connection, const char *why)
{
    if (is_live(connection)) {
        copy_line(connection->why, sizeof connection->why, why);
        enter(connection, SESSION_BREAKING);
    }
}

void pg_connection_reset(struct pg_connection *connection, const char *why)
{
    lose_soon(connection, why);
}

static void on_timer(uv_timer_t *timer)
{
    struct pg_connection *connection = timer->data;
    char why[PG_WHY_SIZE];

    if (connection->state == SESSION_PAUSING) {
        enter(connection, SESSION_CONNECTING);
    } else if (connection->state == SESSION_BREAKING) {
        lose(connection, connection->why);
    } else {
        snprintf(why, sizeof why, "the database did not answer within %.1f s",
                 (double)connection->exchange_timeout_ms / 1000);
        lose(connection, why);
    }
}

/* -------- an exchange: statements into libpq's pipeline -------- */

static void on_poll(uv_poll_t *poll, int status, int events);

/* Sends what libpq holds back, and has the loop say when more can be sent. */
static void flush(struct pg_connection *connection)
{
    int unsent = PQflush(connection->pg);
    int events = UV_READABLE | (unsent > 0 ? UV_WRITABLE : 0);

    if (unsent < 0) {
        lose_soon(connection, PQerrorMessage(connection->pg));
    } else if (events != connection->poll_events) {
        connection->poll_events = events;
        uv_poll_start(&connection->poll, events, on_poll);
    }
}

/* Room for one more prepare and one more statement. */
static bool reserve(struct pg_connection *connection)
{
    struct exchange *exchange = &connection->exchange;
    size_t prepared = connection->prepared_count + exchange->step_count + 1;

    if (exchange->step_count + 2 > exchange->step_capacity) {
        size_t capacity = exchange->step_capacity * 2 + 16;
        void *steps = realloc(exchange->steps, capacity * sizeof *exchange->steps);

        if (steps == NULL)
            return false;
        exchange->steps = steps;
        exchange->step_capacity = capacity;
    }
    if (prepared > connection->prepared_capacity) {
        size_t capacity = prepared * 2 + 16;
        void *statements = realloc(connection->prepared, capacity * sizeof *connection->prepared);

        if (statements == NULL)
            return false;
        connection->prepared = statements;
        connection->prepared_capacity = capacity;
    }
    return true;
}

static bool is_prepared(const struct pg_connection *connection,
                        const struct pg_statement *statement)
{
    const struct exchange *exchange = &connection->exchange;

    for (size_t i = 0; i < connection->prepared_count; i++)
        if (connection->prepared[i] == statement)
            return true;
    for (size_t i = 0; i < exchange->step_count; i++)
        if (exchange->steps[i].is_prepare && exchange->steps[i].statement == statement)
            return true;
    return false;
}

static void push_step(struct exchange *exchange, const struct pg_statement *statement,
                      bool is_prepare)
{
    exchange->steps[exchange->step_count++] = (struct exchange_step){
        .statement = statement, .index = exchange->statement_count, .is_prepare = is_prepare};
}

/* All goes out now: an exchange that is running or rolling back ends with a Sync. */
static void send_sync(struct pg_connection *connection, enum exchange_state state)
{
    connection->exchange.step = 0;
    connection->exchange.state = state;
    if (PQpipelineSync(connection->pg) == 0)
        lose_soon(connection, PQerrorMessage(connection->pg));
    else
        flush(connection);
}

/* 0 when libpq does not take it. */
static int send_call(struct pg_connection *connection, const struct pg_call *call)
{
    static const struct pg_parameters none;
    const struct pg_statement *statement = call->statement;
    const struct pg_parameters *given = call->parameters != NULL ? call->parameters : &none;
    const char *bytes[PG_PARAMETERS_MAX];
    int formats[PG_PARAMETERS_MAX];

    assert(given->count == statement->parameter_count);
    for (int i = 0; i < given->count; i++) {
        bool is_null = given->lengths[i] < 0 || given->bytes.failed;

        bytes[i] = is_null ? NULL : given->bytes.bytes + given->offsets[i];
        formats[i] = 1;
    }
    if (statement->name == NULL)
        return PQsendQueryParams(connection->pg, statement->sql, given->count, statement->types,
                                 bytes, given->lengths, formats, 1);
    if (!is_prepared(connection, statement)) {
        if (PQsendPrepare(connection->pg, statement->name, statement->sql, given->count,
                          statement->types) == 0)
            return 0;
        push_step(&connection->exchange, statement, true);
    }
    return PQsendQueryPrepared(connection->pg, statement->name, given->count, bytes, given->lengths,
                               formats, 1);
}

static void add_call(struct pg_connection *connection, const struct pg_call *call)
{
    if (!reserve(connection)) {
        lose_soon(connection, "out of memory");
    } else if (send_call(connection, call) == 0) {
        lose_soon(connection, PQerrorMessage(connection->pg));
    } else {
        push_step(&connection->exchange, call->statement, false);
        connection->exchange.statement_count++;
    }
}

/* What breaks on the way ends as any exchange whose session breaks. */
void pg_exchange(struct pg_connection *connection, const struct pg_call *calls, size_t count,
                 pg_result_fn *on_result, pg_end_fn *on_end, void *arg)
{
    struct exchange *exchange = &connection->exchange;

    assert(exchange->state == EXCHANGE_NONE);
    assert(is_live(connection) || connection->state == SESSION_BREAKING);
    exchange->state = EXCHANGE_RUNNING;
    exchange->on_result = on_result;
    exchange->on_end = on_end;
    exchange->arg = arg;
    exchange->statement_count = 0;
    exchange->step_count = 0;
    exchange->is_refused = exchange->is_stale = false;
    exchange->sqlstate[0] = '\0';
    exchange->message[0] = '\0';
    for (size_t i = 0; i < count && is_live(connection); i++)
        add_call(connection, &calls[i]);
    if (!is_live(connection))
        return;
    uv_timer_start(&connection->timer, on_timer, connection->exchange_timeout_ms, 0);
    send_sync(connection, EXCHANGE_RUNNING);
}

/* -------- results out of it -------- */

static void end_exchange(struct pg_connection *connection)
{
    struct exchange ended = connection->exchange;
    struct pg_end end = {.outcome = PG_OK};

    if (ended.is_stale) {
        lose(connection, ended.message);
        return;
    }
    if (ended.is_refused) {
        end.outcome = PG_REFUSED;
        memcpy(end.sqlstate, ended.sqlstate, sizeof end.sqlstate);
        end.message = ended.message;
    } else if (connection->state == SESSION_READY) {
        connection->pause_ms = PAUSE_MIN_MS;
    }
    if (connection->cancel != NULL) { /* it must not reach the next exchange */
        connection->exchange.state = EXCHANGE_OVER;
        return;
    }
    uv_timer_stop(&connection->timer);
    connection->exchange.state = EXCHANGE_NONE;
    ended.on_end(ended.arg, &end);
}

static void cancel_on_thread(void *arg)
{
    struct pg_connection *connection = arg;
    char why[PG_WHY_SIZE];

    PQcancel(connection->cancel, why, sizeof why); /* if that fails, the exchange takes its time */
    uv_async_send(&connection->cancelled);
}

static void on_cancelled(uv_async_t *cancelled)
{
    struct pg_connection *connection = cancelled->data;

    uv_thread_join(&connection->cancel_thread);
    PQfreeCancel(connection->cancel);
    connection->cancel = NULL;
    if (connection->state == SESSION_CLOSING)
        uv_close((uv_handle_t *)cancelled, on_handle_closed);
    else if (is_live(connection) && connection->exchange.state == EXCHANGE_OVER)
        end_exchange(connection);
}

void pg_exchange_cancel(struct pg_connection *connection)
{
    if (!is_live(connection) || connection->exchange.state != EXCHANGE_RUNNING ||
        connection->cancel != NULL)
        return;
    connection->cancel = PQgetCancel(connection->pg);
    if (connection->cancel != NULL &&
        uv_thread_create(&connection->cancel_thread, cancel_on_thread, connection) < 0) {
        PQfreeCancel(connection->cancel);
        connection->cancel = NULL;
    }
}

static void roll_back(struct pg_connection *connection)
{
    static const struct pg_statement rollback = {.sql = "ROLLBACK"};

    connection->exchange.step_count = 0;
    if (PQsendQueryParams(connection->pg, rollback.sql, 0, NULL, NULL, NULL, NULL, 1) == 0) {
        lose_soon(connection, PQerrorMessage(connection->pg));
        return;
    }
    push_step(&connection->exchange, &rollback, false);
    send_sync(connection, EXCHANGE_ROLLING_BACK);
}

/* The server has answered the Sync: the whole exchange is done. */
static void take_sync(struct pg_connection *connection)
{
    const struct exchange *exchange = &connection->exchange;
    PGTransactionStatusType transaction = PQtransactionStatus(connection->pg);
    bool is_running = exchange->state == EXCHANGE_RUNNING;

    if (exchange->step != exchange->step_count)
        lose(connection, "the database answered fewer statements than it was sent");
    else if (transaction != PQTRANS_IDLE && is_running && exchange->is_refused)
        roll_back(connection);
    else if (transaction == PQTRANS_IDLE || (transaction == PQTRANS_INTRANS && is_running))
        end_exchange(connection); /* a transaction that is open is ended by a later exchange */
    else
        lose(connection, "the database left a transaction in a state of failure");
}

/* Whether what failed is what this session has prepared, which a new one prepares anew: someone
 * (DISCARD ALL, a pooler) dropped or made a statement, or a table has changed since (0A000, "cached
 * plan must not change result type"). */
static bool is_stale(const struct exchange *exchange, const char *sqlstate)
{
    const struct exchange_step *step = &exchange->steps[exchange->step];
    bool was_just_prepared = exchange->step > 0 && step[-1].is_prepare;

    if (strcmp(sqlstate, "26000") == 0 || strcmp(sqlstate, "42P05") == 0)
        return true;
    return strcmp(sqlstate, "0A000") == 0 && step->statement->name != NULL && !step->is_prepare &&
           !was_just_prepared;
}

static void take_failure(struct exchange *exchange, const PGresult *result)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    char text[PG_WHY_SIZE];

    if (exchange->is_refused)
        return;
    exchange->is_refused = true;
    snprintf(exchange->sqlstate, sizeof exchange->sqlstate, "%s", sqlstate != NULL ? sqlstate : "");
    exchange->is_stale =
        exchange->step < exchange->step_count && is_stale(exchange, exchange->sqlstate);
    snprintf(text, sizeof text, "%s%s%s", primary != NULL ? primary : PQresultErrorMessage(result),
             detail != NULL ? ": " : "", detail != NULL ? detail : "");
    copy_line(exchange->message, sizeof exchange->message, text);
}

static void take_success(struct pg_connection *connection, PGresult *result)
{
    struct exchange *exchange = &connection->exchange;
    const struct exchange_step *step = &exchange->steps[exchange->step];

    if (exchange->step >= exchange->step_count)
        lose(connection, "the database answered more than it was asked");
    else if (step->is_prepare)
        connection->prepared[connection->prepared_count++] = step->statement;
    else if (strcmp(step->statement->sql, "COMMIT") == 0 &&
             strcmp(PQcmdStatus(result), "COMMIT") != 0)
        lose(connection, "the database answered COMMIT with a rollback");
    else if (exchange->state == EXCHANGE_RUNNING && exchange->on_result != NULL)
        exchange->on_result(exchange->arg, step->index, result);
}

static void take_result(struct pg_connection *connection, PGresult *result)
{
    switch (PQresultStatus(result)) {
    case PGRES_PIPELINE_SYNC:
        take_sync(connection);
        break;
    case PGRES_PIPELINE_ABORTED:
        break;
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
        take_success(connection, result);
        break;
    case PGRES_EMPTY_QUERY:
    case PGRES_BAD_RESPONSE:
    case PGRES_FATAL_ERROR:
        take_failure(&connection->exchange, result);
        break;
    case PGRES_COPY_OUT:
    case PGRES_COPY_IN:
    case PGRES_COPY_BOTH:
    case PGRES_SINGLE_TUPLE:
    case PGRES_NONFATAL_ERROR:
    default:
        lose(connection, "the database answered with something that was not asked for");
        break;
    }
}

/* The server's last words are better than libpq's "closed the connection unexpectedly". */
static const char *why_it_ended(const struct pg_connection *connection)
{
    if (connection->exchange.state != EXCHANGE_NONE && connection->exchange.is_refused)
        return connection->exchange.message;
    return connection->fatal[0] != '\0' ? connection->fatal : PQerrorMessage(connection->pg);
}

static void take_results(struct pg_connection *connection)
{
    struct exchange *exchange = &connection->exchange;

    while (is_live(connection) && exchange->state >= EXCHANGE_RUNNING &&
           PQisBusy(connection->pg) == 0) {
        PGresult *result = PQgetResult(connection->pg);

        if (result != NULL) {
            take_result(connection, result);
            PQclear(result);
        } else if (exchange->step < exchange->step_count &&
                   PQstatus(connection->pg) == CONNECTION_OK) {
            exchange->step++; /* NULL ends one statement's results */
        } else {
            lose(connection, why_it_ended(connection));
        }
    }
}

static void take_notifications(struct pg_connection *connection)
{
    while (is_live(connection)) {
        PGnotify *notify = PQnotifies(connection->pg);

        if (notify == NULL)
            return;
        if (connection->state == SESSION_READY && connection->events.on_notification != NULL)
            connection->events.on_notification(connection->arg, notify->relname, notify->extra);
        PQfreemem(notify);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct pg_connection *connection = poll->data;
    bool is_readable = status < 0 || (events & UV_READABLE) != 0;

    if (!is_live(connection))
        return;
    /* Flush first: it may read as well, and what it read must be looked at below. */
    if ((connection->poll_events & UV_WRITABLE) != 0)
        flush(connection);
    if (is_live(connection) && is_readable && PQconsumeInput(connection->pg) == 0)
        lose(connection, why_it_ended(connection));
    take_results(connection);
    take_notifications(connection);
    if (status < 0 && is_live(connection)) /* libuv has stopped it: the end is still to be read */
        uv_poll_start(poll, connection->poll_events, on_poll);
}

/* -------- from one state to the next -------- */

/* sql/ never logs: notices are dropped, but a server that hangs up says why in one. */
static void on_notice(void *arg, const PGresult *notice)
{
    struct pg_connection *connection = arg;
    const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *text = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);

    if (severity != NULL && text != NULL && strcmp(severity, "FATAL") == 0)
        copy_line(connection->fatal, sizeof connection->fatal, text);
}

static void on_timeline(void *arg, size_t statement, const PGresult *result)
{
    struct pg_connection *connection = arg;

    (void)statement;
    if (PQntuples(result) == 1 && !PQgetisnull(result, 0, 0))
        connection->timeline = (uint32_t)strtoul(PQgetvalue(result, 0, 0), NULL, 16);
}

/* PG_REFUSED: a standby, or a server without these functions. It has no timeline for us, that is
 * all. */
static void on_timeline_end(void *arg, const struct pg_end *end)
{
    if (end->outcome != PG_LOST)
        enter(arg, SESSION_READY);
}

static void on_settings_end(void *arg, const struct pg_end *end)
{
    static const struct pg_statement ask_timeline = {
        .sql = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"};
    struct pg_connection *connection = arg;

    if (end->outcome == PG_REFUSED) {
        lose(connection, end->message);
    } else if (end->outcome == PG_OK) {
        pg_exchange(connection, &(struct pg_call){&ask_timeline, NULL}, 1, on_timeline,
                    on_timeline_end, connection);
    }
}

/* A limit that the URL, the role or the database sets stays; so does any level of
 * synchronous_commit but "off", since an answer 2xx promises that the event is on disk. */
static void set_up(struct pg_connection *connection)
{
    static const struct pg_statement apply_settings = {
        .sql = "SELECT set_config(name, value, false) FROM (VALUES ('TimeZone', 'UTC'),"
               " ('statement_timeout', '30s'), ('idle_in_transaction_session_timeout', '30s'),"
               " ('synchronous_commit', 'on')) AS ours (name, value)"
               " WHERE name = 'TimeZone' OR current_setting(name) IN ('0', 'off')"
               " UNION ALL SELECT set_config('runtree.channel', 'runtree' || coalesce("
               "(SELECT '.' || n.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
               " WHERE c.oid = to_regclass('runs') AND n.nspname <> 'public'), ''), false)"};
    static const struct pg_statement refuse_worker = {.sql = PG_REFUSE_WORKER};
    const struct pg_call calls[] = {
        {&refuse_worker, NULL}, {&apply_settings, NULL}, {connection->settings, NULL}};

    connection->timeline = 0;
    pg_exchange(connection, calls, connection->settings == NULL ? 2 : 3, NULL, on_settings_end,
                connection);
}

static void connect_on_thread(void *arg)
{
    struct pg_connection *connection = arg;

    connection->pg = pg_connect(connection->url, connection->application_name, connection->why);
    uv_async_send(&connection->connected);
}

static void on_connected(uv_async_t *connected)
{
    struct pg_connection *connection = connected->data;
    PGconn *pg = connection->pg;
    int status;

    uv_thread_join(&connection->thread);
    if (connection->state == SESSION_CLOSING) {
        drop_session(connection);
        uv_close((uv_handle_t *)connected, on_handle_closed);
        return;
    }
    if (pg == NULL) {
        lose(connection, connection->why);
        return;
    }
    PQsetNoticeReceiver(pg, on_notice, connection);
    if (PQsetnonblocking(pg, 1) < 0 || PQenterPipelineMode(pg) == 0) {
        lose(connection, PQerrorMessage(pg));
        return;
    }
    status = uv_poll_init(connection->loop, &connection->poll, PQsocket(pg));
    if (status < 0) {
        lose(connection, uv_strerror(status));
        return;
    }
    connection->open_handles++;
    connection->poll_events = UV_READABLE;
    uv_poll_start(&connection->poll, UV_READABLE, on_poll);
    enter(connection, SESSION_SETTING_UP);
}

static uint64_t next_pause_ms(struct pg_connection *connection)
{
    uint64_t pause_ms = connection->pause_ms;
    uint16_t jitter = 0;

    uv_random(NULL, NULL, &jitter, sizeof jitter, 0, NULL);
    connection->pause_ms = pause_ms * 2 < PAUSE_MAX_MS ? pause_ms * 2 : PAUSE_MAX_MS;
    return pause_ms * 3 / 4 + pause_ms * jitter / (UINT64_C(2) * UINT16_MAX);
}

/* The one function that moves a connection: the state is the new one in all that it calls. */
static void enter(struct pg_connection *connection, enum session_state state)
{
    enum session_state left = connection->state;
    int status;

    connection->state = state;
    switch (state) {
    case SESSION_PAUSING:
        drop_session(connection);
        uv_timer_start(&connection->timer, on_timer, next_pause_ms(connection), 0);
        break;
    case SESSION_CONNECTING:
        status = uv_thread_create(&connection->thread, connect_on_thread, connection);
        if (status < 0)
            lose(connection, uv_strerror(status));
        break;
    case SESSION_SETTING_UP:
        set_up(connection);
        break;
    case SESSION_READY:
        connection->events.on_ready(connection->arg);
        break;
    case SESSION_BREAKING:
        uv_timer_start(&connection->timer, on_timer, 0, 0);
        break;
    case SESSION_CLOSING:
        uv_close((uv_handle_t *)&connection->timer, on_handle_closed);
        if (connection->cancel == NULL)
            uv_close((uv_handle_t *)&connection->cancelled, on_handle_closed);
        if (left != SESSION_CONNECTING) { /* else the thread has it still */
            drop_session(connection);
            uv_close((uv_handle_t *)&connection->connected, on_handle_closed);
        }
        break;
    }
}

struct pg_connection *pg_connection_new(uv_loop_t *loop,
                                        const struct pg_connection_options *options,
                                        const struct pg_connection_events *events, void *arg)
{
    struct pg_connection *connection = calloc(1, sizeof *connection);

    if (connection == NULL)
        return NULL;
    connection->url = strdup(options->url);
    connection->application_name = strdup(options->application_name);
    connection->connected.data = connection->cancelled.data = connection;
    if (connection->url == NULL || connection->application_name == NULL ||
        uv_async_init(loop, &connection->connected, on_connected) < 0) {
        free(connection->url);
        free(connection->application_name);
        free(connection);
        return NULL;
    }
    uv_async_init(loop, &connection->cancelled, on_cancelled); /* the loop's second cannot fail */
    connection->loop = loop;
    connection->exchange_timeout_ms = options->exchange_timeout_ms;
    connection->settings = options->settings;
    connection->events = *events;
    connection->arg = arg;
    connection->pause_ms = PAUSE_MIN_MS;
    uv_timer_init(loop, &connection->timer);
    connection->timer.data = connection->poll.data = connection;
    connection->open_handles = 3;
    uv_timer_start(&connection->timer, on_timer, 0, 0);
    return connection;
}

void pg_connection_close(struct pg_connection *connection, void (*on_closed)(void *arg))
{
    assert(connection->state != SESSION_CLOSING);
    connection->on_closed = on_closed;
    enter(connection, SESSION_CLOSING);
}

bool pg_connection_is_idle(const struct pg_connection *connection)
{
    return connection->state == SESSION_READY && connection->exchange.state == EXCHANGE_NONE;
}

uint32_t pg_connection_timeline(const struct pg_connection *connection)
{
    return connection->timeline;
}
