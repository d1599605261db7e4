#include "watch/list_hub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "sql/changed_runs.h"

enum {
    FLUSH_INTERVAL_MIN_MS = 100, /* nobody reads a list that moves faster */
    KEYS_MAX = 5000,             /* more are read by transaction id */
    TICK_MS = 500,
    RETRY_MS = 500,
    POLL_MS = 5000, /* a notification that never came costs at most so long … */
    POLL_PART = 50, /* … unless the read takes more than a fiftieth of it */
};

/* A run that was notified. */
struct heard_run {
    UT_hash_handle hh;
    bool is_new;
    char path[RUN_PATH_SIZE]; /* the hash key */
    char key_text[RUN_PATH_SIZE];
    struct run_key key; /* into key_text */
};

struct heard_runs {
    struct heard_run *by_path;
    int64_t all_heard_below; /* with these, a transaction */
    uint64_t since_ns;       /* when the first was heard; 0: none */
};

struct view_entry {
    struct view_entry *prev, *next;
    struct list_view *view;
};

enum read_kind { READ_MOMENT, READ_BY_KEY, READ_SINCE };

struct list_hub {
    uv_loop_t *loop;
    struct list_hub_options options;
    struct list_state state; /* what views see */
    struct view_entry *views;
    bool is_active; /* has, or had lately, a view */
    uint64_t last_used_ms;

    struct heard_runs heard; /* since the last read began */
    int64_t wanted_xid;      /* a client's; INT64_MAX: none */
    int64_t too_old_xid;     /* more has moved since this one than can be kept */
    bool has_gap;            /* something may not have been heard */

    struct {
        bool is_under_way;
        enum read_kind kind;
        struct heard_runs heard; /* what it covers */
        int64_t xid;             /* of READ_SINCE */
        size_t count;
        bool has_news, has_failed;
        uint64_t began_ms;
    } read;
    uint64_t last_read_ms, next_poll_ms, retry_at_ms;
    uint64_t reads, resets;
    size_t held; /* of the account */

    uv_timer_t tick, wake;
};

/* -------- runs that were notified -------- */

static void clear_heard(struct heard_runs *heard)
{
    struct heard_run *run, *next;

    HASH_ITER (hh, heard->by_path, run, next) {
        HASH_DELETE(hh, heard->by_path, run);
        free(run);
    }
    *heard = (struct heard_runs){0};
}

static const struct heard_run *find_heard(const struct heard_runs *heard, const struct run_key *key)
{
    char path[RUN_PATH_SIZE];
    struct heard_run *run;

    run_key_path(key, path);
    HASH_FIND_STR(heard->by_path, path, run);
    return run;
}

static int add_heard(struct heard_runs *heard, const struct run_notification *notification)
{
    struct heard_run *run = calloc(1, sizeof *run);

    if (run == NULL)
        return -ENOMEM;
    run_key_path(&notification->run, run->path);
    memcpy(run->key_text, run->path, sizeof run->path);
    run->key = run_key_split(run->key_text);
    run->is_new = notification->revision_before == 0;
    HASH_ADD_STR(heard->by_path, path, run);
    return 0;
}

void list_hub_moved(struct list_hub *hub, const struct run_notification *notification)
{
    if (!hub->is_active)
        return;
    if (find_heard(&hub->heard, &notification->run) == NULL &&
        (HASH_COUNT(hub->heard.by_path) == KEYS_MAX || add_heard(&hub->heard, notification) < 0)) {
        hub->has_gap = true;
        return;
    }
    if (hub->heard.since_ns == 0)
        hub->heard.since_ns = uv_hrtime();
    if (notification->all_heard_below > hub->heard.all_heard_below)
        hub->heard.all_heard_below = notification->all_heard_below;
}

void list_hub_read_all(struct list_hub *hub)
{
    hub->has_gap = true;
}

/* -------- reading -------- */

