/* The watch's snapshot as one document, which is made while its client takes it: all of it as the
 * run was at one revision, whatever happens meanwhile (view_reading). */
#include <errno.h>
#include <stdlib.h>

#include "handlers/handlers.h"
#include "handlers/parameters.h"
#include "model/run_view.h"
#include "server/http.h"
#include "watch/run_hub.h"

enum { NODES_AT_ONCE = 20000 /* looked at for one piece of the document */ };

struct tree_reply {
    struct http_request *request;
    struct memory *memory;
    size_t held; /* of the account */
    struct run_hub *hub;
    struct hub_view *view; /* held until the document begins */
    struct view_reading *reading;
    struct buffer *piece; /* the one that is being written */
    size_t nodes;         /* written */
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

    view_reading_free(reply->reading);
    memory_hold(reply->memory, MEMORY_ANSWERS, &reply->held, 0);
    release_view(reply);
    if (reply->hub != NULL)
        run_hub_release(reply->hub);
    free(reply);
}

static void write_node(void *arg, const char *bytes, size_t length, bool meets_filter)
{
    struct tree_reply *reply = arg;

    if (reply->nodes++ > 0)
        buffer_text(reply->piece, ",");
    buffer_append(reply->piece, bytes, length);
    buffer_text(reply->piece, meets_filter ? "true}" : "false}");
}

static int next_piece(void *arg, struct buffer *piece)
{
    struct tree_reply *reply = arg;
    bool is_first = reply->piece == NULL;
    int status;

    reply->piece = piece;
    if (is_first) {
        buffer_text(piece, "{\"revision\":");
        buffer_integer(piece, view_reading_revision(reply->reading));
        buffer_text(piece, ",\"nodes\":[");
    }
    status = view_reading_next(reply->reading, REPLY_PIECE_BYTES, NODES_AT_ONCE, write_node, reply);
    run_hub_account(reply->hub);
    if (status == 1)
        buffer_text(piece, "]}");
    return status;
}

static void start_document(struct tree_reply *reply, const struct run_view *view)
{
    static const struct reply_source source = {.next = next_piece, .end = end_reply};

    reply->reading = view_reading_new(view);
    if (reply->reading == NULL) {
        reply_unavailable(reply->request, -ENOMEM);
        end_reply(reply);
        return;
    }
    memory_hold(reply->memory, MEMORY_ANSWERS, &reply->held,
                sizeof *reply + view_reading_bytes(reply->reading));
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
    struct tree_reply *reply;
    struct filter filter;
    struct run_key key;
    int status;

    if (read_run_key(request, &key) < 0 || read_filter(request, &filter) < 0)
        return;
    reply = calloc(1, sizeof *reply);
    if (reply == NULL) {
        reply_unavailable(request, -ENOMEM);
        return;
    }
    reply->request = request;
    reply->memory = app->shared->memory;
    status = run_hub_open(app->hubs, &key, &reply->hub);
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
