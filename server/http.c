#include "server/http.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "server/body.h"
#include "server/client_count.h"
#include "server/gzip.h"
#include "server/head.h"
#include "server/linger.h"
#include "server/webhook_secrets.h"

/* A body past its limit is read on, for the client to hear the answer, but not for ever. */
enum { BODY_DROPPED_MAX = 64 * 1024 * 1024, SWEEP_MS = 500 };

static const char body_too_large[] = "The body is over the limit of 4 MiB.";
static const char head_too_large[] = "The head of the request is over the limit of 16 KiB.";

enum {
    CLIENT_ADDRESS_SIZE = 46,
    SLOW_REQUEST_MS = 1000,
    LOGGED_PATH_SIZE = 512,
    ANSWERS_NS_MAX = 2000000, /* of one turn of the loop are spent on making answers, about */
    PAUSED_AT_ONCE = 16,      /* answers that go on in a turn, of those that wait for one */
};

/* libmicrohttpd keeps a request's head, an entry for each field, parameter and cookie, a copy of
 * the cookies, and the answer's head in a pool of the connection. */
enum {
    POOL_BYTES = 2 * HTTP_HEAD_BYTES_MAX,
    POOL_ENTRY_BYTES = 64,
    POOL_ANSWER_BYTES = 4 * 1024,
};

/* A request's life; `enter` moves it on. */
enum request_state {
    REQUEST_BEGUN,    /* its target is known */
    REQUEST_ARRIVING, /* its head was read, its body comes */
    REQUEST_REFUSED,  /* answered, but what is left of its body is still to come, and dropped */
    REQUEST_HANDLED,  /* it is all there, and its handler is called */
    REQUEST_WAITING,  /* the handler has returned: suspended until its answer is there */
    REQUEST_ANSWERED, /* its answer is there, to be sent */
    REQUEST_SENDING,  /* libmicrohttpd has its answer */
    REQUEST_PAUSED,   /* suspended until a turn of the loop has time to make more of the answer */
};

struct http_request {
    struct http_request *prev, *next; /* in the server's list of active requests */
    struct http_request *resume_next; /* in its list of those to resume */
    struct http_request *paused_prev, *paused_next;
    struct http_server *server;
    struct MHD_Connection *connection;
    enum request_state state;
    const char *method_name; /* borrowed from libmicrohttpd */
    bool is_head, is_http_1_1;
    bool is_unverified;
    bool is_last; /* of its connection, which cannot be trusted with another */
    char *target;
    struct uri uri;
    struct route_captures captures;
    const struct route *route; /* NULL: answered without one */
    struct access *access;     /* what the token allows; NULL: nobody is asked for one */
    struct body body;
    unsigned codings;           /* headers that name one of the body */
    size_t announced_length;    /* of the body; 0: not known */
    size_t dropped_length;      /* of what came of it and is not wanted */
    void (*on_gone)(void *arg); /* of who works for it on another thread; NULL: nobody */
    void *gone_arg;
    size_t answer_held;            /* of the account */
    struct MHD_Response *response; /* without it or on_detached the connection is closed */
    unsigned status;
    http_detached_fn *on_detached; /* owed: it was not called yet */
    void *detached_arg;
    int detached_fd; /* the request's own as long as on_detached is owed */
    uint64_t started_ns, read_ns, answered_ns; /* of the head, the body's end, the answer */
    struct rate_state rates[RATE_KINDS];
    char id[REQUEST_ID_SIZE];           /* X-Request-Id, taken over or made */
    char traceparent[TRACEPARENT_SIZE]; /* "": none */
};

/* A connection between two requests, or before its first one. */
struct http_connection {
    struct http_connection *prev, *next;
    struct MHD_Connection *connection;
    struct http_request *request;    /* begun and not completed; NULL: none */
    struct client_count *of_address; /* NULL: not counted */
    uint64_t since_ns;
    bool is_waiting; /* in the server's list: has no request */
    int linger_fd;   /* its socket once more, to be read on when libmicrohttpd is done; -1: not */
};

struct http_server {
    uv_loop_t *loop;
    struct http_options options;
    struct MHD_Daemon *daemon;
    uv_poll_t poll; /* libmicrohttpd's epoll descriptor */
    uv_timer_t timer;
    bool is_stopping;
    struct http_request *active; /* all between their head and their end */
    size_t active_count;
    uint64_t ids_start, ids_given; /* of requests */
    struct http_request *to_resume;
    struct http_request *paused; /* whose answers wait for a turn, the longest first */
    uint64_t turn_ends_ns;       /* for the making of answers */
    bool has_database;           /* else what needs it is answered 503 */
    bool is_closing;
    struct http_connection *waiting; /* the longest first */
    struct client_count *addresses;  /* connections of each, if they are limited */
    struct lingering *lingering;
    uv_timer_t sweep;
};

static struct http_connection *connection_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info == NULL ? NULL : info->socket_context;
}

static int socket_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

    assert(info != NULL);
    return info->connect_fd;
}

static void address_text(const struct sockaddr *address, char out[static CLIENT_ADDRESS_SIZE])
{
    const void *bytes;

    out[0] = '\0';
    if (address == NULL || (address->sa_family != AF_INET && address->sa_family != AF_INET6))
        return;
    bytes = address->sa_family == AF_INET
                ? (const void *)&((const struct sockaddr_in *)(const void *)address)->sin_addr
                : (const void *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    inet_ntop(address->sa_family, bytes, out, CLIENT_ADDRESS_SIZE);
}

static void connection_address(struct MHD_Connection *connection,
                               char out[static CLIENT_ADDRESS_SIZE])
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

    address_text(info == NULL ? NULL : info->client_addr, out);
}

/* -------- a request's life -------- */

/* The one way from a state to another. */
static void enter(struct http_request *request, enum request_state state)
{
    struct http_server *server = request->server;
    enum request_state left = request->state;

    request->state = state;
    if (left == REQUEST_PAUSED) {
        DL_DELETE2(server->paused, request, paused_prev, paused_next);
        MHD_resume_connection(request->connection);
    }
    switch (state) {
    case REQUEST_BEGUN:
        request->started_ns = uv_hrtime();
        break;
    case REQUEST_ARRIVING:
        assert(left == REQUEST_BEGUN);
        break;
    case REQUEST_HANDLED:
        assert(left == REQUEST_ARRIVING);
        request->read_ns = uv_hrtime();
        break;
    case REQUEST_WAITING:
        assert(left == REQUEST_HANDLED);
        MHD_suspend_connection(request->connection);
        break;
    case REQUEST_REFUSED:
        assert(left == REQUEST_ARRIVING);
        request->answered_ns = uv_hrtime();
        break;
    case REQUEST_ANSWERED:
        assert(left == REQUEST_HANDLED || left == REQUEST_WAITING);
        request->answered_ns = uv_hrtime();
        if (left != REQUEST_WAITING)
            break;
        LL_PREPEND2(server->to_resume, request, resume_next);
        *server->options.is_due = true;
        break;
    case REQUEST_SENDING:
        assert(left == REQUEST_REFUSED || left == REQUEST_ANSWERED || left == REQUEST_PAUSED);
        break;
    case REQUEST_PAUSED:
        assert(left == REQUEST_SENDING);
        MHD_suspend_connection(request->connection);
        DL_APPEND2(server->paused, request, paused_prev, paused_next);
        *server->options.is_due = true;
        break;
    }
}

/* -------- what handlers ask -------- */

static size_t name_length(const char *captured)
{
    return strcspn(captured, "}");
}

const char *http_request_capture(const struct http_request *request, const char *name)
{
    for (size_t i = 0; i < request->captures.count; i++) {
        const struct uri_parameter *item = &request->captures.items[i];

        if (strlen(name) == name_length(item->name) && strncmp(item->name, name, strlen(name)) == 0)
            return item->value;
    }
    return NULL;
}

const char *http_request_parameter(const struct http_request *request, const char *name)
{
    const char *value = NULL;

    for (size_t i = 0; i < request->uri.parameter_count; i++)
        if (strcmp(request->uri.parameters[i].name, name) == 0)
            value = request->uri.parameters[i].value;
    return value;
}

const struct uri *http_request_uri(const struct http_request *request)
{
    return &request->uri;
}

