/* Snakemake's two ways of speaking to a panoptes server: --wms-monitor of versions before 9, in
 * JSON or, of version 8, in forms, and the logger plugin panoptes of later ones, in forms.
 *
 * It asks for an id of its workflow once, and repeats it with each message. The id is the run's
 * name, from what the request says and the time of receipt, and nothing is kept of it: nobody asks
 * another replica for what only one knows. A message knows a job by its number alone, "job-9";
 * rule and wildcards come with job_info, as group and title.
 *
 * Snakemake does not say which try of a job it means, so all are one attempt, in which a success
 * stands over the errors. Nor does it say that a workflow has failed; an error says so until all
 * jobs are done after all.
 *
 * Before version 9 it ends the user's workflow at 401, 403, 404 and 500, so everything is answered
 * by 200. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/tools.h"
#include "model/phase.h"
#include "model/text.h"
#include "model/timestamp.h"

enum {
    US_PER_S = 1000000,
    MS_PER_S = 1000,
    QUARTER_S = 15 * 60,    /* in which time zones differ */
    ZONE_S_MAX = 14 * 3600, /* the farthest of them */
    ON_ITS_WAY_S_MAX = 60,  /* a message, by clocks that go right */
    TIME_DIGITS = 24,
    DONE_THAT_TELL_OF_THE_RUN = 8, /* messages of progress: the first ones */
    TOLD_IN_A_SECOND = 512,
    VERSION_BITS = 29, /* below those that say what sort of event it is */
};

struct snakemake {
    struct adapter_answer *answer;
    const json_t *message;
    char run_name[ADAPTER_NAME_SIZE];
    int64_t time_us;
};

static const char root[] = "workflow";

/* -------- the id -------- */

/* What stands behind the last slash of a path. */
static const char *last_of(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash ? slash + 1 : path;
}

static void create_workflow(struct adapter_answer *answer)
{
    const struct adapter_request *request = answer->request;
    char digits[TIME_DIGITS], name[ADAPTER_NAME_SIZE];
    char *folder = adapter_form_field(answer, "workdir");
    json_t *body = !folder && request->body_length > 0 ? adapter_body(answer) : NULL;
    const char *base = adapter_parameter(request, "workflow_id");
    if (!base)
        base = adapter_parameter(request, "name");
    if (!base)
        base = last_of(folder ? folder : adapter_text(body, "workdir"));
    snprintf(digits, sizeof digits, "%llx", (unsigned long long)request->received_us);
    adapter_name_with_id(base && *base ? base : "snakemake", digits, name);
    json_t *said = json_pack("{s:s, s:s}", "id", name, "name", name);
    char *text = said ? json_dumps(said, JSON_COMPACT) : NULL;
    answer->failed |= !text;
    buffer_text(&answer->body, text ? text : "");
    free(text);
    free(folder);
    json_decref(said);
    json_decref(body);
}

/* -------- times -------- */

/* The seconds since 1970 of "Wed Nov 25 18:36:55 2026" as if it were UTC; -1 if it is none. */
static int64_t read_asctime(const char *text)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char month[4], written[TIMESTAMP_SIZE + 8];
    int day, hour, minute, second, year;
    int64_t time_us;
    if (!text ||
        sscanf(text, "%*3s %3s %d %d:%d:%d %d", month, &day, &hour, &minute, &second, &year) != 6)
        return -1;
    const char *found = strlen(month) == 3 ? strstr(months, month) : NULL;
    if (!found || (found - months) % 3 != 0 || day < 1 || day > 31 || hour < 0 || hour > 23 ||
        minute < 0 || minute > 59 || second < 0 || second > 59 || year < 1970 || year > 9999)
        return -1;
    snprintf(written, sizeof written, "%04d-%02d-%02dT%02d:%02d:%02dZ", year,
             (int)(found - months) / 3 + 1, day, hour, minute, second);
    return timestamp_parse(written, strlen(written), &time_us) == 0 ? time_us / US_PER_S : -1;
}

/* A time without a zone: by how many quarters of an hour it is off from now is its zone, for a
 * message is on its way for less than a minute. One that is sent again later is taken for UTC. */
