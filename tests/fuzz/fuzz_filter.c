/* phase=, name= and error= of lists and watches: three lines are the phases, the substring, and a
 * subject. */
#include <ctype.h>

#include <jansson.h>

#include "fuzz.h"
#include "model/filter.h"

/* Whether `text` contains `part`, but for the case of A-Z: the plainest way. */
static bool contains(const char *text, const char *part)
{
    size_t length = strlen(part);

    for (const char *at = text; strlen(at) >= length; at++) {
        size_t same = 0;

        while (same < length && (isascii(at[same]) ? tolower(at[same]) : at[same]) ==
                                    (isascii(part[same]) ? tolower(part[same]) : part[same]))
            same++;
        if (same == length)
            return true;
        if (*at == '\0')
            break;
    }
    return false;
}

static void check_matches(const struct filter *filter, const char *name, const char *subject)
{
    for (int phase = PHASE_QUEUED; phase < PHASE_SLOTS; phase++) {
        bool is_wanted = filter->phases == 0 || (filter->phases & 1U << phase) != 0;

        MUST(filter_matches(filter, &(struct filter_subject){.phase = (enum phase)phase,
                                                             .names = {NULL, subject}}) ==
             (is_wanted && contains(subject, name)));
    }
}

/* The substring in the first line of an error, which here is the line of the subject up to a
 * carriage return. */
static void check_error(const char *error, const char *subject)
{
    struct filter filter = {0};
    json_t *info = json_pack("{s:s}", "message", subject);
    char *text = info == NULL ? NULL : json_dumps(info, JSON_COMPACT);
    char *line = strdup(subject + strspn(subject, "\r"));

    line[strcspn(line, "\r")] = '\0';
    if (text != NULL && filter_set_error(&filter, error) == 0)
        MUST(filter_matches(&filter, &(struct filter_subject){.error_info = text}) ==
             contains(line, error));
    json_decref(info);
    free(text);
    free(line);
}

static void check_filter(const char *phases, const char *name, const char *subject)
{
    struct filter filter = {0}, other = {0};
    char hash[FILTER_HASH_SIZE + 1];

    if (filter_add_phases(&filter, phases) < 0)
        filter = (struct filter){0};
    if (filter_set_name(&filter, name) < 0) {
        MUST(strlen(name) > FILTER_TEXT_BYTES_MAX);
        return;
    }
    filter_hash(&filter, hash);
    MUST((strcmp(hash, "0") == 0) == filter_is_empty(&filter));
    MUST(filter_equal(&filter, &other) == filter_is_empty(&filter));
    check_matches(&filter, name, subject);
    check_error(name, subject);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = copy_text(data, size), *rest = text;
    const char *phases = strsep(&rest, "\n");
    const char *name = rest != NULL ? strsep(&rest, "\n") : "";
    const char *subject = rest != NULL ? strsep(&rest, "\n") : "";
    enum phase phase = phase_parse(phases, strlen(phases));

    if (phase != PHASE_NONE)
        MUST(phase_from_index(phase) == phase && phase_name(phase) != NULL);
    check_filter(phases, name, subject);
    free(text);
    return 0;
}
