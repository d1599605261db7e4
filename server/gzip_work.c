#include "server/gzip_work.h"

#include <errno.h>
#include <stdlib.h>

#include "server/gzip.h"

struct gzip_work {
    uv_work_t work;
    const char *bytes;
    size_t length;
    struct json_buffer packed;
    gzip_done_fn *done;
    void *arg;
};

static void on_worker(uv_work_t *work)
{
    struct gzip_work *self = work->data;

    gzip_append_file(&self->packed, self->bytes, self->length);
}

static void after_worker(uv_work_t *work, int status)
{
    struct gzip_work *self = work->data;

    (void)status;
    self->done(self->arg, &self->packed);
    json_buffer_free(&self->packed);
    free(self);
}

int gzip_work_start(uv_loop_t *loop, const char *bytes, size_t length, gzip_done_fn *done,
                    void *arg)
{
    struct gzip_work *work = malloc(sizeof *work);

    if (work == NULL)
        return -ENOMEM;
    *work = (struct gzip_work){.bytes = bytes, .length = length, .done = done, .arg = arg};
    work->work.data = work;
    uv_queue_work(loop, &work->work, on_worker, after_worker);
    return 0;
}
