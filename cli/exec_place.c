#include "cli/exec_place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/text.h"

enum { ATTEMPT_MAX = 1000000 };

static const char *or_null(const char *text)
{
    return text == NULL || *text == '\0' ? NULL : text;
}

static const char *text_or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

void exec_place_name(char name[static PLACE_NAME_SIZE], const char *text)
{
    size_t length = 0, step;

    for (; *text != '\0'; text += step == 0 ? 1 : step) {
        unsigned char first = (unsigned char)*text;

        step = utf8_sequence_length(text);
        if (length + (step == 0 ? 1 : step) >= PLACE_NAME_SIZE)
            break;
        if (step == 0 || first < 0x20 || first == 0x7f ||
            (first == 0xc2 && (unsigned char)text[1] < 0xa0)) {
            name[length++] = '_';
        } else {
            memcpy(name + length, text, step);
            length += step;
        }
    }
    name[length] = '\0';
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        name[0] = '_';
}

/* What of `text` fits, and `more` behind it. */
static void name_with(char name[static PLACE_NAME_SIZE], const char *text, const char *more)
{
    char start[PLACE_NAME_SIZE], joined[2 * PLACE_NAME_SIZE];

    exec_place_name(start, text);
    if (strlen(start) + strlen(more) >= PLACE_NAME_SIZE)
        start[utf8_cut(start, PLACE_NAME_SIZE - 1 - strlen(more))] = '\0';
    snprintf(joined, sizeof joined, "%s%s", start, more);
    exec_place_name(name, joined);
}

/* "slurm-4711"; GitHub's id, as the adapter of its webhooks has it; "" where nothing says it. */
static void find_outer_run(struct exec_place *place, exec_getenv *get)
{
    const char *job = or_null(get("SLURM_ARRAY_JOB_ID"));
    const char *github = or_null(get("GITHUB_RUN_ID")), *gitlab = or_null(get("CI_PIPELINE_ID"));
    char text[PLACE_NAME_SIZE];

    if (job == NULL)
        job = or_null(get("SLURM_JOB_ID"));
    place->run[0] = '\0';
    if (job != NULL) {
        snprintf(text, sizeof text, "slurm-%s", job);
        exec_place_name(place->run_title, text_or_empty(get("SLURM_JOB_NAME")));
    } else if (github != NULL) {
        snprintf(text, sizeof text, "%s", github);
        exec_place_name(place->run_title, text_or_empty(get("GITHUB_WORKFLOW")));
        snprintf(place->link_name, sizeof place->link_name, "GitHub");
        snprintf(place->link_url, sizeof place->link_url, "%.300s/%.500s/actions/runs/%.60s",
                 get("GITHUB_SERVER_URL") == NULL ? "https://github.com" : get("GITHUB_SERVER_URL"),
                 get("GITHUB_REPOSITORY") == NULL ? "" : get("GITHUB_REPOSITORY"), github);
    } else if (gitlab != NULL) {
        snprintf(text, sizeof text, "gitlab-%s", gitlab);
        snprintf(place->link_name, sizeof place->link_name, "GitLab");
        snprintf(place->link_url, sizeof place->link_url, "%s",
                 get("CI_PIPELINE_URL") == NULL ? "" : get("CI_PIPELINE_URL"));
    } else {
        return;
    }
    exec_place_name(place->run, text);
}

/* What the tasks of an array, and the processes of one step, do not share. */
static void find_index(char index[static 64], exec_getenv *get)
{
    const char *task = or_null(get("SLURM_ARRAY_TASK_ID")), *rank = or_null(get("SLURM_PROCID"));
    const char *ranks = or_null(get("SLURM_STEP_NUM_TASKS"));
    bool is_many =
        or_null(get("SLURM_STEP_ID")) != NULL && ranks != NULL && strtol(ranks, NULL, 10) > 1;

    snprintf(index, 64, "%s%.20s%s%.20s", task == NULL ? "" : ".", task == NULL ? "" : task,
             is_many && rank != NULL ? "." : "", is_many && rank != NULL ? rank : "");
}

