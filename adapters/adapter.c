/* What all adapters have in common: looking at a request, and appending events. */
#include "adapters/adapter.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "model/action_event.h"
#include "model/problem.h"
#include "model/text.h"
#include "model/timestamp.h"

enum { ID_BYTES_MAX = 64 };
enum { RAW_BYTES_MAX = 64 * 1024, ERROR_BYTES_MAX = 64 * 1024 };

/* The latest time that is taken for one: the year 9999. */
static const int64_t TIME_MS_MAX = INT64_C(253402300799000);

const char *adapter_header(const struct adapter_request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++)
        if (strcasecmp(request->headers[i].name, name) == 0)
            return request->headers[i].value;
    return NULL;
}

const char *adapter_parameter(const struct adapter_request *request, const char *name)
{
    for (size_t i = 0; i < request->parameter_count; i++)
        if (strcmp(request->parameters[i].name, name) == 0)
            return request->parameters[i].value;
    return NULL;
}

bool adapter_path_is(const struct adapter_request *request, const char *path)
{
    for (size_t i = 0; i < request->path_count; i++) {
        size_t length = strcspn(path, "/");
        if (strlen(request->path[i]) != length || memcmp(request->path[i], path, length) != 0)
            return false;
        path += length + (path[length] == '/');
    }
    return !*path;
}

const char *unmapped_kind_name(enum unmapped_kind kind)
{
    static const char *const names[UNMAPPED_KINDS] = {
        [UNMAPPED_PATH] = "path",   [UNMAPPED_BODY] = "body",   [UNMAPPED_TYPE] = "type",
        [UNMAPPED_STATE] = "state", [UNMAPPED_FIELD] = "field", [UNMAPPED_REJECTED] = "rejected",
    };
    return names[kind];
}

void adapter_handle(const struct adapter_tool *tool, const struct adapter_request *request,
                    struct adapter_answer *answer)
{
    *answer = (struct adapter_answer){.tool = tool->name, .request = request, .status = 200};
    tool->handle(request, answer);
    answer->request = NULL;
    if (answer->events.failed || answer->body.failed)
        answer->failed = true;
}

void adapter_answer_clear(struct adapter_answer *answer)
{
    buffer_free(&answer->events);
    buffer_free(&answer->body);
    json_decref(answer->roots);
    answer->roots = NULL;
}

/* -------- reading -------- */

static json_t *parse(struct adapter_answer *answer, const char *text, size_t length)
{
    json_error_t error;
    json_t *json = json_loadb(text, length, JSON_DECODE_ANY, &error);
    if (!json && json_error_code(&error) == json_error_numeric_overflow)
        json = json_loadb(text, length, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &error);
    if (!json && json_error_code(&error) == json_error_out_of_memory)
        answer->failed = true;
    else if (!json)
        adapter_unmapped(answer, UNMAPPED_BODY, NULL, NULL, "line %d, column %d: %s", error.line,
                         error.column, error.text);
    return json;
}

json_t *adapter_body(struct adapter_answer *answer)
{
    const struct adapter_request *request = answer->request;
    return parse(answer, request->body ? request->body : "", request->body_length);
}

char *adapter_form_field(struct adapter_answer *answer, const char *name)
{
    const struct adapter_request *request = answer->request;
    const char *at = request->body, *end = at ? at + request->body_length : NULL;
    size_t name_length = strlen(name);
    if (at && at < end &&
        (*at == '{' || *at == '[')) /* JSON, in which there may be a form's text */
        return NULL;
    for (; at && at < end; at++) {
        const char *next = memchr(at, '&', (size_t)(end - at));
        size_t length = (size_t)((next ? next : end) - at);
        if (length > name_length && memcmp(at, name, name_length) == 0 && at[name_length] == '=') {
            char *value = strndup(at + name_length + 1, length - name_length - 1);
            answer->failed |= !value;
            if (value && percent_decode(value, true) == 0)
                return value;
            free(value);
            return NULL;
        }
        at += length;
    }
    return NULL;
}

json_t *adapter_form_body(struct adapter_answer *answer, const char *field)
{
    char *value = adapter_form_field(answer, field);
    json_t *json = value ? parse(answer, value, strlen(value)) : adapter_body(answer);
    free(value);
    return json;
}