static void flush(struct list_hub *hub)
{
    struct view_entry *entry;

    memory_hold(hub->state.frames->memory, MEMORY_TREES, &hub->held,
                moved_runs_bytes(hub->state.runs));
    DL_FOREACH (hub->views, entry)
        list_view_flush(entry->view);
}

/* Streams that are live end, and come back with their ids. */
static void restart(struct list_hub *hub)
{
    hub->resets++;
    hub->state.is_started = false;
    hub->too_old_xid = -1;
    hub->has_gap = false;
    clear_heard(&hub->heard);
    moved_runs_restart(hub->state.runs, INT64_MAX);
    flush(hub);
}

static void on_changed_run(void *arg, const struct changed_run *changed)
{
    struct list_hub *hub = arg;
    const struct heard_run *heard = find_heard(&hub->read.heard, &changed->key);
    enum moved_age age = MOVED_NOW;
    int status;

    if (heard != NULL && heard->is_new)
        age = MOVED_NEW_RUN;
    else if (heard == NULL && changed->xid < hub->state.heard_below)
        age = MOVED_LONG_AGO;
    status = moved_runs_put(hub->state.runs, &changed->key, changed->xid, changed->run, age);
    hub->read.count++;
    hub->read.has_news |= status == 1;
    hub->read.has_failed |= status < 0;
}

static void advance(int64_t *number, int64_t to)
{
    if (to > *number)
        *number = to;
}

static void end_moment(struct list_hub *hub, const struct database_moment *moment)
{
    moved_runs_restart(hub->state.runs, moment->none_from);
    hub->state.timeline = action_repo_timeline(hub->state.repo);
    hub->state.heard_below = moment->all_below;
    hub->state.none_from = moment->none_from;
    hub->state.is_started = true;
    hub->next_poll_ms = uv_now(hub->loop) + POLL_MS;
    hub->read.has_news = true;
}

static void end_since(struct list_hub *hub, const struct database_moment *moment)
{
    bool is_all = hub->read.count <= MOVED_RUNS_MAX;
    uint64_t took_ms = uv_now(hub->loop) - hub->read.began_ms;

    hub->state.reads_done = hub->state.reads_begun;
    hub->next_poll_ms =
        uv_now(hub->loop) + (took_ms * POLL_PART > POLL_MS ? took_ms * POLL_PART : POLL_MS);
    hub->read.has_news = true; /* for those who waited for it */
    if (!is_all && hub->read.xid >= hub->state.heard_below) {
        log_write(hub->state.log, LOG_WARNING, "too many runs moved unheard", "");
        restart(hub);
        return;
    }
    if (!is_all || !moved_runs_complete(hub->state.runs, hub->read.xid))
        advance(&hub->too_old_xid, hub->read.xid);
    if (is_all)
        advance(&hub->state.heard_below, moment->all_below);
    else
        hub->has_gap = true;
}

static void end_read(struct list_hub *hub, const struct database_moment *moment)
{
    if (hub->read.kind == READ_MOMENT) {
        end_moment(hub, moment);
        return;
    }
    if (hub->read.has_failed || hub->state.timeline != action_repo_timeline(hub->state.repo)) {
        log_write(hub->state.log, LOG_INFO, "watchers of the list of runs reset", "s:s", "why",
                  hub->read.has_failed ? "out of memory" : "the database is another one");
        restart(hub);
        return;
    }
    advance(&hub->state.none_from, moment->none_from);
    if (hub->read.kind == READ_SINCE)
        end_since(hub, moment);
    else
        advance(&hub->state.heard_below, hub->read.heard.all_heard_below);
}

static void on_read(void *arg, enum repo_outcome outcome, const char *message,
                    const struct database_moment *moment)
{
    struct list_hub *hub = arg;

    hub->read.is_under_way = false;
    if (outcome == REPO_OK) {
        end_read(hub, moment);
    } else {
        hub->has_gap = true;
        if (hub->read.kind == READ_SINCE && hub->read.xid < hub->wanted_xid)
            hub->wanted_xid = hub->read.xid;
        hub->retry_at_ms = uv_now(hub->loop) + RETRY_MS;
        if (outcome == REPO_REFUSED)
            log_write(hub->state.log, LOG_ERROR, "the runs that moved could not be read", "s:s?",
                      "why", message);
    }
    if (hub->read.has_news)
        flush(hub);
    if (hub->read.has_news && hub->read.heard.since_ns != 0)
        hub->options.on_flushed(hub->options.arg, uv_hrtime() - hub->read.heard.since_ns);
    clear_heard(&hub->read.heard);
}

