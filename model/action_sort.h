/* The orders in which a list shows the actions of a tree, and the first of them behind a place. */
#ifndef RUNTREE_MODEL_ACTION_SORT_H
#define RUNTREE_MODEL_ACTION_SORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/action.h"

enum action_sort { SORT_ORDER, SORT_STARTED, SORT_DURATION, SORT_NAME };

/* "order", "started", "duration" or "name". 0 or -EINVAL. */
int action_sort_parse(const char *text, enum action_sort *sort);

/* Names with numbers in them as one counts: a2 before a10. What is the same so far, such as a2 and
 * a02, and everything else, is in byte order; only the same name is equal. */
int names_compare(const char *a, const char *b);

struct action_order {
    enum action_sort sort;
    bool is_descending;
};

/* Where an action stands in such an order. A plain value; `name` is borrowed. */
struct action_place {
    int64_t value; /* ordinal, microseconds, milliseconds; TIME_NONE: it has none, and is last */
    int32_t ordinal;
    const char *name;
};

struct action_place action_place_of(enum action_sort sort, const struct action *action);

/* As memcmp. What has the same value is in tree order, and what has none is last, either way. */
int action_place_compare(struct action_order order, const struct action_place *a,
                         const struct action_place *b);

/* The first actions, of those that are looked at, behind a place. */
struct first_actions;

/* At most `count` (at least one); `after` NULL: from the start, else its name is borrowed. NULL
 * when out of memory. */
struct first_actions *first_actions_new(struct action_order order, const struct action_place *after,
                                        size_t count);
void first_actions_free(struct first_actions *first); /* NULL does nothing */

/* Once for each action; its name is borrowed until the end. */
void first_actions_look_at(struct first_actions *first, const struct action *action);

/* Those that are the first of all looked at so far, in order, borrowed until the next call. */
const struct action_place *first_actions_list(struct first_actions *first, size_t *count);

#endif
