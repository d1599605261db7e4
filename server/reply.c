#include "server/reply.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/app.h"
#include "server/gzip.h"
#include "server/http_internal.h"

enum {
    PACK_BYTES_MIN = 1024,   /* smaller bodies gain nothing */
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
    http_common_headers(request, add_header, response);
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
    http_request_answer(answer->request, answer->status, response);
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
        memory_hold(request->app->shared->memory, MEMORY_ANSWERS, &request->answer_held,
                    answer->length);
    send_response(answer, response);
}

/* -------- in pieces -------- */

/* A body on its way out. */
struct pieces {
    struct http_request *request; /* is there while it is sent */
    const struct reply_source *source;
    void *arg;
    struct memory *memory;
    size_t held;             /* of the account */
    struct json_buffer made; /* the piece under way, as it goes out */
    size_t sent;             /* of it */
    bool is_packed, is_begun, is_last;
    struct gzip_sum sum; /* of a packed one */
};

static void end_pieces(void *arg)
{
    struct pieces *pieces = arg;

    pieces->source->end(pieces->arg);
    memory_hold(pieces->memory, MEMORY_ANSWERS, &pieces->held, 0);
    json_buffer_free(&pieces->made);
    free(pieces);
}

static void pack_piece(struct json_buffer *out, struct gzip_packer *packer,
                       const struct json_buffer *plain, struct gzip_sum *sum)
{
    struct gzip_piece *packed = gzip_pack(packer, plain->bytes, plain->length);

    if (packed == NULL) {
        out->failed = true;
        return;
    }
    json_buffer_append(out, packed->bytes, packed->length);
    gzip_sum_add(sum, packed);
    free(packed);
}

/* Takes the bytes of a piece over. False when out of memory. */
static bool take_piece(struct pieces *pieces, struct json_buffer *plain)
{
    pieces->sent = 0;
    if (pieces->is_packed) {
        pieces->made.length = 0;
        if (!pieces->is_begun)
            gzip_append_header(&pieces->made);
        pieces->is_begun = true;
        if (plain->length > 0)
            pack_piece(&pieces->made, pieces->request->app->packer, plain, &pieces->sum);
        if (pieces->is_last)
            gzip_append_trailer(&pieces->made, &pieces->sum);
        json_buffer_free(plain);
    } else {
        json_buffer_free(&pieces->made);
        pieces->made = *plain;
    }
    memory_hold(pieces->memory, MEMORY_ANSWERS, &pieces->held,
                sizeof *pieces + pieces->made.capacity);
    return !pieces->made.failed;
}

