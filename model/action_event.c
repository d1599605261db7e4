/* Action events: decoding them, and the name of the field that is wrong with one. */
#include "model/action_event.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const key_members[] = {"project", "domain", "runName", "name",
                                          "attempt", "phase",  "version"};

/* One event while it is decoded. */
struct decoding {
    const json_t *document;
    struct action_event *event;
    struct problem *problem;
};

static const char *type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a real number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        return "null";
    }
    return "nothing";
}

/* A member that may be left out: null is as good as absent. */
static json_t *optional_member(const json_t *object, const char *member)
{
    json_t *value = json_object_get(object, member);
    return json_is_null(value) ? NULL : value;
}

static int reject_type(struct decoding *decoding, const char *pointer, const char *wanted,
                       const json_t *value)
{
    return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, pointer, "%s must be %s, not %s.",
                       strrchr(pointer, '/') + 1, wanted, type_name(value));
}

static const char key_part_rule[] = "1 to %zu bytes of A-Z a-z 0-9 . _ : - starting with a letter "
                                    "or digit";

/* `pointer` is the member's, "/name"; what is wrong in the path of a PUT has none. */
static int reject_key_part(struct decoding *decoding, const char *pointer, bool is_in_path,
                           size_t bytes_max)
{
    char rule[sizeof key_part_rule + 20];
    snprintf(rule, sizeof rule, key_part_rule, bytes_max);
    return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, is_in_path ? NULL : pointer,
                       is_in_path ? "%s in the path must be %s." : "%s must be %s.", pointer + 1,
                       rule);
}

static int reject_disagreement(struct decoding *decoding, const char *pointer)
{
    return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, pointer,
                       "%s in the body differs from the one in the path.", pointer + 1);
}

static int decode_key_string(struct decoding *decoding, const char *pointer, const char *from_path,
                             size_t bytes_max, const char **out)
{
    const json_t *value = json_object_get(decoding->document, pointer + 1);
    if (value && !json_is_string(value))
        return reject_type(decoding, pointer, "a string", value);
    const char *text = value ? json_string_value(value) : NULL;
    if (from_path) {
        if (!key_part_is_valid(from_path, strlen(from_path), bytes_max))
            return reject_key_part(decoding, pointer, true, bytes_max);
        if (text && strcmp(text, from_path) != 0)
            return reject_disagreement(decoding, pointer);
        *out = from_path;
        return 0;
    }
    if (!text)
        return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, pointer, "%s is required.",
                           pointer + 1);
    if (!key_part_is_valid(text, json_string_length(value), bytes_max))
        return reject_key_part(decoding, pointer, false, bytes_max);
    *out = text;
    return 0;
}

/* Decimal digits alone; -1 if `text` is anything else or more than 2^31-1. */
static int64_t parse_digits(const char *text)
{
    int64_t number = 0;
    if (!*text)
        return -1;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -1;
        number = number * 10 + (*text - '0');
        if (number > INT32_MAX)
            return -1;
    }
    return number;
}

/* `value` NULL: what is wrong is not the type. */
static int reject_key_number(struct decoding *decoding, const char *pointer, int32_t min,
                             const json_t *value, json_int_t number)
{
    char wanted[64];
    snprintf(wanted, sizeof wanted, "an integer from %d to %d", min, INT32_MAX);
    if (value)
        return reject_type(decoding, pointer, wanted, value);
    return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, pointer,
                       "%s must be %s, not %" JSON_INTEGER_FORMAT ".", pointer + 1, wanted, number);
}

static int decode_key_number(struct decoding *decoding, const char *pointer, const char *from_path,
                             int32_t min, int32_t absent, int32_t *out)
{
    const json_t *value = optional_member(decoding->document, pointer + 1);
    if (value && !json_is_integer(value))
        return reject_key_number(decoding, pointer, min, value, 0);
    json_int_t number = value ? json_integer_value(value) : absent;
    if (number < min || number > INT32_MAX)
        return reject_key_number(decoding, pointer, min, NULL, number);
    if (from_path) {
        int64_t path_number = parse_digits(from_path);
        if (path_number < min)
            return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, NULL,
                               "%s in the path must be an integer from %d to %d.", pointer + 1, min,
                               INT32_MAX);
        if (value && number != path_number)
            return reject_disagreement(decoding, pointer);
        number = path_number;
    }
    *out = (int32_t)number;
    return 0;
}

