/* The life of a connection: looking up the host, connecting, setting the session up, noticing its
 * end, coming back. What it does in between is in pg_exchange.c. */
#include "sql/pg_connection.h"

#include "sql/pg_session.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAUSE_MIN_MS = 100,
    PAUSE_MAX_MS = 500,
};

struct lookup {
    uv_getaddrinfo_t request;
    struct pg_connection *connection;
};

static void begin_attempt(struct pg_connection *connection);
static void attempt_failed(struct pg_connection *connection, const char *why);
static void start_soon(struct pg_connection *connection, enum session_state state);
static void on_timer(uv_timer_t *timer);

void pg_session_start_timer(struct pg_connection *connection, uint64_t timeout_ms)
{
    uv_timer_start(&connection->timer, on_timer, timeout_ms, 0);
}

void pg_copy_line(char *line, size_t size, const char *text)
{
    size_t length = 0;
    for (; *text != '\0' && length + 1 < size; text++) {
        bool is_space = *text == ' ' || *text == '\n' || *text == '\t' || *text == '\r';
        if (!is_space) {
            line[length++] = *text;
        } else if (length > 0 && line[length - 1] != ' ') {
            line[length++] = ' ';
        }
    }
    if (*text != '\0') {
        while (length > 0 && ((unsigned char)*text & 0xC0) == 0x80) {
            text--;
            length--;
        }
    }
    while (length > 0 && line[length - 1] == ' ') {
        length--;
    }
    line[length] = '\0';
}

static void finish_close(struct pg_connection *connection)
{
    void (*on_closed)(void *arg) = connection->on_closed;
    void *arg = connection->arg;

    free(connection->exchange.steps);
    free(connection->prepared);
    free(connection->application_name);
    free(connection->url);
    free(connection);
    if (on_closed != NULL) {
        on_closed(arg);
    }
}

static void forgotten_by_loop(struct pg_connection *connection)
{
    assert(connection->known_to_loop > 0);
    connection->known_to_loop--;
    if (connection->known_to_loop == 0 && connection->state == SESSION_CLOSING) {
        finish_close(connection);
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    forgotten_by_loop(handle->data);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct pg_connection *connection = handle->data;
    free(handle);
    forgotten_by_loop(connection);
}

static void close_poll(struct pg_connection *connection)
{
    if (connection->poll != NULL) {
        uv_close((uv_handle_t *)connection->poll, on_poll_closed);
        connection->poll = NULL;
        connection->poll_events = 0;
    }
}

static void drop_addresses(struct pg_connection *connection)
{
    uv_freeaddrinfo(connection->addresses);
    connection->addresses = NULL;
    connection->address = NULL;
}

/* Everything that belongs to one attempt. True if an exchange was running. */
static bool drop_session(struct pg_connection *connection)
{
    close_poll(connection);
    uv_timer_stop(&connection->timer);
    if (connection->lookup != NULL) {
        uv_cancel((uv_req_t *)&connection->lookup->request);
        connection->lookup = NULL;
    }
    PQfinish(connection->pg);
    connection->pg = NULL;
    connection->is_set_up = false;
    connection->fatal[0] = '\0';
    return pg_exchange_forget(connection);
}

/* Pauses before the next round over all hosts. Calls back. */
static void lose(struct pg_connection *connection, const char *why)
{
    char line[PG_WHY_SIZE];
    pg_copy_line(line, sizeof line, why);
    struct pg_end end = {.outcome = PG_LOST, .message = line};
    pg_end_fn *on_end = connection->exchange.on_end;
    void *exchange_arg = connection->exchange.arg;
    bool was_running = drop_session(connection);
    drop_addresses(connection);
    pg_conninfo_free(connection->conninfo);
    connection->conninfo = NULL;

    uint16_t jitter = 0;
    uv_random(NULL, NULL, &jitter, sizeof jitter, 0, NULL);
    uint64_t pause_ms = connection->pause_ms * 3 / 4;
    pause_ms += connection->pause_ms * jitter / (UINT64_C(2) * UINT16_MAX);
    connection->pause_ms *= 2;
    if (connection->pause_ms > PAUSE_MAX_MS) {
        connection->pause_ms = PAUSE_MAX_MS;
    }
    connection->state = SESSION_PAUSING;
    pg_session_start_timer(connection, pause_ms);

    if (was_running) {
        on_end(exchange_arg, &end);
    }
    if (connection->state != SESSION_CLOSING) {
        connection->events.on_lost(connection->arg, line);
    }
}

void pg_session_failed(struct pg_connection *connection, const char *why)
{
    if (connection->state == SESSION_CLOSING) {
        return;
    }
    if (connection->is_set_up) {
        lose(connection, why);
    } else {
        attempt_failed(connection, why);
    }
}

void pg_session_fail_soon(struct pg_connection *connection, const char *why)
{
    if (connection->state == SESSION_LIVE) {
        pg_copy_line(connection->why, sizeof connection->why, why);
        start_soon(connection, SESSION_BREAKING);
    }
}

/* Goes on to the next address, or the next host; when there is none, the round is over. */
static void attempt_failed(struct pg_connection *connection, const char *why)
{
    size_t length = strlen(connection->why);
    const char *separator = length > 0 ? "; " : "";
    snprintf(connection->why + length, sizeof connection->why - length, "%s", separator);
    length += strlen(separator);
    if (length < sizeof connection->why) {
        pg_copy_line(connection->why + length, sizeof connection->why - length, why);
    }
    drop_session(connection);
    if (connection->address != NULL && connection->address->ai_next != NULL) {
        connection->address = connection->address->ai_next;
    } else {
        drop_addresses(connection);
        connection->host++;
    }
    if (connection->conninfo == NULL ||
        connection->host >= pg_conninfo_host_count(connection->conninfo)) {
        lose(connection, connection->why);
    } else {
        start_soon(connection, SESSION_STARTING);
    }
}

static void deliver_notifications(struct pg_connection *connection)
{
    while (connection->state == SESSION_LIVE) {
        PGnotify *notify = PQnotifies(connection->pg);
        if (notify == NULL) {
            return;
        }
        if (connection->is_set_up && connection->events.on_notification != NULL) {
            connection->events.on_notification(connection->arg, notify->relname, notify->extra);
        }
        PQfreemem(notify);
    }
}

/* The server's last words are better than libpq's "closed the connection unexpectedly". */
static const char *why_it_ended(const struct pg_connection *connection)
{
    if (connection->exchange.phase != EXCHANGE_NONE && connection->exchange.is_refused) {
        return connection->exchange.message;
    }
    return connection->fatal[0] != '\0' ? connection->fatal : PQerrorMessage(connection->pg);
}

static void serve_session(struct pg_connection *connection, bool is_readable)
{
    /* Flush first: it may read as well, and what it read must be looked at below. */
    if ((connection->poll_events & UV_WRITABLE) != 0) {
        pg_session_flush(connection);
    }
    if (connection->state == SESSION_LIVE && is_readable && PQconsumeInput(connection->pg) == 0) {
        pg_session_failed(connection, why_it_ended(connection));
    }
    if (connection->state == SESSION_LIVE) {
        pg_exchange_read(connection);
    }
    deliver_notifications(connection);
}

static void advance_connect(struct pg_connection *connection);

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct pg_connection *connection = poll->data;
    if (connection->state == SESSION_CONNECTING) {
        advance_connect(connection);
    } else if (connection->state == SESSION_LIVE) {
        serve_session(connection, status < 0 || (events & UV_READABLE) != 0);
    }
}

