/* What run_hub.c (reading), run_hub_views.c (flushing) and run_hub_waiters.c share. */
#ifndef RUNTREE_WATCH_RUN_HUB_INTERNAL_H
#define RUNTREE_WATCH_RUN_HUB_INTERNAL_H

#include <uthash.h>

#include "watch/run_hub.h"

struct hub_waiter;

struct hub_view_entry {
    UT_hash_handle hh; /* by filter */
    struct filter filter;
    struct run_hub *hub;
    struct hub_view *view;
    size_t holds;
};

enum hub_phase { HUB_PHASE_LOADING, HUB_PHASE_LIVE, HUB_PHASE_ABSENT };

struct run_hub {
    UT_hash_handle hh;
    struct run_hubs *owner;
    char path[RUN_PATH_SIZE]; /* the hash key: "project/domain/run" */
    char key_text[RUN_PATH_SIZE];
    struct run_key key; /* into key_text */
    enum hub_phase phase;
    struct hub_state state; /* what views see */
    struct run_state_manager *loading;
    int64_t load_revision; /* of the run when its load began: changes behind it are read last */
    int32_t load_actions;  /* that the run has, as far as is known */
    bool is_loaded;        /* all parts are there, but for those changes */
    bool was_live;         /* its streams were told to forget a tree, and wait for this one */
    bool wants_parts;      /* what the read under way still brings of the tree is of use */
    bool has_no_room;      /* for the tree that was begun to be read */
    size_t held;           /* of the account, for the trees */
    size_t counted_nodes;  /* in the statistics */
    size_t references;     /* of requests and views */
    size_t pins;           /* of reads and polls under way, which do not keep it from growing old */
    uint64_t unused_since_ms;
    struct run_hub *unused_prev, *unused_next; /* while there are no references */
    struct hub_waiter *waiters;
    struct hub_view_entry *views;
    bool is_reading;
    bool must_read_again;
    bool is_dirty; /* moved since the last flush */
    /* When the first change was notified that is: not read yet, being read, read and not flushed
     * yet; 0: none, or the tree was not live. */
    uint64_t heard_ns, reading_ns, unsent_ns;
    uint64_t last_flush_ms;
    struct run_hub *dirty_prev, *dirty_next;
};

struct run_hubs {
    uv_loop_t *loop;
    struct action_repo *repo;
    struct run_hubs_options options;
    const struct log *log;
    struct run_hub *all; /* by path */
    struct run_hub *dirty;
    struct run_hub *unused;       /* for the longest time first */
    struct run_hub *to_forget;    /* the first of them whose records may be left; NULL: none */
    struct hub_waiter *next_turn; /* who waits for it */
    uv_timer_t tick;
    uv_timer_t flush_timer;
    uint64_t last_poll_ms;
    struct run_hub *next_polled; /* where the next poll begins; NULL: at the first */
    struct run_hub **polled;     /* hubs of the poll under way, with a reference each */
    size_t polled_count;
    struct run_hubs_stats stats;
};

/* Reads what changed, or the whole tree; if a read is under way, once more after it. */
void run_hub_read(struct run_hub *hub);

/* After a read: tells those whose wish is fulfilled, or who must not wait any longer. */
void run_hub_tell_waiters(struct run_hub *hub, enum hub_outcome outcome);

/* Calls those who wait for this turn, or tells them HUB_UNAVAILABLE. */
void run_hubs_take_turns(struct run_hubs *hubs, bool is_abandoned);

/* The next flush is to send what the tree has now. */
void run_hub_mark_dirty(struct run_hub *hub);
void run_hub_clear_dirty(struct run_hub *hub);

/* The tree is about to be freed. */
void run_hub_forget_views(struct run_hub *hub);

/* Whether so many bytes more may be taken on, and something is left to those who post and read;
 * trees that nobody uses make room first. */
bool run_hubs_make_room(struct run_hubs *hubs, size_t bytes);

#endif
