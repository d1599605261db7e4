/* What events say of an action beside its state, each from the first event that has it. It is kept
 * as one text, because most actions have nothing of it. */
#ifndef RUNTREE_MODEL_ADDITIONS_H
#define RUNTREE_MODEL_ADDITIONS_H

#include "model/action.h"
#include "model/buffer.h"

/* Takes in what the event says of the action beside its state: the new text is in the arena, and
 * `change` has the change, too. 0 or -ENOMEM. */
int additions_take(struct action *action, const struct action_event *event, struct arena *arena,
                   struct action_change *change);

/* The title as JSON, a string; all zero if there is none. Borrowed. */
struct json_text additions_title(const char *kept);

/* As members of a record, each with a comma before it. */
void additions_write(struct buffer *out, const char *kept);

#endif
