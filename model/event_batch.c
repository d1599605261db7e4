/* One request's events: from a body to decoded events, and from verdicts to an answer. */
#include "model/event_batch.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/event_cut.h"
#include "model/json_scan.h"

/* What all events of one request are decoded with. */
struct batch_decoding {
    struct event_batch *batch;
    enum event_batch_form form;
    const struct action_event_path *path;
    int64_t received_us;
    struct problem *problem; /* of the request as a whole */
};

void event_result_clear(struct event_result *result)
{
    free(result->waiting_for);
    free(result->differing);
    free(result->problem);
    *result = (struct event_result){0};
}

int event_result_reject(struct event_result *result, const struct problem *problem)
{
    struct problem *copy = malloc(sizeof *copy);
    if (!copy)
        return -ENOMEM;
    *copy = *problem;
    event_result_clear(result);
    result->status = EVENT_REJECTED;
    result->problem = copy;
    return 0;
}

static int refuse_memory(struct problem *problem)
{
    return problem_set(problem, PROBLEM_OVERLOADED, NULL,
                       "There was not enough memory to read the request.");
}

/* How a place in the body, or in a line of it, is told. */
struct place {
    int line, column;
};

static struct place find_place(const char *text, const char *at)
{
    struct place place = {.line = 1, .column = 1};
    assert(text);
    for (const char *c = text; c < at; c++) {
        place.line += *c == '\n';
        place.column = *c == '\n' ? 1 : place.column + 1;
    }
    return place;
}

/* Where lines and columns of an event are counted from. */
static const char *count_from(const struct batch_decoding *decoding, struct json_text text)
{
    return decoding->form == EVENT_BATCH_NDJSON ? text.bytes : decoding->batch->body;
}

static int refuse_place(const char *text, const char *at, struct problem *problem)
{
    struct place place = find_place(text, at);
    return problem_set(problem, PROBLEM_INVALID_JSON, NULL,
                       "Line %d, column %d: this is no JSON, or nested too deep.", place.line,
                       place.column);
}

/* Says why jansson did not take what is at `at` in `text`. It has no text to say when it got no
 * memory for a value. */
static int refuse_json(const char *text, const char *at, const json_error_t *error,
                       struct problem *problem)
{
    struct place place = find_place(text, at);
    if (json_error_code(error) == json_error_out_of_memory || !error->text[0])
        return refuse_memory(problem);
    return problem_set(problem, PROBLEM_INVALID_JSON, NULL, "Line %d, column %d: %s.",
                       place.line + error->line - 1,
                       error->line > 1 ? error->column : place.column + error->column - 1,
                       json_error_code(error) == json_error_null_character
                           ? "\\u0000 is not allowed"
                           : error->text);
}

/* Room for one event and its result behind those that are there. */
static int make_room(struct event_batch *batch, struct problem *problem)
{
    if (batch->count == batch->room) {
        size_t room = batch->room == 0 ? 1 : batch->room < 16 ? 16 : 2 * batch->room;
        struct action_event *events = realloc(batch->events, room * sizeof *events);
        if (events)
            batch->events = events;
        struct event_result *results = realloc(batch->results, room * sizeof *results);
        if (results)
            batch->results = results;
        if (!events || !results)
            return refuse_memory(problem);
        batch->room = room;
    }
    batch->events[batch->count] = (struct action_event){0};
    batch->results[batch->count] = (struct event_result){0};
    batch->count++;
    return 0;
}

/* What of an event that is too large is kept. 0 or -ENOMEM. */
static int cut_event(struct event_batch *batch, struct json_text *info)
{
    struct buffer cut = {0};
    char *text = NULL;
    event_cut(&cut, *info);
    if (!cut.failed)
        text = arena_alloc_text(&batch->texts, cut.length);
    if (text) {
        memcpy(text, cut.bytes, cut.length);
        *info = (struct json_text){.bytes = text, .length = cut.length};
    }
    buffer_free(&cut);
    return text ? 0 : -ENOMEM;
}

/* -------- one event -------- */

static int refuse_nesting(struct json_text text, struct problem *problem)
{
    size_t nesting;
    json_scan_value(text.bytes, text.bytes + text.length, &nesting);
    if (nesting <= EVENT_NESTING_MAX)
        return 0;
    return problem_set(problem, PROBLEM_INVALID_FIELD, NULL,
                       "The event is nested %zu levels deep, %d are allowed.", nesting,
                       EVENT_NESTING_MAX);
}

