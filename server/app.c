#include "server/app.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sql/migrate.h"
#include "watch/channel.h"
#include "watch/list_hub.h"
#include "watch/run_hub.h"
#include "watch/stream.h"

enum {
    MIGRATE_RETRY_MS = 1000,
    WRITE_RETRY_FOR_MS = 5000, /* how long events in flight wait for a broken connection */
    FINISH_MS = 7000,          /* how long requests in flight may take at the end */
    GOODBYE_MS = 500,          /* how long streams may take to read their last frame */
    COLLECT_MS = 250,          /* how old another loop's gauges may be in a scrape */
    CLIENT_READERS = 2,        /* connections: a long read leaves the other to the others */
    LIVE_READERS = 1,          /* in the order of asking */
    SLOW_TURN_US = 100000,     /* a turn of the loop that is worth a line in the log */
};

struct app_runner {
    struct app app; /* the first member: runner_of */
    pthread_t thread;
    bool has_thread;
    uv_loop_t loop;
    uv_prepare_t before_wait;
    uv_idle_t busy; /* active while work is left for the next turn */
    uv_async_t stop;
    uv_async_t reload;
    _Atomic(struct auth_keys *) next_keys; /* to be used from now on; NULL: none */
    uv_timer_t timer;                      /* migration's retry, later the stages of the end */
    uv_timer_t collect;
    uv_work_t migration;
    bool is_migrating;
    char migrate_why[APP_WHY_SIZE];
    int migrate_status;
    struct {
        uint64_t at_ns, idle_ns, cpu_ns; /* when the last turn ended: the clock, sums until then */
    } turn;
    uint64_t finish_until_ms;
};

/* -------- once per turn -------- */

static uint64_t thread_cpu_ns(void)
{
    struct timespec spent;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return (uint64_t)spent.tv_sec * 1000000000 + (uint64_t)spent.tv_nsec;
}

/* At the end of each turn, which is everything between two waits, what the waiting call itself
 * called back included: how long it took. */
static void note_turn(struct app_runner *runner)
{
    const struct app *app = &runner->app;
    uint64_t at_ns = uv_hrtime(), cpu_ns = thread_cpu_ns();
    uint64_t idle_ns = uv_metrics_idle_time(app->loop);
    uint64_t turn_us = (at_ns - runner->turn.at_ns - (idle_ns - runner->turn.idle_ns)) / 1000;

    if (runner->turn.at_ns != 0) {
        metrics_observe(app->metrics, HISTOGRAM_TURN, (double)turn_us / 1e6);
        metrics_raise(app->metrics, METRIC_LOOP_BLOCKED_MAX_US, turn_us);
        metrics_raise(app->metrics, METRIC_LOOP_CPU_MAX_US, (cpu_ns - runner->turn.cpu_ns) / 1000);
        if (turn_us > SLOW_TURN_US)
            log_write(app->shared->log, LOG_WARNING, "a turn of the loop took long", "s:I",
                      "microseconds", (json_int_t)turn_us);
    }
    runner->turn.at_ns = at_ns;
    runner->turn.cpu_ns = cpu_ns;
    runner->turn.idle_ns = idle_ns;
}

static void keep_turning(uv_idle_t *idle)
{
    (void)idle;
}

/* What happens once per turn of the loop, in this order: what requests brought goes to the
 * database, what the database brought goes to the streams, and answers go out. */
static void before_wait(uv_prepare_t *prepare)
{
    struct app_runner *runner = prepare->data;
    struct app *app = &runner->app;

    if (app->due.http)
        http_server_run(app->http);
    if (app->due.writers)
        event_writers_run(app->writers);
    if (app->due.hubs)
        run_hubs_run(app->hubs);
    if (app->due.list_hub)
        list_hub_run(app->list_hub);
    if (app->due.streams)
        streams_run(app->streams);
    if (app->due.http || app->due.writers || app->due.hubs || app->due.list_hub || app->due.streams)
        uv_idle_start(&runner->busy, keep_turning);
    else
        uv_idle_stop(&runner->busy);
    note_turn(runner);
}

