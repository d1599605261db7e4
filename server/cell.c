#include "server/cell.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "sql/cell_registry.h"
#include "sql/migrate.h"
#include "watch/list_hub.h"
#include "watch/run_hub.h"

enum {
    KNOWN_BYTES_MAX = 16 * 1024 * 1024, /* of the runs that writers keep, … */
    KNOWN_SHARE = 64,                   /* … and this part of the memory for clients */
    WORK_RETRY_MS = 1000,
    WORKS_IN_A_ROW_MAX = 4,
    COUNT_RUNS_MS = 30000,
    PROJECTS_COUNTED_MAX = 10000, /* so that counting has an end */
    WRITE_RETRY_FOR_MS = 5000,    /* how long events in flight wait for a broken connection */
    CLIENT_READERS = 2,           /* connections: a long read leaves the other to the others */
    LIVE_READERS = 1,             /* in the order of asking */
};

struct cell_runner {
    struct cell cell; /* the first member: runner_of */
    uv_timer_t retry; /* of the work below */
    uv_work_t work;
    bool is_working, is_draining;
    bool is_migrated;
    int works; /* in a row, without a pause */
    bool only_reads;
    struct generations known, found; /* of the work: to be stored, and read */
    char why[CELL_WHY_SIZE];
    int status;
    uv_timer_t counting; /* of the runs: the next time */
    struct {
        bool is_under_way, goes_on;
        int64_t runs;
        int projects;
        char project[PROJECT_BYTES_MAX + 1], domain[DOMAIN_BYTES_MAX + 1]; /* so far */
    } count;
};

static struct cell_runner *runner_of(struct cell *cell)
{
    return (struct cell_runner *)cell;
}

/* -------- metrics -------- */

static size_t usable_connections(const struct cell *cell)
{
    return event_writers_usable(cell->writers) + action_repo_connections_ready(cell->repo) +
           action_repo_connections_ready(cell->live_repo) + notify_listener_is_on(cell->listener) +
           run_remover_is_ready(cell->remover);
}

static bool is_usable(const struct cell *cell)
{
    return cell->has_database && notify_listener_is_on(cell->listener) &&
           action_repo_is_ready(cell->repo) && action_repo_is_ready(cell->live_repo) &&
           event_writers_are_ready(cell->writers) && run_remover_is_ready(cell->remover);
}

void cell_collect_metrics(struct cell *cell)
{
    struct metrics *metrics = cell->options.metrics;
    struct run_hubs_stats hubs;
    struct list_hub_stats list;

    metrics_set(metrics, METRIC_CELL_UP, is_usable(cell));
    if (!cell->has_database)
        return;
    hubs = run_hubs_stats(cell->hubs);
    list = list_hub_stats(cell->list_hub);
    metrics_set(metrics, METRIC_HUBS, hubs.hubs);
    metrics_set(metrics, METRIC_VIEWS, hubs.views);
    metrics_set(metrics, METRIC_NODES, hubs.nodes);
    metrics_set(metrics, METRIC_HUB_READS, hubs.reads);
    metrics_set(metrics, METRIC_HUB_POLLED, hubs.polled);
    metrics_set(metrics, METRIC_LIST_VIEWS, list.views);
    metrics_set(metrics, METRIC_LIST_RUNS, list.runs);
    metrics_set(metrics, METRIC_LIST_READS, list.reads);
    metrics_set(metrics, METRIC_HUB_RESETS, hubs.resets + list.resets);
    metrics_set(metrics, METRIC_WRITE_QUEUE_BYTES, event_writers_queued_bytes(cell->writers));
    metrics_set(metrics, METRIC_READ_QUEUE,
                action_repo_queued(cell->repo) + action_repo_queued(cell->live_repo));
    metrics_set(metrics, METRIC_NOTIFICATION_QUEUE_MILLIONTHS,
                (uint64_t)(notify_listener_queue_usage(cell->listener) * 1e6));
    metrics_set(metrics, METRIC_DATABASE_CONNECTIONS, usable_connections(cell));
}

