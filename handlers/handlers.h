/* One function per endpoint; each answers its request, now or later. */
#ifndef RUNTREE_HANDLERS_HANDLERS_H
#define RUNTREE_HANDLERS_HANDLERS_H

#include "server/app.h"

/* events.c */
route_handler handle_post_events, handle_put_event;
/* adapters.c */
route_handler handle_adapter;
/* runs.c */
route_handler handle_list_runs, handle_get_run, handle_list_projects;
/* action.c */
route_handler handle_get_action;
/* actions.c */
route_handler handle_list_actions, handle_list_events;
/* tree.c */
route_handler handle_get_tree;
/* watch.c */
route_handler handle_watch_run;
/* watch_runs.c */
route_handler handle_watch_runs;
/* watch_many.c */
route_handler handle_watch_many;
/* session.c */
route_handler handle_get_session, handle_post_session, handle_delete_session;
/* dashboard.c */
route_handler handle_dashboard, handle_dashboard_asset;
/* remove.c */
route_handler handle_delete_run, handle_delete_action;
/* abort.c */
route_handler handle_abort_run, handle_abort_action;
/* flyte.c */
route_handler handle_flyte, handle_flyte_console, handle_put_upload;
/* operations.c */
route_handler handle_health, handle_readiness, handle_metrics, handle_openapi, handle_problem;

#endif