static int64_t local_time_us(const char *text, int64_t received_us)
{
    int64_t local_s = read_asctime(text), ahead_s = local_s - received_us / US_PER_S;
    if (local_s < 0)
        return received_us;
    int64_t quarters = (ahead_s + (ahead_s < 0 ? -QUARTER_S / 2 : QUARTER_S / 2)) / QUARTER_S;
    int64_t zone_s = quarters * QUARTER_S, off_s = ahead_s - zone_s;
    bool is_zone = zone_s >= -ZONE_S_MAX && zone_s <= ZONE_S_MAX && off_s >= -ON_ITS_WAY_S_MAX &&
                   off_s <= ON_ITS_WAY_S_MAX;
    return (local_s - (is_zone ? zone_s : 0)) * US_PER_S;
}

/* --wms-monitor has the seconds since 1970 in the message; else there is the envelope's time. */
static int64_t time_of(const json_t *message, const char *envelope, int64_t received_us)
{
    double time_s = json_number_value(json_object_get(message, "timestamp"));
    if (time_s >= 1 && time_s < 253402300799.0)
        return (int64_t)(time_s * MS_PER_S) * US_PER_MS;
    return local_time_us(envelope, received_us);
}

/* -------- events -------- */

static json_t *new_event(const struct snakemake *snakemake, const char *name, enum phase phase)
{
    json_t *event = json_pack("{s:s, s:s, s:o, s:s}", "runName", snakemake->run_name, "name", name,
                              "parent", adapter_parent(root, name), "phase", phase_name(phase));
    adapter_set(event, "updatedTime", adapter_time(snakemake->time_us));
    return event;
}

/* Takes the event over. The version is greater of a success, for nothing comes after it, and of
 * what has the message with it than of a mere start or end. Those are the same event where their
 * time is the same, to a millisecond; messages differ within a second, as much as there are times
 * of. */
static void emit(const struct snakemake *snakemake, json_t *event, enum phase phase)
{
    bool has_message = json_object_get(event, "snakemake") != NULL;
    char *text = event ? json_dumps(event, JSON_COMPACT) : NULL;
    uint64_t hash = text ? hash_bytes(HASH_START, text, strlen(text)) : 0;
    int64_t sort = (phase == PHASE_SUCCEEDED ? 2 : 0) + has_message;
    int64_t time = snakemake->time_us / US_PER_MS;
    if (has_message)
        time =
            snakemake->time_us / US_PER_S * TOLD_IN_A_SECOND + (int64_t)(hash % TOLD_IN_A_SECOND);
    free(text);
    adapter_set(event, "version",
                json_integer(sort << VERSION_BITS | (time & ((INT64_C(1) << VERSION_BITS) - 1))));
    adapter_emit(snakemake->answer, event);
}

static void emit_run(const struct snakemake *snakemake, enum phase phase)
{
    json_t *event = new_event(snakemake, root, phase);
    adapter_set(event, "run", json_pack("{s:{s:s}}", "labels", "tool", "Snakemake"));
    if (phase == PHASE_FAILED) {
        const char *said = adapter_text(snakemake->message, "msg");
        const char *trace = adapter_text(snakemake->message, "traceback");
        if (!trace)
            trace = adapter_text(snakemake->message, "location");
        adapter_set_error(event, said ? said : "error", trace);
        adapter_set(event, "snakemake", adapter_raw(snakemake->message));
    }
    emit(snakemake, event, phase);
}

/* "align s=s3, lane=1" */
static json_t *title_of(const json_t *message, const char *rule)
{
    const char *name;
    json_t *value, *title;
    struct buffer text = {0};
    buffer_text(&text, rule);
    json_object_foreach (json_object_get(message, "wildcards"), name, value) {
        buffer_text(&text, text.length > strlen(rule) ? ", " : " ");
        buffer_text(&text, name);
        buffer_text(&text, "=");
        buffer_text(&text, json_is_string(value) ? json_string_value(value) : "?");
    }
    buffer_append(&text, "", 1);
    title = text.failed ? NULL : adapter_label(text.bytes);
    buffer_free(&text);
    return title;
}

static void set_logs(json_t *event, const json_t *logs)
{
    json_t *info = json_array();
    for (size_t i = 0; i < json_array_size(logs); i++) {
        const char *path = json_string_value(json_array_get(logs, i));
        if (path && *path)
            json_array_append_new(info, json_pack("{s:s, s:s}", "name", "log", "uri", path));
    }
    if (json_array_size(info) > 0)
        adapter_set(event, "logInfo", json_incref(info));
    json_decref(info);
}

