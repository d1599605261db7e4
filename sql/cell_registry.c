#include "sql/cell_registry.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sql/pg_connection.h"

struct registry {
    PGconn *pg;
    char *why;
    size_t why_size;
};

/* A statement of `count` text parameters; NULL with a reason when it failed. */
static PGresult *ask(const struct registry *registry, const char *sql, int count,
                     const char *const *values)
{
    PGresult *result = PQexecParams(registry->pg, sql, count, NULL, values, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(result);
    const char *message = PQerrorMessage(registry->pg);

    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
        return result;
    snprintf(registry->why, registry->why_size, "what it knows of cells cannot be read: %.*s",
             (int)strcspn(message, "\n"), message);
    PQclear(result);
    return NULL;
}

/* 0 or -EAGAIN. */
static int run(const struct registry *registry, const char *sql, int count,
               const char *const *values)
{
    PGresult *result = ask(registry, sql, count, values);
    int status = result == NULL ? -EAGAIN : 0;

    PQclear(result);
    return status;
}

/* 0, 1 if it has none, -EAGAIN or -EPROTO. */
static int check_name(const struct registry *registry, const char *name)
{
    PGresult *result = ask(registry, "SELECT name FROM cell_name", 0, NULL);
    int status = 0;

    if (result == NULL)
        return -EAGAIN;
    if (PQntuples(result) == 0) {
        status = 1;
    } else if (strcmp(PQgetvalue(result, 0, 0), name) != 0) {
        snprintf(registry->why, registry->why_size,
                 "this database is cell %s, the list of cells says %s", PQgetvalue(result, 0, 0),
                 name);
        status = -EPROTO;
    }
    PQclear(result);
    return status;
}

/* It has no name, and none of the lists that name this cell began without it. 0, -EAGAIN or
 * -EPROTO. */
static int give_name(const struct registry *registry, const char *name,
                     const struct generations *known)
{
    if (generations_have(known, name)) {
        snprintf(registry->why, registry->why_size,
                 "cell %s has had another database, and this one was never a cell; if what it had"
                 " is lost, list %s as gone, and this database under a name of its own",
                 name, name);
        return -EPROTO;
    }
    if (run(registry, "INSERT INTO cell_name (name) VALUES ($1) ON CONFLICT DO NOTHING", 1, &name) <
        0)
        return -EAGAIN;
    return check_name(registry, name);
}

static int read_all(const struct registry *registry, struct generations *found)
{
    PGresult *result = ask(registry, "SELECT number, cells FROM cell_generations", 0, NULL);
    int rows = result == NULL ? 0 : PQntuples(result);
    int status = result == NULL ? -EAGAIN : 0;

    for (int row = 0; row < rows && status == 0; row++) {
        status = generations_add(found, strtoll(PQgetvalue(result, row, 0), NULL, 10),
                                 PQgetvalue(result, row, 1));
        if (status < 0) {
            snprintf(registry->why, registry->why_size,
                     "list %s of those of cells that it has cannot be used: %s",
                     PQgetvalue(result, row, 0), strerror(-status));
            status = -EAGAIN;
        }
    }
    PQclear(result);
    return status;
}

static bool has_number(const struct generations *found, int64_t number)
{
    for (size_t i = 0; i < found->count; i++)
        if (found->items[i].number == number)
            return true;
    return false;
}

/* Stores those that `found` has not. How many there were, or -EAGAIN. Until the commit nobody makes
 * a run: whoever does holds the table's weakest lock (0017_cells.sql). */
static int store_missing(const struct registry *registry, const struct generations *known,
                         const struct generations *found)
{
    int stored = 0;

    for (size_t i = 0; i < known->count; i++) {
        char number[24];
        const char *const values[] = {number, known->items[i].text};

        if (has_number(found, known->items[i].number))
            continue;
        snprintf(number, sizeof number, "%" PRId64, known->items[i].number);
        if (stored == 0 &&
            (run(registry, "BEGIN", 0, NULL) < 0 ||
             run(registry, "LOCK TABLE cell_generations IN ACCESS EXCLUSIVE MODE", 0, NULL) < 0))
            return -EAGAIN;
        if (run(registry,
                "INSERT INTO cell_generations (number, cells) VALUES ($1::bigint, $2)"
                " ON CONFLICT DO NOTHING",
                2, values) < 0)
            return -EAGAIN;
        stored++;
    }
    return stored > 0 && run(registry, "COMMIT", 0, NULL) < 0 ? -EAGAIN : stored;
}

/* `known` NULL: nothing is written. */
static int sync_on(const struct registry *registry, const char *name,
                   const struct generations *known, struct generations *found)
{
    int status = run(registry, "SET statement_timeout = 0", 0, NULL);
    int name_status = 0;

    if (status == 0)
        status = run(registry, "SET lock_timeout = '3s'", 0, NULL);
    if (status == 0)
        status = name_status = check_name(registry, name);
    if (status > 0)
        status = known == NULL ? 0 : give_name(registry, name, known);
    if (status == 0)
        status = read_all(registry, found);
    if (status < 0 || known == NULL)
        return status < 0 ? status : name_status > 0 && found->count == 0;
    status = store_missing(registry, known, found);
    return status > 0 ? read_all(registry, found) : status;
}

static int connect_and_sync(const char *url, const char *name, const struct generations *known,
                            struct generations *found, char *why, size_t why_size)
{
    char reason[PG_WHY_SIZE];
    const struct registry registry = {
        .pg = pg_connect(url, "runtree cells", reason), .why = why, .why_size = why_size};
    int status;

    if (registry.pg == NULL) {
        snprintf(why, why_size, "no connection to the database: %s", reason);
        return -EAGAIN;
    }
    status = sync_on(&registry, name, known, found);
    PQfinish(registry.pg);
    return status;
}

int cell_registry_read(const char *url, const char *name, struct generations *found, char *why,
                       size_t why_size)
{
    return connect_and_sync(url, name, NULL, found, why, why_size);
}

int cell_registry_sync(const char *url, const char *name, const struct generations *known,
                       struct generations *found, char *why, size_t why_size)
{
    return connect_and_sync(url, name, known, found, why, why_size);
}
