/* Reading one action. */
#include <errno.h>
#include <stdlib.h>

#include "handlers/action_document.h"
#include "handlers/handlers.h"
#include "handlers/page.h"
#include "handlers/parameters.h"
#include "server/http.h"

struct action_reply {
    struct http_request *request; /* NULL: gone meanwhile */
};

static void on_gone(void *arg)
{
    struct action_reply *reply = arg;

    reply->request = NULL;
}

static void on_document(void *arg, struct action_document *document)
{
    struct action_reply *reply = arg;
    struct http_request *request = reply->request;

    free(reply);
    if (request == NULL)
        return;
    http_request_when_gone(request, NULL, NULL);
    if (document->status == 0)
        reply_buffer(request, 200, "application/json", &document->text);
    else
        reply_action_document_failure(request, document);
}

void handle_get_action(struct app *app, struct http_request *request)
{
    struct action_document_reader reader = {.client = repo_client_of(request), .done = on_document};
    struct action_reply *reply;
    struct run_key run;
    struct cell *cell;
    const char *name;
    int status;

    (void)app;
    if (read_action_key(request, &run, &name, &cell) < 0)
        return;
    reply = malloc(sizeof *reply);
    if (reply == NULL) {
        reply_unavailable(request, -ENOMEM);
        return;
    }
    reply->request = request;
    reader.arg = reply;
    http_request_when_gone(request, on_gone, reply);
    status = action_document_read(cell, &run, name, &reader);
    if (status == 0)
        return;
    http_request_when_gone(request, NULL, NULL);
    free(reply);
    reply_unavailable(request, status);
}
