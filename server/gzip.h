/* gzip (RFC 1952) for answers, streams and requests: who wants it, and how its bytes are made and
 * read.
 *
 * A stream's frames, and the pieces of an answer, are deflated (RFC 1951) each on its own with a
 * full flush: such a piece fits behind any other, so that one serves every stream, and a loop has
 * one compressor. */
#ifndef RUNTREE_SERVER_GZIP_H
#define RUNTREE_SERVER_GZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/buffer.h"

/* Whether a client that sent this Accept-Encoding (NULL: none) takes gzip (RFC 9110, 12.5.3). */
bool gzip_is_accepted(const char *accept_encoding);

/* Reads a gzip file, of any number of members, as it comes. NULL when out of memory. */
struct gunzip;
struct gunzip *gunzip_new(void);
void gunzip_free(struct gunzip *gunzip);

/* Unpacks into `out`, which has *room bytes, until that is full or `bytes` are used up. 0, with
 * *taken of `bytes` used and *room of `out` filled; -EBADMSG if it is no gzip; -ENOMEM. */
int gunzip_some(struct gunzip *gunzip, const char *bytes, size_t length, size_t *taken, char *out,
                size_t *room);

/* Whether what came so far is a whole file. */
bool gunzip_is_complete(const struct gunzip *gunzip);

/* Makes pieces, one after the other, with one compressor. NULL when out of memory; to free NULL
 * does nothing. */
struct gzip_packer;
struct gzip_packer *gzip_packer_new(void);
void gzip_packer_free(struct gzip_packer *packer);

/* What a stream must remember of what it sent, for its trailer. All zero at the start. */
struct gzip_sum {
    uint32_t crc;
    uint32_t length;
};

/* Some bytes, deflated, and what they add to a stream's sum. */
struct gzip_piece {
    size_t length;
    struct gzip_sum sum;
    uint32_t combine; /* of zlib's crc32_combine_op */
    char bytes[];
};

/* To be released with free; NULL when out of memory. */
struct gzip_piece *gzip_pack(struct gzip_packer *packer, const char *bytes, size_t length);

void gzip_sum_add(struct gzip_sum *sum, const struct gzip_piece *piece);

/* What stands before the first piece of a stream, and behind its last. */
void gzip_append_header(struct buffer *out);
void gzip_append_trailer(struct buffer *out, const struct gzip_sum *sum);

#endif
