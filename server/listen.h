/* The listening socket. */
#ifndef RUNTREE_SERVER_LISTEN_H
#define RUNTREE_SERVER_LISTEN_H

#include <stddef.h>

/* A non-blocking socket that listens on `address` (HOST:PORT, [IPV6]:PORT), with SO_REUSEPORT if
 * `is_shared`; or -1 with a reason in `why`. Looks the host up, so it may block: for the start
 * only. */
int listen_on(const char *address, int is_shared, char *why, size_t why_size);

/* Whether the host and port of `address` can be found at all. 0, or -1 with a reason in `why`. May
 * block, too. */
int listen_check(const char *address, char *why, size_t why_size);

/* The port that `fd` listens on (for a request of port 0). */
int listen_port(int fd);

#endif
