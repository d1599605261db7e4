/* GitHub's webhooks workflow_run and workflow_job.
 *
 * A run is called after GitHub's id of it, and so is its root, which is the workflow. A job is an
 * action below that by its name, "caller / job (matrix)", in a group of what stands before the
 * matrix; its steps are below it, "job#3". GitHub's run_attempt is the attempt of all of them.
 *
 * Hooks come in any order, and some of them never, so each says again what must have happened
 * before: a job's end that it ran, a job that there is a workflow. The version is the time, and
 * within a second who tells what, so that what is said otherwise has a key of its own; of the run,
 * the hook workflow_run comes first. Only that one tells that a workflow is over, for by its jobs
 * alone nobody knows whether another one follows: who sends no workflow_run asks for …/jobs, where
 * each job is a root. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/tools.h"
#include "model/phase.h"
#include "model/text.h"
#include "model/timestamp.h"

enum { ID_SIZE = 24, ERROR_SIZE = 1024 };
enum { US_PER_S = 1000000, VERSIONS_OF_A_TELLER = 330 }; /* of the thousand of a second */

/* Who tells of an event. */
enum teller { TOLD_AGAIN, TOLD_BY_ITS_HOOK, TOLD_BY_A_JOB };

struct github {
    struct adapter_answer *answer;
    const json_t *message;
    const json_t *what; /* its workflow_run or workflow_job */
    char run_name[ADAPTER_NAME_SIZE];
    const char *root; /* NULL: jobs are roots */
    json_int_t attempt;
};

struct state {
    const char *name;
    enum phase phase;
};

static const struct state statuses[] = {
    {"requested", PHASE_QUEUED},
    {"queued", PHASE_QUEUED},
    {"pending", PHASE_WAITING_FOR_RESOURCES}, /* for what runs in its concurrency group */
    {"waiting", PHASE_WAITING_FOR_RESOURCES}, /* for somebody's approval */
    {"in_progress", PHASE_RUNNING},
};

static const struct state conclusions[] = {
    {"success", PHASE_SUCCEEDED},   {"neutral", PHASE_SUCCEEDED},      {"skipped", PHASE_SKIPPED},
    {"failure", PHASE_FAILED},      {"startup_failure", PHASE_FAILED}, {"cancelled", PHASE_ABORTED},
    {"timed_out", PHASE_TIMED_OUT}, {"stale", PHASE_TIMED_OUT},
};

static enum phase find_state(const struct state *states, size_t count, const char *name)
{
    for (size_t i = 0; name && i < count; i++)
        if (strcmp(states[i].name, name) == 0)
            return states[i].phase;
    return PHASE_NONE;
}

static enum phase phase_of_status(const char *status)
{
    return find_state(statuses, sizeof statuses / sizeof *statuses, status);
}

static enum phase phase_of_conclusion(const char *conclusion)
{
    return find_state(conclusions, sizeof conclusions / sizeof *conclusions, conclusion);
}

/* Of a run or a job; PHASE_NONE: a state that is not known. The hook's action and the status were
 * not taken at one moment: what is further holds. That it is over, without a word how, is ABORTED.
 */
static enum phase phase_of(const struct github *github)
{
    const char *action = adapter_text(github->message, "action");
    const char *conclusion = adapter_text(github->what, "conclusion");
    enum phase by_status = phase_of_status(adapter_text(github->what, "status"));
    enum phase by_action = phase_of_status(action);
    if (conclusion && strcmp(conclusion, "action_required") == 0)
        return PHASE_WAITING_FOR_RESOURCES;
    if (conclusion)
        return phase_of_conclusion(conclusion);
    if (action && strcmp(action, "completed") == 0)
        return PHASE_ABORTED;
    return by_status > by_action ? by_status : by_action; /* their numbers are in that order */
}

static int64_t time_of(const json_t *what, const char *member, int64_t otherwise_us)
{
    int64_t time_us = adapter_time_us(json_object_get(what, member));
    return time_us == TIME_NONE ? otherwise_us : time_us;
}

static json_t *new_event(const struct github *github, const char *name, const char *parent,
                         enum phase phase, int64_t time_us)
{
    json_t *event = json_pack("{s:s, s:s, s:o, s:s, s:I}", "runName", github->run_name, "name",
                              name, "parent", adapter_parent(parent, name), "phase",
                              phase_name(phase), "attempt", github->attempt);
    adapter_set(event, "updatedTime", adapter_time(time_us));
    return event;
}

