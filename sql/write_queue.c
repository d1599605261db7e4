#include "sql/write_queue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUEUE_CAPACITY_FIRST = 256 };

struct write_request *write_request_new(event_write_fn *done, void *arg)
{
    struct write_request *request = malloc(sizeof *request);

    if (request != NULL)
        *request = (struct write_request){.pending = 1, .done = done, .arg = arg};
    return request;
}

static void release(struct write_request *request)
{
    if (--request->pending > 0)
        return;
    request->done(request->arg,
                  request->is_unavailable ? EVENT_WRITE_UNAVAILABLE : EVENT_WRITE_DONE,
                  request->why[0] == '\0' ? NULL : request->why);
    free(request);
}

void write_request_submitted(struct write_request *request)
{
    release(request);
}

void write_request_add(struct write_request *request)
{
    request->pending++;
}

void write_item_finish(struct write_item *item)
{
    struct write_request *request = item->request;

    if (request == NULL)
        return;
    item->request = NULL;
    release(request);
}

void write_item_give_up(struct write_item *item, const char *why)
{
    struct write_request *request = item->request;

    if (request == NULL)
        return;
    request->is_unavailable = true;
    if (why != NULL && request->why[0] == '\0')
        snprintf(request->why, sizeof request->why, "%s", why);
    write_item_finish(item);
}

void write_item_reopen(struct write_item *item)
{
    event_result_clear(item->result);
    *item->result = (struct event_result){.status = EVENT_PENDING};
}

void write_queue_free(struct write_queue *queue)
{
    free(queue->items);
}

size_t write_queue_count(const struct write_queue *queue)
{
    return queue->count;
}

size_t write_queue_bytes(const struct write_queue *queue)
{
    return queue->bytes;
}

static int grow(struct write_queue *queue)
{
    size_t capacity = queue->capacity == 0 ? QUEUE_CAPACITY_FIRST : queue->capacity * 2;
    struct write_item *items = calloc(capacity, sizeof *items);

    if (items == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < queue->count; i++)
        items[i] = queue->items[(queue->first + i) % queue->capacity];
    free(queue->items);
    queue->items = items;
    queue->first = 0;
    queue->capacity = capacity;
    return 0;
}

int write_queue_put(struct write_queue *queue, const struct write_item *item)
{
    if (queue->count == queue->capacity && grow(queue) < 0)
        return -ENOMEM;
    queue->items[(queue->first + queue->count++) % queue->capacity] = *item;
    queue->bytes += item->event->info.length;
    return 0;
}

int write_queue_put_first(struct write_queue *queue, const struct write_item *item)
{
    if (queue->count == queue->capacity && grow(queue) < 0)
        return -ENOMEM;
    queue->first = (queue->first + queue->capacity - 1) % queue->capacity;
    queue->items[queue->first] = *item;
    queue->count++;
    queue->bytes += item->event->info.length;
    return 0;
}

const struct write_item *write_queue_first(const struct write_queue *queue)
{
    return queue->count == 0 ? NULL : &queue->items[queue->first];
}

size_t write_queue_take(struct write_queue *queue, struct write_item *items, size_t max,
                        size_t bytes_max)
{
    size_t taken = 0, bytes = 0;

    while (taken < max && queue->count > 0) {
        const struct write_item *item = &queue->items[queue->first];

        bytes += item->event->info.length;
        if (taken > 0 && bytes > bytes_max)
            break;
        items[taken++] = *item;
        queue->bytes -= item->event->info.length;
        queue->first = (queue->first + 1) % queue->capacity;
        queue->count--;
    }
    return taken;
}
