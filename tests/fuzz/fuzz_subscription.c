/* The values of `run` and `list` of a stream of many. */
#include "fuzz.h"
#include "model/subscription.h"

static void check(enum subscription_kind kind, const char *text)
{
    struct subscription parsed;
    char why[SUBSCRIPTION_WHY_SIZE] = "";
    char *label;

    if (subscription_parse(&parsed, kind, text, why) < 0) {
        MUST(why[0] != '\0');
        return;
    }
    MUST((parsed.key.run_name == NULL) == (kind == SUBSCRIPTION_LIST));
    MUST(parsed.limit >= 1 && parsed.limit <= SUBSCRIPTION_LIMIT_MAX);
    MUST(subscription_equal(&parsed, &parsed));
    label = subscription_label(text);
    MUST(label != NULL && strchr(label, '\n') == NULL);
    free(label);
    subscription_clear(&parsed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = copy_text(data, size);

    check(SUBSCRIPTION_RUN, text);
    check(SUBSCRIPTION_LIST, text);
    free(text);
    return 0;
}
