/* What Flyte's clients read: lists, and the details of runs and actions. */
#ifndef RUNTREE_HANDLERS_FLYTE_READS_H
#define RUNTREE_HANDLERS_FLYTE_READS_H

#include "adapters/flyte.pb-c.h"
#include "handlers/flyte_call.h"
#include "model/list_filter.h"
#include "model/run_key.h"

/* An organization is not kept, but an answer repeats it for each of its actions. */
enum { FLYTE_WHY_SIZE = 200, FLYTE_ORG_BYTES_MAX = 255 };

/* What a list's filters ask for. */
struct flyte_filters {
    bool may_have_parent, may_have_labels; /* set before: else a filter for one is not known */
    struct filter filter;
    const char *parent;        /* NULL: none asks for one */
    struct list_filter labels; /* its labels only */
};

/* 0, or -EINVAL with the reason in `why`: one is not known here. */
int flyte_read_filters(Flyte__Filter *const *from, size_t count, struct flyte_filters *filters,
                       char why[static FLYTE_WHY_SIZE]);

/* The key that the identifier says; false if it is none of a run, or its organization is too long.
 */
bool flyte_run_key(const Flyte__RunIdentifier *id, struct run_key *key);

flyte_handler flyte_list_runs, flyte_list_actions, flyte_list_projects, flyte_get_run_details,
    flyte_get_action_details;

#endif