/* Says why an event is none, of which `info` is what was to be decoded. */
static int explain(const struct batch_decoding *decoding, struct json_text text,
                   struct json_text info, struct problem *problem)
{
    json_error_t error;
    if (!json_scan_error(text) && refuse_nesting(text, problem) != 0)
        return -1;
    json_t *document = action_event_parse(info, JSON_DECODE_ANY, &error);
    json_decref(document);
    if (document) /* so there was no memory before */
        return refuse_memory(problem);
    return refuse_json(count_from(decoding, text), text.bytes, &error, problem);
}

static int decode_event(struct batch_decoding *decoding, struct action_event *event,
                        struct json_text text, struct problem *problem)
{
    struct json_text info = text;
    bool is_truncated = text.length > EVENT_BYTES_MAX;
    const char *wrong = is_truncated ? json_scan_error(text) : NULL;
    if (wrong)
        return refuse_place(count_from(decoding, text), wrong, problem);
    if (is_truncated && refuse_nesting(text, problem) != 0)
        return -1;
    if (is_truncated && text.bytes[0] == '{' && cut_event(decoding->batch, &info) != 0)
        return refuse_memory(problem);
    if (info.length > EVENT_BYTES_MAX)
        return problem_set(problem, PROBLEM_PAYLOAD_TOO_LARGE, NULL,
                           "The event has %zu bytes that cannot be left out, %d are allowed.",
                           info.length, EVENT_BYTES_MAX);
    switch (action_event_decode(event, info, decoding->path, decoding->received_us,
                                &decoding->batch->texts, problem)) {
    case 0:
        event->is_truncated = is_truncated;
        return 0;
    case -ENOMEM:
        return refuse_memory(problem);
    case -EBADMSG:
        return explain(decoding, text, info, problem);
    }
    return -1;
}

/* Decodes one more event; what is wrong with it alone becomes its result. */
static int add_event(struct batch_decoding *decoding, struct json_text text)
{
    struct event_batch *batch = decoding->batch;
    struct problem problem;
    if (batch->count == BATCH_EVENTS_MAX)
        return problem_set(decoding->problem, PROBLEM_TOO_MANY_EVENTS, NULL,
                           "The request has more than %d events.", BATCH_EVENTS_MAX);
    if (make_room(batch, decoding->problem) != 0)
        return -1;
    size_t index = batch->count - 1;
    if (decode_event(decoding, &batch->events[index], text, &problem) == 0)
        return 0;
    /* Of a JSON document, what is no JSON is the document's fault; a line is one by itself. */
    if (problem.kind == PROBLEM_OVERLOADED ||
        (problem.kind == PROBLEM_INVALID_JSON && decoding->form != EVENT_BATCH_NDJSON)) {
        *decoding->problem = problem;
        return -1;
    }
    return event_result_reject(&batch->results[index], &problem) == 0
               ? 0
               : refuse_memory(decoding->problem);
}

/* -------- a list of events -------- */

/* A JSON Pointer to a member of the request (RFC 6901, section 3: ~ and / are escaped). */
static void point_to_member(const char *member, char pointer[static PROBLEM_POINTER_SIZE])
{
    char *at = pointer, *end = pointer + PROBLEM_POINTER_SIZE - 2;
    *at++ = '/';
    for (; *member && at < end; member++) {
        if (*member == '~' || *member == '/')
            *at++ = '~';
        *at++ = *member == '~' ? '0' : *member == '/' ? '1' : *member;
    }
    *at = '\0';
}

/* `name` as written; one that is too long for a pointer is not decoded. */
static int refuse_member(struct json_text name, struct problem *problem)
{
    char pointer[PROBLEM_POINTER_SIZE], written[PROBLEM_POINTER_SIZE];
    json_t *decoded = NULL;
    snprintf(written, sizeof written, "%.*s", (int)name.length, name.bytes);
    if (name.length < sizeof written)
        decoded = json_loadb(name.bytes - 1, name.length + 2, JSON_DECODE_ANY, NULL);
    point_to_member(decoded ? json_string_value(decoded) : written, pointer);
    json_decref(decoded);
    return problem_set(problem, PROBLEM_INVALID_FIELD, pointer,
                       "A batch has no member beside events.");
}

