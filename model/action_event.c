/* Action events: decoding them, and the name of the field that is wrong with one. */
#include "model/action_event.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/error_info.h"

/* What is known of an event, and of the objects in it of which we read members. */
enum member {
    PROJECT,
    DOMAIN,
    RUN_NAME,
    NAME,
    ATTEMPT,
    PHASE,
    VERSION,
    KEY_MEMBERS,
    PARENT = KEY_MEMBERS,
    GROUP,
    TASK,
    UPDATED_TIME,
    REPORTED_TIME,
    ERROR_INFO,
    CLUSTER,
    OUTPUTS,
    LOG_INFO,
    CLUSTER_EVENTS,
    TITLE,
    LINKS,
    DEPENDS_ON,
    ALIASES,
    RUN,
    EVENT_MEMBERS,
    TASK_NAME = EVENT_MEMBERS,
    TASK_SHORT_NAME,
    TASK_MEMBERS,
    OF_RUN_TITLE = TASK_MEMBERS,
    OF_RUN_LABELS,
    OF_RUN_LINKS,
    OF_RUN_PARAMS,
    OF_RUN_MEMBERS,
    ERROR_KIND = OF_RUN_MEMBERS,
    ERROR_MESSAGE,
    MEMBERS,
};

#define MEMBER(name)                                                                               \
    {                                                                                              \
        "/" name, name, name, sizeof(name) - 1                                                     \
    }
#define MEMBER_OF(object, name)                                                                    \
    {                                                                                              \
        "/" object "/" name, object "." name, name, sizeof(name) - 1                               \
    }
static const struct {
    const char *pointer, *place, *name; /* `place` is for people: task.name */
    size_t name_length;
} members[MEMBERS] = {
    [PROJECT] = MEMBER("project"),
    [DOMAIN] = MEMBER("domain"),
    [RUN_NAME] = MEMBER("runName"),
    [NAME] = MEMBER("name"),
    [ATTEMPT] = MEMBER("attempt"),
    [PHASE] = MEMBER("phase"),
    [VERSION] = MEMBER("version"),
    [PARENT] = MEMBER("parent"),
    [GROUP] = MEMBER("group"),
    [TASK] = MEMBER("task"),
    [UPDATED_TIME] = MEMBER("updatedTime"),
    [REPORTED_TIME] = MEMBER("reportedTime"),
    [ERROR_INFO] = MEMBER("errorInfo"),
    [CLUSTER] = MEMBER("cluster"),
    [OUTPUTS] = MEMBER("outputs"),
    [LOG_INFO] = MEMBER("logInfo"),
    [CLUSTER_EVENTS] = MEMBER("clusterEvents"),
    [TITLE] = MEMBER("title"),
    [LINKS] = MEMBER("links"),
    [DEPENDS_ON] = MEMBER("dependsOn"),
    [ALIASES] = MEMBER("aliases"),
    [RUN] = MEMBER("run"),
    [OF_RUN_TITLE] = MEMBER_OF("run", "title"),
    [OF_RUN_LABELS] = MEMBER_OF("run", "labels"),
    [OF_RUN_LINKS] = MEMBER_OF("run", "links"),
    [OF_RUN_PARAMS] = MEMBER_OF("run", "params"),
    [TASK_NAME] = MEMBER_OF("task", "name"),
    [TASK_SHORT_NAME] = MEMBER_OF("task", "shortName"),
    [ERROR_KIND] = MEMBER_OF("errorInfo", "kind"),
    [ERROR_MESSAGE] = MEMBER_OF("errorInfo", "message"),
};

struct value {
    bool is_given, is_spelled_otherwise;
    json_type type;
    const char *text; /* of a string, not ended by a NUL */
    size_t length;    /* of it */
    json_int_t number;
    json_t *json; /* owned; NULL of what was read without jansson */
    struct json_text written;
};

/* One event while it is decoded. */
struct decoding {
    struct value values[MEMBERS];
    struct action_event *event;
    struct arena *texts;
    struct problem *problem;
    bool has_no_memory;
    bool is_spelled_otherwise; /* something in it is written as Flyte writes it */
    int given_twice;           /* the member that both spellings gave; MEMBERS: none */
};

/* -------- reading: what the members say -------- */

/* Of printable ASCII without escapes. */
static bool is_plain_text(const char *at, const char *end)
{
    while (at < end && *at >= ' ' && *at <= '~' && *at != '"' && *at != '\\')
        at++;
    return at == end;
}

static bool read_digits(const char *at, const char *end, json_int_t *number)
{
    enum { DIGITS_MAX = 10 }; /* of 2^31-1 */
    if (end - at > DIGITS_MAX || (*at == '0' && end - at > 1))
        return false;
    *number = 0;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return false;
        *number = *number * 10 + (*at - '0');
    }
    return true;
}

