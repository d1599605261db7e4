#include "model/generations.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void generation_write(const char *const *names, size_t count, char out[static GENERATION_TEXT_SIZE])
{
    const char *sorted[CELLS_MAX];
    char *end = out;

    memcpy(sorted, names, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_names);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            *end++ = ' ';
        end = stpcpy(end, sorted[i]);
    }
    *end = '\0';
}

/* Copies the name at *at and moves on behind it; false at the end, or where there is none. */
static bool next_name(const char **at, char name[static CELL_NAME_SIZE])
{
    size_t length = strcspn(*at, " ");

    if (length == 0 || length >= CELL_NAME_SIZE)
        return false;
    memcpy(name, *at, length);
    name[length] = '\0';
    *at += length;
    *at += **at == ' ';
    return true;
}

static int read_names(struct generation *generation)
{
    const char *at = generation->text;
    char name[CELL_NAME_SIZE];

    while (generation->count < CELLS_MAX && next_name(&at, name)) {
        generation->indexes[generation->count] = NOT_LISTED;
        generation->names[generation->count++] = placement_name(name);
    }
    return *at == '\0' && generation->count > 0 ? 0 : -EINVAL;
}

/* The newest first; of the same number, which only happens where two lists were begun at once, in
 * an order that is the same for all. */
static int compare_age(const struct generation *one, int64_t number, const char *text)
{
    if (one->number != number)
        return one->number > number ? -1 : 1;
    return strcmp(text, one->text);
}

int generations_add(struct generations *generations, int64_t number, const char *text)
{
    struct generation added = {.number = number}, *items;
    size_t at = 0;

    while (at < generations->count && compare_age(&generations->items[at], number, text) < 0)
        at++;
    if (at < generations->count && compare_age(&generations->items[at], number, text) == 0)
        return 0;
    if (generations->count == GENERATIONS_MAX)
        return -E2BIG;
    added.text = strdup(text);
    items = added.text == NULL
                ? NULL
                : realloc(generations->items, (generations->count + 1) * sizeof *items);
    if (items == NULL || read_names(&added) < 0) {
        generations->items = items == NULL ? generations->items : items;
        free(added.text);
        return items == NULL ? -ENOMEM : -EINVAL;
    }
    memmove(&items[at + 1], &items[at], (generations->count - at) * sizeof *items);
    items[at] = added;
    generations->items = items;
    generations->count++;
    return 0;
}

int generations_merge(struct generations *generations, const struct generations *others)
{
    int status = 0;

    for (size_t i = 0; i < others->count && status == 0; i++)
        status = generations_add(generations, others->items[i].number, others->items[i].text);
    return status;
}

void generations_clear(struct generations *generations)
{
    for (size_t i = 0; i < generations->count; i++)
        free(generations->items[i].text);
    free(generations->items);
    *generations = (struct generations){0};
}

bool generations_have(const struct generations *generations, const char *name)
{
    uint64_t wanted = placement_name(name);

    for (size_t i = 0; i < generations->count; i++)
        for (size_t k = 0; k < generations->items[i].count; k++)
            if (generations->items[i].names[k] == wanted)
                return true;
    return false;
}

static uint8_t index_of(const char *name, const char *const *names, size_t count)
{
    uint8_t index = 0;

    while (index < count && strcmp(names[index], name) != 0)
        index++;
    return index < count ? index : NOT_LISTED;
}

bool generations_index(struct generations *generations, const char *const *names, size_t count,
                       char unknown[static CELL_NAME_SIZE])
{
    bool are_known = true;

    for (size_t i = 0; i < generations->count; i++) {
        struct generation *generation = &generations->items[i];
        const char *at = generation->text;
        char name[CELL_NAME_SIZE];

        for (size_t k = 0; k < generation->count && next_name(&at, name); k++) {
            generation->indexes[k] = index_of(name, names, count);
            if (generation->indexes[k] != NOT_LISTED || !are_known)
                continue;
            memcpy(unknown, name, sizeof name);
            are_known = false;
        }
    }
    return are_known;
}

size_t generations_homes(const struct generations *generations, const struct run_key *run,
                         uint8_t homes[static HOMES_MAX])
{
    bool is_one = generations->count == 1 && generations->items[0].count == 1;
    uint64_t hash = is_one ? 0 : placement_run(run);
    bool seen[HOMES_MAX] = {false};
    size_t count = 0;

    for (size_t i = 0; i < generations->count; i++) {
        const struct generation *generation = &generations->items[i];
        uint8_t home =
            generation->indexes[placement_home(generation->names, generation->count, hash)];

        if (!seen[home])
            homes[count++] = home;
        seen[home] = true;
    }
    return count;
}
