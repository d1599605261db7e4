/* A list under way: {"<things>":[…],"nextCursor":"…"}, gathered row by row; the cursor if there may
 * be more. */
#ifndef RUNTREE_HANDLERS_LIST_H
#define RUNTREE_HANDLERS_LIST_H

#include "model/json_buffer.h"
#include "server/http.h"
#include "sql/action_repo.h"

struct list_reply {
    struct http_request *request;
    struct json_buffer body;
    struct json_buffer next_cursor; /* of the last row so far */
    int32_t rows;                   /* that are listed */
    bool goes_on;
};

/* NULL after having answered, when there is no memory for a page. */
struct list_reply *list_begin(struct http_request *request, const char *things);

/* For each row that was read. Whether it is to be written (into list->body); its cursor goes into
 * list->next_cursor in any case. */
bool list_add_row(struct list_reply *list, struct page_row row);

/* Sends the list, or a 503; frees. */
void list_end(struct list_reply *list, enum repo_outcome outcome, const char *message);

/* For a call of the repo that failed at once: answers, frees. */
void list_fail(struct list_reply *list, int status);

/* Frees without an answer. */
void list_cancel(struct list_reply *list);

/* The request's client, as reads ask for it. */
struct repo_client repo_client_of(struct http_request *request);

/* Answers for a read that did not succeed. */
void reply_repo_failure(struct http_request *request, enum repo_outcome outcome,
                        const char *message);

#endif
