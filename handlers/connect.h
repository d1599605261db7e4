/* The Connect protocol (connectrpc.com/docs/protocol) over HTTP/1.1, for services that are spoken
 * to in protocol buffers: requests and answers in either form, proto or JSON, unary and as streams
 * of the server. */
#ifndef RUNTREE_HANDLERS_CONNECT_H
#define RUNTREE_HANDLERS_CONNECT_H

#include <stdbool.h>

#include "adapters/protobuf.h"
#include "server/app.h"

/* A call, from its request. */
struct connect_call {
    struct app *app;
    struct http_request *request;
    bool is_json;
    bool is_stream;
    char *body; /* the message's bytes, owned */
    size_t length;
};

/* Fills *call from a request that is all there; 0, or -1 when it was answered. To be cleared by
 * connect_clear, after whatever is made of its body. */
int connect_begin(struct connect_call *call, struct app *app, struct http_request *request);
void connect_clear(struct connect_call *call);

/* The call's message, in `arena`. NULL and *problem if it is none. From any thread. */
const ProtobufCMessage *connect_message(const struct connect_call *call,
                                        const ProtobufCMessageDescriptor *descriptor,
                                        struct arena *arena, struct problem *problem);

/* Content types of answers: of a unary call, of a stream. */
const char *connect_content_type(bool is_json, bool is_stream);

/* Answers with an error of Connect's, by its name ("unimplemented") and in words. */
void connect_refuse(struct http_request *request, const char *code, const char *message);

/* Problems as Connect's clients read them (server/http.h, problem_form). */
bool connect_problem_form(const struct http_request *request, const struct problem *problem,
                          struct problem_answer *answer);

/* Appends an envelope around `length` bytes that the caller appends then. */
void connect_begin_envelope(struct buffer *out, bool is_end, size_t length);

/* Appends the end of a stream; `code` NULL: a good one. */
void connect_write_end(struct buffer *out, const char *code, const char *message);

#endif
