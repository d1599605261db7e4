/* The tree as it was. */
#ifndef RUNTREE_HANDLERS_REPLAYED_TREE_H
#define RUNTREE_HANDLERS_REPLAYED_TREE_H

#include "model/filter.h"
#include "server/app.h"

/* Answers the request with the tree as the filter saw it at `at`, the text of a revision or a time.
 * The key is the request's. */
void reply_replayed_tree(struct cell *cell, struct http_request *request, const struct run_key *run,
                         const struct filter *filter, const char *at);

#endif
