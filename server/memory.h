/* What the process holds for its clients, in bytes: one account for all loops, by what it is for.
 *
 * Who holds something says how much it is now, whenever that changes; who takes new work on asks
 * first whether there is room, and answers 503 if not (reply_unavailable). What is there already
 * goes on. Thread-safe. */
#ifndef RUNTREE_SERVER_MEMORY_H
#define RUNTREE_SERVER_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum memory_kind {
    MEMORY_BODIES,  /* of requests under way, until they are answered */
    MEMORY_RUNS,    /* what is kept of runs that were written, to write to them again */
    MEMORY_WRITES,  /* events that wait for the database */
    MEMORY_READS,   /* rows that came from the database and are not answered yet */
    MEMORY_ANSWERS, /* not taken by their clients yet */
    MEMORY_TREES,   /* of watched runs, with their texts; the runs that the list's watch knows */
    MEMORY_VIEWS,   /* what each filter knows of a tree */
    MEMORY_FRAMES,  /* pieces of streams, cached or not taken by their clients yet */
    MEMORY_KINDS,
};

struct memory;

/* NULL when out of memory. `max_bytes` 0: memory_available_bytes. */
struct memory *memory_new(uint64_t max_bytes);
void memory_free(struct memory *memory);

/* The holder whose bytes are kept in `*held` (0 at first) holds `now_bytes` from now on; 0 gives
 * all back. */
void memory_hold(struct memory *memory, enum memory_kind kind, size_t *held, size_t now_bytes);

/* Whether so many bytes more fit. */
bool memory_fits(const struct memory *memory, size_t more_bytes);

/* The same for work that is refused if not, which is counted. */
bool memory_has_room(struct memory *memory, size_t more_bytes);

uint64_t memory_held_bytes(const struct memory *memory, enum memory_kind kind);
uint64_t memory_max_bytes(const struct memory *memory);
uint64_t memory_refusals(const struct memory *memory);
const char *memory_kind_name(enum memory_kind kind);

/* Three quarters of what this process may have: of its cgroup's limit (version 2 or 1) or the
 * machine's memory, whichever is less. */
uint64_t memory_available_bytes(void);

#endif
