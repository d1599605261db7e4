#include "watch/run_hub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "model/records.h"
#include "model/subscription.h"

enum {
    LOAD_PART_ACTIONS = 500, /* a tree is read in parts of so many */
    TICK_MS = 500,
    POLL_MS = 5000, /* a notification that never came costs at most so long */
    POLL_HUBS_MAX = 10000,
    /* What a tree leaves behind is given back a little at a time, because the loop waits for it. */
    FREED_AT_ONCE_MAX = 5000,  /* nodes; a bigger tree is freed by a worker thread */
    FORGOTTEN_AT_ONCE = 20000, /* nodes whose records are dropped in a tick, or that are freed */
    HUB_COST_NODES = 4,       /* that a hub's freeing costs as much as, besides those of its tree */
    FREED_FOR_ROOM_MAX = 100, /* hubs, for one who wants room */
    OTHERS_PART = 8,          /* of the account: an eighth is left to those who post and read */
    HUB_BYTES = 4096,         /* that are wanted for a further one, about */
    NODE_BYTES = 512,         /* that an action takes in a tree with its texts and record, about */
    PIECE_BYTES = 64 * 1024,  /* of one piece of a walk, about, without what frames its records */
    PIECE_RESERVED = PIECE_BYTES / 4 * 5,
    WALK_NODES_MAX = 20000, /* looked at for one piece */
};

/* One filter over the hub, shared by all watchers with that filter. */
struct hub_view {
    UT_hash_handle hh; /* by filter; by `label` if it has one, which says the filter */
    struct filter filter;
    char *label; /* the first member of its data, with a comma; NULL: a view of single streams */
    char filter_hash[FILTER_HASH_SIZE + 1];
    struct run_hub *hub;
    struct run_view *seen; /* NULL until it is needed, and while the hub has no tree */
    struct channel *channel;
    size_t held; /* of the account */
    size_t holds;
};

/* Where a stream of a view stands. */
struct hub_place {
    int64_t cursor; /* the client has everything up to this revision */
    struct view_walk walk;
    bool is_walking;
    bool is_resuming; /* came with an id, and was not sent what it lacks yet */
    bool is_synced;   /* `synced` was sent */
    bool is_ended;    /* and `end`, and nothing since */
    bool is_told_absent;
};

_Static_assert(sizeof(struct hub_place) <= CHANNEL_PLACE_BYTES, "a place has room for it");

struct hub_waiter {
    struct hub_waiter *prev, *next;
    struct run_hub *hub; /* of one that waits for the next turn */
    int64_t at_least;
    bool counts_next_read; /* a read that began before does not count */
    hub_ready_fn *fn;
    void *arg;
};

/* What a hub has of its run's tree; move_to changes it. */
enum tree_state {
    TREE_UNREAD,
    TREE_LOADING,     /* its parts are being read */
    TREE_CATCHING_UP, /* they are there; what changed since the first was read is not */
    TREE_LIVE,
    TREE_ABSENT,  /* there is no such run */
    TREE_TOO_BIG, /* for the memory that is left */
    TREE_BROKEN,  /* what was just read is no tree, or there is no memory for it */
};

enum hub_reading { READING_NONE, READING_ONCE, READING_AGAIN /* as soon as that has ended */ };

struct run_hub {
    UT_hash_handle hh;
    struct run_hubs *owner;
    char path[RUN_PATH_SIZE]; /* the hash key, as run_key_path writes it */
    char key_text[RUN_PATH_SIZE];
    struct run_key key; /* into key_text */
    enum tree_state state;
    bool owes_tree; /* its streams were told to forget one, and wait for the next */
    enum hub_reading reading;
    struct run_state_manager *manager; /* NULL unless the tree is live */
    struct run_state_manager *loading;
    char incarnation[INCARNATION_SIZE];
    uint32_t timeline;
    int64_t load_revision; /* of the run when its load began: changes behind it are read last */
    int32_t waiting_count; /* of the run, when it was read last */
    char *waiting_for;
    int32_t load_actions; /* that the run has, as far as is known */
    size_t held;          /* of the account, for the trees */
    size_t counted_nodes; /* in the statistics */
    size_t references;    /* of requests and views */
    size_t pins;          /* of reads and polls under way, which do not keep it from growing old */
    uint64_t unused_since_ms;
    struct run_hub *unused_prev, *unused_next; /* while there are no references */
    struct hub_waiter *waiters;
    struct hub_view *views;
    struct hub_listener *listeners;
    bool is_dirty; /* moved since the last flush */
    /* When the first change was notified that is: not read yet, being read, read and not flushed
     * yet; 0: none, or the tree was not live. */
    uint64_t heard_ns, reading_ns, unsent_ns;
    uint64_t next_flush_ms; /* not before */
    struct run_hub *dirty_prev, *dirty_next;
};

struct run_hubs {
    uv_loop_t *loop;
    struct action_repo *repo;
    uint32_t timeline; /* of the repo's session */
    struct run_hubs_options options;
    const struct log *log;
    struct run_hub *all; /* by path */
    struct run_hub *dirty;
    struct run_hub *unused;       /* for the longest time first */
    struct run_hub *to_forget;    /* the first of them whose records may be left; NULL: none */
    struct hub_waiter *next_turn; /* who waits for it */
    uv_timer_t tick;
    uv_timer_t flush_timer;
    uint64_t last_poll_ms;
    struct run_hub *next_polled; /* where the next poll begins; NULL: at the first */
    struct run_hub **polled;     /* hubs of the poll under way, with a reference each */
    size_t polled_count;
    struct run_hubs_stats stats;
};

static void read_hub(struct run_hub *hub);
static void unpin(struct run_hub *hub);
static bool make_room(struct run_hubs *hubs, size_t bytes);

/* -------- views -------- */

static void account_view(struct hub_view *view)
{
    memory_hold(view->hub->owner->options.memory, MEMORY_VIEWS, &view->held,
                sizeof *view + (view->label == NULL ? 0 : strlen(view->label)) +
                    (view->seen == NULL ? 0 : run_view_bytes(view->seen)));
}

/* The tree is about to be freed: everything derived from it is dropped. */
static void forget_tree(struct hub_view *view)
{
    channel_forget(view->channel);
    run_view_free(view->seen);
    view->seen = NULL;
    account_view(view);
}

