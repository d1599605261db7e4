/* What the events of one attempt come to, in whatever order they come (docs/model.md). */
#ifndef RUNTREE_MODEL_ATTEMPT_STATE_H
#define RUNTREE_MODEL_ATTEMPT_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "model/phase.h"

/* What an event says of its attempt; PHASE_NONE: there is none. */
struct phase_said {
    enum phase phase;
    int32_t version;
    int64_t updated_us;
};

/* All zero for an attempt without events. */
struct attempt_state {
    struct phase_said furthest;
    struct phase_said waited; /* the latest wait with a version of 1 or more */
};

/* Whether `a` says more than `b`: by rank and version; then, of two ends, the earlier, of the same
 * time the one with the smaller number; of others the one with the greater number. */
bool phase_said_is_further(const struct phase_said *a, const struct phase_said *b);

/* Takes the event in. Whether anything changed. */
bool attempt_state_take(struct attempt_state *state, const struct phase_said *said);

/* Which of the two is the attempt's state: the wait, if it came behind a RUNNING or PAUSED by
 * time and by version. Borrowed from `state`. */
const struct phase_said *attempt_state_shown(const struct attempt_state *state);

#endif