/* -------- what the database says -------- */

static void note_lost(struct cell *cell, const char *what, const char *why)
{
    cell->has_failed = true;
    if (strcmp(cell->not_ready_why, why) != 0)
        log_write(cell->options.log, LOG_WARNING, "database connection lost", "s:s, s:s",
                  "connection", what, "why", why);
    metrics_add(cell->options.metrics, METRIC_DATABASE_LOST, 1);
    snprintf(cell->not_ready_why, sizeof cell->not_ready_why, "%s", why);
}

static void on_writer_lost(void *arg, const char *why)
{
    note_lost(arg, "writer", why);
}

static void on_write_refused(void *arg, size_t count, const char *sqlstate, const char *message)
{
    struct cell *cell = arg;

    metrics_add(cell->options.metrics, METRIC_WRITE_REFUSED, 1);
    log_write(cell->options.log, LOG_WARNING, "the database refused a batch", "s:I, s:s, s:s?",
              "events", (json_int_t)count, "sqlstate", sqlstate, "why", message);
}

static void on_write_conflict(void *arg, size_t count)
{
    struct cell *cell = arg;

    (void)count;
    metrics_add(cell->options.metrics, METRIC_WRITE_CONFLICTS, 1);
}

static void on_committed(void *arg, size_t count, uint64_t duration_ns, bool is_unread)
{
    struct cell *cell = arg;

    metrics_add(cell->options.metrics, METRIC_WRITE_BATCHES, 1);
    metrics_add(cell->options.metrics, METRIC_WRITE_BATCHES_UNREAD, is_unread);
    metrics_observe(cell->options.metrics, HISTOGRAM_COMMIT, (double)duration_ns / 1e9);
    metrics_observe(cell->options.metrics, HISTOGRAM_BATCH, (double)count);
}

static void on_kept(void *arg, size_t bytes)
{
    struct cell *cell = arg;

    memory_hold(cell->options.memory, MEMORY_RUNS, &cell->kept_held, bytes);
}

static void on_recorded(void *arg, const struct decision *decision)
{
    const struct cell *cell = arg;
    size_t run_count, action_count;
    const struct run_row *runs = decision_run_rows(decision, &run_count);
    const struct action_row *actions = decision_action_rows(decision, &action_count);

    run_hubs_take(cell->hubs, runs, run_count, actions, action_count);
}

static void on_live_repo_ready(void *arg)
{
    struct cell *cell = arg;

    if (!cell->has_database)
        return;
    run_hubs_read_all(cell->hubs);
    list_hub_read_all(cell->list_hub);
}

static void on_repo_lost(void *arg, const char *why)
{
    note_lost(arg, "reader", why);
}

static void on_run_changed(void *arg, const struct run_notification *notification)
{
    struct cell *cell = arg;

    metrics_add(cell->options.metrics, METRIC_NOTIFICATIONS, 1);
    if (notification->revision == 0)
        cell->options.events->on_run_removed(cell->options.arg, &notification->run);
    run_hubs_hear(cell->hubs, &notification->run, notification->revision);
    list_hub_hear(cell->list_hub, notification);
    event_writers_hear(cell->writers, &notification->run, notification->revision);
}

static void on_listening(void *arg, uint32_t timeline)
{
    struct cell *cell = arg;

    log_write(cell->options.log, LOG_INFO, "listening to the database", "s:I", "timeline",
              (json_int_t)timeline);
    cell->not_ready_why[0] = '\0';
    cell->options.events->on_gap(cell->options.arg, cell);
    run_hubs_read_all(cell->hubs);
    list_hub_read_all(cell->list_hub);
}

static void on_listener_lost(void *arg, const char *why)
{
    note_lost(arg, "listener", why);
}

static void on_run_removed(void *arg, const struct run_key *run)
{
    struct cell *cell = arg;

    metrics_add(cell->options.metrics, METRIC_RUNS_REMOVED, 1);
    log_write(cell->options.log, LOG_INFO, "run deleted", "s:s, s:s, s:s", "project", run->project,
              "domain", run->domain, "run", run->run_name);
}

