#include "watch/list_view.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/records.h"

enum {
    FRAME_BYTES_MAX = 64 * 1024, /* of one piece of a walk, about */
    ID_AGE_MAX_S = 24 * 3600,    /* deletions are kept for longer, see sql/migrations */
};

struct list_view {
    const struct list_state *hub;
    struct list_filter filter;
    char filter_hash[LIST_FILTER_HASH_SIZE];
    int32_t limit;
    struct stream_list streams;
    struct frame_cache cache;
    struct {
        size_t awaited_by; /* streams */
        int64_t begun, done;
        bool is_reading;
        struct json_buffer records;
        int32_t count, pages;
        bool goes_on; /* behind this run: */
        int64_t after_us;
        char after[RUN_PATH_SIZE];
        int64_t heard_below, sequence_begun; /* when the first page had come */
        int64_t sequence;                    /* the move that it includes */
        struct frame *frame;                 /* NULL unless somebody waits for it */
    } snapshot;
    size_t holds;
    list_want_fn *want;
    void *arg;
};

struct list_view *list_view_new(const struct list_state *hub, const struct list_filter *filter,
                                int32_t limit, list_want_fn *want, void *arg)
{
    struct list_view *view = calloc(1, sizeof *view);

    if (view == NULL)
        return NULL;
    view->hub = hub;
    view->filter = *filter;
    access_hold(filter->access);
    list_filter_hash(filter, view->filter_hash);
    view->limit = limit;
    view->cache.pool = hub->frames;
    view->want = want;
    view->arg = arg;
    return view;
}

void list_view_free(struct list_view *view)
{
    frame_cache_drop(&view->cache);
    frame_release(view->snapshot.frame);
    json_buffer_free(&view->snapshot.records);
    access_release(view->filter.access);
    free(view);
}

bool list_view_is_used(const struct list_view *view)
{
    return view->streams.count > 0 || view->holds > 0 || view->snapshot.is_reading;
}

void list_view_hold(struct list_view *view)
{
    view->holds++;
}

void list_view_release(struct list_view *view)
{
    view->holds--;
}

bool list_view_is(const struct list_view *view, const struct list_filter *filter, int32_t limit)
{
    return view->limit == limit && list_filter_equal(&view->filter, filter);
}

void list_view_flush(struct list_view *view)
{
    frame_cache_drop(&view->cache);
    for (struct stream *stream = view->streams.first; stream != NULL;
         stream = stream_list_next(stream))
        stream_wake(stream);
}

/* -------- records -------- */

static void add_id(const struct list_view *view, struct json_buffer *buffer, int64_t xid)
{
    struct list_stream_id id = {
        .timeline = view->hub->timeline, .xid = xid, .given_s = (int64_t)time(NULL)};
    char text[LIST_STREAM_ID_SIZE];

    memcpy(id.filter, view->filter_hash, sizeof id.filter);
    list_stream_id_format(&id, text);
    json_buffer_text(buffer, "id: ");
    json_buffer_text(buffer, text);
    json_buffer_text(buffer, "\n\n");
}

static void add_synced(const struct list_view *view, struct json_buffer *buffer, int64_t runs,
                       int64_t xid)
{
    json_buffer_text(buffer, "event: synced\ndata: {\"runs\":");
    json_buffer_integer(buffer, runs);
    json_buffer_text(buffer, "}\n");
    add_id(view, buffer, xid);
}

/* -------- the snapshot -------- */

static void on_snapshot_run(void *arg, const struct run *run, struct page_row row)
{
    struct list_view *view = arg;

    view->snapshot.goes_on = row.goes_on;
    view->snapshot.after_us = run->first_seen_us;
    run_key_path(&run->key, view->snapshot.after);
    if (!row.is_listed)
        return;
    json_buffer_text(&view->snapshot.records, "event: runUpdate\ndata: ");
    record_write_run(&view->snapshot.records, run);
    json_buffer_text(&view->snapshot.records, "\n\n");
    view->snapshot.count++;
}