static int read_by_key(struct list_hub *hub)
{
    struct run_key *keys = malloc(HASH_COUNT(hub->read.heard.by_path) * sizeof *keys);
    struct heard_run *run, *next;
    size_t count = 0;
    int status;

    if (keys == NULL)
        return -ENOMEM;
    HASH_ITER (hh, hub->read.heard.by_path, run, next)
        keys[count++] = run->key;
    status = changed_runs_by_key(hub->state.repo, keys, count, on_changed_run, on_read, hub);
    free(keys);
    return status;
}

/* What was heard up to now was committed before the read begins, which will see it. */
static void start_read(struct list_hub *hub, enum read_kind kind)
{
    int status;

    hub->read.is_under_way = true;
    hub->read.kind = kind;
    hub->read.count = 0;
    hub->read.has_news = hub->read.has_failed = false;
    hub->read.began_ms = hub->last_read_ms = uv_now(hub->loop);
    if (kind != READ_MOMENT) {
        hub->read.heard = hub->heard;
        hub->heard = (struct heard_runs){0};
    }
    if (kind == READ_MOMENT) {
        status = changed_runs_since(hub->state.repo, 0, 0, on_changed_run, on_read, hub);
    } else if (kind == READ_BY_KEY) {
        status = read_by_key(hub);
    } else {
        hub->read.xid =
            hub->wanted_xid < hub->state.heard_below ? hub->wanted_xid : hub->state.heard_below;
        hub->wanted_xid = INT64_MAX;
        hub->has_gap = false;
        hub->state.reads_begun++;
        status = changed_runs_since(hub->state.repo, hub->read.xid, MOVED_RUNS_MAX + 1,
                                    on_changed_run, on_read, hub);
    }
    hub->reads++;
    if (status < 0)
        on_read(hub, REPO_LOST, NULL, NULL);
}

static void on_wake(uv_timer_t *timer)
{
    (void)timer; /* it only wakes the loop, which calls list_hub_run */
}

void list_hub_run(struct list_hub *hub)
{
    uint64_t now_ms = uv_now(hub->loop);
    uint64_t due_ms = hub->last_read_ms + hub->options.flush_interval_ms;

    if (!hub->is_active || hub->read.is_under_way || now_ms < hub->retry_at_ms ||
        !action_repo_is_ready(hub->state.repo))
        return;
    if (!hub->state.is_started)
        start_read(hub, READ_MOMENT);
    else if (hub->has_gap || hub->wanted_xid != INT64_MAX)
        start_read(hub, READ_SINCE);
    else if (hub->heard.by_path != NULL && now_ms >= due_ms)
        start_read(hub, READ_BY_KEY);
    else if (hub->heard.by_path != NULL)
        uv_timer_start(&hub->wake, on_wake, due_ms - now_ms, 0);
}

/* -------- views -------- */

static bool on_view_wants(void *arg, int64_t xid)
{
    struct list_hub *hub = arg;

    if (xid <= hub->too_old_xid)
        return false;
    if (xid > hub->state.heard_below)
        xid = hub->state.heard_below;
    if (xid < hub->wanted_xid)
        hub->wanted_xid = xid;
    return true;
}

static struct list_view *find_view(const struct list_hub *hub, const struct list_filter *filter,
                                   int32_t limit)
{
    struct view_entry *entry;

    DL_FOREACH (hub->views, entry)
        if (list_view_is(entry->view, filter, limit))
            return entry->view;
    return NULL;
}