static void on_remover_lost(void *arg, const char *why)
{
    note_lost(arg, "remover", why);
}

static void on_removal_refused(void *arg, const char *message)
{
    struct cell *cell = arg;

    log_write(cell->options.log, LOG_ERROR, "the database refused to delete a run", "s:s?", "why",
              message);
}

static void on_abandoned(void *arg, size_t count)
{
    struct cell *cell = arg;

    metrics_add(cell->options.metrics, METRIC_ACTIONS_ABANDONED, count);
}

/* -------- starting -------- */

/* All delete on demand. */
static int64_t retention_us(const struct cell *cell)
{
    return cell->options.looks_after ? cell->options.config->retention_days * INT64_C(86400000000)
                                     : 0;
}

static int start_abandoner(struct cell *cell)
{
    const struct abandoner_options options = {
        .repo = cell->repo,
        .writers = cell->writers,
        .after_us = cell->options.looks_after
                        ? cell->options.config->abandoned_after_s * INT64_C(1000000)
                        : 0,
        .on_abandoned = on_abandoned,
        .arg = cell,
    };

    cell->abandoner = abandoner_new(cell->options.loop, &options);
    return cell->abandoner == NULL ? -ENOMEM : 0;
}

int cell_connections(const struct config *config)
{
    enum { OTHERS = CLIENT_READERS + LIVE_READERS + 2 }; /* the listener and the remover */

    return (int)(config->threads * (config->writer_connections + OTHERS));
}

/* 0 or -ENOMEM. */
static int start_repos(struct cell *cell)
{
    static const struct action_repo_events repo_events = {.on_lost = on_repo_lost};
    static const struct action_repo_events live_repo_events = {.on_ready = on_live_repo_ready,
                                                               .on_lost = on_repo_lost};
    const struct action_repo_options repo_options = {
        .url = cell->options.url,
        .connections = CLIENT_READERS,
        .reads_max = (size_t)cell->options.config->read_queue_max,
        .read_max_ms = CELL_READ_MAX_MS,
    };
    const struct action_repo_options live_repo_options = {
        .url = repo_options.url, .connections = LIVE_READERS, .reads_max = repo_options.reads_max};

    cell->live_repo =
        action_repo_new(cell->options.loop, &live_repo_options, &live_repo_events, cell);
    if (cell->live_repo == NULL)
        return -ENOMEM;
    cell->repo = action_repo_new(cell->options.loop, &repo_options, &repo_events, cell);
    return cell->repo == NULL ? -ENOMEM : 0;
}

/* 0 or -ENOMEM. */
static int start_hubs(struct cell *cell)
{
    const struct config *config = cell->options.config;
    const struct run_hubs_options hub_options = {
        .flush_interval_ms = (uint64_t)config->flush_interval_ms,
        .linger_ms = (uint64_t)config->hub_linger_ms,
        .memory = cell->options.memory,
        .metrics = cell->options.metrics,
        .channels = cell->options.channels,
        .is_due = &cell->due.hubs,
    };
    const struct list_hub_options list_hub_options = {
        .flush_interval_ms = hub_options.flush_interval_ms,
        .linger_ms = hub_options.linger_ms,
        .memory = cell->options.memory,
        .metrics = cell->options.metrics,
        .channels = cell->options.channels,
        .is_due = &cell->due.list_hub,
    };

    cell->hubs = run_hubs_new(cell->options.loop, cell->live_repo, &hub_options, cell->options.log);
    if (cell->hubs == NULL)
        return -ENOMEM;
    cell->list_hub =
        list_hub_new(cell->options.loop, cell->live_repo, &list_hub_options, cell->options.log);
    return cell->list_hub == NULL ? -ENOMEM : 0;
}

