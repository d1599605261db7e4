/* What the files of Flyte's services have in common. */
#ifndef RUNTREE_HANDLERS_FLYTE_CALL_H
#define RUNTREE_HANDLERS_FLYTE_CALL_H

#include <jansson.h>

#include "handlers/connect.h"

struct flyte_method;

/* Takes what the call holds over, and answers its request. */
typedef void flyte_handler(const struct flyte_method *method, struct connect_call *call);

struct flyte_method {
    const char *service, *name;
    const ProtobufCMessageDescriptor *request, *answer;
    flyte_handler *handle;
};

/* Answers a unary call; takes the document over. NULL is out of memory. `headers` as of
 * reply_buffer_with. */
void flyte_reply(struct http_request *request, const ProtobufCMessageDescriptor *answer,
                 json_t *document, bool is_json, const struct reply_header *headers);

#endif
