/* Attempts merged from events, held to an oracle that compares everything with everything. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_test.h"
#include "model/attempts.h"
#include "model/timestamp.h"
#include "random.h"

enum { EVENTS_MAX = 40, TEXT_MAX = 512 };

struct told_event {
    int32_t attempt, version;
    enum phase phase;
    int64_t updated_us;
    char text[TEXT_MAX];
};

static struct json_text text_of(const char *text)
{
    return (struct json_text){.bytes = text, .length = strlen(text)};
}

static bool is_before(const struct told_event *a, const struct told_event *b)
{
    return event_order_compare(event_order_of(a->attempt, a->phase, a->version),
                               event_order_of(b->attempt, b->phase, b->version)) < 0;
}

static void sort_events(struct told_event *events, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t k = i; k > 0 && is_before(&events[k], &events[k - 1]); k--) {
            struct told_event event = events[k];
            events[k] = events[k - 1];
            events[k - 1] = event;
        }
}

/* -------- the oracle -------- */

static json_t *time_or_null(int64_t time_us)
{
    char text[TIMESTAMP_SIZE];
    if (time_us == TIME_NONE)
        return json_null();
    timestamp_format(time_us, text);
    return json_string(text);
}

/* The end that stands, NULL while there is none. */
static const struct told_event *end_of(const struct told_event *events, size_t count)
{
    const struct told_event *end = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!phase_is_terminal(events[i].phase))
            continue;
        const struct told_event *at = &events[i];
        if (!end || at->version > end->version ||
            (at->version == end->version &&
             (at->updated_us < end->updated_us ||
              (at->updated_us == end->updated_us && at->phase < end->phase))))
            end = at;
    }
    return end;
}

static bool has_lost(const struct told_event *event, const struct told_event *end)
{
    return phase_is_terminal(event->phase) && event != end;
}

static json_t *furthest(const struct told_event *events, size_t count, const char *name)
{
    json_t *found = json_null();
    for (size_t i = 0; i < count; i++) {
        if (has_lost(&events[i], end_of(events, count)))
            continue;
        json_t *document = json_loads(events[i].text, 0, NULL);
        json_t *member = json_object_get(document, name);
        if (member && !json_is_null(member)) {
            json_decref(found);
            found = json_incref(member);
        }
        json_decref(document);
    }
    return found;
}

static json_t *joined(const struct told_event *events, size_t count, const char *name)
{
    json_t *all = json_array(), *item, *known;
    size_t k, n;
    for (size_t i = 0; i < count; i++) {
        json_t *document = json_loads(events[i].text, 0, NULL);
        json_array_foreach (json_object_get(document, name), k, item) {
            bool is_repeat = false;
            json_array_foreach (all, n, known)
                is_repeat |= json_equal(known, item);
            if (!is_repeat)
                json_array_append(all, item);
        }
        json_decref(document);
    }
    return all;
}

/* By time and place, the one before the last comes next; NULL: none is left. */
static const struct told_event *next_transition(const struct told_event *events, size_t count,
                                                const struct told_event *last, int64_t last_us)
{
    const struct told_event *end = end_of(events, count), *next = NULL;
    int64_t next_us = 0;
    for (size_t i = 0; i < count; i++) {
        const struct told_event *at = &events[i];
        int64_t at_us = end && at->updated_us > end->updated_us ? end->updated_us : at->updated_us;
        if (end && has_lost(at, end) &&
            (at->updated_us >= end->updated_us || at->version == ABANDONED_VERSION))
            continue;
        if (last && (at_us < last_us || (at_us == last_us && at <= last)))
            continue;
        if (!next || at_us < next_us) {
            next = at;
            next_us = at_us;
        }
    }
    return next;
}

static json_t *expected_transitions(const struct told_event *events, size_t count)
{
    json_t *transitions = json_array(), *last_entry = NULL;
    const struct told_event *end = end_of(events, count), *last = NULL;
    int64_t last_us = 0;
    while ((last = next_transition(events, count, last, last_us))) {
        last_us = end && last->updated_us > end->updated_us ? end->updated_us : last->updated_us;
        if (last_entry)
            json_object_set_new(last_entry, "endTime", time_or_null(last_us));
        last_entry = json_pack("{s:s, s:i, s:o, s:o}", "phase", phase_name(last->phase), "version",
                               last->version, "startTime", time_or_null(last_us), "endTime",
                               last == end ? time_or_null(last_us) : json_null());
        json_array_append_new(transitions, last_entry);
    }
    return transitions;
}

/* Of two waits; of the same time and version the one with the greater number. */
static bool is_later_wait(const struct told_event *a, const struct told_event *b)
{
    if (a->updated_us != b->updated_us)
        return a->updated_us > b->updated_us;
    return a->version != b->version ? a->version > b->version : a->phase > b->phase;
}

