/* Which actions a watcher or a list wants to see. */
#include "model/filter.h"

#include <errno.h>
#include <string.h>

#include "model/text.h"

int filter_add_phases(struct filter *filter, const char *list)
{
    uint32_t phases = 0;
    for (;;) {
        size_t length = strcspn(list, ",");
        enum phase phase = phase_parse(list, length);
        if (phase == PHASE_NONE)
            return -EINVAL;
        phases |= UINT32_C(1) << phase;
        if (list[length] == '\0')
            break;
        list += length + 1;
    }
    filter->phases |= phases;
    return 0;
}

/* Not tolower: what a filter means must not depend on the locale. */
static char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

int filter_set_name(struct filter *filter, const char *name)
{
    size_t length = strlen(name);
    if (length > FILTER_NAME_BYTES_MAX)
        return -EINVAL;
    for (size_t i = 0; i < length; i++)
        filter->name[i] = ascii_lower(name[i]);
    filter->name[length] = '\0';
    return 0;
}

bool filter_is_empty(const struct filter *filter)
{
    return filter->phases == 0 && filter->name[0] == '\0';
}

bool filter_equal(const struct filter *a, const struct filter *b)
{
    return a->phases == b->phases && strcmp(a->name, b->name) == 0;
}

void filter_hash(const struct filter *filter, char out[static FILTER_HASH_SIZE + 1])
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    char reversed[FILTER_HASH_SIZE];
    size_t length = 0;
    uint64_t hash = 0;
    if (!filter_is_empty(filter)) {
        /* Byte by byte, so that replicas of either endianness agree. */
        unsigned char phases[2] = {(unsigned char)(filter->phases & 0xff),
                                   (unsigned char)(filter->phases >> 8 & 0xff)};
        hash = hash_bytes(HASH_START, phases, sizeof phases);
        hash = hash_bytes(hash, filter->name, strlen(filter->name));
        hash += hash == 0; /* "0" is the empty filter's alone */
    }
    do {
        reversed[length++] = digits[hash % 36];
        hash /= 36;
    } while (hash);
    while (length)
        *out++ = reversed[--length];
    *out = '\0';
}

const char *filter_subject(const char *short_name, const char *task_name, const char *name)
{
    if (short_name)
        return short_name;
    if (!task_name)
        return name;
    const char *dot = strrchr(task_name, '.');
    return dot ? dot + 1 : task_name;
}

/* For each beginning of `lower`, the length of the longest shorter beginning that it ends with
 * (Knuth, Morris and Pratt, 1977). */
static size_t find_borders(const char *lower, uint8_t borders[static FILTER_NAME_BYTES_MAX])
{
    size_t length = 1, border = 0;

    borders[0] = 0;
    for (; lower[length] != '\0'; length++) {
        while (border > 0 && lower[length] != lower[border])
            border = borders[border - 1];
        border += lower[length] == lower[border];
        borders[length] = (uint8_t)border;
    }
    return length;
}

/* In time that is linear in both, whatever they are. `lower` is not empty. */
static bool contains_lower(const char *text, const char *lower)
{
    uint8_t borders[FILTER_NAME_BYTES_MAX];
    size_t length = find_borders(lower, borders), matched = 0;

    for (; *text != '\0'; text++) {
        char c = ascii_lower(*text);

        while (matched > 0 && c != lower[matched])
            matched = borders[matched - 1];
        matched += c == lower[matched];
        if (matched == length)
            return true;
    }
    return false;
}

bool filter_matches(const struct filter *filter, enum phase phase, const char *subject)
{
    if (filter->phases && !(filter->phases >> phase & 1))
        return false;
    return !filter->name[0] || contains_lower(subject, filter->name);
}
