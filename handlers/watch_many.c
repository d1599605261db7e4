/* Watching many runs and lists on one stream. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "handlers/handlers.h"
#include "handlers/parameters.h"
#include "handlers/run_cells.h"
#include "handlers/stream_request.h"
#include "model/subscription.h"
#include "model/watch_id.h"
#include "server/http.h"
#include "watch/multiplexer.h"

struct many_watch {
    struct app *app;
    struct http_request *request;
    struct multiplexer *multiplexer;
    struct frame *head;
    bool follow;
    size_t count;
    struct subscription subscriptions[SUBSCRIPTIONS_MAX];
    struct watch_id id; /* empty if there is none, or one that makes no sense */
};

static void watch_free(struct many_watch *watch)
{
    for (size_t i = 0; i < watch->count; i++)
        subscription_clear(&watch->subscriptions[i]);
    multiplexer_free(watch->multiplexer);
    free(watch);
}

/* -------- what is asked for -------- */

static int refuse(const struct many_watch *watch, const char *parameter, const char *text,
                  const char *why)
{
    reply_problemf(watch->request, PROBLEM_INVALID_FIELD, NULL, "Query parameter %s: \"%s\" %s.",
                   parameter, text, why);
    return -1;
}

/* The whole project and domain of a list are asked for as its own route asks: what is named must
 * be allowed; any of them are those that are. */
static int check_access(const struct many_watch *watch, const struct subscription *subscription)
{
    const struct run_key *key = &subscription->key;

    if (key->project[0] == '\0' || key->domain[0] == '\0' ||
        access_allows(http_request_access(watch->request), ACCESS_READ, key->project, key->domain))
        return 0;
    reply_forbidden(watch->request, "read", key->project, key->domain);
    return -1;
}

static int read_subscription(struct many_watch *watch, enum subscription_kind kind,
                             const struct uri_parameter *parameter)
{
    struct subscription *subscription = &watch->subscriptions[watch->count];
    char why[SUBSCRIPTION_WHY_SIZE];
    int status;

    if (watch->count == SUBSCRIPTIONS_MAX)
        return refuse(watch, parameter->name, parameter->value,
                      "is one more than the 100 that one stream may have");
    status = subscription_parse(subscription, kind, parameter->value, why);
    if (status == -ENOMEM) {
        reply_unavailable(watch->request, status);
        return -1;
    }
    if (status < 0)
        return refuse(watch, parameter->name, parameter->value, why);
    watch->count++;
    for (size_t i = 0; i + 1 < watch->count; i++)
        if (subscription_equal(&watch->subscriptions[i], subscription))
            return refuse(watch, parameter->name, parameter->value, "is there twice");
    return check_access(watch, subscription);
}

/* An id must fit into the head of the request that brings it back. */
static int check_positions(const struct many_watch *watch)
{
    size_t positions = 0;

    for (size_t i = 0; i < watch->count; i++)
        positions += watch->subscriptions[i].kind == SUBSCRIPTION_RUN ? 1 : watch->app->cell_count;
    if (positions <= WATCH_POSITIONS_MAX)
        return 0;
    reply_problemf(watch->request, PROBLEM_INVALID_FIELD, NULL,
                   "Query parameters run, list: one stream may have %d, where each list counts as "
                   "many as there are cells (%zu).",
                   WATCH_POSITIONS_MAX, watch->app->cell_count);
    return -1;
}

static int read_subscriptions(struct many_watch *watch)
{
    const struct uri *uri = http_request_uri(watch->request);

    for (size_t i = 0; i < uri->parameter_count; i++) {
        const struct uri_parameter *parameter = &uri->parameters[i];
        bool is_run = strcmp(parameter->name, "run") == 0;

        if ((is_run || strcmp(parameter->name, "list") == 0) &&
            read_subscription(watch, is_run ? SUBSCRIPTION_RUN : SUBSCRIPTION_LIST, parameter) < 0)
            return -1;
    }
    if (watch->count > 0)
        return check_positions(watch);
    reply_problemf(watch->request, PROBLEM_INVALID_FIELD, NULL,
                   "Query parameters run, list: there must be at least one.");
    return -1;
}

/* -------- the stream -------- */

static void on_detached(void *arg, int fd)
{
    struct many_watch *watch = arg;
    struct stream *stream = NULL;

    if (fd >= 0) {
        stream = multiplexer_add_stream(watch->multiplexer, watch->app->streams, fd, watch->head);
        watch->multiplexer = NULL;
    } else {
        frame_release(watch->head);
    }
    stream_belongs_to(stream, watch->request);
    watch_free(watch);
}

