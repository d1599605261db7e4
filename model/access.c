#include "model/access.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    unsigned right, included;
} rights_table[] = {
    {"read", ACCESS_READ, ACCESS_READ},
    {"write", ACCESS_WRITE, ACCESS_WRITE},
    {"admin", ACCESS_ADMIN, ACCESS_READ | ACCESS_WRITE | ACCESS_ADMIN},
};
enum { RIGHTS = sizeof rights_table / sizeof *rights_table };

static bool is_any(const char *part)
{
    return strcmp(part, "*") == 0;
}

static bool copy_part(char *out, enum key_part part, const char *text, size_t length)
{
    if (!(length == 1 && *text == '*') && !key_part_is_valid(part, text, length))
        return false;
    memcpy(out, text, length);
    out[length] = '\0';
    return true;
}

static bool parse_pattern(const char *pattern, struct access_grant *grant)
{
    const char *slash = strrchr(pattern, '/');

    return slash != NULL &&
           copy_part(grant->project, KEY_PROJECT, pattern, (size_t)(slash - pattern)) &&
           copy_part(grant->domain, KEY_DOMAIN, slash + 1, strlen(slash + 1));
}

/* The patterns that the claim lists for one right. 0, or -1 with the reason in `why`. */
static int add_grants(struct access *access, const json_t *patterns, size_t row,
                      char why[static ACCESS_WHY_SIZE])
{
    size_t i;
    json_t *item;

    if (patterns == NULL)
        return 0;
    if (!json_is_array(patterns)) {
        snprintf(why, ACCESS_WHY_SIZE, "%s is not a list of patterns", rights_table[row].name);
        return -1;
    }
    json_array_foreach (patterns, i, item) {
        const char *pattern = json_string_value(item);
        struct access_grant *grant = &access->grants[access->count];

        if (pattern == NULL || !parse_pattern(pattern, grant)) {
            snprintf(why, ACCESS_WHY_SIZE,
                     "%s has a pattern that is not project/domain, with * for a whole part",
                     rights_table[row].name);
            return -1;
        }
        grant->rights = rights_table[row].included;
        access->count++;
    }
    return 0;
}

static size_t count_patterns(const json_t *rights)
{
    size_t count = 0;

    for (size_t row = 0; row < RIGHTS; row++)
        count += json_array_size(json_object_get(rights, rights_table[row].name));
    return count;
}

struct access *access_new(const json_t *rights, const char *subject, int64_t expires_us,
                          char why[static ACCESS_WHY_SIZE])
{
    size_t patterns = count_patterns(rights);
    struct access *access;

    if (patterns > ACCESS_GRANTS_MAX) {
        snprintf(why, ACCESS_WHY_SIZE, "more than %d patterns", ACCESS_GRANTS_MAX);
        return NULL;
    }
    access = calloc(1, sizeof *access + patterns * sizeof *access->grants);
    if (access == NULL) {
        snprintf(why, ACCESS_WHY_SIZE, "out of memory");
        return NULL;
    }
    access->references = 1;
    access->expires_us = expires_us;
    if (subject != NULL && strlen(subject) >= sizeof access->subject) {
        snprintf(why, ACCESS_WHY_SIZE, "sub is longer than %d bytes", SUBJECT_SIZE - 1);
        goto error_claim;
    }
    snprintf(access->subject, sizeof access->subject, "%s", subject == NULL ? "" : subject);
    if (rights == NULL || json_is_null(rights))
        return access;
    if (!json_is_object(rights)) {
        snprintf(why, ACCESS_WHY_SIZE, "the claim with the rights is not an object");
        goto error_claim;
    }
    for (size_t row = 0; row < RIGHTS; row++)
        if (add_grants(access, json_object_get(rights, rights_table[row].name), row, why) < 0)
            goto error_claim;
    return access;

error_claim:
    free(access);
    return NULL;
}

struct access *access_hold(struct access *access)
{
    if (access != NULL)
        access->references++;
    return access;
}

void access_release(struct access *access)
{
    if (access != NULL && --access->references == 0)
        free(access);
}

bool access_allows(const struct access *access, enum access_right right, const char *project,
                   const char *domain)
{
    if (access == NULL)
        return true;
    for (size_t i = 0; i < access->count; i++) {
        const struct access_grant *grant = &access->grants[i];

        if ((grant->rights & (unsigned)right) != 0 &&
            (is_any(grant->project) || strcmp(grant->project, project) == 0) &&
            (is_any(grant->domain) || strcmp(grant->domain, domain) == 0))
            return true;
    }
    return false;
}

bool access_allows_all(const struct access *access, enum access_right right)
{
    return access_allows(access, right, "*", "*");
}

/* The next grant from *i on that lets read; NULL at the end. */
static const struct access_grant *next_readable(const struct access *access, size_t *i)
{
    while (*i < access->count && (access->grants[*i].rights & ACCESS_READ) == 0)
        ++*i;
    return *i < access->count ? &access->grants[(*i)++] : NULL;
}

bool access_reads_same(const struct access *a, const struct access *b)
{
    const struct access_grant *of_a, *of_b;
    size_t i = 0, k = 0;

    if (access_allows_all(a, ACCESS_READ) || access_allows_all(b, ACCESS_READ))
        return access_allows_all(a, ACCESS_READ) && access_allows_all(b, ACCESS_READ);
    do {
        of_a = next_readable(a, &i);
        of_b = next_readable(b, &k);
        if (of_a != NULL && of_b != NULL &&
            (strcmp(of_a->project, of_b->project) != 0 || strcmp(of_a->domain, of_b->domain) != 0))
            return false;
    } while (of_a != NULL && of_b != NULL);
    return of_a == NULL && of_b == NULL;
}

static json_t *patterns_to_json(const struct access *access, size_t row)
{
    json_t *patterns = json_array();

    if (access == NULL)
        json_array_append_new(patterns, json_string("*/*"));
    for (size_t i = 0; access != NULL && i < access->count; i++)
        if (access->grants[i].rights == rights_table[row].included)
            json_array_append_new(patterns, json_sprintf("%s/%s", access->grants[i].project,
                                                         access->grants[i].domain));
    return patterns;
}

json_t *access_to_json(const struct access *access)
{
    json_t *json = json_object();

    for (size_t row = 0; row < RIGHTS; row++)
        if (json_object_set_new(json, rights_table[row].name, patterns_to_json(access, row)) < 0) {
            json_decref(json);
            return NULL;
        }
    return json;
}
