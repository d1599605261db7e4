/* The attempts of an action, merged from its events. */
#ifndef RUNTREE_MODEL_ATTEMPTS_H
#define RUNTREE_MODEL_ATTEMPTS_H

#include <jansson.h>
#include <stdint.h>

#include "model/phase.h"

struct attempts;

/* NULL when out of memory. */
struct attempts *attempts_new(void);
void attempts_free(struct attempts *attempts);

/* An event of the action, in any order. `info` is its document as stored. 0 or -ENOMEM. */
int attempts_add(struct attempts *attempts, int32_t attempt, enum phase phase, int32_t version,
                 int64_t updated_us, const char *info);

/* [{"attempt", "phase", "createdAt", "startedAt", "endedAt", "durationMs", "errorInfo", "cluster",
 * "outputs", "logInfo", "clusterEvents", "phaseTransitions"}, …] by attempt. errorInfo, cluster and
 * outputs are those of the furthest event that has them; logInfo and clusterEvents are the events'
 * arrays joined, exact repeats left out. A new reference, NULL when out of memory. */
json_t *attempts_to_json(struct attempts *attempts);

#endif
