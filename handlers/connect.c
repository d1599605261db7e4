#include "handlers/connect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/body.h"
#include "server/gzip.h"
#include "server/http.h"

enum { ENVELOPE_BYTES = 5, ENVELOPE_PACKED = 1, ENVELOPE_END = 2 };

/* -------- errors -------- */

static const struct {
    const char *code;
    unsigned status; /* of a unary call's answer */
} codes[] = {
    {"invalid_argument", 400}, {"unauthenticated", 401},    {"permission_denied", 403},
    {"not_found", 404},        {"resource_exhausted", 429}, {"internal", 500},
    {"unimplemented", 501},    {"unavailable", 503},
};

static unsigned status_of(const char *code)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strcmp(codes[i].code, code) == 0)
            return codes[i].status;
    return 500;
}

static const char *code_of(const struct http_request *request, const struct problem *problem)
{
    switch (problem_describe(problem->kind)->status) {
    case 401:
        return "unauthenticated";
    case 403:
        return "permission_denied";
    case 404: /* a method that is not there, or what it is about */
        return http_request_has_route(request) ? "not_found" : "unimplemented";
    case 405:
        return "unimplemented";
    case 413:
    case 429:
        return "resource_exhausted";
    case 500:
        return "internal";
    case 503:
        return "unavailable";
    default:
        return "invalid_argument";
    }
}

static void write_error(struct buffer *out, const char *code, const char *message)
{
    buffer_string_member(out, "{\"code\":", code);
    buffer_string_member(out, ",\"message\":", message);
    buffer_text(out, "}");
}

void connect_begin_envelope(struct buffer *out, bool is_end, size_t length)
{
    const char head[ENVELOPE_BYTES] = {is_end ? ENVELOPE_END : 0, (char)(length >> 24),
                                       (char)(length >> 16 & 255), (char)(length >> 8 & 255),
                                       (char)(length & 255)};

    buffer_append(out, head, sizeof head);
}

void connect_write_end(struct buffer *out, const char *code, const char *message)
{
    struct buffer text = {0};

    buffer_text(&text, code == NULL ? "{" : "{\"error\":");
    if (code != NULL)
        write_error(&text, code, message);
    buffer_text(&text, "}");
    out->failed |= text.failed;
    connect_begin_envelope(out, true, text.length);
    buffer_append(out, text.bytes, text.length);
    buffer_free(&text);
}

/* -------- content types -------- */

enum content { CONTENT_STREAM = 1, CONTENT_JSON = 2 };

static const char *const content_types[] = {
    [0] = "application/proto",
    [CONTENT_STREAM] = "application/connect+proto",
    [CONTENT_JSON] = "application/json",
    [CONTENT_JSON | CONTENT_STREAM] = "application/connect+json",
};

const char *connect_content_type(bool is_json, bool is_stream)
{
    return content_types[(is_json ? CONTENT_JSON : 0) | (is_stream ? CONTENT_STREAM : 0)];
}

/* The index of the request's content type, without its parameters; -1 if it is none of them. */
static int content_of(const struct http_request *request)
{
    const char *type = http_request_header(request, "Content-Type");
    size_t length = type == NULL ? 0 : strcspn(type, "; ");

    for (int i = 0; i < 4 && type != NULL; i++)
        if (strlen(content_types[i]) == length && strncasecmp(type, content_types[i], length) == 0)
            return i;
    return -1;
}

static void write_answer(const struct http_request *request, const char *code, const char *message,
                         struct problem_answer *answer)
{
    int content = content_of(request);
    bool is_stream = content >= 0 && (content & CONTENT_STREAM) != 0;

    /* A stream says its error at its end. */
    answer->status = is_stream ? 200 : status_of(code);
    answer->content_type = is_stream ? content_types[content] : "application/json";
    if (is_stream)
        connect_write_end(&answer->body, code, message);
    else
        write_error(&answer->body, code, message);
}

void connect_refuse(struct http_request *request, const char *code, const char *message)
{
    struct problem_answer answer = {0};

    write_answer(request, code, message, &answer);
    reply_buffer(request, answer.status, answer.content_type, &answer.body);
}

