#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "watch/run_hub_internal.h"

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
};

static void unpin(struct run_hub *hub);

/* -------- reading -------- */

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
    return hub->state.manager == NULL ? 0 : run_state_manager_count(hub->state.manager);
}

void run_hub_account(struct run_hub *hub)
{
    struct run_hubs *hubs = hub->owner;
    size_t bytes = sizeof *hub, nodes = count_nodes(hub);

    if (hub->state.manager != NULL)
        bytes += run_state_manager_bytes(hub->state.manager);
    if (hub->loading != NULL)
        bytes += run_state_manager_bytes(hub->loading);
    memory_hold(hubs->options.frames->memory, MEMORY_TREES, &hub->held, bytes);
    hubs->stats.nodes += nodes - hub->counted_nodes;
    hub->counted_nodes = nodes;
}

static void drop_tree(struct run_hub *hub)
{
    struct run_state_manager *manager = hub->state.manager;

    run_hub_forget_views(hub);
    if (manager != NULL)
        run_state_manager_end_holds(manager);
    hub->state.manager = NULL;
    dispose(hub->owner, manager);
    dispose(hub->owner, hub->loading);
    hub->loading = NULL;
    run_hub_account(hub);
}

static void reset_hub(struct run_hub *hub, bool is_gone, const char *why)
{
    bool was_live = hub->was_live || hub->phase == HUB_PHASE_LIVE;
    struct hub_view_entry *entry;

    if (hub->phase == HUB_PHASE_LIVE || (is_gone && was_live)) {
        log_write(hub->owner->log, LOG_INFO, "watchers reset", "s:s, s:s", "run", hub->path, "why",
                  why);
        hub->owner->stats.resets++;
        for (entry = hub->views; entry != NULL; entry = entry->hh.next)
            hub_view_reset_streams(entry->view, is_gone);
    }
    drop_tree(hub);
    hub->heard_ns = hub->reading_ns = hub->unsent_ns = 0;
    hub->phase = is_gone ? HUB_PHASE_ABSENT : HUB_PHASE_LOADING;
    hub->must_read_again |= !is_gone;
    hub->was_live = was_live && !is_gone;
}

static void become_live(struct run_hub *hub)
{
    hub->state.manager = hub->loading;
    hub->loading = NULL;
    hub->phase = HUB_PHASE_LIVE;
    hub->was_live = false;
    run_hub_mark_dirty(hub);
}

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
    bool was_live = hub->phase == HUB_PHASE_LIVE;

    reset_hub(hub, false, why);
    if (was_live)
        return;
    log_write(hub->owner->log, LOG_ERROR, "a run could not be read", "s:s, s:s", "run", hub->path,
              "why", why);
    hub->must_read_again = false;
    run_hub_tell_waiters(hub, HUB_UNAVAILABLE);
}

static bool is_same_run(const struct run_hub *hub, const struct run *run)
{
    return strcmp(hub->state.incarnation, run->incarnation) == 0 &&
           hub->state.timeline == action_repo_timeline(hub->owner->repo);
}

static void begin_load(struct run_hub *hub, const struct run *run)
{
    memcpy(hub->state.incarnation, run->incarnation, sizeof hub->state.incarnation);
    hub->state.timeline = action_repo_timeline(hub->owner->repo);
    hub->load_revision = run->revision;
    hub->is_loaded = false;
    hub->loading = run_state_manager_new();
}

/* Those whose tree it was have it again, whatever it takes. */
static bool may_load(struct run_hub *hub, const struct run *run)
{
    size_t bytes = (size_t)run->action_count * NODE_BYTES;

    return hub->was_live || run_hubs_make_room(hub->owner, bytes);
}

