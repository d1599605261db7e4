#include "handlers/flyte_call.h"

#include "adapters/flyte_records.h"
#include "server/http.h"

void flyte_reply(struct http_request *request, const ProtobufCMessageDescriptor *answer,
                 json_t *document, bool is_json, const struct reply_header *headers)
{
    struct buffer body = {0};

    flyte_write_answer(&body, answer, document, is_json);
    json_decref(document);
    reply_buffer_with(request, 200, connect_content_type(is_json, false), &body, headers);
}
