/* A browser's session: the token in a cookie that scripts cannot read, because an EventSource
 * cannot send a header. Nothing is kept here: the cookie is the token. */
#include <stdio.h>
#include <string.h>

#include "handlers/handlers.h"
#include "model/timestamp.h"
#include "server/head.h"
#include "server/http.h"

enum { COOKIE_BYTES_MAX = 4000 }; /* browsers take 4,096 with name and attributes (RFC 6265, 6.1) */

#define COOKIE_ATTRIBUTES "; Path=/; Secure; HttpOnly; SameSite=Strict"

/* {"auth", "subject", "expiresAt", "access"}; NULL when out of memory. */
static json_t *session_to_json(const struct app *app, const struct access *access)
{
    const char *subject = access == NULL || access->subject[0] == '\0' ? NULL : access->subject;
    char expires[TIMESTAMP_SIZE];

    if (access != NULL)
        timestamp_format(access->expires_us, expires);
    return json_pack("{s:s, s:s?, s:s?, s:o}", "auth", app->auth == NULL ? "off" : "jwt", "subject",
                     subject, "expiresAt", access == NULL ? NULL : expires, "access",
                     access_to_json(access));
}

void handle_get_session(struct app *app, struct http_request *request)
{
    reply_json(request, 200, session_to_json(app, http_request_access(request)));
}

void handle_post_session(struct app *app, struct http_request *request)
{
    const struct access *access = http_request_access(request);
    const char *token = http_request_bearer(request);
    char cookie[COOKIE_BYTES_MAX + 200];
    uv_timeval64_t now;

    if (access == NULL) {
        reply_json(request, 200, session_to_json(app, NULL));
        return;
    }
    if (token == NULL) {
        reply_unauthorized(request, NULL); /* a cookie alone does not prolong itself */
        return;
    }
    if (strlen(token) > COOKIE_BYTES_MAX) {
        reply_problemf(request, PROBLEM_BAD_REQUEST, NULL,
                       "The token is longer than the %d bytes that fit into a cookie.",
                       COOKIE_BYTES_MAX);
        return;
    }
    uv_gettimeofday(&now);
    snprintf(cookie, sizeof cookie, SESSION_COOKIE "=%s; Max-Age=%lld" COOKIE_ATTRIBUTES, token,
             (long long)(access->expires_us / 1000000 - now.tv_sec));
    reply_session(request, 200, session_to_json(app, access), cookie);
}

void handle_delete_session(struct app *app, struct http_request *request)
{
    (void)app;
    reply_session(request, 204, NULL, SESSION_COOKIE "=; Max-Age=0" COOKIE_ATTRIBUTES);
}