int hub_view_sync(struct hub_view *view, struct run_view **synced)
{
    int status;

    if (view->seen == NULL)
        view->seen = run_view_new(view->hub->manager, &view->filter);
    if (view->seen == NULL)
        return -ENOMEM;
    status = run_view_sync(view->seen);
    account_view(view);
    *synced = view->seen;
    return status;
}

bool hub_view_has_room(struct hub_view *view)
{
    const struct run_state_manager *manager = view->hub->manager;
    size_t bytes = 0;

    if (view->seen == NULL && manager != NULL)
        bytes = run_view_bytes_for(&view->filter, run_state_manager_count(manager));
    return make_room(view->hub->owner, bytes);
}

bool hub_view_knows(const struct hub_view *view, const struct stream_id *id)
{
    const struct run_hub *hub = view->hub;

    return strcmp(id->incarnation, hub->incarnation) == 0 && id->timeline == hub->timeline &&
           strcmp(id->filter, view->filter_hash) == 0 && id->revision <= run_hub_revision(hub);
}

uint64_t hub_view_key(const struct run_key *run, const struct filter *filter)
{
    char path[RUN_PATH_SIZE], hash[FILTER_HASH_SIZE + 1];

    run_key_path(run, path);
    filter_hash(filter, hash);
    return watch_key(path, hash);
}

static uint64_t tree_state_of(const struct hub_view *view)
{
    return watch_state(view->hub->incarnation, view->hub->timeline);
}

bool hub_view_knows_position(const struct hub_view *view, const struct watch_position *position)
{
    return position->given_s == 0 && position->state == tree_state_of(view) &&
           position->number <= run_hub_revision(view->hub);
}

static void drop_view_if_unused(struct hub_view *view)
{
    struct run_hub *hub = view->hub;

    if (view->holds > 0 || channel_member_count(view->channel) > 0)
        return;
    HASH_DELETE(hh, hub->views, view);
    hub->owner->stats.views--;
    forget_tree(view);
    memory_hold(hub->owner->options.memory, MEMORY_VIEWS, &view->held, 0);
    channel_free(view->channel);
    free(view->label);
    free(view);
    run_hub_release(hub);
}

void hub_view_release(struct hub_view *view)
{
    view->holds--;
    drop_view_if_unused(view);
}

/* The record that is being written is ended when it is known whether it is the last: that one has
 * the id. */
struct piece_writer {
    const struct hub_view *view;
    struct buffer *buffer;
    size_t records;
};

static void add_record(void *arg, const char *bytes, size_t length, bool meets_filter)
{
    struct piece_writer *writer = arg;

    if (writer->records++ > 0)
        buffer_text(writer->buffer, "\n");
    record_begin(writer->buffer, "nodeUpdate", writer->view->label);
    buffer_append(writer->buffer, bytes + 1, length - 1);
    buffer_text(writer->buffer, meets_filter ? "true}\n" : "false}\n");
}

/* Ends the record. */
static void add_id(const struct hub_view *view, struct buffer *buffer, int64_t revision,
                   bool is_end)
{
    struct stream_id id = {.timeline = view->hub->timeline, .revision = revision, .is_end = is_end};
    char text[STREAM_ID_SIZE];

    if (view->label == NULL) {
        memcpy(id.incarnation, view->hub->incarnation, sizeof id.incarnation);
        memcpy(id.filter, view->filter_hash, sizeof id.filter);
        stream_id_format(&id, text);
        buffer_text(buffer, "id: ");
        buffer_text(buffer, text);
        buffer_text(buffer, "\n");
    }
    buffer_text(buffer, "\n");
}

/* The data begins with the revision. */
static void add_revision(const struct hub_view *view, struct buffer *buffer, const char *event,
                         int64_t revision)
{
    record_begin(buffer, event, view->label);
    buffer_integer_member(buffer, "\"revision\":", revision);
}

/* What is in no tree, and nobody would see. */
static void add_waiting(const struct run_hub *hub, struct buffer *buffer)
{
    buffer_text(buffer, ",\"waiting\":");
    record_write_waiting(buffer, hub->waiting_count, hub->waiting_for);
}

static void add_synced(const struct hub_view *view, struct buffer *buffer, int64_t revision)
{
    add_revision(view, buffer, "synced", revision);
    buffer_integer_member(
        buffer, ",\"actions\":", (int64_t)run_state_manager_live_count(view->hub->manager));
    buffer_integer_member(buffer, ",\"visible\":", (int64_t)run_view_visible_count(view->seen));
    add_waiting(view->hub, buffer);
    buffer_text(buffer, "}\n");
    add_id(view, buffer, revision, false);
}

/* The walk is done: its last record has the id, and behind the first walk comes `synced`. */
static void end_walk(const struct hub_view *view, struct piece_writer *writer,
                     struct hub_place *place)
{
    place->is_walking = place->is_resuming = false;
    place->cursor = place->walk.target;
    if (!place->is_synced) {
        if (writer->records > 0)
            buffer_text(writer->buffer, "\n");
        add_synced(view, writer->buffer, place->cursor);
        place->is_synced = true;
    } else if (writer->records > 0) {
        add_id(view, writer->buffer, place->cursor, false);
    }
}

static int on_make_piece(void *source, void *at, struct buffer *records)
{
    struct hub_view *view = source;
    struct hub_place *place = at;
    struct piece_writer writer = {.view = view, .buffer = records};
    int status;

    if (place->walk.next_ordinal > 1) /* the piece before was full, so this one will be */
        buffer_reserve(records, PIECE_RESERVED);
    status =
        run_view_walk(view->seen, &place->walk, PIECE_BYTES, WALK_NODES_MAX, add_record, &writer);
    if (status == 1)
        end_walk(view, &writer, place);
    else if (writer.records > 0)
        buffer_text(records, "\n");
    run_hub_account(view->hub);
    return status < 0 ? status : 0;
}

static bool is_same_place(const void *one, const void *other)
{
    const struct hub_place *a = one, *b = other;

    return a->walk.since == b->walk.since && a->walk.next_ordinal == b->walk.next_ordinal &&
           a->walk.target == b->walk.target && a->walk.is_resume == b->walk.is_resume &&
           a->is_synced == b->is_synced;
}

