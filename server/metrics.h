/* What an operator wants to know, as Prometheus text.
 *
 * Each loop has a struct metrics of its own for each cell, which it alone sets; what happens on
 * another thread is added to the first one's. A scrape on any loop adds them all up. */
#ifndef RUNTREE_SERVER_METRICS_H
#define RUNTREE_SERVER_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "model/buffer.h"
#include "model/placement.h"
#include "server/log.h"
#include "server/memory.h"
#include "server/router.h"

enum metric {
    /* counters */
    METRIC_EVENTS_APPLIED,
    METRIC_EVENTS_RECORDED,
    METRIC_EVENTS_WAITING,
    METRIC_EVENTS_DUPLICATE,
    METRIC_EVENTS_REJECTED,
    METRIC_RATE_LIMITED,
    METRIC_REQUESTS_TIMED_OUT,
    METRIC_CONNECTIONS_REFUSED,
    METRIC_WRITE_BATCHES,
    METRIC_WRITE_REFUSED,
    METRIC_WRITE_BATCHES_UNREAD,
    METRIC_WRITE_CONFLICTS,
    METRIC_DATABASE_LOST,
    METRIC_NOTIFICATIONS,
    METRIC_HUB_READS,
    METRIC_HUB_POLLED,
    METRIC_LIST_READS,
    METRIC_ACTIONS_ABANDONED,
    METRIC_RUNS_REMOVED,
    METRIC_STREAMS_OPENED,
    METRIC_STREAMS_RESUMED,
    METRIC_STREAMS_RESET,
    METRIC_HUB_RESETS,
    METRIC_STREAMS_STALLED,
    METRIC_STREAM_FRAMES,
    METRIC_STREAM_FRAMES_COMPRESSED,
    METRIC_STREAM_BYTES,
    METRIC_AUTH_RELOAD_FAILED,
    /* gauges */
    METRIC_AUTH_KEYS,
    METRIC_WRITE_QUEUE_BYTES,
    METRIC_READ_QUEUE,
    METRIC_DATABASE_CONNECTIONS,
    METRIC_CELL_UP,
    METRIC_CELL_RUNS,
    METRIC_NOTIFICATION_QUEUE_MILLIONTHS,
    METRIC_CONNECTIONS,
    METRIC_STREAMS,
    METRIC_HUBS,
    METRIC_VIEWS,
    METRIC_NODES,
    METRIC_LIST_VIEWS,
    METRIC_LIST_RUNS,
    METRIC_LOOP_BLOCKED_MAX_US,
    METRIC_LOOP_CPU_MAX_US,
    METRIC_COUNT,
};

enum histogram {
    HISTOGRAM_COMMIT,   /* seconds from the first byte of a batch to Postgres until its answer */
    HISTOGRAM_BATCH,    /* events in a batch */
    HISTOGRAM_LAG,      /* seconds from a notification heard to the flush of what it announced */
    HISTOGRAM_LIST_LAG, /* the same for the watchers of the list of runs */
    HISTOGRAM_TURN,     /* seconds of a turn of the loop: everything between two waits */
    HISTOGRAM_COUNT,
};

enum { HISTOGRAM_BUCKETS = 16, UNMAPPED_SLOTS = 128, STATUS_CLASSES = 6 };
enum { LOOPS_MAX = 64, METRICS_MAX = LOOPS_MAX * CELLS_MAX };

struct histogram_values {
    _Atomic uint64_t buckets[HISTOGRAM_BUCKETS + 1];
    _Atomic uint64_t sum_millionths;
};

struct route_values {
    _Atomic uint64_t by_class[STATUS_CLASSES]; /* 2: 2xx … */
    struct histogram_values duration;
};

/* How many messages of other tools were not mapped, for one reason. */
struct unmapped_slot {
    const char *_Atomic tool; /* static; NULL: free, and so are all that follow */
    const char *kind;
    _Atomic uint64_t count;
};

struct metrics {
    _Atomic uint64_t values[METRIC_COUNT];
    struct histogram_values histograms[HISTOGRAM_COUNT];
    struct route_values routes[ROUTES_MAX + 1]; /* the last: no route */
    struct unmapped_slot unmapped[UNMAPPED_SLOTS];
};

void metrics_add(struct metrics *metrics, enum metric metric, uint64_t more);
void metrics_set(struct metrics *metrics, enum metric metric, uint64_t value);
void metrics_raise(struct metrics *metrics, enum metric metric, uint64_t value); /* to at least */
void metrics_observe(struct metrics *metrics, enum histogram histogram, double value);
/* `route`: its index in the table, or ROUTES_MAX. */
void metrics_observe_request(struct metrics *metrics, size_t route, unsigned status,
                             double seconds);

/* More messages of `tool` that were not mapped because of `kind`, both static and of a bounded
 * number: together UNMAPPED_SLOTS are counted. */
void metrics_add_unmapped(struct metrics *metrics, const char *tool, const char *kind,
                          uint64_t more);
/* How many there were, in `count` of them. */
uint64_t metrics_unmapped(const struct metrics *const *all, size_t count, const char *tool,
                          const char *kind);

/* Of each loop the metrics of each cell, one loop after the other. */
struct all_metrics {
    const struct metrics *const *items;
    size_t loops, cells;
    const char *const *cell_names; /* what is of a database is told of each, if there are several */
};

/* All of them, the account of memory, and what the log dropped, in the text format 0.0.4; `routes`
 * is the table, ended by one without a pattern. */
void metrics_write(const struct all_metrics *all, const struct memory *memory,
                   const struct log *log, const struct route *routes, struct buffer *out);

#endif
