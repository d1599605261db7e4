#include "watch/channel.h"

#include <stdlib.h>
#include <unistd.h>
#include <utlist.h>

enum { PIECES_MAX = 16 };

struct channels {
    struct memory *memory;
    struct channel *warm; /* those that hold frames */
};

/* As it was made for the first who stood at `before`. */
struct piece {
    struct channel_place before, after;
    struct frame *frame; /* NULL: it has no record */
};

struct channel {
    struct channels *owner;
    const struct channel_source *source_class;
    void *source;
    struct channel_member *members;
    size_t count;
    struct channel *prev, *next; /* in `warm` */
    struct piece *pieces;        /* a ring; NULL: none are held */
    size_t made;                 /* so many into the ring */
    bool was_used;               /* since the channels were cooled */
};

struct channel_member {
    struct channel_member *prev, *next;
    struct channel *channel;
    channel_wake_fn *wake;
    void *arg;
    struct channel_place place;
    bool wants_reset;
    bool is_gone; /* and nothing behind the reset, for a stream */
    bool is_following;
};

/* -------- frames -------- */

struct channels *channels_new(struct memory *memory)
{
    struct channels *channels = calloc(1, sizeof *channels);

    if (channels != NULL)
        channels->memory = memory;
    return channels;
}

void channels_free(struct channels *channels)
{
    free(channels);
}

void channel_forget(struct channel *channel)
{
    if (channel->pieces == NULL)
        return;
    for (size_t i = 0; i < PIECES_MAX; i++)
        frame_release(channel->pieces[i].frame);
    free(channel->pieces);
    channel->pieces = NULL;
    channel->made = 0;
    DL_DELETE(channel->owner->warm, channel);
}

void channels_cool(struct channels *channels)
{
    struct channel *channel, *next;

    DL_FOREACH_SAFE (channels->warm, channel, next) {
        if (!channel->was_used)
            channel_forget(channel);
        channel->was_used = false;
    }
}

static const struct piece *find_piece(const struct channel *channel,
                                      const struct channel_place *place)
{
    for (size_t i = 0; i < channel->made && i < PIECES_MAX; i++)
        if (channel->source_class->is_same_place(channel->pieces[i].before.bytes, place->bytes))
            return &channel->pieces[i];
    return NULL;
}

/* Takes the piece over. NULL when out of memory. */
static const struct piece *keep_piece(struct channel *channel, const struct piece *made)
{
    struct piece *piece;

    if (channel->pieces == NULL) {
        channel->pieces = calloc(PIECES_MAX, sizeof *channel->pieces);
        if (channel->pieces == NULL) {
            frame_release(made->frame);
            return NULL;
        }
        DL_APPEND(channel->owner->warm, channel);
    }
    piece = &channel->pieces[channel->made++ % PIECES_MAX];
    frame_release(piece->frame);
    *piece = *made;
    return piece;
}

/* NULL when out of memory. */
static const struct piece *make_piece(struct channel *channel, const struct channel_place *place)
{
    struct piece made = {.before = *place, .after = *place};
    struct buffer records = {0};
    int status = channel->source_class->make_piece(channel->source, made.after.bytes, &records);
    bool has_records = records.length > 0 || records.failed;

    if (status == 0 && has_records)
        made.frame = frame_new(channel->owner->memory, &records);
    buffer_free(&records);
    if (status < 0 || (has_records && made.frame == NULL))
        return NULL;
    return keep_piece(channel, &made);
}

static enum channel_next next_piece(struct channel_member *member, struct frame **frame)
{
    struct channel *channel = member->channel;
    const struct piece *piece = find_piece(channel, &member->place);

    if (piece == NULL)
        piece = make_piece(channel, &member->place);
    if (piece == NULL)
        return CHANNEL_LATER;
    channel->was_used = true;
    member->place = piece->after;
    if (piece->frame == NULL)
        return CHANNEL_LATER;
    *frame = frame_keep(piece->frame);
    return CHANNEL_FRAME;
}

/* -------- members -------- */

static enum channel_next next_reset(struct channel_member *member, struct frame **frame)
{
    const struct channel *channel = member->channel;
    struct buffer records = {0};

    channel->source_class->write_reset(channel->source, &records);
    *frame = frame_of_kind(&records, FRAME_RECORDS);
    if (*frame == NULL)
        return CHANNEL_LATER;
    member->wants_reset = false;
    channel->source_class->restart(channel->source, member->place.bytes);
    return CHANNEL_RESET;
}

