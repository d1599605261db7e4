#include "model/error_info.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "model/text.h"

/* Between the first and the last of a text that is cut. */
static const char GAP[] = "\n[...]\n";
enum { GAP_BYTES = sizeof GAP - 1, HEAD_BYTES = ERROR_TEXT_BYTES_MAX / 2 };

/* The text itself, with a reference, or the first and the last of it. */
static json_t *cut_text(json_t *text, bool *is_cut)
{
    const char *bytes = json_string_value(text);
    size_t length = json_string_length(text);
    char cut[ERROR_TEXT_BYTES_MAX];
    if (length <= sizeof cut)
        return json_incref(text);
    *is_cut = true;
    size_t head = utf8_cut(bytes, HEAD_BYTES);
    size_t tail = length - (sizeof cut - HEAD_BYTES - GAP_BYTES);
    while (((unsigned char)bytes[tail] & 0xC0) == 0x80)
        tail++;
    memcpy(cut, bytes, head);
    memcpy(cut + head, GAP, GAP_BYTES);
    memcpy(cut + head + GAP_BYTES, bytes + tail, length - tail);
    return json_stringn(cut, head + GAP_BYTES + length - tail);
}

/* A member as it is written, its comma included. */
static size_t member_bytes(const char *name, const json_t *value)
{
    return json_dumpb(value, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY) + strlen(name) + 4;
}

static bool is_rest(const char *name)
{
    return strcmp(name, "kind") != 0 && strcmp(name, "message") != 0;
}

json_t *error_info_cut(const json_t *error_info)
{
    json_t *cut = json_object();
    size_t rest = ERROR_REST_BYTES_MAX;
    bool is_cut = false, failed = !cut;
    /* jansson's iterator takes no const object, and does not change it. */
    json_t *object = (json_t *)(uintptr_t)error_info;
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        const char *name = json_object_iter_key(at);
        json_t *value = json_object_iter_value(at);
        json_t *kept = json_is_string(value) ? cut_text(value, &is_cut) : json_incref(value);
        size_t bytes = kept && is_rest(name) ? member_bytes(name, kept) : 0;
        if (bytes > rest) {
            is_cut = true;
            json_decref(kept);
            continue;
        }
        rest -= bytes;
        failed |= !kept || json_object_set_new(cut, name, kept) != 0;
    }
    if (is_cut)
        failed |= json_object_set_new(cut, "truncated", json_true()) != 0;
    if (!failed)
        return cut;
    json_decref(cut);
    return NULL;
}

static const char *dump(const json_t *json, size_t length, struct arena *arena)
{
    char *text = length ? arena_alloc_text(arena, length + 1) : NULL;
    if (!text || json_dumpb(json, text, length, JSON_COMPACT) != length)
        return NULL;
    text[length] = '\0';
    return text;
}

const char *error_info_dump(const json_t *error_info, struct arena *arena)
{
    size_t length = json_dumpb(error_info, NULL, 0, JSON_COMPACT);
    if (length <= ERROR_TEXT_BYTES_MAX)
        return dump(error_info, length, arena);
    json_t *cut = error_info_cut(error_info);
    const char *text = cut ? dump(cut, json_dumpb(cut, NULL, 0, JSON_COMPACT), arena) : NULL;
    json_decref(cut);
    return text;
}