/* -------- metrics -------- */

static size_t usable_connections(const struct app *app)
{
    return event_writers_usable(app->writers) + action_repo_connections_ready(app->repo) +
           action_repo_connections_ready(app->live_repo) + notify_listener_is_on(app->listener) +
           run_remover_is_ready(app->remover);
}

static void collect_of_database(struct app *app)
{
    struct metrics *metrics = app->metrics;
    struct run_hubs_stats hubs = run_hubs_stats(app->hubs);
    struct list_hub_stats list = list_hub_stats(app->list_hub);

    metrics_set(metrics, METRIC_HUBS, hubs.hubs);
    metrics_set(metrics, METRIC_VIEWS, hubs.views);
    metrics_set(metrics, METRIC_NODES, hubs.nodes);
    metrics_set(metrics, METRIC_HUB_READS, hubs.reads);
    metrics_set(metrics, METRIC_HUB_POLLED, hubs.polled);
    metrics_set(metrics, METRIC_LIST_VIEWS, list.views);
    metrics_set(metrics, METRIC_LIST_RUNS, list.runs);
    metrics_set(metrics, METRIC_LIST_READS, list.reads);
    metrics_set(metrics, METRIC_HUB_RESETS, hubs.resets + list.resets);
    metrics_set(metrics, METRIC_WRITE_QUEUE_BYTES, event_writers_queued_bytes(app->writers));
    metrics_set(metrics, METRIC_READ_QUEUE,
                action_repo_queued(app->repo) + action_repo_queued(app->live_repo));
    metrics_set(metrics, METRIC_NOTIFICATION_QUEUE_MILLIONTHS,
                (uint64_t)(notify_listener_queue_usage(app->listener) * 1e6));
    metrics_set(metrics, METRIC_DATABASE_CONNECTIONS, usable_connections(app));
}

void app_collect_metrics(struct app *app)
{
    struct metrics *metrics = app->metrics;
    struct streams_stats streams = streams_stats(app->streams);

    metrics_set(metrics, METRIC_CONNECTIONS, http_server_connections(app->http));
    metrics_set(metrics, METRIC_STREAMS, streams.count);
    metrics_set(metrics, METRIC_STREAMS_OPENED, streams.opened);
    metrics_set(metrics, METRIC_STREAMS_STALLED, streams.stalled);
    metrics_set(metrics, METRIC_STREAM_FRAMES, streams.frames);
    metrics_set(metrics, METRIC_STREAM_FRAMES_COMPRESSED, streams.compressed);
    metrics_set(metrics, METRIC_STREAM_BYTES, streams.bytes);
    if (app->has_database)
        collect_of_database(app);
}

/* A scrape on another loop finds our gauges as we left them. */
static void on_collect(uv_timer_t *timer)
{
    struct app_runner *runner = timer->data;

    app_collect_metrics(&runner->app);
}

/* -------- what the database says -------- */

static void note_lost(struct app *app, const char *what, const char *why)
{
    if (strcmp(app->not_ready_why, why) != 0)
        log_write(app->shared->log, LOG_WARNING, "database connection lost", "s:s, s:s",
                  "connection", what, "why", why);
    metrics_add(app->metrics, METRIC_DATABASE_LOST, 1);
    snprintf(app->not_ready_why, sizeof app->not_ready_why, "%s", why);
}

static void on_writer_lost(void *arg, const char *why)
{
    note_lost(arg, "writer", why);
}

static void on_write_refused(void *arg, size_t count, const char *sqlstate, const char *message)
{
    struct app *app = arg;

    metrics_add(app->metrics, METRIC_WRITE_REFUSED, 1);
    log_write(app->shared->log, LOG_WARNING, "the database refused a batch", "s:I, s:s, s:s?",
              "events", (json_int_t)count, "sqlstate", sqlstate, "why", message);
}

