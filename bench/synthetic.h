/* The events that the bench writes, the same in post_events.lua and in the bare loop.
 *
 * Request n of a sender is about block (n / 300) * 100 + n % 100 of its actions, in phase n / 100 %
 * 3 (QUEUED, RUNNING, SUCCEEDED): every action goes through three phases, and no action stands
 * twice among 100 requests in a row. A block belongs to run `block % runs`. */
#ifndef RUNTREE_BENCH_SYNTHETIC_H
#define RUNTREE_BENCH_SYNTHETIC_H

#include <stddef.h>
#include <stdint.h>

#include "model/decide.h"

struct synthetic_batch; /* what one transaction writes */

struct synthetic_options {
    const char *sender;        /* a prefix of run names, so that senders do not meet */
    size_t events_per_request; /* all of one run */
    size_t requests_per_batch; /* at most 100 */
    size_t runs;
};

/* NULL when out of memory. */
struct synthetic_batch *synthetic_batch_new(const struct synthetic_options *options);

/* Moves on to the events of the next requests. */
void synthetic_batch_advance(struct synthetic_batch *batch);

/* What the statements of sql/write_statements.h bind, as model/decide would have made it. */
struct synthetic_rows {
    const struct run_key *runs;
    const char (*incarnations)[INCARNATION_SIZE];
    size_t run_count;
    const struct action_event *const *events;
    size_t event_count;
    const struct decision_name *names;
    size_t name_count;
    const struct event_row *event_rows;
    const struct action_row *action_rows; /* one for each event */
    const struct run_row *run_rows;       /* one for each run */
};
struct synthetic_rows synthetic_batch_rows(const struct synthetic_batch *batch);

#endif