bool connect_problem_form(const struct http_request *request, const struct problem *problem,
                          struct problem_answer *answer)
{
    const struct uri *uri = http_request_uri(request);

    if (uri->segment_count == 0 || strncmp(uri->segments[0], "flyteidl2.", 10) != 0)
        return false;
    write_answer(request, code_of(request, problem), problem->detail, answer);
    return true;
}

/* -------- requests -------- */

/* What a packed envelope holds, up to BODY_BYTES_MAX. 0, -EBADMSG or -ENOMEM. */
static int unpack(const char *packed, size_t packed_length, char **out, size_t *length)
{
    struct gunzip *gunzip = gunzip_new();
    struct buffer plain = {0};
    int status = gunzip == NULL ? -ENOMEM : 0;

    while (status == 0 && packed_length > 0 && plain.length < BODY_BYTES_MAX) {
        size_t taken = 0, room = REPLY_PIECE_BYTES;
        char *to = buffer_reserve(&plain, room);

        status =
            to == NULL ? -ENOMEM : gunzip_some(gunzip, packed, packed_length, &taken, to, &room);
        if (status < 0)
            break;
        plain.length += room;
        packed += taken;
        packed_length -= taken;
    }
    if (status == 0 && (packed_length > 0 || !gunzip_is_complete(gunzip)))
        status = -EBADMSG;
    gunzip_free(gunzip);
    *out = plain.bytes;
    *length = plain.length;
    return status;
}

/* A stream's request is one envelope. */
static int open_envelope(struct connect_call *call)
{
    const unsigned char *head = (const unsigned char *)call->body;
    char *body = call->body;
    size_t length;
    int status;

    if (call->length < ENVELOPE_BYTES)
        return -EBADMSG;
    length = (size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 | head[4];
    if (length != call->length - ENVELOPE_BYTES)
        return -EBADMSG;
    if ((head[0] & ENVELOPE_PACKED) == 0) {
        memmove(body, body + ENVELOPE_BYTES, length);
        call->length = length;
        return 0;
    }
    status = unpack(body + ENVELOPE_BYTES, length, &call->body, &call->length);
    free(body);
    return status;
}

int connect_begin(struct connect_call *call, struct app *app, struct http_request *request)
{
    int content = content_of(request), status = 0;

    *call = (struct connect_call){.app = app, .request = request};
    if (content < 0) {
        reply_problemf(request, PROBLEM_UNSUPPORTED_MEDIA_TYPE, NULL,
                       "The body must be application/proto or application/json, or of a stream "
                       "application/connect+proto or application/connect+json.");
        return -1;
    }
    call->is_json = (content & CONTENT_JSON) != 0;
    call->is_stream = (content & CONTENT_STREAM) != 0;
    call->body = http_request_take_body(request, &call->length);
    if (call->is_stream)
        status = open_envelope(call);
    if (status == 0)
        return 0;
    connect_clear(call);
    if (status == -ENOMEM)
        reply_unavailable(request, status);
    else
        reply_problemf(request, PROBLEM_BAD_REQUEST, NULL,
                       "The body of a stream must be one enveloped message of at most 4 MiB.");
    return -1;
}

void connect_clear(struct connect_call *call)
{
    free(call->body);
    call->body = NULL;
}

const ProtobufCMessage *connect_message(const struct connect_call *call,
                                        const ProtobufCMessageDescriptor *descriptor,
                                        struct arena *arena, struct problem *problem)
{
    const ProtobufCMessage *message;
    char why[MESSAGE_WHY_SIZE];
    json_error_t error;
    json_t *json;

    if (!call->is_json) {
        message = message_unpack(descriptor, call->body == NULL ? "" : call->body, call->length,
                                 arena, why);
    } else {
        json = json_loadb(call->body == NULL ? "" : call->body, call->length,
                          JSON_REJECT_DUPLICATES, &error);
        if (json == NULL) {
            problem_set(problem, PROBLEM_INVALID_JSON, NULL, "Line %d, column %d: %s.", error.line,
                        error.column, error.text);
            return NULL;
        }
        message = message_from_json(descriptor, json, arena, why);
        json_decref(json);
    }
    if (message == NULL)
        problem_set(problem, PROBLEM_INVALID_FIELD, NULL, "%s", why);
    return message;
}
