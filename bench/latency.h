/* Latencies, gathered in buckets of 10 µs, and the clock that they are measured with. */
#ifndef RUNTREE_BENCH_LATENCY_H
#define RUNTREE_BENCH_LATENCY_H

#include <stddef.h>
#include <stdint.h>

enum { LATENCY_BUCKET_US = 10, LATENCY_BUCKETS = 200000 }; /* up to 2 s; more counts as 2 s */

struct latencies {
    uint64_t count;
    int64_t max_us;
    uint32_t buckets[LATENCY_BUCKETS];
};

int64_t monotonic_us(void);

void latencies_add(struct latencies *latencies, int64_t us);

/* The upper end of the bucket that `share` (0 to 1) of them do not exceed; 0 if there are none. */
int64_t latencies_quantile_us(const struct latencies *latencies, double share);

/* Prints `"NAME_us": {"count": …, "p50": …, "p90": …, "p99": …, "max": …}` to standard output. */
void latencies_print(const struct latencies *latencies, const char *name);

#endif
