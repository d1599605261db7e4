/* What each of several databases remembers of all of them (model/generations.h): its own name, and
 * which lists of cells there have been. */
#ifndef RUNTREE_SQL_CELL_REGISTRY_H
#define RUNTREE_SQL_CELL_REGISTRY_H

#include <stddef.h>

#include "model/generations.h"

/* Both block; call them on a worker thread, with a schema that is current. 0; -EAGAIN: it cannot be
 * reached, or not now; -EPROTO: it is another cell than `name`, or was none while `name` was one.
 * `why` gets the reason. */

/* Adds all lists that it has to `found`. 1: it has no name yet, and no list. */
int cell_registry_read(const char *url, const char *name, struct generations *found, char *why,
                       size_t why_size);

/* Names the database if it has no name yet, stores what of `known` it has not, and then reads.
 * `known` are all lists that its cell may be in: each is stored when all of its cells have their
 * names. What is stored under a number stays. */
int cell_registry_sync(const char *url, const char *name, const struct generations *known,
                       struct generations *found, char *why, size_t why_size);

#endif
