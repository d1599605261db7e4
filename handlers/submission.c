#include "handlers/submission.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/http.h"

/* The events of a batch that one cell is given. */
struct part {
    struct submission *submission;
    struct cell *cell;
    struct event_batch batch; /* borrows what its events have */
    size_t *places; /* of its events, in the whole batch; NULL: it is the whole, and borrowed */
};

struct submission {
    struct app *app;
    struct http_request *request; /* NULL: gone while its events were made */
    const struct submission_steps *steps;
    void *arg;
    uv_work_t work;
    bool is_large;
    int status; /* of `make`; negative: `problem` says why */
    struct problem problem;
    struct event_batch batch;
    struct part *parts; /* where there are several cells */
    size_t part_count, parts_pending;
    enum event_write_outcome outcome; /* of those that have ended */
    char why[PROBLEM_DETAIL_SIZE];    /* of the first that failed */
};

static void free_parts(struct submission *submission)
{
    for (size_t i = 0; i < submission->part_count; i++) {
        struct part *part = &submission->parts[i];

        if (part->places == NULL)
            continue;
        free(part->batch.events);
        free(part->batch.results);
        free(part->places);
    }
    free(submission->parts);
    submission->parts = NULL;
    submission->part_count = 0;
}

static void submission_free(struct submission *submission)
{
    free_parts(submission);
    event_batch_clear(&submission->batch);
    submission->steps->free(submission->arg);
    free(submission);
}

static void count_results(struct app *app, const struct event_batch *batch)
{
    static const enum metric metrics[] = {
        [EVENT_APPLIED] = METRIC_EVENTS_APPLIED,   [EVENT_RECORDED] = METRIC_EVENTS_RECORDED,
        [EVENT_WAITING] = METRIC_EVENTS_WAITING,   [EVENT_DUPLICATE] = METRIC_EVENTS_DUPLICATE,
        [EVENT_REJECTED] = METRIC_EVENTS_REJECTED,
    };

    for (size_t i = 0; i < batch->count; i++)
        if (batch->results[i].status != EVENT_PENDING)
            metrics_add(app->metrics, metrics[batch->results[i].status], 1);
}

static void run(struct submission *submission);

static void on_written(void *arg, enum event_write_outcome outcome, const char *why)
{
    struct submission *submission = arg;
    struct http_request *request = submission->request;

    count_results(submission->app, &submission->batch);
    if (outcome == EVENT_WRITE_DONE && submission->steps->written != NULL &&
        submission->steps->written(submission->arg, &submission->batch))
        submission->status = 1;
    if (outcome == EVENT_WRITE_DONE && submission->status == 1) {
        event_batch_clear(&submission->batch);
        run(submission);
        return;
    }
    if (outcome == EVENT_WRITE_UNAVAILABLE && why != NULL)
        reply_problemf(request, PROBLEM_UNAVAILABLE, NULL, "%s", why);
    else if (outcome == EVENT_WRITE_UNAVAILABLE)
        reply_unavailable(request, -ENOTCONN);
    else
        submission->steps->reply(submission->arg, request, &submission->batch);
    submission_free(submission);
}

/* How many of the batch are left to be written. */
static int64_t count_pending(const struct event_batch *batch)
{
    int64_t count = 0;

    for (size_t i = 0; i < batch->count; i++)
        count += batch->results[i].status == EVENT_PENDING;
    return count;
}

