/* The opaque `id` of a stream's record. */
#include "model/stream_id.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void stream_id_format(const struct stream_id *id, char out[static STREAM_ID_SIZE])
{
    snprintf(out, STREAM_ID_SIZE, "%s.%" PRIu32 ".%s.%" PRId64 "%s", id->incarnation, id->timeline,
             id->filter, id->revision, id->is_end ? ".e" : "");
}

/* Takes the part of *text before a dot or the end into `out`; -EINVAL unless it is 1 to `size` - 1
 * characters of 0-9 a-z. */
static int take_word(const char **text, char *out, size_t size)
{
    size_t length = strspn(*text, "0123456789abcdefghijklmnopqrstuvwxyz");
    if (length < 1 || length >= size)
        return -EINVAL;
    memcpy(out, *text, length);
    out[length] = '\0';
    *text += length;
    return 0;
}

/* Takes decimal digits without leading zeros, at most `max`. */
static int take_number(const char **text, int64_t max, int64_t *number)
{
    const char *at = *text;
    if (*at == '0' && at[1] >= '0' && at[1] <= '9')
        return -EINVAL;
    *number = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        int digit = *at - '0';
        if (*number > (max - digit) / 10)
            return -EINVAL;
        *number = *number * 10 + digit;
    }
    if (at == *text)
        return -EINVAL;
    *text = at;
    return 0;
}

static int take_dot(const char **text)
{
    if (**text != '.')
        return -EINVAL;
    ++*text;
    return 0;
}

int stream_id_parse(const char *text, struct stream_id *id)
{
    struct stream_id parsed = {0};
    int64_t timeline;
    if (take_word(&text, parsed.incarnation, sizeof parsed.incarnation) || take_dot(&text) ||
        take_number(&text, UINT32_MAX, &timeline) || take_dot(&text) ||
        take_word(&text, parsed.filter, sizeof parsed.filter) || take_dot(&text) ||
        take_number(&text, INT64_MAX, &parsed.revision))
        return -EINVAL;
    parsed.timeline = (uint32_t)timeline;
    parsed.is_end = strcmp(text, ".e") == 0;
    if (*text && !parsed.is_end)
        return -EINVAL;
    *id = parsed;
    return 0;
}
