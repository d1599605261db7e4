/* OpenLineage's run events, one or several. */
#include "adapter_input.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_adapter("openlineage", data, size);
    return 0;
}
