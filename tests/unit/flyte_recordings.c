#include "flyte_recordings.h"

#include "cmocka_test.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "adapters/protobuf.h"

enum { BODY_BYTES_MAX = 64 * 1024, PATH_SIZE = 512 };

/* gzread hands out what is no gzip as it is. */
static size_t read_body(const char *name, char out[static BODY_BYTES_MAX])
{
    char path[PATH_SIZE];
    gzFile file;
    int length;

    snprintf(path, sizeof path, "%s/flyte/%s", RUNTREE_TEST_DATA, name);
    file = gzopen(path, "rb");
    assert_non_null(file);
    length = gzread(file, out, BODY_BYTES_MAX);
    gzclose(file);
    assert_true(length > 0);
    return (size_t)length;
}

const ProtobufCMessage *recorded_message(const char *name,
                                         const ProtobufCMessageDescriptor *descriptor,
                                         struct arena *arena)
{
    char body[BODY_BYTES_MAX], why[MESSAGE_WHY_SIZE];
    size_t length = read_body(name, body);
    const ProtobufCMessage *message;
    json_t *json;

    if (strncmp(name, "go-json", 7) == 0) {
        json = json_loadb(body, length, 0, NULL);
        assert_non_null(json);
        message = message_from_json(descriptor, json, arena, why);
        json_decref(json);
    } else {
        message = message_unpack(descriptor, body, length, arena, why);
    }
    assert_non_null(message);
    return message;
}
