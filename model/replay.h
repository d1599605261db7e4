/* A run's tree as it was, made again from the events of its actions (docs/model.md, "History"). */
#ifndef RUNTREE_MODEL_REPLAY_H
#define RUNTREE_MODEL_REPLAY_H

#include <stddef.h>
#include <stdint.h>

#include "model/json_scan.h"
#include "model/phase.h"
#include "model/run_key.h"
#include "model/run_state_manager.h"

/* An event as it is stored. All is borrowed. */
struct replayed_event {
    const char *name;
    const char *parent;          /* of its action, as it is named in the tree; NULL: a root */
    const char *abort_requested; /* of its action then, JSON; NULL: nobody had */
    int64_t abort_revision;      /* that the request made; 0: none */
    int32_t attempt;
    enum phase phase;
    int32_t version;
    int64_t revision; /* that it has; those of an action are given in the order of theirs */
    int64_t updated_us;
    struct json_text info; /* `bytes` NULL: it counts for the order of actions alone */
};

struct replay;

/* The run's key is borrowed. NULL when out of memory. */
struct replay *replay_new(const struct run_key *run);
void replay_free(struct replay *replay); /* NULL does nothing */

/* Takes in the run's next event in the order of revisions. 0 or -ENOMEM. */
int replay_add(struct replay *replay, const struct replayed_event *stored);

size_t replay_bytes(const struct replay *replay); /* that it holds */

/* About what the tree of replay_build will hold. */
size_t replay_tree_bytes(const struct replay *replay);

/* Puts the next actions that were in the tree into `manager`, which must be new at first, looking
 * at `count` of them. `revision` is the tree's. 1: all are there; 0: call again; -ENOMEM. */
int replay_build(struct replay *replay, struct run_state_manager *manager, size_t count,
                 int64_t revision);

#endif