const char *http_request_header(const struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

const char *http_request_method(const struct http_request *request)
{
    switch (request->route->method) {
    case HTTP_GET:
        return request->is_head ? "HEAD" : "GET";
    case HTTP_POST:
        return "POST";
    case HTTP_PUT:
        return "PUT";
    case HTTP_DELETE:
        break;
    }
    return "DELETE";
}

bool http_request_has_route(const struct http_request *request)
{
    return request->route != NULL;
}

bool http_request_is_head(const struct http_request *request)
{
    return request->is_head;
}

struct app *http_request_app(const struct http_request *request)
{
    return request->server->options.app;
}

struct access *http_request_access(const struct http_request *request)
{
    return request->access;
}

bool http_request_is_unverified(const struct http_request *request)
{
    return request->is_unverified;
}

const char *http_request_bearer(const struct http_request *request)
{
    return head_bearer(http_request_header(request, MHD_HTTP_HEADER_AUTHORIZATION));
}

char *http_request_take_body(struct http_request *request, size_t *length)
{
    return body_take(&request->body, length);
}

void http_request_hold(struct http_request *request, size_t bytes)
{
    body_hold(&request->body, request->server->options.memory, bytes);
}

void http_request_when_gone(struct http_request *request, void (*gone)(void *arg), void *arg)
{
    request->on_gone = gone;
    request->gone_arg = arg;
}

/* -------- who asks, and how often -------- */

void http_request_client(const struct http_request *request, char out[static CLIENT_NAME_SIZE])
{
    const struct access *access = request->access;
    char address[CLIENT_ADDRESS_SIZE];

    connection_address(request->connection, address);
    if (access != NULL && access->subject[0] != '\0')
        snprintf(out, CLIENT_NAME_SIZE, "sub:%s", access->subject);
    else
        snprintf(out, CLIENT_NAME_SIZE, "addr:%s", address);
}

bool http_request_spend(struct http_request *request, enum rate_kind kind, int64_t count)
{
    const struct http_options *options = &request->server->options;
    char client[CLIENT_NAME_SIZE];
    int64_t retry_s;

    if (options->rate_limits == NULL)
        return true;
    http_request_client(request, client);
    if (rate_limits_take(options->rate_limits, client, kind, count, uv_hrtime(),
                         &request->rates[kind], &retry_s))
        return true;
    metrics_add(options->metrics, METRIC_RATE_LIMITED, 1);
    reply_too_many(request, rate_kind_name(kind), retry_s);
    return false;
}

bool http_request_has_client(const struct http_request *request)
{
    char next;
    ssize_t got = recv(socket_of(request->connection), &next, 1, MSG_PEEK | MSG_DONTWAIT);

    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR));
}

/* -------- headers that every answer has -------- */

typedef void header_fn(void *arg, const char *name, const char *value);

static void add_cors(const struct http_request *request, header_fn *add, void *arg)
{
    const char *list = request->server->options.cors_origins;
    const char *origin = http_request_header(request, "Origin");

    if (list[0] == '\0') {
        add(arg, "Cross-Origin-Resource-Policy", "same-origin");
        return;
    }
    if (strcmp(list, "*") == 0) {
        add(arg, "Access-Control-Allow-Origin", "*");
    } else {
        add(arg, "Vary", "Origin");
        if (origin == NULL || !head_origin_is_listed(list, origin))
            return;
        add(arg, "Access-Control-Allow-Origin", origin);
        add(arg, "Access-Control-Allow-Credentials", "true");
    }
    add(arg, "Access-Control-Expose-Headers",
        "RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, X-Request-Id");
}

/* As draft-ietf-httpapi-ratelimit-headers has it. */
static void add_rates(const struct http_request *request, header_fn *add, void *arg)
{
    char policy[96] = "", left[96] = "";

    for (int kind = 0; kind < RATE_KINDS; kind++) {
        const struct rate_state *rate = &request->rates[kind];
        size_t policy_length = strlen(policy), left_length = strlen(left);
        const char *name = rate_kind_name((enum rate_kind)kind);
        const char *comma = policy_length == 0 ? "" : ", ";

        if (rate->quota == 0)
            continue;
        snprintf(policy + policy_length, sizeof policy - policy_length, "%s\"%s\";q=%lld;w=%d",
                 comma, name, (long long)rate->quota, RATE_WINDOW_S);
        snprintf(left + left_length, sizeof left - left_length, "%s\"%s\";r=%lld;t=%lld", comma,
                 name, (long long)rate->remaining, (long long)rate->reset_s);
    }
    if (policy[0] == '\0')
        return;
    add(arg, "RateLimit-Policy", policy);
    add(arg, "RateLimit", left);
}

static void common_headers(const struct http_request *request, header_fn *add, void *arg)
{
    add(arg, "X-Content-Type-Options", "nosniff");
    add(arg, "Referrer-Policy", "no-referrer");
    add(arg, "X-Request-Id", request->id);
    add_rates(request, add, arg);
    add_cors(request, add, arg);
}

/* -------- answers -------- */

/* The request's answer: `response`, or on_detached if that is set, or else the end of its
 * connection. */
static void answer_with(struct http_request *request, unsigned status,
                        struct MHD_Response *response)
{
    request->status = status;
    request->response = response;
    enter(request, request->state == REQUEST_ARRIVING ? REQUEST_REFUSED : REQUEST_ANSWERED);
}

int http_request_detach(struct http_request *request, http_detached_fn *on_detached, void *arg)
{
    request->detached_fd = fcntl(socket_of(request->connection), F_DUPFD_CLOEXEC, 0);
    if (request->detached_fd < 0)
        return -EMFILE;
    request->on_detached = on_detached;
    request->detached_arg = arg;
    answer_with(request, MHD_HTTP_OK, NULL);
    return 0;
}

/* Whether this turn of the loop has time to make more of the answer; if not, it goes on later. */
static bool has_turn(struct http_request *request)
{
    struct http_server *server = request->server;

    if (uv_hrtime() < server->turn_ends_ns || server->is_closing)
        return true;
    enter(request, REQUEST_PAUSED);
    return false;
}

enum {
    PACK_BYTES_MIN = 1024,   /* smaller bodies gain nothing by gzip */
    BLOCK_BYTES = 16 * 1024, /* that libmicrohttpd takes of a piece at once, where it buffers */
};

/* No answer of the API is a page. */
static const char no_page[] = "default-src 'none'; frame-ancestors 'none'";

/* An answer on its way out. */
struct answer {
    struct http_request *request;
    unsigned status;
    const char *content_type;
    const struct reply_header *headers; /* more of them; NULL: none */
    char *bytes;
    size_t length;
    bool is_static;   /* `bytes` live as long as the program; else malloc'd, and the answer's own */
    bool is_packable; /* might have been compressed for another client */
    bool is_packed;
};

static void add_header(void *arg, const char *name, const char *value)
{
    MHD_add_response_header(arg, name, value);
}

static void free_bytes(struct answer *answer)
{
    if (!answer->is_static)
        free(answer->bytes);
    answer->bytes = NULL;
}

static void add_default(struct MHD_Response *response, const char *name, const char *value)
{
    if (MHD_get_response_header(response, name) == NULL)
        MHD_add_response_header(response, name, value);
}

/* What an answer says of itself besides its own headers. */
static void add_common(const struct http_request *request, struct MHD_Response *response)
{
    add_default(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    add_default(response, MHD_HTTP_HEADER_CONTENT_SECURITY_POLICY, no_page);
    if (request->is_last)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    common_headers(request, add_header, response);
}

/* `response` NULL, out of memory, closes the connection: there is nothing left to answer with. */
static void send_response(const struct answer *answer, struct MHD_Response *response)
{
    if (response != NULL) {
        if (answer->content_type != NULL)
            MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->content_type);
        for (const struct reply_header *header = answer->headers;
             header != NULL && header->name != NULL; header++)
            MHD_add_response_header(response, header->name, header->value);
        if (answer->is_packable)
            MHD_add_response_header(response, MHD_HTTP_HEADER_VARY, "Accept-Encoding");
        if (answer->is_packed)
            MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
        add_common(answer->request, response);
    }
    answer_with(answer->request, answer->status, response);
}

/* Takes the answer's bytes over. */
static void send_now(struct answer *answer)
{
    struct http_request *request = answer->request;
    struct MHD_Response *response = MHD_create_response_from_buffer(
        answer->length, answer->bytes,
        answer->is_static ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_FREE);

    if (response == NULL)
        free_bytes(answer);
    else if (!answer->is_static)
        memory_hold(request->server->options.memory, MEMORY_ANSWERS, &request->answer_held,
                    answer->length);
    send_response(answer, response);
}

/* -------- in pieces, and gzipped -------- */

/* A body on its way out, piece by piece. For a client that takes gzip each piece is deflated on its
 * own (see server/gzip.h); an answer is packed in no other way. */
struct pieces {
    struct http_request *request; /* is there while it is sent */
    const struct reply_source *source;
    void *arg;
    struct memory *memory;
    size_t held;        /* of the account */
    struct buffer made; /* the piece under way, as it goes out */
    size_t sent;        /* of it */
    bool is_packed, is_begun, is_last;
    struct gzip_sum sum; /* of a packed one */
};

static void end_pieces(void *arg)
{
    struct pieces *pieces = arg;

    pieces->source->end(pieces->arg);
    memory_hold(pieces->memory, MEMORY_ANSWERS, &pieces->held, 0);
    buffer_free(&pieces->made);
    free(pieces);
}

static void pack_piece(struct pieces *pieces, const struct buffer *plain)
{
    struct gzip_piece *packed =
        gzip_pack(pieces->request->server->options.packer, plain->bytes, plain->length);

    if (packed == NULL) {
        pieces->made.failed = true;
        return;
    }
    buffer_append(&pieces->made, packed->bytes, packed->length);
    gzip_sum_add(&pieces->sum, packed);
    free(packed);
}

