/* What is done to runs by hand or by age. Deletes runs, whole: on demand, and those that ended long
 * ago; notes that somebody wants a run or an action to end.
 *
 * A deletion is one small transaction that takes the run's row away and notes the run in
 * deleted_runs: from then on nobody sees anything of it, watchers are told by a notification with
 * revision 0, and the deletion counts as done. Events and actions are removed afterwards, in pieces
 * of bounded size, by whichever process gets to it, also after a crash; until they are gone
 * the writers put events for the same key aside (sql/event_writer.h). Then whoever posts to it
 * makes the run anew, with another incarnation. */
#ifndef RUNTREE_SQL_RUN_REMOVER_H
#define RUNTREE_SQL_RUN_REMOVER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "model/phase.h"
#include "model/run_key.h"

struct run_remover;

enum { REMOVER_QUEUE_MAX = 1000 };

struct run_remover_events {
    void (*on_removed)(void *arg, const struct run_key *run); /* also of those on demand */
    void (*on_refused)(void *arg, const char *message);
    void (*on_lost)(void *arg, const char *why); /* its connection */
};

/* `retention_us` 0: only on demand. NULL when out of memory. */
struct run_remover *run_remover_new(uv_loop_t *loop, const char *url, int64_t retention_us,
                                    const struct run_remover_events *events, void *arg);

/* At the end: deletions that wait end with REMOVAL_FAILED, then no callback comes any more. */
void run_remover_stop(struct run_remover *remover);
/* When the loop is empty; NULL is fine. */
void run_remover_free(struct run_remover *remover);

bool run_remover_is_ready(const struct run_remover *remover); /* its connection is usable */

enum removal {
    REMOVAL_DONE,
    REMOVAL_ABSENT, /* there is no such run */
    REMOVAL_FAILED, /* the database is away or refused, or the run stays locked; asking again is
                       safe */
};
typedef void removal_fn(void *arg, enum removal removal);

/* Deletes the run in whatever state it is. `on_end` comes once, after the return. -ENOTCONN while
 * the database is away, -EAGAIN when REMOVER_QUEUE_MAX wait, -ENOMEM; then it does not come. */
int run_remover_remove(struct run_remover *remover, const struct run_key *run, removal_fn *on_end,
                       void *arg);

/* Takes the action `name` out of the run, with all that is below it, in pieces of bounded size,
 * from the end: who watches sees each leave. Its events go with it. A new event for its name makes
 * it anew. Returns and ends as run_remover_remove; REMOVAL_FAILED may have removed a part. */
int run_remover_remove_action(struct run_remover *remover, const struct run_key *run,
                              const char *name, removal_fn *on_end, void *arg);

enum abort_outcome {
    ABORT_REQUESTED, /* now, or by somebody before */
    ABORT_ABSENT,    /* there is no such run or action */
    ABORT_ENDED,     /* it has ended */
    ABORT_FAILED,    /* as REMOVAL_FAILED */
};

/* `request` is what is noted now, the first who asked (abort_request_write), and `phase` the one of
 * the run or action; NULL and PHASE_NONE if it is absent or it failed. */
typedef void abort_fn(void *arg, enum abort_outcome outcome, const char *request, enum phase phase);

/* Notes who asks for the end of the run, or of the action `name` of it (NULL: of the run, and of
 * those of its roots that have not ended, so that who watches the tree sees it). `request`
 * is copied. Returns and ends as run_remover_remove. */
int run_remover_request_abort(struct run_remover *remover, const struct run_key *run,
                              const char *name, const char *request, abort_fn *on_end, void *arg);

#endif