/* The values that nearly all members have: plain strings, whole numbers without a sign, null, and
 * what is empty. */
static bool read_plain_value(struct json_text text, struct value *value)
{
    const char *at = text.bytes, *end = at + text.length;
    char first = text.length > 0 ? *at : '\0', last = text.length > 1 ? end[-1] : '\0';
    if (first == '"' && last == '"') {
        value->type = JSON_STRING;
        value->text = at + 1;
        value->length = text.length - 2;
        return is_plain_text(at + 1, end - 1);
    }
    if ((first == '{' && last == '}') || (first == '[' && last == ']')) {
        value->type = first == '{' ? JSON_OBJECT : JSON_ARRAY;
        return json_scan_space(at + 1, end) == end - 1;
    }
    if (first >= '0' && first <= '9') {
        value->type = JSON_INTEGER;
        return read_digits(at, end, &value->number);
    }
    value->type = JSON_NULL;
    return text.length == 4 && memcmp(at, "null", 4) == 0;
}

static void describe_value(struct value *value, const json_t *json)
{
    value->is_given = json != NULL;
    value->type = json ? json_typeof(json) : JSON_NULL;
    value->text = json_string_value(json);
    value->length = json_string_length(json);
    value->number = json_integer_value(json);
}

static bool read_value(struct json_text text, struct value *value)
{
    json_error_t error;
    value->is_given = true;
    value->written = text;
    if (read_plain_value(text, value))
        return true;
    value->json = action_event_parse(text, JSON_DECODE_ANY, &error);
    describe_value(value, value->json);
    return value->json != NULL;
}

static int find_member(int first, int end, const char *name, size_t length)
{
    while (first < end &&
           (members[first].name_length != length || memcmp(members[first].name, name, length) != 0))
        first++;
    return first;
}

/* A member of another name than ours: it is JSON, and it is there once. */
static bool read_other(struct json_text text, const json_t *name, json_t **others)
{
    struct value value = {0};
    bool is_read = read_value(text, &value);
    json_decref(value.json);
    if (is_read && !*others)
        *others = json_object();
    return is_read && !json_object_get(*others, json_string_value(name)) &&
           json_object_set_new(*others, json_string_value(name), json_null()) == 0;
}

static bool read_members(struct decoding *decoding, struct json_text object, int first, int end);

/* A member that was given in another spelling: this value is only looked at. */
static bool read_second(struct decoding *decoding, int index, struct json_text text)
{
    struct value other = {0};
    bool is_read = read_value(text, &other);

    decoding->given_twice = index;
    json_decref(other.json);
    return is_read;
}

static bool read_our_member(struct decoding *decoding, int index, struct json_text text)
{
    struct value *value = &decoding->values[index];
    if (value->is_given)
        return value->is_spelled_otherwise && read_second(decoding, index, text);
    if ((index != TASK && index != RUN) || text.length == 0 || *text.bytes != '{')
        return read_value(text, value);
    *value = (struct value){.is_given = true, .type = JSON_OBJECT};
    return index == TASK ? read_members(decoding, text, TASK_NAME, TASK_MEMBERS)
                         : read_members(decoding, text, OF_RUN_TITLE, OF_RUN_MEMBERS);
}

/* A member that is ours but for its spelling. */
static bool read_spelled_member(struct decoding *decoding, int index, struct json_text text)
{
    struct value *value = &decoding->values[index];
    bool is_read = value->is_given ? read_second(decoding, index, text)
                                   : read_our_member(decoding, index, text);

    decoding->is_spelled_otherwise = value->is_spelled_otherwise = true;
    return is_read;
}

static int find_spelled_member(int first, int end, struct json_text name)
{
    while (first < end && !json_name_is_spelled(name, members[first].name))
        first++;
    return first;
}

static bool read_member(struct decoding *decoding, const struct json_member *member, int first,
                        int end, json_t **others)
{
    const struct json_text name = member->name;
    int index = find_member(first, end, name.bytes, name.length);
    if (member->nesting >= EVENT_NESTING_MAX)
        return false;
    if (index < end)
        return read_our_member(decoding, index, member->value);
    index = find_spelled_member(first, end, name);
    if (index < end)
        return json_name_is(name, members[index].name)
                   ? read_our_member(decoding, index, member->value)
                   : read_spelled_member(decoding, index, member->value);
    json_error_t error;
    json_t *decoded =
        action_event_parse((struct json_text){.bytes = name.bytes - 1, .length = name.length + 2},
                           JSON_DECODE_ANY, &error);
    bool is_read = decoded && read_other(member->value, decoded, others);
    json_decref(decoded);
    return is_read;
}

/* Reads an object of which the members from `first` to `end` are ours. False if it is no JSON. */
static bool read_members(struct decoding *decoding, struct json_text object, int first, int end)
{
    const char *at = object.bytes, *object_end = at + object.length;
    struct json_member member;
    json_t *others = NULL;
    bool is_read = true;
    while (is_read && json_scan_member(&at, object_end, &member))
        is_read = read_member(decoding, &member, first, end, &others);
    json_decref(others);
    return is_read && at == object_end - 1 && *at == '}';
}