/* 1: `text`, an object, is a list of events, and *events its value; 0: it is none; -1: *problem. */
static int find_list(struct json_text text, struct json_text *events, struct problem *problem)
{
    const char *at = text.bytes, *end = text.bytes + text.length;
    struct json_member member, other = {0};
    size_t lists = 0;
    while (json_scan_member(&at, end, &member)) {
        if (!json_name_is(member.name, "events")) {
            other = other.name.bytes ? other : member;
            continue;
        }
        *events = member.value;
        lists++;
    }
    if (lists > 1)
        return problem_set(problem, PROBLEM_INVALID_JSON, NULL, "The member events comes twice.");
    if (lists == 1 && other.name.bytes)
        return refuse_member(other.name, problem);
    if (lists == 1 && (events->length == 0 || events->bytes[0] != '['))
        return problem_set(problem, PROBLEM_INVALID_FIELD, "/events", "events must be an array.");
    if (lists == 1 && (at != end - 1 || *at != '}'))
        return refuse_place(text.bytes, at, problem);
    return (int)lists;
}

/* The events of [ … ] */
static int decode_list(struct batch_decoding *decoding, struct json_text events)
{
    const char *at = events.bytes, *end = events.bytes + events.length;
    struct json_text event;
    while (json_scan_item(&at, end, &event))
        if (add_event(decoding, event) != 0)
            return -1;
    return at == end - 1 && *at == ']' ? 0 : refuse_place(events.bytes, at, decoding->problem);
}

static struct json_text trim(const char *bytes, size_t length)
{
    const char *end = json_scan_space_back(bytes, bytes + length);
    const char *begin = json_scan_space(bytes, end);
    return (struct json_text){.bytes = begin, .length = (size_t)(end - begin)};
}

/* -------- bodies -------- */

static int decode_document(struct batch_decoding *decoding, struct json_text text)
{
    struct json_text events = {0};
    if (text.bytes[0] != '{')
        return problem_set(decoding->problem, PROBLEM_BAD_REQUEST, NULL,
                           "The body must be an event or an object with the member events, "
                           "which is an array of them.");
    int lists = decoding->path ? 0 : find_list(text, &events, decoding->problem);
    if (lists != 0)
        return lists == 1 ? decode_list(decoding, events) : -1;
    decoding->batch->is_single = true;
    return add_event(decoding, text);
}

static int decode_json(struct batch_decoding *decoding)
{
    struct json_text text = trim(decoding->batch->body, decoding->batch->body_length);
    if (text.length == 0 && decoding->path)
        text = (struct json_text){.bytes = "{}", .length = 2};
    if (text.length == 0)
        return problem_set(decoding->problem, PROBLEM_INVALID_JSON, NULL, "The body is empty.");
    if (decode_document(decoding, text) == 0)
        return 0;
    /* Whatever else is wrong: of a body that is no JSON, it is that. */
    const char *wrong =
        decoding->problem->kind == PROBLEM_OVERLOADED ? NULL : json_scan_error(text);
    return wrong ? refuse_place(decoding->batch->body, wrong, decoding->problem) : -1;
}

/* The next line that is not blank, trimmed; length 0 when there is none. Moves *at behind it. */
static struct json_text next_line(const char **at, const char *end)
{
    struct json_text line = {0};
    while (line.length == 0 && *at < end) {
        const char *newline = memchr(*at, '\n', (size_t)(end - *at));
        const char *line_end = newline ? newline : end;
        line = trim(*at, (size_t)(line_end - *at));
        *at = newline ? newline + 1 : end;
    }
    return line;
}

static int decode_ndjson(struct batch_decoding *decoding)
{
    const char *end = decoding->batch->body + decoding->batch->body_length;
    const char *at = decoding->batch->body;
    struct json_text line;
    while ((line = next_line(&at, end)).length > 0)
        if (add_event(decoding, line) != 0)
            return -1;
    return 0;
}

