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

#include "watch/channel.h"
#include "watch/stream.h"

enum {
    FINISH_MS = 7000,      /* how long requests in flight may take at the end */
    GOODBYE_MS = 500,      /* how long streams may take to read their last frame */
    COLLECT_MS = 250,      /* how old another loop's gauges may be in a scrape */
    SLOW_TURN_US = 100000, /* a turn of the loop that is worth a line in the log */
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
    uv_timer_t timer;                      /* the stages of the end */
    uv_timer_t collect;
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
    bool is_due = false;

    if (app->due.http)
        http_server_run(app->http);
    for (size_t i = 0; i < app->cell_count; i++)
        is_due |= cell_run(app->cells[i]);
    if (app->due.streams)
        streams_run(app->streams);
    if (app->due.http || app->due.streams || is_due)
        uv_idle_start(&runner->busy, keep_turning);
    else
        uv_idle_stop(&runner->busy);
    note_turn(runner);
}

/* -------- metrics -------- */

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
    for (size_t i = 0; i < app->cell_count; i++)
        cell_collect_metrics(app->cells[i]);
}

/* A scrape on another loop finds our gauges as we left them. */
static void on_collect(uv_timer_t *timer)
{
    struct app_runner *runner = timer->data;

    app_collect_metrics(&runner->app);
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
    if (app->places != NULL)
        places_stop(app->places);
    for (size_t i = 0; i < app->cell_count; i++)
        cell_stop(app->cells[i]);
    if (app->http != NULL)
        http_server_stop(app->http);
    if (app->streams != NULL)
        streams_stop(app->streams);
    for (size_t i = 0; i < app->cell_count; i++)
        cell_stop_hubs(app->cells[i]);
}

/* In the reverse order of their start. */
static void free_objects(struct app_runner *runner)
{
    struct app *app = &runner->app;

    for (size_t i = 0; i < app->cell_count; i++)
        cell_free(app->cells[i]);
    free(app->cells);
    places_free(app->places);
    http_server_free(app->http);
    streams_free(app->streams);
    rate_limits_free(app->rate_limits);
    auth_keys_free(runner->next_keys);
    auth_free(app->auth);
    channels_free(app->channels);
    gzip_packer_free(app->packer);
}

static bool is_migrating(const struct app *app)
{
    for (size_t i = 0; i < app->cell_count; i++)
        if (cell_is_migrating(app->cells[i]))
            return true;
    return false;
}

/* Requests under way get their answers, streams their last frame; then the end. */
static void on_finish_tick(uv_timer_t *timer)
{
    struct app_runner *runner = timer->data;
    struct app *app = &runner->app;
    bool is_done = http_server_active(app->http) == 0 && !is_migrating(app) &&
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
                              (http_server_active(app->http) > 0  ? FINISH_MS
                               : has_streams || is_migrating(app) ? GOODBYE_MS
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
    for (size_t i = 0; i < app->cell_count; i++)
        cell_drain(app->cells[i]);
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
        .call_handler = app->shared->call_handler,
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

static void on_cell_read(void *arg, struct cell *cell, const struct generations *found, bool is_new)
{
    struct app *app = arg;

    places_read(app->places, cell, found, is_new);
}

static void on_cell_usable(void *arg)
{
    struct app *app = arg;

    http_server_use_database(app->http);
}

static void on_run_removed(void *arg, const struct run_key *run)
{
    struct app *app = arg;

    places_forget(app->places, run);
}

static void on_cell_gap(void *arg, struct cell *cell)
{
    struct app *app = arg;

    places_forget_cell(app->places, cell);
}

/* In what is kept of each loop for each cell. */
static size_t place_of_first_cell(const struct app *app)
{
    return (size_t)(app->metrics - app->shared->metrics[0]);
}

static struct cell *make_cell(struct app *app, const struct cell_config *config)
{
    static const struct cell_events events = {.on_read = on_cell_read,
                                              .on_usable = on_cell_usable,
                                              .on_run_removed = on_run_removed,
                                              .on_gap = on_cell_gap};
    const struct app_shared *shared = app->shared;
    const struct cell_options options = {
        .name = config->name,
        .url = config->url,
        .loop = app->loop,
        .config = shared->config,
        .log = shared->log,
        .memory = shared->memory,
        .metrics = &app->metrics[app->cell_count],
        .channels = app->channels,
        .health = &shared->cell_healths[place_of_first_cell(app) + app->cell_count],
        .generation = places_generation(app->places),
        .looks_after = app->metrics == shared->metrics[0],
        .counts_runs = app->metrics == shared->metrics[0] && shared->cells->alive > 1,
        .events = &events,
        .arg = app,
    };

    return cell_new(&options);
}

/* Those that are not gone. 0 or -ENOMEM. */
static int make_cells(struct app *app)
{
    const struct cell_list *list = app->shared->cells;

    app->places = places_new(list);
    app->cells = calloc(list->alive, sizeof(struct cell *));
    if (app->places == NULL || app->cells == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].state == CELL_GONE)
            continue;
        app->cells[app->cell_count] = make_cell(app, &list->items[i]);
        if (app->cells[app->cell_count] == NULL)
            return -ENOMEM;
        places_put(app->places, i, app->cells[app->cell_count]);
        app->cell_count++;
    }
    return 0;
}

static int start_objects(struct app *app, int listen_fd, struct auth_keys *keys, char *why,
                         size_t why_size)
{
    app->packer = gzip_packer_new();
    app->channels = channels_new(app->shared->memory);
    if (start_auth(app, keys) == 0 && start_rate_limits(app) == 0 && app->packer != NULL &&
        app->channels != NULL && make_cells(app) == 0 && start_streams(app) == 0)
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
    for (size_t i = 0; i < runner->app.cell_count; i++)
        cell_start(runner->app.cells[i]);
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

struct cell *app_cell_of(const struct app *app, const struct run_key *run)
{
    struct run_place place;

    return places_get(app->places, run, &place) == 0 && place.cell->has_database ? place.cell
                                                                                 : NULL;
}

enum cell_health app_cell_health(const struct app *app, size_t index)
{
    const struct app_shared *shared = app->shared;
    enum cell_health least = cell_health(app->cells[index]);

    for (size_t i = index; i < shared->metrics_count; i += app->cell_count)
        if (i != place_of_first_cell(app) + index && shared->cell_healths[i] < least)
            least = shared->cell_healths[i];
    return least;
}

bool app_is_ready(const struct app *app, char *why, size_t why_size)
{
    size_t away = 0, length;
    bool have_failed = true;

    if (app->is_draining) {
        snprintf(why, why_size, "The service is shutting down.");
        return false;
    }
    snprintf(why, why_size, "The database is not usable yet:");
    for (size_t i = 0; i < app->cell_count; i++) {
        enum cell_health health = app_cell_health(app, i);
        const char *reason = health == cell_health(app->cells[i])
                                 ? cell_why(app->cells[i])
                                 : "another event loop is not connected to it.";

        if (health == CELL_USABLE)
            continue;
        away++;
        have_failed &= health == CELL_FAILED;
        length = strlen(why);
        if (app->cell_count == 1)
            snprintf(why + length, why_size - length, " %s", reason);
        else
            snprintf(why + length, why_size - length, " cell %s: %s", app->cells[i]->options.name,
                     reason);
    }
    return have_failed && 2 * away <= app->cell_count && away < app->cell_count;
}
