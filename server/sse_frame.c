#include "server/sse_frame.h"

#include <stdlib.h>

struct sse_frame *sse_frame_of_kind(struct json_buffer *buffer, enum frame_kind kind)
{
    struct sse_frame *frame = buffer->failed ? NULL : malloc(sizeof *frame);

    if (frame == NULL) {
        json_buffer_free(buffer);
        *buffer = (struct json_buffer){0};
        return NULL;
    }
    *frame = (struct sse_frame){.references = 1,
                                .length = buffer->length,
                                .capacity = buffer->capacity,
                                .bytes = buffer->bytes,
                                .kind = kind};
    *buffer = (struct json_buffer){0};
    return frame;
}

static void account(struct sse_frame *frame)
{
    size_t packed = frame->packed == NULL ? 0 : sizeof *frame->packed + frame->packed->length;

    if (frame->memory != NULL)
        memory_hold(frame->memory, MEMORY_FRAMES, &frame->held,
                    sizeof *frame + frame->capacity + packed);
}

struct sse_frame *sse_frame_new(struct memory *memory, struct json_buffer *buffer)
{
    struct sse_frame *frame = sse_frame_of_kind(buffer, FRAME_RECORDS);

    if (frame != NULL) {
        frame->memory = memory;
        account(frame);
    }
    return frame;
}

const struct gzip_piece *sse_frame_pack(struct sse_frame *frame, struct gzip_packer *packer)
{
    if (frame->packed == NULL) {
        frame->packed = gzip_pack(packer, frame->bytes, frame->length);
        account(frame);
    }
    return frame->packed;
}

struct sse_frame *sse_frame_of_text(const char *text)
{
    struct json_buffer buffer = {0};

    json_buffer_text(&buffer, text);
    return sse_frame_of_kind(&buffer, FRAME_RECORDS);
}

struct sse_frame *sse_frame_keep(struct sse_frame *frame)
{
    frame->references++;
    return frame;
}

void sse_frame_release(struct sse_frame *frame)
{
    if (frame == NULL || --frame->references > 0)
        return;
    if (frame->memory != NULL)
        memory_hold(frame->memory, MEMORY_FRAMES, &frame->held, 0);
    free(frame->packed);
    free(frame->bytes);
    free(frame);
}
