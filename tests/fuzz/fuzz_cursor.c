/* The cursors of lists. One that is taken apart can be put together again, and is then the same. */
#include "fuzz.h"
#include "handlers/cursor.h"

static const struct {
    char kind;
    size_t count;
} kinds[] = {{'a', 1}, {'e', 3}, {'r', 4}, {'p', 2}, {'n', 2}, {'s', 4}, {'w', 2}, {'u', 1}};

static void check_cursor(const char *hex, char kind, size_t count)
{
    static const char before[] = ",\"nextCursor\":\"";
    struct cursor cursor;
    struct buffer again = {0};
    char text[CURSOR_TEXT_SIZE];
    size_t length = 0;
    int64_t number;

    if (cursor_parse(&cursor, hex, kind, count) < 0)
        return;
    MUST(cursor.count == count);
    for (size_t i = 0; i < count; i++) {
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%s",
                                   i > 0 ? CURSOR_SEPARATOR : "", cursor.parts[i]);
        if (parse_number(cursor.parts[i], 1, INT32_MAX, &number))
            MUST(number >= 1 && number <= INT32_MAX);
    }
    write_next_cursor(&again, kind, "%s", text);
    MUST(again.length == strlen(before) + strlen(hex) + 1);
    MUST(memcmp(again.bytes + strlen(before), hex, strlen(hex)) == 0);
    buffer_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *hex = copy_text(data, size);

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        check_cursor(hex, kinds[i].kind, kinds[i].count);
    free(hex);
    return 0;
}
