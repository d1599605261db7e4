/* Listing the actions that wait, each with the reason: a page of them, then what stands above
 * those. */
#include "handlers/waiting_actions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "handlers/cursor.h"
#include "handlers/page.h"
#include "handlers/parameters.h"
#include "model/arena.h"
#include "model/records.h"
#include "model/waiting.h"

/* Of so few the chains are read up to where they are too deep, however long they are. */
enum { ROWS_OF_ANY_LENGTH = REPO_ROWS_LOOKED_AT / (TREE_LEVELS_MAX + 1) };

/* A row of the page. */
struct waiting_row {
    struct page_row place;
    const char *name, *parent; /* in the list's arena, as the record */
    const char *record;        /* its members */
};

struct waiting_list {
    struct cell *cell;
    struct http_request *request;
    struct waiting_query query; /* what it borrows is the request's */
    char after_parent[NAME_BYTES_MAX + 1], after_name[NAME_BYTES_MAX + 1];
    struct arena arena;
    struct waiting_row *rows; /* of at most query.limit + 1 */
    size_t count;
    struct waiting_chains *chains;
    int32_t above_count; /* actions above that were read */
    bool is_out_of_memory;
};

static void forget_rows(struct waiting_list *list)
{
    waiting_chains_free(list->chains);
    list->chains = NULL;
    arena_free(&list->arena);
    free(list->rows);
    list->rows = NULL;
    list->count = 0;
    list->above_count = 0;
}

static void end_list(struct waiting_list *list)
{
    forget_rows(list);
    free(list);
}

static void fail_list(struct waiting_list *list, int status)
{
    reply_unavailable(list->request, status);
    end_list(list);
}

/* -------- the answer -------- */

static void write_row(struct waiting_list *list, struct page_reply *page,
                      const struct waiting_row *row)
{
    if (page_add_row(page, row->place)) {
        const struct waiting_why why = waiting_chains_why(list->chains, row->name);

        buffer_text(&page->body, "{");
        buffer_text(&page->body, row->record);
        buffer_string_member(&page->body, ",\"waitsFor\":{\"name\":", why.name);
        buffer_string_member(&page->body, ",\"reason\":", waiting_reason_name(why.reason));
        buffer_text(&page->body, "}}");
    }
    if (row->parent != NULL)
        write_next_cursor(&page->next_cursor, 'w', "%s/%s", row->parent, row->name);
    else
        write_next_cursor(&page->next_cursor, 'u', "%s", row->name);
}

static void write_page(struct waiting_list *list)
{
    struct page_reply *page = page_begin(list->request, "actions", 1, NULL);

    for (size_t i = 0; page != NULL && i < list->count; i++)
        write_row(list, page, &list->rows[i]);
    if (page != NULL)
        page_end(page, REPO_OK, NULL);
    end_list(list);
}

/* -------- what stands above the page's actions -------- */

static void read_page(struct waiting_list *list);

static void on_above(void *arg, const struct action *action)
{
    struct waiting_list *list = arg;

    list->above_count++;
    list->is_out_of_memory |= waiting_chains_put(list->chains, action) < 0;
}

static void on_above_end(void *arg, enum repo_outcome outcome, const char *message)
{
    struct waiting_list *list = arg;

    if (outcome != REPO_OK) {
        reply_repo_failure(list->request, outcome, message);
        end_list(list);
    } else if (list->is_out_of_memory) {
        fail_list(list, -ENOMEM);
    } else if (list->above_count == REPO_ROWS_LOOKED_AT && list->query.limit > ROWS_OF_ANY_LENGTH) {
        forget_rows(list);
        list->query.limit = ROWS_OF_ANY_LENGTH;
        read_page(list);
    } else {
        write_page(list);
    }
}

static void read_above(struct waiting_list *list)
{
    const char **parents = malloc((list->count + 1) * sizeof *parents);
    size_t count = 0;
    int status;

    if (parents == NULL) {
        fail_list(list, -ENOMEM);
        return;
    }
    for (size_t i = 0; i < list->count; i++)
        if (list->rows[i].parent != NULL)
            parents[count++] = list->rows[i].parent;
    status = action_repo_chains_above(list->cell->repo, &list->query.run, parents, count, on_above,
                                      on_above_end, list);
    free(parents);
    if (status < 0)
        fail_list(list, status);
}

