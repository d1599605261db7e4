#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/last_lines.h"
#include "cmocka_test.h"

static void assert_lines(const char *written, const char *text)
{
    struct last_lines lines = {0};
    char *found;

    last_lines_add(&lines, written, strlen(written));
    found = last_lines_text(&lines);
    if (text == NULL)
        assert_null(found);
    else
        assert_string_equal(found, text);
    free(found);
}

static void test_lines_as_people_see_them(void **state)
{
    (void)state;
    assert_lines("", NULL);
    assert_lines("\n \t\n\r\n", NULL);
    assert_lines("one", "one");
    assert_lines("one\n\n  two\n", "one\n  two");
    assert_lines("one\r\ntwo\r\n", "one\ntwo");
    assert_lines("10%\r50%\r100%\n", "100%");
    assert_lines("\x1b[1;31mred\x1b[0m \x1b]0;title\x07"
                 "end\x1b]8;;x\x1b\\.",
                 "red end.");
    assert_lines("bell\x07 tab\t\x01\x7f.", "bell tab\t.");
    assert_lines("caf\xc3\xa9 \xff\xc3.", "caf\xc3\xa9 \xef\xbf\xbd\xef\xbf\xbd.");
    assert_lines("cut \x1b[", "cut ");
    assert_lines("cut \x1b", "cut ");
}

static void test_only_the_last_lines(void **state)
{
    char written[200] = "", expected[200] = "";

    (void)state;
    for (int i = 0; i < LAST_LINES_MAX + 3; i++)
        snprintf(written + strlen(written), 8, "%d\n", i);
    for (int i = 3; i < LAST_LINES_MAX + 3; i++)
        snprintf(expected + strlen(expected), 8, i == LAST_LINES_MAX + 2 ? "%d" : "%d\n", i);
    assert_lines(written, expected);
}

/* Of more bytes than there is room for the first line is not whole, and left out. */
static void test_only_the_last_bytes(void **state)
{
    struct last_lines lines = {0};
    char line[1000], *found;

    (void)state;
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    for (int i = 0; i < 20; i++)
        last_lines_add(&lines, line, sizeof line);
    last_lines_add(&lines, "end\n", 4);
    found = last_lines_text(&lines);
    assert_int_equal(strlen(found), LAST_LINES_BYTES / 1000 * 1000 + 3);
    assert_string_equal(found + strlen(found) - 5, "x\nend");
    free(found);
}

static void test_one_line_without_an_end(void **state)
{
    struct last_lines lines = {0};
    char *long_text = malloc(3 * LAST_LINES_BYTES), *found;

    (void)state;
    memset(long_text, 'y', 3 * LAST_LINES_BYTES);
    last_lines_add(&lines, long_text, 3 * LAST_LINES_BYTES);
    found = last_lines_text(&lines);
    assert_int_equal(strlen(found), LAST_LINES_BYTES);
    free(found);
    free(long_text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_as_people_see_them),
        cmocka_unit_test(test_only_the_last_lines),
        cmocka_unit_test(test_only_the_last_bytes),
        cmocka_unit_test(test_one_line_without_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
