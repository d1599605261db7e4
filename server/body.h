/* A request's body while it arrives: unpacked, within its limit, and drawn from the account of
 * memory. */
#ifndef RUNTREE_SERVER_BODY_H
#define RUNTREE_SERVER_BODY_H

#include <stdbool.h>
#include <stddef.h>

#include "server/memory.h"

enum { BODY_BYTES_MAX = 4 * 1024 * 1024 }; /* as it came, and unpacked */

struct gunzip;

/* A plain value; all zero is empty. */
struct body {
    char *bytes; /* unpacked */
    size_t length, capacity;
    struct gunzip *gunzip; /* NULL: it comes as it is */
    size_t held;           /* of the account, until body_release */
};

/* The body will come as gzip. 0 or -ENOMEM. */
int body_expect_gzip(struct body *body);

/* Takes the next bytes in; `expected` is how many there are in all, if that is known, else 0. 0,
 * -ENOMEM, -ENOBUFS (the account has no room), -E2BIG (more than BODY_BYTES_MAX) or -EBADMSG (it is
 * no gzip); then the body is empty. */
int body_append(struct body *body, struct memory *memory, const char *bytes, size_t length,
                size_t expected);

/* There is no more. 0, or -EBADMSG: the gzip is not complete. */
int body_end(struct body *body);

/* The bytes (malloc'd, not ended by a NUL, NULL if empty), which the caller owns. They stay on the
 * account. */
char *body_take(struct body *body, size_t *length);

/* How much is held from now on, by whoever took the bytes. */
void body_hold(struct body *body, struct memory *memory, size_t bytes);

/* Frees it, and gives back what it held. */
void body_release(struct body *body, struct memory *memory);

#endif
