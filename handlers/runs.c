/* Reading runs and projects. */
#include <errno.h>
#include <stdlib.h>

#include "handlers/handlers.h"
#include "handlers/lists.h"
#include "handlers/page.h"
#include "handlers/parameters.h"
#include "model/records.h"
#include "server/http.h"

static void on_page_end(void *arg, enum repo_outcome outcome, const char *message)
{
    page_end(arg, outcome, message);
}

static void on_listed_run(void *arg, const struct run *run, struct page_row row)
{
    struct page_reply *page = arg;

    if (page_add_row(page, row))
        record_write_run(&page->body, run);
    write_next_cursor(&page->next_cursor, 'r', "%lld/%s/%s/%s", (long long)run_shown_us(run),
                      run->key.project, run->key.domain, run->key.run_name);
}

/* Where the page begins. */
static int read_place(struct http_request *request, const char *hex, struct cursor *cursor,
                      struct run_query *query)
{
    if (read_cursor_text(request, hex, 'r', 4, cursor) < 0)
        return -1;
    if (cursor->count == 0)
        return 0;
    query->after.key = (struct run_key){cursor->parts[1], cursor->parts[2], cursor->parts[3]};
    return read_cursor_number(request, cursor, 0, INT64_MIN + 1, INT64_MAX, &query->after.shown_us);
}

void list_runs(struct app *app, struct http_request *request, struct run_query *query,
               const char *cursor, const struct page_taker *taker)
{
    struct page_reply *page = page_begin(request, "runs", taker);
    struct cursor place;
    int status;

    if (page == NULL)
        return;
    if (read_place(request, cursor, &place, query) < 0) {
        page_cancel(page);
        return;
    }
    query->access = http_request_access(request);
    query->client = repo_client_of(request);
    status = !app->cells[0]->has_database ? -ENOTCONN
                                          : action_repo_list_runs(app->cells[0]->repo, query,
                                                                  on_listed_run, on_page_end, page);
    if (status < 0)
        page_fail(page, status);
}

void handle_list_runs(struct app *app, struct http_request *request)
{
    struct run_query query = {0};
    struct list_filter labeled = {0};
    struct filter filter;

    if (read_labels(request, &labeled) < 0 ||
        read_scope(request, &query.project, &query.domain) < 0 ||
        read_filter(request, &filter) < 0 || read_limit(request, &query.limit) < 0)
        return;
    query.labels = labeled.labels;
    query.phases = filter.phases;
    query.name = filter.name[0] == '\0' ? NULL : filter.name;
    list_runs(app, request, &query, http_request_parameter(request, "cursor"), NULL);
}

struct run_reply {
    struct http_request *request;
    struct buffer body;
};

static void on_run(void *arg, const struct run *run)
{
    struct run_reply *reply = arg;

    record_write_run(&reply->body, run);
}

static void on_run_end(void *arg, enum repo_outcome outcome, const char *message)
{
    struct run_reply *reply = arg;

    if (outcome != REPO_OK)
        reply_repo_failure(reply->request, outcome, message);
    else if (reply->body.length == 0 && !reply->body.failed)
        reply_problemf(reply->request, PROBLEM_NOT_FOUND, NULL, "There is no such run.");
    else
        reply_buffer(reply->request, 200, "application/json", &reply->body);
    buffer_free(&reply->body);
    free(reply);
}

void handle_get_run(struct app *app, struct http_request *request)
{
    struct run_reply *reply;
    struct run_key key;
    struct cell *cell;
    int status;

    (void)app;
    if (read_run_key(request, &key, &cell) < 0)
        return;
    reply = calloc(1, sizeof *reply);
    if (reply == NULL) {
        reply_unavailable(request, -ENOMEM);
        return;
    }
    reply->request = request;
    status = action_repo_get_run(cell->repo, &key, on_run, on_run_end, reply);
    if (status < 0) {
        reply_unavailable(request, status);
        free(reply);
    }
}

static void on_listed_project(void *arg, const char *project, const char *domain, int64_t runs,
                              struct page_row row)
{
    struct page_reply *page = arg;

    page_add_row(page, row);
    buffer_string_member(&page->body, "{\"project\":", project);
    buffer_string_member(&page->body, ",\"domain\":", domain);
    buffer_integer_member(&page->body, ",\"runs\":", runs);
    buffer_text(&page->body, "}");
    write_next_cursor(&page->next_cursor, 'p', "%s/%s", project, domain);
}

void list_projects(struct app *app, struct http_request *request, int32_t limit, const char *cursor,
                   const struct page_taker *taker)
{
    struct project_query query = {
        .client = repo_client_of(request), .access = http_request_access(request), .limit = limit};
    struct page_reply *page = page_begin(request, "projects", taker);
    struct cursor place;
    int status;

    if (page == NULL)
        return;
    if (read_cursor_text(request, cursor, 'p', 2, &place) < 0) {
        page_cancel(page);
        return;
    }
    if (place.count > 0) {
        query.after_project = place.parts[0];
        query.after_domain = place.parts[1];
    }
    status = !app->cells[0]->has_database
                 ? -ENOTCONN
                 : action_repo_list_projects(app->cells[0]->repo, &query, on_listed_project,
                                             on_page_end, page);
    if (status < 0)
        page_fail(page, status);
}

void handle_list_projects(struct app *app, struct http_request *request)
{
    int32_t limit;

    if (read_limit(request, &limit) == 0)
        list_projects(app, request, limit, http_request_parameter(request, "cursor"), NULL);
}
