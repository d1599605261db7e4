#include "model/attempts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/action.h"
#include "model/attempt_state.h"
#include "model/timestamp.h"

enum member { ERROR_INFO, CLUSTER, OUTPUTS, LOG_INFO, CLUSTER_EVENTS, MEMBERS };

static const char *const member_names[MEMBERS] = {
    [ERROR_INFO] = "errorInfo",
    [CLUSTER] = "cluster",
    [OUTPUTS] = "outputs",
    [LOG_INFO] = "logInfo",
    [CLUSTER_EVENTS] = "clusterEvents",
};

struct attempt_event {
    struct event_order order;
    struct phase_said said;
    int64_t shown_us;                  /* where it stands among the transitions */
    size_t info_at, info_length;       /* in `infos` */
    struct json_text members[MEMBERS]; /* found by attempts_write; empty: it has none */
};

struct attempts {
    struct attempt_event *events;
    size_t count, capacity;
    struct buffer infos;
};

struct attempts *attempts_new(void)
{
    return calloc(1, sizeof(struct attempts));
}

void attempts_free(struct attempts *attempts)
{
    if (attempts == NULL)
        return;
    buffer_free(&attempts->infos);
    free(attempts->events);
    free(attempts);
}

int attempts_add(struct attempts *attempts, int32_t attempt, enum phase phase, int32_t version,
                 int64_t updated_us, struct json_text info)
{
    size_t info_at = attempts->infos.length;

    if (attempts->count == attempts->capacity) {
        size_t capacity = attempts->capacity == 0 ? 16 : attempts->capacity * 2;
        struct attempt_event *events = realloc(attempts->events, capacity * sizeof *events);

        if (events == NULL)
            return -ENOMEM;
        attempts->events = events;
        attempts->capacity = capacity;
    }
    if (info.length > 0)
        buffer_append(&attempts->infos, info.bytes, info.length);
    if (attempts->infos.failed)
        return -ENOMEM;
    attempts->events[attempts->count++] = (struct attempt_event){
        .order = event_order_of(attempt, phase, version),
        .said = {phase, version, updated_us},
        .info_at = info_at,
        .info_length = info.length,
    };
    return 0;
}

size_t attempts_bytes(const struct attempts *attempts)
{
    return attempts->capacity * sizeof *attempts->events + attempts->infos.capacity;
}

/* -------- putting the events in order -------- */

/* Of the same event twice, the one whose document is known comes first. */
static int compare_events(const void *a, const void *b)
{
    const struct attempt_event *left = a, *right = b;
    int order = event_order_compare(left->order, right->order);

    return order != 0 ? order
                      : (left->info_length < right->info_length) -
                            (left->info_length > right->info_length);
}

/* Whether the event was kept as it came. */
static bool find_members(struct attempt_event *event, const char *infos)
{
    const char *at = infos + event->info_at, *end = at + event->info_length;
    struct json_member member;
    bool is_whole = true;

    while (json_scan_member(&at, end, &member)) {
        if (member.value.bytes[0] == 't' && json_name_is(member.name, "truncated"))
            is_whole = false;
        for (int i = 0; i < MEMBERS; i++)
            if (member.value.bytes[0] != 'n' && json_name_is(member.name, member_names[i]))
                event->members[i] = member.value;
    }
    return is_whole;
}

/* In order, each once, with their members. Whether all were kept as they came. */
static bool arrange(struct attempts *attempts)
{
    size_t kept = 0;
    bool is_whole = true;

    if (attempts->count > 0)
        qsort(attempts->events, attempts->count, sizeof *attempts->events, compare_events);
    for (size_t i = 0; i < attempts->count; i++) {
        if (kept > 0 &&
            event_order_compare(attempts->events[kept - 1].order, attempts->events[i].order) == 0)
            continue;
        attempts->events[kept] = attempts->events[i];
        if (attempts->events[kept].info_length > 0)
            is_whole &= find_members(&attempts->events[kept], attempts->infos.bytes);
        kept++;
    }
    attempts->count = kept;
    return is_whole;
}

/* -------- arrays, joined -------- */

struct joined_item {
    struct json_text text;
    size_t event, index; /* its place: of its event, and in the event's array */
};

struct joined_items {
    struct joined_item *items;
    size_t count, capacity;
};

static int compare_places(const void *a, const void *b)
{
    const struct joined_item *left = a, *right = b;

    if (left->event != right->event)
        return left->event < right->event ? -1 : 1;
    return (left->index > right->index) - (left->index < right->index);
}

