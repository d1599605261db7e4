#include "handlers/parameters.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/reply.h"

static int refuse(struct http_request *request, const char *where, const char *name,
                  const char *what)
{
    reply_problemf(request, PROBLEM_INVALID_FIELD, NULL, "%s %s: %s.", where, name, what);
    return -1;
}

static int check_name(struct http_request *request, const char *where, const char *name,
                      const char *text, size_t bytes_max)
{
    char what[160];

    if (key_part_is_valid(text, strlen(text), bytes_max))
        return 0;
    snprintf(what, sizeof what,
             "must be 1 to %zu bytes of A-Z a-z 0-9 . _ : - and start with a letter or a digit",
             bytes_max);
    return refuse(request, where, name, what);
}

int read_captured_name(struct http_request *request, const char *part, size_t bytes_max,
                       const char **name)
{
    *name = http_request_capture(request, part);
    return check_name(request, "In the path,", part, *name, bytes_max);
}

int read_name_parameter(struct http_request *request, const char *parameter, size_t bytes_max,
                        const char **name)
{
    *name = http_request_parameter(request, parameter);
    if (*name == NULL)
        return 0;
    return check_name(request, "Query parameter", parameter, *name, bytes_max);
}

int read_run_key(struct http_request *request, struct run_key *key)
{
    if (read_captured_name(request, "project", PROJECT_BYTES_MAX, &key->project) < 0 ||
        read_captured_name(request, "domain", DOMAIN_BYTES_MAX, &key->domain) < 0)
        return -1;
    return read_captured_name(request, "run", NAME_BYTES_MAX, &key->run_name);
}

int read_scope(struct http_request *request, const char **project, const char **domain)
{
    if (http_request_capture(request, "project") == NULL) {
        if (read_name_parameter(request, "project", PROJECT_BYTES_MAX, project) < 0)
            return -1;
        return read_name_parameter(request, "domain", DOMAIN_BYTES_MAX, domain);
    }
    if (read_captured_name(request, "project", PROJECT_BYTES_MAX, project) < 0)
        return -1;
    return read_captured_name(request, "domain", DOMAIN_BYTES_MAX, domain);
}

static bool parse_number(const char *text, int64_t min, int64_t max, int64_t *number)
{
    char *end;
    long long value;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    value = strtoll(text, &end, 10);
    if (*end != '\0' || errno != 0 || value < min || value > max)
        return false;
    *number = value;
    return true;
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

    *filter = (struct filter){0};
    for (size_t i = 0; i < uri->parameter_count; i++) {
        if (strcmp(uri->parameters[i].name, "phase") == 0 &&
            filter_add_phases(filter, uri->parameters[i].value) < 0)
            return refuse(request, "Query parameter", "phase",
                          "must be phases by name or number, with commas between them");
    }
    if (name != NULL && filter_set_name(filter, name) < 0)
        return refuse(request, "Query parameter", "name", "must be at most 255 bytes");
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

/* -------- cursors -------- */

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode_hex(const char *hex, char *out, size_t size)
{
    size_t length = strlen(hex);

    if (length == 0 || length % 2 != 0 || length / 2 >= size)
        return false;
    for (size_t i = 0; i < length / 2; i++) {
        int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);

        if (high < 0 || low < 0 || (high == 0 && low == 0))
            return false;
        out[i] = (char)(high << 4 | low);
    }
    out[length / 2] = '\0';
    return true;
}

static int refuse_cursor(struct http_request *request)
{
    return refuse(request, "Query parameter", "cursor",
                  "is none that this list has given as its nextCursor");
}

int read_cursor(struct http_request *request, char kind, size_t count, struct cursor *cursor)
{
    const char *hex = http_request_parameter(request, "cursor");
    char *rest = cursor->text + 1, *part;

    cursor->count = 0;
    if (hex == NULL)
        return 0;
    if (!decode_hex(hex, cursor->text, sizeof cursor->text) || cursor->text[0] != kind)
        return refuse_cursor(request);
    while ((part = strsep(&rest, "/")) != NULL) {
        if (cursor->count == count || *part == '\0')
            return refuse_cursor(request);
        cursor->parts[cursor->count++] = part;
    }
    return cursor->count == count ? 0 : refuse_cursor(request);
}

int read_cursor_number(struct http_request *request, const struct cursor *cursor, size_t part,
                       int64_t min, int64_t max, int64_t *number)
{
    return parse_number(cursor->parts[part], min, max, number) ? 0 : refuse_cursor(request);
}

void write_next_cursor(struct json_buffer *out, char kind, const char *format, ...)
{
    static const char digits[] = "0123456789abcdef";
    char text[CURSOR_TEXT_SIZE];
    va_list arguments;

    text[0] = kind;
    va_start(arguments, format);
    vsnprintf(text + 1, sizeof text - 1, format, arguments);
    va_end(arguments);
    json_buffer_text(out, ",\"nextCursor\":\"");
    for (const char *at = text; *at != '\0'; at++) {
        const char pair[2] = {digits[(unsigned char)*at >> 4], digits[(unsigned char)*at & 15]};

        json_buffer_append(out, pair, sizeof pair);
    }
    json_buffer_text(out, "\"");
}