const json_t *adapter_get(const json_t *object, const char *path)
{
    while (object && *path) {
        size_t length = strcspn(path, "/");
        object = json_object_getn(object, path, length);
        path += length + (path[length] == '/');
    }
    return object;
}

const char *adapter_text(const json_t *object, const char *path)
{
    const char *text = json_string_value(adapter_get(object, path));
    return text && *text ? text : NULL;
}

int64_t adapter_time_us(const json_t *value)
{
    int64_t time_us = TIME_NONE;
    char text[64];
    if (json_is_integer(value) && json_integer_value(value) > 0 &&
        json_integer_value(value) <= TIME_MS_MAX)
        return json_integer_value(value) * US_PER_MS;
    size_t length = json_string_length(value);
    if (!json_is_string(value) || length >= sizeof text)
        return TIME_NONE;
    memcpy(text, json_string_value(value), length + 1);
    if (length > 10 && text[10] == ' ')
        text[10] = 'T';
    if (timestamp_parse(text, length, &time_us) != 0 || time_us <= 0)
        return TIME_NONE;
    return time_us;
}

int32_t adapter_version(int64_t time_us)
{
    return (int32_t)(time_us / US_PER_MS & INT32_MAX);
}

/* -------- names -------- */

/* Of the character of `length` bytes (0: there is none) at `text`. */
static bool may_be_in_name(const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    bool is_c1 = length == 2 && bytes[0] == 0xc2 && bytes[1] < 0xa0;
    return length > 0 && bytes[0] >= ' ' && bytes[0] != 0x7f && !is_c1;
}

/* Copies what a name may have of the text: at most `bytes_max` bytes, and no character in part. */
static size_t copy_name(const char *text, size_t bytes_max, char *out)
{
    size_t used = 0;
    while (*text) {
        size_t length = utf8_sequence_length(text);
        bool is_taken = may_be_in_name(text, length);
        if (used + (is_taken ? length : 1) > bytes_max)
            break;
        memcpy(out + used, is_taken ? text : "?", is_taken ? length : 1);
        used += is_taken ? length : 1;
        text += length > 0 ? length : 1;
    }
    if (used == 0 || (out[0] == '.' && (used == 1 || (used == 2 && out[1] == '.'))))
        out[used == 2 ? 1 : 0] = '?', used = used == 2 ? 2 : 1;
    out[used] = '\0';
    return used;
}

void adapter_name(const char *text, char out[static ADAPTER_NAME_SIZE])
{
    enum { HASH_DIGITS = 16 };
    char digits[HASH_DIGITS + 1];
    if (strlen(text) <= NAME_BYTES_MAX) {
        copy_name(text, NAME_BYTES_MAX, out);
        return;
    }
    snprintf(digits, sizeof digits, "%016llx",
             (unsigned long long)hash_bytes(HASH_START, text, strlen(text)));
    adapter_name_with_id(text, digits, out);
}

void adapter_name_below(const char *text, const char *root, char out[static ADAPTER_NAME_SIZE])
{
    adapter_name(text, out);
    if (strcmp(out, root) == 0) {
        char longer[ADAPTER_NAME_SIZE + sizeof " (task)"];
        snprintf(longer, sizeof longer, "%s (task)", out);
        adapter_name(longer, out);
    }
}

void adapter_name_with_id(const char *base, const char *id, char out[static ADAPTER_NAME_SIZE])
{
    char tail[ID_BYTES_MAX + 1];
    size_t tail_length = copy_name(id, ID_BYTES_MAX, tail);
    size_t used = copy_name(base, NAME_BYTES_MAX - tail_length - 1, out);
    snprintf(out + used, ADAPTER_NAME_SIZE - used, "-%s", tail);
}

/* -------- events -------- */

/* How much of the text there is room for. */
static int length_within(const char *text, size_t bytes_max)
{
    size_t length = strlen(text);
    return (int)(length > bytes_max ? utf8_cut(text, bytes_max) : length);
}

