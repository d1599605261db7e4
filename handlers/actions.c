/* Listing actions and their events. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "handlers/cloud_events.h"
#include "handlers/handlers.h"
#include "handlers/lists.h"
#include "handlers/page.h"
#include "handlers/parameters.h"
#include "handlers/sorted_actions.h"
#include "handlers/waiting_actions.h"
#include "model/action_event.h"
#include "model/records.h"
#include "server/http.h"

/* -------- the list of actions -------- */

struct actions_list {
    struct page_reply *page;
    struct cell *cell;
    struct run_key run; /* borrowed from the request */
};

static void on_listed_action(void *arg, const struct action *action, struct page_row row)
{
    struct actions_list *actions = arg;
    struct page_reply *page = actions->page;

    if (page_add_row(page, row)) {
        buffer_text(&page->body, "{");
        record_write_action_members(&page->body, action);
        buffer_text(&page->body, "}");
    }
    write_next_cursor(&page->next_cursor, 'a', "%d", action->ordinal);
}

/* An empty list may mean that there is no such run. */
static void on_run_exists(void *arg, const struct run *run)
{
    struct actions_list *actions = arg;

    (void)run;
    actions->run.project = NULL;
}

static void on_run_checked(void *arg, enum repo_outcome outcome, const char *message)
{
    struct actions_list *actions = arg;
    struct http_request *request = actions->page->request;

    if (outcome == REPO_OK && actions->run.project != NULL) {
        page_cancel(actions->page);
        reply_problemf(request, PROBLEM_NOT_FOUND, NULL, "There is no such run.");
    } else {
        page_end(actions->page, outcome, message);
    }
    free(actions);
}

static void on_actions_end(void *arg, enum repo_outcome outcome, const char *message)
{
    struct actions_list *actions = arg;
    int status;

    if (outcome != REPO_OK || actions->page->rows > 0 || actions->page->goes_on) {
        page_end(actions->page, outcome, message);
        free(actions);
        return;
    }
    status = action_repo_get_run(actions->cell->repo, &actions->run, on_run_exists, on_run_checked,
                                 actions);
    if (status < 0) {
        page_fail(actions->page, status);
        free(actions);
    }
}

void list_actions(struct cell *cell, struct http_request *request, struct action_query *query,
                  const char *cursor, const struct page_taker *taker)
{
    struct actions_list *actions = malloc(sizeof *actions);
    struct page_reply *page = page_begin(request, "actions", 1, taker);
    int64_t ordinal = 0;
    struct cursor place;
    int status;

    if (page == NULL) {
        free(actions);
        return;
    }
    if (actions == NULL) {
        page_fail(page, -ENOMEM);
        return;
    }
    if (read_cursor_text(request, cursor, 'a', 1, &place) < 0 ||
        (place.count > 0 && read_cursor_number(request, &place, 0, 1, INT32_MAX, &ordinal) < 0)) {
        page_cancel(page);
        free(actions);
        return;
    }
    *actions = (struct actions_list){.cell = cell, .run = query->run, .page = page};
    query->client = repo_client_of(request);
    query->after_ordinal = (int32_t)ordinal;
    status = action_repo_list_actions(cell->repo, query, on_listed_action, on_actions_end, actions);
    if (status < 0) {
        page_fail(page, status);
        free(actions);
    }
}

static int read_order(struct http_request *request, struct action_order *order)
{
    const char *sort = http_request_parameter(request, "sort");

    *order = (struct action_order){0};
    if (sort != NULL && action_sort_parse(sort, &order->sort) < 0)
        return refuse_parameter(request, "sort", "must be order, started, duration or name");
    return read_flag(request, "desc", &order->is_descending);
}

/* The cursor of a sorted list is of its order alone. */
static int read_place(struct http_request *request, struct sorted_query *query)
{
    bool is_by_name = query->order.sort == SORT_NAME;
    int64_t sort = SORT_NAME, is_descending, ordinal;
    struct cursor cursor;

    if (read_cursor(request, is_by_name ? 'n' : 's', is_by_name ? 2 : 4, &cursor) < 0)
        return -1;
    query->is_behind = cursor.count > 0;
    if (!query->is_behind)
        return 0;
    if (read_cursor_number(request, &cursor, is_by_name ? 0 : 1, query->order.is_descending,
                           query->order.is_descending, &is_descending) < 0)
        return -1;
    if (is_by_name) {
        snprintf(query->after_name, sizeof query->after_name, "%s", cursor.parts[1]);
        return 0;
    }
    if (read_cursor_number(request, &cursor, 0, query->order.sort, query->order.sort, &sort) < 0 ||
        read_cursor_number(request, &cursor, 2, INT64_MIN, INT64_MAX, &query->after.value) < 0 ||
        read_cursor_number(request, &cursor, 3, 1, INT32_MAX, &ordinal) < 0)
        return -1;
    query->after.ordinal = (int32_t)ordinal;
    return 0;
}

static void list_in_other_order(struct cell *cell, struct http_request *request,
                                const struct action_query *query, struct action_order order)
{
    struct sorted_query sorted = {.run = query->run,
                                  .filter = query->filter,
                                  .parent = query->parent,
                                  .limit = query->limit,
                                  .order = order};

    if (read_place(request, &sorted) == 0)
        list_sorted_actions(cell, request, &sorted);
}

