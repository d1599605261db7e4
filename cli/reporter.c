#include "cli/reporter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/outbox.h"
#include "cli/spool.h"
#include "cli/token.h"
#include "model/timestamp.h"

enum {
    REQUEST_MS = 10000,
    RETRY_MS = 1000,
    RETRY_MS_MAX = 60000,
    HEARTBEAT_MS_MAX = 600000,
    POLL_MS = 2000,
    POLL_MS_MAX = 15000,
    POLL_REFUSED_MS = 60000,
    IDLE_MS = 60000,
    REASON_SIZE = 1024,
};

/* What the request under way is. */
enum errand {
    ERRAND_NONE,
    ERRAND_EVENTS,
    ERRAND_STATE,    /* which attempt comes next */
    ERRAND_QUESTION, /* whether to end */
    ERRAND_ACTION,   /* who asked for the end, of the action … */
    ERRAND_RUN,      /* … or of its run */
};

struct reporter {
    struct reporter_options options;
    const struct exec_place *place;
    struct http_client *client;
    char folder[SPOOL_PATH_SIZE]; /* of the spool; "": none */

    struct outbox own, spooled;
    struct spool_file file; /* what `spooled` is from; fd -1: none */
    char after[SPOOL_PATH_SIZE];
    bool spool_is_done;
    size_t spool_sent;

