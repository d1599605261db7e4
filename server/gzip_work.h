/* Compressing on a worker thread, for bodies so big that the loop would be held up. */
#ifndef RUNTREE_SERVER_GZIP_WORK_H
#define RUNTREE_SERVER_GZIP_WORK_H

#include <stddef.h>
#include <uv.h>

#include "model/json_buffer.h"

/* `packed` is the gzip file, which `done` may take over; `packed->failed`: out of memory. */
typedef void gzip_done_fn(void *arg, struct json_buffer *packed);

/* `bytes` are borrowed until `done`, which comes once, on the loop, after the return. 0, or
 * -ENOMEM: then it does not come. */
int gzip_work_start(uv_loop_t *loop, const char *bytes, size_t length, gzip_done_fn *done,
                    void *arg);

#endif
