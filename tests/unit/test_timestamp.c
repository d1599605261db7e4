/* RFC 3339 date-times, read and written. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "cmocka_test.h"
#include "model/timestamp.h"
#include "random.h"

static int64_t parse(const char *text)
{
    int64_t time_us = TIME_NONE;
    assert_int_equal(timestamp_parse(text, strlen(text), &time_us), 0);
    return time_us;
}

static void assert_format(int64_t time_us, const char *expected)
{
    char text[TIMESTAMP_SIZE];
    timestamp_format(time_us, text);
    assert_string_equal(text, expected);
}

static void test_reads_what_the_rfc_allows(void **state)
{
    (void)state;
    assert_int_equal(parse("1970-01-01T00:00:00Z"), 0);
    assert_int_equal(parse("1970-01-01t00:00:00z"), 0);
    assert_int_equal(parse("1970-01-01T00:00:00.5Z"), 500000);
    assert_int_equal(parse("1970-01-01T00:00:00.123456Z"), 123456);
    assert_int_equal(parse("1970-01-01T00:00:00.1234569999Z"), 123456);
    assert_int_equal(parse("1970-01-01T01:00:00+01:00"), 0);
    assert_int_equal(parse("1969-12-31T12:30:00-11:30"), 0);
    assert_int_equal(parse("1970-01-01T00:00:00-00:00"), 0);
    assert_int_equal(parse("1970-01-01T23:59:00+23:59"), 0);
    assert_int_equal(parse("2026-04-12T08:00:00.123Z"), INT64_C(1775980800123000));
    assert_int_equal(parse("2000-02-29T00:00:00Z"), INT64_C(951782400000000));
    /* A leap second counts as the one after it. */
    assert_int_equal(parse("2016-12-31T23:59:60Z"), parse("2017-01-01T00:00:00Z"));
    assert_int_equal(parse("0001-01-01T00:00:00Z"), INT64_C(-62135596800000000));
    assert_int_equal(parse("9999-12-31T23:59:59.999999Z"), INT64_C(253402300799999999));
}

static void test_refuses_everything_else(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "2026-04-12",
        "2026-04-12T08:00:00",
        "2026-04-12 08:00:00Z",
        "2026-04-12T08:00Z",
        "2026-4-12T08:00:00Z",
        "2026-04-12T8:00:00Z",
        "26-04-12T08:00:00Z",
        "+2026-04-12T08:00:00Z",
        "2026-00-12T08:00:00Z",
        "2026-13-12T08:00:00Z",
        "2026-04-00T08:00:00Z",
        "2026-04-31T08:00:00Z",
        "2026-02-29T08:00:00Z",
        "1900-02-29T08:00:00Z",
        "2026-04-12T24:00:00Z",
        "2026-04-12T08:60:00Z",
        "2026-04-12T08:00:61Z",
        "2026-04-12T08:00:00.Z",
        "2026-04-12T08:00:00,5Z",
        "2026-04-12T08:00:00+0100",
        "2026-04-12T08:00:00+01",
        "2026-04-12T08:00:00+24:00",
        "2026-04-12T08:00:00+01:60",
        "2026-04-12T08:00:00Z ",
        " 2026-04-12T08:00:00Z",
        "2026-04-12T08:00:00ZZ",
        "2026-04-12T08:00:00X",
        "0000-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "9999-12-31T23:59:60Z",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int64_t time_us = 7;
        if (timestamp_parse(wrong[i], strlen(wrong[i]), &time_us) != -EINVAL)
            fail_msg("%s was read", wrong[i]);
        assert_int_equal(time_us, 7);
    }
}

static void test_writes_utc_with_milliseconds_rounded_down(void **state)
{
    (void)state;
    assert_format(0, "1970-01-01T00:00:00.000Z");
    assert_format(999, "1970-01-01T00:00:00.000Z");
    assert_format(1999, "1970-01-01T00:00:00.001Z");
    assert_format(-1, "1969-12-31T23:59:59.999Z");
    assert_format(parse("0001-01-01T00:00:00Z"), "0001-01-01T00:00:00.000Z");
    assert_format(parse("9999-12-31T23:59:59.999999Z"), "9999-12-31T23:59:59.999Z");
    assert_format(parse("2024-02-29T23:59:59.9+05:30"), "2024-02-29T18:29:59.900Z");
}

/* The C library's calendar is the oracle. */
static void test_agrees_with_the_c_library(void **state)
{
    (void)state;
    struct random random = random_start("calendar");
    const int64_t first = -62167219200, last = 253402300799;
    for (int i = 0; i < 20000; i++) {
        time_t seconds = (time_t)(first + (int64_t)random_below(&random, (size_t)(last - first)));
        struct tm calendar;
        char expected[TIMESTAMP_SIZE];
        gmtime_r(&seconds, &calendar);
        strftime(expected, sizeof expected, "0000-%m-%dT%H:%M:%S.000Z", &calendar);
        for (int digit = 3, year = calendar.tm_year + 1900; digit >= 0; digit--, year /= 10)
            expected[digit] = (char)('0' + year % 10);
        assert_format((int64_t)seconds * 1000000, expected);
        assert_int_equal(parse(expected), (int64_t)seconds * 1000000);
    }
}

static void assert_zero(const char *text, bool expected)
{
    int64_t time_us;
    assert_int_equal(timestamp_parse(text, strlen(text), &time_us), 0);
    assert_int_equal(timestamp_is_zero(time_us), expected);
}

/* Go's zero time in any zone, and C's. */
static void test_zero_times(void **state)
{
    (void)state;
    assert_zero("0001-01-01T00:00:00Z", true);
    assert_zero("0001-01-01T00:00:00+01:00", true);
    assert_zero("0000-12-31T19:03:58-04:56", true);
    assert_zero("0001-12-31T23:59:59.999Z", true);
    assert_zero("0002-01-01T00:00:00Z", false);
    assert_zero("1970-01-01T00:00:00Z", true);
    assert_zero("1970-01-01T01:00:00+01:00", true);
    assert_zero("1970-01-01T00:00:00.000001Z", false);
    assert_zero("1969-12-31T23:59:59Z", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zero_times),
        cmocka_unit_test(test_reads_what_the_rfc_allows),
        cmocka_unit_test(test_refuses_everything_else),
        cmocka_unit_test(test_writes_utc_with_milliseconds_rounded_down),
        cmocka_unit_test(test_agrees_with_the_c_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
