#include "handlers/cursor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/run_key.h"

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
        int byte = high < 0 || low < 0 ? -1 : high << 4 | low;

        if (byte <= 0)
            return false;
        out[i] = (char)byte;
    }
    out[length / 2] = '\0';
    return true;
}

int cursor_parse(struct cursor *cursor, const char *hex, char kind, size_t count)
{
    char *rest = cursor->text + 1, *part;

    cursor->count = 0;
    if (!decode_hex(hex, cursor->text, sizeof cursor->text) || cursor->text[0] != kind)
        return -EINVAL;
    while ((part = strsep(&rest, CURSOR_SEPARATOR)) != NULL) {
        if (cursor->count == count || !key_part_is_valid(KEY_NAME, part, strlen(part)))
            return -EINVAL;
        cursor->parts[cursor->count++] = part;
    }
    return cursor->count == count ? 0 : -EINVAL;
}

bool parse_number(const char *text, int64_t min, int64_t max, int64_t *number)
{
    const char *digits = text + (text[0] == '-' && min < 0);
    char *end;
    long long value;

    if (digits[0] < '0' || digits[0] > '9')
        return false;
    errno = 0;
    value = strtoll(text, &end, 10);
    if (*end != '\0' || errno != 0 || value < min || value > max)
        return false;
    *number = value;
    return true;
}

void write_next_cursor(struct buffer *out, char kind, const char *format, ...)
{
    static const char digits[] = "0123456789abcdef";
    char text[CURSOR_TEXT_SIZE], separated[64];
    va_list arguments;

    snprintf(separated, sizeof separated, "%s", format);
    for (char *slash = separated; (slash = strchr(slash, '/')) != NULL;)
        *slash = CURSOR_SEPARATOR[0];
    text[0] = kind;
    va_start(arguments, format);
    vsnprintf(text + 1, sizeof text - 1, separated, arguments);
    va_end(arguments);
    buffer_text(out, ",\"nextCursor\":\"");
    for (const char *at = text; *at != '\0'; at++) {
        const char pair[2] = {digits[(unsigned char)*at >> 4], digits[(unsigned char)*at & 15]};

        buffer_append(out, pair, sizeof pair);
    }
    buffer_text(out, "\"");
}
