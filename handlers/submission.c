#include "handlers/submission.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/http.h"

/* The events of a batch that one cell is given. */
struct part {
    struct submission *submission;
    struct run_place place;
    struct event_batch batch; /* borrows what its events have */
    size_t *places; /* of its events, in the whole batch; NULL: it is the whole, and borrowed */
};

enum {
    PLACED_MAX = 3,   /* times that events are placed anew, because their run was deleted */
    SEARCHES_MAX = 2, /* the second is for runs that were forgotten during the first: of all */
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
    struct part whole;  /* where there is one part */
    struct part *parts; /* that, or more; owned then */
    size_t part_count, parts_pending;
    int placed, searches; /* times; of the searches, since the last placing */
    bool is_misplaced;    /* some are to be placed anew */
    int failure;          /* of the first part that failed, as for reply_unavailable; 0: none */
    char why[PROBLEM_DETAIL_SIZE]; /* likewise, for people; "" if `failure` says it */
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
    if (submission->parts != &submission->whole)
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

/* Every event has its verdict, or something failed. */
static void end_batch(struct submission *submission)
{
    struct http_request *request = submission->request;

    count_results(submission->app, &submission->batch);
    if (submission->failure == 0 && submission->steps->written != NULL &&
        submission->steps->written(submission->arg, &submission->batch))
        submission->status = 1;
    if (submission->failure == 0 && submission->status == 1) {
        event_batch_clear(&submission->batch);
        run(submission);
        return;
    }
    if (submission->why[0] != '\0')
        reply_problemf(request, PROBLEM_UNAVAILABLE, NULL, "%s", submission->why);
    else if (submission->failure < 0)
        reply_unavailable(request, submission->failure);
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

/* -------- to the cells of the runs -------- */

/* `why` NULL: `status` says it. Of several cells the one is named. */
static void fail(struct submission *submission, const struct cell *cell, int status,
                 const char *why)
{
    if (submission->failure < 0)
        return;
    submission->failure = status;
    if (submission->app->cell_count > 1 && cell != NULL)
        snprintf(submission->why, sizeof submission->why, "Cell %s: %s", cell->options.name,
                 why != NULL         ? why
                 : status == -EAGAIN ? "More is waiting for it than the configured limit."
                 : status == -ENOMEM ? "Out of memory."
                                     : "The database cannot be reached.");
    else if (why != NULL)
        snprintf(submission->why, sizeof submission->why, "%s", why);
}

static void place(struct submission *submission);

static void release_part(struct submission *submission)
{
    if (--submission->parts_pending > 0)
        return;
    free_parts(submission);
    if (submission->is_misplaced && submission->failure == 0) {
        submission->is_misplaced = false;
        submission->searches = 0;
        place(submission);
    } else {
        end_batch(submission);
    }
}

/* The runs of events that came back are not there (any more). If they might have been made there,
 * a newer list of cells is why they were not. */
static void take_back(struct part *part)
{
    struct submission *submission = part->submission;

    for (size_t i = 0; i < part->batch.count; i++)
        if (part->batch.results[i].status == EVENT_PENDING)
            places_forget(submission->app->places, &part->batch.events[i].run);
    submission->is_misplaced = true;
    if (part->place.may_create)
        places_refresh(submission->app->places, part->place.cell);
    if (part->place.may_create || submission->placed >= PLACED_MAX)
        fail(submission, part->place.cell, -ENOTCONN,
             "The list of cells has just changed. Ask again.");
}

static void on_part_written(void *arg, enum event_write_outcome outcome, const char *why)
{
    struct part *part = arg;
    struct submission *submission = part->submission;

    for (size_t i = 0; part->places != NULL && i < part->batch.count; i++)
        submission->batch.results[part->places[i]] = part->batch.results[i];
    if (outcome == EVENT_WRITE_MISPLACED)
        take_back(part);
    else if (outcome == EVENT_WRITE_UNAVAILABLE)
        fail(submission, part->place.cell, -ENOTCONN, why);
    release_part(submission);
}

static bool is_same_place(const struct run_place *a, const struct run_place *b)
{
    return a->cell == b->cell && a->may_create == b->may_create;
}

/* The part for the place, made if there is none, with room for all that may come. NULL: no memory.
 */
static struct part *part_of(struct submission *submission, const struct run_place *at, size_t room)
{
    struct part *part = submission->parts, *end = part + submission->part_count;

    while (part < end && !is_same_place(&part->place, at))
        part++;
    if (part < end)
        return part;
    *part = (struct part){.submission = submission,
                          .place = *at,
                          .places = malloc(room * sizeof *part->places),
                          .batch = {.events = malloc(room * sizeof *part->batch.events),
                                    .results = calloc(room, sizeof *part->batch.results)}};
    submission->part_count++;
    return part->places == NULL || part->batch.events == NULL || part->batch.results == NULL ? NULL
                                                                                             : part;
}

/* What is between the events and their places. */
struct placing {
    struct run_place only; /* of all events, as long as it is one */
    bool are_several;
    bool are_unknown; /* some are to be looked for */
};

static void note_place(struct placing *placing, const struct run_place *at)
{
    if (placing->only.cell == NULL)
        placing->only = *at;
    else if (!is_same_place(&placing->only, at))
        placing->are_several = true;
}

static void find_places(struct submission *submission, struct placing *placing)
{
    const struct event_batch *batch = &submission->batch;
    bool is_last = submission->searches == SEARCHES_MAX;
    struct run_place at;

    for (size_t i = 0; i < batch->count; i++) {
        if (batch->results[i].status != EVENT_PENDING)
            continue;
        if (places_get(submission->app->places, &batch->events[i].run, &at) == 0) {
            note_place(placing, &at);
            continue;
        }
        placing->are_several = true;
        placing->are_unknown |= !is_last;
        if (is_last)
            fail(submission, at.cell, -ENOTCONN,
                 at.cell != NULL ? NULL
                                 : "A run is new, and this process has an old list of cells; or"
                                   " where it is cannot be found out now.");
    }
}

/* 0 or -ENOMEM. What cannot be placed is left out. */
static int split(struct submission *submission)
{
    const struct event_batch *batch = &submission->batch;

    submission->part_count = 0;
    submission->parts = calloc(2 * submission->app->cell_count, sizeof *submission->parts);
    if (submission->parts == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < batch->count; i++) {
        struct run_place at;
        struct part *part;

        if (batch->results[i].status != EVENT_PENDING ||
            places_get(submission->app->places, &batch->events[i].run, &at) < 0)
            continue;
        part = part_of(submission, &at, batch->count - i);
        if (part == NULL)
            return -ENOMEM;
        part->batch.events[part->batch.count] = batch->events[i];
        part->places[part->batch.count++] = i;
    }
    return 0;
}

static void submit_part(struct part *part)
{
    const struct cell *cell = part->place.cell;
    int status = -ENOTCONN;

    if (cell->has_database && !part->submission->app->is_draining)
        status = event_writers_submit(cell->writers, &part->batch, part->place.may_create,
                                      on_part_written, part);
    if (status == 0)
        return;
    fail(part->submission, cell, status, NULL);
    release_part(part->submission);
}

/* Each cell gets its events; when all have answered the request is. */
static void submit_parts(struct submission *submission, const struct placing *placing)
{
    if (!placing->are_several) {
        submission->whole = (struct part){
            .submission = submission, .place = placing->only, .batch = submission->batch};
        submission->parts = &submission->whole;
        submission->part_count = 1;
    } else if (split(submission) < 0) {
        free_parts(submission);
        fail(submission, NULL, -ENOMEM, NULL);
    }
    submission->parts_pending = submission->part_count + 1;
    for (size_t i = 0; i < submission->part_count; i++)
        submit_part(&submission->parts[i]);
    release_part(submission);
}

static void on_found(void *arg, bool is_sure)
{
    struct submission *submission = arg;

    submission->searches = is_sure ? submission->searches + 1 : SEARCHES_MAX;
    place(submission);
}

/* 0 or -ENOMEM. Of what is known already, something may be forgotten before the search ends; where
 * that has happened, all are looked for. */
static int search(struct submission *submission)
{
    const struct event_batch *batch = &submission->batch;
    struct run_key *sought = malloc(batch->count * sizeof *sought);
    struct run_place at;
    size_t count = 0;
    int status;

    for (size_t i = 0; sought != NULL && i < batch->count; i++)
        if (batch->results[i].status == EVENT_PENDING &&
            (submission->searches > 0 ||
             places_get(submission->app->places, &batch->events[i].run, &at) < 0))
            sought[count++] = batch->events[i].run;
    status = sought == NULL
                 ? -ENOMEM
                 : places_find(submission->app->places, sought, count, on_found, submission);
    free(sought);
    return status;
}

/* Looks for the runs that must be looked for, and then hands the events to the writers of the
 * cells. */
static void place(struct submission *submission)
{
    struct placing placing = {0};
    int status;

    find_places(submission, &placing);
    if (!placing.are_unknown) {
        submission->placed++;
        submit_parts(submission, &placing);
        return;
    }
    status = search(submission);
    if (status == 0)
        return;
    fail(submission, NULL, status, NULL);
    end_batch(submission);
}

/* -------- from the request to the cells -------- */

static void submit(struct submission *submission)
{
    struct http_request *request = submission->request;
    struct event_batch *batch = &submission->batch;
    const struct access *access = http_request_access(request);
    int64_t pending;

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
    submission->placed = submission->searches = 0;
    if (pending == 0)
        end_batch(submission);
    else
        place(submission);
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
