/* A list under way: {"<things>":[…],"nextCursor":"…"}, gathered row by row. */
#ifndef RUNTREE_HANDLERS_LIST_H
#define RUNTREE_HANDLERS_LIST_H

#include "model/json_buffer.h"
#include "server/http.h"
#include "sql/action_repo.h"

struct list_reply {
    struct http_request *request;
    struct json_buffer body;
    struct json_buffer next_cursor; /* of the last row so far */
    int32_t limit;
    int32_t rows; /* one more than the limit is asked for: it tells whether there is a next page */
};

/* NULL after having answered, when out of memory. */
struct list_reply *list_begin(struct http_request *request, const char *things, int32_t limit);

/* Whether the row is to be written (into list->body, and its cursor into list->next_cursor): the
 * one past the limit is not. */
bool list_add_row(struct list_reply *list);

/* Sends the list, or a 503; frees. */
void list_end(struct list_reply *list, enum repo_outcome outcome, const char *message);

/* For a call of the repo that failed at once: answers, frees. */
void list_fail(struct list_reply *list, int status);

/* Frees without an answer. */
void list_cancel(struct list_reply *list);

/* Answers for a read that did not succeed. */
void reply_repo_failure(struct http_request *request, enum repo_outcome outcome,
                        const char *message);

#endif
