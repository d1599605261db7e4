/* The keys that tokens must be signed with, from a file: a JWKS or a single JWK (RFC 7517), public
 * keys or certificates in PEM, or, if it is none of these, a secret for HMAC as it stands.
 *
 * A key verifies only the algorithms that fit its kind, so a token cannot choose how it is read:
 * RSA (2,048 bits or more) RS256-512 and PS256-512, P-256 ES256, P-384 ES384, P-521 ES512, Ed25519
 * and Ed448 EdDSA, a secret HS256-512 as far as it is as long as the hash (RFC 7518, section 3.2).
 * Where a JWK says `alg` or `use`, that holds, too. */
#ifndef RUNTREE_SERVER_AUTH_KEYS_H
#define RUNTREE_SERVER_AUTH_KEYS_H

#include <stdbool.h>
#include <stddef.h>

struct auth_keys;

enum { AUTH_KEYS_MAX = 64, AUTH_KEYS_BYTES_MAX = 1024 * 1024, AUTH_KEYS_WHY_SIZE = 256 };

/* Once, before the first thread starts. */
void auth_keys_start(void);

/* Reads the file: blocks. NULL with the reason in `why`; what the file holds is never part of it. A
 * private key is refused: nobody who verifies needs one. */
struct auth_keys *auth_keys_load(const char *path, char why[static AUTH_KEYS_WHY_SIZE]);
void auth_keys_free(struct auth_keys *keys); /* NULL is fine */

size_t auth_keys_count(const struct auth_keys *keys);

/* A compact JWS (RFC 7515): its three parts and what its header says. */
struct signed_token {
    const char *text;     /* all of it, ended by a NUL */
    size_t signed_length; /* of header and payload with the dot between them */
    const char *signature;
    const char *algorithm; /* the header's `alg` */
    const char *key_id;    /* the header's `kid`; NULL: none */
};

/* Whether one of the keys that fit the token (by `kid`, if it names one and the key has one, and by
 * algorithm) made its signature. */
bool auth_keys_verify(const struct auth_keys *keys, const struct signed_token *token);

#endif
