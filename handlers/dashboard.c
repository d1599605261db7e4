/* The dashboard's files. */
#include <stdio.h>

#include "handlers/handlers.h"
#include "server/asset.h"
#include "server/http.h"

static void reply_file(struct http_request *request, const char *path)
{
    const struct asset *asset = asset_find(dashboard_assets, path);

    if (asset == NULL)
        reply_problemf(request, PROBLEM_NOT_FOUND, NULL, "The dashboard has no such file.");
    else
        reply_asset(request, asset);
}

void handle_dashboard(struct app *app, struct http_request *request)
{
    (void)app;
    reply_file(request, "/");
}

void handle_dashboard_asset(struct app *app, struct http_request *request)
{
    char path[256];
    int length = snprintf(path, sizeof path, "/assets/%s", http_request_capture(request, "name"));

    (void)app;
    reply_file(request, length < (int)sizeof path ? path : "");
}
