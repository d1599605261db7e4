#include "watch/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "server/client_count.h"

enum {
    SERVE_NS_MAX = 2000000, /* of one turn of the loop are spent on streams, about */
    FRAMES_AT_ONCE_MAX = 4, /* then it is the next stream's turn */
    FORMS_MAX = 4,          /* of a frame that are kept for others */
    RETRY_MIN_MS = 1000,
    RETRY_STEP_MS = 50,
    RETRY_CHOICES = 61,
    TICK_MS = 250,
    UNSENT_BYTES_MAX =
        64 * 1024,          /* that the kernel may hold of a stream, besides what is under way */
    PEER_IDLE_S = 60,       /* then the kernel asks whether it is there */
    PEER_SILENT_MS = 30000, /* the kernel gives a peer up that acknowledges nothing for so long */
};

struct frame {
    size_t references;
    size_t length, capacity; /* of `bytes` */
    char *bytes;
    struct gzip_piece *packed; /* the same deflated; NULL until a compressed stream sends it */
    struct frame *forms;       /* the same as framings have it, each made for the first who asks */
    struct frame *next_form;   /* in `forms` */
    char *form;                /* that it has in `forms` */
    enum frame_kind kind;
    struct memory *memory; /* that it draws from; NULL: none */
    size_t held;
};

struct stream {
    uv_poll_t poll;
    struct streams *owner;
    struct stream *prev, *next;             /* all streams */
    struct stream *ready_prev, *ready_next; /* those woken */
    const struct stream_source *source_class;
    void *source; /* NULL: has left it */
    struct frame *frame;
    size_t sent;                 /* bytes of `frame` */
    uint64_t progress_ms;        /* when it last took bytes, or had none to take */
    struct client_count *client; /* NULL: not counted */
    uint64_t ends_ms;            /* 0: never by itself */
    int fd;
    struct gzip_sum sum;                  /* of what was sent compressed */
    const struct stream_framing *framing; /* NULL: records go out as they are */
    void *framing_arg;
    const char *form; /* of the framing; NULL: nobody else's is the same */
    bool is_gzip;
    bool is_greeted;   /* was told when to come back */
    bool is_ready;     /* in the list of those woken */
    bool wakes_later;  /* at the next tick */
    bool is_blocked;   /* waits for the socket */
    bool is_ending;    /* `frame` is the last */
    bool is_shut;      /* everything is sent: waits for the peer to close, too */
    bool is_dismissed; /* ends although there would be more */
    bool is_closing;
};

struct streams {
    uv_loop_t *loop;
    struct client_count *clients;
    struct streams_options options;
    struct frame *retries[RETRY_CHOICES]; /* NULL until one is drawn */
    struct stream *all;
    struct stream *ready;
    uv_timer_t tick;
    struct streams_stats stats;
    bool is_closing;
    uint64_t dismiss_until_ms; /* 0: not dismissing */
};

/* -------- frames -------- */

struct frame *frame_of_kind(struct buffer *buffer, enum frame_kind kind)
{
    struct frame *frame = buffer->failed ? NULL : malloc(sizeof *frame);

    if (frame == NULL) {
        buffer_free(buffer);
        *buffer = (struct buffer){0};
        return NULL;
    }
    *frame = (struct frame){.references = 1,
                            .length = buffer->length,
                            .capacity = buffer->capacity,
                            .bytes = buffer->bytes,
                            .kind = kind};
    *buffer = (struct buffer){0};
    return frame;
}

static void account(struct frame *frame)
{
    size_t packed = frame->packed == NULL ? 0 : sizeof *frame->packed + frame->packed->length;
    size_t form = frame->form == NULL ? 0 : strlen(frame->form) + 1;

    if (frame->memory != NULL)
        memory_hold(frame->memory, MEMORY_FRAMES, &frame->held,
                    sizeof *frame + frame->capacity + packed + form);
}

struct frame *frame_new(struct memory *memory, struct buffer *buffer)
{
    struct frame *frame = frame_of_kind(buffer, FRAME_RECORDS);

    if (frame != NULL) {
        frame->memory = memory;
        account(frame);
    }
    return frame;
}

