/* One database, or a schema of one, that holds whole runs, as one event loop works with it: its
 * connections and all that stands on them. What is in here knows nothing of other cells.
 *
 *   schema -> lists of cells -> repo, hubs, writers, listener, remover, abandoner -> usable */
#ifndef RUNTREE_SERVER_CELL_H
#define RUNTREE_SERVER_CELL_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "model/generations.h"
#include "server/config.h"
#include "server/log.h"
#include "server/memory.h"
#include "server/metrics.h"
#include "sql/abandoner.h"
#include "sql/action_repo.h"
#include "sql/event_writer.h"
#include "sql/notify_listener.h"
#include "sql/run_remover.h"

struct channels;
struct list_hub;
struct run_hubs;

enum { CELL_WHY_SIZE = 512 };

enum { CELL_READ_MAX_MS = 10000 }; /* that a client's read may take */

struct cell;

/* What is known of all loops is the least of what each knows. */
enum cell_health {
    CELL_BEGINS, /* it was not usable yet, and nothing has failed */
    CELL_FAILED,
    CELL_USABLE, /* connected, and listening */
};

struct cell_events {
    /* What the database has of lists of cells was read: the first time, and after cell_sync.
     * `is_new`: it has none, and no name; cell_sync gives it one. */
    void (*on_read)(void *arg, struct cell *cell, const struct generations *found, bool is_new);
    void (*on_usable)(void *arg); /* once, when its objects are there */
    void (*on_run_removed)(void *arg, const struct run_key *run);
    /* Runs may have been deleted that were not heard of. */
    void (*on_gap)(void *arg, struct cell *cell);
};

/* All borrowed, and as long-lived as the cell. */
struct cell_options {
    const char *name, *url;
    uv_loop_t *loop;
    const struct config *config;
    const struct log *log;
    struct memory *memory;
    struct metrics *metrics; /* of this cell on this loop */
    struct channels *channels;
    _Atomic enum cell_health *health; /* kept up to date, once per turn, for other loops */
    const int64_t *generation;        /* the newest list of cells (server/places.h) */
    bool looks_after; /* the runs that are to be deleted or given up: one loop of a process does */
    bool counts_runs; /* likewise, of several cells */
    const struct cell_events *events;
    void *arg;
};

/* Who wants to know when the cell goes away and when it is back. */
struct cell_listener {
    struct cell_listener *prev, *next;
    void (*on_change)(void *arg); /* must not unlisten */
    void *arg;
};

/* Handlers read it; only cell.c writes it. */
struct cell {
    struct cell_options options;
    /* Once it is used; before that none of the objects is there. */
    bool has_database;
    struct action_repo *repo;      /* for clients */
    struct action_repo *live_repo; /* for hubs, which no client's read holds up */
    struct event_writers *writers;
    size_t kept_held; /* bytes of what they keep of runs */
    struct run_hubs *hubs;
    struct list_hub *list_hub;
    struct notify_listener *listener;
    struct run_remover *remover;
    struct abandoner *abandoner;
    struct {
        bool writers, hubs, list_hub;
    } due;                             /* which have something to do before the loop waits */
    bool has_failed;                   /* something has failed */
    char not_ready_why[CELL_WHY_SIZE]; /* the last reason; "": none yet, or it is over */
    struct cell_listener *listeners;
    bool was_up; /* as the listeners know */
};

/* Connections to its database that all loops of a process together hold open. */
int cell_connections(const struct config *config);

/* NULL when out of memory. */
struct cell *cell_new(const struct cell_options *options);

/* On the loop's thread: brings the schema up to date and reads what lists of cells there have been,
 * again and again until that succeeds (on_read). */
void cell_start(struct cell *cell);

/* Names the database, if it has no name, stores those of `known` that it has not, and reads them
 * again (on_read). Nothing if that is under way. */
void cell_sync(struct cell *cell, const struct generations *known);

/* Works from now on. */
void cell_use(struct cell *cell);
/* It must not work yet, and `why`. The second reads again after a while. */
void cell_wait(struct cell *cell, const char *why);
void cell_refuse(struct cell *cell, const char *why);

/* Once per turn of the loop. Whether there is more to do in the next. */
bool cell_run(struct cell *cell);

enum cell_health cell_health(const struct cell *cell);
/* Why it is not usable, for people. */
const char *cell_why(const struct cell *cell);

/* What hubs show of it is read and heard. */
bool cell_is_up(const struct cell *cell);

/* From then on, until cell_unlisten: told in the turn of the loop in which cell_is_up changed. */
void cell_listen(struct cell *cell, struct cell_listener *listener);
void cell_unlisten(struct cell *cell, struct cell_listener *listener);

void cell_collect_metrics(struct cell *cell);

/* At the end, in this order: nothing new is begun. */
void cell_drain(struct cell *cell);
bool cell_is_migrating(const struct cell *cell);
/* What the database owes is called off, so that every request that waits for it gets its answer. */
void cell_stop(struct cell *cell);
/* When no stream is left. */
void cell_stop_hubs(struct cell *cell);
/* When the loop is empty; NULL is fine. */
void cell_free(struct cell *cell);

#endif
