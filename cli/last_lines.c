#include "cli/last_lines.h"

#include <stdlib.h>
#include <string.h>

#include "model/buffer.h"
#include "model/text.h"

enum { ESCAPE = 0x1b, BELL = 0x07, DELETE = 0x7f };

void last_lines_add(struct last_lines *lines, const char *bytes, size_t length)
{
    if (length > LAST_LINES_BYTES) {
        lines->written += length - LAST_LINES_BYTES;
        bytes += length - LAST_LINES_BYTES;
        length = LAST_LINES_BYTES;
    }
    for (size_t i = 0; i < length; i++)
        lines->bytes[lines->written++ % LAST_LINES_BYTES] = bytes[i];
}

/* The length of the escape sequence that `text` starts with (ECMA-48: CSI up to its final byte, OSC
 * up to BEL or ST, anything else two bytes). */
static size_t escape_length(const char *text)
{
    size_t i = 2;

    if (text[1] == '[') {
        while (text[i] >= 0x20 && text[i] <= 0x3f)
            i++;
        return text[i] >= 0x40 && text[i] <= 0x7e ? i + 1 : i;
    }
    if (text[1] == ']') {
        while (text[i] != '\0' && text[i] != BELL && text[i] != ESCAPE && text[i] != '\n')
            i++;
        return text[i] == BELL ? i + 1 : text[i] == ESCAPE && text[i + 1] == '\\' ? i + 2 : i;
    }
    return text[1] == '\0' || text[1] == '\n' ? 1 : 2;
}

/* What of one line people see, appended to `out`. */
static void append_line(struct buffer *out, const char *line, size_t length)
{
    size_t start = out->length;

    while (length > 0 && line[length - 1] == '\r')
        length--;
    for (size_t i = 0; i < length;) {
        unsigned char byte = (unsigned char)line[i];
        size_t step = utf8_sequence_length(line + i);

        if (byte == ESCAPE) {
            i += escape_length(line + i);
        } else if (byte == '\r') {
            out->length = start;
            i++;
        } else if ((byte < 0x20 && byte != '\t') || byte == DELETE) {
            i++;
        } else {
            buffer_append(out, step == 0 ? "\xef\xbf\xbd" : line + i, step == 0 ? 3 : step);
            i += step == 0 ? 1 : step;
        }
    }
}

static bool is_blank(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] != ' ' && text[i] != '\t')
            return false;
    return true;
}

/* All its lines that are not blank, each with its end; `starts` are where the last of them begin.
 */
static void clean_lines(struct buffer *out, char *text, size_t starts[static LAST_LINES_MAX],
                        size_t *count)
{
    for (char *line = text, *end; line != NULL; line = end == NULL ? NULL : end + 1) {
        size_t start = out->length;

        end = strchr(line, '\n');
        append_line(out, line, end == NULL ? strlen(line) : (size_t)(end - line));
        if (out->failed)
            return;
        if (is_blank(out->bytes + start, out->length - start)) {
            out->length = start;
            continue;
        }
        starts[(*count)++ % LAST_LINES_MAX] = start;
        buffer_append(out, "\n", 1);
    }
}

char *last_lines_text(const struct last_lines *lines)
{
    size_t length = lines->written < LAST_LINES_BYTES ? lines->written : LAST_LINES_BYTES;
    size_t starts[LAST_LINES_MAX] = {0}, count = 0, first;
    struct buffer out = {0};
    char text[LAST_LINES_BYTES + 1] = "", *start = text;

    for (size_t i = 0; i < length; i++) {
        text[i] = lines->bytes[(lines->written - length + i) % LAST_LINES_BYTES];
        if (text[i] == '\0')
            text[i] = ' ';
    }
    text[length] = '\0';
    if (lines->written > length) { /* the first of them is not whole */
        char *end = strchr(text, '\n');

        start = end == NULL ? text : end + 1;
        while (((unsigned char)*start & 0xc0) == 0x80)
            start++;
    }
    clean_lines(&out, start, starts, &count);
    if (count == 0 || out.failed) {
        buffer_free(&out);
        return NULL;
    }
    first = count > LAST_LINES_MAX ? starts[count % LAST_LINES_MAX] : 0;
    out.bytes[out.length - 1] = '\0'; /* in place of the last line's end */
    memmove(out.bytes, out.bytes + first, out.length - first);
    return out.bytes;
}
