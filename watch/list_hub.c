#include "watch/list_hub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uthash.h>
#include <utlist.h>

#include "model/list_stream_id.h"
#include "model/moved_runs.h"
#include "model/records.h"
#include "model/subscription.h"
#include "sql/action_repo.h"

enum {
    FLUSH_INTERVAL_MIN_MS = 100, /* nobody reads a list that moves faster */
    KEYS_MAX = 5000,             /* more are read by transaction id */
    TICK_MS = 500,
    RETRY_MS = 500,
    POLL_MS = 5000,           /* a notification that never came costs at most so long … */
    POLL_PART = 50,           /* … unless the read takes more than a fiftieth of it */
    PIECE_BYTES = 64 * 1024,  /* of one piece of a walk, about */
    ID_AGE_MAX_S = 24 * 3600, /* deletions are kept for longer, see sql/migrations */
};

/* A run that was notified. */
struct heard_run {
    UT_hash_handle hh;
    char path[RUN_PATH_SIZE]; /* the hash key */
    char key_text[RUN_PATH_SIZE];
    struct run_key key; /* into key_text */
};

struct heard_runs {
    struct heard_run *by_path;
    int64_t all_heard_below; /* with these, a transaction */
    uint64_t since_ns;       /* when the first was heard; 0: none */
};

/* One filter over the list, shared by all watchers with that filter. */
struct list_view {
    struct list_view *prev, *next;
    struct list_hub *hub;
    struct list_filter filter;
    char filter_hash[LIST_FILTER_HASH_SIZE];
    int32_t limit;
    char *label;  /* the first members of its data, with a comma; NULL: a view of single streams */
    bool is_part; /* of a list over several cells */
    struct channel *channel;
    struct {
        size_t awaited_by; /* streams */
        int64_t begun, done;
        bool is_reading;
        struct buffer records;
        int32_t count, pages;
        bool goes_on; /* behind this run: */
        int64_t after_us;
        char after[RUN_PATH_SIZE];
        int64_t heard_below, sequence_begun; /* when the first page had come */
        int64_t sequence, below;             /* the move and the transactions that it includes */
        int64_t runs;                        /* in `frame` */
        struct frame *frame;                 /* NULL unless somebody waits for it */
        struct list_order reading, order;    /* of a part: the runs of `records`, of `frame` */
        struct frame *newest;                /* `newest_count` runs of `frame`; NULL: nobody … */
        size_t newest_count;                 /* … took so many of them */
    } snapshot;
    size_t holds;
};

enum list_stage {
    LIST_WANTS_SNAPSHOT,
    LIST_HAS_ID, /* it came with an id, which has to be checked */
    LIST_TOLD,   /* everything up to `cursor`, of those that moved from `since_xid` on */
};

/* Where a stream of a view stands. */
struct list_place {
    enum list_stage stage;
    uint32_t timeline;    /* of its id */
    int64_t awaited_read; /* the number of the read that it waits for; 0: none */
    int64_t since_xid;    /* the transaction of its id; 0 once it is synced */
    int64_t cursor;       /* a move */
    int64_t runs_sent;    /* before `synced` */
    int64_t known_below;  /* the client has all moves of transactions below it */
    bool is_walking;
    bool is_synced;      /* `synced` was sent */
    bool is_merged;      /* is told how much of the snapshot it takes */
    int64_t runs_synced; /* `runs` of its `synced` */
};

_Static_assert(sizeof(struct list_place) <= CHANNEL_PLACE_BYTES, "a place has room for it");

enum read_kind { READ_MOMENT, READ_BY_KEY, READ_SINCE };

struct list_hub {
    uv_loop_t *loop;
    struct list_hub_options options;
    struct action_repo *repo;
    const struct log *log;
    struct moved_runs *runs;
    bool is_started;
    uint32_t timeline;
    int64_t heard_below; /* all moves of transactions below it are known */
    int64_t none_from;   /* no transaction from here on has been seen */
    int64_t reads_begun; /* of what moved since a transaction; numbers the reads */
    int64_t reads_done;
    struct list_view *views;
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
    HASH_ADD_STR(heard->by_path, path, run);
    return 0;
}