static struct frame *end_frame(const struct hub_view *view, int64_t revision)
{
    struct buffer buffer = {0};

    add_revision(view, &buffer, "end", revision);
    add_waiting(view->hub, &buffer);
    buffer_text(&buffer, "}\n");
    add_id(view, &buffer, revision, true);
    return frame_of_kind(&buffer, FRAME_RECORDS);
}

void hub_view_write_absent(const struct hub_view *view, const char *reason, struct buffer *records)
{
    record_write_absent(records, view->label, reason);
}

/* Who watches many runs is told of one that does not exist; who watches one asked to wait. */
static enum channel_next next_without_tree(const struct hub_view *view, struct hub_place *place,
                                           struct frame **frame)
{
    struct buffer records = {0};

    if (view->label == NULL || view->hub->state != TREE_ABSENT || place->is_told_absent)
        return CHANNEL_IDLE;
    hub_view_write_absent(view, "not-found", &records);
    *frame = frame_of_kind(&records, FRAME_RECORDS);
    place->is_told_absent = *frame != NULL;
    return *frame == NULL ? CHANNEL_LATER : CHANNEL_FRAME;
}

static enum channel_next on_next(void *source, void *at, bool is_following, struct frame **frame)
{
    struct hub_view *view = source;
    struct hub_place *place = at;
    struct run_view *seen;

    if (view->hub->manager == NULL)
        return next_without_tree(view, place, frame);
    place->is_told_absent = false;
    if (hub_view_sync(view, &seen) != 0)
        return CHANNEL_LATER;
    if (place->is_walking)
        return CHANNEL_PIECE;
    if (!place->is_synced || place->cursor != run_view_revision(seen)) {
        /* A client that was cut off inside a flush may show more than its id says. */
        place->walk = place->is_resuming ? run_view_walk_resume(seen, place->cursor)
                                         : run_view_walk_begin(seen, place->cursor);
        place->is_walking = true;
        place->is_ended = false;
        return CHANNEL_PIECE;
    }
    if (is_following || !run_hub_is_ended(view->hub))
        return CHANNEL_IDLE;
    *frame = place->is_ended ? NULL : end_frame(view, place->cursor);
    if (*frame == NULL && !place->is_ended)
        return CHANNEL_LATER;
    place->is_ended = true;
    return CHANNEL_END;
}

/* A stream of one run says `synced` once; of many, behind each snapshot. */
static void on_restart(const void *source, void *at)
{
    const struct hub_view *view = source;
    struct hub_place *place = at;

    *place = (struct hub_place){.is_synced = view->label == NULL && place->is_synced};
}

static void on_write_reset(const void *source, struct buffer *records)
{
    const struct hub_view *view = source;

    record_write_reset(records, view->label);
}

static bool on_position(const void *source, const void *at, struct watch_position *position)
{
    const struct hub_view *view = source;
    const struct hub_place *place = at;

    if (view->hub->manager == NULL || place->is_walking || !place->is_synced)
        return false;
    position->state = tree_state_of(view);
    position->number = place->cursor;
    position->is_end = place->is_ended;
    return true;
}

static void on_write_heartbeat(const void *source, struct buffer *records)
{
    const struct hub_view *view = source;

    buffer_integer_member(records, "event: heartbeat\ndata: {\"revision\":",
                          view->seen == NULL ? 0 : run_view_revision(view->seen));
    buffer_text(records, "}\n\n");
}

static void on_stream_left(void *source, const void *place)
{
    (void)place;
    drop_view_if_unused(source);
}

static struct channel_start place_at(const struct hub_start *start)
{
    struct channel_start at = {.wants_reset = start->wants_reset,
                               .is_following = start->is_following};
    const struct hub_place place = {.cursor = start->since, .is_resuming = start->is_resuming};

    memcpy(at.place.bytes, &place, sizeof place);
    return at;
}

struct stream *hub_view_add_stream(struct hub_view *view, struct streams *streams, int fd,
                                   struct frame *head, const struct hub_start *start)
{
    const struct channel_start at = place_at(start);

    return channel_add_stream(view->channel, streams, fd, head, &at);
}

struct channel_member *hub_view_join(struct hub_view *view, const struct hub_start *start,
                                     channel_wake_fn *wake, void *arg)
{
    const struct channel_start at = place_at(start);

    return channel_join(view->channel, &at, wake, arg);
}

/* Without what may stand behind the name's end: it is a hash key. */
static struct filter plain_filter(const struct filter *filter)
{
    struct filter plain;

    memset(&plain, 0, sizeof plain);
    plain.phases = filter->phases;
    memcpy(plain.name, filter->name, strlen(filter->name));
    memcpy(plain.error, filter->error, strlen(filter->error));
    return plain;
}

/* With the label taken over, also on failure. */
static struct hub_view *add_view(struct run_hub *hub, const struct filter *filter, char *label)
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
    struct hub_view *view = calloc(1, sizeof *view);

    if (view != NULL)
        view->channel = channel_new(hub->owner->options.channels, &source_class, view);
    if (view == NULL || view->channel == NULL) {
        free(label);
        free(view);
        return NULL;
    }
    view->filter = *filter;
    view->label = label;
    filter_hash(filter, view->filter_hash);
    view->hub = hub;
    account_view(view);
    if (label == NULL)
        HASH_ADD(hh, hub->views, filter, sizeof view->filter, view);
    else
        HASH_ADD_KEYPTR(hh, hub->views, label, strlen(label), view);
    hub->owner->stats.views++;
    hub->references++;
    return view;
}

struct hub_view *run_hub_hold_view(struct run_hub *hub, const struct filter *filter,
                                   const char *subscription)
{
    const struct filter key = plain_filter(filter);
    char *label = NULL;
    struct hub_view *view;

    if (subscription == NULL) {
        HASH_FIND(hh, hub->views, &key, sizeof key, view);
    } else {
        label = subscription_label(subscription, NULL);
        if (label == NULL)
            return NULL;
        HASH_FIND(hh, hub->views, label, strlen(label), view);
    }
    if (view == NULL)
        view = add_view(hub, &key, label);
    else
        free(label);
    if (view != NULL)
        view->holds++;
    return view;
}

/* -------- who waits -------- */

static bool is_satisfied(const struct run_hub *hub, int64_t at_least)
{
    return hub->state == TREE_LIVE && run_hub_revision(hub) >= at_least;
}