/* By text, the same texts by place. */
static int compare_texts(const void *a, const void *b)
{
    const struct joined_item *left = a, *right = b;
    int order;

    if (left->text.length != right->text.length)
        return left->text.length < right->text.length ? -1 : 1;
    order = memcmp(left->text.bytes, right->text.bytes, left->text.length);
    return order != 0 ? order : compare_places(a, b);
}

static int add_item(struct joined_items *joined, struct json_text text, size_t event, size_t index)
{
    if (joined->count == joined->capacity) {
        size_t capacity = joined->capacity == 0 ? 64 : joined->capacity * 2;
        struct joined_item *items = realloc(joined->items, capacity * sizeof *items);

        if (items == NULL)
            return -ENOMEM;
        joined->items = items;
        joined->capacity = capacity;
    }
    joined->items[joined->count++] =
        (struct joined_item){.text = text, .event = event, .index = index};
    return 0;
}

/* From the furthest event on. 1, 0 when there are more than may be, or -ENOMEM. */
static int gather(struct joined_items *joined, const struct attempt_event *events, size_t count,
                  enum member member)
{
    while (count-- > 0) {
        struct json_text list = events[count].members[member];
        const char *at = list.bytes;
        struct json_text item;

        if (at == NULL)
            continue;
        const char *end = at + list.length;
        for (size_t index = 0; json_scan_item(&at, end, &item); index++) {
            if (joined->count == ATTEMPT_ITEMS_MAX)
                return 0;
            if (add_item(joined, item, count, index) < 0)
                return -ENOMEM;
        }
    }
    return 1;
}

static bool is_same_text(struct json_text a, struct json_text b)
{
    return a.length == b.length && memcmp(a.bytes, b.bytes, a.length) == 0;
}

/* Of the same texts the first stays, in its place. Sorted, not hashed: no text can be made to cost
 * more than others. */
static void drop_repeats(struct joined_items *joined)
{
    size_t kept = 0;

    if (joined->count == 0)
        return;
    qsort(joined->items, joined->count, sizeof *joined->items, compare_texts);
    for (size_t i = 0; i < joined->count; i++)
        if (kept == 0 || !is_same_text(joined->items[kept - 1].text, joined->items[i].text))
            joined->items[kept++] = joined->items[i];
    joined->count = kept;
    qsort(joined->items, joined->count, sizeof *joined->items, compare_places);
}

/* Whether nothing was left out. */
static bool write_joined(struct buffer *out, const struct attempt_event *events, size_t count,
                         enum member member)
{
    struct joined_items joined = {0};
    int status = gather(&joined, events, count, member);

    drop_repeats(&joined);
    buffer_text(out, "[");
    for (size_t i = 0; i < joined.count; i++) {
        if (i > 0)
            buffer_text(out, ",");
        buffer_append(out, joined.items[i].text.bytes, joined.items[i].text.length);
    }
    buffer_text(out, "]");
    free(joined.items);
    out->failed |= status < 0;
    return status == 1;
}

/* -------- one attempt -------- */

static bool is_same_event(const struct attempt_event *event, const struct phase_said *said)
{
    return event->said.phase == said->phase && event->said.version == said->version;
}

/* An end that another one stands over. */
static bool has_lost(const struct attempt_event *event, const struct attempt_state *state)
{
    return phase_is_terminal(event->said.phase) && !is_same_event(event, &state->furthest);
}

/* Of the furthest event that has it. */
static void write_furthest(struct buffer *out, const struct attempt_event *events, size_t count,
                           const struct attempt_state *state, enum member member)
{
    while (count-- > 0) {
        struct json_text value = events[count].members[member];

        if (value.bytes == NULL || has_lost(&events[count], state))
            continue;
        buffer_append(out, value.bytes, value.length);
        return;
    }
    buffer_text(out, "null");
}

static int compare_transitions(const void *a, const void *b)
{
    const struct attempt_event *left = a, *right = b;

    if (left->shown_us != right->shown_us)
        return left->shown_us < right->shown_us ? -1 : 1;
    return event_order_compare(left->order, right->order);
}

/* Puts the events in the order of their times, which is how the attempt went, and drops the ends
 * that came too late to be one, and the service's own if there was another. By a clock that is
 * wrong something may have begun after the end: it begins with the end then. Returns how many are
 * left. */
