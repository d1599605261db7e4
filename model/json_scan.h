/* Finds values in text that is known to be valid JSON, to keep an event as it was received. */
#ifndef RUNTREE_MODEL_JSON_SCAN_H
#define RUNTREE_MODEL_JSON_SCAN_H

#include <stddef.h>

/* The first character from `at` on that is not JSON whitespace; `end` if there is none. */
const char *json_scan_space(const char *at, const char *end);

/* The place behind the last character before `end` that is not JSON whitespace; `begin` if there is
 * none. */
const char *json_scan_space_back(const char *begin, const char *end);

/* `at` stands on a value's first character: returns the place behind its last one. *nesting is how
 * many objects and arrays stand in one another in it: 0 for a scalar, 1 for {}. Never reads at or
 * behind `end`. */
const char *json_scan_value(const char *at, const char *end, size_t *nesting);

#endif