/* Takes the bytes of a piece over. False when out of memory. */
static bool take_piece(struct pieces *pieces, struct buffer *plain)
{
    pieces->sent = 0;
    if (pieces->is_packed) {
        pieces->made.length = 0;
        if (!pieces->is_begun)
            gzip_append_header(&pieces->made);
        pieces->is_begun = true;
        if (plain->length > 0)
            pack_piece(pieces, plain);
        if (pieces->is_last)
            gzip_append_trailer(&pieces->made, &pieces->sum);
        pieces->made.failed |= plain->failed;
        buffer_free(plain);
    } else {
        buffer_free(&pieces->made);
        pieces->made = *plain;
    }
    memory_hold(pieces->memory, MEMORY_ANSWERS, &pieces->held,
                sizeof *pieces + pieces->made.capacity);
    return !pieces->made.failed;
}

static bool make_piece(struct pieces *pieces)
{
    struct buffer plain = {0};
    int status = pieces->source->next(pieces->arg, &plain);

    if (status < 0 || plain.failed) {
        buffer_free(&plain);
        return false;
    }
    pieces->is_last = status == 1;
    return take_piece(pieces, &plain);
}

static ssize_t read_pieces(void *arg, uint64_t position, char *out, size_t room)
{
    struct pieces *pieces = arg;
    size_t length;

    (void)position;
    while (pieces->sent == pieces->made.length) {
        if (pieces->is_last)
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (!has_turn(pieces->request))
            return 0;
        if (!make_piece(pieces)) {
            /* Its client is to know at once that this is not all, and libmicrohttpd, too, which
             * would keep the connection until its timeout (seen with 0.9.75). */
            shutdown(socket_of(pieces->request->connection), SHUT_RDWR);
            return MHD_CONTENT_READER_END_WITH_ERROR;
        }
    }
    length = pieces->made.length - pieces->sent;
    if (length > room)
        length = room;
    memcpy(out, pieces->made.bytes + pieces->sent, length);
    pieces->sent += length;
    return (ssize_t)length;
}

static struct MHD_Response *response_of(struct pieces *pieces)
{
    if (pieces->is_last) /* its length is known */
        return MHD_create_response_from_buffer_with_free_callback_cls(
            pieces->made.length, pieces->made.bytes, end_pieces, pieces);
    return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_pieces, pieces,
                                             end_pieces);
}

/* Takes the bytes of the first piece over; `is_last`: it is the only one. */
static void send_pieces(struct answer *answer, const struct reply_source *source, void *arg,
                        struct buffer *first, bool is_last)
{
    struct pieces *pieces = calloc(1, sizeof *pieces);
    struct MHD_Response *response = NULL;

    if (pieces == NULL) {
        buffer_free(first);
        source->end(arg);
        send_response(answer, NULL);
        return;
    }
    pieces->request = answer->request;
    pieces->memory = answer->request->server->options.memory;
    pieces->source = source;
    pieces->arg = arg;
    pieces->is_packed = answer->is_packed;
    pieces->is_last = is_last;
    if (take_piece(pieces, first))
        response = response_of(pieces);
    if (response == NULL)
        end_pieces(pieces);
    send_response(answer, response);
}

static bool takes_gzip(const struct http_request *request)
{
    return gzip_is_accepted(http_request_header(request, "Accept-Encoding"));
}

/* A body that is there as a whole, in pieces. */
struct whole {
    char *bytes;
    size_t length, at;
    bool is_static;
    struct memory *memory;
    size_t held;
};

static int next_of_whole(void *arg, struct buffer *piece)
{
    struct whole *whole = arg;
    size_t length = whole->length - whole->at;

    if (length > REPLY_PIECE_BYTES)
        length = REPLY_PIECE_BYTES;
    buffer_append(piece, whole->bytes + whole->at, length);
    whole->at += length;
    return whole->at == whole->length;
}

static void end_whole(void *arg)
{
    struct whole *whole = arg;

    memory_hold(whole->memory, MEMORY_ANSWERS, &whole->held, 0);
    if (!whole->is_static)
        free(whole->bytes);
    free(whole);
}

/* The answer's bytes, packed as they are sent; out of memory they go out as they are. */
static void send_packed(struct answer *answer)
{
    static const struct reply_source source = {.next = next_of_whole, .end = end_whole};
    struct whole *whole = calloc(1, sizeof *whole);
    struct buffer first = {0};
    bool is_last;

    if (whole == NULL) {
        send_now(answer);
        return;
    }
    *whole = (struct whole){.bytes = answer->bytes,
                            .length = answer->length,
                            .is_static = answer->is_static,
                            .memory = answer->request->server->options.memory};
    if (!whole->is_static)
        memory_hold(whole->memory, MEMORY_ANSWERS, &whole->held, whole->length);
    answer->is_packed = true;
    is_last = next_of_whole(whole, &first) == 1;
    send_pieces(answer, &source, whole, &first, is_last);
}

static void send_whole(struct answer *answer)
{
    answer->is_packable = answer->length >= PACK_BYTES_MIN;
    if (answer->is_packable && takes_gzip(answer->request))
        send_packed(answer);
    else
        send_now(answer);
}

void reply_pieces(struct http_request *request, unsigned status, const char *content_type,
                  const struct reply_source *source, void *arg)
{
    struct answer answer = {.request = request, .status = status, .content_type = content_type};
    struct buffer first = {0};
    int made = source->next(arg, &first);

    if (made == 0 && !first.failed) {
        answer.is_packable = true;
        answer.is_packed = takes_gzip(request);
        send_pieces(&answer, source, arg, &first, false);
        return;
    }
    source->end(arg);
    if (made == 1) {
        reply_buffer(request, status, content_type, &first);
        return;
    }
    buffer_free(&first);
    reply_unavailable(request, made < 0 ? made : -ENOMEM);
}

void reply_buffer_with(struct http_request *request, unsigned status, const char *content_type,
                       struct buffer *buffer, const struct reply_header *headers)
{
    struct answer answer = {.request = request,
                            .status = status,
                            .content_type = content_type,
                            .headers = headers,
                            .bytes = buffer->bytes,
                            .length = buffer->length};

    if (buffer->failed) {
        buffer_free(buffer);
        reply_problemf(request, PROBLEM_INTERNAL, NULL, "Out of memory.");
        return;
    }
    *buffer = (struct buffer){0};
    send_whole(&answer);
}

void reply_buffer(struct http_request *request, unsigned status, const char *content_type,
                  struct buffer *buffer)
{
    reply_buffer_with(request, status, content_type, buffer, NULL);
}

/* Takes the reference over. False when out of memory. */
static bool take_document(struct answer *answer, json_t *document)
{
    answer->bytes = document == NULL ? NULL : json_dumps(document, JSON_COMPACT);
    answer->length = answer->bytes == NULL ? 0 : strlen(answer->bytes);
    json_decref(document);
    return answer->bytes != NULL;
}

void reply_json(struct http_request *request, unsigned status, json_t *document)
{
    struct answer answer = {
        .request = request, .status = status, .content_type = "application/json"};

    if (take_document(&answer, document))
        send_whole(&answer);
    else
        reply_problemf(request, PROBLEM_INTERNAL, NULL, "Out of memory.");
}

void reply_session(struct http_request *request, unsigned status, json_t *document,
                   const char *cookie)
{
    const struct reply_header headers[] = {{MHD_HTTP_HEADER_SET_COOKIE, cookie}, {NULL, NULL}};
    struct answer answer = {
        .request = request, .status = status, .headers = headers, .is_static = document == NULL};

    if (document != NULL)
        answer.content_type = "application/json";
    if (document == NULL || take_document(&answer, document))
        send_now(&answer);
    else
        reply_problemf(request, PROBLEM_INTERNAL, NULL, "Out of memory.");
}

static struct answer static_answer(struct http_request *request, unsigned status,
                                   const char *content_type, const void *bytes, size_t length)
{
    /* MHD_RESPMEM_PERSISTENT does not write to the buffer; its type is not const for the other
     * modes. */
    union {
        const void *in;
        void *out;
    } buffer = {.in = bytes};

    return (struct answer){.request = request,
                           .status = status,
                           .content_type = content_type,
                           .bytes = buffer.out,
                           .length = length,
                           .is_static = true};
}

void reply_static(struct http_request *request, unsigned status, const char *content_type,
                  const void *bytes, size_t length)
{
    struct answer answer = static_answer(request, status, content_type, bytes, length);

    send_whole(&answer);
}

void reply_static_with(struct http_request *request, unsigned status, const char *content_type,
                       const void *bytes, size_t length, const struct reply_header *headers)
{
    struct answer answer = static_answer(request, status, content_type, bytes, length);

    answer.headers = headers;
    send_now(&answer);
}

void reply_empty(struct http_request *request, unsigned status)
{
    reply_static(request, status, NULL, "", 0);
}