/* -------- judging: what they may say -------- */

static const char *type_name(json_type type)
{
    switch (type) {
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

static const struct value *given_member(const struct decoding *decoding, enum member member)
{
    return decoding->values[member].is_given ? &decoding->values[member] : NULL;
}

/* A member that may be left out: null is as good as absent. */
static const struct value *optional_member(const struct decoding *decoding, enum member member)
{
    const struct value *value = given_member(decoding, member);
    return value && value->type != JSON_NULL ? value : NULL;
}

static bool says(const struct value *value, const char *text)
{
    return value->length == strlen(text) && memcmp(value->text, text, value->length) == 0;
}

static char *keep_text(struct decoding *decoding, const char *text, size_t length)
{
    char *copy = arena_alloc_text(decoding->texts, length + 1);
    if (!copy) {
        decoding->has_no_memory = true;
        return NULL;
    }
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

static int reject_type(struct decoding *decoding, enum member member, const char *wanted)
{
    return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, members[member].pointer,
                       "%s must be %s, not %s.", members[member].place, wanted,
                       type_name(decoding->values[member].type));
}

/* What is wrong in the path of a PUT has no pointer. */
static int reject_key_part(struct decoding *decoding, enum member member, bool is_in_path,
                           enum key_part part)
{
    return problem_set(decoding->problem, PROBLEM_INVALID_FIELD,
                       is_in_path ? NULL : members[member].pointer,
                       is_in_path ? "%s in the path must be %s." : "%s must be %s.",
                       members[member].place, key_part_rule(part));
}

static int reject_disagreement(struct decoding *decoding, enum member member)
{
    return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, members[member].pointer,
                       "%s in the body differs from the one in the path.", members[member].place);
}

static int decode_key_string(struct decoding *decoding, enum member member, const char *from_path,
                             enum key_part part, const char **out)
{
    const struct value *value = given_member(decoding, member);
    if (value && value->type != JSON_STRING)
        return reject_type(decoding, member, "a string");
    if (from_path) {
        if (!key_part_is_valid(part, from_path, strlen(from_path)))
            return reject_key_part(decoding, member, true, part);
        if (value && !says(value, from_path))
            return reject_disagreement(decoding, member);
        *out = keep_text(decoding, from_path, strlen(from_path));
        return 0;
    }
    if (!value)
        return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, members[member].pointer,
                           "%s is required.", members[member].place);
    if (!key_part_is_valid(part, value->text, value->length))
        return reject_key_part(decoding, member, false, part);
    *out = keep_text(decoding, value->text, value->length);
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

static int reject_key_number(struct decoding *decoding, enum member member, bool is_in_path,
                             int32_t min)
{
    const struct value *value = given_member(decoding, member);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "an integer from %d to %d", min, INT32_MAX);
    if (is_in_path)
        return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, NULL,
                           "%s in the path must be %s.", members[member].place, wanted);
    if (value->type != JSON_INTEGER)
        return reject_type(decoding, member, wanted);
    return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, members[member].pointer,
                       "%s must be %s, not %" JSON_INTEGER_FORMAT ".", members[member].place,
                       wanted, value->number);
}

static int decode_key_number(struct decoding *decoding, enum member member, const char *from_path,
                             int32_t min, int32_t absent, int32_t *out)
{
    const struct value *value = optional_member(decoding, member);
    json_int_t number = value ? value->number : absent;
    if (value && (value->type != JSON_INTEGER || number < min || number > INT32_MAX))
        return reject_key_number(decoding, member, false, min);
    if (from_path) {
        int64_t path_number = parse_digits(from_path);
        if (path_number < min)
            return reject_key_number(decoding, member, true, min);
        if (value && number != path_number)
            return reject_disagreement(decoding, member);
        number = path_number;
    }
    *out = (int32_t)number;
    return 0;
}

static int decode_phase(struct decoding *decoding, const char *from_path)
{
    static const char rule[] = "the name of a phase (such as RUNNING) or its number (1 to 10, 64)";
    const struct value *value = given_member(decoding, PHASE);
    enum phase phase = PHASE_NONE;
    if (value && value->type == JSON_STRING)
        phase = phase_parse(value->text, value->length);
    else if (value && value->type == JSON_INTEGER)
        phase = phase_from_number(value->number);
    else if (value)
        return reject_type(decoding, PHASE, rule);
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
            return reject_disagreement(decoding, PHASE);
        phase = path_phase;
    }
    decoding->event->phase = phase;
    return 0;
}

