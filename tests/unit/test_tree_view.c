/* A run's tree as its stream tells it, and as it looks in a terminal. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/tree_view.h"
#include "cmocka_test.h"
#include "model/timestamp.h"

#define START_US (1795653022 * INT64_C(1000000))

/* A nodeUpdate; `more` are further members of the action, or "". */
static struct watched_node *update(struct watched_tree *tree, const char *name, const char *parent,
                                   const char *phase, const char *more)
{
    char start[TIMESTAMP_SIZE], end[TIMESTAMP_SIZE], text[1000], quoted[100];
    bool is_over = phase_is_terminal(phase_parse(phase, strlen(phase)));
    struct watched_node *node;
    json_t *document;

    timestamp_format(START_US, start);
    timestamp_format(START_US + 3500000, end);
    snprintf(quoted, sizeof quoted, "\"%s\"", parent == NULL ? "" : parent);
    snprintf(text, sizeof text,
             "{\"action\": {\"name\": \"%s\", \"parent\": %s, \"phase\": \"%s\", \"attempt\": 1,"
             " \"createdAt\": \"%s\", \"startedAt\": \"%s\", \"endedAt\": %s%s%s%s},"
             " \"childPhaseCounts\": {\"SUCCEEDED\": 2}, \"meetsFilter\": true}",
             name, parent == NULL ? "null" : quoted, phase, start, start, is_over ? "\"" : "null",
             is_over ? end : "", is_over ? "\"" : "", more);
    document = json_loads(text, 0, NULL);
    assert_non_null(document);
    node = watched_tree_update(tree, document);
    json_decref(document);
    return node;
}

static void take_away(struct watched_tree *tree, const char *name)
{
    json_t *document = json_pack("{s:{s:s, s:s}, s:b}", "action", "name", name, "phase", "FAILED",
                                 "meetsFilter", 0);

    assert_null(watched_tree_update(tree, document));
    json_decref(document);
}

/* Draws without colours, in the window of a plain terminal. */
static void assert_drawn(struct watched_tree *tree, size_t rows, size_t columns,
                         const char *expected)
{
    const struct tree_view view = {
        .title = "p/d/r", .rows = rows, .columns = columns, .now_us = START_US + 5000000};
    struct buffer out = {0};
    size_t lines = tree_view_draw(&out, &view, tree), found = 0;

    buffer_append(&out, "", 1);
    assert_string_equal(out.bytes, expected);
    for (const char *end = out.bytes; (end = strstr(end, "\n")) != NULL; end++)
        found++;
    assert_int_equal(lines, found);
    assert_true(lines <= rows);
    buffer_free(&out);
}

static void test_whole_tree(void **state)
{
    struct watched_tree tree = {0};

    (void)state;
    assert_non_null(update(&tree, "a0", NULL, "RUNNING", ""));
    update(&tree, "a1", "a0", "SUCCEEDED", ", \"taskName\": \"pkg.train\"");
    update(&tree, "a2", "a0", "FAILED",
           ", \"errorInfo\": {\"message\": \"no\\u001b[2J disk\\nmore\"}");
    update(&tree, "a3", "a1", "QUEUED", ", \"title\": \"Third\", \"abortRequested\": {}");
    assert_null(update(&tree, "a0", NULL, "RUNNING", ""));
    assert_drawn(&tree, 24, 80,
                 "p/d/r  RUNNING  5.0s  4 actions, 1 failed, 1 running, 1 queued, 1 succeeded\n"
                 "* a0  5.0s\n"
                 "|-+ a1 pkg.train  3.5s\n"
                 "| `-o Third  5.0s  is to end\n"
                 "`-x a2  3.5s  no[2J disk\n");
    watched_tree_clear(&tree);
}