static bool make_piece(struct pieces *pieces)
{
    struct json_buffer plain = {0};
    int status = pieces->source->next(pieces->arg, &plain);

    if (status < 0 || plain.failed) {
        json_buffer_free(&plain);
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
        if (!http_request_has_turn(pieces->request))
            return 0;
        if (!make_piece(pieces)) {
            http_request_cut(pieces->request);
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

/* Takes the bytes of the first piece over. */
static void send_pieces(struct answer *answer, const struct reply_source *source, void *arg,
                        struct json_buffer *first)
{
    struct pieces *pieces = calloc(1, sizeof *pieces);
    struct MHD_Response *response = NULL;

    if (pieces == NULL) {
        json_buffer_free(first);
        source->end(arg);
        send_response(answer, NULL);
        return;
    }
    pieces->request = answer->request;
    pieces->memory = answer->request->app->shared->memory;
    pieces->source = source;
    pieces->arg = arg;
    pieces->is_packed = answer->is_packed;
    if (take_piece(pieces, first))
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_pieces,
                                                     pieces, end_pieces);
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

static int next_of_whole(void *arg, struct json_buffer *piece)
{
    struct whole *whole = arg;
    size_t length = whole->length - whole->at;

    if (length > REPLY_PIECE_BYTES)
        length = REPLY_PIECE_BYTES;
    json_buffer_append(piece, whole->bytes + whole->at, length);
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

/* The answer's bytes, packed as they are sent. */
static void pack_large(struct answer *answer)
{
    static const struct reply_source source = {.next = next_of_whole, .end = end_whole};
    struct whole *whole = calloc(1, sizeof *whole);
    struct json_buffer first = {0};

    if (whole == NULL) {
        send_now(answer);
        return;
    }
    *whole = (struct whole){.bytes = answer->bytes,
                            .length = answer->length,
                            .is_static = answer->is_static,
                            .memory = answer->request->app->shared->memory};
    if (!whole->is_static)
        memory_hold(whole->memory, MEMORY_ANSWERS, &whole->held, whole->length);
    answer->is_packed = true;
    next_of_whole(whole, &first);
    send_pieces(answer, &source, whole, &first);
}

/* -------- as a whole -------- */

/* Out of memory they go out as they are. */
static void pack(struct answer *answer)
{
    const struct json_buffer plain = {.bytes = answer->bytes, .length = answer->length};
    struct json_buffer packed = {0};
    struct gzip_sum sum = {0};

    gzip_append_header(&packed);
    pack_piece(&packed, answer->request->app->packer, &plain, &sum);
    gzip_append_trailer(&packed, &sum);
    if (packed.failed) {
        json_buffer_free(&packed);
        return;
    }
    free_bytes(answer);
    answer->bytes = packed.bytes;
    answer->length = packed.length;
    answer->is_static = false;
    answer->is_packed = true;
}

static void send_answer(struct answer *answer)
{
    answer->is_packable = answer->length >= PACK_BYTES_MIN;
    if (answer->is_packable && takes_gzip(answer->request)) {
        if (answer->length > REPLY_PIECE_BYTES) {
            pack_large(answer);
            return;
        }
        pack(answer);
    }
    send_now(answer);
}

void reply_pieces(struct http_request *request, unsigned status, const char *content_type,
                  const struct reply_source *source, void *arg)
{
    struct answer answer = {.request = request, .status = status, .content_type = content_type};
    struct json_buffer first = {0};
    int made = source->next(arg, &first);

    if (made == 0 && !first.failed) {
        answer.is_packable = true;
        answer.is_packed = takes_gzip(request);
        send_pieces(&answer, source, arg, &first);
        return;
    }
    source->end(arg);
    if (made == 1) {
        reply_buffer(request, status, content_type, &first);
        return;
    }
    json_buffer_free(&first);
    reply_unavailable(request, made < 0 ? made : -ENOMEM);
}

void reply_buffer(struct http_request *request, unsigned status, const char *content_type,
                  struct json_buffer *buffer)
{
    struct answer answer = {.request = request,
                            .status = status,
                            .content_type = content_type,
                            .bytes = buffer->bytes,
                            .length = buffer->length};

    if (buffer->failed) {
        json_buffer_free(buffer);
        reply_problemf(request, PROBLEM_INTERNAL, NULL, "Out of memory.");
        return;
    }
    *buffer = (struct json_buffer){0};
    send_answer(&answer);
}

/* -------- answers that a worker thread makes -------- */

struct making {
    struct http_request *request; /* NULL: gone meanwhile */
    uv_work_t work;
    struct json_buffer body;
    reply_make_fn *make;
    void (*done)(void *arg);
    void *arg;
};

static void on_gone(void *arg)
{
    struct making *making = arg;

    making->request = NULL;
}

static void on_making(uv_work_t *work)
{
    struct making *making = work->data;

    making->make(making->arg, &making->body);
}

static void after_making(uv_work_t *work, int status)
{
    struct making *making = work->data;
    struct http_request *request = making->request;

    (void)status;
    if (request != NULL) {
        http_request_when_gone(request, NULL, NULL);
        reply_buffer(request, 200, "application/json", &making->body);
    } else {
        json_buffer_free(&making->body);
    }
    making->done(making->arg);
    free(making);
}

void reply_made(struct http_request *request, reply_make_fn *make, void (*done)(void *arg),
                void *arg)
{
    struct making *making = malloc(sizeof *making);

    if (making == NULL) {
        reply_unavailable(request, -ENOMEM);
        done(arg);
        return;
    }
    *making = (struct making){.request = request, .make = make, .done = done, .arg = arg};
    making->work.data = making;
    http_request_when_gone(request, on_gone, making);
    uv_queue_work(request->app->loop, &making->work, on_making, after_making);
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
        send_answer(&answer);
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

    send_answer(&answer);
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

    if (take_document(&answer, problem_to_json(problem)))
        send_now(&answer);
    else
        http_request_answer(request, answer.status, NULL);
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

    http_request_answer(request, CLIENT_CLOSED_REQUEST, NULL);
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
    http_request_answer(request, MHD_HTTP_NO_CONTENT, response);
}

/* -------- answers in bytes -------- */

static void append_header(void *arg, const char *name, const char *value)
{
    json_buffer_text(arg, name);
    json_buffer_text(arg, ": ");
    json_buffer_text(arg, value);
    json_buffer_text(arg, "\r\n");
}

/* RFC 9110, section 6.6.1: of every answer of a server that has a clock. */
static void append_date(struct json_buffer *head)
{
    time_t now = time(NULL);
    char text[sizeof "Thu, 01 Jan 1970 00:00:00 GMT"];
    struct tm utc;

    if (gmtime_r(&now, &utc) != NULL &&
        strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc) > 0)
        append_header(head, "Date", text);
}

void reply_farewell(struct json_buffer *out, enum problem_kind kind, const char *detail)
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
    json_buffer_text(out, line);
    append_date(out);
    append_header(out, "Connection", "close");
    append_header(out, "Content-Type", "application/problem+json");
    snprintf(line, sizeof line, "%zu", answer.length);
    append_header(out, "Content-Length", line);
    append_header(out, "Cache-Control", "no-store");
    append_header(out, "Content-Security-Policy", no_page);
    append_header(out, "X-Content-Type-Options", "nosniff");
    append_header(out, "Referrer-Policy", "no-referrer");
    json_buffer_text(out, "\r\n");
    json_buffer_append(out, answer.bytes, answer.length);
    free_bytes(&answer);
}

/* -------- streams -------- */

static const struct {
    const char *name, *value;
} stream_headers[] = {
    {"Content-Type", "text/event-stream"}, {"Cache-Control", "no-store, no-transform"},
    {"X-Accel-Buffering", "no"},           {"Vary", "Accept-Encoding"},
    {"Content-Security-Policy", no_page},
};

static void add_stream_headers(const struct http_request *request, http_header_fn *add, void *arg)
{
    for (size_t i = 0; i < sizeof stream_headers / sizeof *stream_headers; i++)
        add(arg, stream_headers[i].name, stream_headers[i].value);
    if (takes_gzip(request))
        add(arg, "Content-Encoding", "gzip");
    http_common_headers(request, add, arg);
}

bool reply_stream_head(const struct http_request *request, struct json_buffer *head)
{
    json_buffer_text(head, "HTTP/1.1 200 OK\r\n");
    append_date(head);
    append_header(head, "Connection", "close");
    add_stream_headers(request, append_header, head);
    json_buffer_text(head, "\r\n");
    if (takes_gzip(request))
        gzip_append_header(head);
    return takes_gzip(request);
}

void reply_stream_head_only(struct http_request *request)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);

    if (response != NULL)
        add_stream_headers(request, add_header, response);
    http_request_answer(request, MHD_HTTP_OK, response);
}