static void on_write_conflict(void *arg, size_t count)
{
    struct app *app = arg;

    (void)count;
    metrics_add(app->metrics, METRIC_WRITE_CONFLICTS, 1);
}

static void on_committed(void *arg, size_t count, uint64_t duration_ns)
{
    struct app *app = arg;

    metrics_add(app->metrics, METRIC_WRITE_BATCHES, 1);
    metrics_observe(app->metrics, HISTOGRAM_COMMIT, (double)duration_ns / 1e9);
    metrics_observe(app->metrics, HISTOGRAM_BATCH, (double)count);
}

static void on_live_repo_ready(void *arg)
{
    struct app *app = arg;

    if (!app->has_database)
        return;
    run_hubs_read_all(app->hubs);
    list_hub_read_all(app->list_hub);
}

static void on_repo_lost(void *arg, const char *why)
{
    note_lost(arg, "reader", why);
}

static void on_run_changed(void *arg, const struct run_notification *notification)
{
    struct app *app = arg;

    metrics_add(app->metrics, METRIC_NOTIFICATIONS, 1);
    run_hubs_hear(app->hubs, &notification->run, notification->revision);
    list_hub_hear(app->list_hub, notification);
}

static void on_listening(void *arg, uint32_t timeline)
{
    struct app *app = arg;

    log_write(app->shared->log, LOG_INFO, "listening to the database", "s:I", "timeline",
              (json_int_t)timeline);
    app->not_ready_why[0] = '\0';
    run_hubs_read_all(app->hubs);
    list_hub_read_all(app->list_hub);
}

static void on_listener_lost(void *arg, const char *why)
{
    note_lost(arg, "listener", why);
}

static void on_run_removed(void *arg, const struct run_key *run)
{
    struct app *app = arg;

    metrics_add(app->metrics, METRIC_RUNS_REMOVED, 1);
    log_write(app->shared->log, LOG_INFO, "run deleted", "s:s, s:s, s:s", "project", run->project,
              "domain", run->domain, "run", run->run_name);
}

static void on_removal_refused(void *arg, const char *message)
{
    struct app *app = arg;

    log_write(app->shared->log, LOG_ERROR, "the database refused to delete a run", "s:s?", "why",
              message);
}

static void on_abandoned(void *arg, size_t count)
{
    struct app *app = arg;

    metrics_add(app->metrics, METRIC_ACTIONS_ABANDONED, count);
}

/* -------- starting -------- */

/* One loop of a process looks for what has to be done some time. */
static bool is_first(const struct app *app)
{
    return app->metrics == app->shared->metrics[0];
}

/* All delete on demand. */
static int64_t retention_us(const struct app *app)
{
    return is_first(app) ? app->shared->config->retention_days * INT64_C(86400000000) : 0;
}

static int start_abandoner(struct app *app)
{
    const struct abandoner_options options = {
        .repo = app->repo,
        .writers = app->writers,
        .after_us = is_first(app) ? app->shared->config->abandoned_after_s * INT64_C(1000000) : 0,
        .on_abandoned = on_abandoned,
        .arg = app,
    };

    app->abandoner = abandoner_new(app->loop, &options);
    return app->abandoner == NULL ? -ENOMEM : 0;
}

int app_database_connections(const struct config *config)
{
    enum { OTHERS = CLIENT_READERS + LIVE_READERS + 2 }; /* the listener and the remover */

    return (int)(config->threads * (config->writer_connections + OTHERS));
}

