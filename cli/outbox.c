#include "cli/outbox.h"

#include <stdlib.h>
#include <string.h>

#include "model/text.h"

enum { HALF_NAME_BYTES = 255 };

int outbox_init(struct outbox *outbox)
{
    *outbox = (struct outbox){.events = json_array(), .refused = json_array()};
    return outbox->events == NULL || outbox->refused == NULL ? -1 : 0;
}

void outbox_clear(struct outbox *outbox)
{
    json_decref(outbox->events);
    json_decref(outbox->refused);
    json_decref(outbox->start);
    json_decref(outbox->name);
    *outbox = (struct outbox){0};
}

bool outbox_is_empty(const struct outbox *outbox)
{
    return json_array_size(outbox->events) == 0;
}

void outbox_add(struct outbox *outbox, json_t *event)
{
    if (event == NULL)
        return;
    if (outbox->is_batch) {
        json_array_append_new(outbox->events, event);
        return;
    }
    if (outbox->name == NULL) {
        outbox->name = json_incref(json_object_get(event, "name"));
        outbox->attempt = json_integer_value(json_object_get(event, "attempt"));
        outbox->first_attempt = outbox->attempt;
    }
    json_object_set(event, "name", outbox->name);
    json_object_set_new(event, "attempt", json_integer(outbox->attempt));
    json_array_append_new(outbox->events, event);
}

/* How much of a name fits into half of one. */
static size_t utf8_prefix(const char *text)
{
    size_t length = strlen(text);

    return length <= HALF_NAME_BYTES ? length : utf8_cut(text, HALF_NAME_BYTES);
}

static bool is_text(const json_t *value, const char *text)
{
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

/* The first event of an execution: that it runs. */
static bool is_start(const json_t *event)
{
    return is_text(json_object_get(event, "phase"), "RUNNING") &&
           json_integer_value(json_object_get(event, "version")) == 0;
}

/* Takes `events` over. */
static char *body_of(json_t *events)
{
    json_t *body = json_pack("{s:o}", "events", events);
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);

    json_decref(body);
    return text;
}

char *outbox_question(const struct outbox *outbox)
{
    return outbox->start == NULL ? NULL : body_of(json_pack("[O]", outbox->start));
}

char *outbox_body(struct outbox *outbox)
{
    size_t count = json_array_size(outbox->events);
    json_t *sent = json_array();

    if (count > OUTBOX_REQUEST_EVENTS_MAX)
        count = OUTBOX_REQUEST_EVENTS_MAX;
    if (!outbox->is_batch && count > 0 && is_start(json_array_get(outbox->events, 0)))
        count = 1;
    for (size_t i = 0; i < count; i++)
        json_array_append(sent, json_array_get(outbox->events, i));
    outbox->sent = count;
    return body_of(sent);
}

static void name_all(struct outbox *outbox)
{
    for (size_t i = 0; i < json_array_size(outbox->events); i++) {
        json_t *event = json_array_get(outbox->events, i);

        json_object_set(event, "name", outbox->name);
        json_object_set_new(event, "attempt", json_integer(outbox->attempt));
    }
}

/* The action is another one's child: under its own parent it has a longer name. */
static void rename_all(struct outbox *outbox, const json_t *event)
{
    const char *parent = json_string_value(json_object_get(event, "parent"));
    const char *name = json_string_value(outbox->name);
    json_t *longer = json_sprintf("%.*s.%.*s", parent == NULL ? 0 : (int)utf8_prefix(parent),
                                  parent == NULL ? "" : parent, (int)utf8_prefix(name), name);

    if (longer == NULL)
        return;
    json_decref(outbox->name);
    outbox->name = longer;
    outbox->attempt = outbox->first_attempt;
    name_all(outbox);
}

enum fate { FATE_TAKEN, FATE_CONFLICT, FATE_OTHER_PARENT, FATE_REFUSED };