struct frame *frame_new_of_start(struct memory *memory, const struct frame *frame, size_t length)
{
    struct buffer start = {0};

    buffer_append(&start, frame->bytes, length);
    return frame_new(memory, &start);
}

/* The frame deflated, kept in it for all who send it so; NULL when out of memory. */
static const struct gzip_piece *pack_frame(struct frame *frame, struct gzip_packer *packer)
{
    if (frame->packed == NULL) {
        frame->packed = gzip_pack(packer, frame->bytes, frame->length);
        account(frame);
    }
    return frame->packed;
}

struct frame *frame_of_text(const char *text)
{
    struct buffer buffer = {0};

    buffer_text(&buffer, text);
    return frame_of_kind(&buffer, FRAME_RECORDS);
}

size_t frame_length(const struct frame *frame)
{
    return frame->length;
}

struct frame *frame_keep(struct frame *frame)
{
    frame->references++;
    return frame;
}

void frame_release(struct frame *frame)
{
    struct frame *form, *next;

    if (frame == NULL || --frame->references > 0)
        return;
    for (form = frame->forms; form != NULL; form = next) {
        next = form->next_form;
        frame_release(form);
    }
    if (frame->memory != NULL)
        memory_hold(frame->memory, MEMORY_FRAMES, &frame->held, 0);
    free(frame->form);
    free(frame->packed);
    free(frame->bytes);
    free(frame);
}

static void close_stream(struct stream *stream);

/* -------- life -------- */

static void on_poll_closed(uv_handle_t *handle)
{
    struct stream *stream = handle->data;

    close(stream->fd);
    free(stream);
}

static void set_ready(struct stream *stream)
{
    if (stream->is_ready || stream->is_closing)
        return;
    stream->is_ready = true;
    DL_APPEND2(stream->owner->ready, stream, ready_prev, ready_next);
    *stream->owner->options.is_due = true;
}

static void clear_ready(struct stream *stream)
{
    if (!stream->is_ready)
        return;
    stream->is_ready = false;
    DL_DELETE2(stream->owner->ready, stream, ready_prev, ready_next);
}

static void leave_source(struct stream *stream)
{
    void *source = stream->source;

    stream->source = NULL;
    if (source != NULL)
        stream->source_class->on_left(source);
}

static void drop_framing(struct stream *stream)
{
    if (stream->framing != NULL)
        stream->framing->free(stream->framing_arg);
    stream->framing = NULL;
}

static void close_stream(struct stream *stream)
{
    if (stream->is_closing)
        return;
    clear_ready(stream);
    drop_framing(stream);
    stream->is_closing = true;
    leave_source(stream);
    frame_release(stream->frame);
    stream->frame = NULL;
    DL_DELETE(stream->owner->all, stream);
    stream->owner->stats.count--;
    client_count_leave(&stream->owner->clients, stream->client);
    uv_close((uv_handle_t *)&stream->poll, on_poll_closed);
}

static void on_socket(uv_poll_t *poll, int status, int events);

static void watch_socket(struct stream *stream)
{
    int events = UV_READABLE | UV_DISCONNECT | (stream->is_blocked ? UV_WRITABLE : 0);

    uv_poll_start(&stream->poll, events, on_socket);
}

/* -------- sending -------- */

/* The frame as this stream sends it; deflated by the first of those who send it compressed. NULL
 * when out of memory. */
static const char *frame_bytes(const struct stream *stream, size_t *length)
{
    struct streams *owner = stream->owner;
    struct frame *frame = stream->frame;

    *length = frame->length;
    if (!stream->is_gzip || frame->kind != FRAME_RECORDS)
        return frame->bytes;
    owner->stats.compressed += frame->packed == NULL;
    if (pack_frame(frame, owner->options.packer) == NULL)
        return NULL;
    *length = frame->packed->length;
    return frame->packed->bytes;
}

static void wait_for_socket(struct stream *stream)
{
    if (stream->is_blocked)
        return;
    stream->is_blocked = true;
    watch_socket(stream);
}

static void finish_frame(struct stream *stream)
{
    if (stream->is_gzip && stream->frame->kind == FRAME_RECORDS)
        gzip_sum_add(&stream->sum, stream->frame->packed);
    stream->owner->stats.frames++;
    frame_release(stream->frame);
    stream->frame = NULL;
    stream->sent = 0;
}

