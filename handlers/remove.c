/* Deleting a run, or an action of it. */
#include <errno.h>

#include "handlers/handlers.h"
#include "handlers/parameters.h"
#include "server/http.h"

static void on_removed(void *arg, enum removal removal)
{
    struct http_request *request = arg;

    if (removal == REMOVAL_DONE)
        reply_empty(request, 204);
    else if (removal == REMOVAL_ABSENT)
        reply_problemf(request, PROBLEM_NOT_FOUND, NULL, "There is no such run.");
    else
        reply_unavailable(request, -ENOTCONN);
}

static void on_action_removed(void *arg, enum removal removal)
{
    struct http_request *request = arg;

    if (removal == REMOVAL_ABSENT)
        reply_problemf(request, PROBLEM_NOT_FOUND, NULL, "There is no such action.");
    else
        on_removed(request, removal);
}

void handle_delete_action(struct app *app, struct http_request *request)
{
    struct run_key run;
    struct cell *cell;
    const char *name;
    int status;

    (void)app;
    if (read_action_key(request, &run, &name, &cell) < 0)
        return;
    status = run_remover_remove_action(cell->remover, &run, name, on_action_removed, request);
    if (status < 0)
        reply_unavailable(request, status);
}

void handle_delete_run(struct app *app, struct http_request *request)
{
    struct run_key key;
    struct cell *cell;
    int status;

    (void)app;
    if (read_run_key(request, &key, &cell) < 0)
        return;
    status = run_remover_remove(cell->remover, &key, on_removed, request);
    if (status < 0)
        reply_unavailable(request, status);
}