static void open_stream(struct many_watch *watch)
{
    if (stream_detach(watch->request, &watch->head, on_detached, watch) < 0)
        watch_free(watch);
}

/* A client that knows that all of it has ended is told so by the status, which stops an
 * EventSource. */
static void on_read(void *arg, bool has_news)
{
    struct many_watch *watch = arg;

    if (has_news) {
        open_stream(watch);
        return;
    }
    reply_empty(watch->request, 204);
    watch_free(watch);
}

static int subscribe_to_run(struct many_watch *watch, const struct subscription *subscription)
{
    struct run_place place;
    bool is_known = places_get(watch->app->places, &subscription->key, &place) == 0;
    struct cell *cell = place.cell == NULL ? watch->app->cells[0] : place.cell;

    return multiplexer_add_run(watch->multiplexer, cell, !is_known || !place.may_create,
                               &subscription->key, &subscription->filter, subscription->text,
                               &watch->id);
}

static int subscribe(struct many_watch *watch, const struct subscription *subscription)
{
    struct list_filter filter = {.filter = subscription->filter,
                                 .access = http_request_access(watch->request)};

    if (subscription->kind == SUBSCRIPTION_RUN)
        return subscribe_to_run(watch, subscription);
    memcpy(filter.labels, subscription->labels, sizeof filter.labels);
    snprintf(filter.project, sizeof filter.project, "%s", subscription->key.project);
    snprintf(filter.domain, sizeof filter.domain, "%s", subscription->key.domain);
    return multiplexer_add_list(watch->multiplexer, &filter, subscription->limit,
                                subscription->text, &watch->id);
}

static void read_last_event_id(struct many_watch *watch)
{
    const char *text = stream_last_event_id(watch->request);
    bool is_valid = text != NULL && watch_id_parse(text, &watch->id) == 0;

    if (!is_valid)
        watch->id.count = 0;
    if (text != NULL)
        metrics_add(watch->app->metrics, is_valid ? METRIC_STREAMS_RESUMED : METRIC_STREAMS_RESET,
                    1);
}

static int subscribe_all(struct many_watch *watch)
{
    const struct multiplexer_options options = {.loop = watch->app->loop,
                                                .memory = watch->app->shared->memory,
                                                .cells = watch->app->cells,
                                                .cell_count = watch->app->cell_count,
                                                .is_following = watch->follow};
    int status;

    read_last_event_id(watch);
    watch->multiplexer = multiplexer_new(&options);
    status = watch->multiplexer == NULL ? -ENOMEM : 0;
    for (size_t i = 0; i < watch->count && status == 0; i++)
        status = subscribe(watch, &watch->subscriptions[i]);
    return status;
}

static void start(void *arg)
{
    struct many_watch *watch = arg;
    struct app *app = watch->app;
    int status = -ENOBUFS;

    if (!stream_has_cell(app))
        status = -ENOTCONN;
    else if (memory_has_room(app->shared->memory, 0))
        status = subscribe_all(watch);
    if (status < 0) {
        reply_unavailable(watch->request, status);
        watch_free(watch);
    } else if (!watch->follow && multiplexer_was_ended(watch->multiplexer)) {
        multiplexer_when_read(watch->multiplexer, on_read, watch);
    } else {
        open_stream(watch);
    }
}

static void drop(void *arg)
{
    watch_free(arg);
}

static void find_runs(struct many_watch *watch)
{
    struct run_key runs[SUBSCRIPTIONS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < watch->count; i++)
        if (watch->subscriptions[i].kind == SUBSCRIPTION_RUN)
            runs[count++] = watch->subscriptions[i].key;
    when_runs_are_found(watch->request, runs, count, start, drop, watch);
}

void handle_watch_many(struct app *app, struct http_request *request)
{
    struct many_watch *watch = calloc(1, sizeof *watch);

    if (watch == NULL) {
        reply_unavailable(request, -ENOMEM);
        return;
    }
    watch->app = app;
    watch->request = request;
    if (read_flag(request, "follow", &watch->follow) < 0 || read_subscriptions(watch) < 0 ||
        !stream_admit(app, request)) {
        watch_free(watch);
    } else if (http_request_is_head(request)) {
        reply_stream_head_only(request);
        watch_free(watch);
    } else {
        find_runs(watch);
    }
}