static int decode_key(struct decoding *decoding, const struct action_event_path *path)
{
    struct action_event *event = decoding->event;
    if (decode_key_string(decoding, PROJECT, path->project, KEY_PROJECT, &event->run.project) ||
        decode_key_string(decoding, DOMAIN, path->domain, KEY_DOMAIN, &event->run.domain) ||
        decode_key_string(decoding, RUN_NAME, path->run_name, KEY_NAME, &event->run.run_name) ||
        decode_key_string(decoding, NAME, path->name, KEY_NAME, &event->name) ||
        decode_key_number(decoding, ATTEMPT, path->attempt, 1, 1, &event->attempt) ||
        decode_phase(decoding, path->phase) ||
        decode_key_number(decoding, VERSION, path->version, 0, 0, &event->version))
        return -1;
    return 0;
}

static int decode_parent(struct decoding *decoding)
{
    struct action_event *event = decoding->event;
    const struct value *value = given_member(decoding, PARENT);
    event->names_parent = value != NULL;
    if (!value || value->type == JSON_NULL)
        return 0;
    if (value->type != JSON_STRING)
        return reject_type(decoding, PARENT, "an action's name, or null for a root");
    if (!key_part_is_valid(KEY_NAME, value->text, value->length))
        return reject_key_part(decoding, PARENT, false, KEY_NAME);
    event->parent = keep_text(decoding, value->text, value->length);
    if (event->name && says(value, event->name))
        return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, "/parent",
                           "An action cannot be its own parent.");
    return 0;
}

/* The optional string that a member says; NULL if it is left out. */
static int decode_text(struct decoding *decoding, enum member member, const struct value **out)
{
    *out = optional_member(decoding, member);
    if (*out && (*out)->type != JSON_STRING)
        return reject_type(decoding, member, "a string");
    return 0;
}

/* The same of a text that the live tree carries and filters search; an empty one says nothing. */
static int decode_label(struct decoding *decoding, enum member member, const char **out)
{
    const struct value *value;
    if (decode_text(decoding, member, &value))
        return -1;
    if (value && value->length > LABEL_BYTES_MAX)
        return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, members[member].pointer,
                           "%s must be at most %d bytes, not %zu.", members[member].place,
                           LABEL_BYTES_MAX, value->length);
    *out = value && value->length > 0 ? keep_text(decoding, value->text, value->length) : NULL;
    return 0;
}

static int decode_task(struct decoding *decoding)
{
    const struct value *task = optional_member(decoding, TASK);
    if (!task)
        return 0;
    if (task->type != JSON_OBJECT)
        return reject_type(decoding, TASK, "an object");
    struct action_event *event = decoding->event;
    if (decode_label(decoding, TASK_NAME, &event->task_name) ||
        decode_label(decoding, TASK_SHORT_NAME, &event->short_name))
        return -1;
    event->has_task = event->task_name || event->short_name;
    return 0;
}

/* Also by Flyte's names (flyteidl2, ErrorInfo.Kind). */
static const struct {
    const char *name;
    enum error_kind kind;
} error_kinds[] = {
    {"USER", ERROR_KIND_USER},
    {"SYSTEM", ERROR_KIND_SYSTEM},
    {"KIND_USER", ERROR_KIND_USER},
    {"KIND_SYSTEM", ERROR_KIND_SYSTEM},
    {"ERROR_KIND_USER", ERROR_KIND_USER},
    {"ERROR_KIND_SYSTEM", ERROR_KIND_SYSTEM},
    {"KIND_UNSPECIFIED", ERROR_KIND_NONE},
    {"ERROR_KIND_UNSPECIFIED", ERROR_KIND_NONE},
};
enum { OUR_ERROR_KINDS = 2, ERROR_KINDS = sizeof error_kinds / sizeof *error_kinds };

static const char *error_kind_name(enum error_kind kind)
{
    return kind == ERROR_KIND_NONE ? NULL : error_kinds[kind - 1].name;
}

static int take_error_kind(struct decoding *decoding, const struct value *kind)
{
    struct action_event *event = decoding->event;
    int i = 0;
    while (i < ERROR_KINDS && !says(kind, error_kinds[i].name))
        i++;
    if (i == ERROR_KINDS)
        return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, members[ERROR_KIND].pointer,
                           "errorInfo.kind must be USER or SYSTEM, or left out.");
    event->error_kind = error_kinds[i].kind;
    if (i < OUR_ERROR_KINDS || !event->error_info)
        return 0;
    decoding->is_spelled_otherwise = true;
    const char *name = error_kind_name(event->error_kind);
    decoding->has_no_memory |=
        json_object_set_new(event->error_info, "kind", name ? json_string(name) : json_null()) != 0;
    return 0;
}

