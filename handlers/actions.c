/* Reading actions and their events. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "handlers/handlers.h"
#include "handlers/list.h"
#include "handlers/parameters.h"
#include "model/attempts.h"
#include "model/records.h"
#include "server/reply.h"

enum {
    EVENTS_PART = 500,         /* an action's events are read in parts of so many */
    EVENTS_MERGED_MAX = 20000, /* more are not merged; …/events has them all */
};

/* -------- the list of actions -------- */

struct actions_list {
    struct list_reply *list;
    struct app *app;
    struct run_key run; /* borrowed from the request */
};

static void on_listed_action(void *arg, const struct action *action)
{
    struct actions_list *actions = arg;
    struct list_reply *list = actions->list;

    if (!list_add_row(list))
        return;
    json_buffer_text(&list->body, "{");
    record_write_action_members(&list->body, action);
    json_buffer_text(&list->body, "}");
    write_next_cursor(&list->next_cursor, 'a', "%d", action->ordinal);
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
    struct http_request *request = actions->list->request;

    if (outcome == REPO_OK && actions->run.project != NULL) {
        list_cancel(actions->list);
        reply_problemf(request, PROBLEM_NOT_FOUND, NULL, "There is no such run.");
    } else {
        list_end(actions->list, outcome, message);
    }
    free(actions);
}

static void on_actions_end(void *arg, enum repo_outcome outcome, const char *message)
{
    struct actions_list *actions = arg;
    int status;

    if (outcome != REPO_OK || actions->list->rows > 0) {
        list_end(actions->list, outcome, message);
        free(actions);
        return;
    }
    status = action_repo_get_run(actions->app->repo, &actions->run, on_run_exists, on_run_checked,
                                 actions);
    if (status < 0) {
        list_fail(actions->list, status);
        free(actions);
    }
}

void handle_list_actions(struct app *app, struct http_request *request)
{
    struct action_query query = {0};
    struct actions_list *actions;
    struct cursor cursor;
    int64_t ordinal = 0;
    int status;

    if (read_run_key(request, &query.run) < 0 || read_filter(request, &query.filter) < 0 ||
        read_name_parameter(request, "parent", NAME_BYTES_MAX, &query.parent) < 0 ||
        read_limit(request, &query.limit) < 0 || read_cursor(request, 'a', 1, &cursor) < 0)
        return;
    if (cursor.count > 0 && read_cursor_number(request, &cursor, 0, 1, INT32_MAX, &ordinal) < 0)
        return;
    actions = malloc(sizeof *actions);
    if (actions == NULL) {
        reply_unavailable(request, -ENOMEM);
        return;
    }
    *actions = (struct actions_list){.app = app, .run = query.run};
    actions->list = list_begin(request, "actions", query.limit);
    if (actions->list == NULL) {
        free(actions);
        return;
    }
    query.after_ordinal = (int32_t)ordinal;
    query.limit++;
    status = app->repo == NULL ? -ENOTCONN
                               : action_repo_list_actions(app->repo, &query, on_listed_action,
                                                          on_actions_end, actions);
    if (status < 0) {
        list_fail(actions->list, status);
        free(actions);
    }
}

/* -------- one action -------- */

struct action_reply {
    struct app *app;
    struct http_request *request;
    struct run_key run; /* borrowed from the request, as is the name */
    const char *name;
    struct json_buffer body;
    struct attempts *attempts;
    struct event_query events;
    int32_t part_rows, rows;
    bool is_out_of_memory;
};

static void action_reply_free(struct action_reply *reply)
{
    attempts_free(reply->attempts);
    json_buffer_free(&reply->body);
    free(reply);
}

static void on_action(void *arg, const struct action *action)
{
    struct action_reply *reply = arg;
    struct json_buffer *body = &reply->body;

    json_buffer_text(body, "{\"project\":");
    json_buffer_string(body, reply->run.project);
    json_buffer_text(body, ",\"domain\":");
    json_buffer_string(body, reply->run.domain);
    json_buffer_text(body, ",\"runName\":");
    json_buffer_string(body, reply->run.run_name);
    json_buffer_text(body, ",\"waiting\":");
    json_buffer_text(body, action->ordinal == 0 ? "true," : "false,");
    record_write_action_members(body, action);
}

static void on_merged_event(void *arg, const struct stored_event *event)
{
    struct action_reply *reply = arg;

    reply->part_rows++;
    reply->rows++;
    reply->events.after.attempt = event->attempt;
    reply->events.after.phase = event->phase;
    reply->events.after.version = event->version;
    if (attempts_add(reply->attempts, event->attempt, event->phase, event->version,
                     event->updated_us, event->info) < 0)
        reply->is_out_of_memory = true;
}

static void finish_action(struct action_reply *reply)
{
    json_t *attempts = attempts_to_json(reply->attempts);
    char *text = attempts == NULL ? NULL : json_dumps(attempts, JSON_COMPACT);

    json_decref(attempts);
    if (text == NULL || reply->is_out_of_memory) {
        reply_json(reply->request, 500, NULL);
    } else {
        json_buffer_text(&reply->body, ",\"attempts\":");
        json_buffer_text(&reply->body, text);
        json_buffer_text(&reply->body, "}");
        reply_buffer(reply->request, 200, "application/json", &reply->body);
    }
    free(text);
    action_reply_free(reply);
}

static void on_events_part_end(void *arg, enum repo_outcome outcome, const char *message);

static void read_events_part(struct action_reply *reply)
{
    int status;

    reply->part_rows = 0;
    status = action_repo_list_events(reply->app->repo, &reply->events, on_merged_event,
                                     on_events_part_end, reply);
    if (status < 0) {
        reply_unavailable(reply->request, status);
        action_reply_free(reply);
    }
}

