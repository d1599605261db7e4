#include "watch/multiplexer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "model/list_order.h"
#include "model/subscription.h"
#include "server/cell.h"

enum {
    RETRY_MS = 5000,           /* of what could not be read, at the earliest */
    POSITION_MS = 250,         /* between two ids, at least … */
    UNSAID_BYTES = 128 * 1024, /* … unless so much was sent since, about */
    ONE_BYTES = 448,           /* that a subscription, or a part of one, takes, about … */
    MERGED_BYTES = 2048,       /* … and what its parts have in common */
};

enum subscription_state {
    SUBSCRIPTION_READING, /* the run is being read */
    SUBSCRIPTION_REFUSED, /* it could not be, or there is no room for what would be known of it */
    SUBSCRIPTION_JOINED,  /* has a member of a channel */
};

/* A run of a cell whose database has not been seen yet. */
struct unopened_run {
    struct run_key key;
    char key_text[RUN_PATH_SIZE];
    struct filter filter;
    char *text;
};

/* A list over several cells, each of which has a part of it: one `multiplexed`. */
struct merged_list {
    struct merged_list *prev, *next;
    struct multiplexer *owner;
    struct list_filter filter; /* its access held */
    int32_t limit;
    char *text;      /* NULL: it is alone on its stream */
    bool owes_reset; /* of all of it */
    bool is_merging; /* the snapshots of the cells that are up will be made one */
    bool is_synced;  /* that was said, of all that were up */
};

struct multiplexed {
    struct multiplexer *owner; /* NULL: it left while the run was being read */
    struct multiplexed *prev, *next;
    struct multiplexed *ready_prev, *ready_next;
    enum subscription_state state;
    struct run_hub *hub; /* of a run, as is `view`; both held */
    struct hub_view *view;
    struct list_view *list; /* held */
    struct channel_member *member;
    /* Where there are several cells: */
    struct cell *cell; /* NULL: there is one */
    struct cell_listener listener;
    struct unopened_run *unopened;
    bool may_move;                  /* the run, when it is made anew */
    struct merged_list *merged;     /* whose part it is */
    struct frame *taken;            /* of the merged snapshot, not given yet */
    bool is_synced;                 /* the part is … */
    bool owes_synced;               /* … which is to be said of it alone */
    struct watch_position position; /* what the client has, as far as its id says */
    bool is_known;                  /* that it says anything */
    bool is_ready;                  /* in the list of those that may have something */
    bool is_ended;                  /* said `end`, and nothing since */
    bool is_told;                   /* that it waits */
    uint64_t refused_ms;
};

struct multiplexer {
    struct multiplexer_options options;
    struct stream *stream; /* NULL: not yet */
    struct multiplexed *all;
    struct multiplexed *ready; /* who comes next first */
    size_t count, reading, refused, ended, merged_count;
    size_t held;         /* of the account */
    size_t unsaid_bytes; /* since the last id … */
    uint64_t said_ms;    /* … which was then */
    bool owes_id;        /* the client has more than that says */
    bool owes_id_first;  /* the client is about to have less than that says */
    bool owes_cells;     /* which are away has changed */
    bool owes_lists;     /* some merged list or part may owe a record */
    struct merged_list *merged;
    struct frame *reset; /* the record that takes it; NULL: none */
    bool is_lost;
    multiplexer_read_fn *on_read;
    void *on_read_arg;
};

/* -------- who comes next -------- */

/* Behind the others. */
static void set_ready(struct multiplexed *one)
{
    struct multiplexer *owner = one->owner;

    owner->ended -= one->is_ended;
    one->is_ended = false;
    if (one->is_ready)
        return;
    one->is_ready = true;
    DL_APPEND2(owner->ready, one, ready_prev, ready_next);
}

static void clear_ready(struct multiplexed *one)
{
    if (!one->is_ready)
        return;
    one->is_ready = false;
    DL_DELETE2(one->owner->ready, one, ready_prev, ready_next);
}

static void on_wake(void *arg)
{
    struct multiplexed *one = arg;

    set_ready(one);
    if (one->owner->stream != NULL)
        stream_wake(one->owner->stream);
}

/* -------- reading -------- */

static void read_run(struct multiplexed *one);

