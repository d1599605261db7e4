#include "server/auth_keys.h"

#include <ctype.h>
#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <rhonabwy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RSA_BITS_MIN = 2048, HASH_BYTES_MAX = 64, SIGNATURE_SIZE = 96 };

struct auth_keys {
    jwks_t *keys;
};

/* What fits what. `curve` NULL: whichever. */
static const struct {
    const char *algorithm;
    int key_type;
    const char *curve;
    unsigned bits_min;
    gnutls_mac_algorithm_t mac; /* of the HMACs, which are verified here */
} algorithms[] = {
    {"HS256", R_KEY_TYPE_HMAC, NULL, 256, GNUTLS_MAC_SHA256},
    {"HS384", R_KEY_TYPE_HMAC, NULL, 384, GNUTLS_MAC_SHA384},
    {"HS512", R_KEY_TYPE_HMAC, NULL, 512, GNUTLS_MAC_SHA512},
    {"RS256", R_KEY_TYPE_RSA, NULL, RSA_BITS_MIN, GNUTLS_MAC_UNKNOWN},
    {"RS384", R_KEY_TYPE_RSA, NULL, RSA_BITS_MIN, GNUTLS_MAC_UNKNOWN},
    {"RS512", R_KEY_TYPE_RSA, NULL, RSA_BITS_MIN, GNUTLS_MAC_UNKNOWN},
    {"PS256", R_KEY_TYPE_RSA, NULL, RSA_BITS_MIN, GNUTLS_MAC_UNKNOWN},
    {"PS384", R_KEY_TYPE_RSA, NULL, RSA_BITS_MIN, GNUTLS_MAC_UNKNOWN},
    {"PS512", R_KEY_TYPE_RSA, NULL, RSA_BITS_MIN, GNUTLS_MAC_UNKNOWN},
    {"ES256", R_KEY_TYPE_EC, "P-256", 0, GNUTLS_MAC_UNKNOWN},
    {"ES384", R_KEY_TYPE_EC, "P-384", 0, GNUTLS_MAC_UNKNOWN},
    {"ES512", R_KEY_TYPE_EC, "P-521", 0, GNUTLS_MAC_UNKNOWN},
    {"EdDSA", R_KEY_TYPE_EDDSA, NULL, 0, GNUTLS_MAC_UNKNOWN},
};
enum { ALGORITHMS = sizeof algorithms / sizeof *algorithms };

