#include "handlers/parameters.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "handlers/run_cells.h"
#include "server/http.h"

static int refuse(struct http_request *request, const char *where, const char *name,
                  const char *what)
{
    reply_problemf(request, PROBLEM_INVALID_FIELD, NULL, "%s %s: %s.", where, name, what);
    return -1;
}

int refuse_parameter(struct http_request *request, const char *parameter, const char *what)
{
    return refuse(request, "Query parameter", parameter, what);
}

/* NULL is fine, too. */
static int check_name(struct http_request *request, const char *where, const char *name,
                      enum key_part key_part, const char *text)
{
    char what[160];

    if (text == NULL || key_part_is_valid(key_part, text, strlen(text)))
        return 0;
    snprintf(what, sizeof what, "must be %s", key_part_rule(key_part));
    return refuse(request, where, name, what);
}

int read_captured_name(struct http_request *request, const char *part, enum key_part key_part,
                       const char **name)
{
    *name = http_request_capture(request, part);
    return check_name(request, "In the path,", part, key_part, *name);
}

int read_name_parameter(struct http_request *request, const char *parameter, enum key_part key_part,
                        const char **name)
{
    *name = http_request_parameter(request, parameter);
    return check_name(request, "Query parameter", parameter, key_part, *name);
}

static int read_key(struct http_request *request, struct run_key *key)
{
    if (read_captured_name(request, "project", KEY_PROJECT, &key->project) < 0 ||
        read_captured_name(request, "domain", KEY_DOMAIN, &key->domain) < 0 ||
        read_captured_name(request, "run", KEY_NAME, &key->run_name) < 0)
        return -1;
    if (key->run_name == NULL) /* the path is that of the watch */
        key->run_name = "watch";
    return 0;
}

int read_run_key(struct http_request *request, struct run_key *key, struct cell **cell)
{
    if (read_key(request, key) < 0)
        return -1;
    *cell = find_cell(request, key);
    return *cell == NULL ? -1 : 0;
}

int read_action_key(struct http_request *request, struct run_key *run, const char **name,
                    struct cell **cell)
{
    if (read_key(request, run) < 0 || read_captured_name(request, "action", KEY_NAME, name) < 0)
        return -1;
    *cell = find_cell(request, run);
    return *cell == NULL ? -1 : 0;
}

int read_scope(struct http_request *request, const char **project, const char **domain)
{
    const char *where = "In the path,";

    *project = http_request_capture(request, "project");
    *domain = http_request_capture(request, "domain");
    if (*project == NULL) {
        where = "Query parameter";
        *project = http_request_parameter(request, "project");
        *domain = http_request_parameter(request, "domain");
    }
    if (check_name(request, where, "project", KEY_PROJECT, *project) < 0)
        return -1;
    return check_name(request, where, "domain", KEY_DOMAIN, *domain);
}

int read_number(struct http_request *request, const char *parameter, int64_t min, int64_t max,
                int64_t *number)
{
    const char *text = http_request_parameter(request, parameter);
    char what[96];

    if (text == NULL || parse_number(text, min, max, number))
        return 0;
    snprintf(what, sizeof what, "must be a whole number from %lld to %lld", (long long)min,
             (long long)max);
    return refuse(request, "Query parameter", parameter, what);
}

int read_limit(struct http_request *request, int32_t *limit)
{
    int64_t number = LIMIT_DEFAULT;

    if (read_number(request, "limit", 1, LIMIT_MAX, &number) < 0)
        return -1;
    *limit = (int32_t)number;
    return 0;
}

int read_filter(struct http_request *request, struct filter *filter)
{
    const struct uri *uri = http_request_uri(request);
    const char *name = http_request_parameter(request, "name");
    const char *error = http_request_parameter(request, "error");

    *filter = (struct filter){0};
    for (size_t i = 0; i < uri->parameter_count; i++) {
        if (strcmp(uri->parameters[i].name, "phase") == 0 &&
            filter_add_phases(filter, uri->parameters[i].value) < 0)
            return refuse(request, "Query parameter", "phase",
                          "must be phases by name (such as RUNNING) or number, with commas between "
                          "them");
    }
    if (name != NULL && filter_set_name(filter, name) < 0)
        return refuse(request, "Query parameter", "name", "must be at most 255 bytes");
    if (error != NULL && filter_set_error(filter, error) < 0)
        return refuse(request, "Query parameter", "error", "must be at most 255 bytes");
    return 0;
}

int read_labels(struct http_request *request, struct list_filter *filter)
{
    const struct uri *uri = http_request_uri(request);

    for (size_t i = 0; i < uri->parameter_count; i++) {
        if (strcmp(uri->parameters[i].name, "label") != 0)
            continue;
        switch (list_filter_add_label(filter->labels, uri->parameters[i].value)) {
        case -EINVAL:
            return refuse_parameter(request, "label", "must be name:value");
        case -E2BIG:
            return refuse_parameter(request, "label", "must be at most 1000 bytes together");
        }
    }
    return 0;
}

int read_flag(struct http_request *request, const char *parameter, bool *flag)
{
    const char *text = http_request_parameter(request, parameter);

    *flag = text != NULL && strcmp(text, "true") == 0;
    if (text == NULL || *flag || strcmp(text, "false") == 0)
        return 0;
    return refuse(request, "Query parameter", parameter, "must be true or false");
}

static int refuse_cursor(struct http_request *request)
{
    return refuse(request, "Query parameter", "cursor",
                  "is none that this list has given as its nextCursor");
}

int read_cursor(struct http_request *request, char kind, size_t count, struct cursor *cursor)
{
    return read_cursor_text(request, http_request_parameter(request, "cursor"), kind, count,
                            cursor);
}

int read_cursor_text(struct http_request *request, const char *hex, char kind, size_t count,
                     struct cursor *cursor)
{
    cursor->count = 0;
    if (hex == NULL || cursor_parse(cursor, hex, kind, count) == 0)
        return 0;
    return refuse_cursor(request);
}

int read_cursor_number(struct http_request *request, const struct cursor *cursor, size_t part,
                       int64_t min, int64_t max, int64_t *number)
{
    return parse_number(cursor->parts[part], min, max, number) ? 0 : refuse_cursor(request);
}
