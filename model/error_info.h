/* An action's error as the live tree and lists carry it: the first and the last of it, however long
 * it is, for many say on their first line what went wrong, and a Python traceback on its last. */
#ifndef RUNTREE_MODEL_ERROR_INFO_H
#define RUNTREE_MODEL_ERROR_INFO_H

#include <jansson.h>

#include "model/arena.h"

enum {
    ERROR_TEXT_BYTES_MAX = 1024, /* of each text, before it is escaped */
    ERROR_REST_BYTES_MAX = 1024, /* of the members besides kind and message, as JSON */
};

/* A copy of `error_info`, an object, that has of each of its texts that are longer than
 * ERROR_TEXT_BYTES_MAX so much of the beginning and the end (whole characters, "[...]" on a line of
 * its own between them), and of its members besides `kind` and `message` those, in their order,
 * that fit together into ERROR_REST_BYTES_MAX. If anything is missing it says "truncated": true.
 * The caller has the reference; NULL when out of memory. */
json_t *error_info_cut(const json_t *error_info);

/* The same as text, in the arena; NULL when out of memory. */
const char *error_info_dump(const json_t *error_info, struct arena *arena);

#endif
