#include "model/json_scan.h"

#include <string.h>

#include "model/text.h"

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
    while (at < end) {
        const char *quote = memchr(at, '"', (size_t)(end - at)), *escapes = quote;
        if (!quote)
            break;
        while (escapes > at && escapes[-1] == '\\')
            escapes--;
        at = quote + 1;
        if ((quote - escapes) % 2 == 0)
            return at;
    }
    return end;
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

/* -------- validity -------- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* What may come next. */
enum expected { VALUE, FIRST_ITEM, FIRST_NAME, NAME, MORE };

struct checker {
    const char *at, *end;
    size_t depth;
    unsigned char is_object[JSON_SCAN_NESTING_MAX + 1]; /* by depth */
};

/* Behind the character that stands at `at` in a string, NULL if it must not. */
static const char *check_character(const char *at, const char *end)
{
    unsigned char first = (unsigned char)*at;
    ptrdiff_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first == '\\') {
        if (end - at < 2 || !strchr("\"\\/bfnrtu", at[1]) || at[1] == '\0')
            return NULL;
        if (at[1] != 'u')
            return at + 2;
        if (end - at < 6)
            return NULL;
        for (int i = 2; i < 6; i++)
            if (hex_digit(at[i]) < 0)
                return NULL;
        return at + 6;
    }
    if (first < ' ' || end - at < length || (length > 1 && utf8_sequence_length(at) == 0))
        return NULL;
    return at + length;
}

/* At an opening quote. False: `at` is at what is wrong. */
static bool check_string(struct checker *checker)
{
    checker->at++;
    while (checker->at < checker->end && *checker->at != '"') {
        const char *next = check_character(checker->at, checker->end);
        if (!next)
            return false;
        checker->at = next;
    }
    if (checker->at == checker->end)
        return false;
    checker->at++;
    return true;
}

static bool take_digits(struct checker *checker)
{
    const char *begin = checker->at;
    while (checker->at < checker->end && *checker->at >= '0' && *checker->at <= '9')
        checker->at++;
    return checker->at > begin;
}

static bool take_one_of(struct checker *checker, const char *characters)
{
    if (checker->at == checker->end || *checker->at == '\0' || !strchr(characters, *checker->at))
        return false;
    checker->at++;
    return true;
}

static bool check_number(struct checker *checker)
{
    take_one_of(checker, "-");
    if (!take_one_of(checker, "0") && !take_digits(checker))
        return false;
    if (take_one_of(checker, ".") && !take_digits(checker))
        return false;
    if (!take_one_of(checker, "eE"))
        return true;
    take_one_of(checker, "+-");
    return take_digits(checker);
}

static bool check_scalar(struct checker *checker)
{
    static const char *const words[] = {"true", "false", "null"};
    if (*checker->at == '"')
        return check_string(checker);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i]);
        if ((size_t)(checker->end - checker->at) >= length &&
            memcmp(checker->at, words[i], length) == 0) {
            checker->at += length;
            return true;
        }
    }
    return check_number(checker);
}

/* One step: false if what comes is not what may. `at` is before the end and at no white space. */
static bool check_step(struct checker *checker, enum expected *expected)
{
    char c = *checker->at;
    bool is_object = checker->is_object[checker->depth];
    if ((*expected == MORE && checker->depth > 0 && c == (is_object ? '}' : ']')) ||
        (*expected == FIRST_ITEM && c == ']') || (*expected == FIRST_NAME && c == '}')) {
        checker->at++;
        checker->depth--;
        *expected = MORE;
        return true;
    }
    if (*expected == MORE) {
        *expected = is_object ? NAME : VALUE;
        return checker->depth > 0 && take_one_of(checker, ",");
    }
    if (*expected == NAME || *expected == FIRST_NAME) {
        if (c != '"' || !check_string(checker))
            return false;
        checker->at = json_scan_space(checker->at, checker->end);
        *expected = VALUE;
        return take_one_of(checker, ":");
    }
    if (c == '{' || c == '[') {
        if (checker->depth == JSON_SCAN_NESTING_MAX)
            return false;
        checker->at++;
        checker->is_object[++checker->depth] = c == '{';
        *expected = c == '{' ? FIRST_NAME : FIRST_ITEM;
        return true;
    }
    *expected = MORE;
    return check_scalar(checker);
}

const char *json_scan_error(struct json_text text)
{
    struct checker checker = {.at = text.bytes, .end = text.bytes + text.length};
    enum expected expected = VALUE;
    for (;;) {
        checker.at = json_scan_space(checker.at, checker.end);
        if (checker.at == checker.end)
            return expected == MORE && checker.depth == 0 ? NULL : checker.end;
        if (!check_step(&checker, &expected))
            return checker.at;
    }
}

/* -------- items and members -------- */

/* The first character of the next item or member. NULL: there is none, and `*at` is on the closing
 * bracket, or on what should be one. `*at` is on the opening bracket or behind an item. */
static const char *next_element(const char **at, const char *end)
{
    const char *next = json_scan_space(*at, end);
    bool is_comma = next < end && *next == ',';
    *at = next;
    if (next == end || *next == ']' || *next == '}')
        return NULL;
    next = json_scan_space(next + 1, end);
    if (next < end && *next != ']' && *next != '}')
        return next;
    if (!is_comma)
        *at = next;
    return NULL;
}

/* The value that begins at `begin`; whether a comma or a closing bracket is behind it. */
static bool scan_element(const char **at, const char *begin, const char *end,
                         struct json_text *element, size_t *nesting)
{
    const char *behind = json_scan_value(begin, end, nesting);
    *element = (struct json_text){.bytes = begin, .length = (size_t)(behind - begin)};
    *at = json_scan_space(behind, end);
    return *at < end && (**at == ',' || **at == ']' || **at == '}');
}

bool json_scan_item(const char **at, const char *end, struct json_text *item)
{
    size_t nesting;
    const char *begin = next_element(at, end);

    return begin != NULL && scan_element(at, begin, end, item, &nesting);
}

bool json_scan_member(const char **at, const char *end, struct json_member *member)
{
    const char *begin = next_element(at, end), *behind;

    if (begin == NULL || *begin != '"')
        return false;
    behind = scan_string(begin + 1, end);
    member->name = (struct json_text){.bytes = begin + 1, .length = (size_t)(behind - begin) - 2};
    behind = json_scan_space(behind, end);
    if (behind == end || *behind != ':')
        return false;
    begin = json_scan_space(behind + 1, end);
    return scan_element(at, begin, end, &member->value, &member->nesting);
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

bool json_name_is_spelled(struct json_text written, const char *name)
{
    char snake[32];
    size_t length = 0;

    if (json_name_is(written, name))
        return true;
    for (; *name != '\0' && length < sizeof snake - 2; name++) {
        bool is_upper = *name >= 'A' && *name <= 'Z';

        if (is_upper)
            snake[length++] = '_';
        snake[length++] = is_upper ? (char)(*name - 'A' + 'a') : *name;
    }
    snake[length] = '\0';
    return json_name_is(written, snake);
}

bool json_name_is_one_of(struct json_text written, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (json_name_is(written, names[i]))
            return true;
    return false;
}
