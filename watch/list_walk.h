/* Where a stream of the list of runs stands; see watch/list_view.h. */
#ifndef RUNTREE_WATCH_LIST_WALK_H
#define RUNTREE_WATCH_LIST_WALK_H

#include <stdint.h>

enum list_stage {
    LIST_WANTS_SNAPSHOT,
    LIST_HAS_ID,      /* it came with an id, which has to be checked */
    LIST_CATCHING_UP, /* it is told what moved since the transaction of its id */
    LIST_SETTLING,    /* has a snapshot, which may show runs in phases that the hub never saw */
    LIST_LIVE,
};

struct list_walk {
    enum list_stage stage;
    int64_t awaited_read; /* the number of the read that it waits for; 0: none */
    int64_t since_xid;    /* the transaction of its id */
    uint32_t timeline;    /* of its id */
    int64_t since;        /* the sequence number at which the walk under way began */
    int64_t runs_sent;    /* before `synced` */
};

#endif
