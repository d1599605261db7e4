#include "tests/sql/scratch_postgres.h"

#include <ftw.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

char *scratch_folder_new(void)
{
    char *folder = strdup("/tmp/runtree-test-XXXXXX");
    assert_non_null(folder);
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chmod(folder, 0755), 0);
    return folder;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

void scratch_folder_remove(char *folder)
{
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(folder);
}

int scratch_postgres_start(void **state)
{
    char why[700] = "";
    struct scratch_postgres *scratch = calloc(1, sizeof *scratch);
    assert_non_null(scratch);
    scratch->folder = scratch_folder_new();
    scratch->server = embedded_postgres_start(scratch->folder, CONNECTIONS, why, sizeof why);
    if (scratch->server == NULL) {
        print_error("%s\n", why);
        scratch_folder_remove(scratch->folder);
        free(scratch);
        return -1;
    }
    scratch->url = embedded_postgres_url(scratch->server);
    *state = scratch;
    return 0;
}

int scratch_postgres_stop(void **state)
{
    struct scratch_postgres *scratch = *state;
    embedded_postgres_stop(scratch->server);
    scratch_folder_remove(scratch->folder);
    free(scratch);
    return 0;
}

char *scratch_query(const char *url, const char *sql)
{
    char *field = NULL;
    PGconn *pg = PQconnectdb(url);
    PGresult *result = PQexec(pg, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        print_error("%s: %s", sql, PQerrorMessage(pg));
    } else if (PQntuples(result) > 0 && !PQgetisnull(result, 0, 0)) {
        field = strdup(PQgetvalue(result, 0, 0));
    }
    PQclear(result);
    PQfinish(pg);
    assert_true(status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK);
    return field;
}
