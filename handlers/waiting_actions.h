/* The list of the actions that wait to join the tree. */
#ifndef RUNTREE_HANDLERS_WAITING_ACTIONS_H
#define RUNTREE_HANDLERS_WAITING_ACTIONS_H

#include "server/app.h"
#include "sql/action_repo.h"

/* Answers the request, whose cursor says where the page begins. */
void list_waiting_actions(struct cell *cell, struct http_request *request,
                          const struct waiting_query *query);

#endif
