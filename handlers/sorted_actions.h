/* The list of actions in another order than the tree's. */
#ifndef RUNTREE_HANDLERS_SORTED_ACTIONS_H
#define RUNTREE_HANDLERS_SORTED_ACTIONS_H

#include "model/action_sort.h"
#include "model/filter.h"
#include "server/app.h"

/* Strings are the request's. */
struct sorted_query {
    struct run_key run;
    struct filter filter;
    const char *parent; /* NULL: any */
    struct action_order order;
    bool is_behind;            /* only actions behind `after` */
    struct action_place after; /* its name is: */
    char after_name[NAME_BYTES_MAX + 1];
    int32_t limit;
};

/* Answers the request. */
void list_sorted_actions(struct cell *cell, struct http_request *request,
                         const struct sorted_query *query);

#endif
