/* A page of a list under way: {"<things>":[…],"nextCursor":"…"}, gathered row by row; the cursor if
 * there may be more. */
#ifndef RUNTREE_HANDLERS_PAGE_H
#define RUNTREE_HANDLERS_PAGE_H

#include "model/buffer.h"
#include "server/http.h"
#include "sql/action_repo.h"

/* Who takes a page's document to make another answer of it. */
struct page_taker {
    /* Answers the request; `document` is the taker's then. */
    void (*take)(void *arg, struct http_request *request, struct buffer *document);
    void (*drop)(void *arg); /* the request was answered without a page */
    void *arg;
};

struct page_reply {
    struct http_request *request;
    struct page_taker taker; /* `take` NULL: the document is the answer */
    struct buffer body;
    struct buffer next_cursor; /* of the last row so far */
    struct buffer also;        /* members behind the list */
    int32_t rows;              /* that are listed */
    bool goes_on;
};

/* NULL after having answered, when there is no memory for a page that is made of `pages` pages of
 * the database. `taker` may be NULL. */
struct page_reply *page_begin(struct http_request *request, const char *things, size_t pages,
                              const struct page_taker *taker);

/* For each row that was read. Whether it is to be written (into page->body); its cursor goes into
 * page->next_cursor in any case. */
bool page_add_row(struct page_reply *page, struct page_row row);

/* Sends the page, or hands it to its taker, or sends a 503; frees. */
void page_end(struct page_reply *page, enum repo_outcome outcome, const char *message);

/* For a call of the repo that failed at once: answers, frees. */
void page_fail(struct page_reply *page, int status);

/* Frees without an answer. */
void page_cancel(struct page_reply *page);

/* The request's client, as reads ask for it. */
struct repo_client repo_client_of(struct http_request *request);

/* Answers for a read that did not succeed. */
void reply_repo_failure(struct http_request *request, enum repo_outcome outcome,
                        const char *message);

#endif
