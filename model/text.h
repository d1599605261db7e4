/* What texts are as bytes: UTF-8, and hashes of them. */
#ifndef RUNTREE_MODEL_TEXT_H
#define RUNTREE_MODEL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* FNV-1a, 64 bits, the same on every machine: from HASH_START on, each call takes further bytes in.
 * A text's NUL, if it is counted, keeps it apart from the next. It protects nothing. */
#define HASH_START UINT64_C(0xcbf29ce484222325)
uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t length);

/* Length in bytes of the valid UTF-8 sequence that `text`, which is not empty, starts with; 0 if
 * there is none (RFC 3629, section 4). A NUL ends the text, so it never counts as a continuation.
 */
size_t utf8_sequence_length(const char *text);

bool utf8_is_valid(const char *text);

/* The greatest length up to `length`, which is inside of the valid UTF-8 `text`, that cuts no
 * character. */
size_t utf8_cut(const char *text, size_t length);

/* The bytes that base64 without its padding stands for (RFC 4648, section 4); `last` has the
 * characters for 62 and 63: "+/", or "-_" of base64url. Their number, at most `length` * 3 / 4, or
 * -1 if a character is none of base64's. *is_exact: the length is one that bytes can have, and the
 * bits left over are 0, so that there is no other text for them. */
ptrdiff_t base64_decode(const char *text, size_t length, const char last[static 2],
                        unsigned char *out, bool *is_exact);

/* Replaces the escapes of `text` by what they stand for (RFC 3986, section 2.1), in place; a "+" by
 * a space where `plus_is_space`, as forms send it. 0, or -EINVAL for a bad escape, an encoded NUL
 * or what is not UTF-8. */
int percent_decode(char *text, bool plus_is_space);

#endif
