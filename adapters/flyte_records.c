#include "adapters/flyte_records.h"

#include <stdio.h>
#include <string.h>

#include "adapters/flyte.pb-c.h"
#include "adapters/flyte_events.h"
#include "adapters/protobuf.h"

enum { CODE_INVALID_ARGUMENT = 3 }; /* of google.rpc.Code */

void flyte_write_answer(struct buffer *out, const ProtobufCMessageDescriptor *descriptor,
                        const json_t *document, bool is_json)
{
    struct arena arena = {0};
    const ProtobufCMessage *message =
        document == NULL ? NULL : message_from_loose_json(descriptor, document, &arena);

    if (message == NULL)
        out->failed = true;
    else if (is_json)
        message_write_json(out, message);
    else
        message_pack(out, message);
    arena_free(&arena);
}

/* -------- members -------- */

static json_t *run_id(const struct flyte_scope *scope)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "org", scope->org, "project", scope->project, "domain",
                     scope->domain, "name", scope->run);
}

static json_t *action_id(const struct flyte_scope *scope, const char *name)
{
    return json_pack("{s:o, s:s}", "run", run_id(scope), "name", name);
}

static const char *text_of(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));

    return text == NULL ? "" : text;
}

/* Puts the value of `member` under `name`, if there is one. */
static void copy_member(json_t *to, const char *name, const json_t *from, const char *member)
{
    json_t *value = json_object_get(from, member);

    if (value != NULL && !json_is_null(value))
        json_object_set(to, name, value);
}

/* A phase by our name, as Flyte has it; NULL if it has none. It has no SKIPPED: what did not run is
 * told as aborted. */
static const ProtobufCEnumValue *phase_value(const char *phase)
{
    char name[64];

    snprintf(name, sizeof name, "ACTION_PHASE_%s",
             strcmp(phase, "SKIPPED") == 0 ? "ABORTED" : phase);
    return protobuf_c_enum_descriptor_get_value_by_name(&flyte__action_phase__descriptor, name);
}

static void put_phase(json_t *to, const json_t *from)
{
    const ProtobufCEnumValue *value = phase_value(text_of(from, "phase"));

    if (value != NULL)
        json_object_set_new(to, "phase", json_string(value->name));
}

/* Flyte's start is when an action was made, until it runs. */
static void put_start(json_t *to, const json_t *from)
{
    copy_member(to, "startTime", from, "createdAt");
    copy_member(to, "startTime", from, "startedAt");
}

static json_t *error_info(const json_t *from)
{
    json_t *error = json_object();
    const char *kind = text_of(from, "kind");

    copy_member(error, "message", from, "message");
    copy_member(error, "code", from, "code");
    if (strstr(kind, "USER") != NULL)
        json_object_set_new(error, "kind", json_string("KIND_USER"));
    else if (strstr(kind, "SYSTEM") != NULL)
        json_object_set_new(error, "kind", json_string("KIND_SYSTEM"));
    return error;
}

static void put_error(json_t *to, const json_t *from)
{
    const json_t *error = json_object_get(from, "errorInfo");

    if (json_is_object(error))
        json_object_set_new(to, "errorInfo", error_info(error));
}

static json_t *status_of(const json_t *action)
{
    json_t *status = json_object();

    put_phase(status, action);
    put_start(status, action);
    copy_member(status, "endTime", action, "endedAt");
    copy_member(status, "attempts", action, "attempt");
    copy_member(status, "durationMs", action, "durationMs");
    return status;
}

static json_t *metadata_of(const struct flyte_scope *scope, const json_t *action)
{
    json_t *metadata = json_object();
    json_t *task = json_object();

    copy_member(metadata, "parent", action, "parent");
    copy_member(metadata, "group", action, "group");
    copy_member(metadata, "funtionName", action, "shortName");
    copy_member(task, "shortName", action, "shortName");
    json_object_set_new(task, "id",
                        json_pack("{s:s, s:s, s:s, s:s}", "org", scope->org, "project",
                                  scope->project, "domain", scope->domain, "name",
                                  text_of(action, "taskName")));
    json_object_set_new(metadata, "task", task);
    json_object_set_new(metadata, "actionType", json_string("ACTION_TYPE_TASK"));
    json_object_set_new(metadata, "source", json_string("RUN_SOURCE_TRACKED"));
    return metadata;
}

/* -------- answers to reports -------- */

json_t *flyte_status(const char *why)
{
    if (why == NULL)
        return json_object();
    return json_pack("{s:i, s:s}", "code", CODE_INVALID_ARGUMENT, "message", why);
}

json_t *flyte_created_run(const struct flyte_scope *scope)
{
    return json_pack("{s:{s:{s:o, s:{s:s}}}}", "run", "action", "id",
                     action_id(scope, FLYTE_ROOT_NAME), "status", "phase", "ACTION_PHASE_QUEUED");
}

json_t *flyte_statuses(const struct event_batch *batch)
{
    json_t *statuses = json_array();

    for (size_t i = 0; i < batch->count; i++) {
        const struct event_result *result = &batch->results[i];
        bool is_rejected = result->status == EVENT_REJECTED;

        if (json_array_append_new(statuses,
                                  flyte_status(is_rejected ? result->problem->detail : NULL)) < 0) {
            json_decref(statuses);
            return NULL; /* with one left out, the others would be of other events */
        }
    }
    return json_pack("{s:o}", "statuses", statuses);
}

/* -------- answers to reads -------- */

json_t *flyte_action(const struct flyte_scope *scope, const json_t *action)
{
    return json_pack("{s:o, s:o, s:o}", "id", action_id(scope, text_of(action, "name")), "metadata",
                     metadata_of(scope, action), "status", status_of(action));
}