json_t *adapter_time(int64_t time_us)
{
    char text[TIMESTAMP_SIZE + 3];
    if (time_us == TIME_NONE)
        return NULL;
    timestamp_format(time_us, text);
    snprintf(text + TIMESTAMP_SIZE - 2, 5, "%03uZ", (unsigned)(time_us % US_PER_MS) % US_PER_MS);
    return json_string(text);
}

void adapter_set(json_t *event, const char *member, json_t *value)
{
    if (event && value)
        json_object_set_new(event, member, value);
    else
        json_decref(value);
}

void adapter_emit(struct adapter_answer *answer, json_t *event)
{
    adapter_set(event, "project", json_string(answer->request->project));
    adapter_set(event, "domain", json_string(answer->request->domain));
    char *line = event ? json_dumps(event, JSON_COMPACT) : NULL;
    json_decref(event);
    if (!line) {
        answer->failed = true;
        return;
    }
    buffer_text(&answer->events, line);
    buffer_text(&answer->events, "\n");
    free(line);
}

json_t *adapter_parent(const char *parent, const char *name)
{
    return parent && strcmp(parent, name) != 0 ? json_string(parent) : json_null();
}

/* The same message is the same event, at its own time. */
static void keep(struct adapter_answer *answer, enum unmapped_kind kind,
                 const struct adapter_place *place, const json_t *message, const char *detail)
{
    char name[ADAPTER_NAME_SIZE];
    char *text = json_dumps(message, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text) {
        answer->failed = true;
        return;
    }
    uint64_t hash = hash_bytes(HASH_START, text, strlen(text));
    adapter_keeper_name(answer->tool, name);
    json_t *event = json_pack(
        "{s:s, s:s, s:o, s:s, s:I, s:s, s:{s:s, s:s, s:s, s:s#}}", "runName", place->run_name,
        "name", name, "parent", adapter_parent(place->root, name), "phase", "SKIPPED", "version",
        (json_int_t)(hash & INT32_MAX), "title", "Messages that could not be mapped", "unmapped",
        "tool", answer->tool, "kind", unmapped_kind_name(kind), "detail", detail, "message", text,
        length_within(text, RAW_BYTES_MAX));
    if (place->time_us > 0)
        adapter_set(event, "updatedTime", adapter_time(place->time_us));
    adapter_emit(answer, event);
    free(text);
}

void adapter_note_place(struct adapter_answer *answer, const struct adapter_place *place)
{
    if (!answer->roots)
        answer->roots = json_object();
    if (json_object_set_new(answer->roots, place->run_name, json_string(place->root)) != 0)
        answer->failed = true;
}

void adapter_keep_rejected(const struct adapter_request *request, struct adapter_answer *answer,
                           const char *line, size_t length, const char *why)
{
    char name[ADAPTER_NAME_SIZE];
    json_t *event = json_loadb(line, length, 0, NULL);
    const char *said = adapter_text(event, "name"), *run_name = adapter_text(event, "runName");
    const json_t *root = run_name ? json_object_get(answer->roots, run_name) : NULL;
    const struct adapter_place place = {.run_name = run_name,
                                        .root = json_string_value(root),
                                        .time_us =
                                            adapter_time_us(json_object_get(event, "updatedTime"))};
    adapter_keeper_name(answer->tool, name);
    answer->request = request;
    if (root && said && strcmp(said, name) != 0)
        keep(answer, UNMAPPED_REJECTED, &place, event, why);
    answer->request = NULL;
    json_decref(event);
}

void adapter_drop_aliases(const struct adapter_request *request, struct adapter_answer *answer,
                          const char *line, size_t length)
{
    json_t *event = json_loadb(line, length, 0, NULL);
    json_object_del(event, "aliases");
    answer->request = request;
    adapter_emit(answer, event);
    answer->request = NULL;
}

void adapter_keeper_name(const char *tool, char out[static ADAPTER_NAME_SIZE])
{
    snprintf(out, ADAPTER_NAME_SIZE, "unmapped:%s", tool);
}