static int open_poll(struct pg_connection *connection, int events)
{
    uv_poll_t *poll = malloc(sizeof *poll);
    if (poll == NULL) {
        return UV_ENOMEM;
    }
    int status = uv_poll_init(connection->loop, poll, PQsocket(connection->pg));
    if (status < 0) {
        free(poll);
        return status;
    }
    poll->data = connection;
    connection->poll = poll;
    connection->known_to_loop++;
    connection->poll_events = events;
    return uv_poll_start(poll, events, on_poll);
}

void pg_session_flush(struct pg_connection *connection)
{
    int unsent = PQflush(connection->pg);
    if (unsent < 0) {
        pg_session_fail_soon(connection, PQerrorMessage(connection->pg));
        return;
    }
    int events = UV_READABLE | (unsent > 0 ? UV_WRITABLE : 0);
    if (events != connection->poll_events) {
        connection->poll_events = events;
        uv_poll_start(connection->poll, events, on_poll);
    }
}

static void on_timeline(void *arg, size_t statement, const PGresult *result)
{
    struct pg_connection *connection = arg;
    (void)statement;
    if (PQntuples(result) == 1 && !PQgetisnull(result, 0, 0)) {
        connection->timeline = (uint32_t)strtoul(PQgetvalue(result, 0, 0), NULL, 16);
    }
}

static void on_timeline_end(void *arg, const struct pg_end *end)
{
    struct pg_connection *connection = arg;
    /* PG_REFUSED: a standby, or a server without these functions. It has no timeline for us, that
     * is all. */
    if (end->outcome != PG_LOST) {
        uv_timer_stop(&connection->timer);
        connection->is_set_up = true;
        connection->why[0] = '\0';
        drop_addresses(connection);
        connection->events.on_ready(connection->arg);
    }
}

