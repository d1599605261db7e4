/* The tree as it was: the run's events are read a page at a time and forgotten, what they come to
 * is kept, and shown as the live tree is. */
#include "handlers/replayed_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "handlers/page.h"
#include "handlers/parameters.h"
#include "handlers/tree_document.h"
#include "model/replay.h"
#include "model/timestamp.h"
#include "server/http.h"

enum {
    PAGE_EVENTS = 1000,
    BUILT_AT_ONCE = 2000, /* actions, for one piece of the document */
};

struct replay_reply {
    struct cell *cell;
    struct http_request *request;
    struct history_query query;
    struct filter filter;
    int64_t at_us; /* TIME_NONE: at query.revision */
    char incarnation[INCARNATION_SIZE];
    int64_t run_revision; /* now */
    bool is_found, goes_on, is_out_of_memory;
    struct replay *replay;
    bool is_built;
    struct run_state_manager *manager;
    struct run_view *view;
    struct tree_document document;
    size_t held; /* of the account */
};

static void account(struct replay_reply *reply)
{
    size_t bytes = reply->replay == NULL ? 0 : replay_bytes(reply->replay);

    if (reply->manager != NULL)
        bytes += run_state_manager_bytes(reply->manager);
    if (reply->view != NULL)
        bytes += run_view_bytes(reply->view);
    if (reply->document.reading != NULL)
        bytes += view_reading_bytes(reply->document.reading);
    memory_hold(reply->cell->options.memory, MEMORY_READS, &reply->held, bytes);
}

static void end_reply(void *arg)
{
    struct replay_reply *reply = arg;

    view_reading_free(reply->document.reading);
    run_view_free(reply->view);
    run_state_manager_free(reply->manager);
    replay_free(reply->replay);
    memory_hold(reply->cell->options.memory, MEMORY_READS, &reply->held, 0);
    free(reply);
}

static void fail_reply(struct replay_reply *reply, int status)
{
    reply_unavailable(reply->request, status);
    end_reply(reply);
}

/* -------- the document -------- */

/* 1: the tree is there; 0: go on in the next piece; -ENOMEM. */
static int build(struct replay_reply *reply)
{
    int status = reply->is_built ? 1
                                 : replay_build(reply->replay, reply->manager, BUILT_AT_ONCE,
                                                reply->query.until_revision);

    if (status != 1)
        return status;
    reply->is_built = true;
    if (reply->view == NULL) {
        replay_free(reply->replay);
        reply->replay = NULL;
        reply->view = run_view_new(reply->manager, &reply->filter);
    }
    if (reply->view == NULL)
        return -ENOMEM;
    status = run_view_sync(reply->view);
    if (status != 0)
        return status == 1 ? 0 : status;
    reply->document.reading = view_reading_new(reply->view);
    return reply->document.reading == NULL ? -ENOMEM : 1;
}

static int next_piece(void *arg, struct buffer *piece)
{
    struct replay_reply *reply = arg;
    int status = reply->document.reading == NULL ? build(reply) : 1;

    if (status == 1)
        status = tree_document_next(&reply->document, piece);
    account(reply);
    return status;
}

static void start_document(struct replay_reply *reply)
{
    static const struct reply_source source = {.next = next_piece, .end = end_reply};
    const size_t wanted = replay_tree_bytes(reply->replay);

    reply->manager = run_state_manager_new();
    if (reply->manager == NULL)
        fail_reply(reply, -ENOMEM);
    else if (!memory_has_room(reply->cell->options.memory, wanted))
        fail_reply(reply, -ENOBUFS);
    else
        reply_pieces(reply->request, 200, "application/json", &source, reply);
}

/* -------- the events -------- */

static void on_run_event(void *arg, const struct event_action *action,
                         const struct stored_event *event)
{
    struct replay_reply *reply = arg;
    const struct replayed_event replayed = {.name = action->name,
                                            .parent = action->parent,
                                            .abort_requested = action->abort_requested,
                                            .abort_revision = action->abort_revision,
                                            .attempt = event->attempt,
                                            .phase = event->phase,
                                            .version = event->version,
                                            .revision = event->revision,
                                            .updated_us = event->updated_us,
                                            .info = event->info};

    reply->query.after.revision = event->revision;
    reply->query.after.attempt = event->attempt;
    reply->query.after.phase = event->phase;
    reply->query.after.version = event->version;
    reply->goes_on = event->goes_on;
    reply->is_out_of_memory |= replay_add(reply->replay, &replayed) < 0;
}

static void reply_not_found(struct replay_reply *reply)
{
    reply_problemf(reply->request, PROBLEM_NOT_FOUND, NULL, "There is no such run.");
    end_reply(reply);
}

