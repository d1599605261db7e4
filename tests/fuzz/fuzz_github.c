/* GitHub's webhooks. */
#include "adapter_input.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_adapter("github", data, size);
    return 0;
}
