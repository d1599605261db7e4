#include "sql/migrate.h"

#include "sql/migration_list.h"
#include "sql/pg_connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct migrator {
    PGconn *pg;
    char *why;
    size_t why_size;
};

/* The text without libpq's last newline. */
static void set_why(const struct migrator *migrator, const char *what, const char *text)
{
    int length = (int)strcspn(text, "\n");
    snprintf(migrator->why, migrator->why_size, "%s: %.*s", what, length, text);
}

/* Whether the same statement may succeed later: the server is going away, is short of something, is
 * read-only or was disturbed by somebody. Classes as in the PostgreSQL manual, appendix A. */
static bool is_passing(const char *sqlstate)
{
    static const char *const classes[] = {"08", "25006", "40", "53", "55P03", "57", "58"};
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        if (strncmp(sqlstate, classes[i], strlen(classes[i])) == 0) {
            return true;
        }
    }
    return false;
}

static int failed(const struct migrator *migrator, const char *what, const PGresult *result)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

    set_why(migrator, what, primary != NULL ? primary : PQerrorMessage(migrator->pg));
    if (PQstatus(migrator->pg) != CONNECTION_OK || sqlstate == NULL || is_passing(sqlstate)) {
        return -EAGAIN;
    }
    return -EPROTO;
}

/* 0, -EAGAIN or -EPROTO. `number`, unless NULL, gets the first field of the first row; 0 for an SQL
 * NULL. */
static int ask(const struct migrator *migrator, const char *what, const char *sql, int *number)
{
    PGresult *result = PQexec(migrator->pg, sql);
    ExecStatusType status = PQresultStatus(result);
    int error = 0;

    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY) {
        error = failed(migrator, what, result);
    } else if (number != NULL) {
        *number = PQntuples(result) == 1 ? (int)strtol(PQgetvalue(result, 0, 0), NULL, 10) : 0;
    }
    PQclear(result);
    return error;
}

/* 0 where nothing has been applied yet. */
static int read_version(const struct migrator *migrator, int *version)
{
    static const char what[] = "the schema's version cannot be read";
    int exists = 0;
    *version = 0;
    int error = ask(migrator, what, "SELECT count(to_regclass('schema_migrations'))", &exists);
    if (error < 0 || exists == 0) {
        return error;
    }
    return ask(migrator, what, "SELECT max(version) FROM schema_migrations", version);
}

static int refuse_newer(const struct migrator *migrator, int version)
{
    if (version <= (int)migration_count) {
        return 0;
    }
    snprintf(
        migrator->why, migrator->why_size,
        "the database's schema has version %d, this program knows up to %zu: run a newer runtree",
        version, migration_count);
    return -EPROTO;
}

static int record(const struct migrator *migrator, const char *what,
                  const struct migration *migration)
{
    char version[16];
    snprintf(version, sizeof version, "%d", migration->version);
    const char *const values[] = {version, migration->name};
    PGresult *result =
        PQexecParams(migrator->pg, "INSERT INTO schema_migrations (version, name) VALUES ($1, $2)",
                     2, NULL, values, NULL, NULL, 0);
    int error = PQresultStatus(result) == PGRES_COMMAND_OK ? 0 : failed(migrator, what, result);
    PQclear(result);
    return error;
}

/* The end of the line of the first command's end: a semicolon that nothing but a comment follows.
 */
static const char *end_of_command(const char *sql)
{
    const char *end = sql;

    while (*(end += strcspn(end, ";")) != '\0') {
        end++;
        const char *rest = end + strspn(end, " ");
        if (*rest == '\0' || *rest == '\n' || strncmp(rest, "--", 2) == 0)
            return rest + strcspn(rest, "\n");
    }
    return end;
}

/* Sends the commands one at a time: where a schema is sharded, as a whole, a server takes no more
 * than one in a message. */
static int run_commands(const struct migrator *migrator, const char *what, const char *sql)
{
    int error = 0;

    while (error == 0 && *sql != '\0') {
        const char *end = end_of_command(sql);
        char *command = strndup(sql, (size_t)(end - sql));

        if (command == NULL) {
            set_why(migrator, what, "out of memory");
            return -EAGAIN;
        }
        error = ask(migrator, what, command, NULL);
        free(command);
        sql = end + strspn(end, "\n");
    }
    return error;
}

static int apply(const struct migrator *migrator, const struct migration *migration)
{
    char what[128];
    snprintf(what, sizeof what, "migration %04d_%s failed", migration->version, migration->name);

    int error = ask(migrator, what, "BEGIN", NULL);
    if (error == 0) {
        error = record(migrator, what, migration);
    }
    if (error == 0) {
        error = run_commands(migrator, what, migration->sql);
    }
    if (error == 0) {
        error = ask(migrator, what, "COMMIT", NULL);
    }
    return error; /* a transaction that failed ends with the connection */
}

static int apply_missing(const struct migrator *migrator)
{
    int version = 0;
    /* The key is "runtree" in ASCII. The lock goes with the session. */
    int error = ask(migrator, "the lock for migrations cannot be had",
                    "SELECT pg_advisory_lock(x'72756e74726565'::bigint)", NULL);
    if (error == 0) {
        error = ask(migrator, "the table schema_migrations cannot be made",
                    "CREATE TABLE IF NOT EXISTS schema_migrations (version integer PRIMARY KEY,"
                    " name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())",
                    NULL);
    }
    if (error == 0) {
        error = read_version(migrator, &version);
    }
    if (error == 0) {
        error = refuse_newer(migrator, version);
    }
    for (size_t i = (size_t)version; error == 0 && i < migration_count; i++) {
        error = apply(migrator, &migration_list[i]);
    }
    return error;
}