/* For those who read problems in a form of their own. False: nobody does here. */
static bool take_problem_form(struct answer *answer, const struct problem *problem)
{
    problem_form *form = answer->request->server->options.problem_form;
    struct problem_answer formed = {0};

    if (form == NULL || !form(answer->request, problem, &formed))
        return false;
    if (formed.body.failed) {
        buffer_free(&formed.body);
        return false;
    }
    answer->status = formed.status;
    answer->content_type = formed.content_type;
    answer->bytes = formed.body.bytes;
    answer->length = formed.body.length;
    return true;
}

static void reply_problem_with(struct http_request *request, const struct problem *problem,
                               const char *header, const char *value)
{
    const struct problem_description *description = problem_describe(problem->kind);
    const struct reply_header headers[] = {
        {description->status == 503 ? MHD_HTTP_HEADER_RETRY_AFTER : header,
         description->status == 503 ? "1" : value},
        {NULL, NULL},
    };
    struct answer answer = {.request = request,
                            .status = (unsigned)description->status,
                            .content_type = "application/problem+json",
                            .headers = headers};

    if (take_problem_form(&answer, problem) || take_document(&answer, problem_to_json(problem)))
        send_now(&answer);
    else
        answer_with(request, answer.status, NULL);
}

void reply_problem(struct http_request *request, const struct problem *problem)
{
    reply_problem_with(request, problem, NULL, NULL);
}

void reply_problemf(struct http_request *request, enum problem_kind kind, const char *pointer,
                    const char *format, ...)
{
    char detail[PROBLEM_DETAIL_SIZE];
    struct problem problem;
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    problem_set(&problem, kind, pointer, "%s", detail);
    reply_problem(request, &problem);
}

/* RFC 6750, section 3 */
void reply_unauthorized(struct http_request *request, const char *why)
{
    char challenge[PROBLEM_DETAIL_SIZE] = "Bearer realm=\"runtree\"";
    struct problem problem;

    if (why != NULL)
        snprintf(challenge, sizeof challenge,
                 "Bearer realm=\"runtree\", error=\"invalid_token\", error_description=\"%s\"",
                 why);
    problem_set(&problem, PROBLEM_UNAUTHORIZED, NULL, "%s",
                why == NULL ? "This needs a token: Authorization: Bearer …" : why);
    reply_problem_with(request, &problem, MHD_HTTP_HEADER_WWW_AUTHENTICATE, challenge);
}

void reply_forbidden(struct http_request *request, const char *right, const char *project,
                     const char *domain)
{
    struct problem problem;

    problem_set(&problem, PROBLEM_FORBIDDEN, NULL, "The token does not give %s on %s/%s.", right,
                project, domain);
    reply_problem_with(request, &problem, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                       "Bearer realm=\"runtree\", error=\"insufficient_scope\"");
}

void reply_too_many(struct http_request *request, const char *what, int64_t retry_s)
{
    struct problem problem;
    char seconds[32];

    snprintf(seconds, sizeof seconds, "%lld", (long long)retry_s);
    problem_set(&problem, PROBLEM_TOO_MANY_REQUESTS, NULL,
                "More %s than one client may have; try again in %s s.", what, seconds);
    reply_problem_with(request, &problem, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
}

void reply_unavailable(struct http_request *request, int status)
{
    if (status == -EAGAIN)
        reply_problemf(request, PROBLEM_OVERLOADED, NULL,
                       "More is waiting for the database than the configured limit.");
    else if (status == -ENOMEM)
        reply_problemf(request, PROBLEM_OVERLOADED, NULL, "Out of memory.");
    else if (status == -ENOBUFS)
        reply_problemf(request, PROBLEM_OVERLOADED, NULL,
                       "The service holds as much for its clients as --memory-max-bytes allows.");
    else if (status == -EMFILE)
        reply_problemf(request, PROBLEM_OVERLOADED, NULL,
                       "The service has as many descriptors open as the system allows.");
    else
        reply_problemf(request, PROBLEM_UNAVAILABLE, NULL, "The database cannot be reached.");
}

void reply_unsupported_coding(struct http_request *request, const char *coding)
{
    struct problem problem;

    problem_set(&problem, PROBLEM_UNSUPPORTED_MEDIA_TYPE, NULL,
                "The body may have the content coding gzip or none, not %.100s.", coding);
    reply_problem_with(request, &problem, MHD_HTTP_HEADER_ACCEPT_ENCODING, "gzip");
}

void reply_nobody(struct http_request *request)
{
    enum { CLIENT_CLOSED_REQUEST = 499 }; /* nginx's name for it, in logs and metrics */

    answer_with(request, CLIENT_CLOSED_REQUEST, NULL);
}

void reply_method_not_allowed(struct http_request *request, const char *allow)
{
    struct problem problem;

    problem_set(&problem, PROBLEM_METHOD_NOT_ALLOWED, NULL, "This path takes %s.", allow);
    reply_problem_with(request, &problem, MHD_HTTP_HEADER_ALLOW, allow);
}

void reply_options(struct http_request *request, const char *allow)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);

    if (response != NULL) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
        if (http_request_header(request, "Access-Control-Request-Method") != NULL) {
            MHD_add_response_header(response, "Access-Control-Allow-Methods", allow);
            MHD_add_response_header(response, "Access-Control-Allow-Headers",
                                    "Authorization, Content-Type, Last-Event-ID, traceparent, "
                                    "X-Request-Id");
            MHD_add_response_header(response, "Access-Control-Max-Age", "600");
        }
    }
    if (response != NULL)
        add_common(request, response);
    answer_with(request, MHD_HTTP_NO_CONTENT, response);
}

/* -------- answers in bytes -------- */

static void append_header(void *arg, const char *name, const char *value)
{
    buffer_text(arg, name);
    buffer_text(arg, ": ");
    buffer_text(arg, value);
    buffer_text(arg, "\r\n");
}

/* RFC 9110, section 6.6.1: of every answer of a server that has a clock. */
static void append_date(struct buffer *head)
{
    time_t now = time(NULL);
    char text[sizeof "Thu, 01 Jan 1970 00:00:00 GMT"];
    struct tm utc;

    if (gmtime_r(&now, &utc) != NULL &&
        strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc) > 0)
        append_header(head, "Date", text);
}

static void write_farewell(struct buffer *out, enum problem_kind kind, const char *detail)
{
    const struct problem_description *description = problem_describe(kind);
    struct answer answer = {0};
    struct problem problem;
    char line[64];

    problem_set(&problem, kind, NULL, "%s", detail);
    if (!take_document(&answer, problem_to_json(&problem))) {
        out->failed = true;
        return;
    }
    snprintf(line, sizeof line, "HTTP/1.1 %d %.40s\r\n", description->status,
             MHD_get_reason_phrase_for((unsigned)description->status));
    buffer_text(out, line);
    append_date(out);
    append_header(out, "Connection", "close");
    append_header(out, "Content-Type", "application/problem+json");
    snprintf(line, sizeof line, "%zu", answer.length);
    append_header(out, "Content-Length", line);
    append_header(out, "Cache-Control", "no-store");
    append_header(out, "Content-Security-Policy", no_page);
    append_header(out, "X-Content-Type-Options", "nosniff");
    append_header(out, "Referrer-Policy", "no-referrer");
    buffer_text(out, "\r\n");
    buffer_append(out, answer.bytes, answer.length);
    free_bytes(&answer);
}

/* -------- streams -------- */

static const struct {
    const char *name, *value;
} stream_headers[] = {
    {"Cache-Control", "no-store, no-transform"},
    {"X-Accel-Buffering", "no"},
    {"Vary", "Accept-Encoding"},
    {"Content-Security-Policy", no_page},
};

static const char event_stream[] = "text/event-stream";

static void add_stream_headers(const struct http_request *request, const char *content_type,
                               bool is_packed, header_fn *add, void *arg)
{
    add(arg, "Content-Type", content_type);
    for (size_t i = 0; i < sizeof stream_headers / sizeof *stream_headers; i++)
        add(arg, stream_headers[i].name, stream_headers[i].value);
    if (is_packed)
        add(arg, "Content-Encoding", "gzip");
    common_headers(request, add, arg);
}

static void append_stream_head(const struct http_request *request, const char *content_type,
                               bool is_packed, struct buffer *out)
{
    buffer_text(out, "HTTP/1.1 200 OK\r\n");
    append_date(out);
    append_header(out, "Connection", "close");
    add_stream_headers(request, content_type, is_packed, append_header, out);
    buffer_text(out, "\r\n");
}

void reply_plain_stream_head(const struct http_request *request, const char *content_type,
                             struct buffer *out)
{
    append_stream_head(request, content_type, false, out);
}

bool reply_stream_head(const struct http_request *request, struct buffer *out)
{
    bool is_gzip = takes_gzip(request);

    append_stream_head(request, event_stream, is_gzip, out);
    if (is_gzip)
        gzip_append_header(out);
    return is_gzip;
}

