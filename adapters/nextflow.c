/* Nextflow's weblog (-with-weblog, and the plugin nf-weblog, which sends the same).
 *
 * A run is called after Nextflow's name for it and the start of the session's id; its root has that
 * name, too. A task is an action under the root by the name that Nextflow shows, "QC:PREP (s1)", in
 * a group of its process, "QC/PREP"; a retry is an attempt of it, although Nextflow gives it a new
 * number. That number is the version, so that two tasks of one name lose no event to each other.
 *
 * Tasks that a resumed run takes from the cache are never sent: how many there were is told by the
 * run's end. A message that does not arrive is not sent again, so the first tasks say that the run
 * is going on, too. */
#include <stdio.h>
#include <string.h>

#include "adapters/tools.h"
#include "model/timestamp.h"

enum { SESSION_DIGITS = 8, TEXT_SIZE = 512, TASKS_THAT_TELL_OF_THE_RUN = 8 };
enum { EXIT_UNKNOWN = 2147483647, SIGNAL_EXIT = 128, SIGNALS = 64 };

struct nextflow {
    struct adapter_answer *answer;
    const json_t *message;
    const char *event;
    char run_name[ADAPTER_NAME_SIZE], root[ADAPTER_NAME_SIZE];
    int64_t time_us; /* of the message */
};

static json_t *new_event(const struct nextflow *nextflow, const char *name, const char *parent,
                         const char *phase, int64_t time_us)
{
    json_t *event = json_pack("{s:s, s:s, s:o, s:s}", "runName", nextflow->run_name, "name", name,
                              "parent", adapter_parent(parent, name), "phase", phase);
    adapter_set(event, "updatedTime", adapter_time(time_us));
    return event;
}

/* -------- the run -------- */

/* A moment as Nextflow writes it, with its parts as members, or as text. */
static int64_t moment_us(const json_t *moment)
{
    static const char *const names[] = {"year",   "monthValue", "dayOfMonth", "hour",
                                        "minute", "second",     "nano"};
    enum { PARTS = sizeof names / sizeof *names, US_PER_S = 1000000 };
    int parts[PARTS];
    char text[128];
    if (!json_is_object(moment))
        return adapter_time_us(moment);
    for (size_t i = 0; i < PARTS; i++) {
        json_int_t value = json_integer_value(json_object_get(moment, names[i]));
        parts[i] = value < 0 || value > 999999999 ? 0 : (int)value;
    }
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%09dZ", parts[0], parts[1], parts[2],
             parts[3], parts[4], parts[5], parts[6]);
    json_t *written = json_string(text);
    int64_t time_us = adapter_time_us(written);
    json_int_t offset_s = json_integer_value(adapter_get(moment, "offset/totalSeconds"));
    json_decref(written);
    bool has_offset = time_us != TIME_NONE && offset_s > -86400 && offset_s < 86400;
    return has_offset ? time_us - offset_s * US_PER_S : time_us;
}

static json_t *labels_of(const json_t *workflow)
{
    json_t *labels = json_object();
    adapter_add_label(labels, "tool", "Nextflow");
    adapter_add_label(labels, "project", adapter_text(workflow, "projectName"));
    adapter_add_label(labels, "revision", adapter_text(workflow, "revision"));
    adapter_add_label(labels, "commit", adapter_text(workflow, "commitId"));
    adapter_add_label(labels, "profile", adapter_text(workflow, "profile"));
    adapter_add_label(labels, "user", adapter_text(workflow, "userName"));
    adapter_add_label(labels, "session", adapter_text(workflow, "sessionId"));
    return labels;
}

static json_t *tell_of_run(const struct nextflow *nextflow, const json_t *workflow)
{
    json_t *run = json_object(), *links = json_array();
    const char *name = adapter_text(workflow, "manifest/name");
    const char *project = adapter_text(workflow, "projectName");
    if (!name)
        name = project ? project : "";
    adapter_set(run, "title", adapter_labelf("%s%s%s", name, *name ? " " : "", nextflow->root));
    adapter_set(run, "labels", labels_of(workflow));
    adapter_link(links, "Repository", adapter_text(workflow, "repository"));
    adapter_link(links, "Home page", adapter_text(workflow, "manifest/homePage"));
    adapter_set(run, "links", json_array_size(links) > 0 ? json_incref(links) : NULL);
    adapter_set_params(run, json_incref(json_object_get(
                                json_object_get(nextflow->message, "metadata"), "parameters")));
    json_decref(links);
    return run;
}

/* How many tasks ended how, of which the cached ones were never sent. */
static json_t *counts_of(const json_t *workflow)
{
    static const char *const counts[][2] = {
        {"succeededCount", "succeeded"}, {"cachedCount", "cached"},   {"failedCount", "failed"},
        {"ignoredCount", "ignored"},     {"retriesCount", "retried"}, {"abortedCount", "aborted"},
    };
    const json_t *stats = json_object_get(workflow, "stats");
    json_t *tasks = json_object();
    if (!stats)
        stats = json_object_get(workflow, "workflowStats");
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        adapter_set(tasks, counts[i][1], json_incref(json_object_get(stats, counts[i][0])));
    return json_pack("{s:o}", "tasks", tasks);
}