/* Takes the event over. GitHub's times are whole seconds: within one, versions go by who tells, and
 * then by what is told. */
static void emit(const struct github *github, json_t *event, int64_t time_us, enum teller teller)
{
    char *text = event ? json_dumps(event, JSON_COMPACT) : NULL;
    uint64_t hash = text ? hash_bytes(HASH_START, text, strlen(text)) : 0;
    int64_t version = adapter_version(time_us - time_us % US_PER_S) +
                      (int64_t)teller * VERSIONS_OF_A_TELLER +
                      (int64_t)(hash % VERSIONS_OF_A_TELLER);
    free(text);
    adapter_set(event, "version", json_integer(version & INT32_MAX));
    adapter_emit(github->answer, event);
}

static void set_link(json_t *event, const char *url)
{
    json_t *links = json_array();
    adapter_link(links, "GitHub", url);
    if (json_array_size(links) > 0)
        adapter_set(event, "links", json_incref(links));
    json_decref(links);
}

/* What is not a success says so in GitHub's word for it. */
static void set_error(json_t *event, enum phase phase, const char *conclusion, const char *more)
{
    char text[ERROR_SIZE];
    if (phase != PHASE_FAILED && phase != PHASE_ABORTED && phase != PHASE_TIMED_OUT)
        return;
    snprintf(text, sizeof text, "%s%s%s",
             conclusion ? conclusion : "GitHub did not say how it ended", more && *more ? ": " : "",
             more ? more : "");
    text[utf8_cut(text, sizeof text - 1)] = '\0';
    adapter_set_error(event, text, NULL);
}

/* -------- the run -------- */

static json_t *labels_of(const struct github *github, const char *workflow)
{
    json_t *labels = json_object();
    adapter_add_label(labels, "tool", "GitHub");
    adapter_add_label(labels, "repository", adapter_text(github->message, "repository/full_name"));
    adapter_add_label(labels, "workflow", workflow);
    adapter_add_label(labels, "branch", adapter_text(github->what, "head_branch"));
    adapter_add_label(labels, "commit", adapter_text(github->what, "head_sha"));
    adapter_add_label(labels, "event", adapter_text(github->what, "event"));
    adapter_add_label(labels, "actor", adapter_text(github->what, "actor/login"));
    return labels;
}

/* Takes the title over. */
static json_t *tell_of_run(const struct github *github, json_t *title, const char *workflow,
                           const char *url)
{
    json_t *run = json_object();
    adapter_set(run, "title", title);
    adapter_set(run, "labels", labels_of(github, workflow));
    set_link(run, url);
    return run;
}

static const char *workflow_of(const struct github *github)
{
    const char *name = adapter_text(github->message, "workflow/name");
    if (!name)
        name = adapter_text(github->what, "name");
    return name ? name : adapter_text(github->what, "path");
}

static json_t *title_of_run(const struct github *github, const char *workflow)
{
    json_int_t number = json_integer_value(json_object_get(github->what, "run_number"));
    const char *title = adapter_text(github->what, "display_title");
    return adapter_labelf("%s #%" JSON_INTEGER_FORMAT "%s%s", workflow ? workflow : "workflow",
                          number, title ? ": " : "", title ? title : "");
}

static void emit_run(const struct github *github, enum phase phase, int64_t time_us,
                     enum teller teller)
{
    const char *workflow = workflow_of(github), *url = adapter_text(github->what, "html_url");
    json_t *event = new_event(github, github->root, NULL, phase, time_us);
    adapter_set(event, "title", adapter_label(workflow ? workflow : "workflow"));
    adapter_set(event, "run", tell_of_run(github, title_of_run(github, workflow), workflow, url));
    set_link(event, url);
    set_error(event, phase, adapter_text(github->what, "conclusion"), NULL);
    if (teller == TOLD_BY_ITS_HOOK)
        adapter_set(event, "github", adapter_raw(github->what));
    emit(github, event, time_us, teller);
}

