#include "handlers/tree_document.h"

#include "model/timestamp.h"
#include "server/http.h"

enum { NODES_AT_ONCE = 20000 /* looked at for one piece of the document */ };

static void write_node(void *arg, const char *bytes, size_t length, bool meets_filter)
{
    struct tree_document *document = arg;

    if (document->nodes++ > 0)
        buffer_text(document->piece, ",");
    buffer_append(document->piece, bytes, length);
    buffer_text(document->piece, meets_filter ? "true}" : "false}");
}

static void write_head(const struct tree_document *document, struct buffer *piece)
{
    buffer_integer_member(piece, "{\"revision\":", view_reading_revision(document->reading));
    if (document->at_us != TIME_NONE) {
        buffer_timestamp_member(piece, ",\"at\":", document->at_us);
    }
    buffer_text(piece, ",\"nodes\":[");
}

int tree_document_next(struct tree_document *document, struct buffer *piece)
{
    bool is_first = document->piece == NULL;
    int status;

    document->piece = piece;
    if (is_first)
        write_head(document, piece);
    status = view_reading_next(document->reading, REPLY_PIECE_BYTES, NODES_AT_ONCE, write_node,
                               document);
    if (status == 1)
        buffer_text(piece, "]}");
    return status;
}
