#include "server/webhook_secrets.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "model/access.h"

enum { DIGEST_BYTES = 32, LINE_BYTES_MAX = 8192 };

struct webhook_secret {
    struct access *place; /* what `write` it gives */
    char *text;
};

struct webhook_secrets {
    pthread_rwlock_t lock; /* of the rest */
    size_t count;
    struct webhook_secret items[WEBHOOK_SECRETS_MAX];
};

void webhook_secrets_free(struct webhook_secrets *secrets)
{
    if (secrets == NULL)
        return;
    for (size_t i = 0; i < secrets->count; i++) {
        access_release(secrets->items[i].place);
        if (secrets->items[i].text != NULL)
            explicit_bzero(secrets->items[i].text, strlen(secrets->items[i].text));
        free(secrets->items[i].text);
    }
    pthread_rwlock_destroy(&secrets->lock);
    free(secrets);
}

/* -------- the file -------- */

static bool add_secret(struct webhook_secrets *secrets, const char *pattern, const char *text,
                       char why[static ACCESS_WHY_SIZE])
{
    struct webhook_secret *secret = &secrets->items[secrets->count];
    size_t length = strlen(text);
    json_t *rights;

    if (secrets->count == WEBHOOK_SECRETS_MAX || length < WEBHOOK_SECRET_BYTES_MIN ||
        length > WEBHOOK_SECRET_BYTES_MAX) {
        snprintf(why, ACCESS_WHY_SIZE,
                 secrets->count == WEBHOOK_SECRETS_MAX
                     ? "more than %d secrets"
                     : "after project/domain and a blank there must be a secret of %d to %d bytes",
                 secrets->count == WEBHOOK_SECRETS_MAX ? WEBHOOK_SECRETS_MAX
                                                       : WEBHOOK_SECRET_BYTES_MIN,
                 WEBHOOK_SECRET_BYTES_MAX);
        return false;
    }
    rights = json_pack("{s:[s]}", "write", pattern);
    if (rights == NULL) {
        snprintf(why, ACCESS_WHY_SIZE, "it is not UTF-8");
        return false;
    }
    secret->place = access_new(rights, NULL, 0, why);
    json_decref(rights);
    if (secret->place == NULL)
        return false;
    secrets->count++;
    secret->text = strdup(text);
    if (secret->text == NULL)
        snprintf(why, ACCESS_WHY_SIZE, "out of memory");
    return secret->text != NULL;
}

static bool read_line(struct webhook_secrets *secrets, char *line, char why[static ACCESS_WHY_SIZE])
{
    size_t length = strcspn(line, "\r\n");
    char *text;

    line[length] = '\0';
    line += strspn(line, " \t");
    if (*line == '\0' || *line == '#')
        return true;
    text = line + strcspn(line, " \t");
    if (*text != '\0')
        *text++ = '\0';
    text += strspn(text, " \t");
    return add_secret(secrets, line, text, why);
}

struct webhook_secrets *webhook_secrets_load(const char *path,
                                             char why[static WEBHOOK_SECRETS_WHY_SIZE])
{
    struct webhook_secrets *secrets = calloc(1, sizeof *secrets);
    FILE *file = fopen(path, "re");
    char line[LINE_BYTES_MAX], reason[ACCESS_WHY_SIZE] = "";
    int number = 0;
    bool is_good = secrets != NULL && file != NULL;

    if (!is_good)
        snprintf(reason, sizeof reason, "%s", strerror(errno));
    if (secrets != NULL)
        pthread_rwlock_init(&secrets->lock, NULL);
    while (is_good && fgets(line, sizeof line, file) != NULL) {
        number++;
        is_good = read_line(secrets, line, reason);
    }
    if (is_good && (ferror(file) != 0 || secrets->count == 0)) {
        snprintf(reason, sizeof reason, "%s",
                 ferror(file) != 0 ? strerror(errno) : "there is no secret in it");
        is_good = false;
    }
    explicit_bzero(line, sizeof line);
    if (file != NULL)
        fclose(file);
    if (is_good)
        return secrets;
    snprintf(why, WEBHOOK_SECRETS_WHY_SIZE, "--webhook-secrets-file %.120s, line %d: %s", path,
             number, reason);
    webhook_secrets_free(secrets);
    return NULL;
}

size_t webhook_secrets_replace(struct webhook_secrets *secrets, struct webhook_secrets *fresh)
{
    struct webhook_secret items[WEBHOOK_SECRETS_MAX];
    size_t count = secrets->count, fresh_count = fresh->count;

    memcpy(items, secrets->items, sizeof items);
    pthread_rwlock_wrlock(&secrets->lock);
    memcpy(secrets->items, fresh->items, sizeof items);
    secrets->count = fresh_count;
    pthread_rwlock_unlock(&secrets->lock);
    memcpy(fresh->items, items, sizeof items);
    fresh->count = count;
    webhook_secrets_free(fresh);
    return fresh_count;
}

/* -------- signatures -------- */

bool webhook_secrets_know(struct webhook_secrets *secrets, const char *project, const char *domain)
{
    bool is_known = false;

    if (secrets == NULL)
        return false;
    pthread_rwlock_rdlock(&secrets->lock);
    for (size_t i = 0; i < secrets->count && !is_known; i++)
        is_known = access_allows(secrets->items[i].place, ACCESS_WRITE, project, domain);
    pthread_rwlock_unlock(&secrets->lock);
    return is_known;
}

static bool read_digest(const char *signature, unsigned char out[static DIGEST_BYTES])
{
    static const char prefix[] = "sha256=";
    size_t size = DIGEST_BYTES;

    if (strncmp(signature, prefix, sizeof prefix - 1) != 0)
        return false;
    signature += sizeof prefix - 1;
    return strlen(signature) == (size_t)DIGEST_BYTES * 2 &&
           gnutls_hex2bin(signature, (size_t)DIGEST_BYTES * 2, out, &size) == 0 &&
           size == DIGEST_BYTES;
}

bool webhook_secrets_verify(struct webhook_secrets *secrets, const char *project,
                            const char *domain, const char *body, size_t length,
                            const char *signature)
{
    unsigned char wanted[DIGEST_BYTES], given[DIGEST_BYTES];
    bool is_good = false;

    if (secrets == NULL || !read_digest(signature, given))
        return false;
    pthread_rwlock_rdlock(&secrets->lock);
    for (size_t i = 0; i < secrets->count; i++) {
        const struct webhook_secret *secret = &secrets->items[i];

        if (access_allows(secret->place, ACCESS_WRITE, project, domain) &&
            gnutls_hmac_fast(GNUTLS_MAC_SHA256, secret->text, strlen(secret->text), body, length,
                             wanted) == 0)
            is_good |= gnutls_memcmp(wanted, given, DIGEST_BYTES) == 0;
    }
    pthread_rwlock_unlock(&secrets->lock);
    return is_good;
}
