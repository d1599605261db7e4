#include "handlers/routes.h"

#include "handlers/handlers.h"

#define DOMAIN_PATH "/v1/projects/{project}/domains/{domain}"
#define ADAPTER_PATH "/v1/adapters/{tool}/{project}/{domain}/*"
#define RUN_PATH DOMAIN_PATH "/runs/{run}"
#define ACTION_PATH RUN_PATH "/actions/{action}"

#define PARAMETERS(...)                                                                            \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

const struct route routes[] = {
    {HTTP_POST, "/v1/events", handle_post_events, NULL, false, ROUTE_TOKEN},
    {HTTP_PUT, ACTION_PATH "/events/{attempt}/{phase}/{version}", handle_put_event, NULL, false,
     ROUTE_WRITE},

    {HTTP_GET, ADAPTER_PATH, handle_adapter, NULL, false, ROUTE_TOOL},
    {HTTP_POST, ADAPTER_PATH, handle_adapter, NULL, false, ROUTE_TOOL},
    {HTTP_PUT, ADAPTER_PATH, handle_adapter, NULL, false, ROUTE_TOOL},

    {HTTP_GET, "/v1/runs", handle_list_runs,
     PARAMETERS("project", "domain", "phase", "name", "label", "limit", "cursor"), false,
     ROUTE_TOKEN},
    {HTTP_GET, "/v1/runs/watch", handle_watch_runs,
     PARAMETERS("project", "domain", "phase", "name", "label", "limit", "lastEventId"), false,
     ROUTE_TOKEN},
    {HTTP_GET, "/v1/watch", handle_watch_many, PARAMETERS("run", "list", "follow", "lastEventId"),
     false, ROUTE_TOKEN},
    {HTTP_GET, "/v1/projects", handle_list_projects, PARAMETERS("limit", "cursor"), false,
     ROUTE_TOKEN},
    {HTTP_GET, DOMAIN_PATH "/runs", handle_list_runs,
     PARAMETERS("phase", "name", "label", "limit", "cursor"), false, ROUTE_READ},
    {HTTP_GET, DOMAIN_PATH "/runs/watch", handle_watch_runs,
     PARAMETERS("phase", "name", "label", "limit", "lastEventId"), false, ROUTE_READ},
    {HTTP_GET, RUN_PATH, handle_get_run, NULL, false, ROUTE_READ},
    {HTTP_DELETE, RUN_PATH, handle_delete_run, NULL, false, ROUTE_ADMIN},
    {HTTP_POST, RUN_PATH "/abort", handle_abort_run, NULL, false, ROUTE_WRITE},
    {HTTP_DELETE, ACTION_PATH, handle_delete_action, NULL, false, ROUTE_ADMIN},
    {HTTP_POST, ACTION_PATH "/abort", handle_abort_action, NULL, false, ROUTE_WRITE},
    {HTTP_GET, RUN_PATH "/tree", handle_get_tree, PARAMETERS("phase", "name", "error", "at"), false,
     ROUTE_READ},
    {HTTP_GET, RUN_PATH "/watch", handle_watch_run,
     PARAMETERS("phase", "name", "error", "lastEventId", "wait", "follow"), false, ROUTE_READ},
    {HTTP_GET, RUN_PATH "/actions", handle_list_actions,
     PARAMETERS("phase", "name", "error", "parent", "sort", "desc", "waiting", "limit", "cursor"),
     false, ROUTE_READ},
    {HTTP_GET, ACTION_PATH, handle_get_action, NULL, false, ROUTE_READ},
    {HTTP_GET, ACTION_PATH "/events", handle_list_events, PARAMETERS("attempt", "limit", "cursor"),
     false, ROUTE_READ},

    {HTTP_POST, "/flyteidl2.workflow.TrackedRunService/{method}", handle_flyte, NULL, false,
     ROUTE_TOKEN},
    {HTTP_POST, "/flyteidl2.workflow.InternalRunService/{method}", handle_flyte, NULL, false,
     ROUTE_TOKEN},
    {HTTP_POST, "/flyteidl2.workflow.EventsProxyService/{method}", handle_flyte, NULL, false,
     ROUTE_TOKEN},
    {HTTP_POST, "/flyteidl2.workflow.RunService/{method}", handle_flyte, NULL, false, ROUTE_TOKEN},
    {HTTP_POST, "/flyteidl2.project.ProjectService/{method}", handle_flyte, NULL, false,
     ROUTE_TOKEN},
    {HTTP_POST, "/flyteidl2.cluster.ClusterService/{method}", handle_flyte, NULL, true,
     ROUTE_TOKEN},
    {HTTP_POST, "/flyteidl2.dataproxy.DataProxyService/{method}", handle_flyte, NULL, true,
     ROUTE_TOKEN},
    {HTTP_GET, "/v2/domain/{domain}/project/{project}/tracked-runs/{run}", handle_flyte_console,
     PARAMETERS("i"), true, ROUTE_OPEN},
    {HTTP_GET, "/v2/domain/{domain}/project/{project}/runs/{run}", handle_flyte_console,
     PARAMETERS("i"), true, ROUTE_OPEN},
    {HTTP_PUT, DOMAIN_PATH "/uploads/{name}", handle_put_upload, NULL, true, ROUTE_WRITE},

    {HTTP_GET, "/v1/session", handle_get_session, NULL, true, ROUTE_TOKEN},
    {HTTP_POST, "/v1/session", handle_post_session, NULL, true, ROUTE_TOKEN},
    {HTTP_DELETE, "/v1/session", handle_delete_session, NULL, true, ROUTE_OPEN},

    {HTTP_GET, "/", handle_dashboard, NULL, true, ROUTE_OPEN},
    {HTTP_GET, "/assets/{name}", handle_dashboard_asset, NULL, true, ROUTE_OPEN},
    {HTTP_GET, "/healthz", handle_health, NULL, true, ROUTE_OPEN},
    {HTTP_GET, "/readyz", handle_readiness, NULL, true, ROUTE_OPEN},
    {HTTP_GET, "/metrics", handle_metrics, NULL, true, ROUTE_SCRAPE},
    {HTTP_GET, "/openapi.json", handle_openapi, NULL, true, ROUTE_OPEN},
    {HTTP_GET, "/problems/{name}", handle_problem, NULL, true, ROUTE_OPEN},
    {0},
};
_Static_assert(sizeof routes / sizeof *routes <= ROUTES_MAX, "metrics have a slot for each route");
