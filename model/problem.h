/* What is wrong with a request or an event, in the terms of RFC 9457. A plain value without
 * ownership: the texts are copied in and cut at their limit. */
#ifndef RUNTREE_MODEL_PROBLEM_H
#define RUNTREE_MODEL_PROBLEM_H

#include <jansson.h>

/* Each kind has a page under /problems/ that explains it. */
enum problem_kind {
    PROBLEM_NONE = 0,
    PROBLEM_BAD_REQUEST,
    PROBLEM_INVALID_JSON,
    PROBLEM_INVALID_FIELD,
    PROBLEM_UNKNOWN_PARAMETER,
    PROBLEM_UNAUTHORIZED,
    PROBLEM_FORBIDDEN,
    PROBLEM_NOT_FOUND,
    PROBLEM_METHOD_NOT_ALLOWED,
    PROBLEM_NOT_ACCEPTABLE,
    PROBLEM_PARENT_CONFLICT,
    PROBLEM_ALIAS_CONFLICT,
    PROBLEM_TOO_DEEP,
    PROBLEM_ALREADY_ENDED,
    PROBLEM_REQUEST_TIMEOUT,
    PROBLEM_PAYLOAD_TOO_LARGE,
    PROBLEM_TOO_MANY_EVENTS,
    PROBLEM_URI_TOO_LONG,
    PROBLEM_UNSUPPORTED_MEDIA_TYPE,
    PROBLEM_TOO_MANY_REQUESTS,
    PROBLEM_HEAD_TOO_LARGE,
    PROBLEM_INTERNAL,
    PROBLEM_UNAVAILABLE,
    PROBLEM_OVERLOADED,
    PROBLEM_KINDS,
};

struct problem_description {
    const char *name;  /* last part of the `type` path: "invalid-field" */
    const char *title; /* the `title` member */
    int status;        /* HTTP status */
    const char *explanation;
};

/* Static; `kind` must be between PROBLEM_NONE and PROBLEM_KINDS, both excluded. */
const struct problem_description *problem_describe(enum problem_kind kind);

enum { PROBLEM_POINTER_SIZE = 320, PROBLEM_DETAIL_SIZE = 1280 };

struct problem {
    enum problem_kind kind;
    char pointer[PROBLEM_POINTER_SIZE]; /* JSON Pointer into the request or event; "" for none */
    char detail[PROBLEM_DETAIL_SIZE];
};

/* Fills `problem`; `pointer` may be NULL. Always returns -1, so that a check can end with
 * `return problem_set(…)`. The detail is cut at a UTF-8 boundary. */
int problem_set(struct problem *problem, enum problem_kind kind, const char *pointer,
                const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The problem document {"type", "title", "status", "detail", "pointer"?}: a new reference, or NULL
 * when out of memory. */
json_t *problem_to_json(const struct problem *problem);

#endif
