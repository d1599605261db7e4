/* A run's summary: one row of the table `runs`. */
#ifndef RUNTREE_MODEL_RUN_H
#define RUNTREE_MODEL_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "model/phase.h"
#include "model/run_key.h"
#include "model/timestamp.h"

enum { INCARNATION_SIZE = 13 }; /* twelve of 0-9 a-z, and the NUL */

/* A plain value; who makes it says who owns the strings. */
struct run {
    struct run_key key;
    char incarnation[INCARNATION_SIZE]; /* random, given when the run is first seen */
    int64_t revision;
    int32_t action_count;  /* actions that joined the tree; also the greatest ordinal */
    int32_t removed_count; /* of those, the ones that were taken out again */
    int32_t phase_counts[PHASE_SLOTS];
    int32_t root_counts[PHASE_SLOTS]; /* of the roots among them */
    int32_t waiting_count;            /* actions that are not in the tree yet */
    const char *waiting_for; /* for how many of them by parent, JSON; NULL: not known, or none */
    const char *root; /* the root's name, NULL while there is none; of several, the first to join */
    enum phase phase; /* run_phase */
    /* Of all roots: the earliest creation, the earliest start, and the latest end of those that
     * have ended, which is the run's once its phase is terminal. */
    int64_t created_us, started_us, ended_us;
    const char *additions; /* what it says as members of JSON (run_addition_name), NULL: nothing, or
                            * not read */
    int64_t first_seen_us; /* when the service first saw the run */
    int64_t last_event_us; /* when it recorded the last new event */
    const char *abort_requested; /* as an action's (model/action.h) */
    int32_t abort_count;         /* of its actions, those whose end somebody asked for */
};

/* What the phases of a run's roots come to (docs/model.md); PHASE_NONE without one. */
enum phase run_phase(const int32_t root_counts[static PHASE_SLOTS]);

/* All its roots have ended, and something below them has not. */
bool run_has_open_ends(const struct run *run);

/* What is shown as the run's end; TIME_NONE while it has none. */
int64_t run_ended_us(const struct run *run);

/* The time by which lists sort the run, and which they show of it: when it was created, else when
 * it was first seen. */
static inline int64_t run_shown_us(const struct run *run)
{
    return run->created_us != TIME_NONE ? run->created_us : run->first_seen_us;
}

#endif