/* After a read: those whose wish is fulfilled, or who must not wait any longer. Whether others wait
 * for the next. */
static bool tell_waiters(struct run_hub *hub, enum hub_outcome outcome)
{
    struct hub_waiter *told = NULL, *waiter, *next;
    bool has_others = false;

    DL_FOREACH_SAFE (hub->waiters, waiter, next) {
        bool is_told = !waiter->counts_next_read || outcome == HUB_NO_ROOM ||
                       (outcome == HUB_LIVE && is_satisfied(hub, waiter->at_least));

        if (!is_told) {
            waiter->counts_next_read = false;
            has_others = true;
            continue;
        }
        DL_DELETE(hub->waiters, waiter);
        DL_APPEND(told, waiter);
    }
    DL_FOREACH_SAFE (told, waiter, next) {
        waiter->fn(waiter->arg, outcome);
        free(waiter);
    }
    return has_others;
}

int run_hub_when_read(struct run_hub *hub, int64_t at_least, hub_ready_fn *fn, void *arg)
{
    struct hub_waiter *waiter;

    if (is_satisfied(hub, at_least)) {
        fn(arg, HUB_LIVE);
        return 0;
    }
    waiter = malloc(sizeof *waiter);
    if (waiter == NULL)
        return -ENOMEM;
    *waiter = (struct hub_waiter){.at_least = at_least,
                                  .counts_next_read = hub->reading != READING_NONE,
                                  .fn = fn,
                                  .arg = arg};
    DL_APPEND(hub->waiters, waiter);
    read_hub(hub);
    return 0;
}

int run_hub_next_turn(struct run_hub *hub, hub_ready_fn *fn, void *arg)
{
    struct hub_waiter *waiter = malloc(sizeof *waiter);

    if (waiter == NULL)
        return -ENOMEM;
    *waiter = (struct hub_waiter){.hub = hub, .fn = fn, .arg = arg};
    DL_APPEND(hub->owner->next_turn, waiter);
    *hub->owner->options.is_due = true;
    return 0;
}

static void take_turn(const struct hub_waiter *waiter, bool is_abandoned)
{
    struct run_hub *hub = waiter->hub;
    enum hub_outcome outcome = is_abandoned ? HUB_UNAVAILABLE : HUB_LIVE;

    if (!is_abandoned && hub->state != TREE_LIVE) {
        if (run_hub_when_read(hub, INT64_MAX, waiter->fn, waiter->arg) == 0)
            return;
        outcome = HUB_UNAVAILABLE;
    }
    waiter->fn(waiter->arg, outcome);
}

/* Those who wait for this turn. */
static void take_turns(struct run_hubs *hubs, bool is_abandoned)
{
    struct hub_waiter *taken = hubs->next_turn, *waiter, *next;

    hubs->next_turn = NULL;
    DL_FOREACH_SAFE (taken, waiter, next) {
        take_turn(waiter, is_abandoned);
        free(waiter);
    }
}

void run_hubs_abandon(struct run_hubs *hubs)
{
    struct run_hub *hub, *next;
    struct hub_waiter *waiter;

    take_turns(hubs, true);
    HASH_ITER (hh, hubs->all, hub, next) {
        DL_FOREACH (hub->waiters, waiter)
            waiter->counts_next_read = false;
        tell_waiters(hub, HUB_UNAVAILABLE);
    }
}

/* -------- the tree -------- */

static void mark_dirty(struct run_hub *hub)
{
    if (hub->is_dirty)
        return;
    hub->is_dirty = true;
    DL_APPEND2(hub->owner->dirty, hub, dirty_prev, dirty_next);
    *hub->owner->options.is_due = true;
}

static void clear_dirty(struct run_hub *hub)
{
    if (!hub->is_dirty)
        return;
    hub->is_dirty = false;
    DL_DELETE2(hub->owner->dirty, hub, dirty_prev, dirty_next);
}

struct disposal {
    uv_work_t work;
    struct run_state_manager *manager;
};

static void on_dispose(uv_work_t *work)
{
    struct disposal *disposal = (struct disposal *)work;

    run_state_manager_free(disposal->manager);
}

static void on_disposed(uv_work_t *work, int status)
{
    struct disposal *disposal = (struct disposal *)work;

    if (status < 0) /* never begun */
        run_state_manager_free(disposal->manager);
    free(disposal);
}

/* Nobody knows the tree any more. */
static void dispose(struct run_hubs *hubs, struct run_state_manager *manager)
{
    struct disposal *disposal = NULL;

    if (manager != NULL && run_state_manager_count(manager) > FREED_AT_ONCE_MAX)
        disposal = malloc(sizeof *disposal);
    if (disposal == NULL) {
        run_state_manager_free(manager);
        return;
    }
    disposal->manager = manager;
    if (uv_queue_work(hubs->loop, &disposal->work, on_dispose, on_disposed) < 0)
        on_disposed(&disposal->work, UV_EINVAL);
}

static size_t count_nodes(const struct run_hub *hub)
{
    return hub->manager == NULL ? 0 : run_state_manager_count(hub->manager);
}

void run_hub_account(struct run_hub *hub)
{
    struct run_hubs *hubs = hub->owner;
    size_t bytes = sizeof *hub, nodes = count_nodes(hub);

    if (hub->manager != NULL)
        bytes += run_state_manager_bytes(hub->manager);
    if (hub->loading != NULL)
        bytes += run_state_manager_bytes(hub->loading);
    memory_hold(hubs->options.memory, MEMORY_TREES, &hub->held, bytes);
    hubs->stats.nodes += nodes - hub->counted_nodes;
    hub->counted_nodes = nodes;
}

static void drop_tree(struct run_hub *hub)
{
    struct run_state_manager *manager = hub->manager;
    struct hub_view *view;

    for (view = hub->views; view != NULL; view = view->hh.next)
        forget_tree(view);
    if (manager != NULL)
        run_state_manager_end_holds(manager);
    hub->manager = NULL;
    dispose(hub->owner, manager);
    dispose(hub->owner, hub->loading);
    hub->loading = NULL;
    hub->heard_ns = hub->reading_ns = hub->unsent_ns = 0;
    run_hub_account(hub);
}

