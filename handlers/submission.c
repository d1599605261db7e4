#include "handlers/submission.h"

#include <errno.h>
#include <stdlib.h>

#include "server/http.h"

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
};

static void submission_free(struct submission *submission)
{
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

/* Hands the events to the writers. */
static void submit(struct submission *submission)
{
    struct app *app = submission->app;
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
    status = app->is_draining || !app->cells[0]->has_database
                 ? -ENOTCONN
                 : event_writers_submit(app->cells[0]->writers, batch, on_written, submission);
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
