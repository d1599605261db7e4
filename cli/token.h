/* The token that a client of the service shows. */
#ifndef RUNTREE_CLI_TOKEN_H
#define RUNTREE_CLI_TOKEN_H

#include <stddef.h>

/* The content of the file at `path`, without space at its end; where `path` is NULL,
 * $RUNTREE_TOKEN. malloc'd; NULL if there is none, with the reason in `why` if that is a file that
 * cannot be read. */
char *token_read(const char *path, char *why, size_t why_size);

#endif
