/* Listing actions in another order than the tree's. No index has one, so a page is the first of all
 * actions of the live tree that are behind its cursor. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "handlers/cursor.h"
#include "handlers/page.h"
#include "handlers/sorted_actions.h"
#include "model/records.h"
#include "watch/run_hub.h"

enum { NODES_AT_ONCE = 20000 /* looked at in a turn of the loop */ };

struct sorted_list {
    struct http_request *request;
    struct run_hub *hub;
    struct sorted_query query; /* what it borrows is the request's */
    struct first_actions *first;
    struct tree_hold hold; /* of the tree that is being looked at: says when it goes */
    int32_t next_ordinal;
};

static void end_list(struct sorted_list *list)
{
    tree_hold_release(&list->hold);
    first_actions_free(list->first);
    if (list->hub != NULL)
        run_hub_release(list->hub);
    free(list);
}

static bool is_listed(const struct sorted_query *query, const struct action *action)
{
    const struct filter_subject subject = filter_subject_of(action);

    return !action->is_removed && filter_matches(&query->filter, &subject) &&
           (query->parent == NULL ||
            (action->parent != NULL && strcmp(query->parent, action->parent) == 0));
}

static void write_cursor(struct page_reply *page, struct action_order order,
                         const struct action_place *place)
{
    if (order.sort == SORT_NAME)
        write_next_cursor(&page->next_cursor, 'n', "%d/%s", order.is_descending, place->name);
    else
        write_next_cursor(&page->next_cursor, 's', "%d/%d/%lld/%d", order.sort, order.is_descending,
                          (long long)place->value, place->ordinal);
}

static void write_page(struct sorted_list *list)
{
    struct page_reply *page = page_begin(list->request, "actions", 1, NULL);
    const struct action_place *places;
    size_t count, limit = (size_t)list->query.limit;

    if (page == NULL)
        return;
    places = first_actions_list(list->first, &count);
    for (size_t i = 0; i < count && i < limit && page->body.length < REPO_PAGE_BYTES; i++) {
        page_add_row(page, (struct page_row){.is_listed = true, .goes_on = i + 1 < count});
        buffer_text(&page->body, "{");
        record_write_action_members(
            &page->body, &run_state_manager_at(list->hold.manager, places[i].ordinal)->action);
        buffer_text(&page->body, "}");
        write_cursor(page, list->query.order, &places[i]);
    }
    page_end(page, REPO_OK, NULL);
}

/* Of a tree that was not looked at yet, or not to the end when it went. 0 or -ENOMEM. */
static int begin(struct sorted_list *list)
{
    const struct sorted_query *query = &list->query;

    first_actions_free(list->first);
    list->first = first_actions_new(query->order, query->is_behind ? &query->after : NULL,
                                    (size_t)query->limit + 1);
    list->next_ordinal = 1;
    if (list->first == NULL)
        return -ENOMEM;
    run_state_manager_hold(run_hub_tree(list->hub), &list->hold);
    return 0;
}

/* Whether all were looked at. */
static bool look_on(struct sorted_list *list)
{
    for (int looked = 0; looked < NODES_AT_ONCE && list->next_ordinal <= list->hold.count;
         looked++) {
        const struct run_node *node =
            run_state_manager_at(list->hold.manager, list->next_ordinal++);

        if (is_listed(&list->query, &node->action))
            first_actions_look_at(list->first, &node->action);
    }
    return list->next_ordinal > list->hold.count;
}

static void on_tree(void *arg, enum hub_outcome outcome)
{
    struct sorted_list *list = arg;
    int status = outcome == HUB_LIVE ? 0 : outcome == HUB_NO_ROOM ? -ENOBUFS : -ENOTCONN;

    if (status == 0 && list->hold.manager == NULL)
        status = begin(list);
    if (status == 0 && !look_on(list)) {
        status = run_hub_next_turn(list->hub, on_tree, list);
        if (status == 0)
            return;
    }
    if (status == 0)
        write_page(list);
    else if (outcome == HUB_ABSENT)
        reply_problemf(list->request, PROBLEM_NOT_FOUND, NULL, "There is no such run.");
    else
        reply_unavailable(list->request, status);
    end_list(list);
}

void list_sorted_actions(struct cell *cell, struct http_request *request,
                         const struct sorted_query *query)
{
    struct sorted_list *list = calloc(1, sizeof *list);
    int status = -ENOMEM;

    if (list == NULL) {
        reply_unavailable(request, status);
        return;
    }
    list->request = request;
    list->query = *query;
    list->query.after.name = list->query.after_name;
    status = run_hub_open(cell->hubs, &query->run, &list->hub);
    if (status == 0)
        status = run_hub_when_read(list->hub, INT64_MAX, on_tree, list);
    if (status < 0) {
        reply_unavailable(request, status);
        end_list(list);
    }
}
