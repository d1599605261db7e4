/* The cursors of lists: opaque texts around parts that hold no U+001F. */
#ifndef RUNTREE_HANDLERS_CURSOR_H
#define RUNTREE_HANDLERS_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/buffer.h"

#define CURSOR_SEPARATOR "\x1f"
enum { CURSOR_PARTS_MAX = 5, CURSOR_TEXT_SIZE = 1100 };

struct cursor {
    char text[CURSOR_TEXT_SIZE];
    size_t count; /* 0: there was none */
    const char *parts[CURSOR_PARTS_MAX];
};

/* Takes apart what write_next_cursor has made for the same `kind` (a letter for each list), with
 * exactly `count` parts, none of them empty and all of UTF-8 without control characters. 0, or
 * -EINVAL if `hex` is anything else. */
int cursor_parse(struct cursor *cursor, const char *hex, char kind, size_t count);

/* Decimal digits alone, behind a minus where `min` is negative, from `min` to `max`. */
bool parse_number(const char *text, int64_t min, int64_t max, int64_t *number);

/* Writes `,"nextCursor":"…"` for the parts that `format` gives, where slashes separate them. */
void write_next_cursor(struct buffer *out, char kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
