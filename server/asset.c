#include "server/asset.h"

#include <string.h>

#include "server/gzip.h"
#include "server/http.h"

/* Scripts, styles and connections only from where the page comes from, nothing inline, no frames
 * around it (Content Security Policy Level 3). */
#define CONTENT_SECURITY_POLICY                                                                    \
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "            \
    "object-src 'none'"

const struct asset *asset_find(const struct asset *table, const char *path)
{
    for (const struct asset *asset = table; asset->path != NULL; asset++)
        if (strcmp(asset->path, path) == 0)
            return asset;
    return NULL;
}

/* Whether an If-None-Match (NULL: there is none) names the entity tag, which has its quotes (RFC
 * 9110, 13.1.2: by weak comparison). */
static bool names_etag(const char *if_none_match, const char *etag)
{
    const char *at = if_none_match;
    size_t length = strlen(etag);

    if (at == NULL)
        return false;
    for (;;) {
        at += strspn(at, " \t,");
        if (*at == '*')
            return true;
        if (strncmp(at, "W/", 2) == 0)
            at += 2;
        if (*at != '"')
            return false;
        if (strncmp(at, etag, length) == 0)
            return true;
        at += strcspn(at + 1, "\"") + 1;
        at += *at == '"';
    }
}

void reply_asset(struct http_request *request, const struct asset *asset)
{
    bool is_zipped = asset->gzip_bytes != NULL &&
                     gzip_is_accepted(http_request_header(request, "Accept-Encoding"));
    const char *etag = is_zipped ? asset->gzip_etag : asset->etag;
    const struct reply_header headers[] = {
        {"ETag", etag},
        {"Cache-Control", asset->is_immutable ? "public, max-age=31536000, immutable" : "no-cache"},
        {"Vary", "Accept-Encoding"},
        {"Content-Security-Policy", CONTENT_SECURITY_POLICY},
        {is_zipped ? "Content-Encoding" : NULL, "gzip"},
        {NULL, NULL},
    };

    if (names_etag(http_request_header(request, "If-None-Match"), etag))
        reply_static_with(request, 304, NULL, "", 0, headers);
    else if (is_zipped)
        reply_static_with(request, 200, asset->content_type, asset->gzip_bytes, asset->gzip_length,
                          headers);
    else
        reply_static_with(request, 200, asset->content_type, asset->bytes, asset->length, headers);
}