static void list_waiting(struct cell *cell, struct http_request *request,
                         const struct action_query *query, struct action_order order)
{
    const struct waiting_query waiting = {.client = repo_client_of(request),
                                          .run = query->run,
                                          .filter = query->filter,
                                          .parent = query->parent,
                                          .limit = query->limit};

    if (order.sort != SORT_ORDER || order.is_descending)
        refuse_parameter(request, "sort", "must be absent, as desc, where waiting is true");
    else
        list_waiting_actions(cell, request, &waiting);
}

void handle_list_actions(struct app *app, struct http_request *request)
{
    struct action_query query = {0};
    struct action_order order;
    struct cell *cell;
    bool is_waiting;

    (void)app;
    if (read_run_key(request, &query.run, &cell) < 0 || read_filter(request, &query.filter) < 0 ||
        read_name_parameter(request, "parent", KEY_NAME, &query.parent) < 0 ||
        read_order(request, &order) < 0 || read_limit(request, &query.limit) < 0 ||
        read_flag(request, "waiting", &is_waiting) < 0)
        return;
    if (is_waiting)
        list_waiting(cell, request, &query, order);
    else if (order.sort != SORT_ORDER || order.is_descending)
        list_in_other_order(cell, request, &query, order);
    else
        list_actions(cell, request, &query, http_request_parameter(request, "cursor"), NULL);
}

/* -------- an action's events -------- */

struct events_list {
    struct page_reply *page;
    struct cell *cell;
    struct run_key run; /* borrowed from the request, as is the name */
    const char *name;
    bool are_cloud_events;
};

static void on_listed_event(void *arg, const struct stored_event *event)
{
    struct events_list *events = arg;
    struct page_reply *page = events->page;
    const struct event_record record = {.run = events->run,
                                        .name = events->name,
                                        .attempt = event->attempt,
                                        .phase = event->phase,
                                        .version = event->version,
                                        .revision = event->revision,
                                        .updated_us = event->updated_us,
                                        .recorded_us = event->recorded_us,
                                        .info = event->info};

    page_add_row(page, (struct page_row){.is_listed = true, .goes_on = event->goes_on});
    if (events->are_cloud_events)
        cloud_event_write(&page->body, &record);
    else
        event_record_write(&page->body, &record);
    write_next_cursor(&page->next_cursor, 'e', "%d/%d/%lld", event->attempt, event->phase,
                      (long long)event->version - LEAST_VERSION);
}

static void on_action_exists(void *arg, const struct action *action)
{
    struct events_list *events = arg;

    (void)action;
    events->name = NULL;
}

static void on_action_checked(void *arg, enum repo_outcome outcome, const char *message)
{
    struct events_list *events = arg;
    struct http_request *request = events->page->request;

    if (outcome == REPO_OK && events->name != NULL) {
        page_cancel(events->page);
        reply_problemf(request, PROBLEM_NOT_FOUND, NULL, "There is no such action.");
    } else {
        page_end(events->page, outcome, message);
    }
    free(events);
}

static void on_events_end(void *arg, enum repo_outcome outcome, const char *message)
{
    struct events_list *events = arg;
    int status;

    if (outcome != REPO_OK || events->page->rows > 0) {
        page_end(events->page, outcome, message);
        free(events);
        return;
    }
    status = action_repo_get_action(events->cell->repo, &events->run, events->name,
                                    on_action_exists, on_action_checked, events);
    if (status < 0) {
        page_fail(events->page, status);
        free(events);
    }
}

static int read_event_query(struct http_request *request, struct event_query *query,
                            struct cell **cell)
{
    struct cursor cursor;
    int64_t attempt = 0, after[3] = {0};

    *query = (struct event_query){.client = repo_client_of(request)};
    if (read_action_key(request, &query->run, &query->name, cell) < 0 ||
        read_number(request, "attempt", 1, INT32_MAX, &attempt) < 0 ||
        read_limit(request, &query->limit) < 0 || read_cursor(request, 'e', 3, &cursor) < 0)
        return -1;
    for (size_t part = 0; part < cursor.count; part++)
        if (read_cursor_number(request, &cursor, part, 0, UINT32_MAX, &after[part]) < 0)
            return -1;
    query->attempt = (int32_t)attempt;
    query->after.attempt = (int32_t)after[0];
    query->after.phase = phase_from_index(after[1]);
    query->after.version = (int32_t)(after[2] + LEAST_VERSION);
    return 0;
}

void handle_list_events(struct app *app, struct http_request *request)
{
    struct event_query query;
    struct events_list *events;
    struct cell *cell;
    int status;

    (void)app;
    if (read_event_query(request, &query, &cell) < 0)
        return;
    events = malloc(sizeof *events);
    if (events == NULL) {
        reply_unavailable(request, -ENOMEM);
        return;
    }
    *events = (struct events_list){.cell = cell,
                                   .run = query.run,
                                   .name = query.name,
                                   .are_cloud_events = wants_cloud_events(request)};
    events->page =
        page_begin(request, "events", 1, events->are_cloud_events ? &cloud_events_taker : NULL);
    if (events->page == NULL) {
        free(events);
        return;
    }
    status = action_repo_list_events(cell->repo, &query, on_listed_event, on_events_end, events);
    if (status < 0) {
        page_fail(events->page, status);
        free(events);
    }
}