static void log_run(const struct run_hub *hub, enum log_level level, const char *message,
                    const char *why)
{
    char run[RUN_PATH_SIZE];

    run_key_words(&hub->key, run);
    log_write(hub->owner->log, level, message, "s:s, s:s", "run", run, "why", why);
}

static void tell_listeners(struct run_hub *hub)
{
    struct hub_listener *listener;

    DL_FOREACH (hub->listeners, listener)
        listener->on_moved(listener->arg);
}

static void reset_streams(struct run_hub *hub, bool is_gone, const char *why)
{
    struct hub_view *view;

    log_run(hub, LOG_INFO, "watchers reset", why);
    hub->owner->stats.resets++;
    for (view = hub->views; view != NULL; view = view->hh.next)
        channel_reset(view->channel, is_gone);
    tell_listeners(hub);
}

/* `why` is for those who watch a tree that is given up. */
static void move_to(struct run_hub *hub, enum tree_state state, const char *why)
{
    bool was_live = hub->state == TREE_LIVE, is_gone = state == TREE_ABSENT;

    switch (state) {
    case TREE_LOADING:
    case TREE_CATCHING_UP:
    case TREE_TOO_BIG:
        break;
    case TREE_LIVE:
        hub->manager = hub->loading;
        hub->loading = NULL;
        hub->owes_tree = false;
        mark_dirty(hub);
        break;
    case TREE_UNREAD:
    case TREE_ABSENT:
    case TREE_BROKEN:
        if (was_live || (is_gone && hub->owes_tree))
            reset_streams(hub, is_gone, why);
        hub->owes_tree = (was_live || hub->owes_tree) && !is_gone;
        drop_tree(hub);
        if (is_gone)
            mark_dirty(hub); /* who watches many runs is told */
        break;
    }
    hub->state = state;
}

static void read_anew(struct run_hub *hub, const char *why)
{
    move_to(hub, TREE_UNREAD, why);
    hub->reading = READING_AGAIN;
}

/* -------- reading -------- */

static int64_t greatest_revision(const struct action *actions, size_t count, int64_t at_least)
{
    for (size_t i = 0; i < count; i++)
        if (actions[i].revision > at_least)
            at_least = actions[i].revision;
    return at_least;
}

/* What is read is not what the tree allows: it is read anew as a whole. At once, if it was live;
 * one that was just read would fail again, so that the poll or the next who asks has it read. */
static void handle_upsert_failure(struct run_hub *hub, int status)
{
    const char *why = status == -ENOMEM ? "out of memory" : "the tree read has a gap";

    if (hub->state == TREE_LIVE) {
        read_anew(hub, why);
        return;
    }
    log_run(hub, LOG_ERROR, "a run could not be read", why);
    move_to(hub, TREE_BROKEN, why);
}

static bool is_same_run(const struct run_hub *hub, const struct run *run)
{
    return strcmp(hub->incarnation, run->incarnation) == 0 && hub->timeline == hub->owner->timeline;
}

/* What waits is no part of the tree, and told with it. */
static void note_waiting(struct run_hub *hub, const struct run *run)
{
    free(hub->waiting_for);
    hub->waiting_count = run->waiting_count;
    hub->waiting_for = run->waiting_for == NULL ? NULL : strdup(run->waiting_for);
}

static void begin_load(struct run_hub *hub, const struct run *run)
{
    memcpy(hub->incarnation, run->incarnation, sizeof hub->incarnation);
    hub->timeline = hub->owner->timeline;
    hub->load_revision = run->revision;
    hub->loading = run_state_manager_new();
}

/* Those whose tree it was have it again, whatever it takes. */
static bool may_load(struct run_hub *hub, const struct run *run)
{
    size_t bytes = (size_t)run->action_count * NODE_BYTES;

    return hub->owes_tree || make_room(hub->owner, bytes);
}

static void take_part(struct run_hub *hub, const struct run *run, const struct action *actions,
                      size_t count)
{
    struct run_state_manager *manager;
    bool is_last = count < LOAD_PART_ACTIONS;
    int64_t revision;
    int status;

    if (run == NULL) {
        move_to(hub, TREE_ABSENT, "the run was deleted");
        return;
    }
    /* This part is of another run than those before it. */
    if (hub->loading != NULL && !is_same_run(hub, run)) {
        read_anew(hub, "the run changed while it was read");
        return;
    }
    if (hub->loading == NULL && !may_load(hub, run)) {
        move_to(hub, TREE_TOO_BIG, NULL);
        return;
    }
    if (hub->loading == NULL) {
        begin_load(hub, run);
        if (hub->loading == NULL) {
            handle_upsert_failure(hub, -ENOMEM);
            return;
        }
    }
    manager = hub->loading;
    note_waiting(hub, run);
    hub->load_actions = run->action_count;
    revision = greatest_revision(actions, count, run_state_manager_revision(manager));
    /* The last part is of one moment with the run's row: if nothing moved since the first, it is
     * the whole. */
    if (is_last && run->revision == hub->load_revision)
        revision = run->revision;
    status = run_state_manager_upsert_actions(manager, actions, count, revision);
    if (status < 0)
        handle_upsert_failure(hub, status);
    else if (is_last && run->revision == hub->load_revision)
        move_to(hub, TREE_LIVE, NULL);
    else {
        hub->reading = READING_AGAIN;
        if (is_last)
            move_to(hub, TREE_CATCHING_UP, NULL);
    }
}

static void note_moved(struct run_hub *hub, uint64_t heard_ns)
{
    mark_dirty(hub);
    if (hub->unsent_ns == 0)
        hub->unsent_ns = heard_ns;
}

/* A part of the tree, while it is loaded. */
static void on_tree_part(void *arg, const struct run *run, const struct action *actions,
                         size_t count)
{
    struct run_hub *hub = arg;

    if (hub->state != TREE_LOADING) /* what came before has settled it */
        return;
    take_part(hub, run, actions, count);
    run_hub_account(hub);
}

/* How many parts are to be read at once of a tree that is being loaded. */
static size_t count_parts(const struct run_hub *hub, int32_t loaded)
{
    int32_t parts = 1;

    if (hub->loading != NULL && hub->load_actions > loaded)
        parts += (hub->load_actions - loaded) / LOAD_PART_ACTIONS;
    return parts < TREE_PARTS_MAX ? (size_t)parts : TREE_PARTS_MAX;
}

