/* Snakemake's messages to a panoptes server. */
#include "adapter_input.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_adapter("snakemake", data, size);
    return 0;
}
