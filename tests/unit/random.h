/* Random numbers for property tests, from a seed that a failure can be replayed with. */
#ifndef RUNTREE_TESTS_UNIT_RANDOM_H
#define RUNTREE_TESTS_UNIT_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct random {
    uint64_t state;
};

/* Seeds from the environment variable RUNTREE_SEED, or from the clock, and prints the seed. */
struct random random_start(const char *test);

/* A number from 0 to `below` - 1. */
size_t random_below(struct random *random, size_t below);

/* True once in `times`. */
bool random_once_in(struct random *random, size_t times);

/* Puts an array of `count` numbers into a random order. */
void random_shuffle(struct random *random, size_t *numbers, size_t count);

#endif
