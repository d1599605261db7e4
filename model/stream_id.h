/* The opaque `id` of a stream's record: incarnation, timeline, filter, revision. */
#ifndef RUNTREE_MODEL_STREAM_ID_H
#define RUNTREE_MODEL_STREAM_ID_H

#include <stdbool.h>
#include <stdint.h>

#include "model/filter.h"
#include "model/run.h"

enum { STREAM_ID_SIZE = 80 };

struct stream_id {
    char incarnation[INCARNATION_SIZE];
    uint32_t timeline; /* of the database; 0 where it has none */
    char filter[FILTER_HASH_SIZE + 1];
    int64_t revision;
    bool is_end; /* given with the record `end` */
};

/* "k3f9a2….1.0.17", with ".e" behind it for an end. */
void stream_id_format(const struct stream_id *id, char out[static STREAM_ID_SIZE]);

/* 0, or -EINVAL if the text is none that stream_id_format gives. */
int stream_id_parse(const char *text, struct stream_id *id);

#endif
