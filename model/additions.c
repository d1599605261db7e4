#include "model/additions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* In the text it is "name":[attempt,position,value]. */
struct kept_addition {
    struct event_order from;
    struct json_text value;
};

static const char *const names[ADDITIONS] = {
    [ADDITION_TITLE] = "title",
    [ADDITION_LINKS] = "links",
    [ADDITION_DEPENDS_ON] = "dependsOn",
};

static struct kept_addition read_addition(struct json_text list)
{
    const char *at = list.bytes, *end = at + list.length;
    struct json_text attempt, position;
    struct kept_addition kept = {0};

    if (json_scan_item(&at, end, &attempt) && json_scan_item(&at, end, &position) &&
        json_scan_item(&at, end, &kept.value)) {
        kept.from.attempt = (int32_t)strtol(attempt.bytes, NULL, 10);
        kept.from.position = strtoll(position.bytes, NULL, 10);
    }
    return kept;
}

static void read_additions(const char *text, struct kept_addition kept[static ADDITIONS])
{
    const char *at = text, *end = text + strlen(text);
    struct json_member member;

    while (json_scan_member(&at, end, &member))
        for (int i = 0; i < ADDITIONS; i++)
            if (json_name_is(member.name, names[i]))
                kept[i] = read_addition(member.value);
}

static void write_additions(struct buffer *out, const struct kept_addition kept[static ADDITIONS])
{
    const char *separator = "{\"";

    for (int i = 0; i < ADDITIONS; i++) {
        if (kept[i].from.attempt == 0)
            continue;
        buffer_text(out, separator);
        buffer_text(out, names[i]);
        buffer_text(out, "\":[");
        buffer_integer(out, kept[i].from.attempt);
        buffer_text(out, ",");
        buffer_integer(out, kept[i].from.position);
        buffer_text(out, ",");
        buffer_append(out, kept[i].value.bytes, kept[i].value.length);
        buffer_text(out, "]");
        separator = ",\"";
    }
    buffer_text(out, "}");
}

static bool is_same(struct json_text value, const char *said)
{
    return value.bytes != NULL && value.length == strlen(said) &&
           memcmp(value.bytes, said, value.length) == 0;
}

/* Whether the event says anything that is not kept from an earlier one, and whether it is seen. */
static bool take(struct kept_addition kept[static ADDITIONS], const struct action_event *event,
                 bool *is_visible)
{
    struct event_order order = event_order_of(event->attempt, event->phase, event->version);
    bool is_changed = false;

    *is_visible = false;
    for (int i = 0; i < ADDITIONS; i++) {
        const char *said = event->additions[i];

        if (said == NULL ||
            (kept[i].from.attempt != 0 && event_order_compare(order, kept[i].from) >= 0))
            continue;
        is_changed = true;
        *is_visible |= !is_same(kept[i].value, said);
        kept[i] = (struct kept_addition){order, {.bytes = said, .length = strlen(said)}};
    }
    return is_changed;
}

int additions_take(struct action *action, const struct action_event *event, struct arena *arena,
                   struct action_change *change)
{
    struct kept_addition kept[ADDITIONS] = {0};
    struct buffer text = {0};
    bool is_visible;

    if (!event->has_additions)
        return 0;
    if (action->additions != NULL)
        read_additions(action->additions, kept);
    if (!take(kept, event, &is_visible))
        return 0;
    write_additions(&text, kept);
    buffer_append(&text, "", 1);
    action->additions = text.failed ? NULL : arena_copy(arena, text.bytes);
    buffer_free(&text);
    change->is_changed = true;
    change->is_visible |= is_visible;
    return action->additions == NULL ? -ENOMEM : 0;
}

struct json_text additions_title(const char *kept_text)
{
    struct kept_addition kept[ADDITIONS] = {0};

    if (kept_text != NULL)
        read_additions(kept_text, kept);
    return kept[ADDITION_TITLE].value;
}

void additions_write(struct buffer *out, const char *kept_text)
{
    struct kept_addition kept[ADDITIONS] = {0};

    read_additions(kept_text, kept);
    for (int i = 0; i < ADDITIONS; i++) {
        if (kept[i].from.attempt == 0)
            continue;
        buffer_text(out, ",\"");
        buffer_text(out, names[i]);
        buffer_text(out, "\":");
        buffer_append(out, kept[i].value.bytes, kept[i].value.length);
    }
}