static int decode_error_info(struct decoding *decoding)
{
    struct action_event *event = decoding->event;
    struct value *values = decoding->values;
    const struct value *error_info = optional_member(decoding, ERROR_INFO), *kind, *message;
    if (!error_info)
        return 0;
    if (error_info->type != JSON_OBJECT)
        return reject_type(decoding, ERROR_INFO, "an object");
    describe_value(&values[ERROR_KIND], json_object_get(error_info->json, "kind"));
    describe_value(&values[ERROR_MESSAGE], json_object_get(error_info->json, "message"));
    if (decode_text(decoding, ERROR_KIND, &kind) || decode_text(decoding, ERROR_MESSAGE, &message))
        return -1;
    event->error_info = error_info->json ? error_info_cut(error_info->json) : json_object();
    decoding->has_no_memory |= !event->error_info;
    return kind ? take_error_kind(decoding, kind) : 0;
}

/* -------- what an event may say more of its action, and of its run -------- */

static int reject_member(struct decoding *decoding, enum member member, const char *wanted)
{
    return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, members[member].pointer,
                       "%s must be %s.", members[member].place, wanted);
}

static int reject_item(struct decoding *decoding, enum member member, size_t index,
                       const char *name, const char *wanted)
{
    char pointer[PROBLEM_POINTER_SIZE];
    snprintf(pointer, sizeof pointer, "%s/%zu%s%s", members[member].pointer, index,
             name[0] == '\0' ? "" : "/", name);
    return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, pointer, "%s[%zu]%s%s must be %s.",
                       members[member].place, index, name[0] == '\0' ? "" : ".", name, wanted);
}

/* The array or object that a member says, NULL if it is left out. */
static int decode_structure(struct decoding *decoding, enum member member, json_type type,
                            const struct value **out)
{
    *out = optional_member(decoding, member);
    if (*out && (*out)->type != type)
        return reject_type(decoding, member, type == JSON_ARRAY ? "an array" : "an object");
    return 0;
}

/* The JSON of a member, as it came or, of `json`, without more than is needed. */
static int keep_json(struct decoding *decoding, enum member member, size_t bytes_max,
                     const json_t *json, const char **out)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
    size_t length = text ? strlen(text) : 0;
    decoding->has_no_memory |= !text;
    if (length <= bytes_max)
        *out = text ? keep_text(decoding, text, length) : NULL;
    free(text);
    if (length <= bytes_max)
        return 0;
    return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, members[member].pointer,
                       "%s must be at most %zu bytes of JSON.", members[member].place, bytes_max);
}

static bool is_text_of(const json_t *json, size_t bytes_min, size_t bytes_max)
{
    return json_is_string(json) && json_string_length(json) >= bytes_min &&
           json_string_length(json) <= bytes_max;
}

/* Members of a link beside its name and url are dropped. */
static json_t *read_link(const json_t *link)
{
    return json_pack("{s:O, s:O}", "name", json_object_get(link, "name"), "url",
                     json_object_get(link, "url"));
}

static int decode_links(struct decoding *decoding, enum member member, size_t bytes_max,
                        const char **out)
{
    const struct value *value;
    if (decode_structure(decoding, member, JSON_ARRAY, &value))
        return -1;
    if (!value)
        return 0;
    if (json_array_size(value->json) > LINKS_MAX)
        return reject_member(decoding, member, "at most 32 links");
    json_t *links = json_array();
    int status = 0;
    for (size_t i = 0; i < json_array_size(value->json) && status == 0; i++) {
        const json_t *link = json_array_get(value->json, i);
        if (!is_text_of(json_object_get(link, "name"), 1, LABEL_BYTES_MAX))
            status = reject_item(decoding, member, i, "name", "a text of 1 to 512 bytes");
        else if (!is_text_of(json_object_get(link, "url"), 1, LINK_URL_BYTES_MAX))
            status = reject_item(decoding, member, i, "url", "a text of 1 to 4096 bytes");
        else if (json_array_append_new(links, read_link(link)) != 0)
            decoding->has_no_memory = true;
    }
    if (status == 0)
        status = keep_json(decoding, member, bytes_max, links, out);
    json_decref(links);
    return status;
}

/* A list of names, which may be empty: kept as JSON. */
static int decode_names(struct decoding *decoding, enum member member, const struct value **value,
                        size_t names_max)
{
    char wanted[64];
    if (decode_structure(decoding, member, JSON_ARRAY, value))
        return -1;
    const json_t *names = *value ? (*value)->json : NULL;
    snprintf(wanted, sizeof wanted, "at most %zu names", names_max);
    if (json_array_size(names) > names_max)
        return reject_member(decoding, member, wanted);
    for (size_t i = 0; i < json_array_size(names); i++) {
        const json_t *name = json_array_get(names, i);
        if (!json_is_string(name) ||
            !key_part_is_valid(KEY_NAME, json_string_value(name), json_string_length(name)))
            return reject_item(decoding, member, i, "", key_part_rule(KEY_NAME));
    }
    return 0;
}