/* Rejects the events of projects that the request's token must not write. 0, or -ENOMEM. */
static int reject_forbidden(const struct access *access, struct event_batch *batch)
{
    struct problem problem;

    for (size_t i = 0; i < batch->count; i++) {
        const struct run_key *run = &batch->events[i].run;

        if (batch->results[i].status != EVENT_PENDING ||
            access_allows(access, ACCESS_WRITE, run->project, run->domain))
            continue;
        problem_set(&problem, PROBLEM_FORBIDDEN, NULL, "The token does not give write on %s/%s.",
                    run->project, run->domain);
        if (event_result_reject(&batch->results[i], &problem) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* -------- several cells -------- */

static void fail_part(struct part *part, const char *why)
{
    struct submission *submission = part->submission;

    if (submission->outcome == EVENT_WRITE_DONE)
        snprintf(submission->why, sizeof submission->why, "Cell %s: %s", part->cell->options.name,
                 why);
    submission->outcome = EVENT_WRITE_UNAVAILABLE;
}

static void release_part(struct submission *submission)
{
    if (--submission->parts_pending > 0)
        return;
    free_parts(submission);
    on_written(submission, submission->outcome, submission->why);
}

static void on_part_written(void *arg, enum event_write_outcome outcome, const char *why)
{
    struct part *part = arg;
    struct submission *submission = part->submission;

    for (size_t i = 0; part->places != NULL && i < part->batch.count; i++)
        submission->batch.results[part->places[i]] = part->batch.results[i];
    if (outcome != EVENT_WRITE_DONE)
        fail_part(part, why == NULL ? "The database cannot be reached." : why);
    release_part(submission);
}

static struct cell *cell_of(const struct submission *submission, size_t event)
{
    return app_home_of(submission->app, &submission->batch.events[event].run);
}

/* The cell that all of the events are for; NULL: they are for several. */
static struct cell *only_cell(const struct submission *submission)
{
    const struct event_batch *batch = &submission->batch;
    struct cell *only = NULL;

    for (size_t i = 0; i < batch->count; i++) {
        struct cell *cell;

        if (batch->results[i].status != EVENT_PENDING)
            continue;
        cell = cell_of(submission, i);
        if (only != NULL && cell != only)
            return NULL;
        only = cell;
    }
    return only;
}

/* The part of the cell, made if it has none, with room for all that may come. NULL: no memory. */
static struct part *part_of(struct submission *submission, struct cell *cell, size_t room)
{
    struct part *part = submission->parts;

    while (part < submission->parts + submission->part_count && part->cell != cell)
        part++;
    if (part < submission->parts + submission->part_count)
        return part;
    *part = (struct part){.submission = submission,
                          .cell = cell,
                          .places = malloc(room * sizeof *part->places),
                          .batch = {.events = malloc(room * sizeof *part->batch.events),
                                    .results = calloc(room, sizeof *part->batch.results)}};
    submission->part_count++;
    return part->places == NULL || part->batch.events == NULL || part->batch.results == NULL ? NULL
                                                                                             : part;
}

/* 0 or -ENOMEM. */
static int split(struct submission *submission)
{
    const struct event_batch *batch = &submission->batch;

    for (size_t i = 0; i < batch->count; i++) {
        struct part *part;

        if (batch->results[i].status != EVENT_PENDING)
            continue;
        part = part_of(submission, cell_of(submission, i), batch->count - i);
        if (part == NULL)
            return -ENOMEM;
        part->batch.events[part->batch.count] = batch->events[i];
        part->places[part->batch.count++] = i;
    }
    return 0;
}

/* 0 or -ENOMEM. */
static int make_parts(struct submission *submission)
{
    struct cell *only = only_cell(submission);

    submission->parts =
        calloc(only == NULL ? submission->app->cell_count : 1, sizeof *submission->parts);
    if (submission->parts == NULL)
        return -ENOMEM;
    if (only == NULL)
        return split(submission);
    submission->part_count = 1;
    submission->parts[0] =
        (struct part){.submission = submission, .cell = only, .batch = submission->batch};
    return 0;
}

static void submit_part(struct part *part)
{
    int status = -ENOTCONN;

    if (part->cell->has_database)
        status = event_writers_submit(part->cell->writers, &part->batch, on_part_written, part);
    if (status == 0)
        return;
    fail_part(part, status == -EAGAIN   ? "More is waiting for it than the configured limit."
                    : status == -ENOMEM ? "Out of memory."
                                        : "The database cannot be reached.");
    release_part(part->submission);
}

/* Each cell gets its events; when all have answered the request is. 0 or -ENOMEM. */
static int submit_to_cells(struct submission *submission)
{
    if (make_parts(submission) < 0)
        return -ENOMEM;
    submission->outcome = EVENT_WRITE_DONE;
    submission->parts_pending = submission->part_count + 1;
    for (size_t i = 0; i < submission->part_count; i++)
        submit_part(&submission->parts[i]);
    release_part(submission);
    return 0;
}

/* -------- from the request to the writers -------- */

/* All events of a batch that has some to be written. */
static int submit_pending(struct submission *submission)
{
    struct app *app = submission->app;

    if (app->is_draining)
        return -ENOTCONN;
    if (app->cell_count > 1)
        return submit_to_cells(submission);
    return event_writers_submit(app->cells[0]->writers, &submission->batch, on_written, submission);
}

/* Hands the events to the writers. */
static void submit(struct submission *submission)
{
    struct http_request *request = submission->request;
    struct event_batch *batch = &submission->batch;
    const struct access *access = http_request_access(request);
    int64_t pending;
    int status;

    http_request_hold(request, event_batch_bytes(batch));
    if (access != NULL && reject_forbidden(access, batch) < 0) {
        submission_free(submission);
        reply_unavailable(request, -ENOMEM);
        return;
    }
    pending = count_pending(batch);
    if (!http_request_spend(request, RATE_EVENTS, pending)) {
        submission_free(submission);
        return;
    }
    if (pending == 0) {
        on_written(submission, EVENT_WRITE_DONE, NULL);
        return;
    }
    status = submit_pending(submission);
    if (status < 0) {
        submission_free(submission);
        reply_unavailable(request, status);
    }
}

static void make(struct submission *submission)
{
    submission->status =
        submission->steps->make(submission->arg, &submission->batch, &submission->problem);
}

static void on_worker(uv_work_t *work)
{
    make(work->data);
}

static void after_make(struct submission *submission)
{
    if (submission->status >= 0) {
        submit(submission);
        return;
    }
    reply_problem(submission->request, &submission->problem);
    submission_free(submission);
}

static void after_worker(uv_work_t *work, int status)
{
    struct submission *submission = work->data;

    (void)status;
    if (submission->request == NULL) {
        submission_free(submission);
        return;
    }
    http_request_when_gone(submission->request, NULL, NULL);
    after_make(submission);
}

static void on_gone(void *arg)
{
    struct submission *submission = arg;

    submission->request = NULL;
}

/* Makes the next events, and hands them on. */
static void run(struct submission *submission)
{
    if (!submission->is_large) {
        make(submission);
        after_make(submission);
        return;
    }
    submission->work.data = submission;
    http_request_when_gone(submission->request, on_gone, submission);
    uv_queue_work(submission->app->loop, &submission->work, on_worker, after_worker);
}

void submission_start(struct app *app, struct http_request *request,
                      const struct submission_steps *steps, void *arg, bool is_large)
{
    struct submission *submission = calloc(1, sizeof *submission);

    if (submission == NULL) {
        steps->free(arg);
        reply_unavailable(request, -ENOMEM);
        return;
    }
    submission->app = app;
    submission->request = request;
    submission->steps = steps;
    submission->arg = arg;
    submission->is_large = is_large;
    run(submission);
}

int64_t submission_now_us(void)
{
    uv_timeval64_t now;

    uv_gettimeofday(&now);
    return now.tv_sec * 1000000 + now.tv_usec;
}