static int start_database_objects(struct app *app)
{
    static const struct action_repo_events repo_events = {.on_lost = on_repo_lost};
    static const struct action_repo_events live_repo_events = {.on_ready = on_live_repo_ready,
                                                               .on_lost = on_repo_lost};
    static const struct event_writers_events writer_events = {.on_lost = on_writer_lost,
                                                              .on_refused = on_write_refused,
                                                              .on_conflict = on_write_conflict,
                                                              .on_committed = on_committed};
    static const struct notify_listener_events listener_events = {.on_run_changed = on_run_changed,
                                                                  .on_listening = on_listening,
                                                                  .on_lost = on_listener_lost};
    static const struct run_remover_events remover_events = {.on_removed = on_run_removed,
                                                             .on_refused = on_removal_refused};
    const struct config *config = app->shared->config;
    const char *url = app->shared->database_url;
    const struct event_writers_options writer_options = {
        .url = url,
        .connections = (int)config->writer_connections,
        .queue_bytes_max = (size_t)config->write_queue_bytes,
        .retry_for_ms = WRITE_RETRY_FOR_MS,
        .is_due = &app->due.writers,
    };
    const struct action_repo_options repo_options = {
        .url = url,
        .connections = CLIENT_READERS,
        .reads_max = (size_t)config->read_queue_max,
        .read_max_ms = APP_READ_MAX_MS,
    };
    const struct action_repo_options live_repo_options = {
        .url = url, .connections = LIVE_READERS, .reads_max = (size_t)config->read_queue_max};
    const struct run_hubs_options hub_options = {
        .flush_interval_ms = (uint64_t)config->flush_interval_ms,
        .linger_ms = (uint64_t)config->hub_linger_ms,
        .memory = app->shared->memory,
        .metrics = app->metrics,
        .channels = app->channels,
        .is_due = &app->due.hubs,
    };
    const struct list_hub_options list_hub_options = {
        .flush_interval_ms = (uint64_t)config->flush_interval_ms,
        .linger_ms = (uint64_t)config->hub_linger_ms,
        .memory = app->shared->memory,
        .metrics = app->metrics,
        .channels = app->channels,
        .is_due = &app->due.list_hub,
    };

    app->live_repo = action_repo_new(app->loop, &live_repo_options, &live_repo_events, app);
    if (app->live_repo == NULL)
        return -ENOMEM;
    app->repo = action_repo_new(app->loop, &repo_options, &repo_events, app);
    if (app->repo == NULL)
        return -ENOMEM;
    app->hubs = run_hubs_new(app->loop, app->live_repo, &hub_options, app->shared->log);
    if (app->hubs == NULL)
        return -ENOMEM;
    app->list_hub = list_hub_new(app->loop, app->live_repo, &list_hub_options, app->shared->log);
    if (app->list_hub == NULL)
        return -ENOMEM;
    app->writers = event_writers_new(app->loop, &writer_options, &writer_events, app);
    if (app->writers == NULL)
        return -ENOMEM;
    app->listener = notify_listener_new(app->loop, url, &listener_events, app);
    if (app->listener == NULL)
        return -ENOMEM;
    app->remover = run_remover_new(app->loop, url, retention_us(app), &remover_events, app);
    return app->remover == NULL ? -ENOMEM : start_abandoner(app);
}

static void start_migration(struct app_runner *runner);

static void on_migrate_retry(uv_timer_t *timer)
{
    start_migration(timer->data);
}

/* On a worker thread, because it blocks. */
static void migrate_work(uv_work_t *work)
{
    struct app_runner *runner = work->data;

    runner->migrate_status = migrate_database(runner->app.shared->database_url, runner->migrate_why,
                                              sizeof runner->migrate_why);
}

static void after_migrate(uv_work_t *work, int status)
{
    struct app_runner *runner = work->data;
    struct app *app = &runner->app;

    (void)status;
    runner->is_migrating = false;
    if (app->is_draining)
        return;
    if (runner->migrate_status == 0) {
        log_write(app->shared->log, LOG_INFO, "schema is current", "");
        app->has_database = start_database_objects(app) == 0;
        if (app->has_database) {
            http_server_use_database(app->http);
        } else {
            log_write(app->shared->log, LOG_ERROR, "out of memory at the start", "");
            kill(getpid(), SIGTERM);
        }
        return;
    }
    if (strcmp(app->not_ready_why, runner->migrate_why) != 0)
        log_write(app->shared->log, LOG_ERROR, "the database is not usable", "s:s", "why",
                  runner->migrate_why);
    snprintf(app->not_ready_why, sizeof app->not_ready_why, "%s", runner->migrate_why);
    uv_timer_start(&runner->timer, on_migrate_retry, MIGRATE_RETRY_MS, 0);
}

