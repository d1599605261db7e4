#include "watch/hub_view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

enum {
    FRAME_BYTES_MAX = 64 * 1024, /* of one piece of a walk, about */
    WALK_NODES_MAX = 20000,      /* looked at for one piece */
};

struct hub_view {
    const struct hub_state *hub;
    struct filter filter;
    char filter_hash[FILTER_HASH_SIZE + 1];
    struct run_view *view; /* NULL until it is needed, and while the hub has no manager */
    size_t held;           /* of the account */
    struct stream_list streams;
    struct frame_cache cache;
    struct hub_view_events events;
    void *arg;
};

static void account(struct hub_view *view)
{
    memory_hold(view->hub->frames->memory, MEMORY_VIEWS, &view->held,
                sizeof *view + (view->view == NULL ? 0 : run_view_bytes(view->view)));
}

struct hub_view *hub_view_new(const struct hub_state *hub, const struct filter *filter,
                              const struct hub_view_events *events, void *arg)
{
    struct hub_view *view = calloc(1, sizeof *view);

    if (view == NULL)
        return NULL;
    view->hub = hub;
    view->filter = *filter;
    filter_hash(filter, view->filter_hash);
    view->cache.pool = hub->frames;
    view->events = *events;
    view->arg = arg;
    account(view);
    return view;
}

void hub_view_free(struct hub_view *view)
{
    hub_view_forget(view);
    memory_hold(view->hub->frames->memory, MEMORY_VIEWS, &view->held, 0);
    free(view);
}

const struct filter *hub_view_filter(const struct hub_view *view)
{
    return &view->filter;
}

size_t hub_view_stream_count(const struct hub_view *view)
{
    return view->streams.count;
}

size_t hub_view_bytes_needed(const struct hub_view *view)
{
    const struct run_state_manager *manager = view->hub->manager;

    return view->view != NULL || manager == NULL
               ? 0
               : run_view_bytes_for(&view->filter, run_state_manager_count(manager));
}

int hub_view_sync(struct hub_view *view, struct run_view **synced)
{
    int status;

    if (view->view == NULL)
        view->view = run_view_new(view->hub->manager, &view->filter);
    if (view->view == NULL)
        return -ENOMEM;
    status = run_view_sync(view->view);
    account(view);
    *synced = view->view;
    return status;
}

void hub_view_forget(struct hub_view *view)
{
    frame_cache_drop(&view->cache);
    run_view_free(view->view);
    view->view = NULL;
    account(view);
}

void hub_view_flush(struct hub_view *view)
{
    frame_cache_drop(&view->cache);
    for (struct stream *stream = view->streams.first; stream != NULL;
         stream = stream_list_next(stream))
        stream_wake(stream);
}

void hub_view_reset_streams(struct hub_view *view, bool is_gone)
{
    for (struct stream *stream = view->streams.first; stream != NULL;
         stream = stream_list_next(stream)) {
        struct stream_position *position = stream_position(stream);

        position->wants_reset = true;
        position->is_gone = is_gone;
        stream_wake(stream);
    }
}

void hub_view_stream_id(const struct hub_view *view, int64_t revision, bool is_end,
                        char out[static STREAM_ID_SIZE])
{
    struct stream_id id = {.timeline = view->hub->timeline, .revision = revision, .is_end = is_end};

    memcpy(id.incarnation, view->hub->incarnation, sizeof id.incarnation);
    memcpy(id.filter, view->filter_hash, sizeof id.filter);
    stream_id_format(&id, out);
}

/* -------- frames -------- */

/* The record that is being written is ended when it is known whether it is the last: that one has
 * the id. */
struct frame_builder {
    struct json_buffer buffer;
    size_t records;
};

static void add_record(void *arg, const char *bytes, size_t length, bool meets_filter)
{
    struct frame_builder *builder = arg;

    json_buffer_text(&builder->buffer, builder->records++ == 0 ? "event: nodeUpdate\ndata: "
                                                               : "\nevent: nodeUpdate\ndata: ");
    json_buffer_append(&builder->buffer, bytes, length);
    json_buffer_text(&builder->buffer, meets_filter ? "true}\n" : "false}\n");
}

static void add_id(const struct hub_view *view, struct json_buffer *buffer, int64_t revision,
                   bool is_end)
{
    char id[STREAM_ID_SIZE];

    hub_view_stream_id(view, revision, is_end, id);
    json_buffer_text(buffer, "id: ");
    json_buffer_text(buffer, id);
    json_buffer_text(buffer, "\n\n");
}

static void add_synced(const struct hub_view *view, struct json_buffer *buffer, int64_t revision)
{
    json_buffer_text(buffer, "event: synced\ndata: {\"revision\":");
    json_buffer_integer(buffer, revision);
    json_buffer_text(buffer, ",\"actions\":");
    json_buffer_integer(buffer, (int64_t)run_state_manager_count(view->hub->manager));
    json_buffer_text(buffer, ",\"visible\":");
    json_buffer_integer(buffer, (int64_t)run_view_visible_count(view->view));
    json_buffer_text(buffer, "}\n");
    add_id(view, buffer, revision, false);
}

/* Ends the last record of the piece, and says `synced` behind the first walk. */
static void end_piece(const struct hub_view *view, struct frame_builder *builder,
                      struct stream_position *position, bool is_done)
{
    if (!is_done) {
        if (builder->records > 0)
            json_buffer_text(&builder->buffer, "\n");
        return;
    }
    position->is_walking = position->is_resuming = false;
    position->cursor = position->walk.target;
    if (!position->is_synced) {
        if (builder->records > 0)
            json_buffer_text(&builder->buffer, "\n");
        add_synced(view, &builder->buffer, position->cursor);
        position->is_synced = true;
    } else if (builder->records > 0) {
        add_id(view, &builder->buffer, position->cursor, false);
    }
}