enum channel_next channel_member_next(struct channel_member *member, struct frame **frame)
{
    const struct channel *channel = member->channel;
    enum channel_next next = CHANNEL_RESET;

    if (!member->wants_reset)
        next = channel->source_class->next(channel->source, member->place.bytes,
                                           member->is_following, frame);
    member->wants_reset = next == CHANNEL_RESET;
    if (next == CHANNEL_PIECE)
        return next_piece(member, frame);
    return next == CHANNEL_RESET ? next_reset(member, frame) : next;
}

bool channel_member_position(const struct channel_member *member, struct watch_position *position)
{
    const struct channel *channel = member->channel;

    return !member->wants_reset &&
           channel->source_class->position(channel->source, member->place.bytes, position);
}

struct channel_member *channel_join(struct channel *channel, const struct channel_start *start,
                                    channel_wake_fn *wake, void *arg)
{
    struct channel_member *member = calloc(1, sizeof *member);

    if (member == NULL)
        return NULL;
    member->channel = channel;
    member->wake = wake;
    member->arg = arg;
    member->place = start->place;
    member->wants_reset = start->wants_reset;
    member->is_following = start->is_following;
    DL_PREPEND(channel->members, member);
    channel->count++;
    return member;
}

void channel_leave(struct channel_member *member)
{
    struct channel *channel = member->channel;
    const struct channel_place place = member->place;

    DL_DELETE(channel->members, member);
    channel->count--;
    free(member);
    channel->source_class->on_left(channel->source, place.bytes);
}

void channel_wake(struct channel *channel)
{
    struct channel_member *member;

    channel_forget(channel);
    DL_FOREACH (channel->members, member)
        member->wake(member->arg);
}

void channel_reset(struct channel *channel, bool is_gone)
{
    struct channel_member *member;

    DL_FOREACH (channel->members, member) {
        member->wants_reset = true;
        member->is_gone = is_gone;
        member->wake(member->arg);
    }
}

void *channel_member_source(const struct channel_member *member)
{
    return member->channel->source;
}

void *channel_member_place(const struct channel_member *member)
{
    return (void *)(uintptr_t)member->place.bytes;
}

/* -------- streams -------- */

static enum stream_next on_next(void *arg, struct frame **frame)
{
    struct channel_member *member = arg;

    switch (channel_member_next(member, frame)) {
    case CHANNEL_PIECE:
    case CHANNEL_FRAME:
        return STREAM_FRAME;
    case CHANNEL_RESET:
        return member->is_gone ? STREAM_END : STREAM_FRAME;
    case CHANNEL_END:
    case CHANNEL_LOST:
        return STREAM_END;
    case CHANNEL_LATER:
        return STREAM_LATER;
    case CHANNEL_IDLE:
        break;
    }
    return STREAM_IDLE;
}

static struct frame *on_heartbeat(void *arg)
{
    const struct channel *channel = ((const struct channel_member *)arg)->channel;
    struct buffer records = {0};

    channel->source_class->write_heartbeat(channel->source, &records);
    return frame_of_kind(&records, FRAME_RECORDS);
}

static void on_left(void *arg)
{
    channel_leave(arg);
}

static void on_wake(void *arg)
{
    stream_wake(arg);
}

struct stream *channel_add_stream(struct channel *channel, struct streams *streams, int fd,
                                  struct frame *head, const struct channel_start *start)
{
    static const struct stream_source source_class = {
        .next = on_next, .heartbeat = on_heartbeat, .on_left = on_left};
    struct channel_member *member = channel_join(channel, start, on_wake, NULL);
    struct stream *stream;

    if (member == NULL) {
        frame_release(head);
        close(fd);
        return NULL;
    }
    stream = stream_new(streams, fd, head, &source_class, member);
    if (stream == NULL)
        channel_leave(member);
    else
        member->arg = stream;
    return stream;
}

/* -------- life -------- */

struct channel *channel_new(struct channels *owner, const struct channel_source *source_class,
                            void *source)
{
    struct channel *channel = calloc(1, sizeof *channel);

    if (channel != NULL) {
        channel->owner = owner;
        channel->source_class = source_class;
        channel->source = source;
    }
    return channel;
}

void channel_free(struct channel *channel)
{
    if (channel == NULL)
        return;
    channel_forget(channel);
    free(channel);
}

size_t channel_member_count(const struct channel *channel)
{
    return channel->count;
}
