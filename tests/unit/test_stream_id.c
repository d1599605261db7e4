/* The id of a stream's record. */
#include <errno.h>
#include <string.h>

#include "cmocka_test.h"
#include "model/stream_id.h"

static void assert_comes_back(const struct stream_id *id, const char *expected)
{
    char text[STREAM_ID_SIZE];
    struct stream_id parsed;
    stream_id_format(id, text);
    assert_string_equal(text, expected);
    assert_int_equal(stream_id_parse(text, &parsed), 0);
    assert_string_equal(parsed.incarnation, id->incarnation);
    assert_int_equal(parsed.timeline, id->timeline);
    assert_string_equal(parsed.filter, id->filter);
    assert_int_equal(parsed.revision, id->revision);
    assert_int_equal(parsed.is_end, id->is_end);
}

static void test_comes_back(void **state)
{
    (void)state;
    assert_comes_back(&(struct stream_id){"k3f9a2", 1, "0", 17, false}, "k3f9a2.1.0.17");
    assert_comes_back(&(struct stream_id){"k3f9a2", 1, "0", 17, true}, "k3f9a2.1.0.17.e");
    assert_comes_back(&(struct stream_id){"a", 0, "0", 0, false}, "a.0.0.0");
    assert_comes_back(
        &(struct stream_id){"zzzzzzzzzzzz", UINT32_MAX, "zzzzzzzzzzzzzz", INT64_MAX, true},
        "zzzzzzzzzzzz.4294967295.zzzzzzzzzzzzzz.9223372036854775807.e");
}

static void test_nothing_else_is_one(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        ".",
        "...",
        "a.1.0",
        "a.1.0.",
        "a.1.0.x",
        "a.1.0.17.",
        "a.1.0.17.x",
        "a.1.0.17.ee",
        "a.1.0.17e",
        "a.1.0.17 ",
        " a.1.0.17",
        "A.1.0.17",
        ".1.0.17",
        "a..0.17",
        "a.1..17",
        "a.01.0.17",
        "a.1.0.017",
        "a.1.0.-1",
        "a.1.0.+1",
        "a.-1.0.17",
        "a.4294967296.0.17",
        "a.1.0.9223372036854775808",
        "a.1.0.99999999999999999999999999",
        "zzzzzzzzzzzzz.1.0.17",
        "a.1.zzzzzzzzzzzzzzz.17",
        "a.1.0.17.e.e",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct stream_id id = {.revision = 5};
        if (stream_id_parse(wrong[i], &id) != -EINVAL)
            fail_msg("%s was read", wrong[i]);
        assert_int_equal(id.revision, 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comes_back),
        cmocka_unit_test(test_nothing_else_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
