/* The records of runs and actions on the wire. */
#ifndef RUNTREE_MODEL_RECORDS_H
#define RUNTREE_MODEL_RECORDS_H

#include "model/action.h"
#include "model/buffer.h"
#include "model/run.h"

/* "name":…, … ,"revision":… without the braces; a revision of 0 (waiting) is null. */
void record_write_action_members(struct buffer *out, const struct action *action);

/* {"QUEUED":1,…}, zero counts left out; PHASE_SLOTS counts. */
void record_write_phase_counts(struct buffer *out, const uint32_t counts[static PHASE_SLOTS]);

/* {"count":…,"for":[{"parent":…,"count":…},…]} of struct run's members. */
void record_write_waiting(struct buffer *out, int32_t count, const char *waiting_for);

/* {"at":…,"by":…,"reason":…}: who asked for the end of a run or an action; NULL is null. */
void abort_request_write(struct buffer *out, int64_t at_us, const char *by, const char *reason);

/* A run's summary. */
void record_write_run(struct buffer *out, const struct run *run);

#endif
