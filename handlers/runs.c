/* Reading runs and projects. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "handlers/handlers.h"
#include "handlers/lists.h"
#include "handlers/merged_page.h"
#include "handlers/parameters.h"
#include "model/records.h"
#include "server/http.h"

/* -------- lists -------- */

static int compare_parts(const struct merged_row *a, const struct merged_row *b, size_t count)
{
    int order = 0;

    for (size_t i = 0; i < count && order == 0; i++)
        order = strcmp(a->parts[i], b->parts[i]);
    return order;
}

/* As action_repo_list_runs has them: the newest first, then by key backwards. */
static int compare_runs(const struct merged_row *a, const struct merged_row *b)
{
    if (a->shown_us != b->shown_us)
        return a->shown_us > b->shown_us ? -1 : 1;
    return compare_parts(b, a, 3);
}

static void write_run(struct buffer *out, const struct merged_row *row)
{
    buffer_text(out, row->text);
}

static void write_runs_cursor(struct buffer *out, const struct merged_row *row)
{
    write_next_cursor(out, 'r', "%lld/%s/%s/%s", (long long)row->shown_us, row->parts[0],
                      row->parts[1], row->parts[2]);
}

static const struct merged_list runs_list = {.things = "runs",
                                             .compare = compare_runs,
                                             .write = write_run,
                                             .write_cursor = write_runs_cursor};

static void on_listed_run(void *arg, const struct run *run, struct page_row place)
{
    struct merged_row row = {.place = place,
                             .shown_us = run_shown_us(run),
                             .parts = {run->key.project, run->key.domain, run->key.run_name}};
    struct buffer text = {0};

    if (place.is_listed) {
        record_write_run(&text, run);
        buffer_append(&text, "", 1);
        row.text = text.failed ? NULL : text.bytes;
    }
    merged_part_add(arg, &row);
    buffer_free(&text);
}

static int read_runs(struct action_repo *repo, const void *query, struct merged_part *part)
{
    return action_repo_list_runs(repo, query, on_listed_run, merged_part_end, part);
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
    struct cursor place;

    if (read_place(request, cursor, &place, query) < 0) {
        if (taker != NULL)
            taker->drop(taker->arg);
        return;
    }
    query->access = http_request_access(request);
    query->client = repo_client_of(request);
    merged_page_read(app, request, &runs_list, read_runs, query, query->limit, taker);
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

/* -------- one run -------- */

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

/* -------- projects -------- */

static int compare_projects(const struct merged_row *a, const struct merged_row *b)
{
    return compare_parts(a, b, 2);
}

static void write_project(struct buffer *out, const struct merged_row *row)
{
    buffer_string_member(out, "{\"project\":", row->parts[0]);
    buffer_string_member(out, ",\"domain\":", row->parts[1]);
    buffer_integer_member(
        out, ",\"runs\":", row->runs < REPO_RUNS_COUNTED ? row->runs : REPO_RUNS_COUNTED);
    buffer_text(out, "}");
}

static void write_projects_cursor(struct buffer *out, const struct merged_row *row)
{
    write_next_cursor(out, 'p', "%s/%s", row->parts[0], row->parts[1]);
}

static const struct merged_list projects_list = {.things = "projects",
                                                 .compare = compare_projects,
                                                 .write = write_project,
                                                 .write_cursor = write_projects_cursor};

static void on_listed_project(void *arg, const char *project, const char *domain, int64_t runs,
                              struct page_row place)
{
    merged_part_add(arg,
                    &(struct merged_row){.place = place, .runs = runs, .parts = {project, domain}});
}

static int read_projects(struct action_repo *repo, const void *query, struct merged_part *part)
{
    return action_repo_list_projects(repo, query, on_listed_project, merged_part_end, part);
}

void list_projects(struct app *app, struct http_request *request, int32_t limit, const char *cursor,
                   const struct page_taker *taker)
{
    struct project_query query = {
        .client = repo_client_of(request), .access = http_request_access(request), .limit = limit};
    struct cursor place;

    if (read_cursor_text(request, cursor, 'p', 2, &place) < 0) {
        if (taker != NULL)
            taker->drop(taker->arg);
        return;
    }
    if (place.count > 0) {
        query.after_project = place.parts[0];
        query.after_domain = place.parts[1];
    }
    merged_page_read(app, request, &projects_list, read_projects, &query, limit, taker);
}

void handle_list_projects(struct app *app, struct http_request *request)
{
    int32_t limit;

    if (read_limit(request, &limit) == 0)
        list_projects(app, request, limit, http_request_parameter(request, "cursor"), NULL);
}
