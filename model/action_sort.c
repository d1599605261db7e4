#include "model/action_sort.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/timestamp.h"

int action_sort_parse(const char *text, enum action_sort *sort)
{
    static const char *const names[] = {[SORT_ORDER] = "order",
                                        [SORT_STARTED] = "started",
                                        [SORT_DURATION] = "duration",
                                        [SORT_NAME] = "name"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i]) != 0)
            continue;
        *sort = (enum action_sort)i;
        return 0;
    }
    return -EINVAL;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Compares the numbers that both stand on, however long they are, and moves behind them. */
static int compare_numbers(const char **a, const char **b)
{
    const char *begin_a = *a + strspn(*a, "0"), *begin_b = *b + strspn(*b, "0");
    size_t digits_a = strspn(begin_a, "0123456789"), digits_b = strspn(begin_b, "0123456789");

    *a = begin_a + digits_a;
    *b = begin_b + digits_b;
    if (digits_a != digits_b)
        return digits_a < digits_b ? -1 : 1;
    return memcmp(begin_a, begin_b, digits_a);
}

int names_compare(const char *a, const char *b)
{
    const char *at_a = a, *at_b = b;

    while (*at_a != '\0' && *at_b != '\0') {
        int order;

        if (is_digit(*at_a) && is_digit(*at_b))
            order = compare_numbers(&at_a, &at_b);
        else
            order = (unsigned char)*at_a++ - (unsigned char)*at_b++;
        if (order != 0)
            return order;
    }
    if (*at_a != *at_b)
        return *at_a == '\0' ? -1 : 1;
    return strcmp(a, b);
}

struct action_place action_place_of(enum action_sort sort, const struct action *action)
{
    struct action_place place = {.ordinal = action->ordinal, .name = action->name};
    int64_t lasted_ms;

    switch (sort) {
    case SORT_ORDER:
        place.value = action->ordinal;
        break;
    case SORT_STARTED:
        place.value = action_started_us(action);
        break;
    case SORT_DURATION:
        lasted_ms = duration_ms(action_started_us(action), action->ended_us);
        place.value = lasted_ms < 0 ? TIME_NONE : lasted_ms;
        break;
    case SORT_NAME:
        break;
    }
    return place;
}

int action_place_compare(struct action_order order, const struct action_place *a,
                         const struct action_place *b)
{
    int compared = (a->value > b->value) - (a->value < b->value);

    if (order.sort == SORT_NAME)
        return order.is_descending ? names_compare(b->name, a->name)
                                   : names_compare(a->name, b->name);
    if (compared == 0)
        return (a->ordinal > b->ordinal) - (a->ordinal < b->ordinal);
    if (a->value == TIME_NONE || b->value == TIME_NONE)
        return -compared;
    return order.is_descending ? -compared : compared;
}

/* -------- the first of many -------- */

struct first_actions {
    struct action_order order;
    const struct action_place *after;
    struct action_place after_place;
    size_t wanted, count;
    bool is_full; /* `wanted` are there, of which `last` is the last: what is behind it is not */
    struct action_place last;
    struct action_place places[]; /* twice as many as are wanted */
};

struct first_actions *first_actions_new(struct action_order order, const struct action_place *after,
                                        size_t count)
{
    struct first_actions *first = malloc(sizeof *first + 2 * count * sizeof(struct action_place));

    if (first == NULL)
        return NULL;
    *first = (struct first_actions){.order = order, .wanted = count};
    if (after != NULL) {
        first->after_place = *after;
        first->after = &first->after_place;
    }
    return first;
}

void first_actions_free(struct first_actions *first)
{
    free(first);
}

static int compare_places(const void *a, const void *b, void *order)
{
    return action_place_compare(*(const struct action_order *)order, a, b);
}

/* Drops what is not among the first: each action that is kept costs its part of a sort. */
static void cut(struct first_actions *first)
{
    qsort_r(first->places, first->count, sizeof *first->places, compare_places, &first->order);
    if (first->count < first->wanted)
        return;
    first->count = first->wanted;
    first->last = first->places[first->count - 1];
    first->is_full = true;
}

void first_actions_look_at(struct first_actions *first, const struct action *action)
{
    const struct action_place place = action_place_of(first->order.sort, action);

    if (first->after != NULL && action_place_compare(first->order, &place, first->after) <= 0)
        return;
    if (first->is_full && action_place_compare(first->order, &place, &first->last) >= 0)
        return;
    first->places[first->count++] = place;
    if (first->count == 2 * first->wanted)
        cut(first);
}

const struct action_place *first_actions_list(struct first_actions *first, size_t *count)
{
    cut(first);
    *count = first->count;
    return first->places;
}