void list_hub_hear(struct list_hub *hub, const struct run_notification *notification)
{
    if (!hub->is_active)
        return;
    *hub->options.is_due = true;
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
    *hub->options.is_due = hub->has_gap = true;
}

/* -------- reading -------- */

static void flush(struct list_hub *hub)
{
    struct list_view *view;

    memory_hold(hub->options.memory, MEMORY_TREES, &hub->held, moved_runs_bytes(hub->runs));
    DL_FOREACH (hub->views, view)
        channel_wake(view->channel);
}

/* Streams that are live end, and come back with their ids. */
static void restart(struct list_hub *hub)
{
    hub->resets++;
    hub->is_started = false;
    hub->too_old_xid = -1;
    hub->has_gap = false;
    clear_heard(&hub->heard);
    moved_runs_restart(hub->runs, INT64_MAX);
    flush(hub);
}

static void on_changed_run(void *arg, const struct changed_run *changed)
{
    struct list_hub *hub = arg;
    bool is_old =
        changed->xid < hub->heard_below && find_heard(&hub->read.heard, &changed->key) == NULL;
    int status = moved_runs_put(hub->runs, &changed->key, changed->xid, changed->run, is_old);

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
    moved_runs_restart(hub->runs, moment->none_from);
    hub->timeline = moment->timeline;
    hub->heard_below = moment->all_below;
    hub->none_from = moment->none_from;
    hub->is_started = true;
    hub->next_poll_ms = uv_now(hub->loop) + POLL_MS;
    hub->read.has_news = true;
}

static void end_since(struct list_hub *hub, const struct database_moment *moment)
{
    bool is_all = hub->read.count <= MOVED_RUNS_MAX;
    uint64_t took_ms = uv_now(hub->loop) - hub->read.began_ms;

    hub->reads_done = hub->reads_begun;
    hub->next_poll_ms =
        uv_now(hub->loop) + (took_ms * POLL_PART > POLL_MS ? took_ms * POLL_PART : POLL_MS);
    hub->read.has_news = true; /* for those who waited for it */
    if (!is_all && hub->read.xid >= hub->heard_below) {
        log_write(hub->log, LOG_WARNING, "too many runs moved unheard", "");
        restart(hub);
        return;
    }
    if (!is_all || !moved_runs_complete(hub->runs, hub->read.xid))
        advance(&hub->too_old_xid, hub->read.xid);
    if (is_all)
        advance(&hub->heard_below, moment->all_below);
    else
        hub->has_gap = true;
}

static void end_read(struct list_hub *hub, const struct database_moment *moment)
{
    if (hub->read.kind == READ_MOMENT) {
        end_moment(hub, moment);
        return;
    }
    if (hub->read.has_failed || hub->timeline != moment->timeline) {
        log_write(hub->log, LOG_INFO, "watchers of the list of runs reset", "s:s", "why",
                  hub->read.has_failed ? "out of memory" : "the database is another one");
        restart(hub);
        return;
    }
    advance(&hub->none_from, moment->none_from);
    if (hub->read.kind == READ_SINCE)
        end_since(hub, moment);
    else
        advance(&hub->heard_below, hub->read.heard.all_heard_below);
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
            log_write(hub->log, LOG_ERROR, "the runs that moved could not be read", "s:s?", "why",
                      message);
    }
    if (hub->read.has_news)
        flush(hub);
    if (hub->read.has_news && hub->read.heard.since_ns != 0)
        metrics_observe(hub->options.metrics, HISTOGRAM_LIST_LAG,
                        (double)(uv_hrtime() - hub->read.heard.since_ns) / 1e9);
    clear_heard(&hub->read.heard);
    *hub->options.is_due = true;
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
    status = action_repo_runs_by_key(hub->repo, keys, count, on_changed_run, on_read, hub);
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
        status = action_repo_runs_since(hub->repo, 0, 0, on_changed_run, on_read, hub);
    } else if (kind == READ_BY_KEY) {
        status = read_by_key(hub);
    } else {
        hub->read.xid = hub->wanted_xid < hub->heard_below ? hub->wanted_xid : hub->heard_below;
        hub->wanted_xid = INT64_MAX;
        hub->has_gap = false;
        hub->reads_begun++;
        status = action_repo_runs_since(hub->repo, hub->read.xid, MOVED_RUNS_MAX + 1,
                                        on_changed_run, on_read, hub);
    }
    hub->reads++;
    if (status < 0)
        on_read(hub, REPO_LOST, NULL, NULL);
}

