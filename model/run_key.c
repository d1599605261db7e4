/* What names a run. */
#include "model/run_key.h"

#include <stdio.h>
#include <string.h>

#include "model/text.h"

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

uint32_t run_key_hash(const struct run_key *key)
{
    const char *const parts[] = {key->project, key->domain, key->run_name};
    uint64_t hash = HASH_START;

    for (size_t i = 0; i < 3; i++)
        hash = hash_bytes(hash, parts[i], strlen(parts[i]) + 1);
    return (uint32_t)hash;
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
