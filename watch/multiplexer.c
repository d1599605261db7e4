#include "watch/multiplexer.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

enum {
    RETRY_MS = 5000,           /* of what could not be read, at the earliest */
    POSITION_MS = 250,         /* between two ids, at least … */
    UNSAID_BYTES = 128 * 1024, /* … unless so much was sent since, about */
    ONE_BYTES = 384,           /* that a subscription takes, about */
};

enum subscription_state {
    SUBSCRIPTION_READING, /* the run is being read */
    SUBSCRIPTION_REFUSED, /* it could not be, or there is no room for what would be known of it */
    SUBSCRIPTION_JOINED,  /* has a member of a channel */
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
    size_t count, reading, refused, ended;
    size_t held;         /* of the account */
    size_t unsaid_bytes; /* since the last id … */
    uint64_t said_ms;    /* … which was then */
    bool owes_id;        /* the client has more than that says */
    bool owes_id_first;  /* the client is about to have less than that says */
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

static void forget_run(struct multiplexed *one)
{
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

/* Whoever comes from a replica that was ahead must not be shown less than it has seen. */
static void read_run(struct multiplexed *one)
{
    set_state(one, SUBSCRIPTION_READING);
    if (run_hub_when_read(one->hub, INT64_MAX, on_run_read, one) < 0)
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

static struct frame *position_frame(const struct multiplexer *multiplexer)
{
    struct buffer records = {0};
    const struct multiplexed *one;

    buffer_text(&records, "event: position\ndata: {}\nid: ");
    watch_id_begin(&records);
    DL_FOREACH (multiplexer->all, one)
        if (one->is_known)
            watch_id_add(&records, &one->position);
    buffer_text(&records, "\n\n");
    return frame_new(multiplexer->options.memory, &records);
}

static enum stream_next give_id(struct multiplexer *multiplexer, struct frame **frame)
{
    *frame = position_frame(multiplexer);
    if (*frame == NULL)
        return STREAM_LATER;
    multiplexer->owes_id = multiplexer->owes_id_first = false;
    multiplexer->unsaid_bytes = 0;
    multiplexer->said_ms = uv_now(multiplexer->options.loop);
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

static enum channel_next say_absent(struct multiplexed *one, struct frame **frame)
{
    struct buffer records = {0};

    if (one->state != SUBSCRIPTION_REFUSED || one->is_told)
        return CHANNEL_IDLE;
    hub_view_write_absent(one->view, "unavailable", &records);
    *frame = frame_of_kind(&records, FRAME_RECORDS);
    one->is_told = *frame != NULL;
    return *frame == NULL ? CHANNEL_LATER : CHANNEL_FRAME;
}

/* -------- the stream -------- */

/* Before a client forgets what its id knows, it has an id that does not: cut off between the two,
 * it would never be sent it again. */
static enum channel_next next_of(struct multiplexed *one, struct frame **frame)
{
    enum channel_next next;

    if (one->member == NULL)
        return say_absent(one, frame);
    next = channel_member_next(one->member, frame);
    if (next == CHANNEL_RESET && one->is_known) {
        one->is_known = false;
        one->owner->owes_id_first = true;
        one->owner->reset = *frame;
        *frame = NULL;
        return CHANNEL_LATER;
    }
    if (next != CHANNEL_RESET && *frame != NULL)
        note_given(one, *frame);
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
    multiplexer->is_lost = next == CHANNEL_LOST;
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
    while (next == STREAM_IDLE && !multiplexer->is_lost && multiplexer->ready != NULL)
        next = take_turn(multiplexer, frame);
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
    const struct watch_position *found = watch_id_find(id, key);

    one->is_known = found != NULL;
    if (found != NULL)
        one->position = *found;
    one->position.key = key;
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
    memory_hold(multiplexer->options.memory, MEMORY_VIEWS, &multiplexer->held,
                multiplexer->count * ONE_BYTES);
    return one;
}

int multiplexer_add_run(struct multiplexer *multiplexer, struct run_hubs *hubs,
                        const struct run_key *run, const struct filter *filter, const char *text,
                        const struct watch_id *id)
{
    struct multiplexed *one = add_one(multiplexer);
    int status;

    if (one == NULL)
        return -ENOMEM;
    status = run_hub_open(hubs, run, &one->hub);
    if (status < 0)
        return status;
    one->view = run_hub_hold_view(one->hub, filter, text);
    if (one->view == NULL)
        return -ENOMEM;
    take_position(one, hub_view_key(one->view), id);
    read_run(one);
    return 0;
}

int multiplexer_add_list(struct multiplexer *multiplexer, struct list_hub *hub,
                         const struct list_filter *filter, int32_t limit, const char *text,
                         const struct watch_id *id)
{
    struct multiplexed *one = add_one(multiplexer);

    if (one == NULL)
        return -ENOMEM;
    one->list = list_hub_hold_view(hub, filter, limit, text);
    if (one->list == NULL)
        return -ENOMEM;
    take_position(one, list_view_key(one->list), id);
    one->member = list_view_join(one->list, one->is_known ? &one->position : NULL, on_wake, one);
    if (one->member == NULL)
        return -ENOMEM;
    set_ready(one);
    return 0;
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
    if (one->member != NULL)
        channel_leave(one->member);
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

    if (multiplexer == NULL)
        return;
    DL_FOREACH_SAFE (multiplexer->all, one, next)
        remove_one(one);
    frame_release(multiplexer->reset);
    memory_hold(multiplexer->options.memory, MEMORY_VIEWS, &multiplexer->held, 0);
    free(multiplexer);
}