static void on_wake(uv_timer_t *timer)
{
    struct list_hub *hub = timer->data;

    *hub->options.is_due = true;
}

void list_hub_run(struct list_hub *hub)
{
    uint64_t now_ms = uv_now(hub->loop);
    uint64_t due_ms = hub->last_read_ms + hub->options.flush_interval_ms;
    bool is_behind = hub->has_gap || hub->wanted_xid != INT64_MAX || hub->heard.by_path != NULL;

    *hub->options.is_due = false;
    if (!hub->is_active || hub->read.is_under_way || (hub->is_started && !is_behind) ||
        now_ms < hub->retry_at_ms)
        return;
    if (!hub->is_started)
        start_read(hub, READ_MOMENT);
    else if (hub->has_gap || hub->wanted_xid != INT64_MAX)
        start_read(hub, READ_SINCE);
    else if (hub->heard.by_path != NULL && now_ms >= due_ms)
        start_read(hub, READ_BY_KEY);
    else if (hub->heard.by_path != NULL)
        uv_timer_start(&hub->wake, on_wake, due_ms - now_ms, 0);
}

/* -------- records -------- */

static void add_run(const struct list_view *view, struct buffer *buffer, const char *record,
                    size_t length)
{
    record_begin(buffer, "runUpdate", view->label);
    buffer_append(buffer, record + 1, length - 1);
    buffer_text(buffer, "\n");
}

/* Ends the record. */
static void add_id(const struct list_view *view, struct buffer *buffer, int64_t xid)
{
    struct list_stream_id id = {
        .timeline = view->hub->timeline, .xid = xid, .given_s = (int64_t)time(NULL)};
    char text[LIST_STREAM_ID_SIZE];

    if (view->label == NULL) {
        memcpy(id.filter, view->filter_hash, sizeof id.filter);
        list_stream_id_format(&id, text);
        buffer_text(buffer, "id: ");
        buffer_text(buffer, text);
        buffer_text(buffer, "\n");
    }
    buffer_text(buffer, "\n");
}

static void add_synced(const struct list_view *view, struct buffer *buffer, int64_t runs,
                       int64_t xid)
{
    record_begin(buffer, "synced", view->label);
    buffer_integer_member(buffer, "\"runs\":", runs);
    buffer_text(buffer, "}\n");
    add_id(view, buffer, xid);
}

/* -------- the snapshot -------- */

static void on_snapshot_run(void *arg, const struct run *run, struct page_row row)
{
    struct list_view *view = arg;
    struct buffer record = {0};

    view->snapshot.goes_on = row.goes_on;
    view->snapshot.after_us = run_shown_us(run);
    run_key_path(&run->key, view->snapshot.after);
    if (!row.is_listed)
        return;
    record_write_run(&record, run);
    add_run(view, &view->snapshot.records, record.bytes, record.length);
    buffer_text(&view->snapshot.records, "\n");
    if (view->is_part)
        list_order_add(&view->snapshot.reading, run_shown_us(run), &run->key,
                       view->snapshot.records.length);
    view->snapshot.records.failed |= record.failed;
    buffer_free(&record);
    view->snapshot.count++;
}

