/* How a run's tree looks in a terminal. Pure. */
#ifndef RUNTREE_CLI_TREE_VIEW_H
#define RUNTREE_CLI_TREE_VIEW_H

#include "cli/watched_tree.h"
#include "model/buffer.h"

struct tree_view {
    const char *title; /* of the first line: which run */
    const char *note;  /* of the last one, or NULL: what else is to be said */
    size_t rows, columns;
    bool has_colours, has_unicode;
    int64_t now_us;
};

/* Appends at most `rows` lines of at most `columns` columns, each with "\n". What failed comes
 * before what runs, that before what waits, and what ended well last, where not all of it fits;
 * whatever is shown has those above it shown, too, and the last line says how many are not. Sets
 * `is_shown` of all nodes. Returns the number of lines. */
size_t tree_view_draw(struct buffer *out, const struct tree_view *view, struct watched_tree *tree);

/* Appends "12 actions, 3 running, 1 failed". */
void tree_view_counts(struct buffer *out, const struct watched_tree *tree);

/* Appends "1m02s". */
void tree_view_duration(struct buffer *out, int64_t duration_us);

/* Appends what of `text` a terminal may be given: no control characters; as much as fits into
 * `columns`, the last of which then is "…". Returns the columns that it takes. */
size_t tree_view_text(struct buffer *out, const char *text, size_t columns);

#endif
