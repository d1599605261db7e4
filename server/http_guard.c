/* What a request must be before its handler sees it. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "server/app.h"
#include "server/http_internal.h"
#include "server/reply.h"

/* -------- one reading only -------- */

struct head_check {
    unsigned lengths, encodings, hosts, authorizations;
    const char *encoding;
    const char *wrong; /* NULL: nothing so far */
};

/* RFC 9110, section 5.6.2 */
static bool is_token(const char *text, size_t length)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < length; i++) {
        char c = text[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != '\0' && strchr(others, c) != NULL)))
            return false;
    }
    return length > 0;
}

static bool has_control(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (((unsigned char)text[i] < ' ' && text[i] != '\t') || text[i] == 0x7f)
            return true;
    return false;
}

static enum MHD_Result check_header(void *arg, enum MHD_ValueKind kind, const char *name,
                                    size_t name_length, const char *value, size_t value_length)
{
    struct head_check *check = arg;

    (void)kind;
    if (!is_token(name, name_length) || has_control(value, value_length))
        check->wrong = "A header's name or value has characters that it must not have.";
    if (strcasecmp(name, "Content-Length") == 0) {
        check->lengths++;
        if (value_length == 0 || strspn(value, "0123456789") != value_length)
            check->wrong = "Content-Length is not a number.";
    } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
        check->encodings++;
        check->encoding = value;
    } else if (strcasecmp(name, "Host") == 0) {
        check->hosts++;
    } else if (strcasecmp(name, "Authorization") == 0) {
        check->authorizations++;
    }
    return MHD_YES;
}

/* Before version 1.0 libmicrohttpd takes a folded line into the name of the header, ends a value at
 * a NUL, and takes a bare line feed for a line's end. It leaves the head where it was received,
 * with NULs in place of what separated its parts. */
struct head_walk {
    const char *at; /* where the next header must begin; NULL: bytes are not accounted for */
};

bool http_guard_parser_is_strict(void)
{
    return strncmp(MHD_get_version(), "0.", 2) != 0;
}

/* The place behind a line's end at `at`; NULL if there is none. */
static const char *skip_line_end(const char *at)
{
    return at[0] == '\0' && at[1] == '\0' ? at + 2 : NULL;
}

static enum MHD_Result walk_header(void *arg, enum MHD_ValueKind kind, const char *name,
                                   size_t name_length, const char *value, size_t value_length)
{
    struct head_walk *walk = arg;
    const char *gap = name + name_length + 1;

    (void)kind;
    if (name != walk->at || value != gap + strspn(gap, " \t"))
        walk->at = NULL;
    else
        walk->at = skip_line_end(value + value_length);
    return walk->at == NULL ? MHD_NO : MHD_YES;
}

/* Whether every byte of the head belongs to a part that was read. */
static bool is_all_accounted_for(const struct http_request *request, const char *url,
                                 const char *version)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    const char *method = request->method_name;
    struct head_walk walk;

    if (http_guard_parser_is_strict())
        return true;
    if (info == NULL || method + strlen(method) + 1 != url ||
        url + strlen(request->target) + 1 != version)
        return false;
    walk.at = skip_line_end(version + strlen(version));
    if (walk.at != NULL)
        MHD_get_connection_values_n(request->connection, MHD_HEADER_KIND, walk_header, &walk);
    return walk.at != NULL && skip_line_end(walk.at) == method + info->header_size;
}

bool http_guard_form(struct http_request *request, const char *url, const char *version)
{
    struct head_check check = {0};

    if (!is_all_accounted_for(request, url, version))
        check.wrong = "The head has a folded or bare line end, a NUL, or blanks that it must not "
                      "have.";
    MHD_get_connection_values_n(request->connection, MHD_HEADER_KIND, check_header, &check);
    if (check.wrong == NULL && check.lengths + check.encodings > 1)
        check.wrong = "The length of the body is given twice.";
    if (check.wrong == NULL && check.encoding != NULL && strcasecmp(check.encoding, "chunked") != 0)
        check.wrong = "The only transfer coding known here is chunked.";
    if (check.wrong == NULL && check.encoding != NULL && !request->is_http_1_1)
        check.wrong = "A transfer coding needs HTTP/1.1.";
    if (check.wrong == NULL && (check.hosts > 1 || (check.hosts == 0 && request->is_http_1_1)))
        check.wrong = "A request of HTTP/1.1 has one header Host.";
    if (check.wrong == NULL && check.authorizations > 1)
        check.wrong = "The header Authorization is given twice.";
    if (check.wrong == NULL)
        return true;
    /* Where the next request starts is not certain. */
    request->is_last = true;
    reply_problemf(request, PROBLEM_BAD_REQUEST, NULL, "%s", check.wrong);
    return false;
}

