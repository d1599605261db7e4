/* The opaque `id` of a stream of many subscriptions: how much of each the client has.
 *
 *   w.D3kd83jsQk27vA1b.0aPq…       for each: key, state, number; behind that of an ended run "~",
 *                                  behind that of a list "!" and when it was given
 *
 * Digits are of base 64; key and state are short hashes of fixed length. So an id takes about 18
 * bytes for each subscription and WATCH_ID_SIZE at most, which fits into the head of a request. */
#ifndef RUNTREE_MODEL_WATCH_ID_H
#define RUNTREE_MODEL_WATCH_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/buffer.h"

enum {
    SUBSCRIPTIONS_MAX = 100,
    WATCH_POSITIONS_MAX = 256, /* a list has one for each cell */
    WATCH_KEY_DIGITS = 8,
    WATCH_STATE_DIGITS = 6,
    WATCH_NUMBER_DIGITS_MAX = 11,
    WATCH_ID_SIZE = 2 + WATCH_POSITIONS_MAX * (1 + WATCH_KEY_DIGITS + WATCH_STATE_DIGITS +
                                               2 * WATCH_NUMBER_DIGITS_MAX + 2),
};

/* A plain value. */
struct watch_position {
    uint64_t key;    /* watch_key: what is watched, and by which filter */
    uint64_t state;  /* what the number is of: watch_state of a run's tree, a list's timeline */
    int64_t number;  /* the run's revision, or the transaction below which the list is known */
    int64_t given_s; /* of a list: when, in seconds since 1970, more than 0; of a run: 0 */
    bool is_end;     /* of a run: the client was told `end` there */
};

struct watch_id {
    size_t count;
    struct watch_position positions[WATCH_POSITIONS_MAX];
};

/* Of a run (its path, filter_hash) or a list ("", list_filter_hash); of a cell's part of a list its
 * name, which is no path, instead of "". */
uint64_t watch_key(const char *what, const char *filter_hash);

/* Of a run's tree in one database. */
uint64_t watch_state(const char *incarnation, uint32_t timeline);

/* Appends the id. */
void watch_id_begin(struct buffer *out);
void watch_id_add(struct buffer *out, const struct watch_position *position);

/* 0, or -EINVAL if the text is none that the above give. */
int watch_id_parse(const char *text, struct watch_id *id);

/* NULL: the client has nothing of it. */
const struct watch_position *watch_id_find(const struct watch_id *id, uint64_t key);

#endif
