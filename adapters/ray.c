/* Ray's event export: arrays of events from each node, which are sent again for ever unless they
 * are answered by 2xx.
 *
 * A run is a driver, called after the session and the job's id; the driver is its root. A task is
 * an action by its id in hex digits, as Ray's own tools show it, with its name as title;
 * taskAttempt counts from 0. A task's definition names its parent, what it lives through does not,
 * so those wait for it.
 *
 * The version of what waits is its state's place, below that of all that runs, for the two are told
 * by different clocks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/tools.h"
#include "model/phase.h"
#include "model/text.h"
#include "model/timestamp.h"

enum {
    ID_CHARS_MAX = 64,
    ID_SIZE = ID_CHARS_MAX + 1,
    DRIVER_DIGITS = 40, /* f, before the job's id */
    VERSION_OF_LOGS = 1000,
};

struct ray {
    struct adapter_answer *answer;
    const json_t *event;
    const json_t *what; /* its part of the event's own type */
    char run_name[ADAPTER_NAME_SIZE];
    json_int_t attempt;
    int64_t time_us; /* of the event */
};

static const char root[] = "driver";

/* -------- ids -------- */

/* Base64 as hex digits; what is neither that nor hex already stays as it is. */
static void read_id(const char *text, char out[static ID_SIZE])
{
    enum { JOB_DIGITS = 8, TASK_DIGITS = 48 };
    size_t length = strlen(text), given = strcspn(text, "=");
    bool is_hex = (length == JOB_DIGITS || length == TASK_DIGITS) &&
                  strspn(text, "0123456789abcdef") == length;
    unsigned char bytes[ID_CHARS_MAX];
    bool is_exact;
    snprintf(out, ID_SIZE, "%s", text);
    if (is_hex || given * 3 / 2 > ID_CHARS_MAX)
        return;
    ptrdiff_t used = base64_decode(text, given, "+/", bytes, &is_exact);
    for (ptrdiff_t i = 0; i < used; i++)
        snprintf(out + 2 * i, ID_SIZE - 2 * (size_t)i, "%02x", bytes[i]);
}

/* NULL of what has no such id; else `out`. */
static const char *task_name(const json_t *what, const char *member,
                             char out[static ADAPTER_NAME_SIZE])
{
    char id[ID_SIZE];
    const char *text = adapter_text(what, member);
    if (!text)
        return NULL;
    read_id(text, id);
    bool is_driver = strlen(id) > DRIVER_DIGITS && strspn(id, "f") >= DRIVER_DIGITS;
    adapter_name(is_driver ? root : id, out);
    return out;
}

/* -------- events -------- */

static json_t *new_event(const struct ray *ray, const char *name, enum phase phase, int version,
                         int64_t time_us)
{
    json_t *event =
        json_pack("{s:s, s:s, s:s, s:I, s:i}", "runName", ray->run_name, "name", name, "phase",
                  phase_name(phase), "attempt", ray->attempt, "version", version);
    adapter_set(event, "updatedTime", adapter_time(time_us));
    if (strcmp(name, root) == 0)
        adapter_set(event, "parent", json_null());
    return event;
}

static void unmapped(const struct ray *ray, enum unmapped_kind kind, const char *why,
                     const char *value)
{
    const struct adapter_place place = {
        .run_name = ray->run_name, .root = root, .time_us = ray->time_us};
    adapter_unmapped(ray->answer, kind, ray->run_name[0] ? &place : NULL, ray->event, "%s%s%s", why,
                     value ? " " : "", value ? value : "");
}

/* -------- definitions -------- */

static json_t *tell_of_run(const struct ray *ray, const char *entrypoint)
{
    json_t *run = json_object(), *labels = json_object();
    adapter_set(run, "title", adapter_label(entrypoint));
    adapter_add_label(labels, "tool", "Ray");
    adapter_add_label(labels, "session", adapter_text(ray->event, "sessionName"));
    adapter_set(run, "labels", labels);
    adapter_set_params(
        run, json_incref(json_object_get(json_object_get(ray->what, "config"), "metadata")));
    return run;
}