/* What was kept of the records in this form, borrowed; NULL: nothing. */
static struct frame *find_form(const struct frame *records, const char *form)
{
    struct frame *made = form == NULL ? NULL : records->forms;

    while (made != NULL && strcmp(made->form, form) != 0)
        made = made->next_form;
    return made;
}

/* Keeps what was made of the records for the others who share them, if there is room. */
static void keep_form(struct frame *records, struct frame *made, const char *form)
{
    struct frame **last = &records->forms;

    for (size_t kept = 0; *last != NULL; last = &(*last)->next_form)
        if (++kept == FORMS_MAX)
            return;
    if (form == NULL || made->length == 0)
        return;
    made->form = strdup(form);
    if (made->form == NULL)
        return;
    account(made);
    *last = frame_keep(made);
}

/* The records as the stream's framing has them. NULL when out of memory. */
static struct frame *make_form(struct stream *stream, struct frame *records)
{
    struct buffer out = {0};
    int status = stream->framing->write(stream->framing_arg, records->bytes, records->length, &out);
    struct frame *made;

    out.failed |= status < 0;
    made = frame_new(records->memory, &out);
    if (made == NULL)
        return NULL;
    made->kind = FRAME_FRAMED;
    if (status == 0)
        keep_form(records, made, stream->form);
    stream->is_ending |= status == 1;
    return made;
}

/* Puts the stream's frame as its framing has it. False when out of memory. */
static bool reframe(struct stream *stream)
{
    struct frame *records = stream->frame, *made = find_form(records, stream->form);

    stream->frame = made == NULL ? make_form(stream, records) : frame_keep(made);
    frame_release(records);
    return stream->frame != NULL;
}

/* Whether the frame is out. */
static bool send_frame(struct stream *stream)
{
    struct streams *owner = stream->owner;
    const char *bytes = NULL;
    size_t length = 0;

    if (stream->framing == NULL || stream->frame->kind != FRAME_RECORDS || reframe(stream))
        bytes = frame_bytes(stream, &length);
    if (stream->frame == NULL || (bytes == NULL && length > 0)) {
        close_stream(stream);
        return false;
    }
    while (stream->sent < length) {
        ssize_t sent = send(stream->fd, bytes + stream->sent, length - stream->sent,
                            MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN) {
            wait_for_socket(stream);
            return false;
        }
        if (sent < 0) {
            close_stream(stream);
            return false;
        }
        stream->sent += (size_t)sent;
        stream->progress_ms = uv_now(owner->loop);
        owner->stats.bytes += (uint64_t)sent;
    }
    finish_frame(stream);
    return true;
}

/* "retry: N" with N drawn at random from 1,000 to 4,000 ms, so that a restarted server is not
 * stampeded. There are so few of them that all streams share them. */
static struct frame *retry_frame(struct streams *streams)
{
    struct buffer buffer = {0};
    uint16_t random = 0;
    size_t choice;

    if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0)
        random = (uint16_t)(uv_hrtime() >> 8);
    choice = random % RETRY_CHOICES;
    if (streams->retries[choice] == NULL) {
        buffer_text(&buffer, "retry: ");
        buffer_integer(&buffer, RETRY_MIN_MS + (int64_t)choice * RETRY_STEP_MS);
        buffer_text(&buffer, "\n\n");
        streams->retries[choice] = frame_of_kind(&buffer, FRAME_RECORDS);
    }
    return streams->retries[choice] == NULL ? NULL : frame_keep(streams->retries[choice]);
}

/* The last bytes of a stream whose framing has an end; the framing is done. */
static struct frame *last_frame(struct stream *stream)
{
    struct buffer buffer = {0};

    stream->framing->write_end(stream->framing_arg, stream->is_dismissed, &buffer);
    drop_framing(stream);
    return frame_of_kind(&buffer, FRAME_FRAMED);
}

static struct frame *trailer_frame(const struct stream *stream)
{
    struct buffer buffer = {0};

    gzip_append_trailer(&buffer, &stream->sum);
    return frame_of_kind(&buffer, FRAME_TRAILER);
}

