#include "bench/synthetic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/timestamp.h"

enum { WINDOW_REQUESTS = 100, PHASES = 3, TEXT_SIZE = 64, INFO_SIZE = 320 };

static const enum phase phases[PHASES] = {PHASE_QUEUED, PHASE_RUNNING, PHASE_SUCCEEDED};

struct run_state {
    char name[TEXT_SIZE];
    int64_t revision;
    int32_t action_count;
};

struct synthetic_batch {
    struct synthetic_options options;
    size_t next_request;
    struct run_state *states; /* of all runs */

    /* The present batch. */
    struct run_key *keys;
    char (*incarnations)[INCARNATION_SIZE];
    size_t *state_of; /* the run_state of each of `keys` */
    size_t run_count;
    struct action_event *events;
    const struct action_event **event_pointers;
    char (*names)[TEXT_SIZE];
    char (*infos)[INFO_SIZE];
    struct decision_name *decision_names;
    struct event_row *event_rows;
    struct action_row *action_rows;
    struct run_row *run_rows;
    size_t event_count;
};

struct synthetic_batch *synthetic_batch_new(const struct synthetic_options *options)
{
    struct synthetic_batch *batch = calloc(1, sizeof *batch);
    size_t events = options->events_per_request * options->requests_per_batch;
    size_t requests = options->requests_per_batch;

    if (batch == NULL)
        return NULL;
    batch->options = *options;
    batch->states = calloc(options->runs, sizeof *batch->states);
    batch->keys = calloc(requests, sizeof *batch->keys);
    batch->incarnations = calloc(requests, sizeof *batch->incarnations);
    batch->state_of = calloc(requests, sizeof *batch->state_of);
    batch->run_rows = calloc(requests, sizeof *batch->run_rows);
    batch->events = calloc(events, sizeof *batch->events);
    batch->event_pointers = calloc(events, sizeof(const struct action_event *));
    batch->names = calloc(events, sizeof *batch->names);
    batch->infos = calloc(events, sizeof *batch->infos);
    batch->decision_names = calloc(events + requests, sizeof *batch->decision_names);
    batch->event_rows = calloc(events, sizeof *batch->event_rows);
    batch->action_rows = calloc(events, sizeof *batch->action_rows);
    if (batch->states == NULL || batch->keys == NULL || batch->incarnations == NULL ||
        batch->state_of == NULL || batch->run_rows == NULL || batch->events == NULL ||
        batch->event_pointers == NULL || batch->names == NULL || batch->infos == NULL ||
        batch->decision_names == NULL || batch->event_rows == NULL || batch->action_rows == NULL)
        return NULL; /* cppcheck-suppress memleak ; the bench ends then */
    for (size_t i = 0; i < options->runs; i++)
        snprintf(batch->states[i].name, sizeof batch->states[i].name, "%s-%04zu", options->sender,
                 i);
    return batch;
}

static int compare_sizes(const void *a, const void *b)
{
    size_t left = *(const size_t *)a, right = *(const size_t *)b;

    return (left > right) - (left < right);
}

static size_t block_of(size_t request)
{
    return request / (WINDOW_REQUESTS * PHASES) * WINDOW_REQUESTS + request % WINDOW_REQUESTS;
}

/* The runs of the batch's requests, each once, in the order in which they are locked. */
static void choose_runs(struct synthetic_batch *batch)
{
    size_t count = 0;

    for (size_t i = 0; i < batch->options.requests_per_batch; i++)
        batch->state_of[i] = block_of(batch->next_request + i) % batch->options.runs;
    qsort(batch->state_of, batch->options.requests_per_batch, sizeof *batch->state_of,
          compare_sizes);
    for (size_t i = 0; i < batch->options.requests_per_batch; i++)
        if (i == 0 || batch->state_of[i] != batch->state_of[count - 1])
            batch->state_of[count++] = batch->state_of[i];
    batch->run_count = count;
    for (size_t i = 0; i < count; i++) {
        batch->keys[i] = (struct run_key){.project = "bare",
                                          .domain = "load",
                                          .run_name = batch->states[batch->state_of[i]].name};
        snprintf(batch->incarnations[i], INCARNATION_SIZE, "%012zu", batch->state_of[i]);
    }
}

static size_t index_of_run(const struct synthetic_batch *batch, size_t state)
{
    size_t i = 0;

    while (batch->state_of[i] != state)
        i++;
    return i;
}

