/* One request's events: from a body to decoded events, and from verdicts to an answer. */
#include "model/event_batch.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/error_info.h"
#include "model/event_cut.h"
#include "model/event_scan.h"
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

static int refuse_count(struct problem *problem)
{
    return problem_set(problem, PROBLEM_TOO_MANY_EVENTS, NULL,
                       "The request has more than %d events.", BATCH_EVENTS_MAX);
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
                       error->text);
}

/* Events and results for `count` events. */
static int make_room(struct event_batch *batch, size_t count, struct problem *problem)
{
    batch->events = calloc(count ? count : 1, sizeof *batch->events);
    batch->results = calloc(count ? count : 1, sizeof *batch->results);
    if (!batch->events || !batch->results)
        return refuse_memory(problem);
    batch->count = count;
    return 0;
}

static int keep_text(struct arena *texts, const char **text)
{
    if (!*text)
        return 0;
    *text = arena_copy(texts, *text);
    return *text ? 0 : -ENOMEM;
}

/* Lets the event's document go, of which the rest of a batch would hold many times its text. 0 or
 * -ENOMEM. */
static int drop_document(struct action_event *event, struct arena *texts)
{
    const char **borrowed[] = {&event->run.project, &event->run.domain, &event->run.run_name,
                               &event->name,        &event->parent,     &event->group,
                               &event->task_name,   &event->short_name};
    json_t *error_info = event->error_info ? error_info_cut(event->error_info) : NULL;
    bool failed = event->error_info && !error_info;
    for (size_t i = 0; i < sizeof borrowed / sizeof *borrowed; i++)
        failed |= keep_text(texts, borrowed[i]) != 0;
    json_decref(event->error_info);
    json_decref(event->document);
    event->error_info = error_info;
    event->document = NULL;
    return failed ? -ENOMEM : 0;
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

/* 1: the event is in place `index`; 0: it is not plain; -1: out of memory, *problem says so. */
static int scan_event(struct batch_decoding *decoding, size_t index, struct json_text info)
{
    struct event_batch *batch = decoding->batch;
    if (info.length == 0 || info.length > EVENT_BYTES_MAX || decoding->path)
        return 0;
    char *text = arena_alloc_text(&batch->texts, info.length);
    if (!text)
        return refuse_memory(decoding->problem);
    memcpy(text, info.bytes, info.length);
    if (!event_scan(text, info.length, decoding->received_us, &batch->events[index])) {
        batch->events[index] = (struct action_event){0};
        return 0;
    }
    batch->events[index].info = info;
    return 1;
}

/* Of a text that is valid JSON as far as json_scan_error sees. */
enum outcome { DECODED, INVALID, NO_MEMORY }; /* the latter two with *problem */

static enum outcome decode_event(struct batch_decoding *decoding, struct action_event *event,
                                 struct json_text text, struct problem *problem)
{
    struct json_text info = text;
    bool is_truncated = text.length > EVENT_BYTES_MAX;
    json_error_t error = {0};
    size_t nesting;
    json_scan_value(text.bytes, text.bytes + text.length, &nesting);
    if (nesting > EVENT_NESTING_MAX) {
        problem_set(problem, PROBLEM_INVALID_FIELD, NULL,
                    "The event is nested %zu levels deep, %d are allowed.", nesting,
                    EVENT_NESTING_MAX);
        return INVALID;
    }
    if (is_truncated && text.bytes[0] == '{' && cut_event(decoding->batch, &info) != 0) {
        refuse_memory(problem);
        return NO_MEMORY;
    }
    if (info.length > EVENT_BYTES_MAX) {
        problem_set(problem, PROBLEM_PAYLOAD_TOO_LARGE, NULL,
                    "The event has %zu bytes that cannot be left out, %d are allowed.", info.length,
                    EVENT_BYTES_MAX);
        return INVALID;
    }
    json_t *document = action_event_parse(info, JSON_DECODE_ANY, &error);
    if (!document) {
        refuse_json(decoding->form == EVENT_BATCH_NDJSON ? text.bytes : decoding->batch->body,
                    text.bytes, &error, problem);
        return problem->kind == PROBLEM_OVERLOADED ? NO_MEMORY : INVALID;
    }
    int failed =
        action_event_decode(event, document, info, decoding->path, decoding->received_us, problem);
    json_decref(document);
    if (failed)
        return INVALID;
    event->is_truncated = is_truncated;
    if (drop_document(event, &decoding->batch->texts) == 0)
        return DECODED;
    refuse_memory(problem);
    return NO_MEMORY;
}

/* Decodes an event into place `index`; what is wrong with it alone becomes its result. */
static int add_event(struct batch_decoding *decoding, size_t index, struct json_text text)
{
    struct event_batch *batch = decoding->batch;
    struct problem problem;
    int status = scan_event(decoding, index, text);
    if (status != 0)
        return status == 1 ? 0 : -1;
    switch (decode_event(decoding, &batch->events[index], text, &problem)) {
    case DECODED:
        return 0;
    case INVALID:
        /* Of a JSON document, what is no JSON is the document's fault; a line is one by itself. */
        if (problem.kind != PROBLEM_INVALID_JSON || decoding->form == EVENT_BATCH_NDJSON)
            return event_result_reject(&batch->results[index], &problem) == 0
                       ? 0
                       : refuse_memory(decoding->problem);
        break;
    case NO_MEMORY:
        break;
    }
    *decoding->problem = problem;
    return -1;
}

static int decode_single(struct batch_decoding *decoding, struct json_text text)
{
    decoding->batch->is_single = true;
    if (make_room(decoding->batch, 1, decoding->problem) != 0)
        return -1;
    return add_event(decoding, 0, text);
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
static int read_list(struct json_text text, struct json_text *events, struct problem *problem)
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
    if (lists == 1 && events->bytes[0] != '[')
        return problem_set(problem, PROBLEM_INVALID_FIELD, "/events", "events must be an array.");
    return (int)lists;
}

/* {"events": [ … ]} */
static int decode_list(struct batch_decoding *decoding, struct json_text events)
{
    const char *at = events.bytes, *end = events.bytes + events.length;
    struct json_text event;
    size_t count = 0;
    while (json_scan_item(&at, end, &event) && count <= BATCH_EVENTS_MAX)
        count++;
    if (count > BATCH_EVENTS_MAX)
        return refuse_count(decoding->problem);
    if (make_room(decoding->batch, count, decoding->problem) != 0)
        return -1;
    at = events.bytes;
    for (size_t i = 0; json_scan_item(&at, end, &event); i++)
        if (add_event(decoding, i, event) != 0)
            return -1;
    return 0;
}

static struct json_text trim(const char *bytes, size_t length)
{
    const char *end = json_scan_space_back(bytes, bytes + length);
    const char *begin = json_scan_space(bytes, end);
    return (struct json_text){.bytes = begin, .length = (size_t)(end - begin)};
}

/* -------- plain events, which need no document -------- */

/* Past white space and `token`; NULL if something else is there. */
static const char *skip_token(const char *at, const char *end, const char *token)
{
    size_t length = strlen(token);
    if (!at)
        return NULL;
    at = json_scan_space(at, end);
    return (size_t)(end - at) >= length && memcmp(at, token, length) == 0 ? at + length : NULL;
}

/* The first value of the list in `text`, if that looks like {"events": [ … ]}; else NULL. */
static const char *find_list(struct json_text text)
{
    const char *end = text.bytes + text.length;
    const char *at = skip_token(text.bytes, end, "{");
    return skip_token(skip_token(skip_token(at, end, "\"events\""), end, ":"), end, "[");
}

/* How many values stand between `at` and the end of the list, which must be the end of the text; 0
 * if it is not, or if there are too many. */
static size_t count_values(const char *at, const char *end)
{
    size_t nesting;
    for (size_t count = 1; count <= BATCH_EVENTS_MAX; count++) {
        at = json_scan_value(json_scan_space(at, end), end, &nesting);
        const char *comma = skip_token(at, end, ",");
        if (!comma) {
            at = skip_token(skip_token(at, end, "]"), end, "}");
            return at == end ? count : 0;
        }
        at = comma;
    }
    return 0;
}

/* As scan_event, for all events of a list. */
static int scan_list(struct batch_decoding *decoding, struct json_text text)
{
    const char *end = text.bytes + text.length, *at = find_list(text);
    size_t count = at ? count_values(at, end) : 0, nesting;
    int status = count > 0;
    if (count > 0 && make_room(decoding->batch, count, decoding->problem) != 0)
        return -1;
    for (size_t i = 0; i < count && status == 1; i++) {
        const char *begin = json_scan_space(at, end);
        const char *behind = json_scan_value(begin, end, &nesting);
        struct json_text info = {.bytes = begin, .length = (size_t)(behind - begin)};
        status = scan_event(decoding, i, info);
        at = json_scan_space(behind, end) + 1;
    }
    return status;
}

static int scan_single(struct batch_decoding *decoding, struct json_text text)
{
    decoding->batch->is_single = true;
    if (make_room(decoding->batch, 1, decoding->problem) != 0)
        return -1;
    return scan_event(decoding, 0, text);
}

/* Forgets what was read of a batch that is not all plain. */
static void start_anew(struct event_batch *batch)
{
    free(batch->events);
    free(batch->results);
    arena_free(&batch->texts);
    *batch = (struct event_batch){.body = batch->body, .body_length = batch->body_length};
}

/* 1: the whole body is decoded; 0: it is not plain; -1: out of memory. */
static int scan_body(struct batch_decoding *decoding, struct json_text text)
{
    int status = find_list(text) ? scan_list(decoding, text) : scan_single(decoding, text);
    if (status == 0)
        start_anew(decoding->batch);
    return status;
}

/* -------- bodies -------- */

static int decode_json(struct batch_decoding *decoding)
{
    struct json_text text = trim(decoding->batch->body, decoding->batch->body_length);
    if (text.length == 0 && decoding->path)
        text = (struct json_text){.bytes = "{}", .length = 2};
    if (text.length == 0)
        return problem_set(decoding->problem, PROBLEM_INVALID_JSON, NULL, "The body is empty.");
    int status = decoding->path ? 0 : scan_body(decoding, text);
    if (status != 0)
        return status == 1 ? 0 : -1;
    const char *wrong = json_scan_error(text);
    struct json_text events = {0};
    if (wrong)
        return refuse_place(decoding->batch->body, wrong, decoding->problem);
    if (text.bytes[0] != '{')
        return problem_set(decoding->problem, PROBLEM_BAD_REQUEST, NULL,
                           "The body must be an event or an object with the member events, "
                           "which is an array of them.");
    status = decoding->path ? 0 : read_list(text, &events, decoding->problem);
    if (status < 0)
        return -1;
    return status == 1 ? decode_list(decoding, events) : decode_single(decoding, text);
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

static int decode_line(struct batch_decoding *decoding, size_t index, struct json_text line)
{
    struct problem problem;
    const char *wrong = line.length > EVENT_BYTES_MAX ? json_scan_error(line) : NULL;
    if (!wrong)
        return add_event(decoding, index, line);
    refuse_place(line.bytes, wrong, &problem);
    if (event_result_reject(&decoding->batch->results[index], &problem) != 0)
        return refuse_memory(decoding->problem);
    return 0;
}

static int decode_ndjson(struct batch_decoding *decoding)
{
    const char *end = decoding->batch->body + decoding->batch->body_length;
    const char *at = decoding->batch->body;
    size_t count = 0;
    while (next_line(&at, end).length)
        count++;
    if (count > BATCH_EVENTS_MAX)
        return refuse_count(decoding->problem);
    if (make_room(decoding->batch, count, decoding->problem) != 0)
        return -1;
    at = decoding->batch->body;
    for (size_t i = 0; i < count; i++)
        if (decode_line(decoding, i, next_line(&at, end)) != 0)
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
           batch->count * (sizeof *batch->events + sizeof *batch->results);
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
    buffer_text(out, result->is_too_deep ? ",\"detail\":\"The action cannot join: its parent "
                                         : ",\"detail\":\"The action waits for its parent ");
    buffer_text(out, result->waiting_for); /* a name has nothing to escape */
    buffer_text(out, result->is_too_deep ? " is on the last level that a tree may have.\""
                                         : " to join the tree.\"");
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
        buffer_text(out, ",\"revision\":");
        buffer_integer(out, result->revision);
    }
    if (result->status == EVENT_WAITING)
        write_detail(out, result);
    if (result->status == EVENT_DUPLICATE)
        buffer_text(out, result->identical ? ",\"identical\":true" : ",\"identical\":false");
    if (is_truncated)
        buffer_text(out, ",\"truncated\":true");
    if (result->problem)
        write_problem(out, result->problem);
    buffer_text(out, "}");
}
