#include "sql/migrate.h"

#include "sql/migration_list.h"
#include "tests/sql/scratch_postgres.h"

#include <errno.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A new database beside "runtree"; its URL, to be freed. */
static char *new_database(const struct scratch_postgres *scratch, const char *name)
{
    char sql[80];
    char *url = NULL;
    snprintf(sql, sizeof sql, "CREATE DATABASE %s", name);
    free(scratch_query(scratch->url, sql));
    assert_true(asprintf(&url, "%s dbname=%s", scratch->url, name) > 0);
    return url;
}

static void assert_answer(const char *url, const char *sql, const char *wanted)
{
    char *answer = scratch_query(url, sql);
    assert_non_null(answer);
    assert_string_equal(answer, wanted);
    free(answer);
}

static void applies_each_once(void **state)
{
    char why[300] = "";
    char latest[16];
    char *url = new_database(*state, "once");

    snprintf(latest, sizeof latest, "%zu", migration_count);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(migrate_database(url, why, sizeof why), 0);
        assert_answer(url, "SELECT max(version) FROM schema_migrations", latest);
        assert_answer(url, "SELECT count(*) FROM schema_migrations", latest);
    }
    assert_answer(url, "SELECT count(*) FROM runs", "0");
    free(url);
}

static void *migrate_thread(void *url)
{
    char why[300] = "";
    return (void *)(intptr_t)migrate_database(url, why, sizeof why);
}

static void several_may_start_together(void **state)
{
    pthread_t threads[4];
    char *url = new_database(*state, "together");

    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, migrate_thread, url), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *status = NULL;
        pthread_join(threads[i], &status);
        assert_int_equal((intptr_t)status, 0);
    }
    free(url);
}

/* So that a runtree that waits for another's migration can still be stopped. */
static void waits_for_the_lock_only_so_long(void **state)
{
    char why[300] = "";
    char *url = new_database(*state, "locked");
    PGconn *other = PQconnectdb(url);

    PQclear(PQexec(other, "SELECT pg_advisory_lock(x'72756e74726565'::bigint)"));
    assert_int_equal(migrate_database(url, why, sizeof why), -EAGAIN);
    assert_non_null(strstr(why, "lock"));
    PQfinish(other);
    assert_int_equal(migrate_database(url, why, sizeof why), 0);
    free(url);
}

static void refuses_a_newer_schema(void **state)
{
    char why[300] = "";
    char *url = new_database(*state, "newer");

    assert_int_equal(migrate_database(url, why, sizeof why), 0);
    free(scratch_query(url, "INSERT INTO schema_migrations VALUES (9999, 'of_tomorrow')"));
    assert_int_equal(migrate_database(url, why, sizeof why), -EPROTO);
    assert_non_null(strstr(why, "9999"));
    free(url);
}

static void a_failed_migration_leaves_nothing(void **state)
{
    char why[300] = "";
    char *url = new_database(*state, "taken");

    free(scratch_query(url, "CREATE TABLE actions (other text)"));
    assert_int_equal(migrate_database(url, why, sizeof why), -EPROTO);
    assert_non_null(strstr(why, "\"actions\" already exists"));
    assert_answer(url, "SELECT count(*) FROM schema_migrations", "0");
    assert_answer(url, "SELECT to_regclass('runs') IS NULL", "t");
    free(url);
}

static void a_database_that_may_come_is_tried_again(void **state)
{
    const struct scratch_postgres *scratch = *state;
    char why[300] = "";
    char *read_only = NULL;

    assert_int_equal(migrate_database("host=/nowhere", why, sizeof why), -EAGAIN);
    assert_true(
        asprintf(&read_only, "%s options='-c default_transaction_read_only=on'", scratch->url) > 0);
    assert_int_equal(migrate_database(read_only, why, sizeof why), -EAGAIN);
    assert_non_null(strstr(why, "read-only"));
    free(read_only);
}

static void a_wrong_url_is_not(void **state)
{
    char why[300] = "";
    (void)state;
    assert_int_equal(migrate_database("postgresql://me:secret@%zz/", why, sizeof why), -EPROTO);
    assert_null(strstr(why, "secret"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(applies_each_once),
        cmocka_unit_test(several_may_start_together),
        cmocka_unit_test(waits_for_the_lock_only_so_long),
        cmocka_unit_test(refuses_a_newer_schema),
        cmocka_unit_test(a_failed_migration_leaves_nothing),
        cmocka_unit_test(a_database_that_may_come_is_tried_again),
        cmocka_unit_test(a_wrong_url_is_not),
    };
    return cmocka_run_group_tests_name("migrate", tests, scratch_postgres_start,
                                       scratch_postgres_stop);
}
