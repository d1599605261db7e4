/* What the targets of adapters share: a request made of the input, and what must hold of the events
 * that become of it. */
#ifndef RUNTREE_TESTS_FUZZ_ADAPTER_INPUT_H
#define RUNTREE_TESTS_FUZZ_ADAPTER_INPUT_H

#include <stddef.h>
#include <stdint.h>

/* The first byte says which method, path and headers; what follows is the body. */
void check_adapter(const char *tool, const uint8_t *data, size_t size);

#endif