static void read_run(struct replay_reply *reply, repo_end_fn *on_end);

/* Behind the last event: of a run that was deleted meanwhile not all have come. */
static void on_run_checked(void *arg, enum repo_outcome outcome, const char *message)
{
    struct replay_reply *reply = arg;

    if (outcome != REPO_OK) {
        reply_repo_failure(reply->request, outcome, message);
        end_reply(reply);
    } else if (!reply->is_found) {
        reply_not_found(reply);
    } else {
        start_document(reply);
    }
}

static void on_events_end(void *arg, enum repo_outcome outcome, const char *message);

static void read_events(struct replay_reply *reply)
{
    int status = -ENOBUFS;

    reply->goes_on = false;
    if (memory_has_room(reply->cell->options.memory, REPO_PAGE_BYTES))
        status = action_repo_run_events(reply->cell->repo, &reply->query, on_run_event,
                                        on_events_end, reply);
    if (status < 0)
        fail_reply(reply, status);
}

static void on_events_end(void *arg, enum repo_outcome outcome, const char *message)
{
    struct replay_reply *reply = arg;

    account(reply);
    if (outcome != REPO_OK) {
        reply_repo_failure(reply->request, outcome, message);
        end_reply(reply);
    } else if (reply->is_out_of_memory) {
        fail_reply(reply, -ENOMEM);
    } else if (reply->goes_on) {
        read_events(reply);
    } else {
        read_run(reply, on_run_checked);
    }
}

/* -------- the run -------- */

static void on_run(void *arg, const struct run *run)
{
    struct replay_reply *reply = arg;

    reply->is_found =
        reply->incarnation[0] == '\0' || strcmp(reply->incarnation, run->incarnation) == 0;
    memcpy(reply->incarnation, run->incarnation, sizeof reply->incarnation);
    reply->run_revision = run->revision;
}

static void read_run(struct replay_reply *reply, repo_end_fn *on_end)
{
    int status;

    reply->is_found = false;
    status = action_repo_get_run(reply->cell->repo, &reply->query.run, on_run, on_end, reply);
    if (status < 0)
        fail_reply(reply, status);
}

static void on_run_read(void *arg, enum repo_outcome outcome, const char *message)
{
    struct replay_reply *reply = arg;

    if (outcome != REPO_OK) {
        reply_repo_failure(reply->request, outcome, message);
        end_reply(reply);
        return;
    }
    if (!reply->is_found) {
        reply_not_found(reply);
        return;
    }
    if (reply->at_us != TIME_NONE)
        reply->query.until_revision = reply->run_revision;
    if (reply->query.until_revision > reply->run_revision) {
        reply_problemf(reply->request, PROBLEM_INVALID_FIELD, NULL,
                       "Query parameter at: must be at most %lld, the run's revision now.",
                       (long long)reply->run_revision);
        end_reply(reply);
        return;
    }
    read_events(reply);
}

/* Answers show times in milliseconds, rounded down: at such a time all of that millisecond has
 * happened. */
static int64_t end_of_millisecond(int64_t time_us)
{
    int64_t behind_us = time_us % US_PER_MS;

    return time_us - (behind_us < 0 ? behind_us + US_PER_MS : behind_us) + US_PER_MS - 1;
}

void reply_replayed_tree(struct cell *cell, struct http_request *request, const struct run_key *run,
                         const struct filter *filter, const char *at)
{
    int64_t revision = 0, at_us = TIME_NONE;
    struct replay_reply *reply;

    if (!parse_number(at, 0, INT64_MAX, &revision) && timestamp_parse(at, strlen(at), &at_us) < 0) {
        refuse_parameter(request, "at", "must be a revision, or an RFC 3339 time with a zone");
        return;
    }
    if (at_us != TIME_NONE)
        at_us = end_of_millisecond(at_us);
    reply = calloc(1, sizeof *reply);
    if (reply == NULL) {
        reply_unavailable(request, -ENOMEM);
        return;
    }
    *reply = (struct replay_reply){.cell = cell,
                                   .request = request,
                                   .filter = *filter,
                                   .at_us = at_us,
                                   .document.at_us = at_us,
                                   .query = {.client = repo_client_of(request),
                                             .run = *run,
                                             .until_revision = revision,
                                             .until_us = at_us,
                                             .limit = PAGE_EVENTS}};
    reply->replay = replay_new(&reply->query.run);
    if (reply->replay == NULL)
        fail_reply(reply, -ENOMEM);
    else
        read_run(reply, on_run_read);
}
