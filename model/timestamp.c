/* RFC 3339 date-times to microseconds since the epoch and back. */
#include "model/timestamp.h"

#include <errno.h>
#include <stdbool.h>

enum { MS_PER_SECOND = 1000, SECONDS_PER_DAY = 86400 };
enum { YEAR_MIN = 0, YEAR_MAX = 9999 };

#define US_PER_SECOND INT64_C(1000000)

/* Days from 1970-01-01 to a date of the proleptic Gregorian calendar, years counted from March so
 * that the leap day is a year's last (H. Hinnant, "chrono-compatible low-level date algorithms").
 */
static int64_t days_from_civil(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void civil_from_days(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    *day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    *month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    *year = year_of_era + era * 400 + (*month <= 2);
}

static int64_t days_in_month(int64_t year, int64_t month)
{
    static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && is_leap ? 29 : days[month - 1];
}

/* What is still to be read of the text; `failed` once it was not what was wanted. */
struct reader {
    const char *at, *end;
    bool failed;
};

static int64_t read_digits(struct reader *reader, int digits)
{
    int64_t number = 0;
    for (int i = 0; i < digits; i++) {
        if (reader->at == reader->end || *reader->at < '0' || *reader->at > '9') {
            reader->failed = true;
            return 0;
        }
        number = number * 10 + (*reader->at++ - '0');
    }
    return number;
}

/* One character out of `set`; 0 if there is none. */
static char read_one_of(struct reader *reader, const char *set)
{
    if (reader->at != reader->end)
        for (; *set; set++)
            if (*reader->at == *set)
                return *reader->at++;
    reader->failed = true;
    return 0;
}

static int64_t read_fraction_us(struct reader *reader)
{
    if (reader->at == reader->end || *reader->at != '.')
        return 0;
    reader->at++;
    int64_t fraction_us = read_digits(reader, 1) * (US_PER_SECOND / 10);
    int64_t unit_us = US_PER_SECOND / 100;
    for (; reader->at != reader->end && *reader->at >= '0' && *reader->at <= '9'; reader->at++) {
        fraction_us += (*reader->at - '0') * unit_us;
        unit_us /= 10;
    }
    return fraction_us;
}

static int64_t read_offset_seconds(struct reader *reader)
{
    char sign = read_one_of(reader, "Zz+-");
    if (sign != '+' && sign != '-')
        return 0;
    int64_t hours = read_digits(reader, 2);
    read_one_of(reader, ":");
    int64_t minutes = read_digits(reader, 2);
    if (hours > 23 || minutes > 59)
        reader->failed = true;
    int64_t seconds = (hours * 60 + minutes) * 60;
    return sign == '-' ? -seconds : seconds;
}

int timestamp_parse(const char *text, size_t length, int64_t *time_us)
{
    struct reader reader = {.at = text, .end = text + length};
    int64_t year = read_digits(&reader, 4);
    read_one_of(&reader, "-");
    int64_t month = read_digits(&reader, 2);
    read_one_of(&reader, "-");
    int64_t day = read_digits(&reader, 2);
    read_one_of(&reader, "Tt");
    int64_t hour = read_digits(&reader, 2);
    read_one_of(&reader, ":");
    int64_t minute = read_digits(&reader, 2);
    read_one_of(&reader, ":");
    int64_t second = read_digits(&reader, 2);
    int64_t fraction_us = read_fraction_us(&reader);
    int64_t offset_seconds = read_offset_seconds(&reader);

    if (reader.failed || reader.at != reader.end)
        return -EINVAL;
    if (year < YEAR_MIN || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
        return -EINVAL;
    if (hour > 23 || minute > 59 || second > 60)
        return -EINVAL;
    int64_t seconds = days_from_civil(year, month, day) * SECONDS_PER_DAY +
                      (hour * 60 + minute) * 60 + second - offset_seconds;
    /* The offset or a leap second may lead out of the years that four digits can say. */
    if (seconds < days_from_civil(YEAR_MIN, 1, 1) * SECONDS_PER_DAY ||
        seconds >= days_from_civil(YEAR_MAX + 1, 1, 1) * SECONDS_PER_DAY)
        return -EINVAL;
    *time_us = seconds * US_PER_SECOND + fraction_us;
    return 0;
}

/* Divides so that the remainder is never negative. */
static int64_t divide_down(int64_t number, int64_t by, int64_t *remainder)
{
    *remainder = number % by;
    if (*remainder < 0)
        *remainder += by;
    return (number - *remainder) / by;
}

static inline char *write_digits(char *out, uint32_t number, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        out[i] = (char)('0' + number % 10);
        number /= 10;
    }
    return out + digits;
}

bool timestamp_is_zero(int64_t time_us)
{
    return time_us == 0 || time_us < days_from_civil(2, 1, 1) * SECONDS_PER_DAY * US_PER_SECOND;
}

void timestamp_format(int64_t time_us, char out[static TIMESTAMP_SIZE])
{
    int64_t us, ms, day_second, year, month, day;
    int64_t seconds = divide_down(divide_down(time_us, US_PER_MS, &us), MS_PER_SECOND, &ms);
    civil_from_days(divide_down(seconds, SECONDS_PER_DAY, &day_second), &year, &month, &day);
    uint32_t second = (uint32_t)day_second;
    out = write_digits(out, (uint32_t)year, 4);
    *out++ = '-';
    out = write_digits(out, (uint32_t)month, 2);
    *out++ = '-';
    out = write_digits(out, (uint32_t)day, 2);
    *out++ = 'T';
    out = write_digits(out, second / 3600, 2);
    *out++ = ':';
    out = write_digits(out, second / 60 % 60, 2);
    *out++ = ':';
    out = write_digits(out, second % 60, 2);
    *out++ = '.';
    out = write_digits(out, (uint32_t)ms, 3);
    *out++ = 'Z';
    *out = '\0';
}