void reply_stream_head_only(struct http_request *request)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);

    if (response != NULL)
        add_stream_headers(request, event_stream, takes_gzip(request), add_header, response);
    answer_with(request, MHD_HTTP_OK, response);
}
/* -------- one reading of a head -------- */

/* Before version 1.0 libmicrohttpd takes a folded line into the name of the header, ends a value at
 * a NUL, and takes a bare line feed for a line's end. It leaves the head where it was received,
 * with NULs in place of what separated its parts. */
struct head_walk {
    const char *at; /* where the next header must begin; NULL: bytes are not accounted for */
};

static bool parser_is_strict(void)
{
    return strncmp(MHD_get_version(), "0.", 2) != 0;
}

/* The place behind a line's end at `at`; NULL if there is none. */
static const char *skip_line_end(const char *at)
{
    return at[0] == '\0' && at[1] == '\0' ? at + 2 : NULL;
}

static enum MHD_Result walk_header(void *arg, enum MHD_ValueKind kind, const char *name,
                                   size_t name_length, const char *value, size_t value_length)
{
    struct head_walk *walk = arg;
    const char *gap = name + name_length + 1;

    (void)kind;
    if (name != walk->at || value != gap + strspn(gap, " \t"))
        walk->at = NULL;
    else
        walk->at = skip_line_end(value + value_length);
    return walk->at == NULL ? MHD_NO : MHD_YES;
}

/* Whether every byte of the head belongs to a part that was read. */
static bool is_all_accounted_for(const struct http_request *request, const char *url,
                                 const char *version)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    const char *method = request->method_name;
    struct head_walk walk;

    if (parser_is_strict())
        return true;
    if (info == NULL || method + strlen(method) + 1 != url ||
        url + strlen(request->target) + 1 != version)
        return false;
    walk.at = skip_line_end(version + strlen(version));
    if (walk.at != NULL)
        MHD_get_connection_values_n(request->connection, MHD_HEADER_KIND, walk_header, &walk);
    return walk.at != NULL && skip_line_end(walk.at) == method + info->header_size;
}

/* RFC 9110, section 5.6.2 */
static bool is_token(const char *text, size_t length)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < length; i++) {
        char c = text[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != '\0' && strchr(others, c) != NULL)))
            return false;
    }
    return length > 0;
}

static bool has_control(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (((unsigned char)text[i] < ' ' && text[i] != '\t') || text[i] == 0x7f)
            return true;
    return false;
}

/* What is known of a head after each of its headers; all zero at first. */
struct head_form {
    unsigned lengths, encodings, hosts, authorizations, codings;
    const char *encoding; /* borrowed */
    const char *wrong;    /* NULL: nothing so far */
};

static enum MHD_Result add_to_form(void *arg, enum MHD_ValueKind kind, const char *name,
                                   size_t name_length, const char *value, size_t value_length)
{
    struct head_form *form = arg;

    (void)kind;
    if (!is_token(name, name_length) || has_control(value, value_length))
        form->wrong = "A header's name or value has characters that it must not have.";
    if (strcasecmp(name, "Content-Length") == 0) {
        form->lengths++;
        if (value_length == 0 || strspn(value, "0123456789") != value_length)
            form->wrong = "Content-Length is not a number.";
    } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
        form->encodings++;
        form->encoding = value;
    } else if (strcasecmp(name, "Content-Encoding") == 0) {
        form->codings++;
    } else if (strcasecmp(name, "Host") == 0) {
        form->hosts++;
    } else if (strcasecmp(name, "Authorization") == 0) {
        form->authorizations++;
    }
    return MHD_YES;
}

/* Why the head can be read in more than one way, so that a proxy in front might have read another;
 * NULL: it cannot. */
static const char *what_is_wrong(const struct head_form *form, bool is_http_1_1)
{
    if (form->wrong != NULL)
        return form->wrong;
    if (form->lengths + form->encodings > 1)
        return "The length of the body is given twice.";
    if (form->encoding != NULL && strcasecmp(form->encoding, "chunked") != 0)
        return "The only transfer coding known here is chunked.";
    if (form->encoding != NULL && !is_http_1_1)
        return "A transfer coding needs HTTP/1.1.";
    if (form->hosts > 1 || (form->hosts == 0 && is_http_1_1))
        return "A request of HTTP/1.1 has one header Host.";
    if (form->authorizations > 1)
        return "The header Authorization is given twice.";
    return NULL;
}

/* These answer a request that must not go on, and return false. */

static bool refuse(struct http_request *request, enum problem_kind kind, const char *detail)
{
    reply_problemf(request, kind, NULL, "%s", detail);
    return false;
}

/* The head can be read in one way only. `url` and `version` are libmicrohttpd's. */
static bool guard_form(struct http_request *request, const char *url, const char *version)
{
    struct head_form form = {0};
    const char *wrong;

    MHD_get_connection_values_n(request->connection, MHD_HEADER_KIND, add_to_form, &form);
    request->codings = form.codings;
    wrong = is_all_accounted_for(request, url, version)
                ? what_is_wrong(&form, request->is_http_1_1)
                : "The head has a folded or bare line end, a NUL, or blanks that it must not have.";
    request->is_last = wrong != NULL; /* where the next request starts is not certain */
    return wrong == NULL || refuse(request, PROBLEM_BAD_REQUEST, wrong);
}

/* The body's content coding is one that is known here. */
static bool guard_coding(struct http_request *request)
{
    const char *coding = http_request_header(request, MHD_HTTP_HEADER_CONTENT_ENCODING);

    if (coding == NULL || request->route->method == HTTP_GET)
        return true;
    if (request->codings > 1)
        reply_unsupported_coding(request, "a list of them");
    else if (*coding == '\0' || strcasecmp(coding, "identity") == 0)
        return true;
    else if (strcasecmp(coding, "gzip") == 0 || strcasecmp(coding, "x-gzip") == 0)
        if (body_expect_gzip(&request->body) == 0)
            return true;
        else
            reply_unavailable(request, -ENOMEM);
    else
        reply_unsupported_coding(request, coding);
    return false;
}

static bool guard_site(struct http_request *request)
{
    const struct http_options *options = &request->server->options;
    const struct head_site site = {
        .sec_fetch_site = http_request_header(request, "Sec-Fetch-Site"),
        .origin = http_request_header(request, MHD_HTTP_HEADER_ORIGIN),
        .host = http_request_header(request, MHD_HTTP_HEADER_HOST),
    };

    if (options->auth == NULL && request->route->access != ROUTE_OPEN && site.host != NULL &&
        !options->answers_to_any_name && !head_is_own_name(site.host))
        return refuse(request, PROBLEM_FORBIDDEN,
                      "Without --auth the service answers to an IP address or localhost only, not "
                      "to the name in the header Host.");
    if (request->route->method != HTTP_GET && head_is_from_elsewhere(&site, options->cors_origins))
        return refuse(request, PROBLEM_FORBIDDEN,
                      "A page of another origin must not do this; the option --cors-origins lists "
                      "those that may.");
    return true;
}

static enum MHD_Result read_cookies(void *arg, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    (void)kind;
    if (value != NULL && strcasecmp(name, MHD_HTTP_HEADER_COOKIE) == 0)
        head_read_cookies(arg, value);
    return MHD_YES;
}

/* The bearer token (RFC 6750, section 2.1), where tools ask the password of Basic, else the
 * cookie's; NULL if there is none of them. Of two session cookies one is not from here, and which
 * one cannot be told: that is none, too. */
static const char *find_token(const struct http_request *request, struct session_cookie *session)
{
    const char *token = http_request_bearer(request);

    session->count = 0;
    if (token == NULL && request->route->access == ROUTE_TOOL &&
        head_basic_password(http_request_header(request, MHD_HTTP_HEADER_AUTHORIZATION),
                            session->token))
        return session->token;
    if (token == NULL)
        MHD_get_connection_values(request->connection, MHD_HEADER_KIND, read_cookies, session);
    return token != NULL ? token : session->count == 1 ? session->token : NULL;
}

/* GitHub can bring no token. Where no secret is, no body is waited for. */
static bool may_be_signed(const struct http_request *request)
{
    return request->route->access == ROUTE_TOOL &&
           http_request_header(request, WEBHOOK_SIGNATURE_HEADER) != NULL &&
           webhook_secrets_know(request->server->options.webhook_secrets,
                                http_request_capture(request, "project"),
                                http_request_capture(request, "domain"));
}

static bool guard_right(struct http_request *request, enum route_access needed)
{
    static const char *const names[] = {[ROUTE_ADMIN] = "admin",
                                        [ROUTE_WRITE] = "write",
                                        [ROUTE_TOOL] = "write",
                                        [ROUTE_READ] = "read"};
    static const enum access_right rights[] = {[ROUTE_ADMIN] = ACCESS_ADMIN,
                                               [ROUTE_WRITE] = ACCESS_WRITE,
                                               [ROUTE_TOOL] = ACCESS_WRITE,
                                               [ROUTE_READ] = ACCESS_READ};
    const char *project = http_request_capture(request, "project");
    const char *domain = http_request_capture(request, "domain");

    if (needed == ROUTE_TOKEN)
        return true;
    if (project == NULL || domain == NULL)
        project = domain = "*";
    if (access_allows(request->access, rights[needed], project, domain))
        return true;
    reply_forbidden(request, names[needed], project, domain);
    return false;
}