static void on_settings_end(void *arg, const struct pg_end *end)
{
    static const struct pg_statement ask_timeline = {
        .sql = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"};
    struct pg_connection *connection = arg;

    if (end->outcome == PG_REFUSED) {
        pg_session_failed(connection, end->message);
    } else if (end->outcome == PG_OK) {
        pg_exchange_begin(connection, on_timeline, on_timeline_end, connection);
        pg_exchange_add(connection, &ask_timeline, NULL);
        pg_exchange_send(connection);
    }
}

/* A limit that the URL, the role or the database sets stays; so does any level of
 * synchronous_commit but "off", since an answer 2xx promises that the event is on disk. */
static void set_up_session(struct pg_connection *connection)
{
    static const struct pg_statement apply_settings = {
        .sql = "SELECT set_config(name, value, false) FROM (VALUES ('TimeZone', 'UTC'),"
               " ('statement_timeout', '30s'), ('idle_in_transaction_session_timeout', '30s'),"
               " ('synchronous_commit', 'on')) AS ours (name, value)"
               " WHERE name = 'TimeZone' OR current_setting(name) IN ('0', 'off')"};

    connection->timeline = 0;
    pg_exchange_begin(connection, NULL, on_settings_end, connection);
    pg_exchange_add(connection, &apply_settings, NULL);
    pg_exchange_send(connection);
}

static void advance_connect(struct pg_connection *connection)
{
    /* PQconnectPoll may close its socket and open another, also under the same number: the poll
     * handle goes before the call and a new one comes after it. */
    close_poll(connection);
    PostgresPollingStatusType wanted = PQconnectPoll(connection->pg);
    if (wanted == PGRES_POLLING_FAILED) {
        attempt_failed(connection, PQerrorMessage(connection->pg));
        return;
    }
    int events = wanted == PGRES_POLLING_WRITING ? UV_WRITABLE : UV_READABLE;
    int status = open_poll(connection, events);
    if (status < 0) {
        attempt_failed(connection, uv_strerror(status));
        return;
    }
    if (wanted == PGRES_POLLING_OK) {
        if (PQsetnonblocking(connection->pg, 1) < 0 || PQenterPipelineMode(connection->pg) == 0) {
            attempt_failed(connection, PQerrorMessage(connection->pg));
            return;
        }
        connection->state = SESSION_LIVE;
        set_up_session(connection);
    }
}

/* sql/ never logs: notices are dropped, but a server that hangs up says why in one. */
static void on_notice(void *arg, const PGresult *notice)
{
    struct pg_connection *connection = arg;
    const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *text = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
    if (severity != NULL && text != NULL && strcmp(severity, "FATAL") == 0) {
        pg_copy_line(connection->fatal, sizeof connection->fatal, text);
    }
}

static void start_connect(struct pg_connection *connection)
{
    char numeric[NI_MAXHOST] = "";
    const struct addrinfo *address = connection->address;
    if (address != NULL) {
        getnameinfo(address->ai_addr, address->ai_addrlen, numeric, sizeof numeric, NULL, 0,
                    NI_NUMERICHOST);
    }
    connection->state = SESSION_CONNECTING;
    connection->pg =
        pg_conninfo_connect(connection->conninfo, connection->host,
                            address != NULL ? numeric : NULL, connection->application_name);
    if (connection->pg == NULL) {
        attempt_failed(connection, "out of memory");
        return;
    }
    PQsetNoticeReceiver(connection->pg, on_notice, connection);
    if (PQstatus(connection->pg) == CONNECTION_BAD) {
        attempt_failed(connection, PQerrorMessage(connection->pg));
        return;
    }
    int status = open_poll(connection, UV_WRITABLE);
    if (status < 0) {
        attempt_failed(connection, uv_strerror(status));
    }
}

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct lookup *lookup = (struct lookup *)request;
    struct pg_connection *connection = lookup->connection;

    if (connection->lookup != lookup) { /* given up meanwhile */
        uv_freeaddrinfo(addresses);
    } else {
        connection->lookup = NULL;
        if (status < 0) {
            char why[PG_WHY_SIZE];
            snprintf(why, sizeof why, "cannot look up the host %s: %s",
                     pg_conninfo_name_to_look_up(connection->conninfo, connection->host),
                     uv_strerror(status));
            attempt_failed(connection, why);
        } else {
            connection->addresses = addresses;
            connection->address = addresses;
            start_connect(connection);
        }
    }
    free(lookup);
    forgotten_by_loop(connection);
}

static void start_lookup(struct pg_connection *connection, const char *name)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct lookup *lookup = malloc(sizeof *lookup);
    int status = UV_ENOMEM;

    connection->state = SESSION_LOOKING_UP;
    if (lookup != NULL) {
        lookup->connection = connection;
        status =
            uv_getaddrinfo(connection->loop, &lookup->request, on_looked_up, name, NULL, &hints);
    }
    if (status < 0) {
        free(lookup);
        attempt_failed(connection, uv_strerror(status));
        return;
    }
    connection->lookup = lookup;
    connection->known_to_loop++;
}