/* The change feed: of a live tree, or the last read of a load. */
static void on_changes(void *arg, const struct run *run, const struct action *actions, size_t count)
{
    struct run_hub *hub = arg;
    bool is_loading = hub->state == TREE_CATCHING_UP;
    struct run_state_manager *manager = is_loading ? hub->loading : hub->manager;
    int status;

    if (run == NULL) {
        move_to(hub, TREE_ABSENT, "the run was deleted");
        return;
    }
    if (!is_same_run(hub, run)) {
        read_anew(hub, "the run or the database is another one");
        return;
    }
    note_waiting(hub, run);
    status = run_state_manager_upsert_actions(manager, actions, count, run->revision);
    if (status < 0)
        handle_upsert_failure(hub, status);
    else if (is_loading)
        move_to(hub, TREE_LIVE, NULL);
    else if (count > 0)
        note_moved(hub, hub->reading_ns);
    run_hub_account(hub);
}

/* What those who wait hear when a read has ended well. False: nothing yet. */
static bool has_outcome(const struct run_hub *hub, enum hub_outcome *outcome)
{
    switch (hub->state) {
    case TREE_UNREAD:
    case TREE_LOADING:
    case TREE_CATCHING_UP:
        return false;
    case TREE_LIVE:
        *outcome = HUB_LIVE;
        break;
    case TREE_ABSENT:
        *outcome = HUB_ABSENT;
        break;
    case TREE_TOO_BIG:
        *outcome = HUB_NO_ROOM;
        break;
    case TREE_BROKEN:
        *outcome = HUB_UNAVAILABLE;
        break;
    }
    return true;
}

static void on_read(void *arg, enum repo_outcome outcome, const char *message)
{
    struct run_hub *hub = arg;
    enum hub_outcome told = HUB_UNAVAILABLE;
    /* read_all follows a reconnect, and the poll goes on */
    bool is_good = outcome == REPO_OK && hub->state != TREE_BROKEN;
    bool is_wanted = hub->reading == READING_AGAIN && is_good;

    if (outcome == REPO_REFUSED)
        log_run(hub, LOG_ERROR, "a run could not be read", message);
    if (outcome != REPO_OK && hub->reading_ns != 0)
        hub->heard_ns = hub->reading_ns;
    hub->reading_ns = 0;
    hub->reading = READING_NONE;
    if (outcome != REPO_OK || has_outcome(hub, &told))
        is_wanted |= tell_waiters(hub, told);
    /* A tree that nobody waits for is not loaded on. */
    if (is_wanted && hub->reading == READING_NONE &&
        (hub->references > 0 || hub->state == TREE_LIVE))
        read_hub(hub);
    unpin(hub);
}

static int start_read(struct run_hub *hub)
{
    struct action_repo *repo = hub->owner->repo;
    int32_t loaded = hub->loading == NULL ? 0 : (int32_t)run_state_manager_count(hub->loading);

    if (hub->state == TREE_LIVE)
        return action_repo_changes_since(repo, &hub->key, run_state_manager_revision(hub->manager),
                                         on_changes, on_read, hub);
    if (hub->state == TREE_CATCHING_UP)
        return action_repo_changes_since(repo, &hub->key, hub->load_revision, on_changes, on_read,
                                         hub);
    move_to(hub, TREE_LOADING, NULL);
    return action_repo_tree_parts(repo, &hub->key, loaded, LOAD_PART_ACTIONS,
                                  count_parts(hub, loaded), on_tree_part, on_read, hub);
}

/* What changed, or the whole tree; if a read is under way, once more after it. */
static void read_hub(struct run_hub *hub)
{
    int status;

    if (hub->reading != READING_NONE) {
        hub->reading = READING_AGAIN;
        return;
    }
    hub->reading = READING_ONCE;
    hub->reading_ns = hub->heard_ns;
    hub->heard_ns = 0;
    hub->pins++;
    hub->owner->stats.reads++;
    status = start_read(hub);
    if (status < 0)
        on_read(hub, REPO_LOST, NULL);
}

/* -------- who says that a run changed -------- */

static struct run_hub *find_hub(const struct run_hubs *hubs, const struct run_key *run)
{
    char path[RUN_PATH_SIZE];
    struct run_hub *hub;

    run_key_path(run, path);
    HASH_FIND_STR(hubs->all, path, hub);
    return hub;
}

/* Whether the rows say of the run all that a read would: not for whom its actions wait, nor who
 * asked for their end. */
static bool is_told_by_rows(const struct run *run)
{
    return run->waiting_count == 0 && run->abort_requested == NULL && run->abort_count == 0;
}

static bool begins_at(const struct run_row *change, const struct run_hub *hub)
{
    return hub->state == TREE_LIVE && hub->reading == READING_NONE &&
           run_hub_revision(hub) == change->revision_before && is_same_run(hub, &change->state);
}

static int compare_ordinals(const void *a, const void *b)
{
    int32_t left = ((const struct action *)a)->ordinal, right = ((const struct action *)b)->ordinal;

    return (left > right) - (left < right);
}

/* The actions of the rows that are in the tree, in its order; NULL when out of memory. */
static struct action *copy_actions(const struct action_row *rows, size_t row_count, size_t *count)
{
    struct action *actions = calloc(row_count + 1, sizeof *actions);

    *count = 0;
    if (actions == NULL)
        return NULL;
    for (size_t i = 0; i < row_count; i++)
        if (rows[i].action.ordinal > 0)
            actions[(*count)++] = rows[i].action;
    qsort(actions, *count, sizeof *actions, compare_ordinals);
    return actions;
}

/* What cannot be taken is read when the notification comes. */
static void take_change(struct run_hub *hub, const struct run *run, const struct action_row *rows,
                        size_t row_count)
{
    size_t count;
    struct action *actions = copy_actions(rows, row_count, &count);

    if (actions != NULL &&
        run_state_manager_upsert_actions(hub->manager, actions, count, run->revision) == 0) {
        note_waiting(hub, run);
        if (count > 0)
            note_moved(hub, uv_hrtime());
        run_hub_account(hub);
    }
    free(actions);
}

