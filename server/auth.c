#include "server/auth.h"

#include <gnutls/crypto.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/text.h"

enum { US_PER_S = 1000000 };

/* The latest time that is taken for one: the year 9999. */
static const double TIME_S_MAX = 253402300799.0;

struct remembered {
    char *token; /* NULL: free */
    struct access *access;
};

struct auth {
    struct auth_keys *keys;
    struct auth_options options;
    struct remembered remembered[AUTH_REMEMBERED_MAX];
};

/* -------- remembering -------- */

static struct remembered *slot_of(struct auth *auth, const char *token)
{
    return &auth->remembered[hash_bytes(HASH_START, token, strlen(token)) % AUTH_REMEMBERED_MAX];
}

static void forget(struct remembered *slot)
{
    if (slot->token != NULL)
        explicit_bzero(slot->token, strlen(slot->token));
    free(slot->token);
    access_release(slot->access);
    *slot = (struct remembered){0};
}

static void remember(struct remembered *slot, const char *token, struct access *access)
{
    forget(slot);
    slot->token = strdup(token);
    if (slot->token != NULL)
        slot->access = access_hold(access);
}

static bool is_remembered(const struct remembered *slot, const char *token)
{
    size_t length = strlen(token);

    return slot->token != NULL && strlen(slot->token) == length &&
           gnutls_memcmp(slot->token, token, length) == 0;
}

/* -------- taking a token apart -------- */

/* The bytes that base64url without padding stands for (RFC 7515, section 2), of which there is one
 * text only: the bits left over are 0. `length` is at most TOKEN_BYTES_MAX. */
static bool decode(const char *text, size_t length, unsigned char out[static TOKEN_BYTES_MAX],
                   size_t *out_length)
{
    bool is_exact;
    ptrdiff_t used = base64_decode(text, length, "-_", out, &is_exact);

    if (used < 0)
        return false;
    *out_length = (size_t)used;
    return is_exact;
}

/* A new reference, NULL if it is none. */
static json_t *decode_json(const char *text, size_t length)
{
    unsigned char decoded[TOKEN_BYTES_MAX];
    size_t used;

    if (!decode(text, length, decoded, &used))
        return NULL;
    return json_loadb((const char *)decoded, used, JSON_REJECT_DUPLICATES, NULL);
}

/* NULL, or what is wrong. `header` and `decoded` keep what `parts` points into. */
static const char *take_apart(const char *token, struct signed_token *parts, json_t **header,
                              unsigned char decoded[static TOKEN_BYTES_MAX])
{
    const char *payload = strchr(token, '.');
    const char *signature = payload == NULL ? NULL : strchr(payload + 1, '.');
    size_t signature_length;

    *header = NULL;
    if (signature == NULL || strchr(signature + 1, '.') != NULL)
        return "The token is not a signed JWT.";
    *header = decode_json(token, (size_t)(payload - token));
    if (!json_is_object(*header))
        return "The token's header is not JSON in base64url.";
    if (!decode(signature + 1, strlen(signature + 1), decoded, &signature_length))
        return "The token's signature is not base64url.";
    *parts = (struct signed_token){
        .text = token,
        .signed_length = (size_t)(signature - token),
        .signature = decoded,
        .signature_length = signature_length,
        .algorithm = json_string_value(json_object_get(*header, "alg")),
        .key_id = json_string_value(json_object_get(*header, "kid")),
    };
    if (parts->algorithm == NULL)
        return "The token's header names no algorithm.";
    /* What is not understood must be refused (RFC 7515, section 4.1.11); a compressed payload would
     * be unpacked before its signature is known to be good. */
    if (json_object_get(*header, "crit") != NULL || json_object_get(*header, "zip") != NULL)
        return "The token's header has crit or zip, which are not supported.";
    return NULL;
}

/* -------- claims -------- */

static bool has_audience(const json_t *claim, const char *audience)
{
    size_t i;
    json_t *item;

    if (json_is_string(claim))
        return strcmp(json_string_value(claim), audience) == 0;
    json_array_foreach (claim, i, item)
        if (json_is_string(item) && strcmp(json_string_value(item), audience) == 0)
            return true;
    return false;
}

/* A NumericDate, which may have a fraction. */
static bool read_time(const json_t *claim, double *seconds)
{
    *seconds = json_number_value(claim);
    return json_is_number(claim) && *seconds >= 0 && *seconds <= TIME_S_MAX;
}