/* Nobody's page, and nobody without the right for it, goes to the route. */
static bool guard_access(struct http_request *request)
{
    const struct http_options *options = &request->server->options;
    enum route_access needed = request->route->access;
    char why[AUTH_WHY_SIZE];
    const char *token;
    const char *site = http_request_header(request, "Sec-Fetch-Site");
    struct session_cookie session;
    uv_timeval64_t now;

    if (!guard_site(request))
        return false;
    if (needed == ROUTE_SCRAPE)
        needed = options->metrics_open ? ROUTE_OPEN : ROUTE_ADMIN;
    if (needed == ROUTE_OPEN)
        return true;
    if (options->auth == NULL)
        return http_request_spend(request, RATE_REQUESTS, 1);
    token = find_token(request, &session);
    if (token == NULL && may_be_signed(request)) {
        request->is_unverified = true;
        return http_request_spend(request, RATE_REQUESTS, 1);
    }
    if (token == NULL || *token == '\0') {
        reply_unauthorized(request, NULL);
        return false;
    }
    if (session.count > 0 && site != NULL && strcmp(site, "cross-site") == 0)
        return refuse(request, PROBLEM_FORBIDDEN,
                      "A page of another site must not use this session.");
    uv_gettimeofday(&now);
    request->access = auth_check(options->auth, token, now.tv_sec * 1000000 + now.tv_usec, why);
    if (request->access == NULL) {
        reply_unauthorized(request, why);
        return false;
    }
    return http_request_spend(request, RATE_REQUESTS, 1) && guard_right(request, needed);
}

/* -------- from a target to its route -------- */

static const struct {
    const char *name;
    enum http_method method;
} methods[] = {
    {"GET", HTTP_GET}, {"HEAD", HTTP_GET},      {"POST", HTTP_POST},
    {"PUT", HTTP_PUT}, {"DELETE", HTTP_DELETE},
};

static void format_allow(unsigned allowed, char *out, size_t size)
{
    snprintf(out, size, "%s%s%s%sOPTIONS", (allowed & HTTP_GET) != 0 ? "GET, HEAD, " : "",
             (allowed & HTTP_POST) != 0 ? "POST, " : "", (allowed & HTTP_PUT) != 0 ? "PUT, " : "",
             (allowed & HTTP_DELETE) != 0 ? "DELETE, " : "");
}

/* Whether a query may give the parameter more than once. */
static bool may_repeat(const char *name)
{
    static const char *const names[] = {"phase", "label", "run", "list"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static void check_parameters(struct http_request *request)
{
    const char *const *known = request->route->parameters;

    if (request->route->access == ROUTE_TOOL)
        return;
    for (size_t i = 0; i < request->uri.parameter_count; i++) {
        const char *name = request->uri.parameters[i].name;
        size_t k = 0;

        while (known != NULL && known[k] != NULL && strcmp(known[k], name) != 0)
            k++;
        if (known == NULL || known[k] == NULL) {
            reply_problemf(request, PROBLEM_UNKNOWN_PARAMETER, NULL,
                           "There is no query parameter \"%s\" here.", name);
            return;
        }
        for (size_t other = 0; other < i; other++) {
            if (!may_repeat(name) && strcmp(name, request->uri.parameters[other].name) == 0) {
                reply_problemf(request, PROBLEM_BAD_REQUEST, NULL,
                               "The query parameter \"%s\" is given twice.", name);
                return;
            }
        }
    }
}

static void answer_without_route(struct http_request *request, unsigned allowed)
{
    char allow[64];

    if (allowed == 0) {
        reply_problemf(request, PROBLEM_NOT_FOUND, NULL, "There is nothing at this path.");
        return;
    }
    format_allow(allowed, allow, sizeof allow);
    if (strcmp(request->method_name, "OPTIONS") == 0)
        reply_options(request, allow);
    else
        reply_method_not_allowed(request, allow);
}

/* Finds the request's route, or answers. */
static void dispatch(struct http_request *request)
{
    enum http_method method = 0;
    unsigned allowed;
    int status;

    if (strcmp(request->target, "*") == 0 && strcmp(request->method_name, "OPTIONS") == 0) {
        answer_without_route(request, HTTP_GET | HTTP_POST | HTTP_PUT | HTTP_DELETE);
        return;
    }
    status = uri_parse(&request->uri, head_path(request->target));
    if (status < 0) {
        reply_problemf(request, status == -E2BIG ? PROBLEM_URI_TOO_LONG : PROBLEM_BAD_REQUEST, NULL,
                       "The request target is not a path and query with valid percent-encoding"
                       " of UTF-8 text without NUL.");
        return;
    }
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(request->method_name, methods[i].name) == 0)
            method = methods[i].method;
    request->is_head = strcmp(request->method_name, "HEAD") == 0;
    request->route = route_find(request->server->options.routes, method, &request->uri,
                                &request->captures, &allowed);
    if (request->route != NULL)
        check_parameters(request);
    else
        answer_without_route(request, allowed);
}

/* -------- from its beginning to its end -------- */

/* Without the query, and with what could not stand in JSON made visible. */
static void copy_path(const char *target, char out[static LOGGED_PATH_SIZE])
{
    size_t length = strcspn(target, "?");

    snprintf(out, LOGGED_PATH_SIZE, "%.*s", (int)length, target);
    for (char *at = out; *at != '\0'; at++)
        if (!isprint((unsigned char)*at))
            *at = '?';
}

static void log_request(const struct http_request *request)
{
    /* Not the time that the client took to send it, or to take the answer. */
    uint64_t duration_ms = request->read_ns == 0 || request->answered_ns < request->read_ns
                               ? 0
                               : (request->answered_ns - request->read_ns) / 1000000;
    bool is_failed = request->status >= 500, is_slow = duration_ms >= SLOW_REQUEST_MS;
    const struct log *log = request->server->options.log;
    enum log_level level = is_failed || is_slow ? LOG_WARNING : LOG_DEBUG;
    char address[CLIENT_ADDRESS_SIZE], path[LOGGED_PATH_SIZE];
    const char *subject = request->access == NULL ? "" : request->access->subject;

    if (!log_has_level(log, level) || request->answered_ns == 0)
        return;
    connection_address(request->connection, address);
    copy_path(request->target, path);
    log_write(log, level,
              is_failed ? "request failed"
              : is_slow ? "request was slow"
                        : "request",
              "s:s, s:s, s:i, s:I, s:s, s:s?, s:s?, s:s", "method",
              request->method_name == NULL ? "" : request->method_name, "path", path, "status",
              (int)request->status, "milliseconds", (json_int_t)duration_ms, "requestId",
              request->id, "traceparent",
              request->traceparent[0] == '\0' ? NULL : request->traceparent, "subject",
              subject[0] == '\0' ? NULL : subject, "address", address);
}

static void read_ids(struct http_request *request, uint64_t number)
{
    const char *id = http_request_header(request, "X-Request-Id");
    const char *traceparent = http_request_header(request, "traceparent");

    if (id != NULL && head_is_request_id(id))
        snprintf(request->id, sizeof request->id, "%s", id);
    else
        snprintf(request->id, sizeof request->id, "%016llx", (unsigned long long)number);
    if (traceparent != NULL && head_is_traceparent(traceparent))
        snprintf(request->traceparent, sizeof request->traceparent, "%s", traceparent);
}

static struct http_request *request_new(struct http_server *server, const char *target,
                                        struct MHD_Connection *connection)
{
    struct http_request *request = calloc(1, sizeof *request);

    if (request == NULL)
        return NULL;
    request->target = strdup(target);
    if (request->target == NULL) {
        free(request);
        return NULL;
    }
    request->server = server;
    request->connection = connection;
    enter(request, REQUEST_BEGUN);
    DL_APPEND(server->active, request);
    server->active_count++;
    return request;
}

/* The end of every request, however it came: after its answer, without one, at the shutdown. What
 * it still owes is given here. */
static void request_end(struct http_request *request)
{
    struct http_server *server = request->server;

    DL_DELETE(server->active, request);
    server->active_count--;
    metrics_observe_request(
        server->options.metrics,
        request->route == NULL ? ROUTES_MAX : (size_t)(request->route - server->options.routes),
        request->status, (double)(uv_hrtime() - request->started_ns) / 1e9);
    log_request(request);
    if (request->on_detached != NULL) {
        close(request->detached_fd);
        request->on_detached(request->detached_arg, -1);
    }
    if (request->on_gone != NULL)
        request->on_gone(request->gone_arg);
    if (request->response != NULL)
        MHD_destroy_response(request->response);
    memory_hold(request->server->options.memory, MEMORY_ANSWERS, &request->answer_held, 0);
    uri_clear(&request->uri);
    access_release(request->access);
    body_release(&request->body, request->server->options.memory);
    free(request->target);
    free(request);
}

/* -------- connections -------- */

static void start_waiting(struct http_server *server, struct http_connection *self)
{
    self->since_ns = uv_hrtime();
    self->is_waiting = true;
    DL_APPEND(server->waiting, self);
}

static void stop_waiting(struct http_server *server, struct http_connection *self)
{
    if (self->is_waiting)
        DL_DELETE(server->waiting, self);
    self->is_waiting = false;
}

/* libmicrohttpd's own limit for an address does not tell whom it refused. */
static enum MHD_Result on_accept(void *arg, const struct sockaddr *address, socklen_t length)
{
    struct http_server *server = arg;
    char text[CLIENT_ADDRESS_SIZE];

    (void)length;
    address_text(address, text);
    if (client_count_of(server->addresses, text) < server->options.connections_per_address_max)
        return MHD_YES;
    metrics_add(server->options.metrics, METRIC_CONNECTIONS_REFUSED, 1);
    return MHD_NO;
}

static void count_for_address(struct http_server *server, struct http_connection *self)
{
    char text[CLIENT_ADDRESS_SIZE];

    connection_address(self->connection, text);
    self->of_address = client_count_join(&server->addresses, text);
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_server *server = arg;
    struct http_connection *self = *socket_context;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        self = calloc(1, sizeof *self);
        if (self == NULL)
            return;
        self->connection = connection;
        self->linger_fd = -1;
        if (server->options.connections_per_address_max > 0)
            count_for_address(server, self);
        start_waiting(server, self);
        *socket_context = self;
    } else if (self != NULL) {
        stop_waiting(server, self);
        if (self->request != NULL) /* libmicrohttpd refused its head, and does not complete it */
            request_end(self->request);
        client_count_leave(&server->addresses, self->of_address);
        if (self->linger_fd >= 0)
            linger_start(&server->lingering, server->loop, self->linger_fd);
        free(self);
        *socket_context = NULL;
    }
}