static void make_event(struct synthetic_batch *batch, size_t run, size_t block, size_t number,
                       size_t phase)
{
    struct run_state *state = &batch->states[batch->state_of[run]];
    size_t i = batch->event_count++;
    char *name = batch->names[i];
    struct action_event *event = &batch->events[i];
    struct action *action = &batch->action_rows[i].action;
    int64_t now_us = INT64_C(1775980800000000) + (int64_t)phase * 1000000;

    state->revision++;
    state->action_count += phase == 0;
    snprintf(name, TEXT_SIZE, "a%zu-%zu", block, number);
    snprintf(batch->infos[i], INFO_SIZE,
             "{\"project\":\"bench\",\"domain\":\"load\",\"runName\":\"%s\",\"name\":\"%s\","
             "\"attempt\":1,\"phase\":\"%s\",\"version\":0,\"parent\":\"root\",\"updatedTime\":"
             "\"2026-04-12T08:00:0%zu.000Z\",\"task\":{\"name\":\"pkg.module.train\","
             "\"shortName\":\"train\"}}",
             state->name, name, phase_name(phases[phase]), phase);
    *event = (struct action_event){
        .info = {.bytes = batch->infos[i], .length = strlen(batch->infos[i])},
        .run = batch->keys[run],
        .name = name,
        .attempt = 1,
        .phase = phases[phase],
        .updated_us = now_us,
        .reported_us = TIME_NONE,
    };
    batch->event_pointers[i] = event;
    batch->event_rows[i] =
        (struct event_row){.run = run, .event = event, .revision = state->revision};
    batch->decision_names[i] = (struct decision_name){.run = run, .name = name};
    batch->action_rows[i].run = run;
    batch->action_rows[i].is_new = phase == 0;
    batch->action_rows[i].origin = (struct action_origin){
        .said.furthest = {phases[phase], 0, now_us},
        .task_from = {.attempt = 1, .position = 1},
    };
    *action = (struct action){
        .name = name,
        .parent_named = true,
        .parent = "root",
        .ordinal = (int32_t)(block * batch->options.events_per_request + number + 2),
        .level = 2,
        .attempt = 1,
        .phase = phases[phase],
        .task_name = "pkg.module.train",
        .short_name = "train",
        .created_us = now_us,
        .started_us = phase > 0 ? now_us : TIME_NONE,
        .ended_us = phase == PHASES - 1 ? now_us : TIME_NONE,
        .revision = state->revision,
    };
}

static void make_run_row(struct synthetic_batch *batch, size_t run)
{
    const struct run_state *state = &batch->states[batch->state_of[run]];

    batch->decision_names[batch->event_count + run] =
        (struct decision_name){.run = run, .name = "root"};
    batch->run_rows[run] = (struct run_row){
        .run = run,
        .state = {.key = batch->keys[run],
                  .revision = state->revision,
                  .action_count = state->action_count,
                  .root = "root",
                  .phase = PHASE_RUNNING,
                  .created_us = INT64_C(1775980800000000),
                  .started_us = INT64_C(1775980800000000),
                  .ended_us = TIME_NONE},
    };
    memcpy(batch->run_rows[run].state.incarnation, batch->incarnations[run], INCARNATION_SIZE);
}

void synthetic_batch_advance(struct synthetic_batch *batch)
{
    choose_runs(batch);
    batch->event_count = 0;
    for (size_t i = 0; i < batch->options.requests_per_batch; i++) {
        size_t request = batch->next_request + i;
        size_t block = block_of(request);
        size_t run = index_of_run(batch, block % batch->options.runs);

        for (size_t number = 0; number < batch->options.events_per_request; number++)
            make_event(batch, run, block, number, request / WINDOW_REQUESTS % PHASES);
    }
    for (size_t run = 0; run < batch->run_count; run++)
        make_run_row(batch, run);
    batch->next_request += batch->options.requests_per_batch;
}

struct synthetic_rows synthetic_batch_rows(const struct synthetic_batch *batch)
{
    return (struct synthetic_rows){
        .runs = batch->keys,
        .incarnations = (const char(*)[INCARNATION_SIZE])batch->incarnations,
        .run_count = batch->run_count,
        .events = batch->event_pointers,
        .event_count = batch->event_count,
        .names = batch->decision_names,
        .name_count = batch->event_count + batch->run_count,
        .event_rows = batch->event_rows,
        .action_rows = batch->action_rows,
        .run_rows = batch->run_rows,
    };
}