/* 0 or -ENOMEM. */
static int start_database_objects(struct cell *cell)
{
    static const struct event_writers_events writer_events = {.on_lost = on_writer_lost,
                                                              .on_refused = on_write_refused,
                                                              .on_conflict = on_write_conflict,
                                                              .on_committed = on_committed,
                                                              .on_kept = on_kept,
                                                              .on_recorded = on_recorded};
    static const struct notify_listener_events listener_events = {.on_run_changed = on_run_changed,
                                                                  .on_listening = on_listening,
                                                                  .on_lost = on_listener_lost};
    static const struct run_remover_events remover_events = {
        .on_removed = on_run_removed, .on_refused = on_removal_refused, .on_lost = on_remover_lost};
    uv_loop_t *loop = cell->options.loop;
    const struct config *config = cell->options.config;
    const char *url = cell->options.url;
    uint64_t memory_max = memory_max_bytes(cell->options.memory) / KNOWN_SHARE;
    const struct event_writers_options writer_options = {
        .url = url,
        .connections = (int)config->writer_connections,
        .queue_bytes_max = (size_t)config->write_queue_bytes,
        .known_bytes_max = memory_max < KNOWN_BYTES_MAX ? (size_t)memory_max : KNOWN_BYTES_MAX,
        .generation = cell->options.generation,
        .retry_for_ms = WRITE_RETRY_FOR_MS,
        .is_due = &cell->due.writers,
    };

    if (start_repos(cell) < 0 || start_hubs(cell) < 0)
        return -ENOMEM;
    cell->writers = event_writers_new(loop, &writer_options, &writer_events, cell);
    if (cell->writers == NULL)
        return -ENOMEM;
    cell->listener = notify_listener_new(loop, url, &listener_events, cell);
    if (cell->listener == NULL)
        return -ENOMEM;
    cell->remover = run_remover_new(loop, url, retention_us(cell), &remover_events, cell);
    return cell->remover == NULL ? -ENOMEM : start_abandoner(cell);
}

/* -------- how many runs there are -------- */

static void count_page(struct cell_runner *runner);

static void on_counted(void *arg, const char *project, const char *domain, int64_t runs,
                       struct page_row row)
{
    struct cell_runner *runner = arg;

    runner->count.runs += row.is_listed ? runs : 0;
    runner->count.goes_on = row.goes_on && ++runner->count.projects < PROJECTS_COUNTED_MAX;
    snprintf(runner->count.project, sizeof runner->count.project, "%s", project);
    snprintf(runner->count.domain, sizeof runner->count.domain, "%s", domain);
}

static void on_count_end(void *arg, enum repo_outcome outcome, const char *message)
{
    struct cell_runner *runner = arg;

    (void)message;
    if (outcome == REPO_OK && runner->count.goes_on)
        count_page(runner);
    else
        runner->count.is_under_way = false;
    if (outcome == REPO_OK && !runner->count.is_under_way)
        metrics_set(runner->cell.options.metrics, METRIC_CELL_RUNS, (uint64_t)runner->count.runs);
}

static void count_page(struct cell_runner *runner)
{
    bool is_first = runner->count.project[0] == '\0';
    const struct project_query query = {.after_project = is_first ? NULL : runner->count.project,
                                        .after_domain = is_first ? NULL : runner->count.domain,
                                        .limit = REPO_PROJECTS_PAGE};

    runner->count.goes_on = false;
    runner->count.is_under_way =
        action_repo_list_projects(runner->cell.repo, &query, on_counted, on_count_end, runner) == 0;
}

static void on_count_due(uv_timer_t *timer)
{
    struct cell_runner *runner = timer->data;

    if (runner->count.is_under_way)
        return;
    memset(&runner->count, 0, sizeof runner->count);
    count_page(runner);
}

/* -------- the schema, and the lists of cells -------- */

static void start_work(struct cell_runner *runner);

static void on_retry(uv_timer_t *timer)
{
    struct cell_runner *runner = timer->data;

    runner->works = 0;
    start_work(runner);
}

