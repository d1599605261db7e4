#include "model/list_stream_id.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void list_stream_id_format(const struct list_stream_id *id, char out[static LIST_STREAM_ID_SIZE])
{
    snprintf(out, LIST_STREAM_ID_SIZE, "%" PRIu32 ".%s.%" PRId64 ".%" PRId64, id->timeline,
             id->filter, id->xid, id->given_s);
}

int list_stream_id_parse(const char *text, struct list_stream_id *id)
{
    enum { TIMELINE, FILTER, XID, GIVEN, PARTS };
    struct list_stream_id parsed = {0};
    char copy[LIST_STREAM_ID_SIZE], again[LIST_STREAM_ID_SIZE];
    char *parts[PARTS], *rest = copy;

    if (strlen(text) >= sizeof copy)
        return -EINVAL;
    memcpy(copy, text, strlen(text) + 1);
    for (int i = 0; i < PARTS; i++) {
        parts[i] = strsep(&rest, ".");
        if (parts[i] == NULL)
            return -EINVAL;
    }
    if (strlen(parts[FILTER]) >= sizeof parsed.filter)
        return -EINVAL;
    memcpy(parsed.filter, parts[FILTER], strlen(parts[FILTER]) + 1);
    parsed.timeline = (uint32_t)strtoul(parts[TIMELINE], NULL, 10);
    parsed.xid = strtoll(parts[XID], NULL, 10);
    parsed.given_s = strtoll(parts[GIVEN], NULL, 10);
    /* Whatever the conversions were lenient about does not come out the same again. */
    list_stream_id_format(&parsed, again);
    if (strcmp(again, text) != 0 || parsed.xid < 0 || parsed.given_s < 0)
        return -EINVAL;
    *id = parsed;
    return 0;
}