static void set_run_error(json_t *event, const json_t *workflow)
{
    const char *report = adapter_text(workflow, "errorReport");
    const char *message = adapter_text(workflow, "errorMessage");
    adapter_set_error(event, message || report ? message : "The run ended without success.",
                      report);
}

/* What it ended by: "SIGINT" as its error is somebody's Ctrl-C. */
static const char *end_of_run(const json_t *workflow)
{
    const char *message = adapter_text(workflow, "errorMessage");
    bool is_signal = message && strncmp(message, "SIG", 3) == 0 && !strpbrk(message, " \n");
    return json_is_true(json_object_get(workflow, "success")) ? "SUCCEEDED"
           : is_signal                                        ? "ABORTED"
                                                              : "FAILED";
}

static void take_run(const struct nextflow *nextflow)
{
    const json_t *metadata = json_object_get(nextflow->message, "metadata");
    const json_t *workflow = json_object_get(metadata, "workflow");
    bool has_ended = strcmp(nextflow->event, "completed") == 0;
    int64_t time_us = moment_us(json_object_get(workflow, has_ended ? "complete" : "start"));
    if (time_us == TIME_NONE)
        time_us = nextflow->time_us;
    const char *phase = has_ended ? end_of_run(workflow) : "RUNNING";
    json_t *event = new_event(nextflow, nextflow->root, NULL, phase, time_us);
    adapter_set(event, "run", tell_of_run(nextflow, workflow));
    if (has_ended)
        adapter_set(event, "outputs", counts_of(workflow));
    if (has_ended && strcmp(phase, "SUCCEEDED") != 0)
        set_run_error(event, workflow);
    adapter_set(event, "nextflow", metadata ? adapter_raw(metadata) : NULL);
    adapter_emit(nextflow->answer, event);
}

/* -------- tasks -------- */

/* NULL: a status that is not known. What never started when the run was given up is SKIPPED. */
static const char *end_of(const json_t *trace)
{
    static const char *const phases[][2] = {
        {"COMPLETED", "SUCCEEDED"},
        {"FAILED", "FAILED"},
        {"CACHED", "RECOVERED"},
    };
    const char *status = adapter_text(trace, "status");
    for (size_t i = 0; status && i < sizeof phases / sizeof *phases; i++)
        if (strcmp(status, phases[i][0]) == 0)
            return phases[i][1];
    if (status && strcmp(status, "ABORTED") == 0)
        return json_integer_value(json_object_get(trace, "start")) > 0 ? "ABORTED" : "SKIPPED";
    return NULL;
}

/* Of its task; 0 is none's. */
static json_int_t number_of(const json_t *trace)
{
    json_int_t number = json_integer_value(json_object_get(trace, "task_id"));
    return number < 0 || number > INT32_MAX ? 0 : number;
}

static void set_task_error(json_t *event, const json_t *trace)
{
    char text[TEXT_SIZE];
    const char *action = adapter_text(trace, "error_action");
    json_int_t code = json_integer_value(json_object_get(trace, "exit"));
    int length = snprintf(text, sizeof text, "exit code %" JSON_INTEGER_FORMAT, code);
    if (code == EXIT_UNKNOWN)
        length = snprintf(text, sizeof text, "no exit code");
    else if (code > SIGNAL_EXIT && code <= SIGNAL_EXIT + SIGNALS)
        length = snprintf(text, sizeof text, "exit code %d (signal %d)", (int)code,
                          (int)code - SIGNAL_EXIT);
    if (action)
        snprintf(text + length, sizeof text - (size_t)length, ", %s", action);
    adapter_set(event, "errorInfo", json_pack("{s:s}", "message", text));
}

/* "QC:PREP" as "QC/PREP" */
static void set_process(json_t *event, const char *process)
{
    char group[TEXT_SIZE];
    const char *last = process ? strrchr(process, ':') : NULL;
    if (!process || strlen(process) >= sizeof group)
        return;
    memcpy(group, process, strlen(process) + 1);
    for (char *colon = strchr(group, ':'); colon; colon = strchr(colon, ':'))
        *colon = '/';
    adapter_set(event, "group", json_string(group));
    adapter_set(event, "task",
                json_pack("{s:s, s:s}", "name", process, "shortName", last ? last + 1 : process));
}

/* Of a task, whose number is the version. */
static json_t *new_task_event(const struct nextflow *nextflow, const json_t *trace,
                              const char *phase, int64_t time_us)
{
    char name[ADAPTER_NAME_SIZE];
    json_int_t attempt = json_integer_value(json_object_get(trace, "attempt"));
    adapter_name_below(adapter_text(trace, "name"), nextflow->root, name);
    json_t *event = new_event(nextflow, name, nextflow->root, phase, time_us);
    adapter_set(event, "attempt", json_integer(attempt < 1 || attempt > INT32_MAX ? 1 : attempt));
    adapter_set(event, "version", json_integer(number_of(trace)));
    return event;
}

