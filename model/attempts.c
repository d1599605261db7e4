#include "model/attempts.h"

#include <errno.h>
#include <stdlib.h>

#include "model/action.h"
#include "model/timestamp.h"

struct attempt_event {
    struct event_order order;
    enum phase phase;
    int32_t version;
    int64_t updated_us;
    json_t *document;
};

struct attempts {
    struct attempt_event *events;
    size_t count, capacity;
};

struct attempts *attempts_new(void)
{
    return calloc(1, sizeof(struct attempts));
}

void attempts_free(struct attempts *attempts)
{
    if (attempts == NULL)
        return;
    for (size_t i = 0; i < attempts->count; i++)
        json_decref(attempts->events[i].document);
    free(attempts->events);
    free(attempts);
}

int attempts_add(struct attempts *attempts, int32_t attempt, enum phase phase, int32_t version,
                 int64_t updated_us, const char *info)
{
    json_t *document = json_loads(info, 0, NULL);

    if (document == NULL)
        return -ENOMEM;
    if (attempts->count == attempts->capacity) {
        size_t capacity = attempts->capacity == 0 ? 16 : attempts->capacity * 2;
        struct attempt_event *events = realloc(attempts->events, capacity * sizeof *events);

        if (events == NULL) {
            json_decref(document);
            return -ENOMEM;
        }
        attempts->events = events;
        attempts->capacity = capacity;
    }
    attempts->events[attempts->count++] = (struct attempt_event){
        .order = event_order_of(attempt, phase, version),
        .phase = phase,
        .version = version,
        .updated_us = updated_us,
        .document = document,
    };
    return 0;
}

static int compare_events(const void *a, const void *b)
{
    const struct attempt_event *left = a, *right = b;

    return event_order_compare(left->order, right->order);
}

static json_t *time_or_null(int64_t time_us)
{
    char text[TIMESTAMP_SIZE];

    if (time_us == TIME_NONE)
        return json_null();
    timestamp_format(time_us, text);
    return json_string(text);
}

/* Of the furthest event that has the member. */
static json_t *furthest_member(const struct attempt_event *events, size_t count, const char *name)
{
    while (count-- > 0) {
        json_t *member = json_object_get(events[count].document, name);

        if (member != NULL && !json_is_null(member))
            return json_incref(member);
    }
    return json_null();
}

static json_t *joined_member(const struct attempt_event *events, size_t count, const char *name)
{
    json_t *joined = json_array(), *item, *known;
    size_t k, n;

    for (size_t i = 0; i < count; i++) {
        json_array_foreach (json_object_get(events[i].document, name), k, item) {
            bool is_repeat = false;

            json_array_foreach (joined, n, known)
                is_repeat |= json_equal(known, item);
            if (!is_repeat && json_array_append(joined, item) < 0) {
                json_decref(joined);
                return NULL;
            }
        }
    }
    return joined;
}

static json_t *transitions(const struct attempt_event *events, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++) {
        json_t *transition =
            json_pack("{s:s, s:i, s:o, s:o}", "phase", phase_name(events[i].phase), "version",
                      events[i].version, "startTime", time_or_null(events[i].updated_us), "endTime",
                      time_or_null(i + 1 < count ? events[i + 1].updated_us : TIME_NONE));

        if (json_array_append_new(list, transition) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static int64_t earliest(int64_t a, int64_t b)
{
    return a == TIME_NONE || b < a ? b : a;
}

/* One attempt, whose events stand in order. */
static json_t *attempt_to_json(const struct attempt_event *events, size_t count)
{
    const struct attempt_event *last = &events[count - 1];
    struct action times = {.created_us = TIME_NONE, .started_us = TIME_NONE, .ended_us = TIME_NONE};
    int64_t duration_ms;

    for (size_t i = 0; i < count; i++) {
        times.created_us = earliest(times.created_us, events[i].updated_us);
        if (events[i].phase == PHASE_RUNNING)
            times.started_us = earliest(times.started_us, events[i].updated_us);
    }
    if (phase_is_terminal(last->phase))
        times.ended_us = last->updated_us;
    duration_ms = action_duration_ms(&times);
    return json_pack("{s:i, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "attempt",
                     last->order.attempt, "phase", phase_name(last->phase), "createdAt",
                     time_or_null(times.created_us), "startedAt", time_or_null(times.started_us),
                     "endedAt", time_or_null(times.ended_us), "durationMs",
                     duration_ms < 0 ? json_null() : json_integer(duration_ms), "errorInfo",
                     furthest_member(events, count, "errorInfo"), "cluster",
                     furthest_member(events, count, "cluster"), "outputs",
                     furthest_member(events, count, "outputs"), "logInfo",
                     joined_member(events, count, "logInfo"), "clusterEvents",
                     joined_member(events, count, "clusterEvents"), "phaseTransitions",
                     transitions(events, count));
}

json_t *attempts_to_json(struct attempts *attempts)
{
    json_t *list = json_array();
    size_t first = 0;

    if (attempts->count > 0)
        qsort(attempts->events, attempts->count, sizeof *attempts->events, compare_events);
    while (first < attempts->count) {
        size_t end = first;

        while (end < attempts->count &&
               attempts->events[end].order.attempt == attempts->events[first].order.attempt)
            end++;
        if (json_array_append_new(list, attempt_to_json(&attempts->events[first], end - first)) <
            0) {
            json_decref(list);
            return NULL;
        }
        first = end;
    }
    return list;
}