static void work_later(struct cell_runner *runner)
{
    uv_timer_start(&runner->retry, on_retry, WORK_RETRY_MS, 0);
}

/* On a worker thread, because it blocks. */
static void do_work(uv_work_t *work)
{
    struct cell_runner *runner = work->data;
    const struct cell_options *options = &runner->cell.options;

    runner->status =
        runner->is_migrated ? 0 : migrate_database(options->url, runner->why, sizeof runner->why);
    runner->is_migrated = runner->status == 0;
    if (runner->is_migrated && runner->only_reads)
        runner->status = cell_registry_read(options->url, options->name, &runner->found,
                                            runner->why, sizeof runner->why);
    else if (runner->is_migrated)
        runner->status = cell_registry_sync(options->url, options->name, &runner->known,
                                            &runner->found, runner->why, sizeof runner->why);
}

static void note_not_ready(struct cell *cell, const char *why)
{
    snprintf(cell->not_ready_why, sizeof cell->not_ready_why, "%s", why);
    cell->has_failed = true;
}

void cell_wait(struct cell *cell, const char *why)
{
    if (strcmp(cell->not_ready_why, why) != 0)
        log_write(cell->options.log, LOG_WARNING, "the database is not used yet", "s:s, s:s",
                  "cell", cell->options.name, "why", why);
    note_not_ready(cell, why);
}

void cell_refuse(struct cell *cell, const char *why)
{
    if (strcmp(cell->not_ready_why, why) != 0)
        log_write(cell->options.log, LOG_ERROR, "the database is not usable", "s:s", "why", why);
    note_not_ready(cell, why);
    work_later(runner_of(cell));
}

static void after_work(uv_work_t *work, int status)
{
    struct cell_runner *runner = work->data;
    struct cell *cell = &runner->cell;

    (void)status;
    runner->is_working = false;
    if (!runner->is_draining && runner->status >= 0)
        cell->options.events->on_read(cell->options.arg, cell, &runner->found, runner->status > 0);
    else if (!runner->is_draining && (!cell->has_database || runner->status == -EPROTO))
        cell_refuse(cell, runner->why);
    else if (!runner->is_draining)
        work_later(runner);
    if (!runner->is_working)
        generations_clear(&runner->found);
}

static void start_work(struct cell_runner *runner)
{
    generations_clear(&runner->found);
    runner->work.data = runner;
    runner->is_working = true;
    runner->works++;
    uv_queue_work(runner->cell.options.loop, &runner->work, do_work, after_work);
}

void cell_start(struct cell *cell)
{
    start_work(runner_of(cell));
}

void cell_sync(struct cell *cell, const struct generations *known)
{
    struct cell_runner *runner = runner_of(cell);

    if (runner->is_working || runner->is_draining)
        return;
    generations_clear(&runner->known);
    runner->only_reads = generations_merge(&runner->known, known) < 0;
    if (runner->works >= WORKS_IN_A_ROW_MAX || runner->only_reads)
        work_later(runner);
    else
        start_work(runner);
}

void cell_use(struct cell *cell)
{
    struct cell_runner *runner = runner_of(cell);

    runner->works = 0;
    if (cell->has_database || runner->is_draining)
        return;
    log_write(cell->options.log, LOG_INFO, "schema is current", "");
    cell->has_database = start_database_objects(cell) == 0;
    if (cell->has_database && cell->options.counts_runs)
        uv_timer_start(&runner->counting, on_count_due, WORK_RETRY_MS, COUNT_RUNS_MS);
    if (cell->has_database) {
        cell->options.events->on_usable(cell->options.arg);
        return;
    }
    log_write(cell->options.log, LOG_ERROR, "out of memory at the start", "");
    kill(getpid(), SIGTERM);
}

/* -------- its life -------- */

struct cell *cell_new(const struct cell_options *options)
{
    struct cell_runner *runner = calloc(1, sizeof *runner);

