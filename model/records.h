/* The records of runs and actions on the wire. */
#ifndef RUNTREE_MODEL_RECORDS_H
#define RUNTREE_MODEL_RECORDS_H

#include "model/action.h"
#include "model/buffer.h"
#include "model/run.h"

/* "name":…, … ,"revision":… without the braces; a revision of 0 (waiting) is null. */
void record_write_action_members(struct buffer *out, const struct action *action);

/* {"action":{…},"childPhaseCounts":{"QUEUED":1,…} without the closing brace; zero counts are left
 * out. */
void record_write_node(struct buffer *out, const struct action *action,
                       const uint32_t counts[static PHASE_SLOTS]);

/* {"count":…,"for":[{"parent":…,"count":…},…]} of struct run's members. */
void record_write_waiting(struct buffer *out, int32_t count, const char *waiting_for);

/* {"at":…,"by":…,"reason":…}: who asked for the end of a run or an action; NULL is null. */
void abort_request_write(struct buffer *out, int64_t at_us, const char *by, const char *reason);

/* A run's summary. */
void record_write_run(struct buffer *out, const struct run *run);

#endif
