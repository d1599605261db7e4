/* The keys that tokens must be signed with, from files, each of which says by its option what it
 * holds; nothing is guessed.
 *
 * The file of keys is a JWKS or a single JWK (RFC 7517), or public keys and certificates in PEM
 * (RFC 7468, and the older RSA PUBLIC KEY). A key of it that is not understood, too short or meant
 * for something else is skipped (RFC 7517, section 5); a file that is anything else, holds a
 * private key or no usable one is refused. The file of the secret has the bytes of a secret for
 * HMAC; one line end behind them is not part of it.
 *
 * A key verifies only the algorithms that fit its kind, so a token cannot choose how it is read:
 * RSA (2,048 bits or more) RS256-512 and PS256-512, P-256 ES256, P-384 ES384, P-521 ES512, Ed25519
 * and Ed448 EdDSA, a secret (of AUTH_SECRET_BYTES_MIN to _MAX, also as a JWK of kty oct) HS256-512
 * as far as it is as long as the hash (RFC 7518, section 3.2). Where a JWK says `alg`, `use` or
 * `key_ops`, that holds, too. */
#ifndef RUNTREE_SERVER_AUTH_KEYS_H
#define RUNTREE_SERVER_AUTH_KEYS_H

#include <stdbool.h>
#include <stddef.h>

struct auth_keys;
struct log;

enum {
    AUTH_KEYS_MAX = 64,                /* that are used */
    AUTH_KEYS_SEEN_MAX = 1000,         /* in a file, the skipped ones counted */
    AUTH_KEYS_BYTES_MAX = 1024 * 1024, /* of a file */
    AUTH_SECRET_BYTES_MIN = 32,
    AUTH_SECRET_BYTES_MAX = 4096,
    AUTH_KEYS_WHY_SIZE = 384,
};

/* Where keys come from: one of the two or both. */
struct auth_keys_source {
    const char *keys_path;   /* "": none */
    const char *secret_path; /* "": none */
    const struct log *log;   /* is told of each key that is skipped; NULL: none */
};

/* Once, before the first thread starts. */
void auth_keys_start(void);

/* Reads the files: blocks. NULL with the option, the file and the reason in `why`; what a file
 * holds is never part of it. */
struct auth_keys *auth_keys_load(const struct auth_keys_source *source,
                                 char why[static AUTH_KEYS_WHY_SIZE]);
/* For another thread; NULL when out of memory. */
struct auth_keys *auth_keys_copy(const struct auth_keys *keys);
void auth_keys_free(struct auth_keys *keys); /* NULL is fine */

size_t auth_keys_count(const struct auth_keys *keys);

/* A compact JWS (RFC 7515): what is signed, the signature, and what the header says. */
struct signed_token {
    const char *text;     /* all of it, ended by a NUL */
    size_t signed_length; /* of header and payload with the dot between them */
    const unsigned char *signature;
    size_t signature_length;
    const char *algorithm; /* the header's `alg` */
    const char *key_id;    /* the header's `kid`; NULL: none */
};

/* Whether one of the keys that fit the token (by `kid`, if it names one and the key has one, and by
 * algorithm) made its signature. */
bool auth_keys_verify(const struct auth_keys *keys, const struct signed_token *token);

#endif