static void take_driver_definition(const struct ray *ray)
{
    const char *entrypoint = adapter_text(ray->what, "entrypoint");
    json_t *event = new_event(ray, root, PHASE_QUEUED, 1, ray->time_us);
    if (!entrypoint)
        entrypoint = "driver";
    adapter_set(event, "title", adapter_label(entrypoint));
    adapter_set(event, "run", tell_of_run(ray, entrypoint));
    adapter_set(event, "ray", adapter_raw(ray->what));
    adapter_emit(ray->answer, event);
}

/* What a task does, from the descriptor in its language: {"pythonFunctionDescriptor": …}. */
static void set_function(json_t *event, const json_t *functions)
{
    const json_t *function = json_object_iter_value(json_object_iter((json_t *)functions));
    const char *module = adapter_text(function, "moduleName");
    const char *class = adapter_text(function, "className");
    const char *name = adapter_text(function, "functionName");
    if (!name)
        return;
    adapter_set(event, "group", adapter_label(class ? class : name));
    adapter_set(event, "task",
                json_pack("{s:o, s:o}", "name",
                          adapter_labelf("%s%s%s%s%s", module ? module : "", module ? "." : "",
                                         class ? class : "", class ? "." : "", name),
                          "shortName", adapter_label(name)));
}

static void take_task_definition(const struct ray *ray)
{
    char name[ADAPTER_NAME_SIZE], parent[ADAPTER_NAME_SIZE];
    const char *title = adapter_text(ray->what, "taskName");
    if (!title)
        title = adapter_text(ray->what, "actorTaskName");
    if (!task_name(ray->what, "taskId", name) || !task_name(ray->what, "parentTaskId", parent)) {
        unmapped(ray, UNMAPPED_FIELD, "no taskId or parentTaskId", NULL);
        return;
    }
    json_t *event = new_event(ray, name, PHASE_QUEUED, 0, ray->time_us);
    adapter_set(event, "parent", adapter_parent(strcmp(name, root) == 0 ? NULL : parent, name));
    adapter_set(event, "title", title ? adapter_label(title) : NULL);
    set_function(event, json_object_get(ray->what, "taskFunc"));
    set_function(event, json_object_get(ray->what, "actorFunc"));
    adapter_set(event, "ray", adapter_raw(ray->what));
    adapter_emit(ray->answer, event);
}

/* -------- what tasks live through -------- */

struct state {
    const char *name;
    enum phase phase;
    int version;
};

static const struct state task_states[] = {
    {"PENDING_ARGS_AVAIL", PHASE_QUEUED, 2},
    {"PENDING_NODE_ASSIGNMENT", PHASE_WAITING_FOR_RESOURCES, 0},
    {"PENDING_OBJ_STORE_MEM_AVAIL", PHASE_WAITING_FOR_RESOURCES, 1},
    {"PENDING_ARGS_FETCH", PHASE_WAITING_FOR_RESOURCES, 2},
    {"SUBMITTED_TO_WORKER", PHASE_INITIALIZING, 0},
    {"GETTING_AND_PINNING_ARGS", PHASE_INITIALIZING, 1},
    {"PENDING_ACTOR_TASK_ARGS_FETCH", PHASE_INITIALIZING, 2},
    {"PENDING_ACTOR_TASK_ORDERING_OR_CONCURRENCY", PHASE_INITIALIZING, 3},
    {"RUNNING", PHASE_RUNNING, 10},
    {"RUNNING_IN_RAY_GET", PHASE_RUNNING, 11},
    {"RUNNING_IN_RAY_WAIT", PHASE_RUNNING, 12},
    {"FINISHED", PHASE_SUCCEEDED, 1},
    {"FAILED", PHASE_FAILED, 1},
};

/* Ray does not say how a driver ended, but by its task. */
static const struct state driver_states[] = {
    {"CREATED", PHASE_RUNNING, 9},
    {"FINISHED", PHASE_SUCCEEDED, 0},
};

static const struct state *find_state(const struct state *states, size_t count, const char *name)
{
    for (size_t i = 0; name && i < count; i++)
        if (strcmp(states[i].name, name) == 0)
            return &states[i];
    return NULL;
}

/* The text without the escapes by which terminals colour it (ECMA-48, CSI … m). */
static char *without_colours(const char *text)
{
    char *plain = malloc(strlen(text) + 1), *to = plain;
    for (const char *at = text; plain && *at;) {
        size_t length = at[0] == '\033' && at[1] == '[' ? 2 + strspn(at + 2, "0123456789;") : 0;
        if (length > 0 && at[length] == 'm')
            at += length + 1;
        else
            *to++ = *at++;
    }
    if (plain)
        *to = '\0';
    return plain;
}

