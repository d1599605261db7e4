/* The list of cells: what a file may say, and what is said about a wrong one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmocka_test.h"
#include "server/cell_list.h"

static int load(const char *text, struct cell_list *list, char why[static CELL_LIST_WHY_SIZE])
{
    char path[] = "/tmp/runtree-cells-XXXXXX";
    int fd = mkstemp(path), status;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    *list = (struct cell_list){0};
    status = cell_list_load(list, path, why);
    unlink(path);
    return status;
}

static void test_a_good_file(void **state)
{
    struct cell_list list;
    char why[CELL_LIST_WHY_SIZE] = "";

    (void)state;
    assert_int_equal(load("# ours\n\n a-1 active host=a  dbname=runtree\r\n"
                          "b\tdraining\tpostgresql://b/runtree\nc gone\nd gone \n",
                          &list, why),
                     0);
    assert_int_equal(list.count, 4);
    assert_int_equal(list.alive, 2);
    assert_string_equal(list.items[0].name, "a-1");
    assert_string_equal(list.items[0].url, "host=a  dbname=runtree");
    assert_int_equal(list.items[0].state, CELL_ACTIVE);
    assert_string_equal(list.items[1].url, "postgresql://b/runtree");
    assert_int_equal(list.items[1].state, CELL_DRAINING);
    assert_int_equal(list.items[2].state, CELL_GONE);
    assert_null(list.items[3].url);
    cell_list_clear(&list);
}

static void test_a_wrong_one_says_where_and_why(void **state)
{
    static const struct {
        const char *text, *why;
    } wrong[] = {
        {"", "line 0: no cell is active"},
        {"a draining dbname=a\n", "line 1: no cell is active"},
        {"a active dbname=a\nA active dbname=b\n", "line 2: the name A is not 1 to 63 of"},
        {"a active dbname=a\n#\na gone\n", "line 3: there are two cells a"},
        {"a active\n", "line 1: behind active there must be a connection string"},
        {"a draining \n", "line 1: behind draining there must be a connection string"},
        {"a gone dbname=a\n", "line 1: a cell that is gone has no connection string"},
        {"a lost dbname=a\n", "line 1: behind the name there must be active, draining or gone"},
        {"a\n", "line 1: behind the name there must be active, draining or gone"},
        {"a active secret\n", "line 1: "},
    };
    struct cell_list list;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char why[CELL_LIST_WHY_SIZE] = "";

        assert_true(load(wrong[i].text, &list, why) < 0);
        assert_non_null(strstr(why, wrong[i].why));
        assert_null(strstr(why, "secret"));
        cell_list_clear(&list);
    }
}

static void test_no_more_than_there_may_be(void **state)
{
    struct cell_list list = {0};
    char why[CELL_LIST_WHY_SIZE], name[CELL_NAME_SIZE + 1];

    (void)state;
    memset(name, 'x', CELL_NAME_SIZE);
    name[CELL_NAME_SIZE] = '\0';
    assert_true(cell_list_add(&list, name, CELL_GONE, NULL, why) < 0);
    for (int i = 0; i < CELLS_MAX; i++) {
        name[CELL_NAME_SIZE - 1] = '\0';
        snprintf(name, 8, "%07d", i);
        name[7] = 'x';
        assert_int_equal(cell_list_add(&list, name, CELL_GONE, NULL, why), 0);
    }
    assert_true(cell_list_add(&list, "one-more", CELL_GONE, NULL, why) < 0);
    assert_string_equal(why, "there are more than 64 cells");
    assert_true(cell_list_load(&list, "/nonexistent/cells", why) < 0);
    assert_string_equal(why, "/nonexistent/cells: No such file or directory");
    cell_list_clear(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_good_file),
        cmocka_unit_test(test_a_wrong_one_says_where_and_why),
        cmocka_unit_test(test_no_more_than_there_may_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
