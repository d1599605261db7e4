/* The last lines of what a command has written, as text for people. Pure. */
#ifndef RUNTREE_CLI_LAST_LINES_H
#define RUNTREE_CLI_LAST_LINES_H

#include <stdbool.h>
#include <stddef.h>

enum { LAST_LINES_BYTES = 8 * 1024, LAST_LINES_MAX = 20 };

/* A plain value; all zero is empty. */
struct last_lines {
    char bytes[LAST_LINES_BYTES]; /* a ring */
    size_t written;               /* since the start */
};

void last_lines_add(struct last_lines *lines, const char *bytes, size_t length);

/* The last LAST_LINES_MAX lines that are not blank, malloc'd; NULL without any (or without memory).
 * What a terminal would not show is left out: escape sequences, control characters, what a carriage
 * return took back. What is no UTF-8 is U+FFFD. */
char *last_lines_text(const struct last_lines *lines);

#endif
