#include "handlers/flyte_call.h"

#include "adapters/flyte_records.h"
#include "server/http.h"

void flyte_reply(struct http_request *request, const ProtobufCMessageDescriptor *answer,
                 json_t *document, bool is_json)
{
    struct buffer body = {0};

    flyte_write_answer(&body, answer, document, is_json);
    json_decref(document);
    reply_buffer(request, 200, connect_content_type(is_json, false), &body);
}
