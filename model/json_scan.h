/* JSON text: the values in it, found without a document being made of them, and whether it is
 * valid.
 */
#ifndef RUNTREE_MODEL_JSON_SCAN_H
#define RUNTREE_MODEL_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>

/* A stretch of JSON text that is not ended by a NUL. */
struct json_text {
    const char *bytes;
    size_t length;
};

/* The first character from `at` on that is not JSON whitespace; `end` if there is none. */
const char *json_scan_space(const char *at, const char *end);

/* The place behind the last character before `end` that is not JSON whitespace; `begin` if there is
 * none. */
const char *json_scan_space_back(const char *begin, const char *end);

/* `at` stands on a value's first character: returns the place behind its last one. *nesting is how
 * many objects and arrays stand in one another in it: 0 for a scalar, 1 for {}. Never reads at or
 * behind `end`. */
const char *json_scan_value(const char *at, const char *end, size_t *nesting);

enum { JSON_SCAN_NESTING_MAX = 2048 };

/* NULL if `text` is one JSON value (RFC 8259) in UTF-8, nested no deeper than
 * JSON_SCAN_NESTING_MAX, with nothing but white space around it; else the place of the first
 * character that is wrong, or its end. */
const char *json_scan_error(struct json_text text);

/* The next item of an array: false behind the last. `*at` stands on the opening bracket at first,
 * and is moved to what follows the item. A text that may be no array is one if its items are JSON
 * and
 * `*at` is on its last character in the end, which is a closing bracket. */
bool json_scan_item(const char **at, const char *end, struct json_text *item);

/* The next member of an object, likewise. */
struct json_member {
    struct json_text name; /* as written, without its quotes */
    struct json_text value;
    size_t nesting; /* of the value, as json_scan_value says */
};
bool json_scan_member(const char **at, const char *end, struct json_member *member);

/* Whether a name as written is this one, which is of ASCII letters: "log\u0049nfo" is logInfo. */
bool json_name_is(struct json_text written, const char *name);

/* The same of a name in camelCase, which may also be written in snake_case: error_info is
 * errorInfo.
 */
bool json_name_is_spelled(struct json_text written, const char *name);

/* json_name_is of `count` names. */
bool json_name_is_one_of(struct json_text written, const char *const *names, size_t count);

#endif