static size_t arrange_transitions(struct attempt_event *events, size_t count,
                                  const struct attempt_state *state)
{
    const struct phase_said end = state->furthest;
    bool is_ended = phase_is_terminal(end.phase);
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        struct attempt_event *event = &events[i];

        event->shown_us = event->said.updated_us;
        if (is_ended && has_lost(event, state) &&
            (event->shown_us >= end.updated_us || event->said.version == ABANDONED_VERSION))
            continue;
        if (is_ended && event->shown_us > end.updated_us)
            event->shown_us = end.updated_us;
        events[kept++] = *event;
    }
    qsort(events, kept, sizeof *events, compare_transitions);
    return kept;
}

/* Of an end it is known when it ended. */
static int64_t transition_end_us(const struct attempt_event *events, size_t count, size_t i)
{
    if (i + 1 < count)
        return events[i + 1].shown_us;
    return phase_is_terminal(events[i].said.phase) ? events[i].shown_us : TIME_NONE;
}

/* Leaves the events in another order. */
static void write_transitions(struct buffer *out, struct attempt_event *events, size_t count,
                              const struct attempt_state *state)
{
    count = arrange_transitions(events, count, state);
    for (size_t i = 0; i < count; i++) {
        buffer_text(out, i == 0 ? "[{\"phase\":" : ",{\"phase\":");
        buffer_string(out, phase_name(events[i].said.phase));
        buffer_integer_member(out, ",\"version\":", events[i].said.version);
        buffer_timestamp_member(out, ",\"startTime\":", events[i].shown_us);
        buffer_timestamp_member(out, ",\"endTime\":", transition_end_us(events, count, i));
        buffer_text(out, "}");
    }
    buffer_text(out, "]");
}

static int64_t earliest(int64_t a, int64_t b)
{
    return a == TIME_NONE || b < a ? b : a;
}

static void write_times(struct buffer *out, const struct attempt_event *events, size_t count,
                        const struct attempt_state *state)
{
    const struct phase_said *furthest = &state->furthest;
    int64_t created_us = TIME_NONE, started_us = TIME_NONE, ended_us = TIME_NONE, milliseconds;

    for (size_t i = 0; i < count; i++) {
        created_us = earliest(created_us, events[i].said.updated_us);
        if (events[i].said.phase == PHASE_RUNNING)
            started_us = earliest(started_us, events[i].said.updated_us);
    }
    if (phase_is_terminal(furthest->phase))
        ended_us = furthest->updated_us;
    if (furthest->phase == PHASE_SKIPPED)
        started_us = TIME_NONE;
    milliseconds = duration_ms(started_us, ended_us);
    buffer_timestamp_member(out, ",\"createdAt\":", created_us);
    buffer_timestamp_member(out, ",\"startedAt\":", started_us);
    buffer_timestamp_member(out, ",\"endedAt\":", ended_us);
    buffer_text(out, ",\"durationMs\":");
    if (milliseconds < 0)
        buffer_text(out, "null");
    else
        buffer_integer(out, milliseconds);
}

/* Of events that stand in order, and are left in another. Whether nothing was left out. */
static bool write_attempt(struct buffer *out, struct attempt_event *events, size_t count)
{
    struct attempt_state state = {0};
    bool is_whole;

    for (size_t i = 0; i < count; i++)
        attempt_state_take(&state, &events[i].said);
    buffer_integer_member(out, "{\"attempt\":", events[0].order.attempt);
    buffer_string_member(out, ",\"phase\":", phase_name(attempt_state_shown(&state)->phase));
    write_times(out, events, count, &state);
    buffer_text(out, ",\"errorInfo\":");
    write_furthest(out, events, count, &state, ERROR_INFO);
    buffer_text(out, ",\"cluster\":");
    write_furthest(out, events, count, &state, CLUSTER);
    buffer_text(out, ",\"outputs\":");
    write_furthest(out, events, count, &state, OUTPUTS);
    buffer_text(out, ",\"logInfo\":");
    is_whole = write_joined(out, events, count, LOG_INFO);
    buffer_text(out, ",\"clusterEvents\":");
    is_whole &= write_joined(out, events, count, CLUSTER_EVENTS);
    buffer_text(out, ",\"phaseTransitions\":");
    write_transitions(out, events, count, &state);
    buffer_text(out, "}");
    return is_whole;
}

bool attempts_write(struct attempts *attempts, struct buffer *out)
{
    bool is_whole = arrange(attempts);
    size_t first = 0, end;

    buffer_text(out, "[");
    for (; first < attempts->count; first = end) {
        for (end = first; end < attempts->count && attempts->events[end].order.attempt ==
                                                       attempts->events[first].order.attempt;)
            end++;
        if (first > 0)
            buffer_text(out, ",");
        is_whole &= write_attempt(out, &attempts->events[first], end - first);
    }
    buffer_text(out, "]");
    return is_whole;
}