/* An end tells when the task began, too, in case its start was lost; under a key that no start has.
 */
static void emit_start_again(const struct nextflow *nextflow, const json_t *trace)
{
    int64_t time_us = adapter_time_us(json_object_get(trace, "start"));
    if (time_us == TIME_NONE)
        return;
    json_t *event = new_task_event(nextflow, trace, "RUNNING", time_us);
    adapter_set(event, "version", json_integer(INT32_MAX - number_of(trace)));
    adapter_emit(nextflow->answer, event);
}

static void emit_task(const struct nextflow *nextflow, const json_t *trace, const char *phase,
                      const char *time_member)
{
    const char *workdir = adapter_text(trace, "workdir");
    json_int_t number = number_of(trace);
    int64_t time_us = adapter_time_us(json_object_get(trace, time_member));
    json_t *event =
        new_task_event(nextflow, trace, phase, time_us == TIME_NONE ? nextflow->time_us : time_us);
    set_process(event, adapter_text(trace, "process"));
    if (workdir)
        adapter_set(event, "logInfo",
                    json_pack("[{s:s, s:s}]", "name", "work directory", "uri", workdir));
    if (adapter_text(trace, "queue"))
        adapter_set(event, "cluster", json_string(adapter_text(trace, "queue")));
    if (strcmp(phase, "FAILED") == 0)
        set_task_error(event, trace);
    adapter_set(event, "nextflow", adapter_raw(trace));
    adapter_emit(nextflow->answer, event);
    if (strcmp(phase, "QUEUED") == 0 && number > 0 && number <= TASKS_THAT_TELL_OF_THE_RUN) {
        event = new_event(nextflow, nextflow->root, NULL, "RUNNING", time_us);
        adapter_set(event, "version", json_integer(number));
        adapter_emit(nextflow->answer, event);
    }
}

static void take_task(const struct nextflow *nextflow, const char *phase, const char *time_member)
{
    const struct adapter_place place = {
        .run_name = nextflow->run_name, .root = nextflow->root, .time_us = nextflow->time_us};
    const json_t *trace = json_object_get(nextflow->message, "trace");
    bool is_end = !phase;
    if (is_end)
        phase = end_of(trace);
    if (!adapter_text(trace, "name")) {
        adapter_unmapped(nextflow->answer, UNMAPPED_FIELD, &place, nextflow->message,
                         "no trace.name");
    } else if (!phase) {
        adapter_unmapped(
            nextflow->answer, UNMAPPED_STATE, &place, nextflow->message, "trace.status %s",
            adapter_text(trace, "status") ? adapter_text(trace, "status") : "is missing");
    } else {
        emit_task(nextflow, trace, phase, time_member);
        if (is_end && strcmp(phase, "RECOVERED") != 0) /* whose start is of an earlier run */
            emit_start_again(nextflow, trace);
    }
}

/* -------- messages -------- */

static void take_message(struct adapter_answer *answer, const json_t *message)
{
    struct nextflow nextflow = {.answer = answer, .message = message};
    struct adapter_place place = {.run_name = nextflow.run_name, .root = nextflow.root};
    const char *name = adapter_text(message, "runName");
    const char *session = adapter_text(message, "runId");
    char digits[SESSION_DIGITS + 1];
    nextflow.event = adapter_text(message, "event");
    if (!name || !session || !nextflow.event) {
        adapter_unmapped(answer, UNMAPPED_FIELD, NULL, NULL, "no runName, runId or event");
        return;
    }
    snprintf(digits, sizeof digits, "%s", session);
    adapter_name(name, nextflow.root);
    adapter_name_with_id(name, digits, nextflow.run_name);
    adapter_note_place(answer, &place);
    nextflow.time_us = adapter_time_us(json_object_get(message, "utcTime"));
    if (nextflow.time_us == TIME_NONE)
        nextflow.time_us = answer->request->received_us;
    place.time_us = nextflow.time_us;
    if (strcmp(nextflow.event, "started") == 0 || strcmp(nextflow.event, "completed") == 0)
        take_run(&nextflow);
    else if (strcmp(nextflow.event, "process_submitted") == 0)
        take_task(&nextflow, "QUEUED", "submit");
    else if (strcmp(nextflow.event, "process_started") == 0)
        take_task(&nextflow, "RUNNING", "start");
    else if (strcmp(nextflow.event, "process_completed") == 0)
        take_task(&nextflow, NULL, "complete");
    else if (strcmp(nextflow.event, "error") != 0) /* the task's end and the run's have it, too */
        adapter_unmapped(answer, UNMAPPED_TYPE, &place, message, "event %s", nextflow.event);
}

void adapt_nextflow(const struct adapter_request *request, struct adapter_answer *answer)
{
    if (strcmp(request->method, "POST") != 0) {
        adapter_unmapped(answer, UNMAPPED_PATH, NULL, NULL, "%s", request->method);
        return;
    }
    json_t *body = adapter_body(answer);
    if (body)
        take_message(answer, body);
    json_decref(body);
}