static void set_error(const struct ray *ray, json_t *event)
{
    const char *type = adapter_text(ray->what, "rayErrorInfo/errorType");
    const char *message = adapter_text(ray->what, "rayErrorInfo/errorMessage");
    bool is_users = type && strcmp(type, "TASK_EXECUTION_EXCEPTION") == 0;
    char *plain = message ? without_colours(message) : NULL;
    ray->answer->failed |= message && !plain;
    adapter_set_error(event, plain ? plain : type ? type : "Ray did not say why", NULL);
    free(plain);
    if (type)
        adapter_set(json_object_get(event, "errorInfo"), "kind",
                    json_string(is_users ? "USER" : "SYSTEM"));
}

/* Whether there are logs to tell of. */
static bool set_logs(const struct ray *ray, json_t *event)
{
    static const char *const logs[][2] = {{"taskLogInfo/stdoutFile", "stdout"},
                                          {"taskLogInfo/stderrFile", "stderr"}};
    json_t *info = json_array();
    for (size_t i = 0; i < sizeof logs / sizeof *logs; i++) {
        const char *path = adapter_text(ray->what, logs[i][0]);
        if (path)
            json_array_append_new(info, json_pack("{s:s, s:s}", "name", logs[i][1], "uri", path));
    }
    bool has_logs = json_array_size(info) > 0;
    if (has_logs)
        adapter_set(event, "logInfo", json_incref(info));
    json_decref(info);
    return has_logs;
}

static void emit_state(const struct ray *ray, const char *name, const struct state *state,
                       int64_t time_us)
{
    enum phase phase = state->phase;
    const char *error = adapter_text(ray->what, "rayErrorInfo/errorType");
    if (phase == PHASE_FAILED && error && strcmp(error, "TASK_CANCELLED") == 0)
        phase = PHASE_ABORTED;
    json_t *event = new_event(ray, name, phase, state->version, time_us);
    if (phase == PHASE_FAILED || phase == PHASE_ABORTED)
        set_error(ray, event);
    if (phase == PHASE_RUNNING)
        set_logs(ray, event);
    adapter_emit(ray->answer, event);
}

static void take_states(const struct ray *ray, const char *name, const struct state *states,
                        size_t count)
{
    const json_t *transitions = json_object_get(ray->what, "stateTransitions");
    for (size_t i = 0; i < json_array_size(transitions); i++) {
        const json_t *transition = json_array_get(transitions, i);
        const char *said = adapter_text(transition, "state");
        const struct state *state = find_state(states, count, said);
        int64_t time_us = adapter_time_us(json_object_get(transition, "timestamp"));
        if (state)
            emit_state(ray, name, state, time_us == TIME_NONE ? ray->time_us : time_us);
        else
            unmapped(ray, UNMAPPED_STATE, "the state", said);
    }
}

static void take_task_lifecycle(const struct ray *ray)
{
    char name[ADAPTER_NAME_SIZE];
    if (!task_name(ray->what, "taskId", name)) {
        unmapped(ray, UNMAPPED_FIELD, "no taskId", NULL);
        return;
    }
    take_states(ray, name, task_states, sizeof task_states / sizeof *task_states);
    if (json_array_size(json_object_get(ray->what, "stateTransitions")) > 0)
        return;
    json_t *event = new_event(ray, name, PHASE_RUNNING, VERSION_OF_LOGS, ray->time_us);
    if (set_logs(ray, event))
        adapter_emit(ray->answer, event);
    else
        json_decref(event);
}

static void take_driver_lifecycle(const struct ray *ray)
{
    take_states(ray, root, driver_states, sizeof driver_states / sizeof *driver_states);
}

/* -------- one event -------- */

/* "task_id" as "taskId". */
static void write_camel_case(const char *name, char *out)
{
    bool is_start = false;
    for (; *name; name++) {
        bool is_raised = is_start && *name >= 'a' && *name <= 'z';
        is_start = *name == '_';
        if (!is_start)
            *out++ = is_raised ? (char)(*name - 'a' + 'A') : *name;
    }
    *out = '\0';
}