static void take_part(struct run_hub *hub, const struct run *run, const struct action *actions,
                      size_t count)
{
    struct run_state_manager *manager;
    bool is_last = count < LOAD_PART_ACTIONS;
    int64_t revision;
    int status;

    hub->wants_parts = false;
    if (run == NULL) {
        reset_hub(hub, true, "the run was deleted");
        return;
    }
    /* This part is of another run than those before it. */
    if (hub->loading != NULL && !is_same_run(hub, run)) {
        reset_hub(hub, false, "the run changed while it was read");
        return;
    }
    if (hub->loading == NULL && !may_load(hub, run)) {
        hub->has_no_room = true;
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
        become_live(hub);
    else {
        hub->is_loaded = is_last;
        hub->wants_parts = !is_last;
        hub->must_read_again = true;
    }
}

/* A part of the tree, while it is loaded. */
static void on_tree_part(void *arg, const struct run *run, const struct action *actions,
                         size_t count)
{
    struct run_hub *hub = arg;

    if (!hub->wants_parts)
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
    bool is_loading = hub->phase == HUB_PHASE_LOADING;
    struct run_state_manager *manager = is_loading ? hub->loading : hub->state.manager;
    int status;

    if (run == NULL) {
        reset_hub(hub, true, "the run was deleted");
        return;
    }
    if (!is_same_run(hub, run) ||
        (!is_loading && run->revision < run_state_manager_revision(manager))) {
        reset_hub(hub, false, "the run or the database is another one");
        return;
    }
    status = run_state_manager_upsert_actions(manager, actions, count, run->revision);
    if (status < 0)
        handle_upsert_failure(hub, status);
    else if (is_loading)
        become_live(hub);
    else if (count > 0) {
        run_hub_mark_dirty(hub);
        if (hub->unsent_ns == 0)
            hub->unsent_ns = hub->reading_ns;
    }
    run_hub_account(hub);
}

static void on_read(void *arg, enum repo_outcome outcome, const char *message)
{
    struct run_hub *hub = arg;
    bool must_read_again;

    hub->is_reading = false;
    if (outcome != REPO_OK) {
        if (outcome == REPO_REFUSED)
            log_write(hub->owner->log, LOG_ERROR, "a run could not be read", "s:s, s:s", "run",
                      hub->path, "why", message);
        hub->must_read_again = false; /* read_all follows a reconnect, and the poll goes on */
        if (hub->reading_ns != 0)
            hub->heard_ns = hub->reading_ns;
        run_hub_tell_waiters(hub, HUB_UNAVAILABLE);
    } else if (hub->has_no_room) {
        run_hub_tell_waiters(hub, HUB_NO_ROOM);
    } else if (hub->phase != HUB_PHASE_LOADING) {
        run_hub_tell_waiters(hub, hub->phase == HUB_PHASE_LIVE ? HUB_LIVE : HUB_ABSENT);
    }
    hub->reading_ns = 0;
    hub->has_no_room = false;
    /* A tree that nobody waits for is not loaded on. */
    must_read_again = hub->must_read_again && (hub->references > 0 || hub->phase == HUB_PHASE_LIVE);
    hub->must_read_again = false;
    if (must_read_again)
        run_hub_read(hub);
    unpin(hub);
}

static int start_read(struct run_hub *hub)
{
    struct action_repo *repo = hub->owner->repo;
    int32_t loaded = hub->loading == NULL ? 0 : (int32_t)run_state_manager_count(hub->loading);

    if (hub->phase == HUB_PHASE_LIVE)
        return action_repo_changes_since(repo, &hub->key,
                                         run_state_manager_revision(hub->state.manager), on_changes,
                                         on_read, hub);
    hub->phase = HUB_PHASE_LOADING;
    if (hub->loading != NULL && hub->is_loaded)
        return action_repo_changes_since(repo, &hub->key, hub->load_revision, on_changes, on_read,
                                         hub);
    hub->wants_parts = true;
    return action_repo_tree_parts(repo, &hub->key, loaded, LOAD_PART_ACTIONS,
                                  count_parts(hub, loaded), on_tree_part, on_read, hub);
}

void run_hub_read(struct run_hub *hub)
{
    int status;

    if (hub->is_reading) {
        hub->must_read_again = true;
        return;
    }
    hub->is_reading = true;
    hub->must_read_again = false;
    hub->reading_ns = hub->heard_ns;
    hub->heard_ns = 0;
    hub->pins++;
    hub->owner->stats.reads++;
    status = start_read(hub);
    if (status < 0) {
        hub->is_reading = false;
        hub->heard_ns = hub->reading_ns;
        run_hub_tell_waiters(hub, HUB_UNAVAILABLE);
        unpin(hub);
    }
}

/* -------- who says that a run moved -------- */

void run_hubs_moved(struct run_hubs *hubs, const struct run_key *run, int64_t revision)
{
    char path[RUN_PATH_SIZE];
    struct run_hub *hub;

    run_key_path(run, path);
    HASH_FIND_STR(hubs->all, path, hub);
    if (hub == NULL ||
        (revision != 0 && hub->phase == HUB_PHASE_LIVE && revision <= run_hub_revision(hub)))
        return;
    if (hub->phase == HUB_PHASE_LIVE && hub->heard_ns == 0)
        hub->heard_ns = uv_hrtime();
    run_hub_read(hub);
}

void run_hubs_read_all(struct run_hubs *hubs)
{
    struct run_hub *hub, *next;

    HASH_ITER (hh, hubs->all, hub, next)
        run_hub_read(hub);
}

static void on_polled_moved(void *arg, size_t index)
{
    struct run_hubs *hubs = arg;

    if (!hubs->polled[index]->is_reading)
        hubs->stats.polled++;
    run_hub_read(hubs->polled[index]);
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
            .incarnation = hub->phase == HUB_PHASE_LIVE ? hub->state.incarnation : "",
            .revision = run_hub_revision(hub),
        };
        hubs->polled[hubs->polled_count++] = hub;
        hub->pins++;
        hub = hub->hh.next;
    }
    hubs->next_polled = hub;
    if (action_repo_moved_runs(hubs->repo, positions, hubs->polled_count, on_polled_moved,
                               on_polled, hubs) < 0)
        end_poll(hubs);
    free(positions);
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
    run_hub_clear_dirty(hub);
    if (hub->references == 0)
        end_unused(hub);
    if (hub->owner->next_polled == hub)
        hub->owner->next_polled = hub->hh.next;
    HASH_DELETE(hh, hub->owner->all, hub);
    drop_tree(hub);
    memory_hold(hub->owner->options.frames->memory, MEMORY_TREES, &hub->held, 0);
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

bool run_hubs_make_room(struct run_hubs *hubs, size_t bytes)
{
    struct memory *memory = hubs->options.frames->memory;
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
    if (hub->references == 0 && hub->pins == 0 && hub->state.manager == NULL)
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
    has_more = hub->state.manager != NULL &&
               run_state_manager_drop_encoded(hub->state.manager, FORGOTTEN_AT_ONCE);
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
    frame_pool_cool(hubs->options.frames);
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
    hub->state.frames = hubs->options.frames;
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
    if (!run_hubs_make_room(hubs, hub == NULL ? HUB_BYTES : 0)) {
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

const struct hub_state *run_hub_state(const struct run_hub *hub)
{
    return &hub->state;
}

int64_t run_hub_revision(const struct run_hub *hub)
{
    return hub->phase == HUB_PHASE_LIVE ? run_state_manager_revision(hub->state.manager) : 0;
}
