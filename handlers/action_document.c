/* The attempts are merged from the events: the newest of them, as many as fit into the limits
 * below. */
#include "handlers/action_document.h"

#include <errno.h>
#include <stdlib.h>

#include "handlers/page.h"
#include "model/attempts.h"
#include "model/records.h"
#include "server/http.h"

enum {
    PART_EVENTS = 1000, /* are read at once … */
    PART_BYTES = 1024 * 1024,
    MERGED_EVENTS_MAX = 20000, /* … until there are so many … */
    MERGED_BYTES_MAX = 8 * 1024 * 1024,
    MERGED_ATTEMPTS_MAX = 1000,
    MADE_ON_LOOP_BYTES_MAX = 16 * 1024, /* more are merged by a worker thread */
};

struct action_reading {
    struct cell *cell;
    struct action_document_reader reader;
    uv_work_t work;
    struct action_document document;
    struct buffer body; /* the action's members */
    struct attempts *attempts;
    struct attempt_query query;
    struct {
        bool goes_on;           /* the attempt has more events */
        int32_t attempt_before; /* 0: none */
    } part;
    int32_t merged_events, merged_attempts;
    size_t merged_bytes;
    size_t held_bytes; /* in the account of memory */
    bool is_truncated, is_out_of_memory;
};

static void reading_free(void *arg)
{
    struct action_reading *reading = arg;

    buffer_free(&reading->document.text);
    memory_hold(reading->cell->options.memory, MEMORY_READS, &reading->held_bytes, 0);
    attempts_free(reading->attempts);
    buffer_free(&reading->body);
    free(reading);
}

static void on_action(void *arg, const struct action *action)
{
    struct action_reading *reading = arg;
    struct buffer *body = &reading->body;

    buffer_string_member(body, "{\"project\":", reading->query.run.project);
    buffer_string_member(body, ",\"domain\":", reading->query.run.domain);
    buffer_string_member(body, ",\"runName\":", reading->query.run.run_name);
    buffer_text(body, ",\"waiting\":");
    buffer_text(body, action->ordinal == 0 ? "true," : "false,");
    record_write_action_members(body, action);
}

/* -------- its end -------- */

static void end_reading(struct action_reading *reading)
{
    reading->reader.done(reading->reader.arg, &reading->document);
    reading_free(reading);
}

static void fail(struct action_reading *reading, int status)
{
    reading->document.status = status;
    end_reading(reading);
}

static void fail_read(struct action_reading *reading, enum repo_outcome outcome,
                      const char *message)
{
    reading->document.outcome = outcome;
    reading->document.message = message;
    fail(reading, -EIO);
}

/* Perhaps on a worker thread. */
static void make_document(struct action_reading *reading)
{
    struct buffer *text = &reading->document.text;
    bool is_whole;

    buffer_append(text, reading->body.bytes, reading->body.length);
    buffer_text(text, ",\"attempts\":");
    is_whole = attempts_write(reading->attempts, text) && !reading->is_truncated;
    buffer_text(text, is_whole ? ",\"truncated\":false}" : ",\"truncated\":true}");
    if (reading->reader.shape != NULL && !text->failed)
        reading->reader.shape(reading->reader.arg, text);
    reading->document.status = text->failed ? -ENOMEM : 0;
}

static void on_worker(uv_work_t *work)
{
    make_document(work->data);
}

static void after_worker(uv_work_t *work, int status)
{
    (void)status;
    end_reading(work->data);
}

static void finish_action(struct action_reading *reading)
{
    if (reading->body.failed || reading->is_out_of_memory) {
        fail(reading, -ENOMEM);
    } else if (attempts_bytes(reading->attempts) > MADE_ON_LOOP_BYTES_MAX) {
        reading->work.data = reading;
        uv_queue_work(reading->cell->options.loop, &reading->work, on_worker, after_worker);
    } else {
        make_document(reading);
        end_reading(reading);
    }
}

void reply_action_document_failure(struct http_request *request,
                                   const struct action_document *document)
{
    if (document->status == -ENOENT)
        reply_problemf(request, PROBLEM_NOT_FOUND, NULL, "There is no such action.");
    else if (document->status == -EIO)
        reply_repo_failure(request, document->outcome, document->message);
    else
        reply_unavailable(request, document->status);
}

