#include "handlers/list.h"

#include <errno.h>
#include <stdlib.h>

#include "server/app.h"
#include "server/reply.h"

struct list_reply *list_begin(struct http_request *request, const char *things)
{
    struct memory *memory = http_request_app(request)->shared->memory;
    struct list_reply *list;

    if (!memory_has_room(memory, REPO_PAGE_BYTES)) {
        reply_unavailable(request, -ENOBUFS);
        return NULL;
    }
    list = calloc(1, sizeof *list);
    if (list == NULL) {
        reply_unavailable(request, -ENOMEM);
        return NULL;
    }
    list->request = request;
    json_buffer_text(&list->body, "{\"");
    json_buffer_text(&list->body, things);
    json_buffer_text(&list->body, "\":[");
    return list;
}

bool list_add_row(struct list_reply *list, struct page_row row)
{
    list->goes_on = row.goes_on;
    list->next_cursor.length = 0;
    if (row.is_listed && list->rows++ > 0)
        json_buffer_text(&list->body, ",");
    return row.is_listed;
}

void list_cancel(struct list_reply *list)
{
    json_buffer_free(&list->body);
    json_buffer_free(&list->next_cursor);
    free(list);
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
                           APP_READ_MAX_MS / 1000);
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

void list_end(struct list_reply *list, enum repo_outcome outcome, const char *message)
{
    if (outcome != REPO_OK) {
        reply_repo_failure(list->request, outcome, message);
        list_cancel(list);
        return;
    }
    json_buffer_text(&list->body, "]");
    if (list->goes_on)
        json_buffer_append(&list->body, list->next_cursor.bytes, list->next_cursor.length);
    json_buffer_text(&list->body, "}");
    list->body.failed |= list->next_cursor.failed;
    reply_buffer(list->request, 200, "application/json", &list->body);
    list_cancel(list);
}

void list_fail(struct list_reply *list, int status)
{
    reply_unavailable(list->request, status);
    list_cancel(list);
}
