#include "handlers/page.h"

#include <errno.h>
#include <stdlib.h>

#include "server/app.h"
#include "server/http.h"

static struct page_reply *refuse_page(struct http_request *request, int status,
                                      const struct page_taker *taker)
{
    if (taker != NULL)
        taker->drop(taker->arg);
    reply_unavailable(request, status);
    return NULL;
}

struct page_reply *page_begin(struct http_request *request, const char *things, size_t pages,
                              const struct page_taker *taker)
{
    struct memory *memory = http_request_app(request)->shared->memory;
    struct page_reply *page;

    if (!memory_has_room(memory, pages * REPO_PAGE_BYTES))
        return refuse_page(request, -ENOBUFS, taker);
    page = calloc(1, sizeof *page);
    if (page == NULL)
        return refuse_page(request, -ENOMEM, taker);
    page->request = request;
    if (taker != NULL)
        page->taker = *taker;
    buffer_text(&page->body, "{\"");
    buffer_text(&page->body, things);
    buffer_text(&page->body, "\":[");
    return page;
}

bool page_add_row(struct page_reply *page, struct page_row row)
{
    page->goes_on = row.goes_on;
    page->next_cursor.length = 0;
    if (row.is_listed && page->rows++ > 0)
        buffer_text(&page->body, ",");
    return row.is_listed;
}

void page_cancel(struct page_reply *page)
{
    if (page->taker.drop != NULL)
        page->taker.drop(page->taker.arg);
    buffer_free(&page->body);
    buffer_free(&page->next_cursor);
    buffer_free(&page->also);
    free(page);
}

static bool has_client(void *arg)
{
    return http_request_has_client(arg);
}

struct repo_client repo_client_of(struct http_request *request)
{
    return (struct repo_client){.is_wanted = has_client, .arg = request};
}

void reply_repo_failure(struct http_request *request, enum repo_outcome outcome,
                        const char *message)
{
    struct app *app = http_request_app(request);

    if (outcome == REPO_CANCELLED) {
        if (http_request_has_client(request))
            reply_problemf(request, PROBLEM_OVERLOADED, NULL,
                           "The database was given %d s for the read, which took longer.",
                           CELL_READ_MAX_MS / 1000);
        else
            reply_nobody(request);
        return;
    }
    if (outcome == REPO_LOST) {
        reply_unavailable(request, -ENOTCONN);
        return;
    }
    log_write(app->shared->log, LOG_ERROR, "the database refused a read", "s:s?", "why", message);
    reply_problemf(request, PROBLEM_INTERNAL, NULL, "The database refused the read.");
}

void page_end(struct page_reply *page, enum repo_outcome outcome, const char *message)
{
    if (outcome != REPO_OK) {
        reply_repo_failure(page->request, outcome, message);
        page_cancel(page);
        return;
    }
    buffer_text(&page->body, "]");
    if (page->goes_on)
        buffer_append(&page->body, page->next_cursor.bytes, page->next_cursor.length);
    if (page->also.length > 0)
        buffer_append(&page->body, page->also.bytes, page->also.length);
    buffer_text(&page->body, "}");
    page->body.failed |= page->next_cursor.failed || page->also.failed;
    if (page->taker.take != NULL && !page->body.failed) {
        page->taker.take(page->taker.arg, page->request, &page->body);
        page->taker = (struct page_taker){0};
        page->body = (struct buffer){0};
    } else {
        reply_buffer(page->request, 200, "application/json", &page->body);
    }
    page_cancel(page);
}

void page_fail(struct page_reply *page, int status)
{
    reply_unavailable(page->request, status);
    page_cancel(page);
}
