/* Method and path against one table. */
#ifndef RUNTREE_SERVER_ROUTER_H
#define RUNTREE_SERVER_ROUTER_H

#include <stdbool.h>
#include <stddef.h>

#include "server/uri.h"

struct app;
struct http_request;

enum http_method { HTTP_GET = 1, HTTP_POST = 2, HTTP_PUT = 4, HTTP_DELETE = 8 };

/* What a request must be allowed to do, where --auth asks for tokens: on the project and domain of
 * its path, or on all if the path has none. What a row leaves out is the strictest. */
enum route_access {
    ROUTE_ADMIN,
    ROUTE_WRITE,
    ROUTE_TOOL, /* ROUTE_WRITE for other tools: the token may be the password of Basic, and the
                   query have any parameter */
    ROUTE_READ,
    ROUTE_TOKEN,  /* any good token: the handler looks at what it allows */
    ROUTE_SCRAPE, /* as ROUTE_ADMIN, unless --metrics-open */
    ROUTE_OPEN,   /* no token */
};

/* Answers the request by one of the functions reply_* (server/http.h), now or later, on the loop's
 * thread. */
typedef void route_handler(struct app *app, struct http_request *request);

enum { ROUTE_CAPTURES_MAX = 8, ROUTES_MAX = 64 };

struct route {
    enum http_method method;
    /* "/v1/projects/{project}": a part in braces takes one segment, an asterisk at the end all that
     * follow, and none, too */
    const char *pattern;
    route_handler *handler;
    const char *const *parameters; /* the query parameters that it knows, NULL-ended; NULL: none */
    bool is_local;                 /* answered without the database */
    enum route_access access;
};

/* What a path gave for the parts in braces, borrowed from the route and the uri. */
struct route_captures {
    size_t count;
    struct uri_parameter items[ROUTE_CAPTURES_MAX];
};

/* The route of `routes`, ended by one without a pattern, for `method`; NULL if there is none, then
 * *allowed has the methods that the path knows (0: the path is unknown). */
const struct route *route_find(const struct route *routes, enum http_method method,
                               const struct uri *uri, struct route_captures *captures,
                               unsigned *allowed);

#endif