/* -------- the body's coding -------- */

static enum MHD_Result count_coding(void *arg, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    (void)kind;
    (void)value;
    *(size_t *)arg += strcasecmp(name, MHD_HTTP_HEADER_CONTENT_ENCODING) == 0;
    return MHD_YES;
}

bool http_guard_coding(struct http_request *request)
{
    const char *coding = http_request_header(request, MHD_HTTP_HEADER_CONTENT_ENCODING);
    size_t count = 0;

    if (coding == NULL || request->route->method == HTTP_GET)
        return true;
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, count_coding, &count);
    if (count > 1)
        reply_unsupported_coding(request, "a list of them");
    else if (*coding == '\0' || strcasecmp(coding, "identity") == 0)
        return true;
    else if (strcasecmp(coding, "gzip") == 0 || strcasecmp(coding, "x-gzip") == 0)
        if (body_expect_gzip(&request->body) == 0)
            return true;
        else
            reply_unavailable(request, -ENOMEM);
    else
        reply_unsupported_coding(request, coding);
    return false;
}

/* -------- other sites' pages -------- */

bool http_origin_is_listed(const char *list, const char *origin)
{
    size_t length = strlen(origin);

    while (*list != '\0') {
        size_t item = strcspn(list, ",");

        if (item == length && strncmp(list, origin, length) == 0)
            return true;
        list += item + (list[item] == ',');
    }
    return false;
}

/* Whether the host is an address or localhost: a name could be made to point here by whoever owns
 * it (DNS rebinding), and then a page from there would be of the same origin as this service. */
static bool is_own_name(const char *host)
{
    char name[256];
    struct in6_addr address;
    size_t length = host[0] == '[' ? strcspn(host, "]") : strcspn(host, ":");

    if (host[0] == '[')
        host++, length--;
    if (length >= sizeof name)
        return false;
    memcpy(name, host, length);
    name[length] = '\0';
    return strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, &address) == 1 ||
           inet_pton(AF_INET6, name, &address) == 1;
}

static bool is_same_origin(const char *origin, const char *host)
{
    const char *authority = strstr(origin, "://");

    return authority != NULL && host != NULL && strcasecmp(authority + 3, host) == 0;
}

/* Whether a page of another site made the browser send this. What no browser sends (curl) has
 * neither header. */
static bool is_from_elsewhere(const struct http_request *request)
{
    const char *list = request->app->shared->config->cors_origins;
    const char *site = http_request_header(request, "Sec-Fetch-Site");
    const char *origin = http_request_header(request, "Origin");

    if (site != NULL && strcmp(site, "same-origin") == 0)
        return false;
    if (origin != NULL)
        return !is_same_origin(origin, http_request_header(request, "Host")) &&
               !http_origin_is_listed(list, origin) && strcmp(list, "*") != 0;
    return site != NULL && strcmp(site, "none") != 0;
}

static bool refuse(struct http_request *request, const char *detail)
{
    reply_problemf(request, PROBLEM_FORBIDDEN, NULL, "%s", detail);
    return false;
}

static bool guard_site(struct http_request *request)
{
    const struct app *app = request->app;
    const char *host = http_request_header(request, "Host");

    if (app->auth == NULL && request->route->access != ROUTE_OPEN && host != NULL &&
        !app->shared->config->insecure_listen_anywhere && !is_own_name(host))
        return refuse(request, "Without --auth the service answers to an IP address or localhost "
                               "only, not to the name in the header Host.");
    if (request->route->method != HTTP_GET && is_from_elsewhere(request))
        return refuse(request, "A page of another origin must not do this; the option "
                               "--cors-origins lists those that may.");
    return true;
}