/* The phase that the attempt is in. */
static enum phase expected_phase(const struct told_event *events, size_t count)
{
    const struct told_event *last = &events[count - 1], *wait = NULL;
    if (end_of(events, count))
        return end_of(events, count)->phase;
    for (size_t i = 0; i < count; i++)
        if (events[i].phase < PHASE_RUNNING && events[i].version > 0 &&
            (!wait || is_later_wait(&events[i], wait)))
            wait = &events[i];
    return (last->phase == PHASE_RUNNING || last->phase == PHASE_PAUSED) && wait &&
                   wait->version > last->version && wait->updated_us > last->updated_us
               ? wait->phase
               : last->phase;
}

static json_t *expected_attempt(const struct told_event *events, size_t count)
{
    const struct told_event *end = end_of(events, count);
    int64_t created = INT64_MAX, started = INT64_MAX;
    for (size_t i = 0; i < count; i++) {
        created = events[i].updated_us < created ? events[i].updated_us : created;
        if (events[i].phase == PHASE_RUNNING && events[i].updated_us < started)
            started = events[i].updated_us;
    }
    if (end && end->phase == PHASE_SKIPPED)
        started = INT64_MAX;
    int64_t duration = end && end->updated_us > started ? (end->updated_us - started) / 1000 : 0;
    return json_pack(
        "{s:i, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "attempt",
        events[0].attempt, "phase", phase_name(expected_phase(events, count)), "createdAt",
        time_or_null(created), "startedAt",
        time_or_null(started == INT64_MAX ? TIME_NONE : started), "endedAt",
        time_or_null(end ? end->updated_us : TIME_NONE), "durationMs",
        end && started != INT64_MAX ? json_integer(duration) : json_null(), "errorInfo",
        furthest(events, count, "errorInfo"), "cluster", furthest(events, count, "cluster"),
        "outputs", furthest(events, count, "outputs"), "logInfo", joined(events, count, "logInfo"),
        "clusterEvents", joined(events, count, "clusterEvents"), "phaseTransitions",
        expected_transitions(events, count));
}

static json_t *expected_attempts(struct told_event *events, size_t count)
{
    json_t *list = json_array();
    sort_events(events, count);
    for (size_t first = 0, end; first < count; first = end) {
        for (end = first; end < count && events[end].attempt == events[first].attempt; end++)
            ;
        json_array_append_new(list, expected_attempt(&events[first], end - first));
    }
    return list;
}

/* -------- inventions -------- */

static void add_text(char text[static TEXT_MAX], const char *more)
{
    size_t length = strlen(text);
    assert_true(length + strlen(more) < TEXT_MAX);
    memcpy(text + length, more, strlen(more) + 1);
}

static void add_member(struct random *random, char text[static TEXT_MAX], const char *name,
                       const char *value)
{
    if (random_once_in(random, 2))
        return;
    add_text(text, ",\"");
    add_text(text, name);
    add_text(text, "\":");
    add_text(text, value);
}

static void add_array(struct random *random, char text[static TEXT_MAX], const char *name)
{
    /* Equal as JSON only if they are the same text. */
    static const char *const items[] = {"1",     "2",  "\"1\"", "{\"a\":1}", "{\"a\":2}",
                                        "[1,2]", "[]", "null",  "\"],\"",    "0.1"};
    char array[TEXT_MAX] = "[";
    for (size_t i = random_below(random, 5); i > 0; i--) {
        add_text(array, array[1] ? "," : "");
        add_text(array, items[random_below(random, 10)]);
    }
    add_text(array, "]");
    add_member(random, text, name, random_once_in(random, 5) ? "null" : array);
}

static bool has_key_of(const struct told_event *events, size_t count,
                       const struct told_event *event)
{
    for (size_t i = 0; i < count; i++)
        if (events[i].attempt == event->attempt && events[i].phase == event->phase &&
            events[i].version == event->version)
            return true;
    return false;
}

static struct told_event invent(struct random *random, int32_t version)
{
    struct told_event event = {.attempt = 1 + (int32_t)random_below(random, 3),
                               .version = version,
                               .phase = (enum phase)(1 + random_below(random, PHASE_SLOTS - 1)),
                               .updated_us = (int64_t)random_below(random, 20) * 1000,
                               .text = "{\"x\":1"};
    if (event.phase == PHASE_ABORTED && random_once_in(random, 2))
        event.version = ABANDONED_VERSION;
    add_member(random, event.text, "errorInfo",
               random_once_in(random, 2) ? "null" : "{\"message\":\"m\"}");
    add_member(random, event.text, "cluster", random_once_in(random, 2) ? "\"c\"" : "\"null\"");
    add_member(random, event.text, "out\\u0070uts", "{\"logInfo\":[9]}");
    add_array(random, event.text, "logInfo");
    add_array(random, event.text, "clusterEvents");
    add_text(event.text, "}");
    return event;
}

