/* Finds values in text that is known to be valid JSON. */
#include "model/json_scan.h"

#include <stdbool.h>
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