static void test_what_failed_and_what_runs_comes_first(void **state)
{
    struct watched_tree tree = {0};
    char name[20];

    (void)state;
    update(&tree, "root", NULL, "RUNNING", "");
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "g%d", i);
        update(&tree, name, "root", i == 30 ? "RUNNING" : "SUCCEEDED", "");
    }
    update(&tree, "deep", "g40", "FAILED", "");
    assert_drawn(&tree, 6, 80,
                 "p/d/r  RUNNING  5.0s  52 actions, 1 failed, 2 running, 49 succeeded\n"
                 "* root  5.0s  2 succeeded\n"
                 "|-* g30  5.0s\n"
                 "`-+ g40  3.5s\n"
                 "  `-x deep  3.5s\n"
                 "48 more, as the counts above say. \n");
    assert_drawn(&tree, 1, 80,
                 "p/d/r  RUNNING  5.0s  52 actions, 1 failed, 2 running, 49 succeeded\n");
    watched_tree_clear(&tree);
}

static void test_lines_are_cut(void **state)
{
    struct watched_tree tree = {0};

    (void)state;
    update(&tree, "a-name-that-is-long", NULL, "FAILED", ", \"errorInfo\": {\"message\": \"x\"}");
    assert_drawn(&tree, 5, 12, "p/d/r  FAIL…\nx a-name-th…\n");
    watched_tree_clear(&tree);
}

static void test_text_in_columns(void **state)
{
    struct buffer out = {0};

    (void)state;
    setlocale(LC_CTYPE, "C.UTF-8");
    assert_int_equal(tree_view_text(&out, "\xe6\x97\xa5\xe6\x9c\xac", 4), 4);
    assert_int_equal(tree_view_text(&out, "\xe6\x97\xa5\xe6\x9c\xac", 3), 3);
    assert_int_equal(tree_view_text(&out,
                                    "a\t\xc2\x85\x7f\xff"
                                    "b",
                                    9),
                     2);
    assert_int_equal(tree_view_text(&out, "abc", 0), 0);
    buffer_append(&out, "", 1);
    assert_string_equal(out.bytes, "\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5…ab");
    buffer_free(&out);
}

static void test_changes(void **state)
{
    struct watched_tree tree = {0};

    (void)state;
    update(&tree, "a0", NULL, "RUNNING", "");
    assert_non_null(update(&tree, "a0", NULL, "FAILED", ""));
    assert_null(update(&tree, "a0", NULL, "FAILED", ""));
    assert_int_equal(watched_tree_phase(&tree), PHASE_FAILED);
    update(&tree, "b0", NULL, "RUNNING", "");
    assert_int_equal(watched_tree_phase(&tree), PHASE_RUNNING);
    assert_int_equal(watched_tree_duration_us(&tree, START_US + 9000000), 9000000);
    update(&tree, "b0", NULL, "SUCCEEDED", "");
    assert_int_equal(watched_tree_duration_us(&tree, START_US + 9000000), 3500000);
    watched_tree_clear(&tree);
}

static void test_nodes_go_away(void **state)
{
    struct watched_tree tree = {0};

    (void)state;
    update(&tree, "a0", NULL, "RUNNING", "");
    update(&tree, "a1", "a0", "RUNNING", "");
    update(&tree, "a2", "a0", "RUNNING", "");
    update(&tree, "a3", "a2", "RUNNING", "");
    take_away(&tree, "a2");
    take_away(&tree, "a2");
    assert_int_equal(tree.count, 2);
    update(&tree, "a4", "a0", "RUNNING", "");
    take_away(&tree, "a1");
    assert_drawn(&tree, 9, 50,
                 "p/d/r  RUNNING  5.0s  2 actions, 2 running\n* a0  5.0s\n`-* a4  5.0s\n");
    watched_tree_clear(&tree);
}

static void test_durations(void **state)
{
    static const struct {
        int64_t duration_us;
        const char *text;
    } cases[] = {{0, "0.0s"},           {9990000, "9.9s"},      {10000000, "10s"},
                 {59999999, "59s"},     {60000000, "1m00s"},    {3599000000, "59m59s"},
                 {3600000000, "1h00m"}, {90061000000, "25h01m"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer out = {0};

        tree_view_duration(&out, cases[i].duration_us);
        buffer_append(&out, "", 1);
        assert_string_equal(out.bytes, cases[i].text);
        buffer_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_tree),
        cmocka_unit_test(test_what_failed_and_what_runs_comes_first),
        cmocka_unit_test(test_lines_are_cut),
        cmocka_unit_test(test_text_in_columns),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_nodes_go_away),
        cmocka_unit_test(test_durations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