/* -------- reading the events, the furthest first -------- */

static void on_attempt_event(void *arg, const struct stored_event *event)
{
    struct action_reading *reading = arg;

    reading->merged_events++;
    reading->merged_bytes += event->info.length;
    reading->query.attempt = event->attempt;
    reading->query.before = event_order_of(event->attempt, event->phase, event->version).position;
    reading->part.goes_on = event->goes_on;
    reading->part.attempt_before = event->attempt_before;
    if (attempts_add(reading->attempts, event->attempt, event->phase, event->version,
                     event->updated_us, event->info) < 0)
        reading->is_out_of_memory = true;
}

static void on_beginnings_end(void *arg, enum repo_outcome outcome, const char *message)
{
    struct action_reading *reading = arg;

    if (outcome == REPO_OK)
        finish_action(reading);
    else
        fail_read(reading, outcome, message);
}

/* An attempt of which events are left out has its first ones all the same, so that its times are
 * right. */
static void read_beginnings(struct action_reading *reading)
{
    int status = action_repo_attempt_beginnings(reading->cell->repo, &reading->query,
                                                on_attempt_event, on_beginnings_end, reading);

    if (status < 0)
        fail(reading, status);
}

static void on_part_end(void *arg, enum repo_outcome outcome, const char *message);

static void read_part(struct action_reading *reading)
{
    int status = -ENOBUFS;

    reading->part.goes_on = false;
    reading->part.attempt_before = 0;
    if (memory_has_room(reading->cell->options.memory, PART_BYTES))
        status = action_repo_attempt_events(reading->cell->repo, &reading->query, on_attempt_event,
                                            on_part_end, reading);
    if (status < 0)
        fail(reading, status);
}

static void on_part_end(void *arg, enum repo_outcome outcome, const char *message)
{
    struct action_reading *reading = arg;
    bool goes_on = reading->part.goes_on;

    if (outcome != REPO_OK) {
        fail_read(reading, outcome, message);
        return;
    }
    memory_hold(reading->cell->options.memory, MEMORY_READS, &reading->held_bytes,
                attempts_bytes(reading->attempts));
    reading->merged_attempts += !goes_on;
    reading->is_truncated =
        (goes_on || reading->part.attempt_before > 0) &&
        (reading->merged_events >= MERGED_EVENTS_MAX || reading->merged_bytes >= MERGED_BYTES_MAX ||
         reading->merged_attempts >= MERGED_ATTEMPTS_MAX);
    if (!goes_on) {
        reading->query.attempt = reading->part.attempt_before;
        reading->query.before = INT64_MAX;
    }
    if (!goes_on && (reading->is_truncated || reading->part.attempt_before == 0))
        finish_action(reading);
    else if (reading->is_truncated)
        read_beginnings(reading);
    else
        read_part(reading);
}

static void on_action_end(void *arg, enum repo_outcome outcome, const char *message)
{
    struct action_reading *reading = arg;

    if (outcome == REPO_OK && (reading->body.length > 0 || reading->body.failed)) {
        read_part(reading);
        return;
    }
    if (outcome != REPO_OK)
        fail_read(reading, outcome, message);
    else
        fail(reading, -ENOENT);
}

int action_document_read(struct cell *cell, const struct run_key *run, const char *name,
                         const struct action_document_reader *reader)
{
    struct action_reading *reading = calloc(1, sizeof *reading);
    int status;

    if (reading == NULL)
        return -ENOMEM;
    reading->cell = cell;
    reading->reader = *reader;
    reading->query = (struct attempt_query){.client = reader->client,
                                            .run = *run,
                                            .name = name,
                                            .attempt = INT32_MAX,
                                            .before = INT64_MAX,
                                            .limit = PART_EVENTS,
                                            .bytes_max = PART_BYTES};
    reading->attempts = attempts_new();
    status = reading->attempts == NULL
                 ? -ENOMEM
                 : action_repo_get_action(cell->repo, run, name, on_action, on_action_end, reading);
    if (status < 0)
        reading_free(reading);
    return status;
}