static void start_migration(struct app_runner *runner)
{
    runner->migration.data = runner;
    runner->is_migrating = true;
    uv_queue_work(&runner->loop, &runner->migration, migrate_work, after_migrate);
}

/* -------- ending -------- */

static void close_own_handles(struct app_runner *runner)
{
    uv_close((uv_handle_t *)&runner->before_wait, NULL);
    uv_close((uv_handle_t *)&runner->busy, NULL);
    uv_close((uv_handle_t *)&runner->stop, NULL);
    uv_close((uv_handle_t *)&runner->reload, NULL);
    uv_close((uv_handle_t *)&runner->timer, NULL);
    uv_close((uv_handle_t *)&runner->collect, NULL);
}

/* What the database owes is called off first, so that every request that waits for it gets its
 * answer. When what was begun has ended, the loop is empty. */
static void stop_objects(struct app_runner *runner)
{
    struct app *app = &runner->app;

    close_own_handles(runner);
    if (app->hubs != NULL)
        run_hubs_abandon(app->hubs);
    if (app->abandoner != NULL)
        abandoner_stop(app->abandoner);
    if (app->remover != NULL)
        run_remover_stop(app->remover);
    if (app->listener != NULL)
        notify_listener_stop(app->listener);
    if (app->writers != NULL)
        event_writers_stop(app->writers);
    if (app->repo != NULL)
        action_repo_stop(app->repo);
    if (app->live_repo != NULL)
        action_repo_stop(app->live_repo);
    if (app->http != NULL)
        http_server_stop(app->http);
    if (app->streams != NULL)
        streams_stop(app->streams);
    if (app->list_hub != NULL)
        list_hub_stop(app->list_hub);
    if (app->hubs != NULL)
        run_hubs_stop(app->hubs);
}

/* In the reverse order of their start. */
static void free_objects(struct app_runner *runner)
{
    struct app *app = &runner->app;

    abandoner_free(app->abandoner);
    run_remover_free(app->remover);
    notify_listener_free(app->listener);
    event_writers_free(app->writers);
    list_hub_free(app->list_hub);
    run_hubs_free(app->hubs);
    action_repo_free(app->repo);
    action_repo_free(app->live_repo);
    http_server_free(app->http);
    streams_free(app->streams);
    rate_limits_free(app->rate_limits);
    auth_keys_free(runner->next_keys);
    auth_free(app->auth);
    channels_free(app->channels);
    gzip_packer_free(app->packer);
}

/* Requests under way get their answers, streams their last frame; then the end. */
static void on_finish_tick(uv_timer_t *timer)
{
    struct app_runner *runner = timer->data;
    struct app *app = &runner->app;
    bool is_done = http_server_active(app->http) == 0 && !runner->is_migrating &&
                   streams_stats(app->streams).count == 0;

    if (!is_done && uv_now(app->loop) < runner->finish_until_ms)
        return;
    uv_timer_stop(timer);
    stop_objects(runner);
}

static void on_drained(uv_timer_t *timer)
{
    struct app_runner *runner = timer->data;
    struct app *app = &runner->app;
    bool has_streams = streams_stats(app->streams).count > 0;
    uint64_t goodbye_ms = has_streams ? (uint64_t)app->shared->config->goodbye_ms : 0;

    http_server_stop_listening(app->http);
    streams_dismiss(app->streams, goodbye_ms);
    runner->finish_until_ms = uv_now(app->loop) + goodbye_ms +
                              (http_server_active(app->http) > 0     ? FINISH_MS
                               : has_streams || runner->is_migrating ? GOODBYE_MS
                                                                     : 0);
    uv_timer_start(timer, on_finish_tick, 0, 20);
}

