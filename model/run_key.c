/* What names a run. */
#include "model/run_key.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "model/text.h"

static bool is_alphanumeric(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_identifier(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!is_alphanumeric(text[i]) && (text[i] == '\0' || strchr("._:-", text[i]) == NULL))
            return false;
    return length > 0;
}

static bool is_dots(const char *text, size_t length)
{
    return length <= 2 && memcmp(text, "..", length) == 0;
}

/* Identifiers with slashes between them. A repository may be called ".github". */
static bool is_project(const char *text, size_t length)
{
    const char *end = text + length;

    if (length == 0 || !is_alphanumeric(text[0]))
        return false;
    for (const char *slash; text <= end; text = slash + 1) {
        slash = memchr(text, '/', (size_t)(end - text));
        slash = slash == NULL ? end : slash;
        if (!is_identifier(text, (size_t)(slash - text)) || is_dots(text, (size_t)(slash - text)))
            return false;
    }
    return true;
}

static bool is_control(const char *text)
{
    const unsigned char *bytes = (const unsigned char *)text;

    return bytes[0] < ' ' || bytes[0] == 0x7f || (bytes[0] == 0xc2 && bytes[1] < 0xa0);
}

static bool is_name(const char *text, size_t length)
{
    const char *end = text + length;

    if (is_dots(text, length))
        return false;
    for (size_t bytes; text < end; text += bytes) {
        bytes = is_control(text) ? 0 : utf8_sequence_length(text);
        if (bytes == 0)
            return false;
    }
    return text == end;
}

bool key_part_is_valid(enum key_part part, const char *text, size_t length)
{
    switch (part) {
    case KEY_PROJECT:
        return length <= PROJECT_BYTES_MAX && is_project(text, length);
    case KEY_DOMAIN:
        return length <= DOMAIN_BYTES_MAX && is_identifier(text, length) && is_alphanumeric(*text);
    case KEY_NAME:
        return length > 0 && length <= NAME_BYTES_MAX && is_name(text, length);
    }
    return false;
}

#define NUMBER_TEXT(number) #number
#define IDENTIFIER_RULE(bytes_max)                                                                 \
    "1 to " NUMBER_TEXT(bytes_max) " bytes of A-Z a-z 0-9 . _ : - starting with a letter or digit"

const char *key_part_rule(enum key_part part)
{
    static const char *const rules[] = {
        [KEY_PROJECT] = IDENTIFIER_RULE(160) ", or several such with / between them (owner/repo)",
        [KEY_DOMAIN] = IDENTIFIER_RULE(63),
        [KEY_NAME] = "1 to 512 bytes of UTF-8 without control characters, neither \".\" nor \"..\"",
    };
    static_assert(PROJECT_BYTES_MAX == 160 && DOMAIN_BYTES_MAX == 63 && NAME_BYTES_MAX == 512,
                  "as the rules have it");

    return rules[part];
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
    snprintf(out, RUN_PATH_SIZE, "%s" RUN_PATH_SEPARATOR "%s" RUN_PATH_SEPARATOR "%s", key->project,
             key->domain, key->run_name);
}

void run_key_words(const struct run_key *key, char out[static RUN_PATH_SIZE])
{
    snprintf(out, RUN_PATH_SIZE, "%s/%s/%s", key->project, key->domain, key->run_name);
}

struct run_key run_key_split(char *path)
{
    struct run_key key;

    key.project = strsep(&path, RUN_PATH_SEPARATOR);
    key.domain = strsep(&path, RUN_PATH_SEPARATOR);
    key.run_name = path;
    return key;
}