/* -------- answers past libmicrohttpd -------- */

/* What the client still sends is read on when its last answer is sent. */
static void let_linger(struct MHD_Connection *connection)
{
    struct http_connection *self = connection_of(connection);

    if (self != NULL && self->linger_fd < 0)
        self->linger_fd = fcntl(socket_of(connection), F_DUPFD_CLOEXEC, 0);
}

/* Sends the problem, which is the last of the connection: `how` is SHUT_WR if libmicrohttpd notices
 * by itself that it cannot send any more, SHUT_RDWR to make it. */
static void say_farewell(struct MHD_Connection *connection, enum problem_kind kind,
                         const char *detail, int how)
{
    struct buffer answer = {0};
    int fd = socket_of(connection);

    let_linger(connection);
    write_farewell(&answer, kind, detail);
    if (!answer.failed)
        send(fd, answer.bytes, answer.length, MSG_NOSIGNAL | MSG_DONTWAIT);
    buffer_free(&answer);
    shutdown(fd, how);
}

/* libmicrohttpd answers by itself a Content-Length that it cannot read, and cookies that it has no
 * room for; version 0.9.75 sends the head of such an answer twice. It logs that just before: the
 * request is the one whose head is complete, but was not seen yet. */
static void on_log(void *arg, const char *format, va_list arguments)
{
    static const char error[] = "Error processing request (HTTP response code is %u";
    struct http_server *server = arg;
    struct http_request *request = server->active == NULL ? NULL : server->active->prev;
    unsigned status;

    if (request == NULL || strncmp(format, error, sizeof error - 1) != 0)
        return;
    while (request->state != REQUEST_BEGUN ||
           MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE) ==
               NULL) {
        if (request == server->active)
            return;
        request = request->prev;
    }
    status = va_arg(arguments, unsigned);
    if (status == MHD_HTTP_BAD_REQUEST)
        say_farewell(request->connection, PROBLEM_BAD_REQUEST,
                     "Content-Length is not a number, or the header Host is missing.", SHUT_WR);
    else if (status == MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE)
        say_farewell(request->connection, PROBLEM_HEAD_TOO_LARGE, head_too_large, SHUT_WR);
    else
        say_farewell(request->connection, PROBLEM_PAYLOAD_TOO_LARGE, body_too_large, SHUT_WR);
}

/* -------- heads that are too large -------- */

/* What does not fit into the pool is answered by libmicrohttpd, but it closes a connection without
 * a word when only its answer does not fit any more. */
static bool is_head_too_large(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    const char *cookies = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Cookie");
    int entries = MHD_get_connection_values(
        connection, MHD_HEADER_KIND | MHD_GET_ARGUMENT_KIND | MHD_COOKIE_KIND, NULL, NULL);
    size_t head = info == NULL ? 0 : info->header_size;
    size_t kept = head + (size_t)entries * POOL_ENTRY_BYTES;

    if (cookies != NULL)
        kept += strlen(cookies);
    return head > HTTP_HEAD_BYTES_MAX || kept > POOL_BYTES - POOL_ANSWER_BYTES;
}

/* libmicrohttpd 0.9.75 says nothing, and waits, when the parameters do not fit into the pool behind
 * the request line. */
static bool is_target_too_large(const char *target)
{
    size_t length = strlen(target), parameters = 1;

    for (const char *at = strchr(target, '&'); at != NULL; at = strchr(at + 1, '&'))
        parameters++;
    return length > HTTP_HEAD_BYTES_MAX ||
           length + parameters * POOL_ENTRY_BYTES > POOL_BYTES - POOL_ANSWER_BYTES;
}

/* -------- requests -------- */

/* The raw target, before libmicrohttpd unescapes it: an encoded slash or NUL must stay visible. */
static void *on_target(void *arg, const char *target, struct MHD_Connection *connection)
{
    struct http_connection *self = connection_of(connection);
    struct http_request *request;

    if (self != NULL)
        stop_waiting(arg, self);
    if (is_target_too_large(target))
        say_farewell(connection, PROBLEM_URI_TOO_LONG,
                     "The request's target is too long, or has too many parameters.", SHUT_RDWR);
    request = self == NULL ? NULL : request_new(arg, target, connection);
    if (self != NULL)
        self->request = request;
    return request;
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct http_request *request = *context;
    struct http_connection *self = connection_of(connection);

    (void)code;
    if (self != NULL)
        self->request = NULL;
    if (self != NULL && !self->is_waiting)
        start_waiting(arg, self);
    if (request != NULL)
        request_end(request);
    *context = NULL;
}

/* -------- reading, and sending -------- */

/* MHD_NO makes libmicrohttpd close its descriptor, with MHD_USE_TURBO without a shutdown: ours
 * lives on. A test (tests/system) holds it to that. */
static enum MHD_Result detach_now(struct http_request *request)
{
    http_detached_fn *on_detached = request->on_detached;

    request->on_detached = NULL;
    on_detached(request->detached_arg, request->detached_fd);
    return MHD_NO;
}

static enum MHD_Result send_answer(struct http_request *request)
{
    if (request->on_detached != NULL)
        return detach_now(request);
    if (request->response == NULL)
        return MHD_NO;
    enter(request, REQUEST_SENDING);
    return MHD_queue_response(request->connection, request->status, request->response);
}

static void reply_bad_body(struct http_request *request, int status)
{
    if (status == -E2BIG)
        reply_problemf(request, PROBLEM_PAYLOAD_TOO_LARGE, NULL, "%s", body_too_large);
    else if (status == -EBADMSG)
        reply_problemf(request, PROBLEM_BAD_REQUEST, NULL,
                       "The body is not what Content-Encoding says: it is no gzip, not all of it, "
                       "or has something behind it.");
    else
        reply_unavailable(request, status);
}

/* What comes after an answer is dropped: the answer goes out at its end. */
static enum MHD_Result append_body(struct http_request *request, const char *bytes, size_t length)
{
    int status;

    if (request->state == REQUEST_REFUSED) {
        request->dropped_length += length;
        return request->dropped_length > BODY_DROPPED_MAX ? MHD_NO : MHD_YES;
    }
    status = body_append(&request->body, request->server->options.memory, bytes, length,
                         request->announced_length);
    if (status < 0)
        reply_bad_body(request, status);
    return MHD_YES;
}

static void read_announced_length(struct http_request *request)
{
    const char *length = http_request_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);

    request->announced_length = length == NULL ? 0 : strtoull(length, NULL, 10);
}

/* Nothing of a body is read that is too large, or that there is no room for. */
static bool guard_length(struct http_request *request)
{
    size_t length = request->announced_length;
    int status = 0;

    if (length > BODY_BYTES_MAX)
        status = -E2BIG;
    else if (length > 0 && !memory_has_room(request->server->options.memory, length))
        status = -ENOBUFS;
    if (status == 0)
        return true;
    request->is_last = true;
    reply_bad_body(request, status);
    return false;
}

