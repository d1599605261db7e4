/* Finds values in text that is known to be valid JSON. */
#include "model/json_scan.h"

#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

const char *json_scan_space(const char *at, const char *end)
{
    while (at < end && is_space(*at))
        at++;
    return at;
}

const char *json_scan_space_back(const char *begin, const char *end)
{
    while (begin < end && is_space(end[-1]))
        end--;
    return end;
}

/* `at` stands behind the opening quote; returns the place behind the closing one. */
static const char *scan_string(const char *at, const char *end)
{
    while (at < end && *at != '"')
        at += *at == '\\' && end - at > 1 ? 2 : 1;
    return at < end ? at + 1 : end;
}

static bool ends_scalar(char c)
{
    return c == ',' || c == ']' || c == '}' || is_space(c);
}

const char *json_scan_value(const char *at, const char *end, size_t *nesting)
{
    size_t depth = 0;
    *nesting = 0;
    if (at < end && *at != '{' && *at != '[' && *at != '"') {
        while (at < end && !ends_scalar(*at))
            at++;
        return at;
    }
    while (at < end) {
        char c = *at++;
        if (c == '"')
            at = scan_string(at, end);
        else if ((c == '{' || c == '[') && ++depth > *nesting)
            *nesting = depth;
        else if (c == '}' || c == ']')
            depth--;
        if (depth == 0)
            break;
    }
    return at;
}

/* The first character of the next item or member; NULL behind the last. `at` stands on the opening
 * bracket or behind an item. */
static const char *next_element(const char *at, const char *end)
{
    at = json_scan_space(at, end);
    if (at == end || *at == ']' || *at == '}')
        return NULL;
    at = json_scan_space(at + 1, end); /* behind the bracket or the comma */
    return at == end || *at == ']' || *at == '}' ? NULL : at;
}

bool json_scan_item(const char **at, const char *end, struct json_text *item)
{
    size_t nesting;
    const char *begin = next_element(*at, end);

    if (begin == NULL)
        return false;
    *at = json_scan_value(begin, end, &nesting);
    *item = (struct json_text){.bytes = begin, .length = (size_t)(*at - begin)};
    return true;
}

bool json_scan_member(const char **at, const char *end, struct json_member *member)
{
    struct json_text name;

    if (!json_scan_item(at, end, &name) || name.length < 2)
        return false;
    member->name = (struct json_text){.bytes = name.bytes + 1, .length = name.length - 2};
    return json_scan_item(at, end, &member->value); /* a colon is stepped over like a comma */
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The character that is written as \u00XX from `at` on; -1: another one, or otherwise. */
static int escaped_ascii(const char *at, const char *end)
{
    if (end - at < 6 || memcmp(at, "\\u00", 4) != 0 || hex_digit(at[4]) < 0 || hex_digit(at[5]) < 0)
        return -1;
    return hex_digit(at[4]) << 4 | hex_digit(at[5]);
}

bool json_name_is(struct json_text written, const char *name)
{
    const char *at = written.bytes, *end = written.bytes + written.length;

    for (; *name != '\0' && at < end; name++) {
        bool is_escaped = *at == '\\';

        if ((is_escaped ? escaped_ascii(at, end) : *at) != *name)
            return false;
        at += is_escaped ? 6 : 1;
    }
    return *name == '\0' && at == end;
}
