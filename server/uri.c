#include "server/uri.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/text.h"

static int parse_path(struct uri *uri, char *path)
{
    char *segment;

    if (*path++ != '/')
        return -EINVAL;
    if (*path == '\0')
        return 0;
    while ((segment = strsep(&path, "/")) != NULL) {
        if (uri->segment_count == URI_SEGMENTS_MAX)
            return -E2BIG;
        if (percent_decode(segment, false) < 0)
            return -EINVAL;
        uri->segments[uri->segment_count++] = segment;
    }
    return 0;
}

static int parse_query(struct uri *uri, char *query)
{
    char *pair;

    while ((pair = strsep(&query, "&")) != NULL) {
        char *value = pair;
        const char *name = strsep(&value, "=");

        if (*name == '\0' && value == NULL)
            continue;
        if (uri->parameter_count == URI_PARAMETERS_MAX)
            return -E2BIG;
        if (percent_decode(pair, true) < 0 || (value != NULL && percent_decode(value, true) < 0))
            return -EINVAL;
        uri->parameters[uri->parameter_count++] =
            (struct uri_parameter){.name = name, .value = value == NULL ? "" : value};
    }
    return 0;
}

int uri_parse(struct uri *uri, const char *target)
{
    char *query;
    int status;

    uri->segment_count = uri->parameter_count = 0;
    uri->block = strdup(target);
    if (uri->block == NULL)
        return -ENOMEM;
    query = strchr(uri->block, '?');
    if (query != NULL)
        *query++ = '\0';
    status = parse_path(uri, uri->block);
    if (status == 0 && query != NULL)
        status = parse_query(uri, query);
    if (status < 0)
        uri_clear(uri);
    return status;
}

void uri_clear(struct uri *uri)
{
    free(uri->block);
    uri->block = NULL;
    uri->segment_count = uri->parameter_count = 0;
}