static void on_events_part_end(void *arg, enum repo_outcome outcome, const char *message)
{
    struct action_reply *reply = arg;

    if (outcome != REPO_OK) {
        reply_repo_failure(reply->request, outcome, message);
        action_reply_free(reply);
    } else if (reply->part_rows == EVENTS_PART && reply->rows < EVENTS_MERGED_MAX) {
        read_events_part(reply);
    } else {
        finish_action(reply);
    }
}

static void on_action_end(void *arg, enum repo_outcome outcome, const char *message)
{
    struct action_reply *reply = arg;

    if (outcome == REPO_OK && (reply->body.length > 0 || reply->body.failed)) {
        read_events_part(reply);
        return;
    }
    if (outcome != REPO_OK)
        reply_repo_failure(reply->request, outcome, message);
    else
        reply_problemf(reply->request, PROBLEM_NOT_FOUND, NULL, "There is no such action.");
    action_reply_free(reply);
}

void handle_get_action(struct app *app, struct http_request *request)
{
    struct action_reply *reply;
    struct run_key run;
    const char *name;
    int status;

    if (read_run_key(request, &run) < 0 ||
        read_captured_name(request, "action", NAME_BYTES_MAX, &name) < 0)
        return;
    reply = calloc(1, sizeof *reply);
    if (reply != NULL)
        reply->attempts = attempts_new();
    if (reply == NULL || reply->attempts == NULL) {
        free(reply);
        reply_unavailable(request, -ENOMEM);
        return;
    }
    reply->app = app;
    reply->request = request;
    reply->run = run;
    reply->name = name;
    reply->events = (struct event_query){.run = run, .name = name, .limit = EVENTS_PART};
    status = app->repo == NULL
                 ? -ENOTCONN
                 : action_repo_get_action(app->repo, &run, name, on_action, on_action_end, reply);
    if (status < 0) {
        reply_unavailable(request, status);
        action_reply_free(reply);
    }
}

/* -------- an action's events -------- */

struct events_list {
    struct list_reply *list;
    struct app *app;
    struct run_key run; /* borrowed from the request, as is the name */
    const char *name;
};

static void on_listed_event(void *arg, const struct stored_event *stored)
{
    struct events_list *events = arg;
    struct list_reply *list = events->list;
    struct action_event event;
    json_t *json;
    char *text;

    if (!list_add_row(list))
        return;
    event = (struct action_event){.document = json_loads(stored->info, 0, NULL),
                                  .run = events->run,
                                  .name = events->name,
                                  .attempt = stored->attempt,
                                  .phase = stored->phase,
                                  .version = stored->version,
                                  .updated_us = stored->updated_us};
    json = event.document == NULL
               ? NULL
               : action_event_to_json(&event, stored->revision, stored->recorded_us);
    text = json == NULL ? NULL : json_dumps(json, JSON_COMPACT);
    if (text == NULL)
        list->body.failed = true;
    else
        json_buffer_text(&list->body, text);
    free(text);
    json_decref(json);
    json_decref(event.document);
    write_next_cursor(&list->next_cursor, 'e', "%d/%d/%d", stored->attempt, stored->phase,
                      stored->version);
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
    struct http_request *request = events->list->request;

    if (outcome == REPO_OK && events->name != NULL) {
        list_cancel(events->list);
        reply_problemf(request, PROBLEM_NOT_FOUND, NULL, "There is no such action.");
    } else {
        list_end(events->list, outcome, message);
    }
    free(events);
}

static void on_events_end(void *arg, enum repo_outcome outcome, const char *message)
{
    struct events_list *events = arg;
    int status;

    if (outcome != REPO_OK || events->list->rows > 0) {
        list_end(events->list, outcome, message);
        free(events);
        return;
    }
    status = action_repo_get_action(events->app->repo, &events->run, events->name, on_action_exists,
                                    on_action_checked, events);
    if (status < 0) {
        list_fail(events->list, status);
        free(events);
    }
}

static int read_event_query(struct http_request *request, struct event_query *query)
{
    struct cursor cursor;
    int64_t attempt = 0, after[3] = {0};

    *query = (struct event_query){0};
    if (read_run_key(request, &query->run) < 0 ||
        read_captured_name(request, "action", NAME_BYTES_MAX, &query->name) < 0 ||
        read_number(request, "attempt", 1, INT32_MAX, &attempt) < 0 ||
        read_limit(request, &query->limit) < 0 || read_cursor(request, 'e', 3, &cursor) < 0)
        return -1;
    for (size_t part = 0; part < cursor.count; part++)
        if (read_cursor_number(request, &cursor, part, 0, INT32_MAX, &after[part]) < 0)
            return -1;
    query->attempt = (int32_t)attempt;
    query->after.attempt = (int32_t)after[0];
    query->after.phase = phase_from_number(after[1]);
    query->after.version = (int32_t)after[2];
    return 0;
}

void handle_list_events(struct app *app, struct http_request *request)
{
    struct event_query query;
    struct events_list *events;
    int status;

    if (read_event_query(request, &query) < 0)
        return;
    events = malloc(sizeof *events);
    if (events == NULL) {
        reply_unavailable(request, -ENOMEM);
        return;
    }
    *events = (struct events_list){.app = app, .run = query.run, .name = query.name};
    events->list = list_begin(request, "events", query.limit);
    if (events->list == NULL) {
        free(events);
        return;
    }
    query.limit++;
    status = app->repo == NULL ? -ENOTCONN
                               : action_repo_list_events(app->repo, &query, on_listed_event,
                                                         on_events_end, events);
    if (status < 0) {
        list_fail(events->list, status);
        free(events);
    }
}
