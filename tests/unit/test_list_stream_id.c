/* The id of a record in the stream of the list of runs. */
#include <errno.h>

#include "cmocka_test.h"
#include "model/list_stream_id.h"

static void assert_comes_back(const struct list_stream_id *id, const char *expected)
{
    char text[LIST_STREAM_ID_SIZE];
    struct list_stream_id parsed;

    list_stream_id_format(id, text);
    assert_string_equal(text, expected);
    assert_int_equal(list_stream_id_parse(text, &parsed), 0);
    assert_int_equal(parsed.timeline, id->timeline);
    assert_string_equal(parsed.filter, id->filter);
    assert_int_equal(parsed.xid, id->xid);
    assert_int_equal(parsed.given_s, id->given_s);
}

static void test_comes_back(void **state)
{
    (void)state;
    assert_comes_back(&(struct list_stream_id){1, "0", 5417, 1775980800}, "1.0.5417.1775980800");
    assert_comes_back(&(struct list_stream_id){0, "0", 0, 0}, "0.0.0.0");
    assert_comes_back(
        &(struct list_stream_id){UINT32_MAX, "ffffffffffffffff", INT64_MAX, INT64_MAX},
        "4294967295.ffffffffffffffff.9223372036854775807.9223372036854775807");
}

static void test_nothing_else_is_one(void **state)
{
    static const char *const wrong[] = {
        "",
        "...",
        "1.0.5417",
        "1.0.5417.",
        "1.0.5417.1.",
        "1.0.5417.1.1",
        "1.0.5417.1 ",
        " 1.0.5417.1",
        "01.0.5417.1",
        "+1.0.5417.1",
        "-1.0.5417.1",
        "1.0.-5417.1",
        "1.0.5417.-1",
        "1.0.0x10.1",
        "1.0.x.1",
        "4294967296.0.5417.1",
        "1.0.9223372036854775808.1",
        "1.fffffffffffffffff.5417.1",
        "k3f9a2.1.0.17",
        "11111111111111111111111111111111111111111111111111111111111111111111111111111111111111",
    };
    struct list_stream_id id;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (list_stream_id_parse(wrong[i], &id) != -EINVAL)
            fail_msg("\"%s\" was taken for an id", wrong[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comes_back),
        cmocka_unit_test(test_nothing_else_is_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
