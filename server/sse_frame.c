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
    *frame = (struct sse_frame){
        .references = 1, .length = buffer->length, .bytes = buffer->bytes, .kind = kind};
    *buffer = (struct json_buffer){0};
    return frame;
}

struct sse_frame *sse_frame_new(struct json_buffer *buffer)
{
    return sse_frame_of_kind(buffer, FRAME_RECORDS);
}

struct sse_frame *sse_frame_of_text(const char *text)
{
    struct json_buffer buffer = {0};

    json_buffer_text(&buffer, text);
    return sse_frame_new(&buffer);
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
    free(frame->packed);
    free(frame->bytes);
    free(frame);
}
