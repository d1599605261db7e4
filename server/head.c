#include "server/head.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* -------- the target -------- */

static const char *find_path(const char *target)
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

static bool has_blank(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text <= ' ' || *text == 0x7f)
            return true;
    return false;
}

const char *head_path(const char *target)
{
    const char *path = find_path(target);

    return has_blank(path) ? "" : path;
}

/* -------- other sites' pages -------- */

bool head_origin_is_listed(const char *list, const char *origin)
{
    size_t length = strlen(origin);

    if (strcmp(list, "*") == 0)
        return true;
    while (*list != '\0') {
        size_t item = strcspn(list, ",");

        if (item == length && strncmp(list, origin, length) == 0)
            return true;
        list += item + (list[item] == ',');
    }
    return false;
}

bool head_is_own_name(const char *host)
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

bool head_is_from_elsewhere(const struct head_site *site, const char *list)
{
    if (site->sec_fetch_site != NULL && strcmp(site->sec_fetch_site, "same-origin") == 0)
        return false;
    if (site->origin != NULL)
        return !is_same_origin(site->origin, site->host) &&
               !head_origin_is_listed(list, site->origin);
    return site->sec_fetch_site != NULL && strcmp(site->sec_fetch_site, "none") != 0;
}

/* -------- tokens -------- */

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

void head_read_cookies(struct session_cookie *session, const char *value)
{
    for (size_t length; *value != '\0'; value += length + (value[length] == ';')) {
        length = strcspn(value, ";");
        read_cookie(session, value, length);
    }
}

const char *head_bearer(const char *authorization)
{
    if (authorization == NULL || strncasecmp(authorization, "Bearer ", 7) != 0)
        return NULL;
    return authorization + 7 + strspn(authorization + 7, " ");
}

bool head_basic_password(const char *authorization, char out[static TOKEN_BYTES_MAX + 1])
{
    gnutls_datum_t packed, unpacked;
    const char *password;
    size_t length;

    if (authorization == NULL || strncasecmp(authorization, "Basic ", 6) != 0)
        return false;
    authorization += 6 + strspn(authorization + 6, " ");
    packed.data = (unsigned char *)authorization;
    packed.size = (unsigned)strlen(authorization);
    if (gnutls_base64_decode2(&packed, &unpacked) < 0)
        return false;
    password = memchr(unpacked.data, ':', unpacked.size);
    length = password == NULL ? 0 : (size_t)((char *)unpacked.data + unpacked.size - ++password);
    if (length > 0 && length <= TOKEN_BYTES_MAX && memchr(password, '\0', length) == NULL)
        memcpy(out, password, length);
    else
        length = 0;
    out[length] = '\0';
    gnutls_free(unpacked.data);
    return length > 0;
}

/* -------- ids -------- */

bool head_is_request_id(const char *text)
{
    size_t length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                 "._:/+=-");

    return length > 0 && length < REQUEST_ID_SIZE && text[length] == '\0';
}

/* 2, 32, 16 and 2 hex digits with a dash between them. */
bool head_is_traceparent(const char *text)
{
    if (strlen(text) != TRACEPARENT_SIZE - 1)
        return false;
    for (size_t i = 0; text[i] != '\0'; i++) {
        bool is_dash = i == 2 || i == 35 || i == 52;

        if (is_dash ? text[i] != '-'
                    : !isxdigit((unsigned char)text[i]) || isupper((unsigned char)text[i]))
            return false;
    }
    return true;
}