    enum errand errand;
    struct outbox *errand_box;
    int64_t errand_since_ms, retry_at_ms, poll_at_ms, heartbeat_at_ms, heartbeat_ms;
    int64_t started_ms, deadline_ms;
    int64_t asks_until_ms; /* 0: nobody waits for the answer */
    int failures, version;
    bool is_reached, last_timed_out, has_ended, has_given_up;
    char reason[REASON_SIZE], why[REPORTER_WHY_SIZE];
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int open_client(struct reporter *reporter)
{
    char *token = token_read(reporter->options.token_file, reporter->why, sizeof reporter->why);

    http_client_free(reporter->client);
    reporter->client = http_client_new(reporter->options.url, token);
    free(token);
    return reporter->client == NULL ? -1 : 0;
}

struct reporter *reporter_new(const struct reporter_options *options,
                              const struct exec_place *place)
{
    struct reporter *reporter = calloc(1, sizeof *reporter);

    if (reporter == NULL)
        return NULL;
    reporter->options = *options;
    reporter->place = place;
    reporter->file.fd = -1;
    reporter->started_ms = now_ms();
    reporter->poll_at_ms = reporter->started_ms + POLL_MS;
    reporter->heartbeat_ms = options->heartbeat_ms;
    reporter->heartbeat_at_ms = reporter->started_ms + options->heartbeat_ms;
    if (spool_find(reporter->folder, options->spool_dir) < 0)
        reporter->folder[0] = '\0';
    reporter->spool_is_done = reporter->folder[0] == '\0';
    if (outbox_init(&reporter->own) < 0 || open_client(reporter) < 0) {
        reporter_free(reporter);
        return NULL;
    }
    return reporter;
}

static void say(const struct reporter *reporter, const char *what, const char *why)
{
    if (reporter->options.say_fd >= 0)
        dprintf(reporter->options.say_fd, "runtree: %s: %s\n", what, why);
}

static void keep_refused(struct reporter *reporter, const struct outbox *outbox)
{
    if (json_array_size(outbox->refused) == 0)
        return;
    if (reporter->folder[0] != '\0')
        spool_put_refused(reporter->folder, reporter->options.url, outbox->refused);
    say(reporter, "refused",
        json_string_value(json_object_get(
            json_object_get(json_array_get(outbox->refused, 0), "problem"), "detail")));
}

static void close_spooled(struct reporter *reporter)
{
    if (reporter->file.fd < 0)
        return;
    keep_refused(reporter, &reporter->spooled);
    spool_close(&reporter->file, reporter->options.url,
                outbox_is_empty(&reporter->spooled) ? NULL : reporter->spooled.events);
    outbox_clear(&reporter->spooled);
}

void reporter_free(struct reporter *reporter)
{
    if (reporter == NULL)
        return;
    http_client_free(reporter->client);
    close_spooled(reporter);
    keep_refused(reporter, &reporter->own);
    if (!outbox_is_empty(&reporter->own)) {
        if (reporter->folder[0] == '\0' ||
            spool_put(reporter->folder, reporter->options.url, reporter->own.events) < 0)
            say(reporter, "events are lost", strerror(errno));
        else
            say(reporter, "not sent, kept for later", reporter->why);
    }
    outbox_clear(&reporter->own);
    free(reporter);
}

/* Takes `members` over, which say more than the key and the time. */
static void add_event(struct reporter *reporter, const char *phase, int version, json_t *members)
{
    const struct exec_place *place = reporter->place;
    char time[TIMESTAMP_SIZE];
    struct timespec now;
    json_t *event;

    clock_gettime(CLOCK_REALTIME, &now);
    timestamp_format((int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000, time);
    event = json_pack("{s:s, s:s, s:s, s:s, s:s?, s:I, s:s, s:i, s:s}", "project", place->project,
                      "domain", place->domain, "runName", place->run, "name", place->name, "parent",
                      place->parent[0] == '\0' ? NULL : place->parent, "attempt",
                      (json_int_t)place->attempt, "phase", phase, "version", version, "updatedTime",
                      time);
    if (event != NULL && members != NULL)
        json_object_update(event, members);
    json_decref(members);
    outbox_add(&reporter->own, event);
}

void reporter_start(struct reporter *reporter, json_t *members)
{
    add_event(reporter, "RUNNING", 0, members);
}

void reporter_ask(struct reporter *reporter)
{
    int64_t now = now_ms();

    if (reporter->own.start == NULL || reporter->failures > 0 || reporter->last_timed_out ||
        reporter->reason[0] != '\0')
        return;
    reporter->poll_at_ms = now;
    reporter->asks_until_ms = now + reporter->options.wait_ms;
}

bool reporter_is_asking(const struct reporter *reporter)
{
    return now_ms() < reporter->asks_until_ms;
}

/* A request that is under way for long has had of its time already; a service that did not answer
 * in time is not waited for once more. What is under way for others gives way. */
void reporter_end(struct reporter *reporter, const char *phase, json_t *members)
{
    int64_t now = now_ms(), spent = 0;

    add_event(reporter, phase, 0, members);
    if (reporter->errand == ERRAND_EVENTS || reporter->errand == ERRAND_STATE)
        spent = now - reporter->errand_since_ms;
    if (reporter->errand > ERRAND_STATE || reporter->errand_box != &reporter->own) {
        http_client_cancel(reporter->client);
        reporter->errand = ERRAND_NONE;
    }
    reporter->has_ended = true;
    reporter->deadline_ms = now + reporter->options.wait_ms - spent;
    if (reporter->last_timed_out)
        reporter->deadline_ms = now;
    reporter->retry_at_ms = now;
}

static void action_path(const struct reporter *reporter, const struct outbox *outbox, bool is_run,
                        char *path, size_t size)
{
    const json_t *event = json_array_get(outbox->events, 0);
    const char *parts[] = {"v1/projects", NULL, "domains", NULL, "runs", NULL, "actions", NULL};

    parts[1] = event == NULL ? reporter->place->project
                             : json_string_value(json_object_get(event, "project"));
    parts[3] = event == NULL ? reporter->place->domain
                             : json_string_value(json_object_get(event, "domain"));
    parts[5] =
        event == NULL ? reporter->place->run : json_string_value(json_object_get(event, "runName"));
    parts[7] = json_string_value(outbox->name);
    snprintf(path, size, "/v1/projects");
    for (size_t i = 1; i < (is_run ? 6 : 8); i++)
        if (parts[i] != NULL)
            http_path_append(path, size, parts[i]);
}

static void start_errand(struct reporter *reporter, enum errand errand, struct outbox *outbox)
{
    char path[8192], *body = NULL;
    int status;

    if (errand == ERRAND_EVENTS || errand == ERRAND_QUESTION) {
        body = errand == ERRAND_EVENTS ? outbox_body(outbox) : outbox_question(outbox);
        status = body == NULL
                     ? -1
                     : http_client_start(reporter->client, "POST", "/v1/events", body, REQUEST_MS);
        free(body);
    } else {
        action_path(reporter, outbox, errand == ERRAND_RUN, path, sizeof path);
        status = http_client_start(reporter->client, "GET", path, NULL, REQUEST_MS);
    }
    if (status < 0) {
        reporter->retry_at_ms = reporter->poll_at_ms = now_ms() + RETRY_MS_MAX;
        reporter->has_given_up = reporter->has_ended;
        return;
    }
    reporter->errand = errand;
    reporter->errand_box = outbox;
    reporter->errand_since_ms = now_ms();
}

/* The next file of the spool into `spooled`. */
static bool take_file(struct reporter *reporter)
{
    if (reporter->file.fd >= 0)
        return true;
    if (reporter->spool_is_done)
        return false;
    if (!spool_next(reporter->folder, reporter->options.url, reporter->after, &reporter->file)) {
        reporter->spool_is_done = true;
        return false;
    }
    snprintf(reporter->after, sizeof reporter->after, "%s", reporter->file.path);
    if (outbox_init(&reporter->spooled) < 0)
        return false;
    reporter->spooled.is_batch = reporter->file.is_batch;
    for (size_t i = 0; i < json_array_size(reporter->file.events); i++)
        outbox_add(&reporter->spooled, json_deep_copy(json_array_get(reporter->file.events, i)));
    return true;
}

/* A sign of life, unless the service has not even taken that the action runs. */
static void beat(struct reporter *reporter, int64_t now)
{
    reporter->heartbeat_ms = least(2 * reporter->heartbeat_ms, HEARTBEAT_MS_MAX);
    reporter->heartbeat_at_ms = now + reporter->heartbeat_ms;
    if (outbox_is_empty(&reporter->own) && reporter->is_reached)
        add_event(reporter, "RUNNING", ++reporter->version, NULL);
}

/* Own events come first, then those of the spool, then the question whether to abort. */
static void choose(struct reporter *reporter)
{
    int64_t now = now_ms();
    struct outbox *outbox = &reporter->own;

    if (reporter->place != NULL && !reporter->has_ended && now >= reporter->heartbeat_at_ms)
        beat(reporter, now);
    if (now >= reporter->retry_at_ms && !outbox_is_empty(outbox))
        start_errand(reporter, outbox->asks_state ? ERRAND_STATE : ERRAND_EVENTS, outbox);
    else if (now >= reporter->retry_at_ms && (reporter->is_reached || reporter->place == NULL) &&
             take_file(reporter))
        start_errand(reporter, reporter->spooled.asks_state ? ERRAND_STATE : ERRAND_EVENTS,
                     &reporter->spooled);
    else if (reporter->has_ended || reporter->reason[0] != '\0' || outbox->start == NULL)
        return;
    else if (outbox->is_abort_asked)
        start_errand(reporter, ERRAND_ACTION, outbox);
    else if (now >= reporter->poll_at_ms)
        start_errand(reporter, ERRAND_QUESTION, outbox);
}

/* Who asked and why; at last, that somebody did for an action above. */
static void take_reason(struct reporter *reporter, const json_t *document, bool is_last)
{
    const json_t *abort = json_object_get(document, "abortRequested");
    const char *by = json_string_value(json_object_get(abort, "by"));
    const char *why = json_string_value(json_object_get(abort, "reason"));

    if (json_is_object(abort))
        snprintf(reporter->reason, sizeof reporter->reason, "aborted%s%.200s%s%.700s",
                 by == NULL ? "" : " by ", by == NULL ? "" : by, why == NULL ? "" : ": ",
                 why == NULL ? "" : why);
    else if (is_last)
        snprintf(reporter->reason, sizeof reporter->reason, "aborted with an action above");
}

/* Asked for seldom by a command that runs for long. */
static void plan_poll(struct reporter *reporter, int status)
{
    int64_t now = now_ms(), wait_ms = (now - reporter->started_ms) / 10;

    if (wait_ms < POLL_MS)
        wait_ms = POLL_MS;
    wait_ms = least(wait_ms, POLL_MS_MAX);
    if (status != 200)
        wait_ms = POLL_REFUSED_MS;
    reporter->poll_at_ms = now + wait_ms;
}

static void plan_retry(struct reporter *reporter, const struct http_answer *answer)
{
    int64_t wait_ms = RETRY_MS;

    for (int i = 0; i < reporter->failures && wait_ms < RETRY_MS_MAX; i++)
        wait_ms *= 2;
    if (answer->retry_after_ms > wait_ms)
        wait_ms = answer->retry_after_ms;
    reporter->failures++;
    reporter->asks_until_ms = 0;
    reporter->last_timed_out = answer->timed_out;
    reporter->retry_at_ms = now_ms() + least(wait_ms, RETRY_MS_MAX);
    reporter->has_given_up = reporter->has_ended;
    if (answer->status == 0)
        snprintf(reporter->why, sizeof reporter->why, "%.200s %s", reporter->options.url,
                 answer->timed_out ? "does not answer" : "is not reached");
    else
        snprintf(reporter->why, sizeof reporter->why, "%.150s answers %d", reporter->options.url,
                 answer->status);
    if (answer->status == 401)
        open_client(reporter); /* the token may be another one by now */
}

static void take_events(struct reporter *reporter, const struct http_answer *answer)
{
    struct outbox *outbox = reporter->errand_box;
    size_t sent = outbox->sent;

    if (outbox_take_answer(outbox, answer->status, answer->body, answer->length) == OUTBOX_RETRY) {
        plan_retry(reporter, answer);
        return;
    }
    reporter->is_reached = true;
    reporter->last_timed_out = false;
    reporter->failures = 0;
    if (outbox == &reporter->spooled) {
        reporter->spool_sent += outbox->asks_state ? 0 : sent;
        if (outbox_is_empty(outbox))
            close_spooled(reporter);
    }
}

static void take_answer(struct reporter *reporter, const struct http_answer *answer)
{
    enum errand errand = reporter->errand;
    json_t *document = NULL;

    reporter->errand = ERRAND_NONE;
    if (errand == ERRAND_EVENTS) {
        take_events(reporter, answer);
        return;
    }
    if (answer->status == 200)
        document = json_loadb(answer->body, answer->length, 0, NULL);
    if (errand == ERRAND_STATE && answer->status != 200 && answer->status != 404 &&
        answer->status != 403) {
        plan_retry(reporter, answer);
    } else if (errand == ERRAND_STATE) {
        outbox_take_state(reporter->errand_box, document);
    } else if (errand == ERRAND_QUESTION) {
        outbox_take_question_answer(&reporter->own, answer->body, answer->length);
        reporter->last_timed_out = answer->timed_out;
        plan_poll(reporter, answer->status);
        if (!reporter->own.is_abort_asked)
            reporter->asks_until_ms = 0;
    } else {
        take_reason(reporter, document, errand == ERRAND_RUN);
        if (reporter->reason[0] == '\0')
            start_errand(reporter, ERRAND_RUN, &reporter->own);
        else
            reporter->asks_until_ms = 0;
    }
    json_decref(document);
}

/* When choose() has something to do again. */
static int64_t next_ms(const struct reporter *reporter, int64_t now)
{
    int64_t next = now + IDLE_MS;

    if (!outbox_is_empty(&reporter->own) || (reporter->is_reached && !reporter->spool_is_done))
        next = least(next, reporter->retry_at_ms);
    if (reporter->has_ended)
        return least(next, reporter->deadline_ms);
    next = least(next, reporter->heartbeat_at_ms);
    return reporter->own.start != NULL ? least(next, reporter->poll_at_ms) : next;
}

bool reporter_is_done(const struct reporter *reporter)
{
    if (!reporter->has_ended)
        return false;
    return reporter->has_given_up || now_ms() >= reporter->deadline_ms ||
           (outbox_is_empty(&reporter->own) && reporter->spool_is_done && reporter->file.fd < 0);
}

int64_t reporter_step(struct reporter *reporter)
{
    struct http_answer answer;
    int64_t now, wait_ms;

    if (http_client_take(reporter->client, &answer)) {
        take_answer(reporter, &answer);
        http_answer_clear(&answer);
    }
    if (!http_client_is_busy(reporter->client))
        choose(reporter);
    now = now_ms();
    wait_ms = http_client_is_busy(reporter->client) ? IDLE_MS : next_ms(reporter, now) - now;
    if (reporter->has_ended)
        wait_ms = least(wait_ms, reporter->deadline_ms - now);
    else if (reporter->asks_until_ms > 0)
        wait_ms = least(wait_ms, reporter->asks_until_ms - now);
    return wait_ms < 0 || reporter_is_done(reporter) ? 0 : wait_ms;
}

void reporter_wait(struct reporter *reporter, struct pollfd *fds, size_t count, int64_t timeout_ms)
{
    http_client_wait(reporter->client, fds, count, timeout_ms);
}

const char *reporter_abort_reason(const struct reporter *reporter)
{
    return reporter->reason[0] == '\0' ? NULL : reporter->reason;
}

int reporter_flush(struct reporter *reporter, size_t *sent, size_t *left,
                   char why[static REPORTER_WHY_SIZE])
{
    for (;;) {
        int64_t wait_ms = reporter_step(reporter);

        if (reporter->failures > 0 || (reporter->spool_is_done && reporter->file.fd < 0))
            break;
        reporter_wait(reporter, NULL, 0, wait_ms);
    }
    close_spooled(reporter);
    *sent = reporter->spool_sent;
    *left = reporter->folder[0] == '\0' ? 0 : spool_count(reporter->folder);
    snprintf(why, REPORTER_WHY_SIZE, "%s", reporter->why);
    return reporter->failures > 0 ? -1 : 0;
}