static int decode_phase(struct decoding *decoding, const char *from_path)
{
    static const char rule[] = "the name of a phase (such as RUNNING) or its number from 1 to 10";
    const json_t *value = json_object_get(decoding->document, "phase");
    enum phase phase = PHASE_NONE;
    if (json_is_string(value))
        phase = phase_parse(json_string_value(value), json_string_length(value));
    else if (json_is_integer(value))
        phase = phase_from_number(json_integer_value(value));
    else if (value)
        return reject_type(decoding, "/phase", rule, value);
    else if (!from_path)
        return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, "/phase",
                           "phase is required.");
    if (value && phase == PHASE_NONE)
        return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, "/phase", "phase must be %s.",
                           rule);
    if (from_path) {
        enum phase path_phase = phase_parse(from_path, strlen(from_path));
        if (path_phase == PHASE_NONE)
            return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, NULL,
                               "phase in the path must be %s.", rule);
        if (value && phase != path_phase)
            return reject_disagreement(decoding, "/phase");
        phase = path_phase;
    }
    decoding->event->phase = phase;
    return 0;
}

static int decode_key(struct decoding *decoding, const struct action_event_path *path)
{
    struct action_event *event = decoding->event;
    if (decode_key_string(decoding, "/project", path->project, PROJECT_BYTES_MAX,
                          &event->run.project) ||
        decode_key_string(decoding, "/domain", path->domain, DOMAIN_BYTES_MAX,
                          &event->run.domain) ||
        decode_key_string(decoding, "/runName", path->run_name, NAME_BYTES_MAX,
                          &event->run.run_name) ||
        decode_key_string(decoding, "/name", path->name, NAME_BYTES_MAX, &event->name) ||
        decode_key_number(decoding, "/attempt", path->attempt, 1, 1, &event->attempt) ||
        decode_phase(decoding, path->phase) ||
        decode_key_number(decoding, "/version", path->version, 0, 0, &event->version))
        return -1;
    return 0;
}

static int decode_parent(struct decoding *decoding)
{
    struct action_event *event = decoding->event;
    const json_t *value = json_object_get(decoding->document, "parent");
    event->names_parent = value != NULL;
    if (!value || json_is_null(value))
        return 0;
    if (!json_is_string(value))
        return reject_type(decoding, "/parent", "an action's name, or null for a root", value);
    event->parent = json_string_value(value);
    if (!key_part_is_valid(event->parent, json_string_length(value), NAME_BYTES_MAX))
        return reject_key_part(decoding, "/parent", false, NAME_BYTES_MAX);
    assert(event->name);
    if (strcmp(event->parent, event->name) == 0)
        return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, "/parent",
                           "An action cannot be its own parent.");
    return 0;
}

/* The optional string `pointer` + 1 of the document, or with two levels of its member. */
static int decode_text(struct decoding *decoding, const json_t *object, const char *pointer,
                       const char **out)
{
    const json_t *value = optional_member(object, strrchr(pointer, '/') + 1);
    if (value && !json_is_string(value))
        return reject_type(decoding, pointer, "a string", value);
    if (out)
        *out = value ? json_string_value(value) : NULL;
    return 0;
}

/* The same of a text that the live tree carries and filters search. */
static int decode_label(struct decoding *decoding, const json_t *object, const char *pointer,
                        const char **out)
{
    if (decode_text(decoding, object, pointer, out))
        return -1;
    if (*out && strlen(*out) > LABEL_BYTES_MAX)
        return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, pointer,
                           "%s must be at most %d bytes, not %zu.", strrchr(pointer, '/') + 1,
                           LABEL_BYTES_MAX, strlen(*out));
    return 0;
}

static int decode_task(struct decoding *decoding)
{
    const json_t *task = optional_member(decoding->document, "task");
    if (!task)
        return 0;
    if (!json_is_object(task))
        return reject_type(decoding, "/task", "an object", task);
    decoding->event->has_task = true;
    if (decode_label(decoding, task, "/task/name", &decoding->event->task_name) ||
        decode_label(decoding, task, "/task/shortName", &decoding->event->short_name))
        return -1;
    return 0;
}

