/* Which actions a watcher or a list wants to see. */
#ifndef RUNTREE_MODEL_FILTER_H
#define RUNTREE_MODEL_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "model/action.h"
#include "model/json_scan.h"

enum { FILTER_TEXT_BYTES_MAX = 255, FILTER_HASH_SIZE = 14 };

/* A plain value. All must hold; all zero matches every action. The texts are substrings in ASCII
 * lower case; "": any. */
struct filter {
    uint32_t phases; /* bit (1 << phase) for each phase wanted; 0: any */
    char name[FILTER_TEXT_BYTES_MAX + 1];
    char error[FILTER_TEXT_BYTES_MAX + 1];
};

/* Adds the phases of a comma-separated list. 0, or -EINVAL if one is no phase (or if empty). */
int filter_add_phases(struct filter *filter, const char *list);

/* 0, or -EINVAL when it is too long. */
int filter_set_name(struct filter *filter, const char *name);
int filter_set_error(struct filter *filter, const char *error);

bool filter_is_empty(const struct filter *filter);
bool filter_equal(const struct filter *a, const struct filter *b);

/* "0" for the empty filter, else a short text of 0-9 a-z that two filters share only if they are
 * equal (but for a hash collision of 64 bits). */
void filter_hash(const struct filter *filter, char out[static FILTER_HASH_SIZE + 1]);

/* What a filter looks at, of an action or a run; each text is borrowed, or NULL. JSON is as
 * json_dumps writes it. */
enum { FILTER_NAMES = 4 };
struct filter_subject {
    enum phase phase;
    const char *names[FILTER_NAMES]; /* the filter's name is in one of them, or in: */
    struct json_text title;          /* a string of JSON; `bytes` NULL: none */
    const char *error_info;          /* JSON */
};

/* An action's names are its own, its task's name and short name, and its group, and its title. */
struct filter_subject filter_subject_of(const struct action *action);

/* The filter's error is in the first line of the message that is not empty. */
bool filter_matches(const struct filter *filter, const struct filter_subject *subject);

#endif