static void on_stop(uv_async_t *stop)
{
    struct app_runner *runner = stop->data;
    struct app *app = &runner->app;

    if (app->is_draining)
        return;
    app->is_draining = true;
    log_write(app->shared->log, LOG_INFO, "stopping", "");
    uv_timer_start(&runner->timer, on_drained, (uint64_t)app->shared->config->drain_ms, 0);
}

static struct app_runner *runner_of(struct app *app)
{
    return (struct app_runner *)app;
}

void app_stop(struct app *app)
{
    uv_async_send(&runner_of(app)->stop);
}

static void on_reload(uv_async_t *reload)
{
    struct app_runner *runner = reload->data;
    struct auth_keys *keys = atomic_exchange(&runner->next_keys, NULL);

    if (keys == NULL)
        return;
    auth_use_keys(runner->app.auth, keys);
    metrics_set(runner->app.metrics, METRIC_AUTH_KEYS, auth_keys_count(keys));
    log_write(runner->app.shared->log, LOG_INFO, "new keys are in use", "s:I", "keys",
              (json_int_t)auth_keys_count(keys));
}

void app_use_keys(struct app *app, struct auth_keys *keys)
{
    struct app_runner *runner = runner_of(app);

    auth_keys_free(atomic_exchange(&runner->next_keys, keys));
    uv_async_send(&runner->reload);
}

/* -------- the loop -------- */

static int start_streams(struct app *app)
{
    const struct config *config = app->shared->config;
    const struct streams_options options = {.heartbeat_ms = (uint64_t)config->heartbeat_ms,
                                            .stall_ms = (uint64_t)config->stall_ms,
                                            .packer = app->packer,
                                            .is_due = &app->due.streams};

    app->streams = streams_new(app->loop, &options);
    return app->streams == NULL ? -ENOMEM : 0;
}

static int start_http(struct app *app, int listen_fd, char *why, size_t why_size)
{
    const struct config *config = app->shared->config;
    const struct http_options options = {
        .listen_fd = listen_fd,
        .app = app,
        .routes = app->shared->routes,
        .problem_form = app->shared->problem_form,
        .log = app->shared->log,
        .memory = app->shared->memory,
        .metrics = app->metrics,
        .packer = app->packer,
        .auth = app->auth,
        .webhook_secrets = app->shared->webhook_secrets,
        .rate_limits = app->rate_limits,
        .cors_origins = config->cors_origins,
        .answers_to_any_name = config->insecure_listen_anywhere,
        .metrics_open = config->metrics_open,
        .connections_max = (unsigned)config->connections_max,
        .connections_per_address_max = (unsigned)config->connections_per_address_max,
        .request_timeout_ms = (uint64_t)config->request_timeout_ms,
        .is_due = &app->due.http,
    };

    app->http = http_server_new(app->loop, &options, why, why_size);
    return app->http == NULL ? -1 : 0;
}

static void start_handles(struct app_runner *runner)
{
    uv_loop_init(&runner->loop);
    uv_loop_configure(&runner->loop, UV_METRICS_IDLE_TIME);
    runner->app.loop = &runner->loop;
    uv_prepare_init(&runner->loop, &runner->before_wait);
    uv_idle_init(&runner->loop, &runner->busy);
    uv_timer_init(&runner->loop, &runner->timer);
    uv_timer_init(&runner->loop, &runner->collect);
    uv_async_init(&runner->loop, &runner->stop, on_stop);
    uv_async_init(&runner->loop, &runner->reload, on_reload);
    runner->before_wait.data = runner;
    runner->timer.data = runner->collect.data = runner->stop.data = runner->reload.data = runner;
}

