#include "model/watch_id.h"

#include <errno.h>
#include <string.h>

#include "model/text.h"

enum { BITS = 6, KEY_BITS = BITS * WATCH_KEY_DIGITS, STATE_BITS = BITS * WATCH_STATE_DIGITS };

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz-";

/* Of so many bits; the others are not lost but folded in, for the last bytes are in them. */
static uint64_t fold(uint64_t hash, int bits)
{
    return (hash >> bits ^ hash) & ((UINT64_C(1) << bits) - 1);
}

uint64_t watch_key(const char *what, const char *filter_hash)
{
    uint64_t hash = hash_bytes(HASH_START, what, strlen(what) + 1);

    return fold(hash_bytes(hash, filter_hash, strlen(filter_hash) + 1), KEY_BITS);
}

uint64_t watch_state(const char *incarnation, uint32_t timeline)
{
    const unsigned char bytes[] = {(unsigned char)timeline, (unsigned char)(timeline >> 8),
                                   (unsigned char)(timeline >> 16),
                                   (unsigned char)(timeline >> 24)};
    uint64_t hash = hash_bytes(HASH_START, bytes, sizeof bytes);

    return fold(hash_bytes(hash, incarnation, strlen(incarnation) + 1), STATE_BITS);
}

/* At least `least` digits. */
static void add_number(struct buffer *out, uint64_t number, int least)
{
    char text[WATCH_NUMBER_DIGITS_MAX];
    int length = 0;

    for (; number > 0 || length < least; number >>= BITS)
        text[WATCH_NUMBER_DIGITS_MAX - ++length] = digits[number & 63];
    buffer_append(out, text + WATCH_NUMBER_DIGITS_MAX - length, (size_t)length);
}

void watch_id_begin(struct buffer *out)
{
    buffer_text(out, "w");
}

void watch_id_add(struct buffer *out, const struct watch_position *position)
{
    buffer_text(out, ".");
    add_number(out, position->key, WATCH_KEY_DIGITS);
    add_number(out, position->state, WATCH_STATE_DIGITS);
    add_number(out, (uint64_t)position->number, 1);
    if (position->is_end)
        buffer_text(out, "~");
    if (position->given_s > 0) {
        buffer_text(out, "!");
        add_number(out, (uint64_t)position->given_s, 1);
    }
}

/* Takes `least` to `most` digits; of more than `least` the first is not 0. */
static int take_number(const char **text, int least, int most, uint64_t *number)
{
    const char *at = *text, *digit;

    *number = 0;
    for (; at < *text + most && *at != '\0'; at++) {
        digit = strchr(digits, *at);
        if (digit == NULL)
            break;
        if (*number >> (63 - BITS) != 0)
            return -EINVAL;
        *number = *number << BITS | (uint64_t)(digit - digits);
    }
    if (at < *text + least || (at > *text + least && **text == digits[0]))
        return -EINVAL;
    *text = at;
    return 0;
}

static int take_position(const char **text, struct watch_position *position)
{
    uint64_t number, given_s = 0;

    if (*(*text)++ != '.' ||
        take_number(text, WATCH_KEY_DIGITS, WATCH_KEY_DIGITS, &position->key) < 0 ||
        take_number(text, WATCH_STATE_DIGITS, WATCH_STATE_DIGITS, &position->state) < 0 ||
        take_number(text, 1, WATCH_NUMBER_DIGITS_MAX, &number) < 0)
        return -EINVAL;
    position->is_end = **text == '~';
    *text += position->is_end;
    if (**text == '!') {
        ++*text;
        if (take_number(text, 1, WATCH_NUMBER_DIGITS_MAX, &given_s) < 0 || given_s == 0)
            return -EINVAL;
    }
    position->number = (int64_t)number;
    position->given_s = (int64_t)given_s;
    return 0;
}

int watch_id_parse(const char *text, struct watch_id *id)
{
    id->count = 0;
    if (*text++ != 'w')
        return -EINVAL;
    while (*text != '\0')
        if (id->count == WATCH_POSITIONS_MAX ||
            take_position(&text, &id->positions[id->count++]) < 0)
            return -EINVAL;
    return 0;
}

const struct watch_position *watch_id_find(const struct watch_id *id, uint64_t key)
{
    for (size_t i = 0; i < id->count; i++)
        if (id->positions[i].key == key)
            return &id->positions[i];
    return NULL;
}
