#include "handlers/run_cells.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/http.h"

/* -------- looking for runs -------- */

struct run_search {
    struct http_request *request; /* NULL: gone meanwhile */
    void (*go_on)(void *arg);
    void (*drop)(void *arg);
    void *arg;
};

static void on_gone(void *arg)
{
    struct run_search *search = arg;

    search->request = NULL;
}

static void on_found(void *arg, bool is_sure)
{
    const struct run_search search = *(struct run_search *)arg;

    (void)is_sure;
    free(arg);
    if (search.request == NULL) {
        search.drop(search.arg);
        return;
    }
    http_request_when_gone(search.request, NULL, NULL);
    if (places_are_stopped(http_request_app(search.request)->places)) {
        reply_unavailable(search.request, -ENOTCONN);
        search.drop(search.arg);
    } else {
        search.go_on(search.arg);
    }
}

static bool are_known(const struct places *places, const struct run_key *runs, size_t count)
{
    struct run_place place;

    for (size_t i = 0; i < count; i++)
        if (places_get(places, &runs[i], &place) < 0)
            return false;
    return true;
}

void when_runs_are_found(struct http_request *request, const struct run_key *runs, size_t count,
                         void (*go_on)(void *arg), void (*drop)(void *arg), void *arg)
{
    struct places *places = http_request_app(request)->places;
    struct run_search *search;

    if (are_known(places, runs, count)) {
        go_on(arg);
        return;
    }
    search = malloc(sizeof *search);
    if (search != NULL) {
        *search = (struct run_search){request, go_on, drop, arg};
        http_request_when_gone(request, on_gone, search);
        if (places_find(places, runs, count, on_found, search) == 0)
            return;
        http_request_when_gone(request, NULL, NULL);
    }
    free(search);
    reply_unavailable(request, -ENOMEM);
    drop(arg);
}

struct cell *find_cell(struct http_request *request, const struct run_key *run)
{
    const struct app *app = http_request_app(request);
    struct run_place place;
    bool is_known = places_get(app->places, run, &place) == 0;

    if (is_known && place.cell->has_database)
        return place.cell;
    if (place.cell != NULL && app->cell_count > 1)
        reply_problemf(request, PROBLEM_UNAVAILABLE, NULL,
                       "Cell %s: The database cannot be reached.", place.cell->options.name);
    else if (place.cell != NULL)
        reply_unavailable(request, -ENOTCONN);
    else
        reply_problemf(request, PROBLEM_UNAVAILABLE, NULL,
                       "Where the run is cannot be found out now.");
    return NULL;
}

/* -------- of a path -------- */

struct route_call {
    struct app *app;
    struct http_request *request;
    route_handler *handler;
};

static void call_now(void *arg)
{
    const struct route_call call = *(struct route_call *)arg;

    free(arg);
    call.handler(call.app, call.request);
}

static bool is_part(enum key_part part, const char *text)
{
    return text != NULL && key_part_is_valid(part, text, strlen(text));
}

/* One that is not valid is left to the handler to refuse. */
void call_with_run(struct app *app, struct http_request *request, route_handler *handler)
{
    const struct run_key run = {http_request_capture(request, "project"),
                                http_request_capture(request, "domain"),
                                http_request_capture(request, "run")};
    struct route_call *call;

    if (!is_part(KEY_NAME, run.run_name) || !is_part(KEY_PROJECT, run.project) ||
        !is_part(KEY_DOMAIN, run.domain) || are_known(app->places, &run, 1)) {
        handler(app, request);
        return;
    }
    call = malloc(sizeof *call);
    if (call == NULL) {
        reply_unavailable(request, -ENOMEM);
        return;
    }
    *call = (struct route_call){app, request, handler};
    when_runs_are_found(request, &run, 1, call_now, free, call);
}