static int decode_error_info(struct decoding *decoding)
{
    struct action_event *event = decoding->event;
    json_t *error_info = optional_member(decoding->document, "errorInfo");
    const char *kind = NULL;
    if (!error_info)
        return 0;
    if (!json_is_object(error_info))
        return reject_type(decoding, "/errorInfo", "an object", error_info);
    event->error_info = error_info;
    if (decode_text(decoding, error_info, "/errorInfo/kind", &kind) ||
        decode_text(decoding, error_info, "/errorInfo/message", NULL))
        return -1;
    if (!kind)
        return 0;
    if (strcmp(kind, "USER") == 0)
        event->error_kind = ERROR_KIND_USER;
    else if (strcmp(kind, "SYSTEM") == 0)
        event->error_kind = ERROR_KIND_SYSTEM;
    else
        return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, "/errorInfo/kind",
                           "kind must be USER or SYSTEM, or left out.");
    return 0;
}

static int decode_time(struct decoding *decoding, const char *pointer, int64_t absent_us,
                       int64_t *out_us)
{
    const char *text = NULL;
    if (decode_text(decoding, decoding->document, pointer, &text))
        return -1;
    *out_us = absent_us;
    if (text && timestamp_parse(text, strlen(text), out_us) != 0)
        return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, pointer,
                           "%s must be a date and time as in RFC 3339, such as "
                           "2026-04-12T08:00:00.123Z.",
                           pointer + 1);
    return 0;
}

/* Members that are kept as they came, but for their type. */
static int check_kept_members(struct decoding *decoding)
{
    static const struct {
        const char *pointer;
        json_type type;
        const char *wanted;
    } kept[] = {
        {"/cluster", JSON_STRING, "a string"},
        {"/outputs", JSON_OBJECT, "an object"},
        {"/logInfo", JSON_ARRAY, "an array"},
        {"/clusterEvents", JSON_ARRAY, "an array"},
    };
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        const json_t *value = optional_member(decoding->document, kept[i].pointer + 1);
        if (value && json_typeof(value) != kept[i].type)
            return reject_type(decoding, kept[i].pointer, kept[i].wanted, value);
    }
    return 0;
}

int action_event_decode(struct action_event *event, json_t *document, struct json_text info,
                        const struct action_event_path *path, int64_t received_us,
                        struct problem *problem)
{
    static const struct action_event_path no_path = {0};
    struct action_event decoded = {.info = info};
    struct decoding decoding = {.document = document, .event = &decoded, .problem = problem};
    if (!json_is_object(document))
        return problem_set(problem, PROBLEM_INVALID_FIELD, NULL,
                           "An event must be an object, not %s.", type_name(document));
    if (decode_key(&decoding, path ? path : &no_path) || decode_parent(&decoding) ||
        decode_label(&decoding, document, "/group", &decoded.group) || decode_task(&decoding) ||
        decode_time(&decoding, "/updatedTime", received_us, &decoded.updated_us) ||
        decode_time(&decoding, "/reportedTime", TIME_NONE, &decoded.reported_us) ||
        decode_error_info(&decoding) || check_kept_members(&decoding))
        return -1;
    decoded.document = json_incref(document);
    json_incref(decoded.error_info);
    *event = decoded;
    return 0;
}

void action_event_clear(struct action_event *event)
{
    json_decref(event->document);
    json_decref(event->error_info);
    *event = (struct action_event){0};
}

json_t *action_event_document(const struct action_event *event)
{
    if (event->document)
        return json_incref(event->document);
    json_error_t error;
    return action_event_parse(event->info, 0, &error);
}

/* jansson's lexer does not look whether its buffer could grow, and then runs past the end of a
 * string of which it has a part only (src/load.c in 2.14). So whether there is memory for the
 * longest of strings is tried before. */
static bool has_memory_for_strings(size_t length)
{
    json_malloc_t allocate;
    json_free_t release;
    json_get_alloc_funcs(&allocate, &release);
    void *room = allocate(8 * length + 1);
    release(room);
    return room != NULL;
}