void run_hubs_take(struct run_hubs *hubs, const struct run_row *changes, size_t count,
                   const struct action_row *rows, size_t row_count)
{
    size_t first = 0, last;

    for (size_t i = 0; i < count && hubs->all != NULL; i++, first = last) {
        struct run_hub *hub = find_hub(hubs, &changes[i].state.key);

        for (last = first; last < row_count && rows[last].run == changes[i].run;)
            last++;
        if (hub != NULL && begins_at(&changes[i], hub) && is_told_by_rows(&changes[i].state))
            take_change(hub, &changes[i].state, rows + first, last - first);
    }
}

void run_hubs_hear(struct run_hubs *hubs, const struct run_key *run, int64_t revision)
{
    struct run_hub *hub = find_hub(hubs, run);

    if (hub == NULL ||
        (revision != 0 && hub->state == TREE_LIVE && revision <= run_hub_revision(hub)))
        return;
    if (hub->state == TREE_LIVE && hub->heard_ns == 0)
        hub->heard_ns = uv_hrtime();
    read_hub(hub);
}

void run_hubs_read_all(struct run_hubs *hubs)
{
    struct run_hub *hub, *next;

    hubs->timeline = action_repo_timeline(hubs->repo);
    HASH_ITER (hh, hubs->all, hub, next)
        read_hub(hub);
}

static void on_polled_changed(void *arg, size_t index)
{
    struct run_hubs *hubs = arg;

    if (hubs->polled[index]->reading == READING_NONE)
        hubs->stats.polled++;
    read_hub(hubs->polled[index]);
}

static void end_poll(struct run_hubs *hubs)
{
    for (size_t i = 0; i < hubs->polled_count; i++)
        unpin(hubs->polled[i]);
    free(hubs->polled);
    hubs->polled = NULL;
    hubs->polled_count = 0;
}

static void on_polled(void *arg, enum repo_outcome outcome, const char *message)
{
    (void)outcome;
    (void)message;
    end_poll(arg);
}

static void poll_hubs(struct run_hubs *hubs)
{
    size_t count = HASH_COUNT(hubs->all);
    struct run_position *positions;
    struct run_hub *hub = hubs->next_polled;

    if (hubs->polled != NULL || count == 0)
        return;
    if (count > POLL_HUBS_MAX)
        count = POLL_HUBS_MAX;
    positions = calloc(count, sizeof *positions);
    hubs->polled = calloc(count, sizeof(struct run_hub *));
    if (positions == NULL || hubs->polled == NULL) {
        free(positions);
        end_poll(hubs);
        return;
    }
    while (hubs->polled_count < count) {
        if (hub == NULL)
            hub = hubs->all;
        positions[hubs->polled_count] = (struct run_position){
            .key = hub->key,
            .incarnation = hub->state == TREE_LIVE ? hub->incarnation : "",
            .revision = run_hub_revision(hub),
        };
        hubs->polled[hubs->polled_count++] = hub;
        hub->pins++;
        hub = hub->hh.next;
    }
    hubs->next_polled = hub;
    if (action_repo_changed_runs(hubs->repo, positions, hubs->polled_count, on_polled_changed,
                                 on_polled, hubs) < 0)
        end_poll(hubs);
    free(positions);
}

/* -------- flushing -------- */

static void report_lag(struct run_hub *hub)
{
    if (hub->unsent_ns != 0 && hub->views != NULL)
        metrics_observe(hub->owner->options.metrics, HISTOGRAM_LAG,
                        (double)(uv_hrtime() - hub->unsent_ns) / 1e9);
    hub->unsent_ns = 0;
}

static void on_flush_due(uv_timer_t *timer)
{
    struct run_hubs *hubs = timer->data;

    *hubs->options.is_due = true;
}

/* The next is due an interval after this one was, so that one late flush does not make those behind
 * it late; not before half of it. */
static void flush(struct run_hub *hub, uint64_t now_ms)
{
    uint64_t interval_ms = hub->owner->options.flush_interval_ms;
    uint64_t due_ms = hub->next_flush_ms + interval_ms;
    uint64_t least_ms = now_ms + interval_ms - interval_ms / 2;
    struct hub_view *view;

    clear_dirty(hub);
    hub->next_flush_ms = due_ms > least_ms ? due_ms : least_ms;
    for (view = hub->views; view != NULL; view = view->hh.next)
        channel_wake(view->channel);
    tell_listeners(hub);
    report_lag(hub);
}

void run_hubs_run(struct run_hubs *hubs)
{
    uint64_t now_ms = uv_now(hubs->loop), wait_ms = UINT64_MAX;
    struct run_hub *hub, *next;

    take_turns(hubs, false);
    for (hub = hubs->dirty; hub != NULL; hub = next) {
        next = hub->dirty_next;
        if (now_ms >= hub->next_flush_ms)
            flush(hub, now_ms);
        else if (hub->next_flush_ms - now_ms < wait_ms)
            wait_ms = hub->next_flush_ms - now_ms;
    }
    if (wait_ms != UINT64_MAX)
        uv_timer_start(&hubs->flush_timer, on_flush_due, wait_ms, 0);
    *hubs->options.is_due = hubs->next_turn != NULL;
}

/* -------- life -------- */

static void become_unused(struct run_hub *hub)
{
    struct run_hubs *hubs = hub->owner;

    hub->unused_since_ms = uv_now(hubs->loop);
    DL_APPEND2(hubs->unused, hub, unused_prev, unused_next);
    if (hubs->to_forget == NULL)
        hubs->to_forget = hub;
}

static void end_unused(struct run_hub *hub)
{
    struct run_hubs *hubs = hub->owner;

    if (hubs->to_forget == hub)
        hubs->to_forget = hub->unused_next;
    DL_DELETE2(hubs->unused, hub, unused_prev, unused_next);
}

static void free_hub(struct run_hub *hub)
{
    clear_dirty(hub);
    if (hub->references == 0)
        end_unused(hub);
    if (hub->owner->next_polled == hub)
        hub->owner->next_polled = hub->hh.next;
    HASH_DELETE(hh, hub->owner->all, hub);
    drop_tree(hub);
    memory_hold(hub->owner->options.memory, MEMORY_TREES, &hub->held, 0);
    free(hub->waiting_for);
    free(hub);
}