static enum fate fate_of(const struct outbox *outbox, const json_t *event, const json_t *result)
{
    const json_t *status = json_object_get(result, "status");
    const json_t *type = json_object_get(json_object_get(result, "problem"), "type");

    if (!outbox->is_batch && is_text(status, "duplicate") && is_start(event) &&
        json_is_false(json_object_get(result, "identical")) &&
        outbox->conflicts < OUTBOX_CONFLICTS_MAX)
        return FATE_CONFLICT;
    if (!is_text(status, "rejected"))
        return FATE_TAKEN;
    return !outbox->is_batch && is_text(type, "/problems/parent-conflict") &&
                   outbox->conflicts < OUTBOX_CONFLICTS_MAX
               ? FATE_OTHER_PARENT
               : FATE_REFUSED;
}

static void refuse(struct outbox *outbox, json_t *event, json_t *problem)
{
    json_array_append_new(outbox->refused,
                          json_pack("{s:O, s:O?}", "event", event, "problem", problem));
}

static void take(struct outbox *outbox, json_t *event, const json_t *result)
{
    outbox->is_abort_asked |= json_is_true(json_object_get(result, "abortRequested"));
    if (outbox->start == NULL && is_start(event))
        outbox->start = json_incref(event);
}

/* What is taken or refused goes; after a conflict, which only a start can meet, all stay. */
static void settle(struct outbox *outbox, json_t *results)
{
    bool is_conflict = false;

    for (size_t i = 0; i < outbox->sent && !is_conflict; i++) {
        json_t *event = json_array_get(outbox->events, i), *result = json_array_get(results, i);
        enum fate fate = fate_of(outbox, event, result);

        is_conflict = fate == FATE_CONFLICT || fate == FATE_OTHER_PARENT;
        if (is_conflict)
            outbox->conflicts++;
        if (fate == FATE_TAKEN)
            take(outbox, event, result);
        else if (fate == FATE_CONFLICT)
            outbox->asks_state = true;
        else if (fate == FATE_OTHER_PARENT)
            rename_all(outbox, event);
        else if (fate == FATE_REFUSED)
            refuse(outbox, event, json_object_get(result, "problem"));
    }
    for (size_t i = outbox->sent; i > 0 && !is_conflict; i--)
        json_array_remove(outbox->events, i - 1);
}

enum outbox_verdict outbox_take_answer(struct outbox *outbox, int status, const char *body,
                                       size_t length)
{
    json_t *answer = body == NULL ? NULL : json_loadb(body, length, 0, NULL);
    json_t *results = json_object_get(answer, "results");
    enum outbox_verdict verdict = OUTBOX_TAKEN;

    if (status >= 200 && status < 300 && json_array_size(results) == outbox->sent) {
        settle(outbox, results);
    } else if (status == 400 || status == 413 || status == 415) {
        for (size_t i = 0; i < outbox->sent; i++)
            refuse(outbox, json_array_get(outbox->events, i), answer);
        for (size_t i = outbox->sent; i > 0; i--)
            json_array_remove(outbox->events, i - 1);
    } else {
        verdict = OUTBOX_RETRY;
    }
    json_decref(answer);
    outbox->sent = 0;
    return verdict;
}

void outbox_take_question_answer(struct outbox *outbox, const char *body, size_t length)
{
    json_t *answer = body == NULL ? NULL : json_loadb(body, length, 0, NULL);
    const json_t *result = json_array_get(json_object_get(answer, "results"), 0);

    outbox->is_abort_asked |= json_is_true(json_object_get(result, "abortRequested"));
    json_decref(answer);
}

void outbox_take_state(struct outbox *outbox, const json_t *action)
{
    json_int_t attempt = json_integer_value(json_object_get(action, "attempt"));

    outbox->attempt = (attempt > outbox->attempt ? attempt : outbox->attempt) + 1;
    outbox->asks_state = false;
    name_all(outbox);
}