static void set_state(struct multiplexed *one, enum subscription_state state)
{
    struct multiplexer *owner = one->owner;

    owner->reading -= one->state == SUBSCRIPTION_READING;
    owner->refused -= one->state == SUBSCRIPTION_REFUSED;
    one->state = state;
    owner->reading += one->state == SUBSCRIPTION_READING;
    owner->refused += one->state == SUBSCRIPTION_REFUSED;
}

static void refuse(struct multiplexed *one)
{
    one->refused_ms = uv_now(one->owner->options.loop);
    set_state(one, SUBSCRIPTION_REFUSED);
}

/* The run is there, or is not: the client goes on where it was, or at the start. What it has of it
 * without an id, because it was cut off before one came, it is told to forget. */
static void join_run(struct multiplexed *one, bool is_there)
{
    struct hub_start start = {.is_following = one->owner->options.is_following};

    if (is_there && one->is_known && hub_view_knows_position(one->view, &one->position)) {
        start.is_resuming = true;
        start.since = one->position.number;
    } else {
        start.wants_reset = true;
    }
    one->member = hub_view_join(one->view, &start, on_wake, one);
    if (one->member == NULL)
        refuse(one);
    else
        set_state(one, SUBSCRIPTION_JOINED);
}

static bool has_news(const struct multiplexer *multiplexer)
{
    const struct multiplexed *one;

    DL_FOREACH (multiplexer->all, one)
        if (one->state != SUBSCRIPTION_JOINED || one->view == NULL || !one->position.is_end ||
            !hub_view_knows_position(one->view, &one->position) ||
            one->position.number != run_hub_revision(one->hub) || !run_hub_is_ended(one->hub))
            return true;
    return false;
}

static void tell_read(struct multiplexer *multiplexer)
{
    multiplexer_read_fn *fn = multiplexer->on_read;

    if (fn == NULL || multiplexer->reading > 0)
        return;
    multiplexer->on_read = NULL;
    fn(multiplexer->on_read_arg, has_news(multiplexer));
}

static void free_unopened(struct multiplexed *one);

static void forget_run(struct multiplexed *one)
{
    free_unopened(one);
    if (one->view != NULL)
        hub_view_release(one->view);
    if (one->hub != NULL)
        run_hub_release(one->hub);
    free(one);
}

static void on_run_read(void *arg, enum hub_outcome outcome)
{
    struct multiplexed *one = arg;

    if (one->owner == NULL) {
        forget_run(one);
        return;
    }
    if (outcome == HUB_ABSENT || (outcome == HUB_LIVE && hub_view_has_room(one->view)))
        join_run(one, outcome == HUB_LIVE);
    else
        refuse(one);
    on_wake(one);
    tell_read(one->owner);
}

static int open_run(struct multiplexed *one, struct run_hubs *hubs, const struct run_key *run,
                    const struct filter *filter, const char *text)
{
    int status = run_hub_open(hubs, run, &one->hub);

    if (status < 0)
        return status;
    one->view = run_hub_hold_view(one->hub, filter, text);
    if (one->view != NULL)
        return 0;
    run_hub_release(one->hub);
    one->hub = NULL;
    return -ENOMEM;
}

static void free_unopened(struct multiplexed *one)
{
    if (one->unopened != NULL)
        free(one->unopened->text);
    free(one->unopened);
    one->unopened = NULL;
}

/* Whether it is open, which it may have become. */
static bool is_opened(struct multiplexed *one)
{
    const struct unopened_run *run = one->unopened;

    if (run == NULL)
        return true;
    if (!one->cell->has_database ||
        open_run(one, one->cell->hubs, &run->key, &run->filter, run->text) < 0)
        return false;
    free_unopened(one);
    return true;
}

/* Whoever comes from a replica that was ahead must not be shown less than it has seen. */
static void read_run(struct multiplexed *one)
{
    set_state(one, SUBSCRIPTION_READING);
    if (!is_opened(one) || run_hub_when_read(one->hub, INT64_MAX, on_run_read, one) < 0)
        refuse(one);
}

static void retry_refused(struct multiplexer *multiplexer)
{
    uint64_t now_ms = uv_now(multiplexer->options.loop);
    struct multiplexed *one;

    if (multiplexer->refused == 0)
        return;
    DL_FOREACH (multiplexer->all, one)
        if (one->state == SUBSCRIPTION_REFUSED && now_ms - one->refused_ms >= RETRY_MS)
            read_run(one);
}

/* -------- records -------- */