static void take_run(const struct github *github, enum phase phase)
{
    int64_t received_us = github->answer->request->received_us;
    int64_t end_us = time_of(github->what, "updated_at", received_us);
    int64_t start_us =
        time_of(github->what, "run_started_at", time_of(github->what, "created_at", end_us));
    int64_t queue_us =
        github->attempt == 1 ? time_of(github->what, "created_at", start_us) : start_us;
    if (!github->root) /* its jobs are the roots */
        return;
    if (!phase_is_terminal(phase) && phase != PHASE_RUNNING) {
        emit_run(github, phase, queue_us, TOLD_BY_ITS_HOOK);
        return;
    }
    emit_run(github, PHASE_QUEUED, queue_us, TOLD_AGAIN);
    if (phase_is_terminal(phase) && phase != PHASE_SKIPPED)
        emit_run(github, PHASE_RUNNING, start_us, TOLD_AGAIN);
    emit_run(github, phase, phase_is_terminal(phase) ? end_us : start_us, TOLD_BY_ITS_HOOK);
}

/* "https://github.com/o/r/actions/runs/1" of a job of it; "": the job's page is elsewhere. */
static void page_of_run(const char *job_url, char *out, size_t size)
{
    static const char before[] = "/actions/runs/";
    const char *found = job_url ? strstr(job_url, before) : NULL;
    size_t length = found ? (size_t)(found - job_url) + sizeof before - 1 : 0;
    if (found)
        length += strspn(job_url + length, "0123456789");
    snprintf(out, size, "%.*s", length < size ? (int)length : 0, found ? job_url : "");
}

/* A job says that its workflow is there, which may run even though this job does not. */
static void tell_of_workflow(const struct github *github, enum phase phase, int64_t time_us)
{
    char url[ERROR_SIZE];
    const char *workflow = adapter_text(github->what, "workflow_name");
    json_t *title = adapter_label(workflow ? workflow : "workflow");
    json_t *event = new_event(github, github->root, NULL, phase, time_us);
    page_of_run(adapter_text(github->what, "html_url"), url, sizeof url);
    adapter_set(event, "title", json_incref(title));
    adapter_set(event, "run", tell_of_run(github, title, workflow, url));
    set_link(event, url);
    emit(github, event, time_us, TOLD_BY_A_JOB);
}

/* -------- jobs -------- */

/* What "caller / test (16, ubuntu)" belongs to, "caller/test"; NULL of a job that stands alone. */
static json_t *group_of(const char *job)
{
    char group[ADAPTER_NAME_SIZE];
    size_t used = 0, length = strlen(job), open = length;
    if (length > 0 && job[length - 1] == ')') {
        int depth = 0;
        do {
            open--;
            depth += job[open] == ')' ? 1 : job[open] == '(' ? -1 : 0;
        } while (open > 0 && depth > 0);
    }
    bool has_matrix = open < length && open > 1 && job[open - 1] == ' ';
    size_t end = has_matrix ? open - 1 : length;
    const char *last = NULL;
    for (const char *at = job; at + 3 <= job + end; at++)
        if (memcmp(at, " / ", 3) == 0)
            last = at;
    if (!has_matrix && !last)
        return NULL;
    if (!has_matrix)
        end = (size_t)(last - job);
    for (size_t i = 0; i < end && used < sizeof group - 1; i++) {
        bool is_slash = i + 3 <= end && memcmp(job + i, " / ", 3) == 0;
        group[used++] = is_slash ? '/' : job[i];
        i += is_slash ? 2 : 0;
    }
    group[used] = '\0';
    return adapter_label(group);
}

/* The steps that failed, of a job that did. */
static void list_failed_steps(const json_t *steps, char out[static ERROR_SIZE])
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const json_t *step = json_array_get(steps, i);
        const char *name = adapter_text(step, "name");
        if (!name || phase_of_conclusion(adapter_text(step, "conclusion")) != PHASE_FAILED)
            continue;
        int length = snprintf(out + used, ERROR_SIZE - used, "%s%s", used > 0 ? ", " : "", name);
        if (length < 0 || used + (size_t)length >= ERROR_SIZE) {
            out[utf8_cut(out, ERROR_SIZE - 1)] = '\0';
            return;
        }
        used += (size_t)length;
    }
}