static bool is_equal(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* Whether the key's kind allows the algorithm of this row. */
static bool is_of_kind(jwk_t *key, size_t row)
{
    unsigned bits = 0;
    int type = r_jwk_key_type(key, &bits, R_FLAG_IGNORE_REMOTE);
    const char *curve = algorithms[row].curve;

    return (type & algorithms[row].key_type) != 0 && bits >= algorithms[row].bits_min &&
           (curve == NULL || is_equal(r_jwk_get_property_str(key, "crv"), curve));
}

static bool fits(jwk_t *key, size_t row, const char *key_id)
{
    const char *own_id = r_jwk_get_property_str(key, "kid");
    const char *own_algorithm = r_jwk_get_property_str(key, "alg");

    return (key_id == NULL || own_id == NULL || strcmp(own_id, key_id) == 0) &&
           (own_algorithm == NULL || strcmp(own_algorithm, algorithms[row].algorithm) == 0) &&
           is_of_kind(key, row);
}

/* -------- loading -------- */

void auth_keys_start(void)
{
    r_global_init();
}

/* A new string of at most AUTH_KEYS_BYTES_MAX bytes; NULL with errno. */
static char *read_file(const char *path, size_t *length)
{
    char *text = malloc(AUTH_KEYS_BYTES_MAX + 1);
    FILE *file = text == NULL ? NULL : fopen(path, "re");

    if (file == NULL) {
        free(text);
        return NULL;
    }
    errno = 0;
    *length = fread(text, 1, AUTH_KEYS_BYTES_MAX, file);
    if (ferror(file) != 0 || fgetc(file) != EOF) {
        errno = errno == 0 ? EFBIG : errno;
        free(text);
        text = NULL;
    } else {
        text[*length] = '\0';
    }
    fclose(file);
    return text;
}

/* NULL, or what is wrong with the key. */
static const char *check_key(jwk_t *key)
{
    int type = r_jwk_key_type(key, NULL, R_FLAG_IGNORE_REMOTE);
    const char *use = r_jwk_get_property_str(key, "use");

    if ((type & R_KEY_TYPE_PRIVATE) != 0)
        return "it holds a private key; give runtree the public one alone";
    if (use != NULL && strcmp(use, "sig") != 0)
        return NULL; /* a set may hold keys for other purposes: they verify nothing */
    for (size_t row = 0; row < ALGORITHMS; row++)
        if (is_of_kind(key, row))
            return NULL;
    return "a key is of no kind that runtree takes, or too short: RSA from 2048 bits, P-256, P-384,"
           " P-521, Ed25519, Ed448, or a secret of at least 32 bytes";
}

static const char *add_key(jwks_t *keys, jwk_t *key)
{
    const char *wrong = check_key(key);
    const char *use = r_jwk_get_property_str(key, "use");

    if (wrong != NULL || (use != NULL && strcmp(use, "sig") != 0))
        return wrong;
    return r_jwks_append_jwk(keys, key) == RHN_OK ? NULL : "out of memory";
}

static const char *add_json(jwks_t *keys, const char *text)
{
    json_t *document = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    json_t *list = json_object_get(document, "keys");
    size_t count = list == NULL ? 1 : json_array_size(list);
    const char *wrong = NULL;

    if (document == NULL)
        return "it is not valid JSON";
    for (size_t i = 0; i < count && wrong == NULL; i++) {
        jwk_t *key = NULL;

        if (r_jwk_init(&key) != RHN_OK)
            wrong = "out of memory";
        else if (r_jwk_import_from_json_t(key, list == NULL ? document : json_array_get(list, i)) !=
                 RHN_OK)
            wrong = "it is neither a JWKS nor a JWK, or a key of it is malformed";
        else
            wrong = add_key(keys, key);
        r_jwk_free(key);
    }
    json_decref(document);
    return wrong;
}

static const char *add_pem(jwks_t *keys, const char *text)
{
    static const char begin[] = "-----BEGIN ", end[] = "-----END ";
    const char *wrong = NULL;

    for (const char *at = strstr(text, begin); at != NULL && wrong == NULL;) {
        const char *last = strstr(at, end);
        const char *next = last == NULL ? NULL : strstr(last, begin);
        size_t length = next == NULL ? strlen(at) : (size_t)(next - at);
        bool is_certificate = strncmp(at + sizeof begin - 1, "CERTIFICATE", 11) == 0;
        jwk_t *key = NULL;

        if (memmem(at, strcspn(at, "\r\n"), "PRIVATE", 7) != NULL)
            return "it holds a private key; give runtree the public one alone";
        if (r_jwk_init(&key) != RHN_OK)
            wrong = "out of memory";
        else if (r_jwk_import_from_pem_der(
                     key, is_certificate ? R_X509_TYPE_CERTIFICATE : R_X509_TYPE_PUBKEY,
                     R_FORMAT_PEM, (const unsigned char *)at, length) != RHN_OK)
            wrong = "a PEM block of it is neither a public key nor a certificate";
        else {
            /* The library names a PEM key by its thumbprint, which no token was told of. */
            r_jwk_delete_property_str(key, "kid");
            wrong = add_key(keys, key);
        }
        r_jwk_free(key);
        at = next;
    }
    return wrong;
}

static const char *add_secret(jwks_t *keys, const char *text, size_t length)
{
    const char *wrong;
    jwk_t *key = NULL;

    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
        length--;
    if (length * 8 < algorithms[0].bits_min)
        return "it is read as a secret for HMAC, which must have at least 32 bytes";
    if (r_jwk_init(&key) != RHN_OK ||
        r_jwk_import_from_symmetric_key(key, (const unsigned char *)text, length) != RHN_OK)
        wrong = "out of memory";
    else
        wrong = add_key(keys, key);
    r_jwk_free(key);
    return wrong;
}

/* By what the text looks like. A public key is never mistaken for a secret: whoever knows it could
 * sign. */
static const char *add_text(jwks_t *keys, const char *text, size_t length)
{
    const char *start = text;

    while (isspace((unsigned char)*start))
        start++;
    if (strstr(text, "-----BEGIN ") != NULL)
        return add_pem(keys, text);
    if (*start == '{' || *start == '[')
        return add_json(keys, start);
    if (strncmp(start, "ssh-", 4) == 0 || strncmp(start, "ecdsa-", 6) == 0)
        return "it is an SSH key; convert it: ssh-keygen -e -m PKCS8";
    return add_secret(keys, text, length);
}

/* NULL, or what is wrong with the file. */
static const char *load_file(jwks_t *keys, const char *path)
{
    size_t length = 0;
    char *text = read_file(path, &length);
    const char *wrong;

    if (text == NULL)
        return strerror(errno);
    wrong = add_text(keys, text, length);
    explicit_bzero(text, length);
    free(text);
    if (wrong == NULL && r_jwks_size(keys) == 0)
        return "it holds no key to verify signatures with";
    if (wrong == NULL && r_jwks_size(keys) > AUTH_KEYS_MAX)
        return "it holds more than 64 keys";
    return wrong;
}

struct auth_keys *auth_keys_load(const char *path, char why[static AUTH_KEYS_WHY_SIZE])
{
    struct auth_keys *keys = calloc(1, sizeof *keys);
    const char *wrong;

    if (keys == NULL || r_jwks_init(&keys->keys) != RHN_OK) {
        snprintf(why, AUTH_KEYS_WHY_SIZE, "out of memory");
        free(keys);
        return NULL;
    }
    wrong = load_file(keys->keys, path);
    if (wrong == NULL)
        return keys;
    snprintf(why, AUTH_KEYS_WHY_SIZE, "%.120s: %s", path, wrong);
    auth_keys_free(keys);
    return NULL;
}

void auth_keys_free(struct auth_keys *keys)
{
    if (keys == NULL)
        return;
    r_jwks_free(keys->keys);
    free(keys);
}

size_t auth_keys_count(const struct auth_keys *keys)
{
    return r_jwks_size(keys->keys);
}

/* -------- verifying -------- */

/* In base64url without padding, as a token has it. */
static size_t encode_base64url(const unsigned char *bytes, size_t length,
                               char out[static SIGNATURE_SIZE])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t used = 0;

    for (size_t i = 0; i < length; i += 3) {
        unsigned group = (unsigned)bytes[i] << 16 |
                         (unsigned)(i + 1 < length ? bytes[i + 1] : 0) << 8 |
                         (unsigned)(i + 2 < length ? bytes[i + 2] : 0);
        size_t count = length - i >= 3 ? 4 : length - i + 1;

        for (size_t k = 0; k < count; k++)
            out[used++] = digits[group >> (18 - 6 * k) & 63];
    }
    return used;
}