/* 0, also if no tokens are asked for, or -ENOMEM. */
static int start_auth(struct app *app, struct auth_keys *keys)
{
    const struct config *config = app->shared->config;
    const struct auth_options options = {
        .issuer = config->auth_issuer,
        .audience = config->auth_audience,
        .claim = config->auth_claim,
        .leeway_s = config->auth_leeway_s,
    };

    if (keys == NULL)
        return 0;
    app->auth = auth_new(keys, &options);
    if (app->auth == NULL) {
        auth_keys_free(keys);
        return -ENOMEM;
    }
    metrics_set(app->metrics, METRIC_AUTH_KEYS, auth_keys_count(keys));
    return 0;
}

/* 0, also if there are no limits, or -ENOMEM. */
static int start_rate_limits(struct app *app)
{
    const struct config *config = app->shared->config;
    const struct rate_limits_options options = {
        .per_s = {[RATE_REQUESTS] = config->rate_limit_requests,
                  [RATE_EVENTS] = config->rate_limit_events}};

    if (config->rate_limit_requests == 0 && config->rate_limit_events == 0)
        return 0;
    app->rate_limits = rate_limits_new(&options);
    return app->rate_limits == NULL ? -ENOMEM : 0;
}

static int start_objects(struct app *app, int listen_fd, struct auth_keys *keys, char *why,
                         size_t why_size)
{
    app->packer = gzip_packer_new();
    app->channels = channels_new(app->shared->memory);
    if (start_auth(app, keys) == 0 && start_rate_limits(app) == 0 && app->packer != NULL &&
        app->channels != NULL && start_streams(app) == 0)
        return start_http(app, listen_fd, why, why_size);
    snprintf(why, why_size, "out of memory");
    close(listen_fd);
    return -1;
}

struct app *app_new(const struct app_shared *shared, struct metrics *metrics, int listen_fd,
                    struct auth_keys *keys, char *why, size_t why_size)
{
    struct app_runner *runner = calloc(1, sizeof *runner);

    if (runner == NULL) {
        snprintf(why, why_size, "out of memory");
        close(listen_fd);
        auth_keys_free(keys);
        return NULL;
    }
    runner->app.shared = shared;
    runner->app.metrics = metrics;
    snprintf(runner->app.not_ready_why, sizeof runner->app.not_ready_why,
             "The schema has not been checked yet.");
    start_handles(runner);
    if (start_objects(&runner->app, listen_fd, keys, why, why_size) < 0) {
        app_free(&runner->app);
        return NULL;
    }
    return &runner->app;
}

static void *run_loop(void *arg)
{
    struct app_runner *runner = arg;

    if (runner->app.shared->loops > 1)
        uv_timer_start(&runner->collect, on_collect, COLLECT_MS, COLLECT_MS);
    uv_prepare_start(&runner->before_wait, before_wait);
    start_migration(runner);
    uv_run(&runner->loop, UV_RUN_DEFAULT);
    return NULL;
}

int app_start(struct app *app)
{
    struct app_runner *runner = runner_of(app);

    if (pthread_create(&runner->thread, NULL, run_loop, runner) != 0)
        return -1;
    runner->has_thread = true;
    return 0;
}

void app_free(struct app *app)
{
    struct app_runner *runner = runner_of(app);

    if (runner->has_thread) {
        pthread_join(runner->thread, NULL);
    } else {
        stop_objects(runner);
        uv_run(&runner->loop, UV_RUN_DEFAULT);
    }
    uv_loop_close(&runner->loop);
    free_objects(runner);
    free(runner);
}

/* -------- what others ask -------- */

bool app_is_ready(const struct app *app, char *why, size_t why_size)
{
    if (app->is_draining)
        snprintf(why, why_size, "The service is shutting down.");
    else if (!app->has_database || !notify_listener_is_on(app->listener) ||
             !action_repo_is_ready(app->repo) || !action_repo_is_ready(app->live_repo) ||
             !event_writers_are_ready(app->writers))
        snprintf(why, why_size, "The database is not usable yet: %s",
                 app->not_ready_why[0] == '\0' ? "it is being connected to." : app->not_ready_why);
    else
        return true;
    return false;
}