static void write_id(const struct multiplexer *multiplexer, struct buffer *records)
{
    const struct multiplexed *one;

    buffer_text(records, "id: ");
    watch_id_begin(records);
    DL_FOREACH (multiplexer->all, one)
        if (one->is_known)
            watch_id_add(records, &one->position);
    buffer_text(records, "\n");
}

static void note_id_given(struct multiplexer *multiplexer)
{
    multiplexer->owes_id = multiplexer->owes_id_first = false;
    multiplexer->unsaid_bytes = 0;
    multiplexer->said_ms = uv_now(multiplexer->options.loop);
}

static enum stream_next give_id(struct multiplexer *multiplexer, struct frame **frame)
{
    struct buffer records = {0};

    buffer_text(&records, "event: position\ndata: {}\n");
    write_id(multiplexer, &records);
    buffer_text(&records, "\n");
    *frame = frame_new(multiplexer->options.memory, &records);
    if (*frame == NULL)
        return STREAM_LATER;
    note_id_given(multiplexer);
    return STREAM_FRAME;
}

/* What is given to the client: from then on it has it. */
static void note_given(struct multiplexed *one, const struct frame *frame)
{
    struct multiplexer *owner = one->owner;

    one->is_known |= channel_member_position(one->member, &one->position);
    owner->owes_id = true;
    owner->unsaid_bytes += frame_length(frame);
}

static void write_unavailable(const struct multiplexed *one, struct buffer *records)
{
    char *label;

    if (one->view != NULL) {
        hub_view_write_absent(one->view, "unavailable", records);
        return;
    }
    label = subscription_label(one->unopened->text, NULL);
    records->failed |= label == NULL;
    record_write_absent(records, label, "unavailable");
    free(label);
}

static enum channel_next say_absent(struct multiplexed *one, struct frame **frame)
{
    struct buffer records = {0};

    if (one->state != SUBSCRIPTION_REFUSED || one->is_told)
        return CHANNEL_IDLE;
    write_unavailable(one, &records);
    *frame = frame_of_kind(&records, FRAME_RECORDS);
    one->is_told = *frame != NULL;
    return *frame == NULL ? CHANNEL_LATER : CHANNEL_FRAME;
}

/* -------- lists over several cells -------- */

/* The client goes on where it was, or at the start; a part of a cell that was never seen waits. */
static void join_part(struct multiplexed *one)
{
    struct merged_list *merged = one->merged;

    if (one->member != NULL || !one->cell->has_database)
        return;
    if (one->list == NULL)
        one->list = list_hub_hold_view(one->cell->list_hub, &merged->filter, merged->limit,
                                       merged->text, one->cell->options.name);
    if (one->list != NULL && merged->is_merging)
        one->member = list_view_join_merged(one->list, on_wake, one);
    else if (one->list != NULL)
        one->member =
            list_view_join(one->list, one->is_known ? &one->position : NULL, on_wake, one);
    one->owner->is_lost |= one->member == NULL;
}

/* The parts whose snapshots are there; 0 while one of a cell that is up is not. */
static size_t gather_snapshots(const struct merged_list *merged, struct multiplexed *parts[],
                               const struct list_order *orders[])
{
    struct multiplexed *one;
    size_t count = 0;

    DL_FOREACH (merged->owner->all, one) {
        if (one->merged != merged)
            continue;
        orders[count] = one->member == NULL ? NULL : list_member_snapshot(one->member);
        if (orders[count] != NULL)
            parts[count++] = one;
        else if (cell_is_up(one->cell))
            return 0;
    }
    return count;
}

/* The newest runs of all, each part its own; those that come later give all of theirs. */
static void merge_snapshots(struct merged_list *merged)
{
    struct multiplexed *parts[CELLS_MAX], *one;
    const struct list_order *orders[CELLS_MAX];
    size_t taken[CELLS_MAX];
    size_t count = gather_snapshots(merged, parts, orders);

    if (count == 0)
        return;
    merged->is_merging = false;
    list_order_merge(orders, count, (size_t)merged->limit, taken);
    for (size_t i = 0; i < count; i++)
        merged->owner->is_lost |=
            list_member_take(parts[i]->member, taken[i], &parts[i]->taken) < 0;
    DL_FOREACH (merged->owner->all, one) {
        if (one->merged != merged)
            continue;
        if (one->member != NULL)
            list_member_take_all(one->member);
        set_ready(one);
    }
}

