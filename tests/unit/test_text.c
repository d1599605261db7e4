/* UTF-8 at its borders (RFC 3629), and the hash by the values that its authors publish. */
#include <string.h>

#include "cmocka_test.h"
#include "model/text.h"

static void test_valid(void **state)
{
    static const char *const texts[] = {"", "a", "\xc2\x80\xdf\xbf",
                                        "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf",
                                        "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_true(utf8_is_valid(texts[i]));
}

static void test_invalid(void **state)
{
    static const char *const texts[] = {
        "\x80", "\xc1\xbf",  "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
        "\xf5", "a\xe2\x82", "\xe2\x82z",    "\xff"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_false(utf8_is_valid(texts[i]));
}

static void test_cut(void **state)
{
    static const size_t lengths[] = {0, 1, 1, 1, 4};
    const char *text = "a\xe2\x82\xac"
                       "b";

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        assert_int_equal(utf8_cut(text, i), lengths[i]);
}

static void test_hash(void **state)
{
    (void)state;
    assert_true(hash_bytes(HASH_START, "", 0) == UINT64_C(0xcbf29ce484222325));
    assert_true(hash_bytes(HASH_START, "a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
    assert_true(hash_bytes(hash_bytes(HASH_START, "foo", 3), "bar", 3) ==
                UINT64_C(0x85944171f73967e8));
}

static void test_base64(void **state)
{
    static const struct {
        const char *text, *last, *bytes;
        ptrdiff_t used;
        bool is_exact;
    } cases[] = {
        {"", "+/", "", 0, true},
        {"Zm9vYmFy", "+/", "foobar", 6, true},
        {"Zm9vYg", "+/", "foob", 4, true},
        {"Zm9vYh", "+/", "foob", 4, false}, /* bits left over */
        {"Zm9vYmE", "+/", "fooba", 5, true},
        {"Zm9vY", "+/", "foo", 3, false},
        {"+/+/", "+/", "\xfb\xff\xbf", 3, true},
        {"-_-_", "-_", "\xfb\xff\xbf", 3, true},
        {"-_-_", "+/", "", -1, false},
        {"+/+/", "-_", "", -1, false},
        {"Zm9v=", "+/", "", -1, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char out[8];
        bool is_exact = false;
        ptrdiff_t used =
            base64_decode(cases[i].text, strlen(cases[i].text), cases[i].last, out, &is_exact);

        assert_int_equal(used, cases[i].used);
        assert_int_equal(is_exact, cases[i].is_exact);
        if (used > 0)
            assert_memory_equal(out, cases[i].bytes, (size_t)used);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64), cmocka_unit_test(test_valid), cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_cut),    cmocka_unit_test(test_hash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
