/* The watch's snapshot as one document. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "handlers/handlers.h"
#include "handlers/parameters.h"
#include "model/run_view.h"
#include "server/reply.h"

enum {
    PIECE_BYTES = 256 * 1024, /* of the document that are written in one turn of the loop, about */
    PIECE_NODES = 20000,      /* and nodes looked at */
    RESTARTS_MAX = 3,         /* a run that moves more often is written in one turn */
};

struct tree_reply {
    struct http_request *request;
    struct run_hub *hub;
    struct filter filter;
    /* What is written so far is of this tree at this revision. */
    struct run_state_manager *manager;
    char incarnation[INCARNATION_SIZE];
    int64_t revision;
    struct run_view *view; /* NULL: nothing is */
    struct view_walk walk;
    struct json_buffer body;
    size_t nodes;
    int starts;
};

static void end_reply(struct tree_reply *reply)
{
    run_view_free(reply->view);
    json_buffer_free(&reply->body);
    run_hub_release(reply->hub);
    free(reply);
}

static void write_node(void *arg, const char *bytes, size_t length, bool meets_filter)
{
    struct tree_reply *reply = arg;

    if (reply->nodes++ > 0)
        json_buffer_text(&reply->body, ",");
    json_buffer_append(&reply->body, bytes, length);
    json_buffer_text(&reply->body, meets_filter ? "true}" : "false}");
}

static bool has_moved(const struct tree_reply *reply)
{
    const struct hub_state *state = run_hub_state(reply->hub);

    return state->manager != reply->manager || run_hub_revision(reply->hub) != reply->revision ||
           strcmp(state->incarnation, reply->incarnation) != 0;
}

static int start_document(struct tree_reply *reply)
{
    const struct hub_state *state = run_hub_state(reply->hub);

    run_view_free(reply->view);
    reply->manager = state->manager;
    reply->revision = run_hub_revision(reply->hub);
    memcpy(reply->incarnation, state->incarnation, sizeof reply->incarnation);
    reply->view = run_view_new(reply->manager, &reply->filter);
    if (reply->view == NULL)
        return -ENOMEM;
    reply->walk = (struct view_walk){.next_ordinal = 1, .target = reply->revision};
    reply->body.length = reply->nodes = 0;
    reply->starts++;
    json_buffer_text(&reply->body, "{\"revision\":");
    json_buffer_integer(&reply->body, reply->revision);
    json_buffer_text(&reply->body, ",\"nodes\":[");
    return 0;
}

/* 1: the document is done; 0: there is more to write; -ENOMEM. */
static int write_piece(struct tree_reply *reply)
{
    bool is_last_start;
    int status;

    if ((reply->view == NULL || has_moved(reply)) && start_document(reply) < 0)
        return -ENOMEM;
    status = run_view_sync(reply->view);
    if (status != 0)
        return status < 0 ? status : 0;
    is_last_start = reply->starts > RESTARTS_MAX;
    return run_view_walk(reply->view, &reply->walk, is_last_start ? SIZE_MAX : PIECE_BYTES,
                         is_last_start ? SIZE_MAX : PIECE_NODES, write_node, reply);
}

static void on_hub_ready(void *arg, enum hub_outcome outcome)
{
    struct tree_reply *reply = arg;
    int status = outcome == HUB_LIVE ? write_piece(reply) : -ENOTCONN;

    if (status == 0)
        status = run_hub_next_turn(reply->hub, on_hub_ready, reply);
    if (status == 0)
        return;
    if (status == 1) {
        json_buffer_text(&reply->body, "]}");
        reply_buffer(reply->request, 200, "application/json", &reply->body);
    } else if (outcome == HUB_ABSENT) {
        reply_problemf(reply->request, PROBLEM_NOT_FOUND, NULL, "There is no such run.");
    } else {
        reply_unavailable(reply->request, outcome == HUB_NO_ROOM ? -ENOBUFS : status);
    }
    end_reply(reply);
}

/* Read anew, so that whoever has just posted sees what was acknowledged. */
void handle_get_tree(struct app *app, struct http_request *request)
{
    struct tree_reply *reply;
    struct filter filter;
    struct run_key key;
    int status;

    if (read_run_key(request, &key) < 0 || read_filter(request, &filter) < 0)
        return;
    if (app->hubs == NULL) {
        reply_unavailable(request, -ENOTCONN);
        return;
    }
    reply = malloc(sizeof *reply);
    if (reply == NULL) {
        reply_unavailable(request, -ENOMEM);
        return;
    }
    *reply = (struct tree_reply){.request = request, .filter = filter};
    status = run_hub_open(app->hubs, &key, &reply->hub);
    if (status == 0)
        status = run_hub_when_read(reply->hub, INT64_MAX, on_hub_ready, reply);
    if (status < 0) {
        reply_unavailable(request, status);
        if (reply->hub != NULL)
            run_hub_release(reply->hub);
        free(reply);
    }
}
