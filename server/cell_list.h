/* The databases that runs are kept in, by name: a file, or the URLs of the command line. */
#ifndef RUNTREE_SERVER_CELL_LIST_H
#define RUNTREE_SERVER_CELL_LIST_H

#include <stddef.h>

#include "model/placement.h"

enum { CELL_LIST_WHY_SIZE = 320 };

enum cell_state {
    CELL_ACTIVE,   /* gets its share of new runs */
    CELL_DRAINING, /* gets none; what it has is read and written to */
    CELL_GONE,     /* known to be empty or lost: nobody asks for it */
};

/* A database, or a schema of one, that holds whole runs. */
struct cell_config {
    char name[CELL_NAME_SIZE];
    enum cell_state state;
    char *url; /* owned; NULL of one that is gone */
};

struct cell_list {
    struct cell_config items[CELLS_MAX];
    size_t count;
    size_t alive; /* that are not gone */
};

/* All functions answer 0, or -EINVAL with the reason in `why`, which quotes no URL: it may hold a
 * password. */

/* Adds a cell. At most CELLS_MAX, each of another name: 1 to 63 of a-z, 0-9 and -. */
int cell_list_add(struct cell_list *list, const char *name, enum cell_state state, const char *url,
                  char why[static CELL_LIST_WHY_SIZE]);

/* Adds those of a file: `NAME active URL`, `NAME draining URL` or `NAME gone` a line; empty lines
 * and those that begin with # are nothing. At least one must be active. */
int cell_list_load(struct cell_list *list, const char *path, char why[static CELL_LIST_WHY_SIZE]);

void cell_list_clear(struct cell_list *list);

#endif
