/* RFC 3339 times. One that is read and written again is the same millisecond. */
#include "fuzz.h"
#include "model/timestamp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size > 0 ? size : 1), again[TIMESTAMP_SIZE];
    int64_t time_us, again_us;

    MUST(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    if (timestamp_parse(text, size, &time_us) == 0) {
        timestamp_format(time_us, again);
        MUST(timestamp_parse(again, strlen(again), &again_us) == 0);
        MUST(again_us <= time_us && time_us - again_us < 1000);
        MUST(strlen(again) == TIMESTAMP_SIZE - 1);
    }
    free(text);
    return 0;
}
