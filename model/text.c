#include "model/text.h"

#include <errno.h>

uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t length)
{
    const unsigned char *at = bytes;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

size_t utf8_sequence_length(const char *text)
{
    const unsigned char *bytes = (const unsigned char *)text;
    unsigned char first = bytes[0];
    size_t length = first < 0x80                     ? 1
                    : first >= 0xc2 && first <= 0xdf ? 2
                    : first >= 0xe0 && first <= 0xef ? 3
                    : first >= 0xf0 && first <= 0xf4 ? 4
                                                     : 0;
    /* The second byte: nothing overlong, no surrogates, nothing beyond U+10FFFF. */
    unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;

    for (size_t i = 1; i < length; i++) {
        if (bytes[i] < low || bytes[i] > high)
            return 0;
        low = 0x80;
        high = 0xbf;
    }
    return length;
}

bool utf8_is_valid(const char *text)
{
    size_t length = 1;

    for (; *text != '\0' && length > 0; text += length)
        length = utf8_sequence_length(text);
    return length > 0;
}

size_t utf8_cut(const char *text, size_t length)
{
    while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80) /* inside a character */
        length--;
    return length;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int percent_decode(char *text, bool plus_is_space)
{
    char *out = text;

    for (const char *in = text; *in != '\0'; in++) {
        if (*in == '%') {
            int high = hex_digit(in[1]);
            int low = high < 0 ? -1 : hex_digit(in[2]);

            if (low < 0 || (high == 0 && low == 0))
                return -EINVAL;
            *out++ = (char)(high << 4 | low);
            in += 2;
        } else {
            *out++ = *in == '+' && plus_is_space ? ' ' : *in;
        }
    }
    *out = '\0';
    return utf8_is_valid(text) ? 0 : -EINVAL;
}

static int base64_digit(char c, const char last[static 2])
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == last[0] ? 62 : c == last[1] ? 63 : -1;
}

ptrdiff_t base64_decode(const char *text, size_t length, const char last[static 2],
                        unsigned char *out, bool *is_exact)
{
    uint32_t group = 0;
    size_t used = 0;

    for (size_t i = 0; i < length; i++) {
        int digit = base64_digit(text[i], last);

        if (digit < 0)
            return -1;
        group = group << 6 | (uint32_t)digit;
        if (i % 4 != 0)
            out[used++] = (unsigned char)(group >> (6 - 2 * (i % 4)) & 0xff);
    }
    *is_exact = length % 4 == 0 || (length % 4 == 2 && (group & 0xf) == 0) ||
                (length % 4 == 3 && (group & 0x3) == 0);
    return (ptrdiff_t)used;
}
