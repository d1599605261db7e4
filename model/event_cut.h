/* An event that is too large to be kept as it is, made smaller: its state is not lost. */
#ifndef RUNTREE_MODEL_EVENT_CUT_H
#define RUNTREE_MODEL_EVENT_CUT_H

#include "model/buffer.h"
#include "model/json_scan.h"

enum {
    CUT_TEXT_BYTES_MAX = 4 * 1024,     /* of a text, as JSON */
    CUT_MESSAGE_BYTES_MAX = 64 * 1024, /* of the error's message */
    CUT_VALUE_BYTES_MAX = 4 * 1024,    /* of any other value */
    CUT_REST_BYTES_MAX = 64 * 1024,    /* of all members together that are not always kept */
};

/* Appends what is kept of `event`, the valid text of a JSON object of any size, with "truncated":
 * true: the key, parent, group, task, title, times, cluster, errorInfo and what is said of the run,
 * whose longer texts are cut between two characters; of the other members those that are small, in
 * their order, as long as there is room. The same text always gives the same, of less than
 * EVENT_BYTES_MAX unless it says one of its members again and again. A failed allocation is noted
 * in `out`. */
void event_cut(struct buffer *out, struct json_text event);

#endif
