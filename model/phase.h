/* The phases of an action and their order (Flyte 2: common.ActionPhase), and SKIPPED, which Flyte
 * has not. */
#ifndef RUNTREE_MODEL_PHASE_H
#define RUNTREE_MODEL_PHASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum phase {
    PHASE_NONE = 0,
    PHASE_QUEUED = 1,
    PHASE_WAITING_FOR_RESOURCES = 2,
    PHASE_INITIALIZING = 3,
    PHASE_RUNNING = 4,
    PHASE_SUCCEEDED = 5,
    PHASE_FAILED = 6,
    PHASE_ABORTED = 7,
    PHASE_TIMED_OUT = 8,
    PHASE_PAUSED = 9,
    PHASE_RECOVERED = 10,
    PHASE_SKIPPED = 11, /* number 64 on the wire, where 11 may become another phase of Flyte's */
};

/* Arrays indexed by phase have this many elements; element 0 (PHASE_NONE) stays unused. */
enum { PHASE_SLOTS = 12 };

/* The name as answers use it ("RUNNING"), static; NULL for PHASE_NONE and anything else. */
const char *phase_name(enum phase phase);

/* Reads a name, a name behind "ACTION_PHASE_", or a number in digits, exactly as long as `length`
 * says. PHASE_NONE if it is none of them. */
enum phase phase_parse(const char *text, size_t length);

/* By the number that it has on the wire; PHASE_NONE if that is no phase's. */
enum phase phase_from_number(int64_t number);

/* By the number that it has here and in the database, likewise. */
enum phase phase_from_index(int64_t index);

bool phase_is_terminal(enum phase phase);

/* How far the phase is on the way of an attempt: QUEUED 1 … RUNNING and PAUSED 4, all ends 5;
 * PHASE_NONE 0. */
int phase_rank(enum phase phase);

/* Versions of what has none of its own: they stand below those that events can say, and so take no
 * event's key and change no state that an event has said. */
enum {
    STATUS_VERSION = -2, /* of a phase that is said without one (Flyte's UpdateActionStatus) */
    ABANDONED_VERSION =
        -3,              /* of the ABORTED that the service itself records for what was abandoned */
    RECORD_VERSION = -4, /* of what says that there is an action (Flyte's RecordAction) */
    LEAST_VERSION = RECORD_VERSION,
};

/* How far the positions of two events of one phase are from each other, by version. */
enum { POSITIONS_PER_VERSION = 16 };

/* Where an event stands among the events of its action: greatest wins. Compared first by attempt,
 * then by rank of phase, version, number of phase; the last three are packed into `position`.
 * {0, 0} is before every event. It is the order in which events are read, and of which the first
 * gives an action its group and task; what the state is also depends on times
 * (model/attempt_state.h). */
struct event_order {
    int32_t attempt;
    int64_t position;
};

struct event_order event_order_of(int32_t attempt, enum phase phase, int32_t version);

/* The greatest version with which an event of the phase stands before `position` in its attempt;
 * LEAST_VERSION - 1 if there is none. */
int32_t event_version_before(enum phase phase, int64_t position);

/* Less than, equal to or greater than zero, as memcmp. */
int event_order_compare(struct event_order a, struct event_order b);

#endif
