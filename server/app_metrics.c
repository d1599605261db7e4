/* What a loop's metrics are taken from. */
#include <time.h>

#include "server/app.h"
#include "watch/list_hub.h"
#include "watch/run_hub.h"
#include "watch/stream.h"

enum { SLOW_TURN_US = 100000 /* a turn of the loop that is worth a line in the log */ };

void app_count_request(struct app *app, const struct route *route, unsigned status,
                       uint64_t duration_ns)
{
    size_t index = route == NULL ? ROUTES_MAX : (size_t)(route - app->shared->routes);

    metrics_observe_request(app->metrics, index, status, (double)duration_ns / 1e9);
}

static size_t usable_connections(const struct app *app)
{
    size_t count = 0;

    if (app->writers != NULL)
        count += event_writers_usable(app->writers);
    if (app->repo != NULL)
        count += action_repo_connections_ready(app->repo) +
                 action_repo_connections_ready(app->live_repo);
    if (app->listener != NULL)
        count += notify_listener_is_on(app->listener);
    if (app->remover != NULL)
        count += run_remover_is_ready(app->remover);
    return count;
}

void app_collect_metrics(struct app *app)
{
    struct metrics *metrics = app->metrics;
    struct streams_stats streams = streams_stats(app->streams);
    uint64_t resets = 0;

    metrics_set(metrics, METRIC_CONNECTIONS, http_server_connections(app->http));
    metrics_set(metrics, METRIC_STREAMS, streams.count);
    metrics_set(metrics, METRIC_STREAMS_OPENED, streams.opened);
    metrics_set(metrics, METRIC_STREAMS_STALLED, streams.stalled);
    metrics_set(metrics, METRIC_STREAM_FRAMES, streams.frames);
    metrics_set(metrics, METRIC_STREAM_FRAMES_COMPRESSED, streams.compressed);
    metrics_set(metrics, METRIC_STREAM_BYTES, streams.bytes);
    if (app->hubs != NULL) {
        struct run_hubs_stats hubs = run_hubs_stats(app->hubs);

        metrics_set(metrics, METRIC_HUBS, hubs.hubs);
        metrics_set(metrics, METRIC_VIEWS, hubs.views);
        metrics_set(metrics, METRIC_NODES, hubs.nodes);
        metrics_set(metrics, METRIC_HUB_READS, hubs.reads);
        metrics_set(metrics, METRIC_HUB_POLLED, hubs.polled);
        resets += hubs.resets;
    }
    if (app->list_hub != NULL) {
        struct list_hub_stats list = list_hub_stats(app->list_hub);

        metrics_set(metrics, METRIC_LIST_VIEWS, list.views);
        metrics_set(metrics, METRIC_LIST_RUNS, list.runs);
        metrics_set(metrics, METRIC_LIST_READS, list.reads);
        resets += list.resets;
    }
    metrics_set(metrics, METRIC_HUB_RESETS, resets);
    if (app->writers != NULL)
        metrics_set(metrics, METRIC_WRITE_QUEUE_BYTES, event_writers_queued_bytes(app->writers));
    if (app->repo != NULL)
        metrics_set(metrics, METRIC_READ_QUEUE,
                    action_repo_queued(app->repo) + action_repo_queued(app->live_repo));
    if (app->listener != NULL)
        metrics_set(metrics, METRIC_NOTIFICATION_QUEUE_MILLIONTHS,
                    (uint64_t)(notify_listener_queue_usage(app->listener) * 1e6));
    metrics_set(metrics, METRIC_DATABASE_CONNECTIONS, usable_connections(app));
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec spent;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return (uint64_t)spent.tv_sec * 1000000000 + (uint64_t)spent.tv_nsec;
}

static void raise_to(struct metrics *metrics, enum metric metric, uint64_t value)
{
    if (value > metrics->values[metric])
        metrics_set(metrics, metric, value);
}

void app_note_turn(struct app *app, struct app_turn *turn)
{
    uint64_t at_ns = uv_hrtime(), cpu_ns = thread_cpu_ns();
    uint64_t idle_ns = uv_metrics_idle_time(app->loop);
    uint64_t turn_us = (at_ns - turn->at_ns - (idle_ns - turn->idle_ns)) / 1000;

    if (turn->at_ns != 0) {
        metrics_observe(app->metrics, HISTOGRAM_TURN, (double)turn_us / 1e6);
        raise_to(app->metrics, METRIC_LOOP_BLOCKED_MAX_US, turn_us);
        raise_to(app->metrics, METRIC_LOOP_CPU_MAX_US, (cpu_ns - turn->cpu_ns) / 1000);
        if (turn_us > SLOW_TURN_US)
            log_write(app->shared->log, LOG_WARNING, "a turn of the loop took long", "s:I",
                      "microseconds", (json_int_t)turn_us);
    }
    turn->at_ns = at_ns;
    turn->cpu_ns = cpu_ns;
    turn->idle_ns = idle_ns;
}
