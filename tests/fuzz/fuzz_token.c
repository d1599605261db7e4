/* Bearer tokens, as if every signature were good: header, claims, rights. What is let in has not
 * expired, is from the issuer and for the audience, and nothing else is.
 *
 * The input is a token as it stands, or, behind the byte '{' of its header, the JSON of header and
 * claims with a line feed between them, which are encoded here. */
#include "fuzz.h"
#include "server/auth.h"

#define NOW_US INT64_C(1775980800000000)

struct auth_keys {
    int nothing;
};

bool auth_keys_verify(const struct auth_keys *keys, const struct signed_token *token)
{
    (void)keys;
    MUST(token->text[token->signed_length] == '.');
    MUST(strchr(token->text + token->signed_length + 1, '.') == NULL);
    MUST(token->signature_length == strlen(token->text + token->signed_length + 1) * 3 / 4);
    MUST(token->algorithm != NULL);
    return strcmp(token->algorithm, "none") != 0;
}

void auth_keys_free(struct auth_keys *keys)
{
    free(keys);
}

/* In base64url without padding; returns the end of what was written. */
static char *encode(const char *text, size_t length, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    int count = 0;

    for (size_t i = 0; i < length; i++) {
        bits = bits << 8 | (unsigned char)text[i];
        for (count += 8; count >= 6; count -= 6)
            *out++ = digits[bits >> (count - 6) & 63];
    }
    if (count > 0)
        *out++ = digits[bits << (6 - count) & 63];
    return out;
}

/* The token that the input means, which the caller frees. */
static char *make_token(const char *text)
{
    size_t header = strcspn(text, "\n"), length = strlen(text);
    char *token = malloc(2 * length + 16), *end;

    MUST(token != NULL);
    if (text[0] != '{') {
        memcpy(token, text, length + 1);
        return token;
    }
    end = encode(text, header, token);
    *end++ = '.';
    if (header < length)
        end = encode(text + header + 1, length - header - 1, end);
    memcpy(end, ".c2lnbmVk", sizeof ".c2lnbmVk");
    return token;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct auth_options options = {.issuer = size % 2 == 0 ? "i" : "",
                                         .audience = size % 3 == 0 ? "a" : "",
                                         .claim = "runtree",
                                         .leeway_s = 0};
    char *text = copy_text(data, size), *token = make_token(text), why[AUTH_WHY_SIZE] = "";
    struct auth *auth = auth_new(calloc(1, sizeof(struct auth_keys)), &options);
    struct access *access, *again;

    MUST(auth != NULL);
    access = auth_check(auth, token, NOW_US, why);
    MUST((access == NULL) == (why[0] != '\0'));
    if (access != NULL) {
        MUST(access->expires_us > NOW_US);
        MUST(access->count <= ACCESS_GRANTS_MAX);
        again = auth_check(auth, token, NOW_US, why);
        MUST(again == access);
        MUST(auth_check(auth, token, access->expires_us, why) == NULL);
        MUST(access_reads_same(access, again));
        json_decref(access_to_json(access));
        access_release(again);
        auth_use_keys(auth, calloc(1, sizeof(struct auth_keys)));
    }
    access_release(access);
    auth_free(auth);
    free(token);
    free(text);
    return 0;
}
