/* The runs that moved lately: their order, what a cursor finds, and what is forgotten. */
#include <stdio.h>
#include <string.h>

#include "cmocka_test.h"
#include "model/moved_runs.h"

static int put_numbered(struct moved_runs *runs, int number, int64_t xid, int64_t revision,
                        bool is_old)
{
    char name[32];
    struct run run = {.key = {"p", "d", name}, .revision = revision, .phase = PHASE_RUNNING};

    snprintf(name, sizeof name, "r%d", number);
    return moved_runs_put(runs, &run.key, xid, &run, is_old);
}

static int put(struct moved_runs *runs, int number, int64_t xid)
{
    return put_numbered(runs, number, xid, xid, false);
}

static void assert_behind(const struct moved_runs *runs, int64_t cursor, const char *expected)
{
    char names[256] = "";
    const struct moved_run *run = moved_runs_after(runs, cursor);

    for (; run != NULL; run = run->next) {
        strncat(names, run->key.run_name, sizeof names - strlen(names) - 2);
        strncat(names, " ", sizeof names - strlen(names) - 2);
    }
    assert_string_equal(names, expected);
}

static int make_runs(void **state)
{
    struct moved_runs *runs = moved_runs_new();

    moved_runs_restart(runs, 100);
    *state = runs;
    return 0;
}

static int free_runs(void **state)
{
    moved_runs_free(*state);
    return 0;
}

static void test_each_run_stands_once_where_it_moved_last(void **state)
{
    struct moved_runs *runs = *state;
    int64_t start = moved_runs_start(runs), middle;

    assert_behind(runs, start, "");
    assert_int_equal(put(runs, 1, 101), 1);
    assert_int_equal(put(runs, 2, 102), 1);
    middle = moved_runs_sequence(runs);
    assert_behind(runs, middle, "");
    assert_int_equal(put(runs, 3, 103), 1);
    assert_int_equal(put(runs, 1, 104), 1);
    assert_behind(runs, start, "r2 r3 r1 ");
    assert_behind(runs, middle, "r3 r1 ");
    assert_behind(runs, moved_runs_sequence(runs), "");
    assert_int_equal(moved_runs_count(runs), 3);
}

static void test_what_is_known_is_no_move(void **state)
{
    struct moved_runs *runs = *state;
    const struct run_key key = {"p", "d", "r1"};
    int64_t sequence;

    put(runs, 1, 101);
    sequence = moved_runs_sequence(runs);
    assert_int_equal(put(runs, 1, 101), 0);
    assert_int_equal(moved_runs_sequence(runs), sequence);
    assert_int_equal(moved_runs_put(runs, &key, 102, NULL, false), 1);
    assert_int_equal(moved_runs_put(runs, &key, 102, NULL, false), 0);
    assert_int_equal(put(runs, 1, 104), 1);
}

/* That it was made anew in between was not seen here, but perhaps by a watcher. */
static void test_deleted_again_is_a_move(void **state)
{
    struct moved_runs *runs = *state;
    const struct run_key key = {"p", "d", "r1"};

    assert_int_equal(moved_runs_put(runs, &key, 102, NULL, false), 1);
    assert_int_equal(moved_runs_put(runs, &key, 107, NULL, false), 1);
    assert_int_equal(moved_runs_after(runs, moved_runs_start(runs))->xid, 107);
}

static void test_record_is_the_summary_or_the_deletion(void **state)
{
    struct moved_runs *runs = *state;
    const struct run_key key = {"p", "d", "r1"};
    const struct moved_run *run;
    char text[512];

    put(runs, 1, 101);
    run = moved_runs_after(runs, moved_runs_start(runs));
    snprintf(text, sizeof text, "%.*s", (int)run->record.length, run->record.bytes);
    assert_non_null(strstr(text, "\"runName\":\"r1\""));
    assert_non_null(strstr(text, "\"revision\":101"));
    moved_runs_put(runs, &key, 102, NULL, false);
    run = moved_runs_after(runs, moved_runs_start(runs));
    snprintf(text, sizeof text, "%.*s", (int)run->record.length, run->record.bytes);
    assert_string_equal(text, "{\"project\":\"p\",\"domain\":\"d\",\"runName\":\"r1\","
                              "\"deleted\":true}");
    assert_true(run->is_deleted);
}

