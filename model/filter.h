/* Which actions a watcher or a list wants to see. */
#ifndef RUNTREE_MODEL_FILTER_H
#define RUNTREE_MODEL_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "model/phase.h"

enum { FILTER_NAME_BYTES_MAX = 255, FILTER_HASH_SIZE = 14 };

/* A plain value. Both must hold; all zero matches every action. */
struct filter {
    uint32_t phases;                      /* bit (1 << phase) for each phase wanted; 0: any */
    char name[FILTER_NAME_BYTES_MAX + 1]; /* ASCII lower case substring; "": any */
};

/* Adds the phases of a comma-separated list. 0, or -EINVAL if one is no phase (or if empty). */
int filter_add_phases(struct filter *filter, const char *list);

/* 0, or -EINVAL when it is too long. */
int filter_set_name(struct filter *filter, const char *name);

bool filter_is_empty(const struct filter *filter);
bool filter_equal(const struct filter *a, const struct filter *b);

/* "0" for the empty filter, else a short text of 0-9 a-z that two filters share only if they are
 * equal (but for a hash collision of 64 bits). */
void filter_hash(const struct filter *filter, char out[static FILTER_HASH_SIZE + 1]);

/* The name that a filter looks at: the task's short name, else the last dotted part of the task's
 * name, else the action's name. Borrowed from the arguments, of which the first two may be NULL. */
const char *filter_subject(const char *short_name, const char *task_name, const char *name);

/* `subject` is what filter_subject gives. */
bool filter_matches(const struct filter *filter, enum phase phase, const char *subject);

#endif