/* A close with unread input would be a reset that takes the last frame with it: we say that we are
 * done and wait for the peer. */
static void shut_stream(struct stream *stream)
{
    leave_source(stream);
    stream->is_shut = true;
    shutdown(stream->fd, SHUT_WR);
}

/* Gives the stream the next thing to send. False: nothing now. */
static bool next_frame(struct stream *stream)
{
    enum stream_next next;

    if (!stream->is_greeted) {
        stream->is_greeted = true;
        stream->frame = retry_frame(stream->owner);
        return true;
    }
    next = stream->source_class->next(stream->source, &stream->frame);
    if (next == STREAM_END)
        stream->is_ending = true;
    else if (next == STREAM_LATER)
        set_ready(stream);
    return next == STREAM_FRAME || next == STREAM_END;
}

/* Everything that the source had to say is out. */
static void finish_stream(struct stream *stream)
{
    if (stream->is_gzip) {
        stream->is_gzip = false;
        stream->frame = trailer_frame(stream);
    } else if (stream->framing != NULL) {
        stream->frame = last_frame(stream);
    }
    if (stream->frame == NULL)
        shut_stream(stream);
}

static void serve(struct stream *stream)
{
    for (int frames = 0; !stream->is_closing && !stream->is_shut; frames++) {
        if (stream->frame != NULL && !send_frame(stream))
            return;
        if (stream->is_ending) {
            finish_stream(stream);
            continue;
        }
        if (frames == FRAMES_AT_ONCE_MAX) {
            set_ready(stream);
            return;
        }
        if (!next_frame(stream))
            return;
    }
}

static void on_socket(uv_poll_t *poll, int status, int events)
{
    struct stream *stream = poll->data;
    char ignored[4096];

    if (status < 0) {
        close_stream(stream);
        return;
    }
    if ((events & (UV_READABLE | UV_DISCONNECT)) != 0) {
        ssize_t got = recv(stream->fd, ignored, sizeof ignored, MSG_DONTWAIT);

        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
            close_stream(stream);
            return;
        }
    }
    if ((events & UV_WRITABLE) != 0 && stream->is_blocked) {
        stream->is_blocked = false;
        watch_socket(stream);
        serve(stream);
    }
}

void streams_run(struct streams *streams)
{
    uint64_t until_ns = uv_hrtime() + SERVE_NS_MAX;

    while (streams->ready != NULL && uv_hrtime() < until_ns) {
        struct stream *stream = streams->ready;

        clear_ready(stream);
        if (!stream->is_blocked)
            serve(stream);
    }
    *streams->options.is_due = streams->ready != NULL;
}

void stream_wake(struct stream *stream)
{
    set_ready(stream);
}

void stream_wake_later(struct stream *stream)
{
    stream->wakes_later = true;
}

/* -------- time -------- */

static void send_heartbeat(struct stream *stream)
{
    stream->frame = stream->source_class->heartbeat(stream->source);
    stream->progress_ms = uv_now(stream->owner->loop);
    if (stream->frame != NULL)
        set_ready(stream);
}

static void send_goodbye(struct stream *stream)
{
    leave_source(stream);
    stream->is_ending = true;
    stream->is_dismissed = true;
    if (stream->frame == NULL)
        stream->frame = retry_frame(stream->owner);
    set_ready(stream);
}

/* As many as must go now for all to be gone at the end of the time. */
static size_t count_to_dismiss(const struct streams *streams, uint64_t now_ms)
{
    uint64_t left_ms = streams->dismiss_until_ms > now_ms ? streams->dismiss_until_ms - now_ms : 0;

    if (streams->dismiss_until_ms == 0)
        return 0;
    return left_ms < TICK_MS ? SIZE_MAX : streams->stats.count * TICK_MS / left_ms + 1;
}