/* NULL, or what is wrong with the claims that say when, by whom and for whom. */
static const char *check_claims(const struct auth *auth, const json_t *claims, double now_s,
                                double *expires_s)
{
    const struct auth_options *options = &auth->options;
    const char *issuer = json_string_value(json_object_get(claims, "iss"));
    const json_t *audience = json_object_get(claims, "aud");
    const json_t *not_before = json_object_get(claims, "nbf");
    double leeway_s = (double)options->leeway_s, not_before_s;

    if (!read_time(json_object_get(claims, "exp"), expires_s))
        return "The token has no exp, or one that is not a time.";
    *expires_s += leeway_s;
    if (*expires_s <= now_s)
        return "The token has expired.";
    if (not_before != NULL && !read_time(not_before, &not_before_s))
        return "The token's nbf is not a time.";
    if (not_before != NULL && not_before_s - leeway_s > now_s)
        return "The token is not valid yet.";
    if (options->issuer[0] != '\0' && (issuer == NULL || strcmp(issuer, options->issuer) != 0))
        return "The token is from another issuer.";
    if (options->audience[0] == '\0' ? audience != NULL
                                     : !has_audience(audience, options->audience))
        return "The token is for another audience.";
    return NULL;
}

static struct access *read_claims(const struct auth *auth, const struct signed_token *parts,
                                  int64_t now_us, char why[static AUTH_WHY_SIZE])
{
    const char *payload = strchr(parts->text, '.') + 1;
    size_t length = parts->signed_length - (size_t)(payload - parts->text);
    json_t *claims = decode_json(payload, length);
    struct access *access = NULL;
    char wrong_access[ACCESS_WHY_SIZE];
    const char *wrong;
    double expires_s = 0;

    if (json_is_object(claims))
        wrong = check_claims(auth, claims, (double)now_us / US_PER_S, &expires_s);
    else
        wrong = "The token's claims are not a JSON object.";
    if (wrong == NULL) {
        access = access_new(json_object_get(claims, auth->options.claim),
                            json_string_value(json_object_get(claims, "sub")),
                            (int64_t)(expires_s * US_PER_S), wrong_access);
        if (access == NULL)
            snprintf(why, AUTH_WHY_SIZE, "The token's claims: %s.", wrong_access);
    } else {
        snprintf(why, AUTH_WHY_SIZE, "%s", wrong);
    }
    json_decref(claims);
    return access;
}

/* -------- what others call -------- */

struct auth *auth_new(struct auth_keys *keys, const struct auth_options *options)
{
    struct auth *auth = calloc(1, sizeof *auth);

    if (auth == NULL)
        return NULL;
    auth->keys = keys;
    auth->options = *options;
    return auth;
}

static void forget_all(struct auth *auth)
{
    for (size_t i = 0; i < AUTH_REMEMBERED_MAX; i++)
        forget(&auth->remembered[i]);
}

void auth_free(struct auth *auth)
{
    if (auth == NULL)
        return;
    forget_all(auth);
    auth_keys_free(auth->keys);
    free(auth);
}

void auth_use_keys(struct auth *auth, struct auth_keys *keys)
{
    forget_all(auth);
    auth_keys_free(auth->keys);
    auth->keys = keys;
}

struct access *auth_check(struct auth *auth, const char *token, int64_t now_us,
                          char why[static AUTH_WHY_SIZE])
{
    struct remembered *slot = slot_of(auth, token);
    struct access *access = NULL;
    unsigned char signature[TOKEN_BYTES_MAX];
    struct signed_token parts;
    const char *wrong;
    json_t *header;

    if (strlen(token) > TOKEN_BYTES_MAX) {
        snprintf(why, AUTH_WHY_SIZE, "The token is longer than %d bytes.", TOKEN_BYTES_MAX);
        return NULL;
    }
    if (is_remembered(slot, token)) {
        if (slot->access->expires_us > now_us)
            return access_hold(slot->access);
        forget(slot);
    }
    wrong = take_apart(token, &parts, &header, signature);
    if (wrong == NULL && !auth_keys_verify(auth->keys, &parts))
        wrong = "No key of this service made the token's signature.";
    if (wrong == NULL)
        access = read_claims(auth, &parts, now_us, why);
    else
        snprintf(why, AUTH_WHY_SIZE, "%s", wrong);
    json_decref(header);
    if (access != NULL)
        remember(slot, token, access);
    return access;
}