static void free_unused(struct run_hubs *hubs)
{
    uint64_t now_ms = uv_now(hubs->loop);
    struct run_hub *hub = hubs->unused, *next;

    for (size_t cost = 0; hub != NULL && cost < FORGOTTEN_AT_ONCE; hub = next) {
        next = hub->unused_next;
        if (now_ms - hub->unused_since_ms < hubs->options.linger_ms)
            break;
        cost += HUB_COST_NODES + hub->counted_nodes;
        if (hub->pins == 0)
            free_hub(hub);
    }
}

/* Whether so many bytes more may be taken on, and something is left to those who post and read;
 * trees that nobody uses make room first. */
static bool make_room(struct run_hubs *hubs, size_t bytes)
{
    struct memory *memory = hubs->options.memory;
    struct run_hub *hub = hubs->unused, *next;

    bytes += (size_t)memory_max_bytes(memory) / OTHERS_PART;
    for (int looked = 0; looked < FREED_FOR_ROOM_MAX && hub != NULL; looked++, hub = next) {
        next = hub->unused_next;
        if (memory_fits(memory, bytes))
            break;
        if (hub->pins == 0)
            free_hub(hub);
    }
    return memory_has_room(memory, bytes);
}

/* A tree may be wanted again; a run that does not exist, or whose tree never came, is not
 * remembered. */
static void free_if_worthless(struct run_hub *hub)
{
    if (hub->references == 0 && hub->pins == 0 && hub->manager == NULL)
        free_hub(hub);
}

static void unpin(struct run_hub *hub)
{
    hub->pins--;
    free_if_worthless(hub);
}

/* Of the trees that nobody watches. */
static void forget_records(struct run_hubs *hubs)
{
    struct run_hub *hub = hubs->to_forget;
    bool has_more;

    if (hub == NULL)
        return;
    has_more =
        hub->manager != NULL && run_state_manager_drop_encoded(hub->manager, FORGOTTEN_AT_ONCE);
    run_hub_account(hub);
    if (!has_more)
        hubs->to_forget = hub->unused_next;
}

static void on_tick(uv_timer_t *timer)
{
    struct run_hubs *hubs = timer->data;
    uint64_t now_ms = uv_now(hubs->loop);

    free_unused(hubs);
    forget_records(hubs);
    channels_cool(hubs->options.channels);
    if (now_ms - hubs->last_poll_ms >= POLL_MS) {
        hubs->last_poll_ms = now_ms;
        poll_hubs(hubs);
    }
}

struct run_hubs *run_hubs_new(uv_loop_t *loop, struct action_repo *repo,
                              const struct run_hubs_options *options, const struct log *log)
{
    struct run_hubs *hubs = calloc(1, sizeof *hubs);

    if (hubs == NULL)
        return NULL;
    hubs->loop = loop;
    hubs->repo = repo;
    hubs->options = *options;
    hubs->log = log;
    uv_timer_init(loop, &hubs->tick);
    uv_timer_init(loop, &hubs->flush_timer);
    hubs->tick.data = hubs->flush_timer.data = hubs;
    uv_timer_start(&hubs->tick, on_tick, TICK_MS, TICK_MS);
    return hubs;
}

void run_hubs_stop(struct run_hubs *hubs)
{
    struct run_hub *hub, *next;

    end_poll(hubs);
    HASH_ITER (hh, hubs->all, hub, next)
        free_hub(hub);
    uv_close((uv_handle_t *)&hubs->tick, NULL);
    uv_close((uv_handle_t *)&hubs->flush_timer, NULL);
}

void run_hubs_free(struct run_hubs *hubs)
{
    free(hubs);
}

struct run_hubs_stats run_hubs_stats(const struct run_hubs *hubs)
{
    struct run_hubs_stats stats = hubs->stats;

    stats.hubs = HASH_COUNT(hubs->all);
    return stats;
}

static void copy_key(struct run_hub *hub)
{
    memcpy(hub->key_text, hub->path, sizeof hub->path);
    hub->key = run_key_split(hub->key_text);
}

static struct run_hub *add_hub(struct run_hubs *hubs, const char *path)
{
    struct run_hub *hub = calloc(1, sizeof *hub);

    if (hub == NULL)
        return NULL;
    hub->owner = hubs;
    memcpy(hub->path, path, strlen(path));
    copy_key(hub);
    HASH_ADD_STR(hubs->all, path, hub);
    run_hub_account(hub);
    return hub;
}

int run_hub_open(struct run_hubs *hubs, const struct run_key *run, struct run_hub **opened)
{
    char path[RUN_PATH_SIZE];
    struct run_hub *hub;

    *opened = NULL;
    run_key_path(run, path);
    HASH_FIND_STR(hubs->all, path, hub);
    if (hub != NULL && hub->references == 0)
        end_unused(hub);
    if (hub != NULL)
        hub->references++;
    /* It has its reference before room is made: it is not to be freed for itself. */
    if (!make_room(hubs, hub == NULL ? HUB_BYTES : 0)) {
        if (hub != NULL)
            run_hub_release(hub);
        return -ENOBUFS;
    }
    if (hub == NULL) {
        hub = add_hub(hubs, path);
        if (hub == NULL)
            return -ENOMEM;
        hub->references++;
    }
    *opened = hub;
    return 0;
}

void run_hub_release(struct run_hub *hub)
{
    if (--hub->references > 0)
        return;
    become_unused(hub);
    free_if_worthless(hub);
}

int64_t run_hub_revision(const struct run_hub *hub)
{
    return hub->manager == NULL ? 0 : run_state_manager_revision(hub->manager);
}

struct run_state_manager *run_hub_tree(struct run_hub *hub)
{
    return hub->manager;
}

bool run_hub_is_ended(const struct run_hub *hub)
{
    return hub->manager != NULL && run_state_manager_is_ended(hub->manager);
}

int64_t run_hub_action_revision(const struct run_hub *hub, const char *name)
{
    const struct run_node *node =
        hub->manager == NULL ? NULL : run_state_manager_find(hub->manager, name);

    return node == NULL ? 0 : node->action.revision;
}

void run_hub_listen(struct run_hub *hub, struct hub_listener *listener)
{
    DL_APPEND(hub->listeners, listener);
}

void run_hub_unlisten(struct run_hub *hub, struct hub_listener *listener)
{
    DL_DELETE(hub->listeners, listener);
}