static void finish_snapshot(struct list_view *view)
{
    add_synced(view, &view->snapshot.records, view->snapshot.count, view->snapshot.heard_below);
    frame_release(view->snapshot.frame);
    view->snapshot.frame = frame_new(view->hub->frames->memory, &view->snapshot.records);
    view->snapshot.sequence = view->snapshot.sequence_begun;
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
        list_view_flush(view);
    }
    json_buffer_free(&view->snapshot.records);
    view->snapshot.records = (struct json_buffer){0};
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
        .limit = view->limit - view->snapshot.count,
    };
    char after[RUN_PATH_SIZE];

    memcpy(after, view->snapshot.after, sizeof after);
    if (view->snapshot.pages > 0) {
        query.after.first_seen_us = view->snapshot.after_us;
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

void list_view_retry(struct list_view *view)
{
    if (view->snapshot.awaited_by > 0)
        read_snapshot(view);
}

static void stop_awaiting_snapshot(struct list_view *view)
{
    view->snapshot.awaited_by--;
    if (view->snapshot.awaited_by > 0)
        return;
    frame_release(view->snapshot.frame);
    view->snapshot.frame = NULL;
}

/* Whoever asked before a read began is content with it: it has all that was committed before. */
static enum stream_next next_snapshot(struct list_view *view, struct stream_position *position,
                                      struct frame **frame)
{
    if (position->list.awaited_read == 0) {
        position->list.awaited_read = view->snapshot.begun + 1;
        view->snapshot.awaited_by++;
    }
    if (view->snapshot.done < position->list.awaited_read) {
        read_snapshot(view);
        return STREAM_IDLE;
    }
    *frame = frame_keep(view->snapshot.frame);
    position->cursor = view->snapshot.sequence;
    position->is_synced = true;
    view->want(view->arg, view->hub->heard_below);
    position->list =
        (struct list_walk){.stage = LIST_SETTLING, .awaited_read = view->hub->reads_begun + 1};
    stop_awaiting_snapshot(view);
    return STREAM_FRAME;
}

/* -------- ids -------- */

/* What can be seen without the database's present state. */
static bool id_may_fit(const struct list_view *view, const char *text, struct list_stream_id *id)
{
    return list_stream_id_parse(text, id) == 0 && strcmp(id->filter, view->filter_hash) == 0 &&
           (int64_t)time(NULL) - id->given_s < ID_AGE_MAX_S;
}

struct stream_position list_view_start(const struct list_view *view, const char *id_text)
{
    struct stream_position position = {.list.stage = LIST_WANTS_SNAPSHOT};
    struct list_stream_id id;

    if (id_text != NULL && id_may_fit(view, id_text, &id)) {
        position.list.stage = LIST_HAS_ID;
        position.list.since_xid = id.xid;
        position.list.timeline = id.timeline;
    } else if (id_text != NULL) {
        position.wants_reset = true;
    }
    return position;
}

/* The hub reads first: the id may be older than the moves that it knows, or from a process that
 * knows more, and whatever was committed before the client came is told before `synced`. */
static enum stream_next check_id(struct list_view *view, struct stream_position *position)
{
    const struct list_state *hub = view->hub;
    struct list_walk *walk = &position->list;
    bool is_good = walk->timeline == hub->timeline;

    if (is_good && walk->awaited_read == 0) {
        is_good = view->want(view->arg, walk->since_xid);
        walk->awaited_read = hub->reads_begun + 1;
    }
    if (is_good && hub->reads_done < walk->awaited_read)
        return STREAM_IDLE;
    if (is_good && walk->since_xid >= moved_runs_complete_from(hub->runs) &&
        walk->since_xid <= hub->none_from) {
        position->cursor = moved_runs_start(hub->runs);
        walk->stage = LIST_CATCHING_UP;
        walk->awaited_read = 0;
    } else {
        position->wants_reset = true;
        *walk = (struct list_walk){.stage = LIST_WANTS_SNAPSHOT};
    }
    return STREAM_LATER;
}

/* -------- walks -------- */

/* Whether somebody who was told everything up to `since` may have been shown the run in a phase of
 * the filter. */
static bool has_left_since(const struct list_filter *filter, const struct moved_run *run,
                           int64_t since)
{
    for (int phase = PHASE_QUEUED; phase < PHASE_SLOTS; phase++)
        if (list_filter_has_phase(filter, (enum phase)phase) && run->left_at[phase] > since)
            return true;
    return false;
}

static bool is_to_be_sent(const struct list_view *view, const struct list_walk *walk,
                          const struct moved_run *run)
{
    if (!list_filter_covers(&view->filter, &run->key))
        return false;
    if (walk->stage < LIST_LIVE) /* what it was shown is not known */
        return run->xid >= walk->since_xid;
    return run->is_deleted || list_filter_has_phase(&view->filter, run->phase) ||
           has_left_since(&view->filter, run, walk->since);
}

/* A record is ended when it is known whether it is the last of its flush: that one has the id. */
static void begin_record(struct json_buffer *buffer, const char *record, size_t length)
{
    json_buffer_text(buffer, buffer->length == 0 ? "event: runUpdate\ndata: "
                                                 : "\nevent: runUpdate\ndata: ");
    json_buffer_append(buffer, record, length);
    json_buffer_text(buffer, "\n");
}

static void end_walk(const struct list_view *view, struct json_buffer *buffer,
                     struct stream_position *position)
{
    if (!position->is_synced) {
        if (buffer->length > 0)
            json_buffer_text(buffer, "\n");
        add_synced(view, buffer, position->list.runs_sent, view->hub->heard_below);
    } else if (buffer->length > 0) {
        add_id(view, buffer, view->hub->heard_below);
    }
    position->cursor = moved_runs_sequence(view->hub->runs);
    position->is_walking = false;
    position->is_synced = true;
    position->list = (struct list_walk){
        .stage = position->list.stage == LIST_SETTLING ? LIST_SETTLING : LIST_LIVE,
        .awaited_read = position->list.awaited_read,
    };
}

/* Of a stream that was told everything: the hub has read anew since the snapshot, so that what the
 * stream shows of a run is what the hub knew of it, or a phase that it has left since, which the
 * hub noted. */
static bool has_settled(const struct list_view *view, const struct stream_position *position)
{
    return position->list.stage == LIST_SETTLING &&
           view->hub->reads_done >= position->list.awaited_read;
}

static enum stream_next make_piece(const struct list_view *view, struct stream_position *position,
                                   struct frame **frame)
{
    const struct moved_run *run = moved_runs_after(view->hub->runs, position->cursor);
    struct stream_position before = *position;
    struct json_buffer buffer = {0};

    if (!position->is_walking)
        position->list.since = position->cursor;
    position->is_walking = true;
    for (; run != NULL && buffer.length < FRAME_BYTES_MAX; run = run->next) {
        if (is_to_be_sent(view, &position->list, run)) {
            begin_record(&buffer, run->record.bytes, run->record.length);
            position->list.runs_sent += !position->is_synced;
        }
        position->cursor = run->sequence;
    }
    if (run == NULL)
        end_walk(view, &buffer, position);
    else if (buffer.length > 0)
        json_buffer_text(&buffer, "\n");
    *frame = NULL;
    if (buffer.length == 0 && !buffer.failed)
        return STREAM_IDLE;
    *frame = frame_new(view->hub->frames->memory, &buffer);
    if (*frame == NULL) {
        *position = before;
        return STREAM_LATER;
    }
    return STREAM_FRAME;
}

static bool is_same_place(const struct stream_position *a, const struct stream_position *b)
{
    return a->cursor == b->cursor && a->is_walking == b->is_walking &&
           a->is_synced == b->is_synced && a->list.stage == b->list.stage &&
           a->list.since == b->list.since && a->list.since_xid == b->list.since_xid &&
           a->list.awaited_read == b->list.awaited_read && a->list.runs_sent == b->list.runs_sent;
}

/* The next piece of the walk, out of the cache if somebody stood here before. */
static enum stream_next next_piece(struct list_view *view, struct stream_position *position,
                                   struct frame **frame)
{
    struct stream_position before = *position;
    const struct cached_frame *cached = frame_cache_find(
        &view->cache, moved_runs_sequence(view->hub->runs), position, is_same_place);
    enum stream_next next;

    if (cached != NULL) {
        *position = cached->after;
        *frame = cached->frame == NULL ? NULL : frame_keep(cached->frame);
        return cached->next;
    }
    next = make_piece(view, position, frame);
    if (next != STREAM_LATER)
        frame_cache_put(&view->cache,
                        &(struct cached_frame){
                            .before = before, .after = *position, .frame = *frame, .next = next});
    return next;
}

static enum stream_next on_next(void *source, struct stream_position *position,
                                struct frame **frame)
{
    struct list_view *view = source;

    if (position->wants_reset) {
        *frame = frame_of_text("event: reset\ndata: {}\n\n");
        position->wants_reset = *frame == NULL;
        return *frame == NULL ? STREAM_LATER : STREAM_FRAME;
    }
    if (position->list.stage < LIST_CATCHING_UP) {
        if (!view->hub->is_started)
            return STREAM_IDLE;
        return position->list.stage == LIST_HAS_ID ? check_id(view, position)
                                                   : next_snapshot(view, position, frame);
    }
    /* Too far behind, or the hub has begun anew: the client comes back with its id. */
    if (!moved_runs_reach(view->hub->runs, position->cursor))
        return STREAM_END;
    if (position->is_synced && !position->is_walking &&
        position->cursor == moved_runs_sequence(view->hub->runs)) {
        if (has_settled(view, position))
            position->list = (struct list_walk){.stage = LIST_LIVE};
        return STREAM_IDLE;
    }
    return next_piece(view, position, frame);
}

static struct frame *on_heartbeat(void *source)
{
    (void)source;
    return frame_of_text("event: heartbeat\ndata: {}\n\n");
}

/* -------- streams -------- */

static void on_stream_left(void *source, struct stream *stream)
{
    struct list_view *view = source;
    const struct stream_position *position = stream_position(stream);

    stream_list_remove(&view->streams, stream);
    if (position->list.stage == LIST_WANTS_SNAPSHOT && position->list.awaited_read > 0)
        stop_awaiting_snapshot(view);
}

struct stream *list_view_add_stream(struct list_view *view, struct streams *streams, int fd,
                                    struct frame *head, const struct stream_position *position)
{
    static const struct stream_source source_class = {
        .next = on_next,
        .heartbeat = on_heartbeat,
        .on_left = on_stream_left,
    };
    struct stream *stream = stream_new(streams, fd, head, position, &source_class, view);

    if (stream == NULL)
        return NULL;
    stream_list_add(&view->streams, stream);
    return stream;
}
