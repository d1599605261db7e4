#include "server/rate_limit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "model/text.h"

enum { WAYS = 4, SETS = RATE_CLIENTS_MAX / WAYS };

static const double NS_PER_S = 1e9;

struct client {
    uint64_t key; /* 0: free */
    uint64_t seen_ns;
    double level[RATE_KINDS]; /* what is left as of seen_ns; below 0: owed */
};

struct rate_limits {
    struct rate_limits_options options;
    uint64_t seed;
    struct client clients[SETS][WAYS];
};

struct rate_limits *rate_limits_new(const struct rate_limits_options *options)
{
    struct rate_limits *limits = calloc(1, sizeof *limits);

    if (limits == NULL)
        return NULL;
    limits->options = *options;
    /* Nobody can tell which clients share a set. */
    if (getrandom(&limits->seed, sizeof limits->seed, GRND_NONBLOCK) < 0)
        limits->seed = (uintptr_t)limits;
    return limits;
}

void rate_limits_free(struct rate_limits *limits)
{
    free(limits);
}

const char *rate_kind_name(enum rate_kind kind)
{
    return kind == RATE_REQUESTS ? "requests" : "events";
}

static uint64_t key_of(const struct rate_limits *limits, const char *client)
{
    uint64_t hash = hash_bytes(HASH_START ^ limits->seed, client, strlen(client)); /* then mixed */

    hash = (hash ^ hash >> 33) * UINT64_C(0xff51afd7ed558ccd);
    hash ^= hash >> 33;
    return hash == 0 ? 1 : hash;
}

static double quota_of(const struct rate_limits *limits, enum rate_kind kind)
{
    return (double)limits->options.per_s[kind] * RATE_WINDOW_S;
}

/* The client's buckets, filled up to now. */
static struct client *find_client(struct rate_limits *limits, const char *name, uint64_t now_ns)
{
    uint64_t key = key_of(limits, name);
    struct client *set = limits->clients[key % SETS], *found = &set[0];

    for (size_t way = 0; way < WAYS && found->key != key; way++)
        if (set[way].key == key || set[way].seen_ns < found->seen_ns)
            found = &set[way];
    for (int kind = 0; kind < RATE_KINDS; kind++) {
        double quota = quota_of(limits, (enum rate_kind)kind);
        double gained =
            (double)(now_ns - found->seen_ns) / NS_PER_S * (double)limits->options.per_s[kind];
        double level = found->key == key ? found->level[kind] + gained : quota;

        found->level[kind] = level < quota ? level : quota;
    }
    found->key = key;
    found->seen_ns = now_ns;
    return found;
}

static int64_t whole_seconds(double amount, double per_s)
{
    double seconds = amount / per_s;
    int64_t whole = (int64_t)seconds;

    return (double)whole < seconds ? whole + 1 : whole;
}

bool rate_limits_take(struct rate_limits *limits, const char *client, enum rate_kind kind,
                      int64_t count, uint64_t now_ns, struct rate_state *state, int64_t *retry_s)
{
    double per_s = (double)limits->options.per_s[kind], quota = quota_of(limits, kind), wanted;
    double *level;
    bool may;

    *state = (struct rate_state){0};
    *retry_s = 0;
    if (per_s == 0)
        return true;
    level = &find_client(limits, client, now_ns)->level[kind];
    wanted = (double)count < quota ? (double)count : quota;
    may = *level >= wanted;
    if (may)
        *level -= (double)count;
    else
        *retry_s = whole_seconds(wanted - *level, per_s);
    state->quota = (int64_t)quota;
    state->remaining = *level > 0 ? (int64_t)*level : 0;
    state->reset_s = whole_seconds(quota - *level, per_s);
    return may;
}