/* Texts are UTF-8 as they come: another encoding could not hold them all. */
static int check_encoding(const struct migrator *migrator)
{
    PGresult *result = PQexec(migrator->pg, "SELECT current_setting('server_encoding')");
    int error = 0;

    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        error = failed(migrator, "the database's encoding cannot be read", result);
    } else if (strcmp(PQgetvalue(result, 0, 0), "UTF8") != 0) {
        snprintf(migrator->why, migrator->why_size,
                 "the database's encoding is %s: runtree needs one that was created with UTF8",
                 PQgetvalue(result, 0, 0));
        error = -EPROTO;
    }
    PQclear(result);
    return error;
}

/* Of two clients a pooler in session mode never gives both the same session, nor one of them two.
 */
static int check_pooler(const struct migrator *migrator, const char *url)
{
    enum { ROUNDS = 8 };
    static const char what[] = "the session's process cannot be read";
    static const char sql[] = "SELECT pg_backend_pid()";
    char reason[PG_WHY_SIZE];
    struct migrator other = *migrator;
    int pid = 0, other_pid = 0, first = 0, other_first = 0;
    int error = ask(migrator, what, sql, &first);

    if (error < 0 || first == PQbackendPID(migrator->pg)) {
        return error; /* no pooler, which would give out keys for cancelling of its own */
    }
    other.pg = pg_connect(url, "runtree migrate", reason);
    if (other.pg == NULL) {
        set_why(migrator, "no second connection to the database", reason);
        return -EAGAIN;
    }
    error = ask(&other, what, sql, &other_first);
    for (int round = 0; error == 0 && round < ROUNDS; round++) {
        error = ask(migrator, what, sql, &pid);
        if (error == 0) {
            error = ask(&other, what, sql, &other_pid);
        }
        if (error == 0 && (pid != first || other_pid != other_first || pid == other_pid)) {
            snprintf(
                migrator->why, migrator->why_size,
                "the pooler before the database does not keep sessions apart: runtree needs one"
                " in session mode (PgBouncer: pool_mode = session), or none");
            error = -EPROTO;
        }
    }
    PQfinish(other.pg);
    return error;
}

/* The list's watch counts in transactions of this server: runs that any from its future have
 * changed would not be told of. A cluster has the runs on another one, which counts for itself. */
static int check_transactions(const struct migrator *migrator)
{
    int changed_era = 0, era = 0;
    int error = ask(migrator, "the last change of a run cannot be read",
                    "SELECT coalesce(max(changed_era), 0)::int FROM runs", &changed_era);

    if (error == 0)
        error =
            ask(migrator, "the server's transactions cannot be counted",
                "SELECT (pg_snapshot_xmax(pg_current_snapshot())::text::int8 / 4096)::int", &era);
    if (error == 0 && changed_era > era + 1) {
        snprintf(migrator->why, migrator->why_size,
                 "runs were changed by transactions that this server has not given out yet: after"
                 " a restore run after_restore.sql; of a cluster use one server for all runtrees");
        error = -EPROTO;
    }
    return error;
}

static int migrate(const struct migrator *migrator, const char *url)
{
    int is_read_only = 0;
    int version = 0;
    int error = check_pooler(migrator, url);
    if (error == 0) {
        error = ask(migrator, "the database cannot be used", PG_REFUSE_WORKER, NULL);
    }
    if (error < 0) {
        return error;
    }
    error = ask(migrator, "the session cannot be set up",
                "SET statement_timeout = 0; SET lock_timeout = '3s';"
                "SELECT (current_setting('transaction_read_only') = 'on')::int",
                &is_read_only);
    if (error == 0) {
        error = check_encoding(migrator);
    }
    if (error == 0) {
        error = read_version(migrator, &version);
    }
    if (error < 0) {
        return error;
    }
    /* A current schema is left alone: that needs neither the lock nor the right to create tables.
     */
    if (version == (int)migration_count && !is_read_only) {
        return check_transactions(migrator);
    }
    if (is_read_only) {
        snprintf(migrator->why, migrator->why_size, "the database is read-only (a standby?)");
        return -EAGAIN;
    }
    error = refuse_newer(migrator, version);
    if (error == 0) {
        error = apply_missing(migrator);
    }
    return error < 0 ? error : check_transactions(migrator);
}

int database_url_check(const char *url, char *why, size_t why_size)
{
    char reason[PG_WHY_SIZE];
    PQconninfoOption *options = pg_url_parse(url, reason);

    if (options == NULL) {
        snprintf(why, why_size, "%s", reason);
        return -1;
    }
    PQconninfoFree(options);
    return 0;
}

int migrate_database(const char *url, char *why, size_t why_size)
{
    char reason[PG_WHY_SIZE];
    struct migrator migrator = {.why = why, .why_size = why_size};

    if (database_url_check(url, why, why_size) < 0) {
        return -EPROTO;
    }
    migrator.pg = pg_connect(url, "runtree migrate", reason);
    if (migrator.pg == NULL) {
        snprintf(why, why_size, "no connection to the database: %s", reason);
        return -EAGAIN;
    }
    int error = migrate(&migrator, url);
    PQfinish(migrator.pg);
    return error;
}