static int decode_depends_on(struct decoding *decoding)
{
    const struct value *value;
    if (decode_names(decoding, DEPENDS_ON, &value, DEPENDS_ON_MAX))
        return -1;
    const char **out = &decoding->event->additions[ADDITION_DEPENDS_ON];
    if (!value || !value->json)
        *out = value ? "[]" : NULL;
    else
        return keep_json(decoding, DEPENDS_ON, ADDITION_BYTES_MAX, value->json, out);
    return 0;
}

/* The action's own name is no further one. */
static int decode_aliases(struct decoding *decoding)
{
    struct action_event *event = decoding->event;
    const struct value *value;
    if (decode_names(decoding, ALIASES, &value, ALIASES_MAX))
        return -1;
    size_t count = value ? json_array_size(value->json) : 0;
    if (count == 0)
        return 0;
    event->aliases = arena_alloc(decoding->texts, count * sizeof *event->aliases);
    decoding->has_no_memory |= !event->aliases;
    for (size_t i = 0; i < count && event->aliases; i++) {
        const json_t *alias = json_array_get(value->json, i);
        const char *text = json_string_value(alias);
        if (event->name && strcmp(text, event->name) != 0)
            event->aliases[event->alias_count++] =
                keep_text(decoding, text, json_string_length(alias));
    }
    return 0;
}

static int decode_labels(struct decoding *decoding)
{
    static const char rule[] = "at most 64 members, names of 1 to 255 bytes with texts of at most "
                               "512 bytes";
    const struct value *value;
    const char *name;
    json_t *label;
    if (decode_structure(decoding, OF_RUN_LABELS, JSON_OBJECT, &value))
        return -1;
    if (!value)
        return 0;
    if (json_object_size(value->json) > LABELS_MAX)
        return reject_member(decoding, OF_RUN_LABELS, rule);
    json_object_foreach (value->json, name, label)
        if (!is_text_of(label, 0, LABEL_BYTES_MAX) || strlen(name) < 1 ||
            strlen(name) > LABEL_NAME_BYTES_MAX)
            return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, "/run/labels",
                               "run.labels must be %s; \"%s\" is not.", rule, name);
    const char **out = &decoding->event->run_additions[RUN_LABELS];
    *out = "{}";
    return value->json
               ? keep_json(decoding, OF_RUN_LABELS, RUN_ADDITION_BYTES_MAX, value->json, out)
               : 0;
}

/* As it came, but for line breaks. */
static int decode_params(struct decoding *decoding)
{
    const struct value *value;
    if (decode_structure(decoding, OF_RUN_PARAMS, JSON_OBJECT, &value))
        return -1;
    if (!value)
        return 0;
    if (value->written.length > RUN_ADDITION_BYTES_MAX)
        return reject_member(decoding, OF_RUN_PARAMS, "at most 16384 bytes of JSON");
    char *params = keep_text(decoding, value->written.bytes, value->written.length);
    for (char *at = params; at && *at; at++)
        *at = *at < ' ' && *at > 0 ? ' ' : *at; /* between values; a record is one line */
    decoding->event->run_additions[RUN_PARAMS] = params;
    return 0;
}

static int decode_title(struct decoding *decoding, enum member member, const char **out)
{
    const char *title;
    if (decode_label(decoding, member, &title))
        return -1;
    if (!title)
        return 0;
    json_t *json = json_string(title);
    int status = keep_json(decoding, member, SIZE_MAX, json, out);
    json_decref(json);
    return status;
}

static int decode_run(struct decoding *decoding)
{
    struct action_event *event = decoding->event;
    const struct value *run;
    if (decode_structure(decoding, RUN, JSON_OBJECT, &run))
        return -1;
    if (!run)
        return 0;
    if (decode_title(decoding, OF_RUN_TITLE, &event->run_additions[RUN_TITLE]) ||
        decode_labels(decoding) ||
        decode_links(decoding, OF_RUN_LINKS, RUN_ADDITION_BYTES_MAX,
                     &event->run_additions[RUN_LINKS]) ||
        decode_params(decoding))
        return -1;
    for (int i = 0; i < RUN_ADDITIONS; i++)
        event->has_run_additions |= event->run_additions[i] != NULL;
    return 0;
}

static int decode_additions(struct decoding *decoding)
{
    struct action_event *event = decoding->event;
    if (decode_title(decoding, TITLE, &event->additions[ADDITION_TITLE]) ||
        decode_links(decoding, LINKS, ADDITION_BYTES_MAX, &event->additions[ADDITION_LINKS]) ||
        decode_depends_on(decoding) || decode_aliases(decoding) || decode_run(decoding))
        return -1;
    for (int i = 0; i < ADDITIONS; i++)
        event->has_additions |= event->additions[i] != NULL;
    return 0;
}

const char *run_addition_name(enum run_addition addition)
{
    static const char *const names[RUN_ADDITIONS] = {[RUN_TITLE] = "title",
                                                     [RUN_LABELS] = "labels",
                                                     [RUN_LINKS] = "links",
                                                     [RUN_PARAMS] = "params"};
    return names[addition];
}

