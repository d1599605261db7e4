/* One request's events: from a body to decoded events, and from verdicts to an answer. */
#include "model/event_batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/event_scan.h"
#include "model/json_scan.h"

/* What all events of one request are decoded with. */
struct batch_decoding {
    struct event_batch *batch;
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

/* Says why jansson did not take a text. It has no text to say when it got no memory for a value. */
static int refuse_json(struct problem *problem, const json_error_t *error)
{
    if (json_error_code(error) == json_error_out_of_memory || !error->text[0])
        return refuse_memory(problem);
    return problem_set(problem, PROBLEM_INVALID_JSON, NULL, "Line %d, column %d: %s.", error->line,
                       error->column, error->text);
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

/* Decodes one event into place `index`; what is wrong with it alone becomes its result. */
static int add_event(struct batch_decoding *decoding, size_t index, json_t *document,
                     struct json_text info, size_t nesting)
{
    struct problem problem;
    int failed;
    if (info.length > EVENT_BYTES_MAX)
        failed =
            problem_set(&problem, PROBLEM_PAYLOAD_TOO_LARGE, NULL,
                        "The event has %zu bytes, %d are allowed.", info.length, EVENT_BYTES_MAX);
    else if (nesting > EVENT_NESTING_MAX)
        failed = problem_set(&problem, PROBLEM_INVALID_FIELD, NULL,
                             "The event is nested %zu levels deep, %d are allowed.", nesting,
                             EVENT_NESTING_MAX);
    else
        failed = action_event_decode(&decoding->batch->events[index], document, info,
                                     decoding->path, decoding->received_us, &problem);
    if (failed && event_result_reject(&decoding->batch->results[index], &problem) != 0)
        return refuse_memory(decoding->problem);
    return 0;
}

static int decode_single(struct batch_decoding *decoding, json_t *document, struct json_text text)
{
    size_t nesting;
    text.length =
        (size_t)(json_scan_value(text.bytes, text.bytes + text.length, &nesting) - text.bytes);
    decoding->batch->is_single = true;
    if (make_room(decoding->batch, 1, decoding->problem) != 0)
        return -1;
    return add_event(decoding, 0, document, text, nesting);
}

/* The first member beside "events", NULL if there is none. */
static const char *find_member_beside_events(json_t *document)
{
    for (void *at = json_object_iter(document); at; at = json_object_iter_next(document, at))
        if (strcmp(json_object_iter_key(at), "events") != 0)
            return json_object_iter_key(at);
    return NULL;
}

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

static int check_batch(json_t *document, struct problem *problem)
{
    const json_t *events = json_object_get(document, "events");
    const char *other = find_member_beside_events(document);
    if (other) {
        char pointer[PROBLEM_POINTER_SIZE];
        point_to_member(other, pointer);
        return problem_set(problem, PROBLEM_INVALID_FIELD, pointer,
                           "A batch has no member beside events.");
    }
    if (!json_is_array(events))
        return problem_set(problem, PROBLEM_INVALID_FIELD, "/events", "events must be an array.");
    if (json_array_size(events) > BATCH_EVENTS_MAX)
        return refuse_count(problem);
    return 0;
}

/* {"events": [ … ]}: the text is walked along with the array, to know each event as it was
 * received. */
static int decode_list(struct batch_decoding *decoding, json_t *document, struct json_text text)
{
    if (check_batch(document, decoding->problem) != 0)
        return -1;
    const json_t *events = json_object_get(document, "events");
    if (make_room(decoding->batch, json_array_size(events), decoding->problem) != 0)
        return -1;
    const char *end = text.bytes + text.length;
    size_t nesting;
    /* Past the brace, the only key, the colon and the bracket. */
    const char *at = json_scan_value(json_scan_space(text.bytes + 1, end), end, &nesting);
    at = json_scan_space(json_scan_space(at, end) + 1, end) + 1;
    for (size_t i = 0; i < decoding->batch->count; i++) {
        const char *begin = json_scan_space(at, end);
        const char *behind = json_scan_value(begin, end, &nesting);
        struct json_text info = {.bytes = begin, .length = (size_t)(behind - begin)};
        if (add_event(decoding, i, json_array_get(events, i), info, nesting) != 0)
            return -1;
        at = json_scan_space(behind, end) + 1;
    }
    return 0;
}

static struct json_text trim(const char *bytes, size_t length)
{
    const char *end = json_scan_space_back(bytes, bytes + length);
    const char *begin = json_scan_space(bytes, end);
    return (struct json_text){.bytes = begin, .length = (size_t)(end - begin)};
}

/* -------- plain events, which need no document -------- */

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
    json_error_t error = {0};
    if (text.length == 0 && decoding->path)
        text = (struct json_text){.bytes = "{}", .length = 2};
    if (text.length == 0)
        return problem_set(decoding->problem, PROBLEM_INVALID_JSON, NULL, "The body is empty.");
    int status = decoding->path ? 0 : scan_body(decoding, text);
    if (status != 0)
        return status == 1 ? 0 : -1;
    json_t *document =
        json_loadb(text.bytes, text.length, action_event_parse_flags() | JSON_DECODE_ANY, &error);
    if (!document)
        return refuse_json(decoding->problem, &error);
    if (!json_is_object(document))
        status = problem_set(decoding->problem, PROBLEM_BAD_REQUEST, NULL,
                             "The body must be an event or an object with the member events, "
                             "which is an array of them.");
    else if (!decoding->path && json_object_get(document, "events"))
        status = decode_list(decoding, document, text);
    else
        status = decode_single(decoding, document, text);
    json_decref(document);
    return status;
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
    json_error_t error = {0};
    size_t nesting;
    if (line.length > EVENT_BYTES_MAX) /* refused there; not worth parsing */
        return add_event(decoding, index, NULL, line, 0);
    int status = scan_event(decoding, index, line);
    if (status != 0)
        return status == 1 ? 0 : -1;
    json_t *document =
        json_loadb(line.bytes, line.length, action_event_parse_flags() | JSON_DECODE_ANY, &error);
    if (!document) {
        struct problem problem;
        refuse_json(&problem, &error);
        if (problem.kind == PROBLEM_OVERLOADED ||
            event_result_reject(&decoding->batch->results[index], &problem) != 0)
            return refuse_memory(decoding->problem);
        return 0;
    }
    json_scan_value(line.bytes, line.bytes + line.length, &nesting);
    status = add_event(decoding, index, document, line, nesting);
    json_decref(document);
    return status;
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
        .batch = batch, .path = path, .received_us = received_us, .problem = problem};
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

static const char *status_name(enum event_status status)
{
    static const char *const names[] = {
        [EVENT_PENDING] = "pending", [EVENT_APPLIED] = "applied",     [EVENT_RECORDED] = "recorded",
        [EVENT_WAITING] = "waiting", [EVENT_DUPLICATE] = "duplicate", [EVENT_REJECTED] = "rejected",
    };
    return names[status];
}

static void write_detail(struct json_buffer *out, const char *waiting_for)
{
    if (!waiting_for) {
        json_buffer_text(out,
                         ",\"detail\":\"The action waits for an event that names its parent.\"");
        return;
    }
    json_buffer_text(out, ",\"detail\":\"The action waits for its parent ");
    json_buffer_text(out, waiting_for); /* a name has nothing to escape */
    json_buffer_text(out, " to join the tree.\"");
}

static void write_problem(struct json_buffer *out, const struct problem *problem)
{
    json_t *json = problem_to_json(problem);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_buffer_text(out, ",\"problem\":");
    if (text)
        json_buffer_text(out, text);
    else
        out->failed = true;
    free(text);
    json_decref(json);
}

void event_result_write(struct json_buffer *out, const struct event_result *result)
{
    json_buffer_text(out, "{\"status\":\"");
    json_buffer_text(out, status_name(result->status));
    json_buffer_text(out, "\"");
    if (result->revision) {
        json_buffer_text(out, ",\"revision\":");
        json_buffer_integer(out, result->revision);
    }
    if (result->status == EVENT_WAITING)
        write_detail(out, result->waiting_for);
    if (result->status == EVENT_DUPLICATE)
        json_buffer_text(out, result->identical ? ",\"identical\":true" : ",\"identical\":false");
    if (result->problem)
        write_problem(out, result->problem);
    json_buffer_text(out, "}");
}