/* -------- the page -------- */

static const char *keep(struct waiting_list *list, const char *text)
{
    const char *kept = text == NULL ? NULL : arena_copy(&list->arena, text);

    list->is_out_of_memory |= text != NULL && kept == NULL;
    return kept;
}

static void on_waiting(void *arg, const struct action *action, struct page_row place)
{
    struct waiting_list *list = arg;
    struct buffer record = {0};

    record_write_action_members(&record, action);
    buffer_append(&record, "", 1);
    list->rows[list->count++] = (struct waiting_row){
        .place = place,
        .name = keep(list, action->name),
        .parent = keep(list, action->parent),
        .record = keep(list, record.failed ? NULL : record.bytes),
    };
    list->is_out_of_memory |= record.failed || waiting_chains_put(list->chains, action) < 0;
    buffer_free(&record);
}

/* Nothing waits, or there is no such run. */
static void on_run_exists(void *arg, const struct run *run)
{
    struct waiting_list *list = arg;

    (void)run;
    list->query.run.project = NULL;
}

static void on_run_checked(void *arg, enum repo_outcome outcome, const char *message)
{
    struct waiting_list *list = arg;

    if (outcome != REPO_OK)
        reply_repo_failure(list->request, outcome, message);
    else if (list->query.run.project != NULL)
        reply_problemf(list->request, PROBLEM_NOT_FOUND, NULL, "There is no such run.");
    else {
        write_page(list);
        return;
    }
    end_list(list);
}

static void on_page_end(void *arg, enum repo_outcome outcome, const char *message)
{
    struct waiting_list *list = arg;
    int status;

    if (outcome != REPO_OK) {
        reply_repo_failure(list->request, outcome, message);
        end_list(list);
    } else if (list->is_out_of_memory) {
        fail_list(list, -ENOMEM);
    } else if (list->count > 0) {
        read_above(list);
    } else {
        status = action_repo_get_run(list->cell->repo, &list->query.run, on_run_exists,
                                     on_run_checked, list);
        if (status < 0)
            fail_list(list, status);
    }
}

static void read_page(struct waiting_list *list)
{
    int status = -ENOMEM;

    list->chains = waiting_chains_new();
    list->rows = calloc((size_t)list->query.limit + 1, sizeof *list->rows);
    if (list->chains != NULL && list->rows != NULL)
        status =
            action_repo_list_waiting(list->cell->repo, &list->query, on_waiting, on_page_end, list);
    if (status < 0)
        fail_list(list, status);
}

/* A cursor is of one that names its parent, or of one of those that do not, which come last. */
static int read_place(struct http_request *request, struct waiting_list *list)
{
    const char *hex = http_request_parameter(request, "cursor");
    bool is_of_unnamed = hex != NULL && strncmp(hex, "75", 2) == 0; /* 'u' */
    struct cursor cursor;

    if (read_cursor(request, is_of_unnamed ? 'u' : 'w', is_of_unnamed ? 1 : 2, &cursor) < 0)
        return -1;
    if (cursor.count == 0)
        return 0;
    snprintf(list->after_name, sizeof list->after_name, "%s", cursor.parts[cursor.count - 1]);
    list->query.after.name = list->after_name;
    if (cursor.count == 2) {
        snprintf(list->after_parent, sizeof list->after_parent, "%s", cursor.parts[0]);
        list->query.after.parent = list->after_parent;
    }
    return 0;
}

void list_waiting_actions(struct cell *cell, struct http_request *request,
                          const struct waiting_query *query)
{
    struct waiting_list *list = calloc(1, sizeof *list);

    if (list == NULL) {
        reply_unavailable(request, -ENOMEM);
        return;
    }
    list->cell = cell;
    list->request = request;
    list->query = *query;
    if (read_place(request, list) < 0)
        free(list);
    else
        read_page(list);
}