static int decode_time(struct decoding *decoding, enum member member, int64_t absent_us,
                       int64_t *out_us)
{
    const struct value *value;
    if (decode_text(decoding, member, &value))
        return -1;
    *out_us = absent_us;
    if (value && timestamp_parse(value->text, value->length, out_us) != 0)
        return problem_set(decoding->problem, PROBLEM_INVALID_FIELD, members[member].pointer,
                           "%s must be a date and time with a zone as in RFC 3339, such as "
                           "2026-04-12T08:00:00.123Z.",
                           members[member].place);
    if (value && timestamp_is_zero(*out_us))
        *out_us = absent_us;
    return 0;
}

/* Members that are kept as they came, but for their type. */
static int check_kept_members(struct decoding *decoding)
{
    static const struct {
        enum member member;
        json_type type;
        const char *wanted;
    } kept[] = {
        {CLUSTER, JSON_STRING, "a string"},
        {OUTPUTS, JSON_OBJECT, "an object"},
        {LOG_INFO, JSON_ARRAY, "an array"},
        {CLUSTER_EVENTS, JSON_ARRAY, "an array"},
    };
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        const struct value *value = optional_member(decoding, kept[i].member);
        if (value && value->type != kept[i].type)
            return reject_type(decoding, kept[i].member, kept[i].wanted);
    }
    return 0;
}

static int judge(struct decoding *decoding, const struct action_event_path *path,
                 int64_t received_us)
{
    static const struct action_event_path no_path = {0};
    struct action_event *event = decoding->event;
    if (decoding->given_twice != MEMBERS) {
        enum member member = (enum member)decoding->given_twice;
        problem_set(decoding->problem, PROBLEM_INVALID_FIELD, members[member].pointer,
                    "%s is given twice, once in snake_case.", members[member].place);
        return -EINVAL;
    }
    if (decode_key(decoding, path ? path : &no_path) || decode_parent(decoding) ||
        decode_label(decoding, GROUP, &event->group) || decode_task(decoding) ||
        decode_time(decoding, UPDATED_TIME, received_us, &event->updated_us) ||
        decode_time(decoding, REPORTED_TIME, TIME_NONE, &event->reported_us) ||
        decode_error_info(decoding) || check_kept_members(decoding) || decode_additions(decoding))
        return -EINVAL;
    return decoding->has_no_memory ? -ENOMEM : 0;
}

/* -------- one spelling -------- */

static void write_spelled_object(struct buffer *out, const struct action_event *event,
                                 struct json_text object, int first, int end);

static void write_spelled_value(struct buffer *out, const struct action_event *event,
                                struct json_text value, int index)
{
    bool is_object = value.length > 0 && value.bytes[0] == '{';
    if (is_object && index == TASK)
        write_spelled_object(out, event, value, TASK_NAME, TASK_MEMBERS);
    else if (is_object && index == ERROR_INFO)
        write_spelled_object(out, event, value, ERROR_KIND, MEMBERS);
    else if (index == ERROR_KIND)
        buffer_string(out, error_kind_name(event->error_kind));
    else
        buffer_append(out, value.bytes, value.length);
}

/* The object with the members from `first` to `end` in our spelling. */
static void write_spelled_object(struct buffer *out, const struct action_event *event,
                                 struct json_text object, int first, int end)
{
    const char *at = object.bytes, *object_end = at + object.length, *separator = "{\"";
    struct json_member member;
    while (json_scan_member(&at, object_end, &member)) {
        int index = find_spelled_member(first, end, member.name);
        buffer_text(out, separator);
        if (index < end)
            buffer_text(out, members[index].name);
        else
            buffer_append(out, member.name.bytes, member.name.length);
        buffer_text(out, "\":");
        write_spelled_value(out, event, member.value, index);
        separator = ",\"";
    }
    buffer_text(out, *separator == '{' ? "{}" : "}");
}

/* What is kept of an event, and shown, is written as we write it. 0 or -ENOMEM. */
static int spell(struct decoding *decoding)
{
    struct buffer spelled = {0};
    struct json_text *info = &decoding->event->info;
    write_spelled_object(&spelled, decoding->event, *info, PROJECT, EVENT_MEMBERS);
    const char *text = spelled.failed ? NULL : keep_text(decoding, spelled.bytes, spelled.length);
    *info = (struct json_text){.bytes = text, .length = spelled.length};
    buffer_free(&spelled);
    return text ? 0 : -ENOMEM;
}

/* Of what is no object. */
static int reject_event(struct json_text info, struct problem *problem)
{
    struct value value = {0};
    if (!read_value(info, &value))
        return -EBADMSG;
    problem_set(problem, PROBLEM_INVALID_FIELD, NULL, "An event must be an object, not %s.",
                type_name(value.type));
    json_decref(value.json);
    return -EINVAL;
}

