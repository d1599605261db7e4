/* Points in time as microseconds since 1970-01-01T00:00:00Z, and their RFC 3339 text. */
#ifndef RUNTREE_MODEL_TIMESTAMP_H
#define RUNTREE_MODEL_TIMESTAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIME_NONE INT64_MIN

enum { US_PER_MS = 1000 };

/* "2026-04-12T08:00:00.123Z" and its NUL. */
enum { TIMESTAMP_SIZE = 25 };

/* Reads an RFC 3339 date-time (years 0000 to 9999, any offset, any number of fraction digits of
 * which six count, a leap second :60 counts as the next second). 0, or -EINVAL. */
int timestamp_parse(const char *text, size_t length, int64_t *time_us);

/* The time that programs have who have none: any before the year 2, or 1970-01-01T00:00:00Z. */
bool timestamp_is_zero(int64_t time_us);

/* Writes UTC with milliseconds, rounded down. `time_us` must be a time that timestamp_parse can
 * give. */
void timestamp_format(int64_t time_us, char out[static TIMESTAMP_SIZE]);

#endif
