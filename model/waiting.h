/* Why actions wait to join the tree: what stands at the end of the chain of parents that wait, too
 * (docs/model.md). */
#ifndef RUNTREE_MODEL_WAITING_H
#define RUNTREE_MODEL_WAITING_H

#include <stdbool.h>

#include "model/action.h"

enum waiting_reason {
    WAITING_FOR_PARENT,      /* of which no event came yet */
    WAITING_FOR_PARENT_NAME, /* no event has said what the parent is */
    WAITING_IN_CIRCLE,       /* each waits for the next */
    WAITING_TOO_DEEP,        /* it would be below the last level */
    WAITING_TO_JOIN,         /* it is about to */
};

/* As answers say it, static. */
const char *waiting_reason_name(enum waiting_reason reason);

struct waiting_why {
    enum waiting_reason reason;
    /* The action at the end of the chain: the one that is missing, the one whose parent is, the one
     * in the tree; in a circle, or below one, the action's parent. Borrowed; may be the action. */
    const char *name;
};

struct waiting_chains;

/* NULL when out of memory. */
struct waiting_chains *waiting_chains_new(void);
void waiting_chains_free(struct waiting_chains *chains); /* NULL does nothing */

/* Takes in an action as it is stored: its name, parent, ordinal and level are looked at, and
 * copied. The first of a name counts. 0 or -ENOMEM. */
int waiting_chains_put(struct waiting_chains *chains, const struct action *action);

/* Why the action, which was put and waits, does: what was not put is not stored, or more than
 * TREE_LEVELS_MAX levels above it. In all calls together it takes steps in proportion to what was
 * put. */
struct waiting_why waiting_chains_why(struct waiting_chains *chains, const char *name);

#endif
