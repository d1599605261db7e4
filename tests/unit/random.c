/* Random numbers for property tests. */
#include "random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct random random_start(const char *test)
{
    const char *given = getenv("RUNTREE_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed =
        given ? strtoull(given, NULL, 10) : (uint64_t)now.tv_sec * 1000003 + (uint64_t)now.tv_nsec;
    printf("%s: RUNTREE_SEED=%" PRIu64 "\n", test, seed);
    fflush(stdout);
    return (struct random){.state = seed};
}

/* splitmix64 (Steele, Lea and Flood, 2014). */
static uint64_t next(struct random *random)
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

size_t random_below(struct random *random, size_t below)
{
    return (size_t)(next(random) % below);
}

bool random_once_in(struct random *random, size_t times)
{
    return random_below(random, times) == 0;
}

void random_shuffle(struct random *random, size_t *numbers, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = random_below(random, i);
        size_t kept = numbers[i - 1];
        numbers[i - 1] = numbers[j];
        numbers[j] = kept;
    }
}