/* The walk's next piece, NULL if it has no record. 0, or -ENOMEM and the position is as it was. */
static int make_piece(struct hub_view *view, struct stream_position *position, struct frame **frame)
{
    struct frame_builder builder = {0};
    struct stream_position before = *position;
    int status = run_view_walk(view->view, &position->walk, FRAME_BYTES_MAX, WALK_NODES_MAX,
                               add_record, &builder);
    bool has_records;

    *frame = NULL;
    if (status >= 0)
        end_piece(view, &builder, position, status == 1);
    has_records = builder.buffer.length > 0 || builder.buffer.failed;
    if (status >= 0 && has_records)
        *frame = frame_new(view->hub->frames->memory, &builder.buffer);
    json_buffer_free(&builder.buffer);
    view->events.on_walked(view->arg);
    if (status >= 0 && (*frame != NULL || !has_records))
        return 0;
    *position = before;
    return -ENOMEM;
}

static bool is_same_place(const struct stream_position *a, const struct stream_position *b)
{
    return a->walk.since == b->walk.since && a->walk.next_ordinal == b->walk.next_ordinal &&
           a->walk.target == b->walk.target && a->walk.is_resume == b->walk.is_resume &&
           a->is_synced == b->is_synced;
}

/* The next piece of the walk, out of the cache if somebody stood here before. */
static enum stream_next next_piece(struct hub_view *view, struct stream_position *position,
                                   struct frame **frame)
{
    struct stream_position before = *position;
    const struct cached_frame *cached =
        frame_cache_find(&view->cache, run_view_revision(view->view), position, is_same_place);
    enum stream_next next = STREAM_FRAME;

    if (cached != NULL) {
        *position = cached->after;
        position->is_following = before.is_following;
        *frame = cached->frame == NULL ? NULL : frame_keep(cached->frame);
        return cached->next;
    }
    if (make_piece(view, position, frame) < 0)
        return STREAM_LATER;
    if (*frame == NULL)
        next = position->is_walking ? STREAM_LATER : STREAM_IDLE;
    frame_cache_put(&view->cache,
                    &(struct cached_frame){
                        .before = before, .after = *position, .frame = *frame, .next = next});
    return next;
}

static struct frame *end_frame(const struct hub_view *view, int64_t revision)
{
    struct json_buffer buffer = {0};

    json_buffer_text(&buffer, "event: end\ndata: {\"revision\":");
    json_buffer_integer(&buffer, revision);
    json_buffer_text(&buffer, "}\n");
    add_id(view, &buffer, revision, true);
    return frame_of_kind(&buffer, FRAME_RECORDS);
}

static enum stream_next next_reset(struct stream_position *position, struct frame **frame)
{
    *frame = frame_of_text("event: reset\ndata: {}\n\n");
    if (*frame == NULL)
        return STREAM_LATER;
    if (position->is_gone)
        return STREAM_END;
    position->wants_reset = false;
    position->is_walking = position->is_resuming = false;
    position->cursor = 0;
    return STREAM_FRAME;
}

/* Everything is sent: the end, if the run has one and the client wants to hear of it. */
static enum stream_next next_behind_all(const struct hub_view *view,
                                        const struct stream_position *position,
                                        struct frame **frame)
{
    if (position->is_following || !run_state_manager_is_ended(view->hub->manager))
        return STREAM_IDLE;
    *frame = end_frame(view, position->cursor);
    return *frame == NULL ? STREAM_LATER : STREAM_END;
}

static bool is_up_to_date(const struct hub_view *view, const struct stream_position *position)
{
    return !position->is_walking && position->is_synced &&
           position->cursor == run_view_revision(view->view);
}

static enum stream_next on_next(void *source, struct stream_position *position,
                                struct frame **frame)
{
    struct hub_view *view = source;
    enum stream_next next = STREAM_IDLE;
    struct run_view *synced;

    if (position->wants_reset)
        return next_reset(position, frame);
    if (view->hub->manager == NULL)
        return STREAM_IDLE;
    if (hub_view_sync(view, &synced) != 0)
        return STREAM_LATER;
    if (!is_up_to_date(view, position)) {
        if (!position->is_walking) {
            /* A client that was cut off inside a flush may show more than its id says. */
            position->walk = position->is_resuming
                                 ? run_view_walk_resume(view->view, position->cursor)
                                 : run_view_walk_begin(view->view, position->cursor);
            position->is_walking = true;
        }
        next = next_piece(view, position, frame);
    }
    return next == STREAM_IDLE ? next_behind_all(view, position, frame) : next;
}

static struct frame *on_heartbeat(void *source)
{
    const struct hub_view *view = source;
    int64_t revision = view->view == NULL ? 0 : run_view_revision(view->view);
    struct json_buffer buffer = {0};

    json_buffer_text(&buffer, "event: heartbeat\ndata: {\"revision\":");
    json_buffer_integer(&buffer, revision);
    json_buffer_text(&buffer, "}\n\n");
    return frame_of_kind(&buffer, FRAME_RECORDS);
}

/* -------- streams -------- */

static void on_stream_left(void *source, struct stream *stream)
{
    struct hub_view *view = source;

    stream_list_remove(&view->streams, stream);
    view->events.on_left(view->arg);
}

struct stream *hub_view_add_stream(struct hub_view *view, struct streams *streams, int fd,
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