static struct list_view *add_view(struct list_hub *hub, const struct list_filter *filter,
                                  int32_t limit)
{
    struct view_entry *entry = calloc(1, sizeof *entry);

    if (entry == NULL)
        return NULL;
    entry->view = list_view_new(&hub->state, filter, limit, on_view_wants, hub);
    if (entry->view == NULL) {
        free(entry);
        return NULL;
    }
    DL_APPEND(hub->views, entry);
    return entry->view;
}

struct list_view *list_hub_hold_view(struct list_hub *hub, const struct list_filter *filter,
                                     int32_t limit)
{
    struct list_view *view = find_view(hub, filter, limit);

    if (view == NULL)
        view = add_view(hub, filter, limit);
    if (view != NULL)
        list_view_hold(view);
    hub->is_active = true;
    return view;
}

static void drop_unused_views(struct list_hub *hub)
{
    struct view_entry *entry, *next;

    DL_FOREACH_SAFE (hub->views, entry, next) {
        if (list_view_is_used(entry->view))
            continue;
        DL_DELETE(hub->views, entry);
        list_view_free(entry->view);
        free(entry);
    }
}

/* -------- life -------- */

static void fall_asleep(struct list_hub *hub)
{
    hub->is_active = false;
    restart(hub);
}

static void on_tick(uv_timer_t *timer)
{
    struct list_hub *hub = timer->data;
    uint64_t now_ms = uv_now(hub->loop);
    struct view_entry *entry;

    if (!hub->is_active)
        return;
    drop_unused_views(hub);
    if (hub->views != NULL)
        hub->last_used_ms = now_ms;
    else if (!hub->read.is_under_way && now_ms - hub->last_used_ms >= hub->options.linger_ms) {
        fall_asleep(hub);
        return;
    }
    if (now_ms >= hub->next_poll_ms)
        hub->has_gap = true;
    DL_FOREACH (hub->views, entry)
        list_view_retry(entry->view);
}

struct list_hub *list_hub_new(uv_loop_t *loop, struct action_repo *repo,
                              const struct list_hub_options *options, const struct log *log)
{
    struct list_hub *hub = calloc(1, sizeof *hub);

    if (hub == NULL)
        return NULL;
    hub->state.runs = moved_runs_new();
    if (hub->state.runs == NULL) {
        free(hub);
        return NULL;
    }
    hub->loop = loop;
    hub->options = *options;
    if (hub->options.flush_interval_ms < FLUSH_INTERVAL_MIN_MS)
        hub->options.flush_interval_ms = FLUSH_INTERVAL_MIN_MS;
    hub->state.repo = repo;
    hub->state.log = log;
    hub->state.frames = options->frames;
    hub->wanted_xid = INT64_MAX;
    hub->too_old_xid = -1;
    uv_timer_init(loop, &hub->tick);
    uv_timer_init(loop, &hub->wake);
    hub->tick.data = hub->wake.data = hub;
    uv_timer_start(&hub->tick, on_tick, TICK_MS, TICK_MS);
    return hub;
}

void list_hub_stop(struct list_hub *hub)
{
    uv_close((uv_handle_t *)&hub->tick, NULL);
    uv_close((uv_handle_t *)&hub->wake, NULL);
}

void list_hub_free(struct list_hub *hub)
{
    struct view_entry *entry, *next;

    if (hub == NULL)
        return;
    DL_FOREACH_SAFE (hub->views, entry, next) {
        list_view_free(entry->view);
        free(entry);
    }
    clear_heard(&hub->heard);
    clear_heard(&hub->read.heard);
    moved_runs_free(hub->state.runs);
    memory_hold(hub->state.frames->memory, MEMORY_TREES, &hub->held, 0);
    free(hub);
}

struct list_hub_stats list_hub_stats(const struct list_hub *hub)
{
    struct list_hub_stats stats = {
        .runs = moved_runs_count(hub->state.runs), .reads = hub->reads, .resets = hub->resets};
    struct view_entry *entry;

    DL_FOREACH (hub->views, entry)
        stats.views++;
    return stats;
}
