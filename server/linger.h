/* Sockets that are not answered any more, but whose last answer must be heard: closed at once, what
 * their clients still send would have the kernel reset them, and throw the answer away (RFC 9112,
 * section 9.6). What comes is read and dropped until the client closes, within limits. */
#ifndef RUNTREE_SERVER_LINGER_H
#define RUNTREE_SERVER_LINGER_H

#include <uv.h>

/* A socket that lingers; a list of them is a pointer, NULL while it is empty. */
struct lingering;

/* Takes `fd` over, to which everything was sent. */
void linger_start(struct lingering **list, uv_loop_t *loop, int fd);

/* Now and then: ends those whose time is over. */
void linger_sweep(struct lingering **list);

/* Ends all. */
void linger_end_all(struct lingering **list);

#endif