/* A new reference to the JSON, in which members that have the .proto's names, which Ray's agent can
 * be told to preserve, are called as otherwise; a user's stay. */
static json_t *in_camel_case(struct adapter_answer *answer, json_t *json)
{
    char name[ID_SIZE];
    const char *key;
    if (!json_is_object(json) && !json_is_array(json))
        return json_incref(json);
    json_t *copy = json_is_object(json) ? json_object() : json_array(), *value;
    for (size_t i = 0; i < json_array_size(json); i++)
        answer->failed |=
            json_array_append_new(copy, in_camel_case(answer, json_array_get(json, i))) != 0;
    json_object_foreach (json, key, value) {
        bool is_field = strlen(key) < sizeof name && strcmp(key, "metadata") != 0;
        if (is_field)
            write_camel_case(key, name);
        answer->failed |=
            json_object_set_new(copy, is_field ? name : key,
                                is_field ? in_camel_case(answer, value) : json_incref(value)) != 0;
    }
    return copy;
}

static const struct {
    const char *name, *member;
    void (*take)(const struct ray *ray);
} types[] = {
    {"TASK_DEFINITION_EVENT", "taskDefinitionEvent", take_task_definition},
    {"ACTOR_TASK_DEFINITION_EVENT", "actorTaskDefinitionEvent", take_task_definition},
    {"TASK_LIFECYCLE_EVENT", "taskLifecycleEvent", take_task_lifecycle},
    {"DRIVER_JOB_DEFINITION_EVENT", "driverJobDefinitionEvent", take_driver_definition},
    {"DRIVER_JOB_LIFECYCLE_EVENT", "driverJobLifecycleEvent", take_driver_lifecycle},
};

/* Of the cluster, and of what happened inside of a task. */
static bool is_of_no_action(const char *type)
{
    static const char *const starts[] = {
        "NODE_",         "WORKER_",   "ACTOR_DEFINITION_", "ACTOR_LIFECYCLE_",
        "TASK_PROFILE_", "PLATFORM_", "PLACEMENT_GROUP_",  "SUBMISSION_JOB_"};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (strncmp(type, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

static void take_event(struct adapter_answer *answer, const json_t *event)
{
    struct ray ray = {.answer = answer, .event = event};
    char job[ID_SIZE];
    const char *type = adapter_text(event, "eventType"), *id;
    const char *session = adapter_text(event, "sessionName");
    size_t i = 0;
    while (type && i < sizeof types / sizeof *types && strcmp(types[i].name, type) != 0)
        i++;
    if (!type || i == sizeof types / sizeof *types) {
        if (!type || !is_of_no_action(type))
            unmapped(&ray, UNMAPPED_TYPE, "the type", type);
        return;
    }
    ray.what = json_object_get(event, types[i].member);
    id = adapter_text(ray.what, "jobId");
    if (!id) {
        unmapped(&ray, UNMAPPED_FIELD, "no jobId in the", type);
        return;
    }
    read_id(id, job);
    adapter_name_with_id(session ? session : "ray", job, ray.run_name);
    ray.attempt = json_integer_value(json_object_get(ray.what, "taskAttempt")) + 1;
    if (ray.attempt < 1 || ray.attempt > INT32_MAX)
        ray.attempt = 1;
    ray.time_us = adapter_time_us(json_object_get(event, "timestamp"));
    if (ray.time_us == TIME_NONE)
        ray.time_us = answer->request->received_us;
    types[i].take(&ray);
}

static void take(struct adapter_answer *answer, json_t *event)
{
    json_t *named =
        json_object_get(event, "event_type") ? in_camel_case(answer, event) : json_incref(event);
    take_event(answer, named);
    json_decref(named);
}

void adapt_ray(const struct adapter_request *request, struct adapter_answer *answer)
{
    if (strcmp(request->method, "POST") != 0) {
        adapter_unmapped(answer, UNMAPPED_PATH, NULL, NULL, "%s", request->method);
        return;
    }
    json_t *body = adapter_body(answer);
    if (json_is_array(body))
        for (size_t i = 0; i < json_array_size(body); i++)
            take(answer, json_array_get(body, i));
    else if (body)
        take(answer, body);
    json_decref(body);
}
