#include "byte_random.h"

#include <stdlib.h>

/* A struct random has room for a place in them only. libFuzzer runs one input at a time. */
static const uint8_t *input;
static size_t input_size;

struct random random_from_bytes(const uint8_t *bytes, size_t size)
{
    input = bytes;
    input_size = size;
    return (struct random){.state = 0};
}

size_t random_bytes_left(const struct random *random)
{
    return random->state < input_size ? input_size - (size_t)random->state : 0;
}

/* The property tests' own start is not part of a target. */
struct random random_start(const char *test)
{
    (void)test;
    abort();
}

static uint64_t next_byte(struct random *random)
{
    uint64_t at = random->state++;

    if (at < input_size)
        return input[at];
    return (at * UINT64_C(0x9e3779b97f4a7c15)) >> 56;
}

size_t random_below(struct random *random, size_t below)
{
    uint64_t number = next_byte(random);

    if (below > 256)
        number = number << 8 | next_byte(random);
    return (size_t)(number % below);
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