static void drop_snapshot(struct list_view *view)
{
    frame_release(view->snapshot.frame);
    frame_release(view->snapshot.newest);
    view->snapshot.frame = view->snapshot.newest = NULL;
    list_order_free(&view->snapshot.order);
}

static void finish_snapshot(struct list_view *view)
{
    if (!view->is_part)
        add_synced(view, &view->snapshot.records, view->snapshot.count, view->snapshot.heard_below);
    view->snapshot.records.failed |= list_order_failed(&view->snapshot.reading);
    drop_snapshot(view);
    view->snapshot.order = view->snapshot.reading;
    view->snapshot.reading = (struct list_order){0};
    view->snapshot.frame = frame_new(view->hub->options.memory, &view->snapshot.records);
    view->snapshot.sequence = view->snapshot.sequence_begun;
    view->snapshot.below = view->snapshot.heard_below;
    view->snapshot.runs = view->snapshot.count;
    if (view->snapshot.frame != NULL)
        view->snapshot.done = view->snapshot.begun;
}

static bool read_snapshot_page(struct list_view *view);

static void on_snapshot_end(void *arg, enum repo_outcome outcome, const char *message)
{
    struct list_view *view = arg;
    bool is_awaited = outcome == REPO_OK && view->snapshot.awaited_by > 0;

    if (view->snapshot.pages++ == 0) {
        view->snapshot.sequence_begun = moved_runs_sequence(view->hub->runs);
        view->snapshot.heard_below = view->hub->heard_below;
    }
    if (is_awaited && view->snapshot.goes_on && view->snapshot.count < view->limit &&
        view->hub->is_started && read_snapshot_page(view))
        return;
    view->snapshot.is_reading = false;
    if (outcome == REPO_REFUSED)
        log_write(view->hub->log, LOG_ERROR, "the list of runs could not be read", "s:s?", "why",
                  message);
    if (is_awaited && !(view->snapshot.goes_on && view->snapshot.count < view->limit)) {
        finish_snapshot(view);
        channel_wake(view->channel);
    }
    buffer_free(&view->snapshot.records);
    view->snapshot.records = (struct buffer){0};
    list_order_free(&view->snapshot.reading);
}

/* The repo answers in the order of asking: moves that are known when the first page has come are in
 * the snapshot, those that will be are newer or are told again. */
static bool read_snapshot_page(struct list_view *view)
{
    const struct list_filter *filter = &view->filter;
    struct run_query query = {
        .project = filter->project[0] == '\0' ? NULL : filter->project,
        .domain = filter->domain[0] == '\0' ? NULL : filter->domain,
        .phases = filter->filter.phases,
        .access = filter->access,
        .name = filter->filter.name[0] == '\0' ? NULL : filter->filter.name,
        .labels = filter->labels,
        .limit = view->limit - view->snapshot.count,
    };
    char after[RUN_PATH_SIZE];

    memcpy(after, view->snapshot.after, sizeof after);
    if (view->snapshot.pages > 0) {
        query.after.shown_us = view->snapshot.after_us;
        query.after.key = run_key_split(after);
    }
    view->snapshot.goes_on = false;
    return action_repo_list_runs(view->hub->repo, &query, on_snapshot_run, on_snapshot_end, view) ==
           0;
}

static void read_snapshot(struct list_view *view)
{
    if (view->snapshot.is_reading || !view->hub->is_started)
        return;
    view->snapshot.count = 0;
    view->snapshot.pages = 0;
    view->snapshot.is_reading = read_snapshot_page(view);
    view->snapshot.begun += view->snapshot.is_reading;
}

static void stop_awaiting_snapshot(struct list_view *view)
{
    view->snapshot.awaited_by--;
    if (view->snapshot.awaited_by == 0)
        drop_snapshot(view);
}

/* Whoever stands there has the newest `count` runs of the snapshot. */
static void give_snapshot(struct list_view *view, struct list_place *place, int64_t count)
{
    *place = (struct list_place){.stage = LIST_TOLD,
                                 .cursor = view->snapshot.sequence,
                                 .known_below = view->snapshot.below,
                                 .is_synced = true,
                                 .runs_synced = count};
    stop_awaiting_snapshot(view);
}

