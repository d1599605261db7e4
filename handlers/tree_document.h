/* The document of a tree, made piece by piece: {"revision", "at"?, "nodes": […]}. */
#ifndef RUNTREE_HANDLERS_TREE_DOCUMENT_H
#define RUNTREE_HANDLERS_TREE_DOCUMENT_H

#include "model/buffer.h"
#include "model/run_view.h"

/* All zero but for what the caller knows. */
struct tree_document {
    struct view_reading *reading; /* the caller's */
    int64_t at_us;                /* TIME_NONE: it has no "at" */
    struct buffer *piece;         /* the one that is being written */
    size_t nodes;                 /* written */
};

/* Appends the next piece, as struct reply_source says. */
int tree_document_next(struct tree_document *document, struct buffer *piece);

#endif