static void emit_job(const struct snakemake *snakemake, json_int_t number, enum phase phase)
{
    char name[ADAPTER_NAME_SIZE];
    const json_t *message = snakemake->message;
    const char *rule = adapter_text(message, "name");
    snprintf(name, sizeof name, "job-%" JSON_INTEGER_FORMAT, number);
    json_t *event = new_event(snakemake, name, phase);
    if (rule && json_object_get(message, "wildcards"))
        adapter_set(event, "title", title_of(message, rule));
    if (rule) {
        adapter_set(event, "group", adapter_label(rule));
        adapter_set(
            event, "task",
            json_pack("{s:o, s:o}", "name", adapter_label(rule), "shortName", adapter_label(rule)));
    }
    set_logs(event, json_object_get(message, "log"));
    if (phase == PHASE_FAILED) {
        json_t *said = adapter_labelf("Error in %s%s", rule ? "rule " : "", rule ? rule : name);
        adapter_set_error(event, json_string_value(said), adapter_text(message, "shellcmd"));
        json_decref(said);
    }
    if (rule)
        adapter_set(event, "snakemake", adapter_raw(message));
    emit(snakemake, event, phase);
}

/* -------- messages -------- */

static bool is_one_of(const char *level, const char *const *levels)
{
    for (; *levels; levels++)
        if (strcmp(level, *levels) == 0)
            return true;
    return false;
}

static bool starts_with(const char *text, const char *start)
{
    return text && strncmp(text, start, strlen(start)) == 0;
}

/* A workflow that begins says so in words, and so does one that has nothing to do. */
static void take_info(const struct snakemake *snakemake)
{
    const char *said = adapter_text(snakemake->message, "msg");
    if (starts_with(said, "Workflow started") || starts_with(said, "Building DAG of jobs"))
        emit_run(snakemake, PHASE_RUNNING);
    else if (starts_with(said, "Nothing to be done"))
        emit_run(snakemake, PHASE_SUCCEEDED);
}

static void take_progress(const struct snakemake *snakemake)
{
    json_int_t done = json_integer_value(json_object_get(snakemake->message, "done"));
    json_int_t total = json_integer_value(json_object_get(snakemake->message, "total"));
    if (done <= DONE_THAT_TELL_OF_THE_RUN)
        emit_run(snakemake, PHASE_RUNNING);
    if (total > 0 && done >= total)
        emit_run(snakemake, PHASE_SUCCEEDED);
}

static void take_jobs(const struct snakemake *snakemake, const json_t *numbers, enum phase phase)
{
    const struct adapter_place place = {
        .run_name = snakemake->run_name, .root = root, .time_us = snakemake->time_us};
    if (json_is_integer(numbers)) {
        emit_job(snakemake, json_integer_value(numbers), phase);
        return;
    }
    if (json_array_size(numbers) == 0)
        adapter_unmapped(snakemake->answer, UNMAPPED_FIELD, &place, snakemake->message,
                         "no number of a job");
    for (size_t i = 0; i < json_array_size(numbers); i++) {
        const json_t *number = json_array_get(numbers, i);
        if (json_is_integer(number))
            emit_job(snakemake, json_integer_value(number), phase);
        else
            adapter_unmapped(snakemake->answer, UNMAPPED_FIELD, &place, snakemake->message,
                             "a job's number is none");
    }
}

/* Jobs that ran as one on a cluster. */
static void take_group_error(const struct snakemake *snakemake)
{
    const json_t *jobs = json_object_get(snakemake->message, "job_error_info");
    if (json_array_size(jobs) == 0)
        take_jobs(snakemake, NULL, PHASE_FAILED);
    for (size_t i = 0; i < json_array_size(jobs); i++) {
        struct snakemake of_job = *snakemake;
        of_job.message = json_array_get(jobs, i);
        take_jobs(&of_job, json_object_get(of_job.message, "jobid"), PHASE_FAILED);
    }
}