/* Whoever asked before a read began is content with it: it has all that was committed before. */
static enum channel_next next_snapshot(struct list_view *view, struct list_place *place,
                                       struct frame **frame)
{
    if (place->awaited_read == 0) {
        place->awaited_read = view->snapshot.begun + 1;
        view->snapshot.awaited_by++;
    }
    *frame = NULL;
    if (view->snapshot.done < place->awaited_read || view->snapshot.frame == NULL) {
        read_snapshot(view);
        return CHANNEL_IDLE;
    }
    if (place->is_merged)
        return CHANNEL_IDLE;
    if (frame_length(view->snapshot.frame) > 0)
        *frame = frame_keep(view->snapshot.frame);
    give_snapshot(view, place, view->snapshot.runs);
    return *frame == NULL ? CHANNEL_LATER : CHANNEL_FRAME;
}

/* -------- ids -------- */

static bool is_young(int64_t given_s)
{
    return (int64_t)time(NULL) - given_s < ID_AGE_MAX_S;
}

/* What can be seen without the database's present state. */
static bool read_id(const struct list_view *view, const char *text, struct list_stream_id *id)
{
    return list_stream_id_parse(text, id) == 0 && strcmp(id->filter, view->filter_hash) == 0 &&
           is_young(id->given_s);
}

bool list_view_knows(const struct list_view *view, const char *id)
{
    struct list_stream_id read;

    return read_id(view, id, &read);
}

/* A stream wants to know what moved since this transaction. False: that is too much. */
static bool want_since(struct list_hub *hub, int64_t xid)
{
    if (xid <= hub->too_old_xid)
        return false;
    if (xid > hub->heard_below)
        xid = hub->heard_below;
    if (xid < hub->wanted_xid)
        hub->wanted_xid = xid;
    *hub->options.is_due = true;
    return true;
}

/* The hub reads first: the id may be older than the moves that it knows, or from a process that
 * knows more, and whatever was committed before the client came is told before `synced`. */
static enum channel_next check_id(struct list_view *view, struct list_place *place)
{
    struct list_hub *hub = view->hub;

    if (place->timeline != hub->timeline)
        return CHANNEL_RESET;
    if (place->awaited_read == 0) {
        if (!want_since(hub, place->since_xid))
            return CHANNEL_RESET;
        place->awaited_read = hub->reads_begun + 1;
    }
    if (hub->reads_done < place->awaited_read)
        return CHANNEL_IDLE;
    if (place->since_xid < moved_runs_complete_from(hub->runs) || place->since_xid > hub->none_from)
        return CHANNEL_RESET;
    *place = (struct list_place){
        .stage = LIST_TOLD, .since_xid = place->since_xid, .cursor = moved_runs_start(hub->runs)};
    return CHANNEL_LATER;
}

/* -------- walks -------- */

static void end_walk(const struct list_view *view, struct buffer *buffer, struct list_place *place)
{
    if (!place->is_synced && !view->is_part) {
        if (buffer->length > 0)
            buffer_text(buffer, "\n");
        add_synced(view, buffer, place->runs_sent, view->hub->heard_below);
    } else if (buffer->length > 0) {
        add_id(view, buffer, view->hub->heard_below);
    }
    *place = (struct list_place){.stage = LIST_TOLD,
                                 .cursor = moved_runs_sequence(view->hub->runs),
                                 .known_below = view->hub->heard_below,
                                 .is_synced = true,
                                 .runs_synced =
                                     place->is_synced ? place->runs_synced : place->runs_sent};
}

/* Of a run that was deleted nobody knows what its title and its labels were. */
static bool is_told(const struct list_filter *filter, const struct moved_run *run)
{
    struct list_filter any = *filter;

    if (run->is_deleted)
        any.filter.name[0] = any.labels[0] = '\0';
    return list_filter_covers(&any, &run->key,
                              (struct json_text){run->record.bytes, run->record.length});
}

