/* Which actions a watcher or a list wants to see. */
#include "model/filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/additions.h"
#include "model/json_scan.h"
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

static int set_substring(char out[static FILTER_TEXT_BYTES_MAX + 1], const char *text)
{
    size_t length = strlen(text);
    if (length > FILTER_TEXT_BYTES_MAX)
        return -EINVAL;
    for (size_t i = 0; i < length; i++)
        out[i] = ascii_lower(text[i]);
    out[length] = '\0';
    return 0;
}

int filter_set_name(struct filter *filter, const char *name)
{
    return set_substring(filter->name, name);
}

int filter_set_error(struct filter *filter, const char *error)
{
    return set_substring(filter->error, error);
}

bool filter_is_empty(const struct filter *filter)
{
    return filter->phases == 0 && filter->name[0] == '\0' && filter->error[0] == '\0';
}

bool filter_equal(const struct filter *a, const struct filter *b)
{
    return a->phases == b->phases && strcmp(a->name, b->name) == 0 &&
           strcmp(a->error, b->error) == 0;
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
        /* With its NUL, which it was without while it meant something else. */
        if (filter->name[0])
            hash = hash_bytes(hash, filter->name, strlen(filter->name) + 1);
        if (filter->error[0]) {
            hash = hash_bytes(hash, "e", 1);
            hash = hash_bytes(hash, filter->error, strlen(filter->error));
        }
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

/* A search for a text that is fed byte by byte. */
struct search {
    const char *lower;
    uint8_t borders[FILTER_TEXT_BYTES_MAX];
    size_t length, matched;
};

/* For each beginning of `lower`, which is not empty, the length of the longest shorter beginning
 * that it ends with (Knuth, Morris and Pratt, 1977). */
static void begin_search(struct search *search, const char *lower)
{
    size_t length = 1, border = 0;

    search->lower = lower;
    search->borders[0] = 0;
    for (; lower[length] != '\0'; length++) {
        while (border > 0 && lower[length] != lower[border])
            border = search->borders[border - 1];
        border += lower[length] == lower[border];
        search->borders[length] = (uint8_t)border;
    }
    search->length = length;
    search->matched = 0;
}

/* Whether what was fed now ends with the text that is searched for; then it is not fed again. */
static bool feed(struct search *search, char c)
{
    c = ascii_lower(c);
    while (search->matched > 0 && c != search->lower[search->matched])
        search->matched = search->borders[search->matched - 1];
    search->matched += c == search->lower[search->matched];
    return search->matched == search->length;
}

/* In time that is linear in the text, whatever it is. */
static bool contains(struct search *search, const char *text)
{
    search->matched = 0;
    for (; *text != '\0'; text++)
        if (feed(search, *text))
            return true;
    return false;
}

/* The character that an escape of JSON means, and how long it is. What is beyond ASCII is never
 * escaped in our texts. */
static char unescape(const char *at, const char *end, size_t *length)
{
    static const char letters[] = "bfnrt", means[] = "\b\f\n\r\t";
    const char *letter = strchr(letters, at[1]);
    char hex[3] = "";

    *length = at[1] == 'u' ? 6 : 2;
    if (at[1] != 'u')
        return letter != NULL ? means[letter - letters] : at[1];
    if (end - at >= 6)
        memcpy(hex, at + 4, 2);
    return (char)strtol(hex, NULL, 16);
}

/* The same of a string of JSON, or of its first line that is not empty alone. */
static bool string_contains(struct search *search, struct json_text string, bool of_first_line)
{
    const char *at = string.bytes + 1, *end = string.bytes + string.length - 1;
    size_t length, line = 0;

    search->matched = 0;
    for (; at < end; at += length) {
        char c = *at;
        bool is_line_end;

        length = 1;
        if (c == '\\')
            c = unescape(at, end, &length);
        is_line_end = of_first_line && (c == '\n' || c == '\r');
        if (is_line_end && line > 0)
            return false;
        line += !is_line_end;
        if (!is_line_end && feed(search, c))
            return true;
    }
    return false;
}

static bool names_contain(const struct filter_subject *subject, const char *lower)
{
    struct search search;

    begin_search(&search, lower);
    for (size_t i = 0; i < FILTER_NAMES; i++)
        if (subject->names[i] != NULL && contains(&search, subject->names[i]))
            return true;
    return subject->title.bytes != NULL && string_contains(&search, subject->title, false);
}

static bool error_contains(const char *error_info, const char *lower)
{
    const char *at = error_info, *end;
    struct json_member member;
    struct search search;

    if (error_info == NULL)
        return false;
    end = at + strlen(at);
    begin_search(&search, lower);
    while (json_scan_member(&at, end, &member))
        if (json_name_is(member.name, "message") && member.value.bytes[0] == '"')
            return string_contains(&search, member.value, true);
    return false;
}

bool filter_matches(const struct filter *filter, const struct filter_subject *subject)
{
    if (filter->phases && !(filter->phases >> subject->phase & 1))
        return false;
    if (filter->name[0] && !names_contain(subject, filter->name))
        return false;
    return !filter->error[0] || error_contains(subject->error_info, filter->error);
}

struct filter_subject filter_subject_of(const struct action *action)
{
    return (struct filter_subject){
        .phase = action->phase,
        .names = {action->name, action->task_name, action->short_name, action->group},
        .title = additions_title(action->additions),
        .error_info = action->error_info,
    };
}
