/* A database of the test's own: an embedded PostgreSQL in a new folder under /tmp. */
#ifndef RUNTREE_TESTS_SQL_SCRATCH_POSTGRES_H
#define RUNTREE_TESTS_SQL_SCRATCH_POSTGRES_H

#include "sql/embedded_postgres.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { CONNECTIONS = 5 /* of a runtree with one loop */ };

/* A new folder that every user can enter; its path is freed by scratch_folder_remove. */
char *scratch_folder_new(void);

/* Removes it with everything in it. */
void scratch_folder_remove(char *folder);

/* For cmocka_run_group_tests: the group's state is a struct scratch_postgres. */
struct scratch_postgres {
    char *folder;
    struct embedded_postgres *server;
    const char *url;
};
int scratch_postgres_start(void **state);
int scratch_postgres_stop(void **state);

/* One statement by a connection of its own, which waits; the first field of its first row, to be
 * freed, or NULL. The test fails if the statement does. */
char *scratch_query(const char *url, const char *sql);

#endif