static int on_make_piece(void *source, void *at, struct buffer *records)
{
    const struct list_view *view = source;
    struct list_place *place = at;
    const struct moved_run *run = moved_runs_after(view->hub->runs, place->cursor);

    place->is_walking = true;
    for (; run != NULL && records->length < PIECE_BYTES; run = run->next) {
        if (run->xid >= place->since_xid && is_told(&view->filter, run)) {
            /* A record is ended when it is known whether it is the last of its flush: that one has
             * the id. */
            if (records->length > 0)
                buffer_text(records, "\n");
            add_run(view, records, run->record.bytes, run->record.length);
            place->runs_sent += !place->is_synced;
        }
        place->cursor = run->sequence;
    }
    if (run == NULL)
        end_walk(view, records, place);
    else if (records->length > 0)
        buffer_text(records, "\n");
    return 0;
}

static bool is_same_place(const void *one, const void *other)
{
    const struct list_place *a = one, *b = other;

    return a->cursor == b->cursor && a->is_walking == b->is_walking &&
           a->is_synced == b->is_synced && a->since_xid == b->since_xid &&
           a->runs_sent == b->runs_sent;
}

static enum channel_next on_next(void *source, void *at, bool is_following, struct frame **frame)
{
    struct list_view *view = source;
    struct list_hub *hub = view->hub;
    struct list_place *place = at;

    (void)is_following; /* the list has no end */
    if (place->stage != LIST_TOLD && !hub->is_started)
        return CHANNEL_IDLE;
    if (place->stage == LIST_WANTS_SNAPSHOT)
        return next_snapshot(view, place, frame);
    if (place->stage == LIST_HAS_ID)
        return check_id(view, place);
    /* Too far behind, or the hub has begun anew. */
    if (!moved_runs_reach(hub->runs, place->cursor))
        return CHANNEL_LOST;
    if (place->is_synced && !place->is_walking && place->cursor == moved_runs_sequence(hub->runs))
        return CHANNEL_IDLE;
    return CHANNEL_PIECE;
}

static void on_restart(const void *source, void *at)
{
    (void)source;
    *(struct list_place *)at = (struct list_place){.stage = LIST_WANTS_SNAPSHOT};
}

static void on_write_reset(const void *source, struct buffer *records)
{
    const struct list_view *view = source;

    record_write_reset(records, view->label);
}

static bool on_position(const void *source, const void *at, struct watch_position *position)
{
    const struct list_view *view = source;
    const struct list_place *place = at;

    if (place->stage != LIST_TOLD || place->is_walking || !place->is_synced)
        return false;
    position->state = view->hub->timeline;
    position->number = place->known_below;
    position->given_s = (int64_t)time(NULL);
    return true;
}

static void on_write_heartbeat(const void *source, struct buffer *records)
{
    (void)source;
    buffer_text(records, "event: heartbeat\ndata: {}\n\n");
}

static void on_stream_left(void *source, const void *at)
{
    const struct list_place *place = at;

    if (place->stage == LIST_WANTS_SNAPSHOT && place->awaited_read > 0)
        stop_awaiting_snapshot(source);
}

struct stream *list_view_add_stream(struct list_view *view, struct streams *streams, int fd,
                                    struct frame *head, const char *id_text)
{
    struct channel_start start = {0};
    struct list_place place = {.stage = LIST_WANTS_SNAPSHOT};
    struct list_stream_id id;

    if (id_text != NULL && read_id(view, id_text, &id))
        place =
            (struct list_place){.stage = LIST_HAS_ID, .timeline = id.timeline, .since_xid = id.xid};
    else
        start.wants_reset = id_text != NULL;
    memcpy(start.place.bytes, &place, sizeof place);
    return channel_add_stream(view->channel, streams, fd, head, &start);
}

