/* Operating the service. */
#include <string.h>

#include "handlers/handlers.h"
#include "openapi_document.h"
#include "server/http.h"

void handle_health(struct app *app, struct http_request *request)
{
    (void)app;
    reply_json(request, 200, json_pack("{s:s}", "status", "ok"));
}

/* The cells that are not usable, of which there may be some; NULL where there are none. */
static json_t *unavailable_cells(const struct app *app)
{
    json_t *names = NULL;

    for (size_t i = 0; i < app->cell_count; i++) {
        if (app_cell_health(app, i) == CELL_USABLE)
            continue;
        if (names == NULL)
            names = json_array();
        json_array_append_new(names, json_string(app->cells[i]->options.name));
    }
    return names;
}

void handle_readiness(struct app *app, struct http_request *request)
{
    char why[APP_WHY_SIZE];

    if (app_is_ready(app, why, sizeof why))
        reply_json(
            request, 200,
            json_pack("{s:s, s:o*}", "status", "ok", "unavailableCells", unavailable_cells(app)));
    else
        reply_problemf(request, PROBLEM_UNAVAILABLE, NULL, "%s", why);
}

void handle_metrics(struct app *app, struct http_request *request)
{
    const struct app_shared *shared = app->shared;
    const char *names[CELLS_MAX];
    const struct all_metrics all = {.items = shared->metrics,
                                    .loops = shared->loops,
                                    .cells = app->cell_count,
                                    .cell_names = names};
    struct buffer body = {0};

    for (size_t i = 0; i < app->cell_count; i++)
        names[i] = app->cells[i]->options.name;
    app_collect_metrics(app);
    metrics_write(&all, shared->memory, shared->log, shared->routes, &body);
    reply_buffer(request, 200, "text/plain; version=0.0.4; charset=utf-8", &body);
}

void handle_openapi(struct app *app, struct http_request *request)
{
    (void)app;
    reply_static(request, 200, "application/json", openapi_json, openapi_json_size);
}

void handle_problem(struct app *app, struct http_request *request)
{
    const char *name = http_request_capture(request, "name");
    struct buffer body = {0};

    (void)app;
    for (int kind = PROBLEM_NONE + 1; kind < PROBLEM_KINDS; kind++) {
        const struct problem_description *description = problem_describe((enum problem_kind)kind);

        if (strcmp(description->name, name) != 0)
            continue;
        buffer_text(&body, description->title);
        buffer_text(&body, " (status ");
        buffer_integer(&body, description->status);
        buffer_text(&body, ")\n\n");
        buffer_text(&body, description->explanation);
        buffer_text(&body, "\n");
        reply_buffer(request, 200, "text/plain; charset=utf-8", &body);
        return;
    }
    reply_problemf(request, PROBLEM_NOT_FOUND, NULL, "There is no such kind of problem.");
}