/* The client has all of the part: it is said when it has all of each part, or if that was said
 * before. */
static void note_synced(struct multiplexed *one)
{
    if (one->is_synced || one->taken != NULL || one->member == NULL ||
        !channel_member_position(one->member, &one->position))
        return;
    one->is_synced = one->is_known = true;
    one->owner->owes_id = one->owner->owes_lists = true;
    one->owes_synced = one->merged->is_synced;
}

/* The part of a client that is too far behind, or whose cell is another one, goes on as that of one
 * that comes back. */
static void rejoin_part(struct multiplexed *one)
{
    channel_leave(one->member);
    one->member = NULL;
    one->is_synced = false;
    join_part(one);
}

static enum channel_next next_of_part(struct multiplexed *one, struct frame **frame)
{
    enum channel_next next = CHANNEL_IDLE;

    join_part(one);
    if (one->taken != NULL) {
        *frame = one->taken;
        one->taken = NULL;
        return CHANNEL_FRAME;
    }
    if (one->member != NULL)
        next = channel_member_next(one->member, frame);
    if (next == CHANNEL_LOST) {
        rejoin_part(one);
        return CHANNEL_LATER;
    }
    if (one->merged->is_merging)
        merge_snapshots(one->merged);
    return next;
}

/* -------- what is said of lists and cells -------- */

static bool is_whole(const struct merged_list *merged)
{
    const struct multiplexed *one;
    size_t synced = 0;

    DL_FOREACH (merged->owner->all, one) {
        if (one->merged != merged)
            continue;
        if (!one->is_synced && cell_is_up(one->cell))
            return false;
        synced += one->is_synced;
    }
    return synced > 0;
}

static int64_t runs_of(const struct merged_list *merged)
{
    const struct multiplexed *one;
    int64_t runs = 0;

    DL_FOREACH (merged->owner->all, one)
        if (one->merged == merged && one->is_synced)
            runs += list_member_runs(one->member);
    return runs;
}

static void write_synced(struct buffer *records, const char *label, int64_t runs)
{
    record_begin(records, "synced", label);
    buffer_integer_member(records, "\"runs\":", runs);
    buffer_text(records, "}\n");
}

/* What the list owes, or nothing. */
static void write_owed_of_list(struct merged_list *merged, const char *label,
                               struct buffer *records)
{
    struct multiplexer *owner = merged->owner;

    if (merged->owes_reset) {
        merged->owes_reset = false;
        record_write_reset(records, label);
    }
    if (merged->is_synced || !is_whole(merged))
        return;
    merged->is_synced = true;
    write_synced(records, label, runs_of(merged));
    if (merged->text == NULL) {
        write_id(owner, records);
        note_id_given(owner);
    }
    buffer_text(records, "\n");
}

static void write_owed_of_part(struct multiplexed *one, struct buffer *records)
{
    char *label;

    if (!one->owes_synced)
        return;
    label = subscription_label(one->merged->text, one->cell->options.name);
    records->failed |= label == NULL;
    one->owes_synced = false;
    write_synced(records, label, list_member_runs(one->member));
    buffer_text(records, "\n");
    free(label);
}
/* Those that this stream has to do with. */
static void write_cells(const struct multiplexer *multiplexer, struct buffer *records)
{
    const struct multiplexer_options *options = &multiplexer->options;
    const struct multiplexed *one;
    const char *before = "";

    record_begin(records, "cells", NULL);
    buffer_text(records, "\"unavailable\":[");
    for (size_t i = 0; i < options->cell_count; i++) {
        DL_SEARCH_SCALAR(multiplexer->all, one, cell, options->cells[i]);
        if (one == NULL || cell_is_up(options->cells[i]))
            continue;
        buffer_text(records, before);
        buffer_string(records, options->cells[i]->options.name);
        before = ",";
    }
    buffer_text(records, "]}\n\n");
}

static void write_owed(struct multiplexer *multiplexer, struct buffer *records)
{
    struct merged_list *merged;
    struct multiplexed *one;
    char *label;

    if (multiplexer->owes_cells)
        write_cells(multiplexer, records);
    DL_FOREACH (multiplexer->merged, merged) {
        label = merged->text == NULL ? NULL : subscription_label(merged->text, NULL);
        records->failed |= label == NULL && merged->text != NULL;
        write_owed_of_list(merged, label, records);
        free(label);
    }
    DL_FOREACH (multiplexer->all, one)
        write_owed_of_part(one, records);
    multiplexer->owes_cells = multiplexer->owes_lists = false;
}

