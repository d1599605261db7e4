/* How much a client may ask for: a token bucket for each client and kind of thing.
 *
 * A bucket holds what RATE_WINDOW_S seconds allow and fills up evenly. Each event loop has its own
 * buckets, so that a client with connections to several loops (or replicas) gets as many times the
 * rate. The table has a fixed size: where it is full, the client that was away the longest is
 * forgotten, which gives it a full bucket. */
#ifndef RUNTREE_SERVER_RATE_LIMIT_H
#define RUNTREE_SERVER_RATE_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rate_limits;

enum { RATE_WINDOW_S = 10, RATE_CLIENTS_MAX = 16384 };

enum rate_kind { RATE_REQUESTS, RATE_EVENTS, RATE_KINDS };

struct rate_limits_options {
    int64_t per_s[RATE_KINDS]; /* 0: no limit */
};

/* What a client is told: the fields of draft-ietf-httpapi-ratelimit-headers. */
struct rate_state {
    int64_t quota;     /* in RATE_WINDOW_S; 0: there is no limit, or it was not asked */
    int64_t remaining; /* of it, now */
    int64_t reset_s;   /* until all of it is there again; at least 1 while something is missing */
};

/* NULL when out of memory. */
struct rate_limits *rate_limits_new(const struct rate_limits_options *options);
void rate_limits_free(struct rate_limits *limits); /* NULL is fine */

/* Takes `count` for the client (any text). Whether it may have them; more than a full bucket holds
 * may be taken from a full one, and is then owed. *state is how things stand afterwards, and
 * *retry_s, if it may not, after how many whole seconds it may. `now_ns` never goes backwards. */
bool rate_limits_take(struct rate_limits *limits, const char *client, enum rate_kind kind,
                      int64_t count, uint64_t now_ns, struct rate_state *state, int64_t *retry_s);

/* The names of the kinds, as in the headers: "requests", "events". */
const char *rate_kind_name(enum rate_kind kind);

#endif