static void read_head(struct http_request *request, const char *url, const char *method,
                      const char *version)
{
    struct http_server *server = request->server;

    enter(request, REQUEST_ARRIVING);
    request->method_name = method;
    request->is_http_1_1 = strcmp(version, "HTTP/1.0") != 0;
    read_ids(request, server->ids_start + server->ids_given++);
    if (!guard_form(request, url, version))
        return;
    read_announced_length(request);
    request->is_last = request->announced_length > BODY_BYTES_MAX;
    dispatch(request);
    if (request->state == REQUEST_ARRIVING && guard_access(request) && guard_coding(request))
        guard_length(request);
}

/* All of the request is there. */
static void handle(struct http_request *request)
{
    struct http_server *server = request->server;

    enter(request, REQUEST_HANDLED);
    if (body_end(&request->body) < 0)
        reply_bad_body(request, -EBADMSG);
    else if (!server->has_database && !request->route->is_local)
        reply_unavailable(request, -ENOTCONN);
    else if (request->route->is_local)
        request->route->handler(server->options.app, request);
    else
        server->options.call_handler(server->options.app, request, request->route->handler);
    if (request->state == REQUEST_HANDLED)
        enter(request, REQUEST_WAITING);
}

static bool guard_size_of_head(const struct http_request *request)
{
    if (!is_head_too_large(request->connection))
        return true;
    say_farewell(request->connection,
                 strlen(request->target) > HTTP_HEAD_BYTES_MAX / 2 ? PROBLEM_URI_TOO_LONG
                                                                   : PROBLEM_HEAD_TOO_LARGE,
                 head_too_large, SHUT_WR);
    return false;
}

/* Called for the head, for each stretch of the body, at its end, and again after a resume. */
static enum MHD_Result on_access(void *arg, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *upload,
                                 size_t *upload_size, void **context)
{
    struct http_request *request = *context;
    size_t length = *upload_size;

    (void)arg;
    if (request == NULL)
        return MHD_NO; /* out of memory in on_target */
    if (request->state == REQUEST_BEGUN) {
        if (!guard_size_of_head(request))
            return MHD_NO;
        read_head(request, url, method, version);
        /* An answer before the body would leave its rest unread, and the connection useless: a body
         * that is not too large is read first. */
        if (!request->is_last)
            return MHD_YES;
        let_linger(connection);
        return send_answer(request);
    }
    if (length > 0) {
        *upload_size = 0;
        return append_body(request, upload, length);
    }
    if (request->state == REQUEST_ARRIVING)
        handle(request);
    return request->state == REQUEST_WAITING ? MHD_YES : send_answer(request);
}

/* -------- deadlines -------- */

/* libmicrohttpd's timeout is for silence only: who sends a byte now and then has all the time in
 * the world. */
static void count_timeout(struct http_server *server)
{
    metrics_add(server->options.metrics, METRIC_REQUESTS_TIMED_OUT, 1);
}

static void cut(struct http_server *server, struct MHD_Connection *connection)
{
    shutdown(socket_of(connection), SHUT_RDWR);
    count_timeout(server);
}

static void cut_reading(struct http_server *server, struct http_request *request)
{
    say_farewell(request->connection, PROBLEM_REQUEST_TIMEOUT,
                 "The request did not arrive in time.", SHUT_RDWR);
    count_timeout(server);
}

static bool is_older(uint64_t since_ns, uint64_t now_ns, uint64_t limit_ms)
{
    return now_ns - since_ns > limit_ms * 1000000;
}

static void on_sweep(uv_timer_t *timer)
{
    struct http_server *server = timer->data;
    uint64_t reading_ms = server->options.request_timeout_ms, now_ns = uv_hrtime();
    struct http_connection *self;
    struct http_request *request;

    DL_FOREACH (server->active, request) {
        bool is_reading = request->state < REQUEST_HANDLED;

        /* libmicrohttpd, told by epoll once for what came and for the end behind it, takes what
         * came and waits for more. */
        if (is_reading && !http_request_has_client(request))
            shutdown(socket_of(request->connection), SHUT_RDWR);
        else if (is_reading && is_older(request->started_ns, now_ns, reading_ms))
            cut_reading(server, request);
        else if (request->state >= REQUEST_SENDING &&
                 is_older(request->answered_ns, now_ns, HTTP_ANSWER_TIMEOUT_S * 1000))
            cut(server, request->connection);
    }
    DL_FOREACH (server->waiting, self) {
        if (!is_older(self->since_ns, now_ns, HTTP_IDLE_TIMEOUT_S * 1000 + reading_ms))
            break;
        cut(server, self->connection);
    }
    linger_sweep(&server->lingering);
}

/* -------- the loop -------- */

/* Together, because a resume costs libmicrohttpd a walk over all that are suspended. */
static void resume_requests(struct http_server *server)
{
    for (int i = 0; server->paused != NULL && (i < PAUSED_AT_ONCE || server->is_closing); i++)
        enter(server->paused, REQUEST_SENDING);
    while (server->to_resume != NULL) {
        struct http_request *request = server->to_resume;

        LL_DELETE2(server->to_resume, request, resume_next);
        MHD_resume_connection(request->connection);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct http_server *server = poll->data;

    (void)status;
    (void)events;
    *server->options.is_due = true;
}

static void on_timer(uv_timer_t *timer)
{
    struct http_server *server = timer->data;

    *server->options.is_due = true;
}

void http_server_run(struct http_server *server)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms;
    unsigned connections;

    *server->options.is_due = false;
    server->turn_ends_ns = uv_hrtime() + ANSWERS_NS_MAX;
    resume_requests(server);
    connections = http_server_connections(server);
    MHD_run(server->daemon);
    /* At its limit libmicrohttpd does not accept; after one has left, not before it runs again. */
    if (http_server_connections(server) < connections)
        MHD_run(server->daemon);
    *server->options.is_due |= server->paused != NULL;
    if (MHD_get_timeout(server->daemon, &timeout_ms) == MHD_YES)
        uv_timer_start(&server->timer, on_timer, timeout_ms, 0);
    else
        uv_timer_stop(&server->timer);
}

/* Left as it is: uri_parse decodes, once, and itself. */
static size_t keep_escapes(void *arg, struct MHD_Connection *connection, char *text)
{
    (void)arg;
    (void)connection;
    return strlen(text);
}

struct http_server *http_server_new(uv_loop_t *loop, const struct http_options *options, char *why,
                                    size_t why_size)
{
    struct http_server *server = calloc(1, sizeof *server);
    const union MHD_DaemonInfo *info;

    if (server == NULL) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    server->loop = loop;
    server->options = *options;
    if (getrandom(&server->ids_start, sizeof server->ids_start, GRND_NONBLOCK) < 0)
        server->ids_start = uv_hrtime();
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_TURBO | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0,
        options->connections_per_address_max > 0 ? on_accept : NULL, server, on_access, server,
        MHD_OPTION_EXTERNAL_LOGGER, on_log, server, MHD_OPTION_STRICT_FOR_CLIENT,
        parser_is_strict() ? 1 : 0, MHD_OPTION_LISTEN_SOCKET, options->listen_fd,
        MHD_OPTION_CONNECTION_LIMIT, options->connections_max, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)POOL_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_IDLE_TIMEOUT_S,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, server, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        server, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_UNESCAPE_CALLBACK,
        keep_escapes, NULL, MHD_OPTION_END);
    if (server->daemon == NULL) {
        snprintf(why, why_size, "libmicrohttpd did not start");
        close(options->listen_fd);
        free(server);
        return NULL;
    }
    info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    uv_poll_init(loop, &server->poll, info->epoll_fd);
    uv_timer_init(loop, &server->timer);
    uv_timer_init(loop, &server->sweep);
    server->poll.data = server->timer.data = server->sweep.data = server;
    uv_timer_start(&server->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    uv_poll_start(&server->poll, UV_READABLE, on_poll);
    return server;
}

void http_server_use_database(struct http_server *server)
{
    server->has_database = true;
}

void http_server_stop_listening(struct http_server *server)
{
    MHD_socket fd;

    if (server->is_stopping)
        return;
    server->is_stopping = true;
    fd = MHD_quiesce_daemon(server->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
}

size_t http_server_active(const struct http_server *server)
{
    return server->active_count;
}

unsigned http_server_connections(const struct http_server *server)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

    return info == NULL ? 0 : info->num_connections;
}

void http_server_stop(struct http_server *server)
{
    struct http_request *request;

    server->is_closing = true;
    server->has_database = false;
    DL_FOREACH (server->active, request) {
        if (request->state == REQUEST_WAITING)
            reply_problemf(request, PROBLEM_UNAVAILABLE, NULL, "The service is shutting down.");
    }
    http_server_run(server);
    http_server_stop_listening(server);
    MHD_stop_daemon(server->daemon);
    server->daemon = NULL;
    linger_end_all(&server->lingering);
    uv_close((uv_handle_t *)&server->poll, NULL);
    uv_close((uv_handle_t *)&server->timer, NULL);
    uv_close((uv_handle_t *)&server->sweep, NULL);
}

void http_server_free(struct http_server *server)
{
    free(server);
}
