/* What the head of a request says, and whether it may: rules over texts. */
#ifndef RUNTREE_SERVER_HEAD_H
#define RUNTREE_SERVER_HEAD_H

#include <stdbool.h>
#include <stddef.h>

#include "server/auth.h"

/* The cookie that keeps a browser's token (see handlers/session.c). By its prefix browsers take it
 * only from this very host, over TLS or loopback, and for all paths (RFC 6265bis, 4.1.3.2). */
#define SESSION_COOKIE "__Host-runtree_session"

enum { REQUEST_ID_SIZE = 65, TRACEPARENT_SIZE = 56 };

/* The path and query of a target in origin-form or absolute-form (RFC 9112, section 3.2); "" if it
 * is neither, or has a blank or control character. */
const char *head_path(const char *target);

/* Whether the configured list (comma-separated; "*": any) has the origin. */
bool head_origin_is_listed(const char *list, const char *origin);

/* The headers that tell whose page a request is of; NULL: it has none. */
struct head_site {
    const char *sec_fetch_site, *origin, *host;
};

/* Whether a page of another site, which is not of the list, made the browser send this. What no
 * browser sends (curl) has neither header. */
bool head_is_from_elsewhere(const struct head_site *site, const char *list);

/* Whether the host is an address or localhost: a name could be made to point here by whoever owns
 * it (DNS rebinding), and then a page from there would be of the same origin as this service. */
bool head_is_own_name(const char *host);

/* The session cookie of all headers Cookie; its count is 0 at first. */
struct session_cookie {
    unsigned count; /* of cookies with its name, which is told by case (RFC 6265bis, 5.7) */
    char token[TOKEN_BYTES_MAX + 1];
};

/* Takes the cookies of one header in. */
void head_read_cookies(struct session_cookie *session, const char *value);

/* The token of an Authorization (NULL: none): `Bearer …` (RFC 6750, section 2.1); NULL if there is
 * none. */
const char *head_bearer(const char *authorization);

/* The password of an Authorization (NULL: none) of the scheme Basic (RFC 7617), whoever the user
 * is; false if there is none, or it is longer than a token. */
bool head_basic_password(const char *authorization, char out[static TOKEN_BYTES_MAX + 1]);

/* Whether an X-Request-Id can be taken over, and a traceparent (W3C Trace Context, version 00). */
bool head_is_request_id(const char *text);
bool head_is_traceparent(const char *text);

#endif