static void emit_job(const struct github *github, const char *name, enum phase phase,
                     int64_t time_us, enum teller teller)
{
    char failed[ERROR_SIZE];
    json_t *event = new_event(github, name, github->root, phase, time_us);
    const char *runner = adapter_text(github->what, "runner_name");
    adapter_set(event, "group", group_of(adapter_text(github->what, "name")));
    set_link(event, adapter_text(github->what, "html_url"));
    if (!github->root) {
        const char *workflow = adapter_text(github->what, "workflow_name");
        char url[ERROR_SIZE];
        page_of_run(adapter_text(github->what, "html_url"), url, sizeof url);
        adapter_set(
            event, "run",
            tell_of_run(github, adapter_label(workflow ? workflow : "workflow"), workflow, url));
    }
    if (teller == TOLD_BY_ITS_HOOK) {
        if (runner)
            adapter_set(event, "cluster", adapter_label(runner));
        list_failed_steps(json_object_get(github->what, "steps"), failed);
        set_error(event, phase, adapter_text(github->what, "conclusion"), failed);
        adapter_set(event, "github", adapter_raw(github->what));
    }
    emit(github, event, time_us, teller);
}

/* What of the job's time a step knows. */
struct job {
    const char *name;
    bool has_ended;
    int64_t start_us, end_us;
};

static void emit_step(const struct github *github, const struct job *job, const json_t *step,
                      const char *name, enum phase phase, int64_t time_us)
{
    json_t *event = new_event(github, name, job->name, phase, time_us);
    const char *title = adapter_text(step, "name");
    adapter_set(event, "title", title ? adapter_label(title) : NULL);
    set_error(event, phase, adapter_text(step, "conclusion"), NULL);
    emit(github, event, time_us, TOLD_BY_ITS_HOOK);
}

/* A step of a job that has ended has ended, too. PHASE_NONE: a state that is not known. */
static enum phase phase_of_step(const struct job *job, const json_t *step)
{
    const char *conclusion = adapter_text(step, "conclusion");
    enum phase phase = conclusion ? phase_of_conclusion(conclusion)
                                  : phase_of_status(adapter_text(step, "status"));
    if (!phase || phase_is_terminal(phase) || !job->has_ended)
        return phase;
    return phase == PHASE_RUNNING ? PHASE_ABORTED : PHASE_SKIPPED;
}

static void take_step(const struct github *github, const struct job *job, const json_t *step)
{
    const struct adapter_place place = {.run_name = github->run_name,
                                        .root = github->root ? github->root : job->name,
                                        .time_us = job->end_us};
    char name[ADAPTER_NAME_SIZE], longer[ADAPTER_NAME_SIZE + ID_SIZE];
    json_int_t number = json_integer_value(json_object_get(step, "number"));
    enum phase phase = phase_of_step(job, step);
    int64_t start_us = time_of(step, "started_at", TIME_NONE);
    int64_t end_us = time_of(step, "completed_at", job->end_us);
    if (phase_is_terminal(phase) && start_us > end_us)
        start_us = end_us;
    if (number < 1 || !phase) {
        adapter_unmapped(github->answer, number < 1 ? UNMAPPED_FIELD : UNMAPPED_STATE, &place, step,
                         number < 1 ? "a step without a number" : "a step's status or conclusion");
        return;
    }
    snprintf(longer, sizeof longer, "%s#%" JSON_INTEGER_FORMAT, job->name, number);
    adapter_name(longer, name);
    if (start_us != TIME_NONE && phase != PHASE_SKIPPED && phase >= PHASE_RUNNING)
        emit_step(github, job, step, name, PHASE_RUNNING, start_us);
    if (phase_is_terminal(phase))
        emit_step(github, job, step, name, phase, end_us);
    else if (phase != PHASE_RUNNING || start_us == TIME_NONE)
        emit_step(github, job, step, name, phase, job->start_us);
}

