/* Posts events to runtree over a few keep-alive connections, without blocking. */
#ifndef RUNTREE_BENCH_POSTER_H
#define RUNTREE_BENCH_POSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { POSTER_CONNECTIONS = 32, POST_BYTES_MAX = 8192 };

struct poster_connection {
    int fd;
    bool is_waiting; /* for the answer */
};

struct poster {
    const char *run;
    struct poster_connection connections[POSTER_CONNECTIONS];
    uint64_t answered, refused;
};

/* Connects to loopback; 0 or -1 with errno. */
int poster_open(struct poster *poster, int port, const char *run);

/* Whether a connection is free. */
bool poster_is_free(const struct poster *poster);

/* Posts `count` events of the actions "e<first>", "e<first + 1>" … in phase RUNNING with `version`.
 * A connection must be free. */
void poster_send(struct poster *poster, uint64_t first, size_t count, uint64_t version);

/* Connection `index` is readable. */
void poster_receive(struct poster *poster, size_t index);

#endif
