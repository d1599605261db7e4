/* The three tables in memory, written to as sql/ writes to Postgres: one batch, one decision. */
#ifndef RUNTREE_TESTS_UNIT_MEMORY_STORE_H
#define RUNTREE_TESTS_UNIT_MEMORY_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "model/decide.h"
#include "model/known_runs.h"

enum { STORED_RUNS_MAX = 16 };

/* A row of action_events. */
struct stored_event {
    size_t run;
    char *name;
    int32_t attempt, version;
    enum phase phase;
    int64_t revision, updated_us;
    char *info;
};

/* A row of actions; it owns the strings of `action`. */
struct stored_action {
    size_t run;
    struct action action;
    struct action_origin origin;
};

/* A row of pending_joins. */
struct pending_join {
    size_t run;
    char *parent;
};

/* All zero is empty. */
struct memory_store {
    struct run runs[STORED_RUNS_MAX]; /* each owns its strings */
    struct run_addition_row run_additions[STORED_RUNS_MAX][RUN_ADDITIONS]; /* likewise */
    size_t run_count;
    struct stored_event *events;
    size_t event_count;
    struct stored_action *actions;
    size_t action_count;
    struct pending_join *pending;
    size_t pending_count;
    int64_t now_us;           /* of the last batch that had events of somebody */
    size_t children_max;      /* waiting children read for one batch; 0: all of them */
    struct known_runs *known; /* borrowed, of the writer that posts next; NULL: it reads all */
    int64_t xid, changed_xids[STORED_RUNS_MAX]; /* of the last transaction, and of the runs' */
    size_t recalled,
        conflicts; /* runs that were not read; batches for which they were, after all */
};

/* Posts a batch: reads what a decision asks for, decides, writes the rows. 0 or -ENOMEM. Fails the
 * test if a row contradicts what is stored. */
int memory_store_post(struct memory_store *store, const struct action_event *const *events,
                      struct event_result *results, size_t count);

/* Has one more piece of a pending join done, chosen by `choice`. False when none is pending. */
bool memory_store_continue(struct memory_store *store, size_t choice);

/* NULL if it is not stored. The first run has index 0. */
const struct action *memory_store_action(const struct memory_store *store, size_t run,
                                         const char *name);

void memory_store_clear(struct memory_store *store);

#endif
