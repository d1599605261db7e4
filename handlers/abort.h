/* Noting that the end of a run or an action is asked for. */
#ifndef RUNTREE_HANDLERS_ABORT_H
#define RUNTREE_HANDLERS_ABORT_H

#include <stdbool.h>

#include "server/app.h"

enum { ABORT_REASON_BYTES_MAX = 1000 };

/* Whether it may be a reason: it is not too long, and has no control characters but white space. */
bool abort_reason_is_valid(const char *reason);

/* Notes who asks, by the request, and why (NULL: no reason), for the run or its action `name`. See
 * run_remover_request_abort. */
int note_abort(struct cell *cell, const struct http_request *request, const struct run_key *run,
               const char *name, const char *reason, abort_fn *on_end, void *arg);

#endif
