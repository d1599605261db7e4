/* The values of `run` and `list` of a stream of many. */
#include "fuzz.h"
#include "model/subscription.h"
#include "model/watch_id.h"

/* What an id says of it is found again. */
static void check_id(enum subscription_kind kind, const char *text)
{
    const struct watch_position written = {.key = watch_key(text, ""),
                                           .state = watch_state(text, 1),
                                           .number = (int64_t)strlen(text),
                                           .given_s = kind == SUBSCRIPTION_LIST};
    const struct watch_position *found;
    struct buffer out = {0};
    struct watch_id id;

    watch_id_begin(&out);
    watch_id_add(&out, &written);
    buffer_append(&out, "", 1);
    MUST(!out.failed && watch_id_parse(out.bytes, &id) == 0);
    found = watch_id_find(&id, written.key);
    MUST(found != NULL && found->state == written.state && found->number == written.number);
    MUST(watch_id_find(&id, written.key + 1) == NULL);
    buffer_free(&out);
}

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
    check_id(kind, text);
    label = subscription_label(text, NULL);
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
