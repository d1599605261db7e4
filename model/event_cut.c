#include "model/event_cut.h"

#include <stdbool.h>
#include <string.h>

struct cut {
    struct buffer *out;
    size_t rest;   /* bytes left for members that are not always kept */
    bool is_first; /* no member was written to the object yet */
};

#define IS_ONE_OF(name, names) is_one_of(name, names, sizeof(names) / sizeof *(names))

static bool is_one_of(struct json_text written, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (json_name_is_spelled(written, names[i]))
            return true;
    return false;
}

/* Length of the character that stands at `at` in a valid JSON string, as it is written. */
static size_t character_bytes(const char *at)
{
    unsigned char first = (unsigned char)at[0];
    if (first == '\\' && at[1] != 'u')
        return 2;
    if (first == '\\') /* the first half of a surrogate pair keeps its other half */
        return (at[2] == 'd' || at[2] == 'D') && strchr("89abAB", at[3]) ? 12 : 6;
    return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* The string without its closing quote, up to `bytes_max` of what is between the quotes. */
static struct json_text cut_text(struct json_text text, size_t bytes_max)
{
    size_t length = 1, end = text.length - 1;
    while (length < end) {
        size_t next = length + character_bytes(text.bytes + length);
        if (next > bytes_max + 1)
            break;
        length = next;
    }
    return (struct json_text){.bytes = text.bytes, .length = length};
}

static void write_name(struct cut *cut, struct json_text name)
{
    buffer_text(cut->out, cut->is_first ? "\"" : ",\"");
    buffer_append(cut->out, name.bytes, name.length);
    buffer_text(cut->out, "\":");
    cut->is_first = false;
}

/* Whether there is room for a member that is not always kept; takes it. */
static bool take_rest(struct cut *cut, struct json_text name, size_t value_bytes)
{
    size_t bytes = name.length + value_bytes + sizeof ",\"\":\"";
    if (bytes > cut->rest)
        return false;
    cut->rest -= bytes;
    return true;
}

static void write_member(struct cut *cut, const struct json_member *member, bool is_kept)
{
    struct json_text value = member->value;
    bool is_text = value.bytes[0] == '"';
    if (is_text)
        value = cut_text(value, json_name_is(member->name, "message") ? CUT_MESSAGE_BYTES_MAX
                                                                      : CUT_TEXT_BYTES_MAX);
    else if (value.length > CUT_VALUE_BYTES_MAX)
        return;
    if (!is_kept && !take_rest(cut, member->name, value.length))
        return;
    write_name(cut, member->name);
    buffer_append(cut->out, value.bytes, value.length);
    if (is_text)
        buffer_text(cut->out, "\"");
}

/* errorInfo, task or run */
static void write_object(struct cut *cut, const struct json_member *member)
{
    static const char *const kept[] = {"kind",  "message", "name", "shortName",
                                       "title", "labels",  "links"};
    const char *at = member->value.bytes, *end = at + member->value.length;
    struct json_member inner;
    write_name(cut, member->name);
    buffer_text(cut->out, "{");
    cut->is_first = true;
    while (json_scan_member(&at, end, &inner))
        write_member(cut, &inner, IS_ONE_OF(inner.name, kept));
    buffer_text(cut->out, "}");
    cut->is_first = false;
}

void event_cut(struct buffer *out, struct json_text event)
{
    static const char *const objects[] = {"errorInfo", "task", "run"};
    static const char *const kept[] = {"project", "domain",      "runName",      "name",
                                       "attempt", "phase",       "version",      "parent",
                                       "group",   "updatedTime", "reportedTime", "cluster",
                                       "title",   "links",       "dependsOn",    "aliases"};
    struct cut cut = {.out = out, .rest = CUT_REST_BYTES_MAX, .is_first = true};
    const char *at = event.bytes, *end = at + event.length;
    struct json_member member;
    buffer_text(out, "{");
    while (json_scan_member(&at, end, &member)) {
        if (member.value.bytes[0] == '{' && IS_ONE_OF(member.name, objects))
            write_object(&cut, &member);
        else if (!json_name_is(member.name, "truncated"))
            write_member(&cut, &member,
                         IS_ONE_OF(member.name, kept) || IS_ONE_OF(member.name, objects));
    }
    buffer_text(out, cut.is_first ? "\"truncated\":true}" : ",\"truncated\":true}");
}
