/* The lists of runs, actions and projects, for whoever makes an answer of their pages. */
#ifndef RUNTREE_HANDLERS_LISTS_H
#define RUNTREE_HANDLERS_LISTS_H

#include "handlers/page.h"
#include "server/app.h"

/* Where in a list a page begins, of what the client was given as its nextCursor: NULL: at the
 * start. All answer the request, or hand the page to `taker` (may be NULL). What a query borrows
 * must live until then; client, access and the place are filled in here. */

void list_runs(struct app *app, struct http_request *request, struct run_query *query,
               const char *cursor, const struct page_taker *taker);
void list_actions(struct cell *cell, struct http_request *request, struct action_query *query,
                  const char *cursor, const struct page_taker *taker);
void list_projects(struct app *app, struct http_request *request, int32_t limit, const char *cursor,
                   const struct page_taker *taker);

#endif