static json_t *merged(const struct told_event *events, const size_t *order, size_t count)
{
    struct attempts *attempts = attempts_new();
    struct buffer out = {0};
    for (size_t i = 0; i < count; i++) {
        const struct told_event *event = &events[order[i]];
        assert_int_equal(attempts_add(attempts, event->attempt, event->phase, event->version,
                                      event->updated_us, text_of(event->text)),
                         0);
    }
    assert_true(attempts_write(attempts, &out));
    json_t *list = json_loadb(out.bytes, out.length, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(list);
    buffer_free(&out);
    attempts_free(attempts);
    return list;
}

static void test_equals_the_oracle(void **state)
{
    (void)state;
    struct random random = random_start("attempts");
    struct told_event events[EVENTS_MAX];
    for (int round = 0; round < 500; round++) {
        size_t count = random_below(&random, EVENTS_MAX + 1), order[EVENTS_MAX];
        for (size_t i = 0; i < count; i++) {
            do
                events[i] = invent(&random, (int32_t)random_below(&random, 6));
            while (has_key_of(events, i, &events[i]));
            order[i] = i;
        }
        random_shuffle(&random, order, count);
        json_t *found = merged(events, order, count);
        json_t *expected = expected_attempts(events, count);
        assert_true(json_equal(found, expected));
        json_decref(expected);
        json_decref(found);
    }
}

/* -------- single cases -------- */

static char *write_text(struct attempts *attempts, bool is_whole)
{
    struct buffer out = {0};
    assert_int_equal(attempts_write(attempts, &out), is_whole);
    buffer_append(&out, "", 1);
    attempts_free(attempts);
    return out.bytes;
}

static void test_texts_are_shown_as_they_came(void **state)
{
    (void)state;
    struct attempts *attempts = attempts_new();
    attempts_add(
        attempts, 1, PHASE_RUNNING, 0, 0,
        text_of("{\"outputs\": {\"a\":0.1, \"b\":1E5,\"c\":-0} ,\"logInfo\":[ 1.0,1 , 1.0 ]"
                ",\"cluster\":\"\\u0041\"}"));
    char *text = write_text(attempts, true);
    assert_non_null(strstr(text, "\"outputs\":{\"a\":0.1, \"b\":1E5,\"c\":-0},"));
    assert_non_null(strstr(text, "\"logInfo\":[1.0,1],"));
    assert_non_null(strstr(text, "\"cluster\":\"\\u0041\","));
    free(text);
}

/* The first event of a phase may be told twice, once without its document. */
static void test_the_same_event_twice(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct attempts *attempts = attempts_new();
        for (int i = 0; i < 2; i++)
            attempts_add(attempts, 1, PHASE_RUNNING, 0, 0,
                         text_of(i == first ? "" : "{\"logInfo\":[1]}"));
        char *text = write_text(attempts, true);
        const char *transition = strstr(text, "\"startTime\"");
        assert_non_null(strstr(text, "\"logInfo\":[1]"));
        assert_null(strstr(transition + 1, "\"startTime\""));
        free(text);
    }
}

/* Of too many items the furthest event's stay. */
static void test_items_at_the_limit_and_one_past_it(void **state)
{
    (void)state;
    for (int extra = 0; extra < 2; extra++) {
        struct attempts *attempts = attempts_new();
        struct buffer last = {0};
        buffer_text(&last, "{\"logInfo\":[\"last\"");
        for (int i = 1; i < ATTEMPT_ITEMS_MAX - 1; i++) {
            buffer_text(&last, ",");
            buffer_integer(&last, i);
        }
        buffer_text(&last, "]}");
        attempts_add(
            attempts, 1, PHASE_QUEUED, 0, 0,
            text_of(extra ? "{\"logInfo\":[\"kept\",\"left out\"]}" : "{\"logInfo\":[\"kept\"]}"));
        attempts_add(attempts, 1, PHASE_RUNNING, 0, 0,
                     (struct json_text){.bytes = last.bytes, .length = last.length});
        buffer_free(&last);
        char *text = write_text(attempts, !extra);
        assert_non_null(strstr(text, "\"logInfo\":[\"kept\",\"last\",1,2,"));
        assert_null(strstr(text, "left out"));
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_the_oracle),
        cmocka_unit_test(test_texts_are_shown_as_they_came),
        cmocka_unit_test(test_the_same_event_twice),
        cmocka_unit_test(test_items_at_the_limit_and_one_past_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