static void take_message(const struct snakemake *snakemake)
{
    static const char *const silent[] = {"host",       "run_info",  "resources_info", "shellcmd",
                                         "dag_debug",  "debug",     "warning",        "rule_info",
                                         "group_info", "rulegraph", "d3dag",          NULL};
    const struct adapter_place place = {
        .run_name = snakemake->run_name, .root = root, .time_us = snakemake->time_us};
    const json_t *message = snakemake->message, *job = json_object_get(message, "jobid");
    const char *level = adapter_text(message, "level");
    if (!level)
        adapter_unmapped(snakemake->answer, UNMAPPED_FIELD, &place, message, "no level");
    else if (strcmp(level, "info") == 0)
        take_info(snakemake);
    else if (strcmp(level, "progress") == 0)
        take_progress(snakemake);
    else if (strcmp(level, "job_started") == 0)
        take_jobs(snakemake, json_object_get(message, "jobs"), PHASE_RUNNING);
    else if (strcmp(level, "job_info") == 0)
        take_jobs(snakemake, job, PHASE_RUNNING);
    else if (strcmp(level, "job_finished") == 0)
        take_jobs(snakemake, job, PHASE_SUCCEEDED);
    else if (strcmp(level, "job_error") == 0)
        take_jobs(snakemake, job, PHASE_FAILED);
    else if (strcmp(level, "group_error") == 0)
        take_group_error(snakemake);
    else if (strcmp(level, "error") == 0)
        emit_run(snakemake, PHASE_FAILED);
    else if (strcmp(level, "workflow_success") == 0)
        emit_run(snakemake, PHASE_SUCCEEDED);
    else if (!is_one_of(level, silent))
        adapter_unmapped(snakemake->answer, UNMAPPED_TYPE, &place, message, "level %s", level);
}

/* The envelope: {"msg": a text of JSON, "timestamp", "id"}, as JSON or a form; a new reference. */
static json_t *read_envelope(struct adapter_answer *answer)
{
    char *message = adapter_form_field(answer, "msg");
    if (!message)
        return adapter_body(answer);
    char *time = adapter_form_field(answer, "timestamp"), *id = adapter_form_field(answer, "id");
    json_t *envelope = json_pack("{s:s, s:s?, s:s?}", "msg", message, "timestamp", time, "id", id);
    answer->failed |= !envelope;
    free(message);
    free(time);
    free(id);
    return envelope;
}

static void update(struct adapter_answer *answer)
{
    char digits[TIME_DIGITS];
    struct snakemake snakemake = {.answer = answer};
    json_t *envelope = read_envelope(answer);
    const json_t *id = json_object_get(envelope, "id");
    const char *text = adapter_text(envelope, "msg");
    json_t *message = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    const char *name = json_string_value(id);
    snprintf(digits, sizeof digits, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
    if (json_is_integer(id))
        name = digits;
    if (envelope && (!name || !*name || !json_is_object(message))) {
        adapter_unmapped(answer, UNMAPPED_FIELD, NULL, NULL, "no id, or no JSON as msg");
    } else if (envelope) {
        adapter_name(name, snakemake.run_name);
        snakemake.message = message;
        snakemake.time_us =
            time_of(message, adapter_text(envelope, "timestamp"), answer->request->received_us);
        take_message(&snakemake);
    }
    json_decref(message);
    json_decref(envelope);
}

/* PUT …/api/workflow/ID: the workflow's arguments again, which created it. */
static bool is_change_of_workflow(const struct adapter_request *request)
{
    return strcmp(request->method, "PUT") == 0 && request->path_count > 1 &&
           strcmp(request->path[request->path_count - 2], "workflow") == 0;
}

void adapt_snakemake(const struct adapter_request *request, struct adapter_answer *answer)
{
    const char *last = request->path_count > 0 ? request->path[request->path_count - 1] : "";
    bool is_get = strcmp(request->method, "GET") == 0;
    if (is_get && strcmp(last, "service-info") == 0)
        buffer_text(&answer->body, "{\"status\":\"running\"}");
    else if (is_get && strcmp(last, "create_workflow") == 0)
        create_workflow(answer);
    else if (!is_get && strcmp(last, "update_workflow_status") == 0)
        update(answer);
    else if (!is_change_of_workflow(request)) /* what it is called: the parameter `name` has been */
        adapter_unmapped(answer, UNMAPPED_PATH, NULL, NULL, "%s %s", request->method, last);
}
