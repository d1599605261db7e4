/* The watch's snapshot as one document, which is made while its client takes it: all of it as the
 * run was at one revision, whatever happens meanwhile (view_reading). */
#include <errno.h>
#include <stdlib.h>

#include "handlers/handlers.h"
#include "handlers/parameters.h"
#include "handlers/replayed_tree.h"
#include "handlers/tree_document.h"
#include "model/run_view.h"
#include "server/http.h"
#include "watch/run_hub.h"

struct tree_reply {
    struct http_request *request;
    struct memory *memory;
    size_t held; /* of the account */
    struct run_hub *hub;
    struct hub_view *view; /* held until the document begins */
    struct tree_document document;
};

static void release_view(struct tree_reply *reply)
{
    if (reply->view != NULL)
        hub_view_release(reply->view);
    reply->view = NULL;
}

static void end_reply(void *arg)
{
    struct tree_reply *reply = arg;

    view_reading_free(reply->document.reading);
    memory_hold(reply->memory, MEMORY_ANSWERS, &reply->held, 0);
    release_view(reply);
    if (reply->hub != NULL)
        run_hub_release(reply->hub);
    free(reply);
}

static int next_piece(void *arg, struct buffer *piece)
{
    struct tree_reply *reply = arg;
    int status = tree_document_next(&reply->document, piece);

    run_hub_account(reply->hub);
    return status;
}

static void start_document(struct tree_reply *reply, const struct run_view *view)
{
    static const struct reply_source source = {.next = next_piece, .end = end_reply};

    reply->document.reading = view_reading_new(view);
    if (reply->document.reading == NULL) {
        reply_unavailable(reply->request, -ENOMEM);
        end_reply(reply);
        return;
    }
    memory_hold(reply->memory, MEMORY_ANSWERS, &reply->held,
                sizeof *reply + view_reading_bytes(reply->document.reading));
    release_view(reply);
    reply_pieces(reply->request, 200, "application/json", &source, reply);
}

/* The tree is there: brings the view up to date, in as many turns of the loop as that takes. */
static void on_hub_ready(void *arg, enum hub_outcome outcome)
{
    struct tree_reply *reply = arg;
    struct run_view *view;
    int status = outcome == HUB_NO_ROOM ? -ENOBUFS : -ENOTCONN;

    if (outcome == HUB_LIVE)
        status = hub_view_has_room(reply->view) ? hub_view_sync(reply->view, &view) : -ENOBUFS;
    if (status == 0) {
        start_document(reply, view);
        return;
    }
    if (status == 1)
        status = run_hub_next_turn(reply->hub, on_hub_ready, reply);
    if (status == 0)
        return;
    if (outcome == HUB_ABSENT)
        reply_problemf(reply->request, PROBLEM_NOT_FOUND, NULL, "There is no such run.");
    else
        reply_unavailable(reply->request, status);
    end_reply(reply);
}

/* Read anew, so that whoever has just posted sees what was acknowledged. */
void handle_get_tree(struct app *app, struct http_request *request)
{
    const char *at = http_request_parameter(request, "at");
    struct tree_reply *reply;
    struct filter filter;
    struct run_key key;
    struct cell *cell;
    int status;

    if (read_run_key(request, &key, &cell) < 0 || read_filter(request, &filter) < 0)
        return;
    if (at != NULL) {
        reply_replayed_tree(cell, request, &key, &filter, at);
        return;
    }
    reply = calloc(1, sizeof *reply);
    if (reply == NULL) {
        reply_unavailable(request, -ENOMEM);
        return;
    }
    reply->request = request;
    reply->memory = app->shared->memory;
    reply->document.at_us = TIME_NONE;
    status = run_hub_open(cell->hubs, &key, &reply->hub);
    if (status == 0) {
        reply->view = run_hub_hold_view(reply->hub, &filter, NULL);
        status = reply->view == NULL ? -ENOMEM : 0;
    }
    if (status == 0)
        status = run_hub_when_read(reply->hub, INT64_MAX, on_hub_ready, reply);
    if (status < 0) {
        reply_unavailable(request, status);
        end_reply(reply);
    }
}