json_t *action_event_parse(struct json_text text, size_t flags, json_error_t *error)
{
    *error = (json_error_t){0};
    if (!has_memory_for_strings(text.length))
        return NULL;
    return json_loadb(text.bytes, text.length, flags | JSON_REJECT_DUPLICATES, error);
}

static bool is_key_member(const char *member)
{
    for (size_t i = 0; i < sizeof key_members / sizeof *key_members; i++)
        if (strcmp(member, key_members[i]) == 0)
            return true;
    return false;
}

static size_t count_other_members(const json_t *object)
{
    size_t count = json_object_size(object);
    for (size_t i = 0; i < sizeof key_members / sizeof *key_members; i++)
        count -= json_object_get(object, key_members[i]) != NULL;
    return count;
}

bool action_event_is_identical(const json_t *a, const json_t *b)
{
    if (count_other_members(a) != count_other_members(b))
        return false;
    /* The iterators take a json_t * but change nothing. */
    json_t *object = (json_t *)(uintptr_t)a;
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        const char *member = json_object_iter_key(at);
        if (!is_key_member(member) &&
            !json_equal(json_object_iter_value(at), json_object_get(b, member)))
            return false;
    }
    return true;
}

int action_event_compare(const struct action_event *event, const char *stored, size_t length,
                         bool *is_identical)
{
    *is_identical = length == event->info.length && memcmp(stored, event->info.bytes, length) == 0;
    if (*is_identical)
        return 0;
    json_error_t error;
    json_t *other = action_event_parse((struct json_text){stored, length}, 0, &error);
    if (!other)
        return !error.text[0] || json_error_code(&error) == json_error_out_of_memory ? -ENOMEM : 0;
    json_t *document = action_event_document(event);
    if (document)
        *is_identical = action_event_is_identical(document, other);
    json_decref(other);
    json_decref(document);
    return document ? 0 : -ENOMEM;
}

static void write_own_members(struct buffer *out, const struct event_record *record)
{
    buffer_text(out, "\"project\":");
    buffer_string(out, record->run.project);
    buffer_text(out, ",\"domain\":");
    buffer_string(out, record->run.domain);
    buffer_text(out, ",\"runName\":");
    buffer_string(out, record->run.run_name);
    buffer_text(out, ",\"name\":");
    buffer_string(out, record->name);
    buffer_text(out, ",\"attempt\":");
    buffer_integer(out, record->attempt);
    buffer_text(out, ",\"phase\":");
    buffer_string(out, phase_name(record->phase));
    buffer_text(out, ",\"version\":");
    buffer_integer(out, record->version);
    buffer_text(out, ",\"revision\":");
    if (record->revision == 0)
        buffer_text(out, "null");
    else
        buffer_integer(out, record->revision);
    buffer_text(out, ",\"recordedAt\":");
    buffer_timestamp(out, record->recorded_us);
    buffer_text(out, ",\"updatedTime\":");
    buffer_timestamp(out, record->updated_us);
}

static bool is_one_of(struct json_text name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (json_name_is(name, names[i]))
            return true;
    return false;
}

void event_record_write(struct buffer *out, const struct event_record *record)
{
    static const char *const added[] = {"revision", "recordedAt", "asReceived"};
    const char *at = record->info.bytes, *end = at + record->info.length;
    struct json_member member;
    bool is_hidden = false;

    buffer_text(out, "{");
    write_own_members(out, record);
    while (json_scan_member(&at, end, &member)) {
        if (is_one_of(member.name, added, sizeof added / sizeof *added)) {
            is_hidden = true;
        } else if (!json_name_is(member.name, "updatedTime") &&
                   !is_one_of(member.name, key_members, sizeof key_members / sizeof *key_members)) {
            buffer_text(out, ",\"");
            buffer_append(out, member.name.bytes, member.name.length);
            buffer_text(out, "\":");
            buffer_append(out, member.value.bytes, member.value.length);
        }
    }
    if (is_hidden) {
        buffer_text(out, ",\"asReceived\":");
        buffer_append(out, record->info.bytes, record->info.length);
    }
    buffer_text(out, "}");
}
