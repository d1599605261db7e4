/* The opaque `id` of a record in the stream of the list of runs: the database's timeline, the
 * filter, the transaction below which the client has everything, and when it was given. */
#ifndef RUNTREE_MODEL_LIST_STREAM_ID_H
#define RUNTREE_MODEL_LIST_STREAM_ID_H

#include <stdint.h>

#include "model/list_filter.h"

enum { LIST_STREAM_ID_SIZE = 80 };

struct list_stream_id {
    uint32_t timeline; /* of the database; 0 where it has none */
    char filter[LIST_FILTER_HASH_SIZE];
    int64_t xid;
    int64_t given_s; /* seconds since 1970 */
};

/* "1.5k2….5417.1776000000" */
void list_stream_id_format(const struct list_stream_id *id, char out[static LIST_STREAM_ID_SIZE]);

/* 0, or -EINVAL if the text is none that list_stream_id_format gives. */
int list_stream_id_parse(const char *text, struct list_stream_id *id);

#endif