static bool owes_records(const struct multiplexer *multiplexer)
{
    return multiplexer->owes_cells || multiplexer->owes_lists;
}

/* STREAM_IDLE: nothing is owed. */
static enum stream_next give_owed(struct multiplexer *multiplexer, struct frame **frame)
{
    struct buffer records = {0};

    write_owed(multiplexer, &records);
    if (records.length == 0 && !records.failed)
        return STREAM_IDLE;
    *frame = frame_new(multiplexer->options.memory, &records);
    multiplexer->is_lost |= *frame == NULL;
    return *frame == NULL ? STREAM_LATER : STREAM_FRAME;
}

/* -------- the stream -------- */

/* A run that is gone from a cell where it would not be made is waited for where it would. */
static enum channel_next next_of_run(struct multiplexed *one, struct frame **frame)
{
    enum channel_next next = channel_member_next(one->member, frame);

    one->owner->is_lost |= one->may_move && run_hub_tree(one->hub) == NULL;
    return next;
}

/* Before a client forgets what its id knows, it has an id that does not: cut off between the two,
 * it would never be sent it again. */
static enum channel_next next_of(struct multiplexed *one, struct frame **frame)
{
    enum channel_next next;

    if (one->merged == NULL && one->member == NULL)
        return say_absent(one, frame);
    if (one->merged == NULL)
        next = next_of_run(one, frame);
    else
        next = next_of_part(one, frame);
    if (next == CHANNEL_RESET && one->is_known) {
        one->is_known = false;
        one->owner->owes_id_first = true;
        one->owner->reset = *frame;
        *frame = NULL;
        return CHANNEL_LATER;
    }
    if (next != CHANNEL_RESET && *frame != NULL)
        note_given(one, *frame);
    if (one->merged != NULL)
        note_synced(one);
    return next;
}

static bool is_at_end(const struct multiplexer *multiplexer)
{
    return multiplexer->is_lost || multiplexer->ended == multiplexer->count;
}

/* The turn of one. STREAM_IDLE: ask the next. */
static enum stream_next take_turn(struct multiplexer *multiplexer, struct frame **frame)
{
    struct multiplexed *one = multiplexer->ready;
    enum channel_next next;

    *frame = NULL;
    clear_ready(one);
    next = next_of(one, frame);
    multiplexer->is_lost |= next == CHANNEL_LOST;
    if (next == CHANNEL_END) {
        multiplexer->ended += !one->is_ended;
        one->is_ended = true;
    } else if (next != CHANNEL_IDLE && next != CHANNEL_LOST) {
        set_ready(one);
    }
    if (*frame != NULL)
        return STREAM_FRAME;
    return next == CHANNEL_LATER ? STREAM_LATER : STREAM_IDLE;
}

/* An id is as long as the set is great, so that it does not follow each of many small changes. */
static enum stream_next end_turns(struct multiplexer *multiplexer, struct frame **frame)
{
    bool is_due = uv_now(multiplexer->options.loop) - multiplexer->said_ms >= POSITION_MS;

    if (multiplexer->owes_id && (is_due || is_at_end(multiplexer)))
        return give_id(multiplexer, frame);
    if (multiplexer->owes_id)
        stream_wake_later(multiplexer->stream);
    return is_at_end(multiplexer) ? STREAM_END : STREAM_IDLE;
}

static enum stream_next on_next(void *arg, struct frame **frame)
{
    struct multiplexer *multiplexer = arg;
    enum stream_next next = STREAM_IDLE;

    retry_refused(multiplexer);
    if (multiplexer->owes_id_first || multiplexer->unsaid_bytes >= UNSAID_BYTES)
        return give_id(multiplexer, frame);
    if (multiplexer->reset != NULL) {
        *frame = multiplexer->reset;
        multiplexer->reset = NULL;
        return STREAM_FRAME;
    }
    while (next == STREAM_IDLE && !multiplexer->is_lost &&
           (owes_records(multiplexer) || multiplexer->ready != NULL))
        next = owes_records(multiplexer) ? give_owed(multiplexer, frame)
                                         : take_turn(multiplexer, frame);
    return next == STREAM_IDLE ? end_turns(multiplexer, frame) : next;
}