uint64_t list_view_key(const struct list_filter *filter, const char *cell)
{
    char filter_hash[LIST_FILTER_HASH_SIZE];

    list_filter_hash(filter, filter_hash);
    return watch_key(cell == NULL ? "" : cell, filter_hash);
}

struct channel_member *list_view_join(struct list_view *view, const struct watch_position *position,
                                      channel_wake_fn *wake, void *arg)
{
    struct channel_start start = {0};
    struct list_place place = {.stage = LIST_WANTS_SNAPSHOT};

    if (position != NULL && position->state <= UINT32_MAX && is_young(position->given_s))
        place = (struct list_place){.stage = LIST_HAS_ID,
                                    .timeline = (uint32_t)position->state,
                                    .since_xid = position->number};
    else
        start.wants_reset = true;
    memcpy(start.place.bytes, &place, sizeof place);
    return channel_join(view->channel, &start, wake, arg);
}

/* -------- of a list over several cells -------- */

struct channel_member *list_view_join_merged(struct list_view *view, channel_wake_fn *wake,
                                             void *arg)
{
    const struct list_place place = {.stage = LIST_WANTS_SNAPSHOT, .is_merged = true};
    struct channel_start start = {0};

    memcpy(start.place.bytes, &place, sizeof place);
    return channel_join(view->channel, &start, wake, arg);
}

static const struct list_place *place_of(const struct channel_member *member)
{
    return channel_member_place(member);
}

const struct list_order *list_member_snapshot(const struct channel_member *member)
{
    const struct list_view *view = channel_member_source(member);
    const struct list_place *place = place_of(member);

    if (!place->is_merged || place->awaited_read == 0 ||
        view->snapshot.done < place->awaited_read || view->snapshot.frame == NULL)
        return NULL;
    return &view->snapshot.order;
}

/* The same for all who take as many. */
static struct frame *newest_of_snapshot(struct list_view *view, size_t count)
{
    size_t length = list_order_end(&view->snapshot.order, count);

    if (length == frame_length(view->snapshot.frame))
        return view->snapshot.frame;
    if (view->snapshot.newest != NULL && view->snapshot.newest_count != count) {
        frame_release(view->snapshot.newest);
        view->snapshot.newest = NULL;
    }
    if (view->snapshot.newest == NULL)
        view->snapshot.newest =
            frame_new_of_start(view->hub->options.memory, view->snapshot.frame, length);
    view->snapshot.newest_count = count;
    return view->snapshot.newest;
}

int list_member_take(struct channel_member *member, size_t count, struct frame **frame)
{
    struct list_view *view = channel_member_source(member);
    struct frame *newest = count == 0 ? NULL : newest_of_snapshot(view, count);

    *frame = NULL;
    if (newest == NULL && count > 0)
        return -ENOMEM;
    if (newest != NULL)
        *frame = frame_keep(newest);
    give_snapshot(view, channel_member_place(member), (int64_t)count);
    return 0;
}

void list_member_take_all(struct channel_member *member)
{
    struct list_place *place = channel_member_place(member);

    place->is_merged = false;
}

int64_t list_member_runs(const struct channel_member *member)
{
    return place_of(member)->runs_synced;
}

/* -------- views -------- */

static void free_view(struct list_view *view)
{
    free(view->label);
    channel_free(view->channel);
    drop_snapshot(view);
    list_order_free(&view->snapshot.reading);
    buffer_free(&view->snapshot.records);
    access_release(view->filter.access);
    free(view);
}

static bool is_used(const struct list_view *view)
{
    return channel_member_count(view->channel) > 0 || view->holds > 0 || view->snapshot.is_reading;
}

