/* The dice of the property tests (tests/unit/random.h), thrown by libFuzzer: each number is the
 * next of the input's bytes. Behind their end the numbers go on by a fixed rule, so that whoever
 * throws until something comes up gets it. */
#ifndef RUNTREE_TESTS_FUZZ_BYTE_RANDOM_H
#define RUNTREE_TESTS_FUZZ_BYTE_RANDOM_H

#include "random.h"

/* The bytes are borrowed until the next call. */
struct random random_from_bytes(const uint8_t *bytes, size_t size);

/* How many bytes are left. */
size_t random_bytes_left(const struct random *random);

#endif