static void on_timer(uv_timer_t *timer)
{
    struct pg_connection *connection = timer->data;
    char why[PG_WHY_SIZE];

    switch (connection->state) {
    case SESSION_PAUSING:
        connection->host = 0;
        connection->why[0] = '\0';
        begin_attempt(connection);
        break;
    case SESSION_LIVE:
        if (connection->is_set_up) {
            snprintf(why, sizeof why, "the database did not answer within %.1f s",
                     (double)connection->exchange_timeout_ms / 1000);
            pg_session_failed(connection, why);
            break;
        }
        /* fall through */
    case SESSION_LOOKING_UP:
    case SESSION_CONNECTING: {
        const char *host = pg_conninfo_host(connection->conninfo, connection->host);
        snprintf(why, sizeof why, "cannot connect to %s within %.0f s", host,
                 (double)connection->attempt_timeout_ms / 1000);
        attempt_failed(connection, why);
        break;
    }
    case SESSION_STARTING:
    case SESSION_BREAKING:
    case SESSION_CLOSING:
        break;
    }
}

static void begin_attempt(struct pg_connection *connection)
{
    if (connection->conninfo == NULL) {
        char why[PG_CONNINFO_WHY_SIZE];
        connection->conninfo = pg_conninfo_parse(connection->url, why);
        if (connection->conninfo == NULL) {
            attempt_failed(connection, why);
            return;
        }
        connection->attempt_timeout_ms = pg_conninfo_connect_timeout_ms(connection->conninfo);
    }
    if (connection->attempt_timeout_ms > 0) {
        pg_session_start_timer(connection, connection->attempt_timeout_ms);
    }
    const char *name = pg_conninfo_name_to_look_up(connection->conninfo, connection->host);
    if (name != NULL && connection->address == NULL) {
        start_lookup(connection, name);
    } else {
        start_connect(connection);
    }
}

static void on_soon(uv_idle_t *soon)
{
    struct pg_connection *connection = soon->data;
    uv_idle_stop(soon);
    if (connection->state == SESSION_STARTING) {
        begin_attempt(connection);
    } else if (connection->state == SESSION_BREAKING) {
        char why[PG_WHY_SIZE];
        memcpy(why, connection->why, sizeof why);
        connection->why[0] = '\0';
        pg_session_failed(connection, why);
    }
}

static void start_soon(struct pg_connection *connection, enum session_state state)
{
    connection->state = state;
    uv_idle_start(&connection->soon, on_soon);
}

struct pg_connection *pg_connection_new(uv_loop_t *loop,
                                        const struct pg_connection_options *options,
                                        const struct pg_connection_events *events, void *arg)
{
    struct pg_connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) {
        goto no_connection;
    }
    connection->url = strdup(options->url);
    if (connection->url == NULL) {
        goto no_url;
    }
    connection->application_name = strdup(options->application_name);
    if (connection->application_name == NULL) {
        goto no_name;
    }
    connection->loop = loop;
    connection->exchange_timeout_ms = options->exchange_timeout_ms;
    connection->events = *events;
    connection->arg = arg;
    connection->pause_ms = PAUSE_MIN_MS;
    uv_timer_init(loop, &connection->timer);
    connection->timer.data = connection;
    uv_idle_init(loop, &connection->soon);
    connection->soon.data = connection;
    connection->known_to_loop = 2;
    start_soon(connection, SESSION_STARTING);
    return connection;

no_name:
    free(connection->url);
no_url:
    free(connection);
no_connection:
    return NULL;
}

void pg_connection_close(struct pg_connection *connection, void (*on_closed)(void *arg))
{
    assert(connection->state != SESSION_CLOSING);
    connection->state = SESSION_CLOSING;
    connection->on_closed = on_closed;
    drop_session(connection);
    drop_addresses(connection);
    pg_conninfo_free(connection->conninfo);
    uv_close((uv_handle_t *)&connection->timer, on_handle_closed);
    uv_close((uv_handle_t *)&connection->soon, on_handle_closed);
}

bool pg_connection_is_ready(const struct pg_connection *connection)
{
    return connection->state == SESSION_LIVE && connection->is_set_up;
}

bool pg_connection_is_idle(const struct pg_connection *connection)
{
    return pg_connection_is_ready(connection) && connection->exchange.phase == EXCHANGE_NONE;
}

void pg_connection_reset(struct pg_connection *connection, const char *why)
{
    pg_session_fail_soon(connection, why);
}

uint32_t pg_connection_timeline(const struct pg_connection *connection)
{
    return connection->timeline;
}
