/* Actions for tests of a run's tree. */
#ifndef RUNTREE_TESTS_UNIT_TREE_MAKER_H
#define RUNTREE_TESTS_UNIT_TREE_MAKER_H

#include "model/run_state_manager.h"

/* An action in the tree, QUEUED unless changed, created at 0. The strings are borrowed. */
static inline struct action tree_action(const char *name, const char *parent, int32_t ordinal,
                                        int64_t revision)
{
    return (struct action){.name = name,
                           .parent_named = true,
                           .parent = parent,
                           .ordinal = ordinal,
                           .attempt = 1,
                           .phase = PHASE_QUEUED,
                           .created_us = 0,
                           .started_us = TIME_NONE,
                           .ended_us = TIME_NONE,
                           .revision = revision};
}

#endif
