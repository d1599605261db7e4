/* CloudEvents, structured, binary and batched. */
#include "adapter_input.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_adapter("cloudevents", data, size);
    return 0;
}
