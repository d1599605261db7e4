/* What names a run. */
#include "model/run_key.h"

#include <stdio.h>
#include <string.h>

static bool is_alphanumeric(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_key_character(char c)
{
    return is_alphanumeric(c) || c == '.' || c == '_' || c == ':' || c == '-';
}

bool key_part_is_valid(const char *text, size_t length, size_t bytes_max)
{
    if (length < 1 || length > bytes_max || !is_alphanumeric(text[0]))
        return false;
    for (size_t i = 1; i < length; i++)
        if (!is_key_character(text[i]))
            return false;
    return true;
}

int run_key_compare(const struct run_key *a, const struct run_key *b)
{
    int order = strcmp(a->project, b->project);
    if (order == 0)
        order = strcmp(a->domain, b->domain);
    if (order == 0)
        order = strcmp(a->run_name, b->run_name);
    return order;
}

/* The NUL counts too: it keeps the parts apart. */
static uint32_t hash_part(uint32_t hash, const char *part)
{
    do
        hash = (hash ^ (unsigned char)*part) * UINT32_C(16777619);
    while (*part++ != '\0');
    return hash;
}

uint32_t run_key_hash(const struct run_key *key)
{
    uint32_t hash = hash_part(UINT32_C(2166136261), key->project);

    hash = hash_part(hash, key->domain);
    return hash_part(hash, key->run_name);
}

void run_key_path(const struct run_key *key, char out[static RUN_PATH_SIZE])
{
    snprintf(out, RUN_PATH_SIZE, "%s/%s/%s", key->project, key->domain, key->run_name);
}

struct run_key run_key_split(char *path)
{
    struct run_key key;

    key.project = strsep(&path, "/");
    key.domain = strsep(&path, "/");
    key.run_name = path;
    return key;
}
