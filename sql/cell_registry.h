/* What each of several databases remembers of all of them (model/generations.h): its own name, and
 * which lists of cells there have been. */
#ifndef RUNTREE_SQL_CELL_REGISTRY_H
#define RUNTREE_SQL_CELL_REGISTRY_H

#include <stddef.h>

#include "model/generations.h"

/* Blocks; call it on a worker thread, with a schema that is current. Names the database `name` if
 * it has no name yet, stores what of `known` it has not, and adds all that it has then to `found`.
 * What is stored under a number stays. 0; -EAGAIN: it cannot be reached, or not now; -EPROTO: it is
 * another cell. `why` gets the reason. */
int cell_registry_sync(const char *url, const char *name, const struct generations *known,
                       struct generations *found, char *why, size_t why_size);

#endif
