#include "server/router.h"

#include <string.h>

static bool matches(const char *pattern, const struct uri *uri, struct route_captures *captures)
{
    size_t segment = 0;

    captures->count = 0;
    while (pattern[0] == '/' && pattern[1] != '\0') {
        size_t length = strcspn(++pattern, "/");

        if (*pattern == '*')
            return true;
        if (segment == uri->segment_count)
            return false;
        if (*pattern == '{')
            captures->items[captures->count++] =
                (struct uri_parameter){.name = pattern + 1, .value = uri->segments[segment]};
        else if (strlen(uri->segments[segment]) != length ||
                 memcmp(uri->segments[segment], pattern, length) != 0)
            return false;
        segment++;
        pattern += length;
    }
    return segment == uri->segment_count;
}

const struct route *route_find(const struct route *routes, enum http_method method,
                               const struct uri *uri, struct route_captures *captures,
                               unsigned *allowed)
{
    *allowed = 0;
    for (const struct route *route = routes; route->pattern != NULL; route++) {
        if (!matches(route->pattern, uri, captures))
            continue;
        if (route->method == method)
            return route;
        *allowed |= (unsigned)route->method;
    }
    return NULL;
}
