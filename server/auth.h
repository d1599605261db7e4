/* From a bearer token to what its holder may do: a signed JWT (RFC 7519) is verified, once.
 *
 * What a token must have: an `alg` that fits a key (see auth_keys.h; never `none`), no `crit`, no
 * compression, an `exp` in the future and, if it says so, an `nbf` in the past, both give or take
 * the leeway; the configured `iss`; the configured audience in `aud`, or no `aud` at all if none is
 * configured (RFC 7519, section 4.1.3). Tokens that were good are remembered until they expire, so
 * that a signature is not checked on every request. */
#ifndef RUNTREE_SERVER_AUTH_H
#define RUNTREE_SERVER_AUTH_H

#include <stddef.h>
#include <stdint.h>

#include "model/access.h"
#include "server/auth_keys.h"

struct auth;

enum { TOKEN_BYTES_MAX = 8192, AUTH_REMEMBERED_MAX = 256, AUTH_WHY_SIZE = 256 };

struct auth_options {
    const char *issuer;   /* "": any */
    const char *audience; /* "": none */
    const char *claim;    /* that has the rights */
    int64_t leeway_s;
};

/* `keys` is taken over; the strings are borrowed. NULL when out of memory (then `keys` is not). */
struct auth *auth_new(struct auth_keys *keys, const struct auth_options *options);
void auth_free(struct auth *auth); /* NULL is fine */

/* Takes `keys` over in place of those before; tokens are verified anew. */
void auth_use_keys(struct auth *auth, struct auth_keys *keys);

/* What the token lets its holder do, a new reference; NULL with a sentence for the holder in `why`.
 * Its expires_us has the leeway in it. */
struct access *auth_check(struct auth *auth, const char *token, int64_t now_us,
                          char why[static AUTH_WHY_SIZE]);

#endif
