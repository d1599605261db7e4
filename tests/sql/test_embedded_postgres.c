#include "tests/sql/scratch_postgres.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int make_folder(void **state)
{
    *state = scratch_folder_new();
    return 0;
}

static int remove_folder(void **state)
{
    scratch_folder_remove(*state);
    return 0;
}

static struct embedded_postgres *start(const char *folder)
{
    char why[700] = "";
    struct embedded_postgres *postgres =
        embedded_postgres_start(folder, CONNECTIONS, why, sizeof why);
    if (postgres == NULL) {
        print_error("%s\n", why);
    }
    assert_non_null(postgres);
    return postgres;
}

/* What a runtree that is killed leaves behind. */
static void start_and_die(const char *folder)
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char why[700] = "";
        bool is_started = embedded_postgres_start(folder, CONNECTIONS, why, sizeof why) != NULL;
        _exit(is_started ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void pid_file_of(const char *folder, char *path, size_t size)
{
    snprintf(path, size, "%s/postgres/postmaster.pid", folder);
}

static pid_t postmaster_of(const char *folder)
{
    char path[256];
    char line[32] = "";
    pid_file_of(folder, path, sizeof path);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    fclose(file);
    return (pid_t)strtol(line, NULL, 10);
}

/* PostgreSQL removes the file at the end of an orderly shutdown. */
static void assert_is_stopped(const char *folder)
{
    char path[256];
    pid_file_of(folder, path, sizeof path);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void write_file(const char *path, const char *mode, const char *text)
{
    FILE *file = fopen(path, mode);
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    int closed = fclose(file);
    assert_int_equal(closed, 0);
}

/* Adds a row; how many there are now. */
static int add_row(const struct embedded_postgres *postgres)
{
    const char *url = embedded_postgres_url(postgres);
    char *database = scratch_query(url, "SELECT current_database()");
    assert_string_equal(database, "runtree");
    free(database);
    char *table = scratch_query(url, "SELECT to_regclass('kept')");
    if (table == NULL) {
        free(scratch_query(url, "CREATE TABLE kept (row int)"));
    }
    free(table);
    free(scratch_query(url, "INSERT INTO kept VALUES (1)"));
    char *count = scratch_query(url, "SELECT count(*) FROM kept");
    int rows = (int)strtol(count, NULL, 10);
    free(count);
    return rows;
}

static void keeps_its_data_from_start_to_start(void **state)
{
    struct embedded_postgres *postgres = start(*state);
    int rows = add_row(postgres);
    embedded_postgres_stop(postgres);
    assert_is_stopped(*state);
    postgres = start(*state);
    assert_int_equal(add_row(postgres), rows + 1);
    embedded_postgres_stop(postgres);
}

static void adopts_what_a_killed_one_left(void **state)
{
    start_and_die(*state);
    pid_t left = postmaster_of(*state);
    struct embedded_postgres *postgres = start(*state);
    assert_int_equal(postmaster_of(*state), left);
    add_row(postgres);
    embedded_postgres_stop(postgres);
    assert_is_stopped(*state);
}

static void starts_after_everything_was_killed(void **state)
{
    struct embedded_postgres *postgres = start(*state);
    int rows = add_row(postgres);
    embedded_postgres_stop(postgres);
    start_and_die(*state);
    assert_int_equal(kill(postmaster_of(*state), SIGKILL), 0);
    postgres = start(*state);
    assert_int_equal(add_row(postgres), rows + 1);
    embedded_postgres_stop(postgres);
}

/* The process ids in what is left may belong to somebody else by now: here, to this test. */
static void does_not_take_a_stranger_for_its_server(void **state)
{
    char path[256];
    char own[32];
    embedded_postgres_stop(start(*state));
    snprintf(own, sizeof own, "%d\n", (int)getpid());
    pid_file_of(*state, path, sizeof path);
    write_file(path, "w", own);
    snprintf(path, sizeof path, "%s/run/.s.PGSQL.5432.lock", (const char *)*state);
    write_file(path, "w", own);
    embedded_postgres_stop(start(*state));
}

static void a_folder_is_used_by_one_only(void **state)
{
    char why[700] = "";
    struct embedded_postgres *postgres = start(*state);
    assert_null(embedded_postgres_start(*state, CONNECTIONS, why, sizeof why));
    assert_non_null(strstr(why, "another runtree is using the data folder"));
    assert_non_null(strstr(why, *state));
    add_row(postgres);
    embedded_postgres_stop(postgres);
}

static void is_started_again_when_it_died(void **state)
{
    char why[700] = "";
    struct embedded_postgres *postgres = start(*state);
    pid_t first = postmaster_of(*state);
    int rows = add_row(postgres);
    assert_int_equal(embedded_postgres_ensure(postgres, why, sizeof why), 0);
    assert_int_equal(postmaster_of(*state), first);
    assert_int_equal(kill(first, SIGKILL), 0);
    usleep(100000);
    assert_int_equal(embedded_postgres_ensure(postgres, why, sizeof why), 0);
    assert_int_not_equal(postmaster_of(*state), first);
    assert_int_equal(add_row(postgres), rows + 1);
    embedded_postgres_stop(postgres);
}

static void a_signal_ends_the_start(void **state)
{
    char why[700] = "";
    sigset_t term;
    siginfo_t info;

    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    assert_int_equal(sigprocmask(SIG_BLOCK, &term, NULL), 0);
    assert_int_equal(raise(SIGTERM), 0);
    struct embedded_postgres *postgres =
        embedded_postgres_start(*state, CONNECTIONS, why, sizeof why);
    assert_int_equal(sigwaitinfo(&term, &info), SIGTERM);
    assert_int_equal(sigprocmask(SIG_UNBLOCK, &term, NULL), 0);
    assert_null(postgres);
    assert_string_equal(why, "told to stop while PostgreSQL was starting");
    assert_is_stopped(*state);
}

static void quotes_the_log_when_it_does_not_start(void **state)
{
    char why[700] = "";
    char path[256];
    struct stat before;
    embedded_postgres_stop(start(*state));
    snprintf(path, sizeof path, "%s/postgres/postgresql.conf", (const char *)*state);
    assert_int_equal(stat(path, &before), 0);
    write_file(path, "a", "\nno_such_setting = 1\n");
    assert_null(embedded_postgres_start(*state, CONNECTIONS, why, sizeof why));
    assert_int_equal(truncate(path, before.st_size), 0);
    assert_non_null(strstr(why, "no_such_setting"));
    embedded_postgres_stop(start(*state));
}

static void says_which_version_is_missing(void **state)
{
    char why[700] = "";
    char path[256];
    char folder[128];
    snprintf(folder, sizeof folder, "%s/old", (const char *)*state);
    snprintf(path, sizeof path, "%s/postgres", folder);
    assert_int_equal(mkdir(folder, 0755), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    if (geteuid() == 0) { /* the cluster of any user but root */
        assert_int_equal(chown(path, 12345, 12345), 0);
    }
    snprintf(path, sizeof path, "%s/postgres/PG_VERSION", folder);
    write_file(path, "w", "11\n");
    assert_null(embedded_postgres_start(folder, CONNECTIONS, why, sizeof why));
    assert_non_null(strstr(why, "postgresql-11"));
}

static void an_initdb_that_was_cut_off_is_begun_anew(void **state)
{
    char path[256];
    char folder[128];
    snprintf(folder, sizeof folder, "%s/cut-off", (const char *)*state);
    assert_int_equal(mkdir(folder, 0755), 0);
    snprintf(path, sizeof path, "%s/postgres.new", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/postgres.new/PG_VERSION", folder);
    write_file(path, "w", "15\n");
    struct embedded_postgres *postgres = start(folder);
    assert_int_equal(add_row(postgres), 1);
    embedded_postgres_stop(postgres);
}

static void any_path_will_do(void **state)
{
    static const char *const names[] = {
        "with 'quotes\" and \\", "with, comma",
        "long-long-long-long-long-long-long-long-long-long-long-long-long-long-long-long-long"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char folder[256];
        snprintf(folder, sizeof folder, "%s/a/%s", (const char *)*state, names[i]);
        start_and_die(folder);
        struct embedded_postgres *postgres = start(folder);
        assert_int_equal(add_row(postgres), 1);
        embedded_postgres_stop(postgres);
    }
}

/* Root's server is not root's: it cannot enter what only root can, and lives elsewhere. */
static void a_folder_that_others_cannot_enter_will_do(void **state)
{
    char folder[128];
    snprintf(folder, sizeof folder, "%s/private", (const char *)*state);
    assert_int_equal(mkdir(folder, 0700), 0);
    for (int rows = 1; rows <= 2; rows++) {
        struct embedded_postgres *postgres = start(folder);
        assert_int_equal(add_row(postgres), rows);
        const char *expected = geteuid() == 0 ? "host='/var/tmp/runtree-" : folder;
        assert_non_null(strstr(embedded_postgres_url(postgres), expected));
        embedded_postgres_stop(postgres);
    }
    if (geteuid() == 0) {
        char path[256];
        char elsewhere[128] = "";
        snprintf(path, sizeof path, "%s/postgres.path", folder);
        FILE *note = fopen(path, "r");
        assert_non_null(note);
        assert_non_null(fgets(elsewhere, sizeof elsewhere, note));
        fclose(note);
        elsewhere[strcspn(elsewhere, "\n")] = '\0';
        scratch_folder_remove(strdup(elsewhere));
    }
}

/* One folder for all of them, since its initdb takes most of the time. */
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_its_data_from_start_to_start),
        cmocka_unit_test(adopts_what_a_killed_one_left),
        cmocka_unit_test(starts_after_everything_was_killed),
        cmocka_unit_test(does_not_take_a_stranger_for_its_server),
        cmocka_unit_test(a_folder_is_used_by_one_only),
        cmocka_unit_test(is_started_again_when_it_died),
        cmocka_unit_test(a_signal_ends_the_start),
        cmocka_unit_test(quotes_the_log_when_it_does_not_start),
        cmocka_unit_test(says_which_version_is_missing),
        cmocka_unit_test(an_initdb_that_was_cut_off_is_begun_anew),
        cmocka_unit_test(any_path_will_do),
        cmocka_unit_test(a_folder_that_others_cannot_enter_will_do),
    };
    return cmocka_run_group_tests_name("embedded_postgres", tests, make_folder, remove_folder);
}