    if (runner == NULL)
        return NULL;
    runner->cell.options = *options;
    runner->only_reads = true;
    snprintf(runner->cell.not_ready_why, sizeof runner->cell.not_ready_why,
             "The schema has not been checked yet.");
    uv_timer_init(options->loop, &runner->retry);
    uv_timer_init(options->loop, &runner->counting);
    runner->retry.data = runner->counting.data = runner;
    return &runner->cell;
}

/* -------- who listens -------- */

bool cell_is_up(const struct cell *cell)
{
    return cell->has_database && action_repo_is_ready(cell->live_repo) &&
           notify_listener_is_on(cell->listener);
}

void cell_listen(struct cell *cell, struct cell_listener *listener)
{
    if (cell->listeners == NULL)
        cell->was_up = cell_is_up(cell);
    DL_APPEND(cell->listeners, listener);
}

void cell_unlisten(struct cell *cell, struct cell_listener *listener)
{
    DL_DELETE(cell->listeners, listener);
}

static void tell_listeners(struct cell *cell)
{
    struct cell_listener *listener;

    if (cell->was_up == cell_is_up(cell))
        return;
    cell->was_up = !cell->was_up;
    DL_FOREACH (cell->listeners, listener)
        listener->on_change(listener->arg);
}

/* -------- once per turn -------- */

bool cell_run(struct cell *cell)
{
    enum cell_health health = cell_health(cell);

    if (*cell->options.health != health)
        *cell->options.health = health;
    if (cell->listeners != NULL)
        tell_listeners(cell);
    if (cell->due.writers)
        event_writers_run(cell->writers);
    if (cell->due.hubs)
        run_hubs_run(cell->hubs);
    if (cell->due.list_hub)
        list_hub_run(cell->list_hub);
    return cell->due.writers || cell->due.hubs || cell->due.list_hub;
}

enum cell_health cell_health(const struct cell *cell)
{
    return is_usable(cell) ? CELL_USABLE : cell->has_failed ? CELL_FAILED : CELL_BEGINS;
}

const char *cell_why(const struct cell *cell)
{
    return cell->not_ready_why[0] == '\0' ? "it is being connected to." : cell->not_ready_why;
}

/* -------- ending -------- */

void cell_drain(struct cell *cell)
{
    struct cell_runner *runner = runner_of(cell);

    runner->is_draining = true;
    uv_timer_stop(&runner->retry);
}

bool cell_is_migrating(const struct cell *cell)
{
    return ((const struct cell_runner *)cell)->is_working;
}

void cell_stop(struct cell *cell)
{
    uv_close((uv_handle_t *)&runner_of(cell)->retry, NULL);
    uv_close((uv_handle_t *)&runner_of(cell)->counting, NULL);
    if (cell->hubs != NULL)
        run_hubs_abandon(cell->hubs);
    if (cell->abandoner != NULL)
        abandoner_stop(cell->abandoner);
    if (cell->remover != NULL)
        run_remover_stop(cell->remover);
    if (cell->listener != NULL)
        notify_listener_stop(cell->listener);
    if (cell->writers != NULL)
        event_writers_stop(cell->writers);
    if (cell->repo != NULL)
        action_repo_stop(cell->repo);
    if (cell->live_repo != NULL)
        action_repo_stop(cell->live_repo);
}

void cell_stop_hubs(struct cell *cell)
{
    if (cell->list_hub != NULL)
        list_hub_stop(cell->list_hub);
    if (cell->hubs != NULL)
        run_hubs_stop(cell->hubs);
}

/* In the reverse order of their start. */
void cell_free(struct cell *cell)
{
    if (cell == NULL)
        return;
    abandoner_free(cell->abandoner);
    run_remover_free(cell->remover);
    notify_listener_free(cell->listener);
    event_writers_free(cell->writers);
    list_hub_free(cell->list_hub);
    run_hubs_free(cell->hubs);
    action_repo_free(cell->repo);
    action_repo_free(cell->live_repo);
    generations_clear(&runner_of(cell)->known);
    generations_clear(&runner_of(cell)->found);
    free(runner_of(cell));
}
