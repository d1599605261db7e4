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
    struct subscriber *subscribers;
    size_t count;
    struct channel *prev, *next; /* in `warm` */
    struct piece *pieces;        /* a ring; NULL: none are held */
    size_t made;                 /* so many into the ring */
    bool was_used;               /* since the channels were cooled */
};

/* A stream's part in the channel. */
struct subscriber {
    struct subscriber *prev, *next;
    struct channel *channel;
    struct stream *stream;
    struct channel_place place;
    bool wants_reset;
    bool is_gone; /* and nothing behind the reset */
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

static enum stream_next next_piece(struct subscriber *subscriber, struct frame **frame)
{
    struct channel *channel = subscriber->channel;
    const struct piece *piece = find_piece(channel, &subscriber->place);

    if (piece == NULL)
        piece = make_piece(channel, &subscriber->place);
    if (piece == NULL)
        return STREAM_LATER;
    channel->was_used = true;
    subscriber->place = piece->after;
    if (piece->frame == NULL)
        return STREAM_LATER;
    *frame = frame_keep(piece->frame);
    return STREAM_FRAME;
}

/* -------- streams -------- */

static enum stream_next next_reset(struct subscriber *subscriber, struct frame **frame)
{
    *frame = frame_of_text("event: reset\ndata: {}\n\n");
    if (*frame == NULL)
        return STREAM_LATER;
    if (subscriber->is_gone)
        return STREAM_END;
    subscriber->wants_reset = false;
    subscriber->channel->source_class->restart(subscriber->place.bytes);
    return STREAM_FRAME;
}

static enum stream_next on_next(void *arg, struct frame **frame)
{
    struct subscriber *subscriber = arg;
    const struct channel *channel = subscriber->channel;
    enum channel_next next = CHANNEL_RESET;

    if (!subscriber->wants_reset)
        next = channel->source_class->next(channel->source, subscriber->place.bytes,
                                           subscriber->is_following, frame);
    switch (next) {
    case CHANNEL_PIECE:
        return next_piece(subscriber, frame);
    case CHANNEL_RESET:
        subscriber->wants_reset = true;
        return next_reset(subscriber, frame);
    case CHANNEL_FRAME:
        return STREAM_FRAME;
    case CHANNEL_END:
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
    const struct channel *channel = ((const struct subscriber *)arg)->channel;
    struct buffer records = {0};

    channel->source_class->write_heartbeat(channel->source, &records);
    return frame_of_kind(&records, FRAME_RECORDS);
}

static void on_left(void *arg)
{
    struct subscriber *subscriber = arg;
    struct channel *channel = subscriber->channel;
    const struct channel_place place = subscriber->place;

    DL_DELETE(channel->subscribers, subscriber);
    channel->count--;
    free(subscriber);
    channel->source_class->on_left(channel->source, place.bytes);
}

struct stream *channel_add_stream(struct channel *channel, struct streams *streams, int fd,
                                  struct frame *head, const struct channel_start *start)
{
    static const struct stream_source source_class = {
        .next = on_next, .heartbeat = on_heartbeat, .on_left = on_left};
    struct subscriber *subscriber = calloc(1, sizeof *subscriber);
    struct stream *stream;

    if (subscriber == NULL) {
        frame_release(head);
        close(fd);
        return NULL;
    }
    stream = stream_new(streams, fd, head, &source_class, subscriber);
    if (stream == NULL) {
        free(subscriber);
        return NULL;
    }
    subscriber->channel = channel;
    subscriber->stream = stream;
    subscriber->place = start->place;
    subscriber->wants_reset = start->wants_reset;
    subscriber->is_following = start->is_following;
    DL_PREPEND(channel->subscribers, subscriber);
    channel->count++;
    return stream;
}

void channel_wake(struct channel *channel)
{
    struct subscriber *subscriber;

    channel_forget(channel);
    DL_FOREACH (channel->subscribers, subscriber)
        stream_wake(subscriber->stream);
}

void channel_reset(struct channel *channel, bool is_gone)
{
    struct subscriber *subscriber;

    DL_FOREACH (channel->subscribers, subscriber) {
        subscriber->wants_reset = true;
        subscriber->is_gone = is_gone;
        stream_wake(subscriber->stream);
    }
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

size_t channel_stream_count(const struct channel *channel)
{
    return channel->count;
}
