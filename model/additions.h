/* What events say of an action beside its state, each from the first event that has it. It is kept
 * as one text, because most actions have nothing of it. */
#ifndef RUNTREE_MODEL_ADDITIONS_H
#define RUNTREE_MODEL_ADDITIONS_H

#include "model/action_event.h"
#include "model/buffer.h"

/* Takes in what the event says. `kept` is what was kept so far, NULL for nothing. True if that
 * changes: then *out is the new text, without a NUL, and *is_visible says whether
 * additions_write of it differs. A failed allocation is noted in `out`. */
bool additions_take(const char *kept, const struct action_event *event, struct buffer *out,
                    bool *is_visible);

/* As members of a record, each with a comma before it; nothing for NULL. */
void additions_write(struct buffer *out, const char *kept);

#endif
