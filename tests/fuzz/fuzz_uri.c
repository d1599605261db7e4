/* The targets of requests: paths and queries. */
#include "fuzz.h"
#include "server/uri.h"

/* No decoded part is longer than what it was decoded from. */
static void check_part(const char *part, size_t length_max)
{
    MUST(part != NULL);
    MUST(strlen(part) <= length_max);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct uri uri;
    char *target = copy_text(data, size);
    size_t length = strlen(target);

    if (uri_parse(&uri, target) == 0) {
        MUST(uri.segment_count <= URI_SEGMENTS_MAX && uri.parameter_count <= URI_PARAMETERS_MAX);
        for (size_t i = 0; i < uri.segment_count; i++)
            check_part(uri.segments[i], length);
        for (size_t i = 0; i < uri.parameter_count; i++) {
            check_part(uri.parameters[i].name, length);
            check_part(uri.parameters[i].value, length);
        }
        uri_clear(&uri);
    }
    MUST(uri.block == NULL && uri.segment_count == 0 && uri.parameter_count == 0);
    free(target);
    return 0;
}