void adapter_unmapped(struct adapter_answer *answer, enum unmapped_kind kind,
                      const struct adapter_place *place, const json_t *message, const char *format,
                      ...)
{
    char raw[UNMAPPED_DETAIL_SIZE], detail[UNMAPPED_DETAIL_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(raw, sizeof raw, format, arguments);
    va_end(arguments);
    copy_name(raw, sizeof detail - 1, detail);
    if (answer->unmapped[kind]++ == 0)
        memcpy(answer->unmapped_detail[kind], detail, sizeof detail);
    if (place && message)
        keep(answer, kind, place, message, detail);
}

void adapter_refuse(struct adapter_answer *answer, const char *why)
{
    struct problem problem;
    problem_set(&problem, PROBLEM_NOT_FOUND, NULL, "%s", why);
    json_t *document = problem_to_json(&problem);
    char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    answer->status = 404;
    answer->type = "application/problem+json";
    if (text)
        buffer_text(&answer->body, text);
    else
        answer->failed = true;
    free(text);
    json_decref(document);
}

/* -------- what events may say -------- */

enum { RAW_NESTING_MAX = 24 }; /* of a message, so that the event is at most EVENT_NESTING_MAX */

json_t *adapter_label(const char *text)
{
    size_t length = strlen(text);
    return json_stringn(text, length > LABEL_BYTES_MAX ? utf8_cut(text, LABEL_BYTES_MAX) : length);
}

json_t *adapter_labelf(const char *format, ...)
{
    char text[4 *
              LABEL_BYTES_MAX]; /* what is cut off its end, perhaps in a character, is not used */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return adapter_label(text);
}

void adapter_add_label(json_t *labels, const char *name, const char *value)
{
    if (name && value && *name && strlen(name) <= LABEL_NAME_BYTES_MAX &&
        json_object_size(labels) < LABELS_MAX)
        json_object_set_new(labels, name, adapter_label(value));
}

void adapter_link(json_t *links, const char *name, const char *url)
{
    if (url && *url && strlen(url) <= LINK_URL_BYTES_MAX && json_array_size(links) < LINKS_MAX)
        json_array_append_new(links, json_pack("{s:s, s:s}", "name", name, "url", url));
}

static size_t nesting_of(const json_t *json)
{
    size_t deepest = 0, i;
    const char *name;
    json_t *item;
    json_array_foreach ((json_t *)json, i, item) {
        size_t nesting = nesting_of(item);
        deepest = nesting > deepest ? nesting : deepest;
    }
    json_object_foreach ((json_t *)json, name, item) {
        size_t nesting = nesting_of(item);
        deepest = nesting > deepest ? nesting : deepest;
    }
    return deepest + (json_is_array(json) || json_is_object(json));
}

void adapter_set_params(json_t *run, json_t *params)
{
    char *text = params ? json_dumps(params, JSON_COMPACT) : NULL;
    bool fits =
        text && strlen(text) <= RUN_ADDITION_BYTES_MAX && nesting_of(params) <= RAW_NESTING_MAX;
    free(text);
    if (fits && json_object_size(params) > 0)
        adapter_set(run, "params", params);
    else
        json_decref(params);
}

void adapter_set_error(json_t *event, const char *message, const char *more)
{
    static const char between[] = "\n\n";
    if (!message || (more && strcmp(message, more) == 0)) {
        message = message ? message : more;
        more = NULL;
    }
    if (!message || !*message)
        return;
    int length = length_within(message, ERROR_BYTES_MAX);
    size_t left = ERROR_BYTES_MAX - (size_t)length;
    bool has_more = more && left > sizeof between;
    adapter_set(event, "errorInfo",
                json_pack("{s:s#++#}", "message", message, length, has_more ? between : "",
                          has_more ? more : "",
                          has_more ? length_within(more, left - (sizeof between - 1)) : 0));
}

json_t *adapter_raw(const json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT | JSON_ENCODE_ANY);
    size_t length = text ? strlen(text) : 0;
    json_t *raw = NULL;
    if (text && length <= RAW_BYTES_MAX && nesting_of(message) <= RAW_NESTING_MAX)
        raw = json_incref((json_t *)message);
    else if (text)
        raw = json_stringn(text, length > RAW_BYTES_MAX ? utf8_cut(text, RAW_BYTES_MAX) : length);
    free(text);
    return raw;
}