static struct frame *on_heartbeat(void *arg)
{
    retry_refused(arg);
    return frame_of_text("event: heartbeat\ndata: {}\n\n");
}

static void on_left(void *arg)
{
    multiplexer_free(arg);
}

struct stream *multiplexer_add_stream(struct multiplexer *multiplexer, struct streams *streams,
                                      int fd, struct frame *head)
{
    static const struct stream_source source_class = {
        .next = on_next, .heartbeat = on_heartbeat, .on_left = on_left};
    struct stream *stream = stream_new(streams, fd, head, &source_class, multiplexer);

    if (stream == NULL)
        multiplexer_free(multiplexer);
    else
        multiplexer->stream = stream;
    return stream;
}

/* -------- subscriptions -------- */

/* The client has of it what the id says. */
static void take_position(struct multiplexed *one, uint64_t key, const struct watch_id *id)
{
    const struct watch_position *found = id == NULL ? NULL : watch_id_find(id, key);

    one->is_known = found != NULL;
    if (found != NULL)
        one->position = *found;
    one->position.key = key;
}

static void account(struct multiplexer *multiplexer)
{
    memory_hold(multiplexer->options.memory, MEMORY_VIEWS, &multiplexer->held,
                multiplexer->count * ONE_BYTES + multiplexer->merged_count * MERGED_BYTES);
}

static struct multiplexed *add_one(struct multiplexer *multiplexer)
{
    struct multiplexed *one = calloc(1, sizeof *one);

    if (one == NULL)
        return NULL;
    one->owner = multiplexer;
    one->state = SUBSCRIPTION_JOINED;
    DL_APPEND(multiplexer->all, one);
    multiplexer->count++;
    account(multiplexer);
    return one;
}

static bool has_several_cells(const struct multiplexer *multiplexer)
{
    return multiplexer->options.cell_count > 1;
}

static void on_cell_change(void *arg)
{
    struct multiplexed *one = arg;

    one->owner->owes_cells = one->owner->owes_lists = true;
    one->refused_ms = uv_now(one->owner->options.loop) - RETRY_MS; /* it is tried again now */
    on_wake(one);
}

static void listen_to_cell(struct multiplexed *one, struct cell *cell)
{
    one->cell = cell;
    one->listener = (struct cell_listener){.on_change = on_cell_change, .arg = one};
    cell_listen(cell, &one->listener);
    one->owner->owes_cells = true;
}

/* The run is opened when its cell has been seen. 0 or -ENOMEM. */
static int open_later(struct multiplexed *one, const struct run_key *run,
                      const struct filter *filter, const char *text)
{
    struct unopened_run *unopened = calloc(1, sizeof *unopened);

    if (unopened == NULL)
        return -ENOMEM;
    one->unopened = unopened;
    run_key_path(run, unopened->key_text);
    unopened->key = run_key_split(unopened->key_text);
    unopened->filter = *filter;
    unopened->text = strdup(text);
    if (unopened->text == NULL)
        return -ENOMEM;
    refuse(one);
    set_ready(one);
    return 0;
}

int multiplexer_add_run(struct multiplexer *multiplexer, struct cell *cell, bool may_move,
                        const struct run_key *run, const struct filter *filter, const char *text,
                        const struct watch_id *id)
{
    struct multiplexed *one = add_one(multiplexer);
    int status;

    if (one == NULL)
        return -ENOMEM;
    one->may_move = may_move;
    take_position(one, hub_view_key(run, filter), id);
    if (has_several_cells(multiplexer))
        listen_to_cell(one, cell);
    if (!cell->has_database)
        return has_several_cells(multiplexer) ? open_later(one, run, filter, text) : -ENOTCONN;
    status = open_run(one, cell->hubs, run, filter, text);
    if (status < 0)
        return status;
    read_run(one);
    return 0;
}

static int add_list_of_one(struct multiplexer *multiplexer, const struct list_filter *filter,
                           int32_t limit, const char *text, const struct watch_id *id)
{
    struct list_hub *hub = multiplexer->options.cells[0]->list_hub;
    struct multiplexed *one = add_one(multiplexer);

    if (one == NULL)
        return -ENOMEM;
    one->list = list_hub_hold_view(hub, filter, limit, text, NULL);
    if (one->list == NULL)
        return -ENOMEM;
    take_position(one, list_view_key(filter, NULL), id);
    one->member = list_view_join(one->list, one->is_known ? &one->position : NULL, on_wake, one);
    if (one->member == NULL)
        return -ENOMEM;
    set_ready(one);
    return 0;
}

