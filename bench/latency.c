#include "bench/latency.h"

#include <stdio.h>
#include <time.h>

int64_t monotonic_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

void latencies_add(struct latencies *latencies, int64_t us)
{
    int64_t bucket = us / LATENCY_BUCKET_US;

    latencies->buckets[bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1]++;
    latencies->count++;
    if (us > latencies->max_us)
        latencies->max_us = us;
}

int64_t latencies_quantile_us(const struct latencies *latencies, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)latencies->count), seen = 0;

    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        seen += latencies->buckets[i];
        if (seen > 0 && seen >= wanted)
            return ((int64_t)i + 1) * LATENCY_BUCKET_US;
    }
    return 0;
}

void latencies_print(const struct latencies *latencies, const char *name)
{
    printf("\"%s_us\": {\"count\": %llu, \"p50\": %lld, \"p90\": %lld, \"p99\": %lld,"
           " \"max\": %lld}",
           name, (unsigned long long)latencies->count,
           (long long)latencies_quantile_us(latencies, 0.5),
           (long long)latencies_quantile_us(latencies, 0.9),
           (long long)latencies_quantile_us(latencies, 0.99), (long long)latencies->max_us);
}
