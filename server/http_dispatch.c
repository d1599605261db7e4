/* From a request's target to its route. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "server/app.h"
#include "server/http_internal.h"
#include "server/reply.h"

static const struct {
    const char *name;
    enum http_method method;
} methods[] = {
    {"GET", HTTP_GET}, {"HEAD", HTTP_GET},      {"POST", HTTP_POST},
    {"PUT", HTTP_PUT}, {"DELETE", HTTP_DELETE},
};

static void format_allow(unsigned allowed, char *out, size_t size)
{
    snprintf(out, size, "%s%s%s%sOPTIONS", (allowed & HTTP_GET) != 0 ? "GET, HEAD, " : "",
             (allowed & HTTP_POST) != 0 ? "POST, " : "", (allowed & HTTP_PUT) != 0 ? "PUT, " : "",
             (allowed & HTTP_DELETE) != 0 ? "DELETE, " : "");
}

static void check_parameters(struct http_request *request)
{
    const char *const *known = request->route->parameters;

    for (size_t i = 0; i < request->uri.parameter_count; i++) {
        const char *name = request->uri.parameters[i].name;
        size_t k = 0;

        while (known != NULL && known[k] != NULL && strcmp(known[k], name) != 0)
            k++;
        if (known == NULL || known[k] == NULL) {
            reply_problemf(request, PROBLEM_UNKNOWN_PARAMETER, NULL,
                           "There is no query parameter \"%s\" here.", name);
            return;
        }
        for (size_t other = 0; other < i; other++) {
            if (strcmp(name, "phase") != 0 &&
                strcmp(name, request->uri.parameters[other].name) == 0) {
                reply_problemf(request, PROBLEM_BAD_REQUEST, NULL,
                               "The query parameter \"%s\" is given twice.", name);
                return;
            }
        }
    }
}

/* The path and query of a target in origin-form or absolute-form (RFC 9112, section 3.2), "" if it
 * is neither. */
static const char *path_of(const char *target)
{
    const char *authority;

    if (target[0] == '/')
        return target;
    if (strncasecmp(target, "http://", 7) == 0)
        authority = target + 7;
    else if (strncasecmp(target, "https://", 8) == 0)
        authority = target + 8;
    else
        return "";
    return strchr(authority, '/') == NULL ? "/" : strchr(authority, '/');
}

static bool has_control(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text <= ' ' || *text == 0x7f)
            return true;
    return false;
}

static void answer_without_route(struct http_request *request, unsigned allowed)
{
    char allow[64];

    if (allowed == 0) {
        reply_problemf(request, PROBLEM_NOT_FOUND, NULL, "There is nothing at this path.");
        return;
    }
    format_allow(allowed, allow, sizeof allow);
    if (strcmp(request->method_name, "OPTIONS") == 0)
        reply_options(request, allow);
    else
        reply_method_not_allowed(request, allow);
}

void http_dispatch(struct http_request *request)
{
    const char *path = path_of(request->target);
    enum http_method method = 0;
    unsigned allowed;
    int status;

    if (strcmp(request->target, "*") == 0 && strcmp(request->method_name, "OPTIONS") == 0) {
        answer_without_route(request, HTTP_GET | HTTP_POST | HTTP_PUT | HTTP_DELETE);
        return;
    }
    status = has_control(path) ? -EINVAL : uri_parse(&request->uri, path);
    if (status < 0) {
        reply_problemf(request, status == -E2BIG ? PROBLEM_URI_TOO_LONG : PROBLEM_BAD_REQUEST, NULL,
                       "The request target is not a path and query with valid percent-encoding"
                       " of UTF-8 text without NUL.");
        return;
    }
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(request->method_name, methods[i].name) == 0)
            method = methods[i].method;
    request->is_head = strcmp(request->method_name, "HEAD") == 0;
    request->route = route_find(request->app->shared->routes, method, &request->uri,
                                &request->captures, &allowed);
    if (request->route != NULL)
        check_parameters(request);
    else
        answer_without_route(request, allowed);
}
