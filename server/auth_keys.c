#include "server/auth_keys.h"

#include <ctype.h>
#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <rhonabwy.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/log.h"

enum { RSA_BITS_MIN = 2048, HASH_BYTES_MAX = 64 };

/* What fits what. `curve` NULL: whichever. */
static const struct {
    const char *algorithm;
    int key_type;
    const char *curve;
    unsigned bits_min;
    gnutls_mac_algorithm_t mac; /* of the HMACs, which are verified here */
} algorithms[] = {
    {"HS256", R_KEY_TYPE_HMAC, NULL, AUTH_SECRET_BYTES_MIN * 8, GNUTLS_MAC_SHA256},
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

struct auth_key {
    jwk_t *jwk;
    unsigned char *secret; /* NULL: it is a public key */
    size_t secret_length;
    bool verifies[ALGORITHMS];
};

struct auth_keys {
    size_t count;
    struct auth_key keys[AUTH_KEYS_MAX];
};

static void clear_key(struct auth_key *key)
{
    r_jwk_free(key->jwk);
    if (key->secret != NULL)
        explicit_bzero(key->secret, key->secret_length);
    free(key->secret);
}

void auth_keys_free(struct auth_keys *keys)
{
    if (keys == NULL)
        return;
    for (size_t i = 0; i < keys->count; i++)
        clear_key(&keys->keys[i]);
    free(keys);
}

struct auth_keys *auth_keys_copy(const struct auth_keys *keys)
{
    struct auth_keys *copy = calloc(1, sizeof *copy);

    for (size_t i = 0; copy != NULL && i < keys->count; i++) {
        const struct auth_key *from = &keys->keys[i];
        struct auth_key *to = &copy->keys[copy->count++];

        *to = *from;
        to->jwk = r_jwk_copy(from->jwk);
        to->secret = from->secret == NULL ? NULL : malloc(from->secret_length);
        if (to->secret != NULL)
            memcpy(to->secret, from->secret, from->secret_length);
        if (to->jwk == NULL || (to->secret == NULL && from->secret != NULL)) {
            auth_keys_free(copy);
            return NULL;
        }
    }
    return copy;
}

size_t auth_keys_count(const struct auth_keys *keys)
{
    return keys->count;
}

/* -------- one key -------- */

enum { KID_LOGGED_MAX = 255 };

struct loading {
    const struct auth_keys_source *source;
    struct auth_keys *keys;
    const char *path;          /* of the file that is read */
    size_t seen;               /* keys of it */
    const char *first_skipped; /* why; NULL: none was */
    char why[AUTH_KEYS_WHY_SIZE / 2];
};

__attribute__((format(printf, 2, 3))) static bool fail(struct loading *loading, const char *format,
                                                       ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(loading->why, sizeof loading->why, format, arguments);
    va_end(arguments);
    return false;
}

static bool fail_for_private_key(struct loading *loading)
{
    return fail(loading, "it holds a private key; give runtree the public one alone");
}

/* A key that is not used, which is no fault of the others. */
static bool skip(struct loading *loading, const char *kid, const char *why)
{
    const struct log *log = loading->source->log;

    if (loading->first_skipped == NULL)
        loading->first_skipped = why;
    if (kid != NULL && strlen(kid) > KID_LOGGED_MAX)
        kid = NULL;
    if (log != NULL)
        log_write(log, LOG_WARNING, "a key is not used", "s:s, s:I, s:s?, s:s", "file",
                  loading->path, "key", (json_int_t)loading->seen, "kid", kid, "why", why);
    return true;
}

static bool is_equal(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static bool is_for_verifying(jwk_t *jwk)
{
    const char *use = r_jwk_get_property_str(jwk, "use");
    int count = r_jwk_get_property_array_size(jwk, "key_ops");
    bool is_listed = count < 0;

    for (int i = 0; i < count; i++)
        is_listed |= is_equal(r_jwk_get_property_array(jwk, "key_ops", (size_t)i), "verify");
    return is_listed && (use == NULL || strcmp(use, "sig") == 0);
}

/* Whether its numbers are a key at all, as they will be read to verify. */
static bool is_whole(jwk_t *jwk)
{
    gnutls_pubkey_t public = r_jwk_export_to_gnutls_pubkey(jwk, R_FLAG_IGNORE_REMOTE);

    if (public == NULL)
        return false;
    gnutls_pubkey_deinit(public);
    return true;
}

/* Fills in what the key verifies. NULL, or why that is nothing. */
static const char *find_algorithms(struct auth_key *key, int type, unsigned bits)
{
    const char *curve = r_jwk_get_property_str(key->jwk, "crv");
    const char *own = r_jwk_get_property_str(key->jwk, "alg");
    bool is_of_kind = false, is_usable = false;

    for (size_t row = 0; row < ALGORITHMS; row++) {
        if ((type & algorithms[row].key_type) == 0 || bits < algorithms[row].bits_min ||
            (algorithms[row].curve != NULL && !is_equal(curve, algorithms[row].curve)))
            continue;
        is_of_kind = true;
        key->verifies[row] = own == NULL || strcmp(own, algorithms[row].algorithm) == 0;
        is_usable |= key->verifies[row];
    }
    if (is_usable)
        return NULL;
    if (is_of_kind)
        return "its alg is none that a key of its kind verifies";
    if ((type & R_KEY_TYPE_RSA) != 0)
        return "an RSA key must have at least 2048 bits";
    if ((type & R_KEY_TYPE_HMAC) != 0)
        return "a secret must have at least 32 bytes";
    return "it is of no kind that runtree takes: RSA, P-256, P-384, P-521, Ed25519, Ed448, oct";
}

/* NULL, or why the key is not used. */
static const char *judge(struct auth_key *key, int type, unsigned bits)
{
    const char *wrong = find_algorithms(key, type, bits);
    bool is_secret = (type & R_KEY_TYPE_HMAC) != 0;

    if (wrong != NULL)
        return wrong;
    if (!is_for_verifying(key->jwk))
        return "its use or key_ops is not to verify signatures";
    if (is_secret && bits / 8 > AUTH_SECRET_BYTES_MAX)
        return "a secret must have at most 4096 bytes";
    return is_secret || is_whole(key->jwk) ? NULL : "its numbers are no key of its kind";
}

static bool take_secret(struct auth_key *key, size_t length)
{
    enum { SPARE = 4 }; /* the library's decoder writes whole groups of three bytes */

    key->secret = malloc(length + SPARE);
    key->secret_length = length + SPARE;
    return key->secret != NULL &&
           r_jwk_export_to_symmetric_key(key->jwk, key->secret, &key->secret_length) == RHN_OK;
}

/* Takes `jwk` over. False only if the file cannot be used at all. */
static bool add_key(struct loading *loading, jwk_t *jwk)
{
    struct auth_keys *keys = loading->keys;
    struct auth_key key = {.jwk = jwk};
    unsigned bits = 0;
    int type = r_jwk_key_type(jwk, &bits, R_FLAG_IGNORE_REMOTE);
    const char *wrong = judge(&key, type, bits);
    bool is_fine;

    if (wrong != NULL)
        is_fine = skip(loading, r_jwk_get_property_str(jwk, "kid"), wrong);
    else if (keys->count == AUTH_KEYS_MAX)
        is_fine = fail(loading, "there are more than %d keys", AUTH_KEYS_MAX);
    else if ((type & R_KEY_TYPE_HMAC) != 0 && !take_secret(&key, bits / 8))
        is_fine = fail(loading, "out of memory");
    else {
        keys->keys[keys->count++] = key;
        return true;
    }
    clear_key(&key);
    return is_fine;
}

/* -------- JSON -------- */

static bool is_private(const json_t *document)
{
    static const char *const members[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "priv"};

    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (json_object_get(document, members[i]) != NULL)
            return true;
    return false;
}

static bool add_jwk(struct loading *loading, json_t *document)
{
    jwk_t *jwk = NULL;

    if (++loading->seen > AUTH_KEYS_SEEN_MAX)
        return fail(loading, "it lists more than %d keys", AUTH_KEYS_SEEN_MAX);
    if (is_private(document))
        return fail_for_private_key(loading);
    if (r_jwk_init(&jwk) != RHN_OK)
        return fail(loading, "out of memory");
    if (r_jwk_import_from_json_t(jwk, document) == RHN_OK)
        return add_key(loading, jwk);
    r_jwk_free(jwk);
    return skip(loading, json_string_value(json_object_get(document, "kid")),
                "it is malformed, or of a kind that is not known");
}

static bool add_json(struct loading *loading, const char *text)
{
    json_t *document = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    json_t *list = json_object_get(document, "keys"), *item;
    bool is_fine = true;
    size_t i;

    if (document == NULL)
        return fail(loading, "it is not valid JSON");
    if (list == NULL && json_object_get(document, "kty") != NULL)
        is_fine = add_jwk(loading, document);
    else if (!json_is_array(list))
        is_fine = fail(loading, "it is JSON, but neither a JWKS nor a JWK");
    json_array_foreach (list, i, item)
        is_fine = is_fine && add_jwk(loading, item);
    json_decref(document);
    return is_fine;
}

/* -------- PEM -------- */

static size_t put_head(unsigned char *out, unsigned char tag, size_t length)
{
    const unsigned char head[] = {tag, 0x82, (unsigned char)(length >> 8), (unsigned char)length};

    memcpy(out, head, sizeof head);
    return sizeof head;
}

/* The block RSA PUBLIC KEY (RFC 8017, appendix A.1.1), which the library does not read, as a
 * SubjectPublicKeyInfo (RFC 5280, section 4.1), which it does. */
static int import_rsa(jwk_t *jwk, const gnutls_datum_t *pem)
{
    static const unsigned char rsa_encryption[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                                   0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};
    enum { BYTES_MAX = 16384 };
    unsigned char info[BYTES_MAX + 64];
    gnutls_datum_t key = {0};
    size_t used, bits_length;
    int status = RHN_ERROR_PARAM;

    if (gnutls_pem_base64_decode2("RSA PUBLIC KEY", pem, &key) != 0)
        return status;
    if (key.size <= BYTES_MAX) {
        bits_length = key.size + 1;
        used = put_head(info, 0x30, sizeof rsa_encryption + 4 + bits_length);
        memcpy(info + used, rsa_encryption, sizeof rsa_encryption);
        used += sizeof rsa_encryption;
        used += put_head(info + used, 0x03, bits_length);
        info[used++] = 0; /* bits of the last byte that are unused */
        memcpy(info + used, key.data, key.size);
        status =
            r_jwk_import_from_pem_der(jwk, R_X509_TYPE_PUBKEY, R_FORMAT_DER, info, used + key.size);
    }
    gnutls_free(key.data);
    return status;
}

static bool add_pem_block(struct loading *loading, const char *text, size_t length)
{
    static const char certificate[] = "-----BEGIN CERTIFICATE-----";
    static const char rsa[] = "-----BEGIN RSA PUBLIC KEY-----";
    jwk_t *jwk = NULL;
    int status;

    if (++loading->seen > AUTH_KEYS_SEEN_MAX)
        return fail(loading, "it lists more than %d keys", AUTH_KEYS_SEEN_MAX);
    if (memmem(text, strcspn(text, "\r\n"), "PRIVATE", 7) != NULL)
        return fail_for_private_key(loading);
    if (r_jwk_init(&jwk) != RHN_OK)
        return fail(loading, "out of memory");
    if (strncmp(text, rsa, sizeof rsa - 1) == 0) {
        const gnutls_datum_t pem = {(unsigned char *)text, (unsigned)length};

        status = import_rsa(jwk, &pem);
    } else {
        bool is_certificate = strncmp(text, certificate, sizeof certificate - 1) == 0;

        status = r_jwk_import_from_pem_der(
            jwk, is_certificate ? R_X509_TYPE_CERTIFICATE : R_X509_TYPE_PUBKEY, R_FORMAT_PEM,
            (const unsigned char *)text, length);
    }
    if (status != RHN_OK) {
        r_jwk_free(jwk);
        return skip(loading, NULL,
                    "this PEM block is no public key or certificate of a known kind");
    }
    /* The library names a PEM key by its thumbprint, which no token was told of. */
    r_jwk_delete_property_str(jwk, "kid");
    return add_key(loading, jwk);
}

static bool add_pem(struct loading *loading, const char *text)
{
    static const char begin[] = "-----BEGIN ", end[] = "-----END ";

    for (const char *at = strstr(text, begin), *next; at != NULL; at = next) {
        const char *last = strstr(at, end);

        next = strstr(at + sizeof begin - 1, begin);
        if (last == NULL || (next != NULL && next < last))
            return fail(loading, "a PEM block of it has no end");
        if (!add_pem_block(loading, at, next == NULL ? strlen(at) : (size_t)(next - at)))
            return false;
    }
    return true;
}

/* -------- what a file is that is neither -------- */

/* Whether it is one ASN.1 sequence from its first byte to its last. */
static bool is_der(const unsigned char *bytes, size_t length)
{
    size_t head = 2, inner;

    if (length < 2 || bytes[0] != 0x30)
        return false;
    inner = bytes[1];
    if (inner > 0x80) {
        head += inner - 0x80;
        if (head > 6 || head > length)
            return false;
        inner = 0;
        for (size_t i = 2; i < head; i++)
            inner = inner << 8 | bytes[i];
    }
    return head + inner == length;
}

static bool is_der_in_base64(const char *text, size_t length)
{
    gnutls_datum_t decoded = {0}, packed = {malloc(length + 1), 0};
    bool is_der_inside;

    if (packed.data == NULL)
        return false;
    for (size_t i = 0; i < length; i++)
        if (!isspace((unsigned char)text[i]))
            packed.data[packed.size++] = (unsigned char)text[i];
    is_der_inside =
        gnutls_base64_decode2(&packed, &decoded) == 0 && is_der(decoded.data, decoded.size);
    gnutls_free(decoded.data);
    explicit_bzero(packed.data, packed.size);
    free(packed.data);
    return is_der_inside;
}

/* What everybody may know and what is no form that is read here, in words; NULL: not known. */
static const char *recognize(const char *text, size_t length)
{
    static const char ssh[] = "an SSH key", page[] = "a page", address[] = "an address";
    static const char utf_16[] = "text in UTF-16";
    static const struct {
        const char *start, *what;
    } forms[] = {
        {"---- BEGIN SSH2", ssh}, {"ssh-", ssh},        {"ecdsa-sha2-", ssh},  {"sk-ssh-", ssh},
        {"sk-ecdsa-", ssh},       {"<!doctype", page},  {"<html", page},       {"<?xml", page},
        {"<head", page},          {"http://", address}, {"https://", address}, {"\xff\xfe", utf_16},
        {"\xfe\xff", utf_16},
    };
    const char *start = text;

    while (isspace((unsigned char)*start))
        start++;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strncasecmp(start, forms[i].start, strlen(forms[i].start)) == 0)
            return forms[i].what;
    if (is_der((const unsigned char *)text, length))
        return "a key or certificate in DER";
    return is_der_in_base64(text, length)
               ? "a key or certificate in base64 without the lines of PEM"
               : NULL;
}

/* -------- files -------- */

void auth_keys_start(void)
{
    r_global_init();
}

/* A new string of at most AUTH_KEYS_BYTES_MAX bytes; NULL with errno. */
static char *read_file(const char *path, size_t *length)
{
    char *text = malloc(AUTH_KEYS_BYTES_MAX + 2); /* one more than may be read, and the NUL */
    FILE *file = text == NULL ? NULL : fopen(path, "re");

    if (file == NULL) {
        free(text);
        return NULL;
    }
    *length = fread(text, 1, AUTH_KEYS_BYTES_MAX + 1, file);
    int error = ferror(file) != 0 ? errno : *length > AUTH_KEYS_BYTES_MAX ? EFBIG : 0;
    fclose(file);
    if (error != 0) {
        free(text);
        errno = error;
        return NULL;
    }
    text[*length] = '\0';
    return text;
}

/* Where the text starts: behind a byte order mark (RFC 8259, section 8.1) and white space. */
static const char *skip_to_text(const char *text)
{
    static const char mark[] = "\xef\xbb\xbf";

    if (strncmp(text, mark, sizeof mark - 1) == 0)
        text += sizeof mark - 1;
    while (isspace((unsigned char)*text))
        text++;
    return text;
}

static bool add_keys(struct loading *loading, const char *text, size_t length)
{
    const char *start = skip_to_text(text);
    const char *what = recognize(text, length);
    bool is_fine;

    if (what != NULL)
        return fail(loading, "it is %s; a JWKS, a JWK or public keys in PEM are wanted", what);
    if (strlen(text) != length)
        return fail(loading, "it is not text in UTF-8");
    if (*start == '\0')
        return fail(loading, "it is empty");
    if (*start == '{')
        is_fine = add_json(loading, start);
    else if (strstr(start, "-----BEGIN ") != NULL)
        is_fine = add_pem(loading, start);
    else
        return fail(loading, "it is neither a JWKS, a JWK nor public keys in PEM");
    if (is_fine && loading->keys->count == 0)
        return fail(loading, "it holds no key to verify signatures with%s%s",
                    loading->first_skipped == NULL ? "" : ": ",
                    loading->first_skipped == NULL ? "" : loading->first_skipped);
    return is_fine;
}

/* Whether it is what --auth-keys takes, which must not become a secret that everybody knows. */
static bool holds_keys(const char *text)
{
    const char *start = skip_to_text(text);
    json_t *document = *start == '{' ? json_loads(start, 0, NULL) : NULL;
    bool is_jwk =
        json_object_get(document, "keys") != NULL || json_object_get(document, "kty") != NULL;

    json_decref(document);
    return is_jwk || strstr(start, "-----BEGIN ") != NULL;
}

static bool add_secret(struct loading *loading, const char *text, size_t length)
{
    const char *what = recognize(text, length);
    jwk_t *jwk = NULL;

    if (what == NULL && holds_keys(text))
        what = "a JWKS, a JWK or PEM, which --auth-keys takes";
    if (what != NULL)
        return fail(loading, "it is no secret but %s", what);
    if (length > 0 && text[length - 1] == '\n')
        length--;
    if (length > 0 && text[length - 1] == '\r' && text[length] == '\n')
        length--;
    if (length < AUTH_SECRET_BYTES_MIN || length > AUTH_SECRET_BYTES_MAX)
        return fail(loading, "a secret must have from %d to %d bytes", AUTH_SECRET_BYTES_MIN,
                    AUTH_SECRET_BYTES_MAX);
    if (r_jwk_init(&jwk) != RHN_OK)
        return fail(loading, "out of memory");
    if (r_jwk_import_from_symmetric_key(jwk, (const unsigned char *)text, length) != RHN_OK) {
        r_jwk_free(jwk);
        return fail(loading, "out of memory");
    }
    return add_key(loading, jwk);
}

static bool load_file(struct loading *loading, const char *path,
                      bool (*add)(struct loading *loading, const char *text, size_t length))
{
    size_t length = 0;
    char *text = read_file(path, &length);
    bool is_fine;

    if (text == NULL)
        return fail(loading, "%s", strerror(errno));
    loading->path = path;
    loading->seen = 0;
    is_fine = add(loading, text, length);
    explicit_bzero(text, length);
    free(text);
    return is_fine;
}

struct auth_keys *auth_keys_load(const struct auth_keys_source *source,
                                 char why[static AUTH_KEYS_WHY_SIZE])
{
    const struct {
        const char *option, *path;
        bool (*add)(struct loading *loading, const char *text, size_t length);
    } files[] = {{"--auth-keys", source->keys_path, add_keys},
                 {"--auth-secret-file", source->secret_path, add_secret}};
    struct loading loading = {.source = source, .keys = calloc(1, sizeof *loading.keys)};

    if (loading.keys == NULL) {
        snprintf(why, AUTH_KEYS_WHY_SIZE, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (files[i].path[0] == '\0' || load_file(&loading, files[i].path, files[i].add))
            continue;
        snprintf(why, AUTH_KEYS_WHY_SIZE, "%s: %.120s: %s", files[i].option, files[i].path,
                 loading.why);
        auth_keys_free(loading.keys);
        return NULL;
    }
    return loading.keys;
}

/* -------- verifying -------- */

/* Not left to the library, which compares with strcmp: how long that takes tells how much of a
 * forged signature is right. */
static bool verify_hmac(const struct auth_key *key, gnutls_mac_algorithm_t mac,
                        const struct signed_token *token)
{
    unsigned char digest[HASH_BYTES_MAX];

    return gnutls_hmac_fast(mac, key->secret, key->secret_length, token->text, token->signed_length,
                            digest) == 0 &&
           token->signature_length == gnutls_hmac_get_len(mac) &&
           gnutls_memcmp(digest, token->signature, token->signature_length) == 0;
}

static bool verify_public(const struct auth_key *key, const struct signed_token *token)
{
    jwt_t *jwt = NULL;
    bool is_right =
        r_jwt_init(&jwt) == RHN_OK &&
        r_jwt_advanced_parse(jwt, token->text, R_PARSE_NONE, R_FLAG_IGNORE_REMOTE) == RHN_OK &&
        r_jwt_verify_signature(jwt, key->jwk, R_FLAG_IGNORE_REMOTE) == RHN_OK;

    r_jwt_free(jwt);
    return is_right;
}

static bool fits(const struct auth_key *key, size_t row, const char *key_id)
{
    const char *own_id = r_jwk_get_property_str(key->jwk, "kid");

    return key->verifies[row] && (key_id == NULL || own_id == NULL || strcmp(own_id, key_id) == 0);
}

bool auth_keys_verify(const struct auth_keys *keys, const struct signed_token *token)
{
    bool is_right = false;
    size_t row = 0;

    while (row < ALGORITHMS && strcmp(algorithms[row].algorithm, token->algorithm) != 0)
        row++;
    for (size_t i = 0; row < ALGORITHMS && !is_right && i < keys->count; i++) {
        const struct auth_key *key = &keys->keys[i];

        if (fits(key, row, token->key_id))
            is_right = key->secret != NULL ? verify_hmac(key, algorithms[row].mac, token)
                                           : verify_public(key, token);
    }
    return is_right;
}