int action_event_decode(struct action_event *event, struct json_text info,
                        const struct action_event_path *path, int64_t received_us,
                        struct arena *texts, struct problem *problem)
{
    struct action_event decoded = {.info = info};
    struct decoding decoding = {
        .event = &decoded, .texts = texts, .problem = problem, .given_twice = MEMBERS};
    if (info.length == 0 || *info.bytes != '{')
        return reject_event(info, problem);
    int status = read_members(&decoding, info, PROJECT, EVENT_MEMBERS)
                     ? judge(&decoding, path, received_us)
                     : -EBADMSG;
    if (status == 0 && decoding.is_spelled_otherwise)
        status = spell(&decoding);
    for (int i = 0; i < MEMBERS; i++)
        json_decref(decoding.values[i].json);
    if (status == 0)
        *event = decoded;
    else
        action_event_clear(&decoded);
    return status;
}

void action_event_clear(struct action_event *event)
{
    json_decref(event->error_info);
    *event = (struct action_event){0};
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
    return find_member(PROJECT, KEY_MEMBERS, member, strlen(member)) < KEY_MEMBERS;
}

/* A name that does not fit is left out, which is seen. */
static void add_differing(struct buffer *differing, const char *member)
{
    if (!differing || differing->length > DIFFERING_BYTES_MAX)
        return;
    bool fits = differing->length + strlen(member) <= DIFFERING_BYTES_MAX;
    buffer_text(differing, differing->length > 0 ? ", " : "");
    buffer_text(differing, !fits ? "…" : member[0] ? member : "\"\"");
}

/* Whether each member of `a` is the same in `b`; of those that `b` has not, if `only_absent`. */
static bool is_covered(const json_t *a, const json_t *b, bool only_absent, struct buffer *differing)
{
    /* The iterators take a json_t * but change nothing. */
    json_t *object = (json_t *)(uintptr_t)a;
    bool is_same = true;
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        const char *member = json_object_iter_key(at);
        const json_t *other = json_object_get(b, member);
        if (is_key_member(member) || (only_absent && other) ||
            json_equal(json_object_iter_value(at), other))
            continue;
        add_differing(differing, member);
        is_same = false;
    }
    return is_same;
}

bool action_event_is_identical(const json_t *a, const json_t *b, struct buffer *differing)
{
    bool is_same = is_covered(a, b, false, differing);
    return is_covered(b, a, true, differing) && is_same;
}

int action_event_compare(const struct action_event *event, const char *stored, size_t length,
                         bool *is_identical, struct buffer *differing)
{
    *is_identical = length == event->info.length && memcmp(stored, event->info.bytes, length) == 0;
    if (*is_identical)
        return 0;
    json_error_t error;
    json_t *other = action_event_parse((struct json_text){stored, length}, 0, &error);
    if (!other)
        return !error.text[0] || json_error_code(&error) == json_error_out_of_memory ? -ENOMEM : 0;
    json_t *document = action_event_parse(event->info, 0, &error);
    if (document)
        *is_identical = action_event_is_identical(document, other, differing);
    json_decref(other);
    json_decref(document);
    return document ? 0 : -ENOMEM;
}

static void write_own_members(struct buffer *out, const struct event_record *record)
{
    buffer_string_member(out, "\"project\":", record->run.project);
    buffer_string_member(out, ",\"domain\":", record->run.domain);
    buffer_string_member(out, ",\"runName\":", record->run.run_name);
    buffer_string_member(out, ",\"name\":", record->name);
    buffer_integer_member(out, ",\"attempt\":", record->attempt);
    buffer_string_member(out, ",\"phase\":", phase_name(record->phase));
    buffer_integer_member(out, ",\"version\":", record->version);
    buffer_text(out, ",\"revision\":");
    if (record->revision == 0)
        buffer_text(out, "null");
    else
        buffer_integer(out, record->revision);
    buffer_timestamp_member(out, ",\"recordedAt\":", record->recorded_us);
    buffer_timestamp_member(out, ",\"updatedTime\":", record->updated_us);
}

void event_record_write(struct buffer *out, const struct event_record *record)
{
    static const char *const added[] = {"revision", "recordedAt", "asReceived"};
    static const char *const own[] = {"project", "domain", "runName", "name",
                                      "attempt", "phase",  "version", "updatedTime"};
    const char *at = record->info.bytes, *end = at + record->info.length;
    struct json_member member;
    bool is_hidden = false;

    buffer_text(out, "{");
    write_own_members(out, record);
    while (json_scan_member(&at, end, &member)) {
        if (json_name_is_one_of(member.name, added, sizeof added / sizeof *added)) {
            is_hidden = true;
        } else if (!json_name_is_one_of(member.name, own, sizeof own / sizeof *own)) {
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
