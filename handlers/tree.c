/* The watch's snapshot as one document. */
#include <errno.h>
#include <stdlib.h>

#include "handlers/handlers.h"
#include "handlers/parameters.h"
#include "model/run_view.h"
#include "server/reply.h"

struct tree_reply {
    struct http_request *request;
    struct run_hub *hub;
    struct filter filter;
};

struct tree_writer {
    struct json_buffer body;
    size_t nodes;
};

static void write_node(void *arg, const char *bytes, size_t length, bool meets_filter)
{
    struct tree_writer *writer = arg;

    if (writer->nodes++ > 0)
        json_buffer_text(&writer->body, ",");
    json_buffer_append(&writer->body, bytes, length);
    json_buffer_text(&writer->body, meets_filter ? "true}" : "false}");
}

static void reply_tree(struct tree_reply *reply)
{
    struct run_view *view = run_view_new(run_hub_state(reply->hub)->manager, &reply->filter);
    struct tree_writer writer = {0};
    struct view_walk walk;
    int status = -ENOMEM;

    json_buffer_text(&writer.body, "{\"revision\":");
    json_buffer_integer(&writer.body, run_hub_revision(reply->hub));
    json_buffer_text(&writer.body, ",\"nodes\":[");
    if (view != NULL) {
        walk = run_view_walk_begin(view, 0);
        status = run_view_walk(view, &walk, SIZE_MAX, SIZE_MAX, write_node, &writer);
        run_view_free(view);
    }
    json_buffer_text(&writer.body, "]}");
    if (status == 1)
        reply_buffer(reply->request, 200, "application/json", &writer.body);
    else
        reply_unavailable(reply->request, -ENOMEM);
    json_buffer_free(&writer.body);
}

static void on_hub_ready(void *arg, enum hub_outcome outcome)
{
    struct tree_reply *reply = arg;

    if (outcome == HUB_LIVE)
        reply_tree(reply);
    else if (outcome == HUB_ABSENT)
        reply_problemf(reply->request, PROBLEM_NOT_FOUND, NULL, "There is no such run.");
    else
        reply_unavailable(reply->request, -ENOTCONN);
    run_hub_release(reply->hub);
    free(reply);
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
        if (reply->hub != NULL)
            run_hub_release(reply->hub);
        free(reply);
        reply_unavailable(request, status);
    }
}