/* One for each phase, as Flyte has it: events of one phase, one after the other, are one of them.
 */
static json_t *transitions_of(const json_t *attempt)
{
    const json_t *from = json_object_get(attempt, "phaseTransitions");
    json_t *transitions = json_array(), *item, *last = NULL, *transition;
    size_t index;

    json_array_foreach (from, index, item) {
        transition = json_object();
        put_phase(transition, item);
        if (last != NULL && strcmp(text_of(last, "phase"), text_of(transition, "phase")) == 0) {
            json_decref(transition);
        } else {
            copy_member(transition, "startTime", item, "startTime");
            json_array_append_new(transitions, transition);
            last = transition;
        }
        json_object_del(last, "endTime");
        copy_member(last, "endTime", item, "endTime");
    }
    return transitions;
}

static json_t *attempt_of(const json_t *from)
{
    static const char *const same[] = {"attempt", "logInfo", "outputs", "clusterEvents", "cluster"};
    json_t *attempt = json_object();

    put_phase(attempt, from);
    put_start(attempt, from);
    copy_member(attempt, "endTime", from, "endedAt");
    put_error(attempt, from);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        copy_member(attempt, same[i], from, same[i]);
    json_object_set_new(attempt, "phaseTransitions", transitions_of(from));
    return attempt;
}

static json_t *details_of(const struct flyte_scope *scope, const json_t *action)
{
    json_t *details = flyte_action(scope, action), *attempts = json_array(), *item;
    size_t index;

    json_array_foreach (json_object_get(action, "attempts"), index, item)
        json_array_append_new(attempts, attempt_of(item));
    json_object_set_new(details, "attempts", attempts);
    json_object_set_new(details, "task",
                        json_pack("{s:{s:{s:s, s:s, s:s, s:s}}, s:s}", "taskTemplate", "id",
                                  "resourceType", "TASK", "project", scope->project, "domain",
                                  scope->domain, "name", text_of(action, "taskName"), "shortName",
                                  text_of(action, "shortName")));
    put_error(details, action);
    if (strcmp(text_of(action, "phase"), "ABORTED") == 0) {
        const json_t *error = json_object_get(action, "errorInfo");

        json_object_del(details, "errorInfo");
        json_object_set_new(details, "abortInfo",
                            json_pack("{s:s}", "reason", text_of(error, "message")));
    }
    return details;
}

json_t *flyte_action_details(const struct flyte_scope *scope, const json_t *action)
{
    return json_pack("{s:o}", "details", details_of(scope, action));
}

json_t *flyte_run_details(const struct flyte_scope *scope, const json_t *root)
{
    return json_pack("{s:{s:{}, s:o}}", "details", "runSpec", "action", details_of(scope, root));
}

json_t *flyte_run(const char *org, const json_t *run, const json_t *root)
{
    const struct flyte_scope scope = {.org = org,
                                      .project = text_of(run, "project"),
                                      .domain = text_of(run, "domain"),
                                      .run = text_of(run, "runName")};
    const char *name = text_of(run, "root");
    json_t *flyte = json_object(), *action;

    action = root != NULL
                 ? flyte_action(&scope, root)
                 : json_pack("{s:o, s:{}}", "id",
                             action_id(&scope, *name == '\0' ? FLYTE_ROOT_NAME : name), "metadata");
    json_object_set_new(action, "status", status_of(run));
    if (root != NULL)
        copy_member(json_object_get(action, "status"), "attempts", root, "attempt");
    json_object_set_new(flyte, "action", action);
    copy_member(flyte, "labels", run, "labels");
    return flyte;
}

static json_t *counts_of(const json_t *update)
{
    const json_t *counts = json_object_get(update, "childPhaseCounts");
    json_t *flyte = json_object(), *count;
    const char *phase;
    char number[16];

    json_object_foreach ((json_t *)(uintptr_t)counts, phase, count) {
        const ProtobufCEnumValue *value = phase_value(phase);
        json_int_t sum = json_integer_value(count);

        if (value == NULL)
            continue;
        snprintf(number, sizeof number, "%d", value->value);
        sum += json_integer_value(json_object_get(flyte, number));
        json_object_set_new(flyte, number, json_integer(sum));
    }
    return flyte;
}

json_t *flyte_enriched_action(const struct flyte_scope *scope, const json_t *update)
{
    return json_pack("{s:o, s:b, s:o}", "action",
                     flyte_action(scope, json_object_get(update, "action")), "meetsFilter",
                     json_is_true(json_object_get(update, "meetsFilter")), "childrenPhaseCounts",
                     counts_of(update));
}

json_t *flyte_projects(const char *org, const json_t *page)
{
    json_t *projects = json_array(), *item, *project = NULL, *domain;
    const char *name, *domain_name;
    size_t index;

    json_array_foreach (json_object_get(page, "projects"), index, item) {
        name = text_of(item, "project");
        domain_name = text_of(item, "domain");
        if (project == NULL || strcmp(text_of(project, "id"), name) != 0) {
            project =
                json_pack("{s:s, s:s, s:s, s:[]}", "id", name, "name", name, "org", org, "domains");
            json_array_append_new(projects, project);
        }
        domain = json_pack("{s:s, s:s}", "id", domain_name, "name", domain_name);
        json_array_append_new(json_object_get(project, "domains"), domain);
    }
    return json_pack("{s:{s:o, s:s}}", "projects", "projects", projects, "token",
                     text_of(page, "nextCursor"));
}