/* Not left to the library, which compares with strcmp: how long that takes tells how much of a
 * forged signature is right. */
static bool verify_hmac(jwk_t *key, gnutls_mac_algorithm_t mac, const struct signed_token *token)
{
    unsigned char secret[4096], digest[HASH_BYTES_MAX];
    char expected[SIGNATURE_SIZE];
    size_t secret_length = sizeof secret, length;
    bool is_right;

    if (r_jwk_export_to_symmetric_key(key, secret, &secret_length) != RHN_OK)
        return false;
    is_right = gnutls_hmac_fast(mac, secret, secret_length, token->text, token->signed_length,
                                digest) == 0;
    explicit_bzero(secret, sizeof secret);
    length = encode_base64url(digest, gnutls_hmac_get_len(mac), expected);
    return is_right && strlen(token->signature) == length &&
           gnutls_memcmp(expected, token->signature, length) == 0;
}

static bool verify_public(jwk_t *key, const struct signed_token *token)
{
    jwt_t *jwt = NULL;
    bool is_right =
        r_jwt_init(&jwt) == RHN_OK &&
        r_jwt_advanced_parse(jwt, token->text, R_PARSE_NONE, R_FLAG_IGNORE_REMOTE) == RHN_OK &&
        r_jwt_verify_signature(jwt, key, R_FLAG_IGNORE_REMOTE) == RHN_OK;

    r_jwt_free(jwt);
    return is_right;
}

bool auth_keys_verify(const struct auth_keys *keys, const struct signed_token *token)
{
    bool is_right = false;
    size_t row = 0;

    while (row < ALGORITHMS && strcmp(algorithms[row].algorithm, token->algorithm) != 0)
        row++;
    for (size_t i = 0; row < ALGORITHMS && !is_right && i < r_jwks_size(keys->keys); i++) {
        jwk_t *key = r_jwks_get_at(keys->keys, i); /* a copy */

        if (fits(key, row, token->key_id))
            is_right = algorithms[row].key_type == R_KEY_TYPE_HMAC
                           ? verify_hmac(key, algorithms[row].mac, token)
                           : verify_public(key, token);
        r_jwk_free(key);
    }
    return is_right;
}
