/* A request's target, taken apart: path segments and query parameters, percent-decoded (RFC 3986;
 * in the query "+" is a space, as forms send it). */
#ifndef RUNTREE_SERVER_URI_H
#define RUNTREE_SERVER_URI_H

#include <stddef.h>

enum { URI_SEGMENTS_MAX = 20, URI_PARAMETERS_MAX = 128 };

struct uri_parameter {
    const char *name, *value;
};

/* Strings live in `block`. */
struct uri {
    char *block;
    size_t segment_count;
    const char *segments[URI_SEGMENTS_MAX]; /* "/v1/runs": "v1", "runs"; "/": none */
    size_t parameter_count;
    struct uri_parameter parameters[URI_PARAMETERS_MAX];
};

/* Takes `target` ("/path?query") apart. 0 (release with uri_clear); -EINVAL for a bad escape, an
 * encoded NUL or text that is not UTF-8; -E2BIG for too many segments or parameters; -ENOMEM.
 * After an error it is empty. */
int uri_parse(struct uri *uri, const char *target);

void uri_clear(struct uri *uri);

#endif