/* -------- tokens -------- */

/* The session cookie of all headers Cookie. */
struct session_cookie {
    unsigned count; /* of cookies with its name, which is told by case (RFC 6265bis, 5.7) */
    char token[TOKEN_BYTES_MAX + 1];
};

static void read_cookie(struct session_cookie *session, const char *text, size_t length)
{
    static const char start[] = SESSION_COOKIE "=";

    while (length > 0 && (*text == ' ' || *text == '\t'))
        text++, length--;
    if (length < sizeof start - 1 || memcmp(text, start, sizeof start - 1) != 0)
        return;
    session->count++;
    text += sizeof start - 1;
    length -= sizeof start - 1;
    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
        length--;
    snprintf(session->token, sizeof session->token, "%.*s", (int)length, text);
    if (length > TOKEN_BYTES_MAX)
        session->token[0] = '\0';
}

static enum MHD_Result read_cookies(void *arg, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    (void)kind;
    if (strcasecmp(name, "Cookie") != 0)
        return MHD_YES;
    for (size_t length; value != NULL && *value != '\0'; value += length + (value[length] == ';')) {
        length = strcspn(value, ";");
        read_cookie(arg, value, length);
    }
    return MHD_YES;
}

/* The bearer token (RFC 6750, section 2.1), else the cookie's; NULL if there is neither. Of two
 * session cookies one is not from here, and which one cannot be told: that is neither, too. */
static const char *find_token(const struct http_request *request, struct session_cookie *session)
{
    const char *token = http_request_bearer(request);

    session->count = 0;
    if (token == NULL)
        MHD_get_connection_values(request->connection, MHD_HEADER_KIND, read_cookies, session);
    return token != NULL ? token : session->count == 1 ? session->token : NULL;
}

static bool guard_right(struct http_request *request, enum route_access needed)
{
    static const char *const names[] = {
        [ROUTE_ADMIN] = "admin", [ROUTE_WRITE] = "write", [ROUTE_READ] = "read"};
    static const enum access_right rights[] = {
        [ROUTE_ADMIN] = ACCESS_ADMIN, [ROUTE_WRITE] = ACCESS_WRITE, [ROUTE_READ] = ACCESS_READ};
    const char *project = http_request_capture(request, "project");
    const char *domain = http_request_capture(request, "domain");

    if (needed == ROUTE_TOKEN)
        return true;
    if (project == NULL || domain == NULL)
        project = domain = "*";
    if (access_allows(request->access, rights[needed], project, domain))
        return true;
    reply_forbidden(request, names[needed], project, domain);
    return false;
}

bool http_guard_access(struct http_request *request)
{
    const struct app *app = request->app;
    enum route_access needed = request->route->access;
    char why[AUTH_WHY_SIZE];
    const char *token;
    const char *site = http_request_header(request, "Sec-Fetch-Site");
    struct session_cookie session;
    uv_timeval64_t now;

    if (!guard_site(request))
        return false;
    if (needed == ROUTE_SCRAPE)
        needed = app->shared->config->metrics_open ? ROUTE_OPEN : ROUTE_ADMIN;
    if (needed == ROUTE_OPEN)
        return true;
    if (app->auth == NULL)
        return http_request_may_take(request, RATE_REQUESTS, 1);
    token = find_token(request, &session);
    if (token == NULL || *token == '\0') {
        reply_unauthorized(request, NULL);
        return false;
    }
    if (session.count > 0 && site != NULL && strcmp(site, "cross-site") == 0)
        return refuse(request, "A page of another site must not use this session.");
    uv_gettimeofday(&now);
    request->access = auth_check(app->auth, token, now.tv_sec * 1000000 + now.tv_usec, why);
    if (request->access == NULL) {
        reply_unauthorized(request, why);
        return false;
    }
    return http_request_may_take(request, RATE_REQUESTS, 1) && guard_right(request, needed);
}
