/* Which runs a watcher of the list wants to see. */
#ifndef RUNTREE_MODEL_LIST_FILTER_H
#define RUNTREE_MODEL_LIST_FILTER_H

#include <stdbool.h>

#include "model/access.h"
#include "model/filter.h"
#include "model/run_key.h"

enum { LIST_LABELS_SIZE = 1024, LIST_FILTER_HASH_SIZE = 17 }; /* sixteen of 0-9 a-f, and the NUL */

/* A plain value; what it points to is borrowed. All must hold; all zero matches every run. */
struct list_filter {
    char project[PROJECT_BYTES_MAX + 1]; /* "": any */
    char domain[DOMAIN_BYTES_MAX + 1];   /* "": any */
    struct filter filter;                /* the run's phase; a substring of its name or title */
    char labels[LIST_LABELS_SIZE]; /* "name:value" of all that it must have, each with its NUL,
                                    * and behind them an empty one */
    struct access *access;         /* those that it lets read; NULL: any */
};

/* The run must have this label, too. 0, -EINVAL if it is no name:value, or -E2BIG if that is more
 * than `labels`, of a list_filter, may hold. */
int list_filter_add_label(char labels[static LIST_LABELS_SIZE], const char *label);

/* The label behind this one of list_filter.labels. */
const char *list_filter_next_label(const char *label);

bool list_filter_equal(const struct list_filter *a, const struct list_filter *b);

/* "0" for the empty filter, else a text that two filters share only if they are equal (but for a
 * hash collision of 64 bits). */
void list_filter_hash(const struct list_filter *filter, char out[static LIST_FILTER_HASH_SIZE]);

/* Whether the run is one of the filter's, whatever its phase. `record` is what is shown of it,
 * JSON, which may have a title and labels. */
bool list_filter_covers(const struct list_filter *filter, const struct run_key *run,
                        struct json_text record);

#endif
