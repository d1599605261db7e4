/* Last-Event-ID, of every kind of stream. An id that is taken is one that is given. */
#include "fuzz.h"
#include "model/list_stream_id.h"
#include "model/stream_id.h"
#include "model/watch_id.h"

static void check_stream_id(const char *text)
{
    struct stream_id id;
    char again[STREAM_ID_SIZE];

    if (stream_id_parse(text, &id) < 0)
        return;
    MUST(id.revision >= 0);
    stream_id_format(&id, again);
    MUST(strcmp(again, text) == 0);
}

static void check_list_stream_id(const char *text)
{
    struct list_stream_id id;
    char again[LIST_STREAM_ID_SIZE];

    if (list_stream_id_parse(text, &id) < 0)
        return;
    MUST(id.xid >= 0 && id.given_s >= 0);
    list_stream_id_format(&id, again);
    MUST(strcmp(again, text) == 0);
}

static void check_watch_id(const char *text)
{
    struct watch_id id;
    struct buffer again = {0};

    if (watch_id_parse(text, &id) < 0)
        return;
    watch_id_begin(&again);
    for (size_t i = 0; i < id.count; i++) {
        MUST(id.positions[i].number >= 0 && id.positions[i].given_s >= 0);
        MUST(watch_id_find(&id, id.positions[i].key) != NULL);
        watch_id_add(&again, &id.positions[i]);
    }
    MUST(again.length < WATCH_ID_SIZE);
    MUST(again.length == strlen(text) && memcmp(again.bytes, text, again.length) == 0);
    buffer_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = copy_text(data, size);

    check_stream_id(text);
    check_list_stream_id(text);
    check_watch_id(text);
    free(text);
    return 0;
}
