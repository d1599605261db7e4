/* Which of several cells a run is at home in: rendezvous hashing. Each cell gives each run a score,
 * and the run is where it is highest; so a cell that is added takes runs from all others in equal
 * parts, and moves none between them. */
#ifndef RUNTREE_MODEL_PLACEMENT_H
#define RUNTREE_MODEL_PLACEMENT_H

#include <stddef.h>
#include <stdint.h>

#include "model/run_key.h"

enum { CELLS_MAX = 64, CELL_NAME_SIZE = 64 };

/* What counts of a cell's name, and of a run's key. */
uint64_t placement_name(const char *name);
uint64_t placement_run(const struct run_key *run);

/* The index of the run's home among the cells of these names, of which there is at least one. It is
 * the same on every machine, in every version and whatever their order. */
size_t placement_home(const uint64_t *names, size_t count, uint64_t run);

#endif
