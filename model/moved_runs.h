/* The runs that moved lately, each once with its newest summary, in the order of their last moves.
 *
 * The same trick as with the nodes of a tree: a sequence number counts the moves, a run that moves
 * goes to the tail, and a watcher is a cursor. There is no queue per watcher. */
#ifndef RUNTREE_MODEL_MOVED_RUNS_H
#define RUNTREE_MODEL_MOVED_RUNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "model/buffer.h"
#include "model/run.h"

enum { MOVED_RUNS_MAX = 10000, MOVED_RUNS_BYTES_MAX = 64 * 1024 * 1024 };

/* Read by views, written by moved_runs_put alone. */
struct moved_run {
    UT_hash_handle hh;
    struct moved_run *prev, *next; /* by sequence */
    int64_t sequence;
    int64_t xid;
    int64_t revision;
    struct run_key key;
    bool is_deleted;
    struct buffer record; /* the data of its runUpdate */
    char *path;           /* the hash key, as run_key_path has it; behind it the parts of `key` */
};

struct moved_runs;

/* NULL when out of memory. */
struct moved_runs *moved_runs_new(void);
void moved_runs_free(struct moved_runs *runs);

/* Forgets every run. From here on they are complete from transaction `complete_from` on. Sequence
 * numbers go on. */
void moved_runs_restart(struct moved_runs *runs, int64_t complete_from);

/* Transaction `xid` changed the run into `run`, or deleted it (NULL). 1 if that is news, 0 if it
 * was known, -ENOMEM. `is_old`: no watcher who is live has to be told, so that it goes before all
 * others. When there are too many runs, or they say too much, the
 * oldest give way; one that is old is not taken then. */
int moved_runs_put(struct moved_runs *runs, const struct run_key *key, int64_t xid,
                   const struct run *run, bool is_old);

/* Every move since transaction `xid` has been put. False if not all of them could be taken. */
bool moved_runs_complete(struct moved_runs *runs, int64_t xid);

/* The transaction from which on all moves are here. */
int64_t moved_runs_complete_from(const struct moved_runs *runs);

/* Bytes that are held, about. */
size_t moved_runs_bytes(const struct moved_runs *runs);

size_t moved_runs_count(const struct moved_runs *runs);
int64_t moved_runs_sequence(const struct moved_runs *runs); /* of the last move */
int64_t moved_runs_start(const struct moved_runs *runs);    /* before the first move that is here */

/* Whether a watcher who has everything up to `sequence` can be told the rest. */
bool moved_runs_reach(const struct moved_runs *runs, int64_t sequence);

/* The first run behind `sequence`; NULL: there is none. */
const struct moved_run *moved_runs_after(const struct moved_runs *runs, int64_t sequence);

#endif
