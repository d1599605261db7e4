/* The lists of cells that there have been, and where a run can be by them.
 *
 * A run is made in its home by the newest list. Lists change, runs do not move: one that is there
 * already is in its home by some older one. So whoever looks for a run asks its homes, the newest
 * first. */
#ifndef RUNTREE_MODEL_GENERATIONS_H
#define RUNTREE_MODEL_GENERATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/placement.h"

enum { GENERATIONS_MAX = 1000, GENERATION_TEXT_SIZE = CELLS_MAX * CELL_NAME_SIZE };

/* The cells that got new runs at one time. */
struct generation {
    int64_t number; /* the higher, the newer */
    char *text;     /* the names in the order of their bytes, with blanks between them; owned */
    size_t count;
    uint64_t names[CELLS_MAX];  /* placement_name of each */
    uint8_t indexes[CELLS_MAX]; /* see generations_index; NOT_LISTED until then */
};

/* The newest first. All zero is none. */
struct generations {
    struct generation *items;
    size_t count;
};

enum { NOT_LISTED = CELLS_MAX };

/* Writes the names as the text of a generation. */
void generation_write(const char *const *names, size_t count,
                      char out[static GENERATION_TEXT_SIZE]);

/* Adds one, unless it is there. 0; -ENOMEM; -EINVAL: it is no text of names; -E2BIG: there are
 * GENERATIONS_MAX. On failure nothing is changed. */
int generations_add(struct generations *generations, int64_t number, const char *text);

/* Adds all of `others`. 0, or as above. */
int generations_merge(struct generations *generations, const struct generations *others);

void generations_clear(struct generations *generations);

/* Whether a cell of that name is in any. */
bool generations_have(const struct generations *generations, const char *name);

/* Notes of each name its index in `names`. The first that is in none of them is copied to
 * `unknown`; false if there is such a one. */
bool generations_index(struct generations *generations, const char *const *names, size_t count,
                       char unknown[static CELL_NAME_SIZE]);

/* The run's homes, as indexes of generations_index, the newest first and each once; how many. All
 * that are not listed are one NOT_LISTED. */
enum { HOMES_MAX = CELLS_MAX + 1 };
size_t generations_homes(const struct generations *generations, const struct run_key *run,
                         uint8_t homes[static HOMES_MAX]);

#endif
