#include "server/linger.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

enum {
    LINGERS_MAX = 1000,
    LINGER_MS = 30 * 1000,
    SILENCE_MS = 5 * 1000,
    DROPPED_BYTES_MAX = 64 * 1024 * 1024,
    READ_BYTES = 64 * 1024,
    READS_AT_ONCE = 4, /* then the others have their turn */
};

struct lingering {
    struct lingering *prev, *next;
    struct lingering **list;
    uv_poll_t poll;
    int fd;
    size_t dropped_bytes;
    uint64_t started_ns, heard_ns;
};

static void on_closed(uv_handle_t *handle)
{
    struct lingering *self = handle->data;

    close(self->fd);
    free(self);
}

static void end(struct lingering *self)
{
    DL_DELETE(*self->list, self);
    uv_close((uv_handle_t *)&self->poll, on_closed);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct lingering *self = poll->data;
    char bytes[READ_BYTES];

    (void)events;
    for (int i = 0; status == 0 && i < READS_AT_ONCE; i++) {
        ssize_t length = recv(self->fd, bytes, sizeof bytes, MSG_DONTWAIT);

        if (length < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (length <= 0 || self->dropped_bytes > DROPPED_BYTES_MAX)
            break;
        self->dropped_bytes += (size_t)length;
        self->heard_ns = uv_hrtime();
        if (i == READS_AT_ONCE - 1)
            return;
    }
    end(self);
}

void linger_start(struct lingering **list, uv_loop_t *loop, int fd)
{
    struct lingering *self = calloc(1, sizeof *self), *other;
    size_t count = 0;

    shutdown(fd, SHUT_WR);
    if (self == NULL || uv_poll_init(loop, &self->poll, fd) < 0) {
        close(fd);
        free(self);
        return;
    }
    DL_COUNT(*list, other, count);
    if (count >= LINGERS_MAX)
        end(*list);
    self->list = list;
    self->fd = fd;
    self->started_ns = self->heard_ns = uv_hrtime();
    self->poll.data = self;
    DL_APPEND(*list, self);
    uv_poll_start(&self->poll, UV_READABLE, on_readable);
}

void linger_sweep(struct lingering **list)
{
    struct lingering *self, *next;
    uint64_t now_ns = uv_hrtime();

    DL_FOREACH_SAFE (*list, self, next)
        if (now_ns - self->started_ns > LINGER_MS * UINT64_C(1000000) ||
            now_ns - self->heard_ns > SILENCE_MS * UINT64_C(1000000))
            end(self);
}

void linger_end_all(struct lingering **list)
{
    while (*list != NULL)
        end(*list);
}
