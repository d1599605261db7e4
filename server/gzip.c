#include "server/gzip.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <zlib.h>

enum {
    LEVEL = 1,             /* trees and lists repeat themselves so much that more hardly gains */
    RAW_WINDOW_BITS = -15, /* deflate without a header */
    FILE_WINDOW_BITS = 31, /* gzip */
    MEMORY_LEVEL = 8,
    FLUSH_BYTES = 16, /* more than deflateBound allows for, for the end of a full flush */
};

/* -------- who wants it -------- */

static bool is_coding(const char *text, size_t length, const char *name)
{
    return strlen(name) == length && strncasecmp(text, name, length) == 0;
}

/* The weight behind a coding: false for "q=0", "q=0.0" … */
static bool is_wanted(const char *parameters, size_t length)
{
    const char *end = parameters + length;
    const char *at = memchr(parameters, '=', length);

    if (at == NULL)
        return true;
    for (at++; at < end; at++)
        if (*at >= '1' && *at <= '9')
            return true;
    return false;
}

bool gzip_is_accepted(const char *accept_encoding)
{
    bool accepts_any = false;

    while (accept_encoding != NULL && *accept_encoding != '\0') {
        size_t item = strcspn(accept_encoding, ",");
        size_t blanks = strspn(accept_encoding, " \t");
        size_t name;

        if (blanks > item)
            blanks = item;
        name = strcspn(accept_encoding + blanks, " \t;,");
        if (is_coding(accept_encoding + blanks, name, "gzip") ||
            is_coding(accept_encoding + blanks, name, "x-gzip"))
            return is_wanted(accept_encoding + blanks + name, item - blanks - name);
        if (is_coding(accept_encoding + blanks, name, "*"))
            accepts_any = is_wanted(accept_encoding + blanks + name, item - blanks - name);
        accept_encoding += item + (accept_encoding[item] == ',');
    }
    return accepts_any;
}

/* -------- pieces -------- */

static Bytef *bytes_in(const char *bytes)
{
    /* zlib does not write to its input, but does not say so. */
    union {
        const char *in;
        Bytef *out;
    } pointer = {.in = bytes};

    return pointer.out;
}

/* Deflates all of `bytes` into `out`, which has the room; its length, or 0. */
static size_t deflate_all(z_stream *deflater, const char *bytes, size_t length, char *out,
                          size_t room)
{
    deflater->next_in = bytes_in(bytes);
    deflater->avail_in = (uInt)length;
    deflater->next_out = (Bytef *)out;
    deflater->avail_out = (uInt)room;
    if (deflate(deflater, Z_FULL_FLUSH) == Z_STREAM_ERROR || deflater->avail_in > 0)
        return 0;
    return room - deflater->avail_out;
}

struct gzip_packer {
    z_stream deflater;
};

struct gzip_packer *gzip_packer_new(void)
{
    struct gzip_packer *packer = calloc(1, sizeof *packer);

    if (packer == NULL)
        return NULL;
    if (deflateInit2(&packer->deflater, LEVEL, Z_DEFLATED, RAW_WINDOW_BITS, MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        free(packer);
        return NULL;
    }
    return packer;
}

void gzip_packer_free(struct gzip_packer *packer)
{
    if (packer == NULL)
        return;
    deflateEnd(&packer->deflater);
    free(packer);
}

struct gzip_piece *gzip_pack(struct gzip_packer *packer, const char *bytes, size_t length)
{
    struct gzip_piece *piece, *fitting;
    size_t room;

    deflateReset(&packer->deflater);
    room = deflateBound(&packer->deflater, (uLong)length) + FLUSH_BYTES;
    piece = malloc(sizeof *piece + room);
    if (piece == NULL)
        return NULL;
    piece->length = deflate_all(&packer->deflater, bytes, length, piece->bytes, room);
    piece->sum.crc = (uint32_t)crc32(0, bytes_in(bytes), (uInt)length);
    piece->sum.length = (uint32_t)length;
    piece->combine = (uint32_t)crc32_combine_gen((z_off_t)length);
    fitting = realloc(piece, sizeof *piece + piece->length);
    /* cppcheck-suppress memleak ; whichever it is, the caller has it */
    return fitting != NULL ? fitting : piece;
}

void gzip_sum_add(struct gzip_sum *sum, const struct gzip_piece *piece)
{
    sum->crc = (uint32_t)crc32_combine_op(sum->crc, piece->sum.crc, piece->combine);
    sum->length += piece->sum.length; /* modulo 2^32, as RFC 1952 has it */
}

void gzip_append_header(struct buffer *out)
{
    static const char header[] = {'\x1f', '\x8b', 8, 0, 0, 0, 0, 0, 0, 3};

    buffer_append(out, header, sizeof header);
}

static void append_little_endian(struct buffer *out, uint32_t number)
{
    const char bytes[] = {(char)number, (char)(number >> 8), (char)(number >> 16),
                          (char)(number >> 24)};

    buffer_append(out, bytes, sizeof bytes);
}

void gzip_append_trailer(struct buffer *out, const struct gzip_sum *sum)
{
    static const char last_block[] = {3, 0}; /* empty */

    buffer_append(out, last_block, sizeof last_block);
    append_little_endian(out, sum->crc);
    append_little_endian(out, sum->length);
}

/* -------- files that are read -------- */

struct gunzip {
    z_stream inflater;
    bool is_member_complete;
};

struct gunzip *gunzip_new(void)
{
    struct gunzip *gunzip = calloc(1, sizeof *gunzip);

    if (gunzip == NULL)
        return NULL;
    if (inflateInit2(&gunzip->inflater, FILE_WINDOW_BITS) != Z_OK) {
        free(gunzip);
        return NULL;
    }
    return gunzip;
}

void gunzip_free(struct gunzip *gunzip)
{
    if (gunzip == NULL)
        return;
    inflateEnd(&gunzip->inflater);
    free(gunzip);
}

int gunzip_some(struct gunzip *gunzip, const char *bytes, size_t length, size_t *taken, char *out,
                size_t *room)
{
    z_stream *inflater = &gunzip->inflater;
    int status;

    if (gunzip->is_member_complete && length > 0) {
        inflateReset(inflater);
        gunzip->is_member_complete = false;
    }
    inflater->next_in = bytes_in(bytes);
    inflater->avail_in = (uInt)length;
    inflater->next_out = (Bytef *)out;
    inflater->avail_out = (uInt)*room;
    status = inflate(inflater, Z_NO_FLUSH);
    *taken = length - inflater->avail_in;
    *room -= inflater->avail_out;
    gunzip->is_member_complete = status == Z_STREAM_END;
    if (status == Z_MEM_ERROR)
        return -ENOMEM;
    return status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR ? 0 : -EBADMSG;
}

bool gunzip_is_complete(const struct gunzip *gunzip)
{
    return gunzip->is_member_complete;
}
