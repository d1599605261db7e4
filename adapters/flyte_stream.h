/* The records of a run's watch (text/event-stream) as Flyte's WatchActions says them. Pure. */
#ifndef RUNTREE_ADAPTERS_FLYTE_STREAM_H
#define RUNTREE_ADAPTERS_FLYTE_STREAM_H

#include "adapters/flyte_records.h"

/* What whole records come to. */
struct flyte_updates {
    json_t *response; /* a WatchActionsResponse; NULL: they update no action. A new reference */
    bool is_reset;    /* the client is to forget what it has; what comes behind is left out */
};

/* 0 or -ENOMEM, and then there is nothing to release. */
int flyte_updates_read(struct flyte_updates *updates, const struct flyte_scope *scope,
                       const char *records, size_t length);

#endif