int event_batch_decode(struct event_batch *batch, char *body, size_t length,
                       enum event_batch_form form, const struct action_event_path *path,
                       int64_t received_us, struct problem *problem)
{
    *batch = (struct event_batch){.body = body, .body_length = body ? length : 0};
    struct batch_decoding decoding = {
        .batch = batch, .form = form, .path = path, .received_us = received_us, .problem = problem};
    int status;
    if (batch->body_length > BATCH_BYTES_MAX)
        status = problem_set(problem, PROBLEM_PAYLOAD_TOO_LARGE, NULL,
                             "The body has %zu bytes, %d are allowed.", length, BATCH_BYTES_MAX);
    else
        status = form == EVENT_BATCH_NDJSON ? decode_ndjson(&decoding) : decode_json(&decoding);
    if (status != 0)
        event_batch_clear(batch);
    return status;
}

void event_batch_clear(struct event_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        action_event_clear(&batch->events[i]);
        event_result_clear(&batch->results[i]);
    }
    free(batch->events);
    free(batch->results);
    free(batch->body);
    arena_free(&batch->texts);
    *batch = (struct event_batch){0};
}

size_t event_batch_bytes(const struct event_batch *batch)
{
    return batch->body_length + batch->texts.bytes +
           batch->room * (sizeof *batch->events + sizeof *batch->results);
}

static const char *status_name(enum event_status status)
{
    static const char *const names[] = {
        [EVENT_PENDING] = "pending", [EVENT_APPLIED] = "applied",     [EVENT_RECORDED] = "recorded",
        [EVENT_WAITING] = "waiting", [EVENT_DUPLICATE] = "duplicate", [EVENT_REJECTED] = "rejected",
    };
    return names[status];
}

static void write_detail(struct buffer *out, const struct event_result *result)
{
    if (!result->waiting_for) {
        buffer_text(out, ",\"detail\":\"The action waits for an event that names its parent.\"");
        return;
    }
    char detail[PROBLEM_DETAIL_SIZE];
    snprintf(detail, sizeof detail,
             result->is_too_deep
                 ? "The action cannot join: its parent %s is on the last level that "
                   "a tree may have."
                 : "The action waits for its parent %s to join the tree.",
             result->waiting_for);
    buffer_string_member(out, ",\"detail\":", detail);
}

/* How the same phase is said again, which is what the sender mostly meant. */
static void write_difference(struct buffer *out, const char *differing)
{
    static const char again[] =
        " The stored event stays; to say the phase again, send it with a greater version.";
    struct buffer detail = {0};

    buffer_text(&detail, "An event with this attempt, phase and version is stored already, and says"
                         " something else: ");
    buffer_text(&detail, differing);
    buffer_text(&detail, ".");
    buffer_append(&detail, again, sizeof again); /* with the NUL */
    out->failed |= detail.failed;
    if (!detail.failed) {
        buffer_string_member(out, ",\"detail\":", detail.bytes);
    }
    buffer_free(&detail);
}

static void write_problem(struct buffer *out, const struct problem *problem)
{
    json_t *json = problem_to_json(problem);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    buffer_text(out, ",\"problem\":");
    if (text)
        buffer_text(out, text);
    else
        out->failed = true;
    free(text);
    json_decref(json);
}

void event_result_write(struct buffer *out, const struct event_result *result, bool is_truncated)
{
    buffer_text(out, "{\"status\":\"");
    buffer_text(out, status_name(result->status));
    buffer_text(out, "\"");
    if (result->revision) {
        buffer_integer_member(out, ",\"revision\":", result->revision);
    }
    if (result->status == EVENT_WAITING)
        write_detail(out, result);
    if (result->status == EVENT_DUPLICATE)
        buffer_text(out, result->identical ? ",\"identical\":true" : ",\"identical\":false");
    if (result->differing)
        write_difference(out, result->differing);
    if (result->is_paused)
        buffer_text(out, ",\"detail\":\"The action stays PAUSED, which has the same version; to "
                         "resume it, send RUNNING with a greater one.\"");
    if (result->is_given_up)
        buffer_text(out, ",\"detail\":\"The action was given up after the end of its run; only its "
                         "own end or another attempt takes that back.\"");
    if (is_truncated)
        buffer_text(out, ",\"truncated\":true");
    if (result->is_abort_requested)
        buffer_text(out, ",\"abortRequested\":true");
    if (result->problem)
        write_problem(out, result->problem);
    buffer_text(out, "}");
}
