/* The attempts of an action, merged from its events. Their documents are never parsed: what an
 * answer shows of them it shows as it came. */
#ifndef RUNTREE_MODEL_ATTEMPTS_H
#define RUNTREE_MODEL_ATTEMPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/buffer.h"
#include "model/json_scan.h"
#include "model/phase.h"

/* Of logInfo, and of clusterEvents, of one attempt; those of its earliest events are left out. */
enum { ATTEMPT_ITEMS_MAX = 100000 };

struct attempts;

/* NULL when out of memory. */
struct attempts *attempts_new(void);
void attempts_free(struct attempts *attempts);

/* An event of the action, in any order; the same one again says nothing new. `info` is its document
 * as stored, a JSON object that is copied; empty: only when it was is known. 0 or -ENOMEM. */
int attempts_add(struct attempts *attempts, int32_t attempt, enum phase phase, int32_t version,
                 int64_t updated_us, struct json_text info);

/* What it holds. */
size_t attempts_bytes(const struct attempts *attempts);

/* [{"attempt", "phase", "createdAt", "startedAt", "endedAt", "durationMs", "errorInfo", "cluster",
 * "outputs", "logInfo", "clusterEvents", "phaseTransitions"}, …] by attempt. errorInfo, cluster and
 * outputs are those of the furthest event that has them, but of no end that another one stands
 * over; phaseTransitions are in the order of time; logInfo and clusterEvents are the events'
 * arrays joined, repeats of the same text left out. Takes n log n steps, whatever the events say.
 * Whether nothing was left out, here or of an event that was too large (model/event_cut.h);
 * `out->failed` when out of memory. From any thread. */
bool attempts_write(struct attempts *attempts, struct buffer *out);

#endif