static bool is_same_label(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static struct list_view *find_view(const struct list_hub *hub, const struct list_filter *filter,
                                   int32_t limit, const char *label)
{
    struct list_view *view;

    DL_FOREACH (hub->views, view)
        if (view->limit == limit && is_same_label(view->label, label) &&
            list_filter_equal(&view->filter, filter))
            return view;
    return NULL;
}

/* With the label taken over, also on failure. */
static struct list_view *add_view(struct list_hub *hub, const struct list_filter *filter,
                                  int32_t limit, char *label, bool is_part)
{
    static const struct channel_source source_class = {
        .next = on_next,
        .make_piece = on_make_piece,
        .is_same_place = is_same_place,
        .restart = on_restart,
        .write_reset = on_write_reset,
        .write_heartbeat = on_write_heartbeat,
        .position = on_position,
        .on_left = on_stream_left,
    };
    struct list_view *view = calloc(1, sizeof *view);

    if (view != NULL)
        view->channel = channel_new(hub->options.channels, &source_class, view);
    if (view == NULL || view->channel == NULL) {
        free(label);
        free(view);
        return NULL;
    }
    view->hub = hub;
    view->filter = *filter;
    access_hold(filter->access);
    list_filter_hash(filter, view->filter_hash);
    view->limit = limit;
    view->label = label;
    view->is_part = is_part;
    DL_APPEND(hub->views, view);
    return view;
}

struct list_view *list_hub_hold_view(struct list_hub *hub, const struct list_filter *filter,
                                     int32_t limit, const char *subscription, const char *cell)
{
    bool is_alone = subscription == NULL && cell == NULL;
    char *label = is_alone ? NULL : subscription_label(subscription, cell);
    struct list_view *view;

    if (!is_alone && label == NULL)
        return NULL;
    view = find_view(hub, filter, limit, label);
    if (view == NULL)
        view = add_view(hub, filter, limit, label, cell != NULL);
    else
        free(label);
    if (view != NULL)
        view->holds++;
    *hub->options.is_due = hub->is_active = true;
    return view;
}

void list_view_release(struct list_view *view)
{
    view->holds--;
}

static void drop_unused_views(struct list_hub *hub)
{
    struct list_view *view, *next;

    DL_FOREACH_SAFE (hub->views, view, next) {
        if (is_used(view))
            continue;
        DL_DELETE(hub->views, view);
        free_view(view);
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
    struct list_view *view;

    if (!hub->is_active)
        return;
    *hub->options.is_due = true; /* after a read that failed, it is time */
    drop_unused_views(hub);
    if (hub->views != NULL)
        hub->last_used_ms = now_ms;
    else if (!hub->read.is_under_way && now_ms - hub->last_used_ms >= hub->options.linger_ms) {
        fall_asleep(hub);
        return;
    }
    if (now_ms >= hub->next_poll_ms)
        hub->has_gap = true;
    DL_FOREACH (hub->views, view)
        if (view->snapshot.awaited_by > 0)
            read_snapshot(view);
}

struct list_hub *list_hub_new(uv_loop_t *loop, struct action_repo *repo,
                              const struct list_hub_options *options, const struct log *log)
{
    struct list_hub *hub = calloc(1, sizeof *hub);

    if (hub == NULL)
        return NULL;
    hub->runs = moved_runs_new();
    if (hub->runs == NULL) {
        free(hub);
        return NULL;
    }
    hub->loop = loop;
    hub->options = *options;
    if (hub->options.flush_interval_ms < FLUSH_INTERVAL_MIN_MS)
        hub->options.flush_interval_ms = FLUSH_INTERVAL_MIN_MS;
    hub->repo = repo;
    hub->log = log;
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
    struct list_view *view, *next;

    if (hub == NULL)
        return;
    DL_FOREACH_SAFE (hub->views, view, next)
        free_view(view);
    clear_heard(&hub->heard);
    clear_heard(&hub->read.heard);
    moved_runs_free(hub->runs);
    memory_hold(hub->options.memory, MEMORY_TREES, &hub->held, 0);
    free(hub);
}

struct list_hub_stats list_hub_stats(const struct list_hub *hub)
{
    struct list_hub_stats stats = {
        .runs = moved_runs_count(hub->runs), .reads = hub->reads, .resets = hub->resets};
    struct list_view *view;

    DL_FOREACH (hub->views, view)
        stats.views++;
    return stats;
}
