/* A file of a web page that the binary carries; tables of them are made by tools/asset_table.py. */
#ifndef RUNTREE_SERVER_ASSET_H
#define RUNTREE_SERVER_ASSET_H

#include <stdbool.h>
#include <stddef.h>

struct http_request;

struct asset {
    const char *path; /* of its URL; NULL ends the table */
    const char *content_type;
    const char *etag,
        *gzip_etag;    /* with quotes; they differ, because they mean bytes (RFC 9110, 8.8.3) */
    bool is_immutable; /* its name changes with its content */
    const unsigned char *bytes;
    size_t length;
    const unsigned char *gzip_bytes; /* NULL: gzip does not make it smaller */
    size_t gzip_length;
};

/* The dashboard, or a page that says how to build it. */
extern const struct asset dashboard_assets[];

/* The file at the path of a URL; NULL if there is none. */
const struct asset *asset_find(const struct asset *table, const char *path);

/* Answers with the file, gzipped if the client takes that, or with 304 if it has it. */
void reply_asset(struct http_request *request, const struct asset *asset);

#endif
