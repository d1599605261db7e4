#include "watch/frame.h"

#include <stdlib.h>

struct frame *frame_of_kind(struct json_buffer *buffer, enum frame_kind kind)
{
    struct frame *frame = buffer->failed ? NULL : malloc(sizeof *frame);

    if (frame == NULL) {
        json_buffer_free(buffer);
        *buffer = (struct json_buffer){0};
        return NULL;
    }
    *frame = (struct frame){.references = 1,
                            .length = buffer->length,
                            .capacity = buffer->capacity,
                            .bytes = buffer->bytes,
                            .kind = kind};
    *buffer = (struct json_buffer){0};
    return frame;
}

static void account(struct frame *frame)
{
    size_t packed = frame->packed == NULL ? 0 : sizeof *frame->packed + frame->packed->length;

    if (frame->memory != NULL)
        memory_hold(frame->memory, MEMORY_FRAMES, &frame->held,
                    sizeof *frame + frame->capacity + packed);
}

struct frame *frame_new(struct memory *memory, struct json_buffer *buffer)
{
    struct frame *frame = frame_of_kind(buffer, FRAME_RECORDS);

    if (frame != NULL) {
        frame->memory = memory;
        account(frame);
    }
    return frame;
}

const struct gzip_piece *frame_pack(struct frame *frame, struct gzip_packer *packer)
{
    if (frame->packed == NULL) {
        frame->packed = gzip_pack(packer, frame->bytes, frame->length);
        account(frame);
    }
    return frame->packed;
}

struct frame *frame_of_text(const char *text)
{
    struct json_buffer buffer = {0};

    json_buffer_text(&buffer, text);
    return frame_of_kind(&buffer, FRAME_RECORDS);
}

struct frame *frame_keep(struct frame *frame)
{
    frame->references++;
    return frame;
}

void frame_release(struct frame *frame)
{
    if (frame == NULL || --frame->references > 0)
        return;
    if (frame->memory != NULL)
        memory_hold(frame->memory, MEMORY_FRAMES, &frame->held, 0);
    free(frame->packed);
    free(frame->bytes);
    free(frame);
}
