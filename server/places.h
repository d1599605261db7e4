/* Which cell a run is in: the one place of a loop that knows.
 *
 * The databases remember which lists of cells there have been (sql/cell_registry.h). A cell is used
 * once it has the newest of them: from then on nobody with an older list makes a run in it, so that
 * what is looked for there and not found is not there. A new list is only begun when all of its
 * cells are up, for each may have lists that no other has, and when each has its name: a database
 * without one, of a cell that is in some list already, is not the one that the cell had. */
#ifndef RUNTREE_SERVER_PLACES_H
#define RUNTREE_SERVER_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/generations.h"
#include "server/cell.h"
#include "server/cell_list.h"

struct places;

/* `list` as configured; borrowed. NULL when out of memory. */
struct places *places_new(const struct cell_list *list);
/* At the end, before the cells: nothing is looked for any more. */
void places_stop(struct places *places);
bool places_are_stopped(const struct places *places);
/* NULL is fine. */
void places_free(struct places *places);

/* Before anything else: the list's cell at `index`, which is not gone; borrowed. */
void places_put(struct places *places, size_t index, struct cell *cell);

/* The number of the newest list of cells as known now, -1 if it has one that ours has not; lives as
 * long as `places`. */
const int64_t *places_generation(const struct places *places);

/* The cell's database may have a newer list. */
void places_refresh(struct places *places, struct cell *cell);

/* What the cell's database has of lists was read; `is_new`: nothing, and it has no name. */
void places_read(struct places *places, struct cell *cell, const struct generations *found,
                 bool is_new);

/* Where a run is. */
struct run_place {
    struct cell *cell;
    bool may_create; /* it is where a run that is nowhere would be made */
};

/* 0 and *place; -EAGAIN: it must be looked for, and place->cell is a cell that it may be in and
 * that is away, NULL if none is known to be. */
int places_get(const struct places *places, const struct run_key *run, struct run_place *place);

/* Whether any run may be in one of several cells. */
bool places_may_differ(const struct places *places);

/* Looks for the runs. `done` comes once, perhaps before the return: until its return places_get
 * says where each is that was found, or is nowhere; the others may be in a cell that is away, or
 * that has not the newest list yet (then `is_sure` is false), or were forgotten meanwhile. 0, or
 * -ENOMEM and `done` does not come. */
typedef void places_fn(void *arg, bool is_sure);
int places_find(struct places *places, const struct run_key *runs, size_t count, places_fn *done,
                void *arg);

/* The run was deleted, or is not where it was: it may be somewhere else from now on. */
void places_forget(struct places *places, const struct run_key *run);
/* Likewise all of a cell's. */
void places_forget_cell(struct places *places, const struct cell *cell);

#endif