static int64_t find_attempt(const char *asked, exec_getenv *get)
{
    const char *restarts = or_null(get("SLURM_RESTART_COUNT"));
    const char *github = or_null(get("GITHUB_RUN_ATTEMPT"));
    long number = 1;

    if (asked != NULL)
        number = strtol(asked, NULL, 10);
    else if (restarts != NULL)
        number = strtol(restarts, NULL, 10) + 1;
    else if (github != NULL)
        number = strtol(github, NULL, 10);
    return number < 1 || number > ATTEMPT_MAX ? 1 : number;
}

static void find_group(struct exec_place *place, const char *asked, exec_getenv *get)
{
    static const char *const variables[] = {"SLURM_JOB_NAME", "GITHUB_JOB", "CI_JOB_STAGE"};

    place->group[0] = '\0';
    for (size_t i = 0; asked == NULL && i < sizeof variables / sizeof *variables; i++)
        asked = or_null(get(variables[i]));
    if (asked != NULL)
        exec_place_name(place->group, asked);
}

/* A run of the command's own: "nightly-20261126T001207Z-k3f9a2". */
static void make_run(struct exec_place *place, const char *unique, int64_t now_us)
{
    time_t now = (time_t)(now_us / 1000000);
    char text[64] = "", moment[32];
    struct tm utc;

    if (gmtime_r(&now, &utc) != NULL && strftime(moment, sizeof moment, "%Y%m%dT%H%M%SZ", &utc) > 0)
        snprintf(text, sizeof text, "-%s-%s", moment, unique);
    name_with(place->run, place->task, text);
    exec_place_name(place->run_title, place->task);
    place->is_new_run = true;
}

static const char *no_variable(const char *name)
{
    (void)name;
    return NULL;
}

/* Is it the run that this process was started in, by another runtree exec or a client? */
static bool is_outer(const struct exec_place *place, exec_getenv *get)
{
    const char *run = or_null(get("RUNTREE_RUN")), *project = or_null(get("RUNTREE_PROJECT"));
    const char *domain = or_null(get("RUNTREE_DOMAIN"));

    return run != NULL && strcmp(place->run, run) == 0 &&
           (project == NULL || strcmp(place->project, project) == 0) &&
           (domain == NULL || strcmp(place->domain, domain) == 0);
}

void exec_place_find(struct exec_place *place, const struct exec_wish *wish, exec_getenv *get,
                     const char *unique, int64_t now_us)
{
    const char *slash = strrchr(wish->command, '/');
    const char *parent = or_null(wish->parent), *project = or_null(wish->project);
    char index[64], suffix[96];
    bool is_named;

    *place = (struct exec_place){0};
    if (project == NULL)
        project = or_null(get("GITHUB_REPOSITORY"));
    exec_place_name(place->project, project == NULL ? "default" : project);
    exec_place_name(place->domain, wish->domain == NULL ? "development" : wish->domain);
    find_index(index, get);
    exec_place_name(place->task, or_null(wish->name) != NULL         ? wish->name
                                 : slash != NULL && slash[1] != '\0' ? slash + 1
                                                                     : wish->command);
    if (place->task[0] == '\0')
        exec_place_name(place->task, "command");
    find_outer_run(place, get);
    if (or_null(wish->run) != NULL) {
        exec_place_name(place->run, wish->run);
        place->run_title[0] = '\0';
    }
    if (place->run[0] == '\0')
        make_run(place, unique, now_us);
    if (parent == NULL && is_outer(place, get))
        parent = or_null(get("RUNTREE_PARENT"));
    exec_place_name(place->parent, parent == NULL ? "" : parent);
    /* A name that was not given is unique by its end; in a run of its own a command needs none. */
    is_named = or_null(wish->name) != NULL || place->is_new_run;
    snprintf(suffix, sizeof suffix, "%s%s%s", index, is_named ? "" : "-", is_named ? "" : unique);
    name_with(place->name, place->task, suffix);
    place->attempt = find_attempt(or_null(wish->attempt), is_named ? get : no_variable);
    if (place->parent[0] == '\0' || wish->group != NULL)
        find_group(place, or_null(wish->group), get);
}