static void test_move_of_long_ago_goes_before_all(void **state)
{
    struct moved_runs *runs = *state;
    int64_t cursor = moved_runs_sequence(runs);

    put_numbered(runs, 7, 57, 1, true);
    assert_behind(runs, cursor, "");
    put(runs, 1, 101);
    put_numbered(runs, 8, 58, 1, true);
    assert_behind(runs, cursor, "r1 ");
    assert_behind(runs, moved_runs_start(runs), "r8 r7 r1 ");
    assert_int_equal(moved_runs_complete_from(runs), 100);
    assert_true(moved_runs_complete(runs, 57));
    assert_int_equal(moved_runs_complete_from(runs), 57);
    assert_true(moved_runs_reach(runs, cursor));
    assert_true(moved_runs_reach(runs, moved_runs_start(runs)));
}

static void test_restart_forgets_and_reaches_nobody(void **state)
{
    struct moved_runs *runs = *state;
    int64_t cursor;

    put(runs, 1, 101);
    cursor = moved_runs_sequence(runs);
    assert_true(moved_runs_reach(runs, cursor));
    moved_runs_restart(runs, 200);
    assert_false(moved_runs_reach(runs, cursor));
    assert_true(moved_runs_reach(runs, moved_runs_sequence(runs)));
    assert_int_equal(moved_runs_count(runs), 0);
    assert_int_equal(moved_runs_complete_from(runs), 200);
}

static void test_the_oldest_gives_way(void **state)
{
    struct moved_runs *runs = *state;
    int64_t start = moved_runs_start(runs);

    for (int i = 0; i < MOVED_RUNS_MAX; i++)
        assert_int_equal(put(runs, i, 1000 + i), 1);
    assert_true(moved_runs_reach(runs, start));
    assert_int_equal(moved_runs_complete_from(runs), 100);

    /* At the limit one that moves is no more, and one of long ago has no place. */
    put(runs, 5, 20000);
    assert_true(moved_runs_reach(runs, start));
    assert_int_equal(put_numbered(runs, -1, 57, 1, true), 0);
    assert_false(moved_runs_complete(runs, 57));
    assert_int_equal(moved_runs_complete_from(runs), 100);

    put(runs, MOVED_RUNS_MAX, 30000);
    assert_int_equal(moved_runs_count(runs), MOVED_RUNS_MAX);
    assert_false(moved_runs_reach(runs, start));
    assert_true(moved_runs_reach(runs, moved_runs_start(runs)));
    assert_int_equal(moved_runs_complete_from(runs), 1001);
    assert_false(moved_runs_complete(runs, 500));
    assert_true(moved_runs_complete(runs, 1001));
    assert_string_equal(moved_runs_after(runs, start)->key.run_name, "r1");
}

static void test_runs_that_say_much_give_way_earlier(void **state)
{
    enum { SAID_BYTES = 64 * 1024, FIT = MOVED_RUNS_BYTES_MAX / SAID_BYTES };
    struct moved_runs *runs = *state;
    int64_t start = moved_runs_start(runs);
    char said[SAID_BYTES], name[32];
    struct run run = {.key = {"p", "d", name}, .phase = PHASE_RUNNING, .additions = said};

    memset(said, 'x', sizeof said);
    said[sizeof said - 1] = '\0';
    for (int i = 0; i < 2 * FIT; i++) {
        snprintf(name, sizeof name, "r%d", i);
        assert_int_equal(moved_runs_put(runs, &run.key, 1000 + i, &run, false), 1);
    }
    assert_true(moved_runs_count(runs) < FIT);
    assert_true(moved_runs_bytes(runs) < MOVED_RUNS_BYTES_MAX + 4 * SAID_BYTES);
    assert_false(moved_runs_reach(runs, start));
    snprintf(name, sizeof name, "r%d", 2 * FIT - (int)moved_runs_count(runs));
    assert_string_equal(moved_runs_after(runs, start)->key.run_name, name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_run_stands_once_where_it_moved_last, make_runs,
                                        free_runs),
        cmocka_unit_test_setup_teardown(test_what_is_known_is_no_move, make_runs, free_runs),
        cmocka_unit_test_setup_teardown(test_deleted_again_is_a_move, make_runs, free_runs),
        cmocka_unit_test_setup_teardown(test_record_is_the_summary_or_the_deletion, make_runs,
                                        free_runs),
        cmocka_unit_test_setup_teardown(test_move_of_long_ago_goes_before_all, make_runs,
                                        free_runs),
        cmocka_unit_test_setup_teardown(test_restart_forgets_and_reaches_nobody, make_runs,
                                        free_runs),
        cmocka_unit_test_setup_teardown(test_the_oldest_gives_way, make_runs, free_runs),
        cmocka_unit_test_setup_teardown(test_runs_that_say_much_give_way_earlier, make_runs,
                                        free_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