static struct merged_list *new_merged_list(struct multiplexer *multiplexer,
                                           const struct list_filter *filter, int32_t limit,
                                           const char *text)
{
    struct merged_list *merged = calloc(1, sizeof *merged);

    if (merged == NULL)
        return NULL;
    merged->owner = multiplexer;
    merged->filter = *filter;
    access_hold(filter->access);
    merged->limit = limit;
    merged->text = text == NULL ? NULL : strdup(text);
    DL_APPEND(multiplexer->merged, merged);
    multiplexer->merged_count++;
    return text != NULL && merged->text == NULL ? NULL : merged;
}

/* A part for each cell. The client goes on at those that its id knows. If it knows none, or, where
 * it is of this list alone, any that is none of ours, all begins anew. */
static int add_merged_list(struct multiplexer *multiplexer, const struct list_filter *filter,
                           int32_t limit, const char *text, const struct watch_id *id)
{
    const struct multiplexer_options *options = &multiplexer->options;
    struct merged_list *merged = new_merged_list(multiplexer, filter, limit, text);
    struct multiplexed *one;
    size_t known = 0;

    if (merged == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < options->cell_count; i++) {
        one = add_one(multiplexer);
        if (one == NULL)
            return -ENOMEM;
        one->merged = merged;
        listen_to_cell(one, options->cells[i]);
        take_position(one, list_view_key(filter, options->cells[i]->options.name), id);
        known += one->is_known;
        set_ready(one);
    }
    merged->is_merging = known == 0 || (text == NULL && known < id->count);
    merged->owes_reset = merged->is_merging && (text != NULL || id != NULL);
    DL_FOREACH (multiplexer->all, one)
        if (one->merged == merged)
            one->is_known &= !merged->is_merging;
    multiplexer->owes_lists = true;
    return 0;
}

int multiplexer_add_list(struct multiplexer *multiplexer, const struct list_filter *filter,
                         int32_t limit, const char *text, const struct watch_id *id)
{
    if (has_several_cells(multiplexer))
        return add_merged_list(multiplexer, filter, limit, text, id);
    return add_list_of_one(multiplexer, filter, limit, text, id);
}

bool multiplexer_was_ended(const struct multiplexer *multiplexer)
{
    const struct multiplexed *one;

    DL_FOREACH (multiplexer->all, one)
        if (!one->is_known || !one->position.is_end)
            return false;
    return true;
}

void multiplexer_when_read(struct multiplexer *multiplexer, multiplexer_read_fn *fn, void *arg)
{
    multiplexer->on_read = fn;
    multiplexer->on_read_arg = arg;
    tell_read(multiplexer);
}

/* -------- life -------- */

struct multiplexer *multiplexer_new(const struct multiplexer_options *options)
{
    struct multiplexer *multiplexer = calloc(1, sizeof *multiplexer);

    if (multiplexer == NULL)
        return NULL;
    multiplexer->options = *options;
    multiplexer->owes_id_first = true; /* what left the set is forgotten */
    return multiplexer;
}

static void remove_one(struct multiplexed *one)
{
    clear_ready(one);
    if (one->cell != NULL)
        cell_unlisten(one->cell, &one->listener);
    if (one->member != NULL)
        channel_leave(one->member);
    frame_release(one->taken);
    if (one->list != NULL)
        list_view_release(one->list);
    if (one->state == SUBSCRIPTION_READING)
        one->owner = NULL; /* on_run_read will come */
    else
        forget_run(one);
}

void multiplexer_free(struct multiplexer *multiplexer)
{
    struct multiplexed *one, *next;
    struct merged_list *merged, *next_merged;

    if (multiplexer == NULL)
        return;
    DL_FOREACH_SAFE (multiplexer->all, one, next)
        remove_one(one);
    DL_FOREACH_SAFE (multiplexer->merged, merged, next_merged) {
        access_release(merged->filter.access);
        free(merged->text);
        free(merged);
    }
    frame_release(multiplexer->reset);
    memory_hold(multiplexer->options.memory, MEMORY_VIEWS, &multiplexer->held, 0);
    free(multiplexer);
}