static void on_tick(uv_timer_t *timer)
{
    struct streams *streams = timer->data;
    uint64_t now_ms = uv_now(streams->loop);
    size_t to_dismiss = count_to_dismiss(streams, now_ms);
    struct stream *stream, *next;

    DL_FOREACH_SAFE (streams->all, stream, next) {
        uint64_t silent_ms = now_ms - stream->progress_ms;

        if (stream->wakes_later)
            set_ready(stream);
        stream->wakes_later = false;
        if ((stream->is_blocked || stream->is_shut) && silent_ms >= streams->options.stall_ms) {
            streams->stats.stalled += stream->is_blocked;
            close_stream(stream);
        } else if (to_dismiss > 0 && !stream->is_ending) {
            to_dismiss--;
            send_goodbye(stream);
        } else if (stream->ends_ms != 0 && now_ms >= stream->ends_ms && !stream->is_ending) {
            send_goodbye(stream);
        } else if (stream->frame == NULL && stream->source != NULL &&
                   silent_ms >= streams->options.heartbeat_ms) {
            send_heartbeat(stream);
        }
    }
}

void streams_dismiss(struct streams *streams, uint64_t spread_ms)
{
    streams->dismiss_until_ms = uv_now(streams->loop) + spread_ms + 1;
    on_tick(&streams->tick);
}

/* -------- making and closing -------- */

struct streams *streams_new(uv_loop_t *loop, const struct streams_options *options)
{
    struct streams *streams = calloc(1, sizeof *streams);

    if (streams == NULL)
        return NULL;
    streams->loop = loop;
    streams->options = *options;
    uv_timer_init(loop, &streams->tick);
    streams->tick.data = streams;
    uv_timer_start(&streams->tick, on_tick, TICK_MS, TICK_MS);
    return streams;
}

void streams_stop(struct streams *streams)
{
    struct stream *stream, *next;

    DL_FOREACH_SAFE (streams->all, stream, next)
        close_stream(stream);
    uv_close((uv_handle_t *)&streams->tick, NULL);
}

void streams_free(struct streams *streams)
{
    if (streams == NULL)
        return;
    for (size_t i = 0; i < RETRY_CHOICES; i++)
        frame_release(streams->retries[i]);
    free(streams);
}

struct streams_stats streams_stats(const struct streams *streams)
{
    return streams->stats;
}

/* Frames go out at once; a slow peer is known as slow before much has piled up for it, so that the
 * state it gets is a fresh one; a peer that vanished is noticed. */
static void prepare_socket(int fd)
{
    const int on = 1, off = 0, silent_ms = PEER_SILENT_MS, unsent_bytes = UNSENT_BYTES_MAX;
    const int idle_s = PEER_IDLE_S;

    setsockopt(fd, IPPROTO_TCP, TCP_CORK, &off, sizeof off);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_bytes, sizeof unsent_bytes);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent_ms, sizeof silent_ms);
    /* Not every framing has heartbeats. */
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
}

struct stream *stream_new(struct streams *streams, int fd, struct frame *head,
                          const struct stream_source *source_class, void *source)
{
    struct stream *stream = calloc(1, sizeof *stream);

    if (stream == NULL)
        goto error_memory;
    if (uv_poll_init(streams->loop, &stream->poll, fd) < 0)
        goto error_poll;
    prepare_socket(fd);
    stream->poll.data = stream;
    stream->owner = streams;
    stream->fd = fd;
    stream->frame = head;
    stream->is_gzip = head->kind == FRAME_GZIP_HEAD;
    stream->source_class = source_class;
    stream->source = source;
    stream->progress_ms = uv_now(streams->loop);
    DL_APPEND(streams->all, stream);
    streams->stats.count++;
    streams->stats.opened++;
    watch_socket(stream);
    set_ready(stream);
    return stream;

error_poll:
    free(stream);
error_memory:
    frame_release(head);
    close(fd);
    return NULL;
}

void stream_use_framing(struct stream *stream, const struct stream_framing *framing, void *arg,
                        const char *form)
{
    stream->framing = framing;
    stream->framing_arg = arg;
    stream->form = form;
}

void stream_count_for(struct stream *stream, const char *client)
{
    stream->client = client_count_join(&stream->owner->clients, client);
}

size_t streams_of(const struct streams *streams, const char *client)
{
    return client_count_of(streams->clients, client);
}

void stream_end_after(struct stream *stream, uint64_t after_ms)
{
    stream->ends_ms = uv_now(stream->owner->loop) + after_ms;
}
