/* Ray's event export. */
#include "adapter_input.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_adapter("ray", data, size);
    return 0;
}