static void take_job(const struct github *github, enum phase phase)
{
    char name[ADAPTER_NAME_SIZE];
    const json_t *what = github->what, *steps = json_object_get(what, "steps");
    int64_t received_us = github->answer->request->received_us;
    int64_t queue_us = time_of(what, "created_at", time_of(what, "started_at", received_us));
    struct job job = {.name = name, .has_ended = phase_is_terminal(phase)};
    job.start_us = time_of(what, "started_at", queue_us);
    job.end_us = time_of(what, "completed_at", job.start_us);
    if (job.has_ended &&
        job.start_us > job.end_us) /* as of a job that was cancelled in the queue */
        job.start_us = job.end_us;
    bool had_runner = adapter_text(what, "runner_name") || json_array_size(steps) > 0;
    bool has_run =
        phase >= PHASE_RUNNING && phase != PHASE_SKIPPED && (phase != PHASE_ABORTED || had_runner);
    adapter_name_below(adapter_text(what, "name"), github->root ? github->root : "", name);
    if (github->root)
        tell_of_workflow(github, has_run ? PHASE_RUNNING : PHASE_QUEUED,
                         has_run ? job.start_us : queue_us);
    if (phase >= PHASE_RUNNING)
        emit_job(github, name, PHASE_QUEUED, queue_us, TOLD_AGAIN);
    if (has_run && job.has_ended)
        emit_job(github, name, PHASE_RUNNING, job.start_us, TOLD_AGAIN);
    emit_job(github, name, phase,
             job.has_ended            ? job.end_us
             : phase >= PHASE_RUNNING ? job.start_us
                                      : queue_us,
             TOLD_BY_ITS_HOOK);
    for (size_t i = 0; i < json_array_size(steps); i++)
        take_step(github, &job, json_array_get(steps, i));
}

/* -------- hooks -------- */

/* The last that it says; 0: none. */
static int64_t time_of_hook(const struct github *github)
{
    static const char *const members[] = {"created_at", "started_at", "updated_at", "completed_at"};
    int64_t time_us = 0;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        time_us = time_of(github->what, members[i], time_us);
    return time_us;
}

static void take_hook(struct adapter_answer *answer, const json_t *message, bool is_job)
{
    char id[ID_SIZE];
    struct github github = {.answer = answer, .message = message};
    github.what = json_object_get(message, is_job ? "workflow_job" : "workflow_run");
    json_int_t number = json_integer_value(json_object_get(github.what, is_job ? "run_id" : "id"));
    if (number <= 0) {
        adapter_unmapped(answer, UNMAPPED_FIELD, NULL, NULL, "no id of the run");
        return;
    }
    snprintf(id, sizeof id, "%" JSON_INTEGER_FORMAT, number);
    adapter_name(id, github.run_name);
    github.root = adapter_path_is(answer->request, "jobs") ? NULL : github.run_name;
    github.attempt = json_integer_value(json_object_get(github.what, "run_attempt"));
    if (github.attempt < 1 || github.attempt > INT32_MAX)
        github.attempt = 1;
    const struct adapter_place place = {
        .run_name = github.run_name, .root = github.root, .time_us = time_of_hook(&github)};
    enum phase phase = phase_of(&github);
    if (!phase)
        adapter_unmapped(answer, UNMAPPED_STATE, &place, github.what,
                         "neither action, status nor conclusion is known");
    else if (is_job && !adapter_text(github.what, "name"))
        adapter_unmapped(answer, UNMAPPED_FIELD, &place, github.what, "a job without a name");
    else if (is_job)
        take_job(&github, phase);
    else
        take_run(&github, phase);
}

/* What the header says the hook is; without one, what is in it. */
static const char *event_of(const struct adapter_request *request, const json_t *message)
{
    const char *event = adapter_header(request, "X-GitHub-Event");
    return event                                      ? event
           : json_object_get(message, "workflow_job") ? "workflow_job"
           : json_object_get(message, "workflow_run") ? "workflow_run"
           : json_object_get(message, "zen")          ? "ping"
                                                      : "of no name";
}

void adapt_github(const struct adapter_request *request, struct adapter_answer *answer)
{
    if (strcmp(request->method, "POST") != 0) {
        adapter_unmapped(answer, UNMAPPED_PATH, NULL, NULL, "%s", request->method);
        return;
    }
    json_t *message = adapter_form_body(answer, "payload");
    if (!message)
        return;
    const char *event = event_of(request, message);
    if (strcmp(event, "workflow_job") == 0 || strcmp(event, "workflow_run") == 0)
        take_hook(answer, message, strcmp(event, "workflow_job") == 0);
    else if (strcmp(event, "ping") != 0)
        adapter_unmapped(answer, UNMAPPED_TYPE, NULL, NULL, "the event %s", event);
    json_decref(message);
}
