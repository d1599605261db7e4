#include "model/list_filter.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "model/text.h"

int list_filter_add_label(char labels[static LIST_LABELS_SIZE], const char *label)
{
    const char *colon = strchr(label, ':'), *end = labels;
    size_t size = strlen(label) + 1;

    if (colon == NULL || colon == label)
        return -EINVAL;
    while (*end != '\0')
        end = list_filter_next_label(end);
    if (size >= LIST_LABELS_SIZE - (size_t)(end - labels))
        return -E2BIG;
    memcpy(labels + (end - labels), label, size);
    return 0;
}

const char *list_filter_next_label(const char *label)
{
    return label + strlen(label) + 1;
}

bool list_filter_equal(const struct list_filter *a, const struct list_filter *b)
{
    return strcmp(a->project, b->project) == 0 && strcmp(a->domain, b->domain) == 0 &&
           filter_equal(&a->filter, &b->filter) &&
           memcmp(a->labels, b->labels, sizeof a->labels) == 0 &&
           access_reads_same(a->access, b->access);
}

/* With its NUL, so that the parts stay apart. */
static uint64_t hash_text(uint64_t hash, const char *text)
{
    return hash_bytes(hash, text, strlen(text) + 1);
}

static uint64_t hash_readable(uint64_t hash, const struct access *access)
{
    for (size_t i = 0; i < access->count; i++) {
        if ((access->grants[i].rights & ACCESS_READ) == 0)
            continue;
        hash = hash_text(hash, access->grants[i].project);
        hash = hash_text(hash, access->grants[i].domain);
    }
    return hash;
}

void list_filter_hash(const struct list_filter *filter, char out[static LIST_FILTER_HASH_SIZE])
{
    char inner[FILTER_HASH_SIZE + 1];
    uint64_t hash = HASH_START;

    if (filter->project[0] == '\0' && filter->domain[0] == '\0' && filter->labels[0] == '\0' &&
        filter_is_empty(&filter->filter) && access_allows_all(filter->access, ACCESS_READ)) {
        snprintf(out, LIST_FILTER_HASH_SIZE, "0");
        return;
    }
    filter_hash(&filter->filter, inner);
    hash = hash_text(hash, filter->project);
    hash = hash_text(hash, filter->domain);
    hash = hash_text(hash, inner);
    for (const char *label = filter->labels; *label != '\0'; label = list_filter_next_label(label))
        hash = hash_text(hash, label);
    if (!access_allows_all(filter->access, ACCESS_READ))
        hash = hash_readable(hash, filter->access);
    snprintf(out, LIST_FILTER_HASH_SIZE, "%016" PRIx64, hash);
}

/* Whether its name or its title has the substring. */
static bool is_called(const struct filter *filter, const struct run_key *run,
                      struct json_text record)
{
    struct filter_subject subject = {.names = {run->run_name}};
    struct filter name = *filter;
    const char *at = record.bytes, *end = at + record.length;
    struct json_member member;

    name.phases = 0;
    while (json_scan_member(&at, end, &member))
        if (json_name_is(member.name, "title"))
            subject.title = member.value;
    return filter_matches(&name, &subject);
}

static bool is_label(const char *label, const char *name, const json_t *value)
{
    size_t length = strlen(name);

    return strncmp(label, name, length) == 0 && label[length] == ':' &&
           strcmp(label + length + 1, json_string_value(value)) == 0;
}

static bool has_label(json_t *labels, const char *label)
{
    const char *name;
    json_t *value;

    json_object_foreach (labels, name, value)
        if (json_is_string(value) && is_label(label, name, value))
            return true;
    return false;
}

static bool has_labels(const char *label, struct json_text record)
{
    const char *at = record.bytes, *end = at + record.length;
    struct json_member member;
    json_t *labels = NULL;

    while (labels == NULL && json_scan_member(&at, end, &member))
        if (json_name_is(member.name, "labels"))
            labels = json_loadb(member.value.bytes, member.value.length, 0, NULL);
    while (*label != '\0' && has_label(labels, label))
        label = list_filter_next_label(label);
    json_decref(labels);
    return *label == '\0';
}

bool list_filter_covers(const struct list_filter *filter, const struct run_key *run,
                        struct json_text record)
{
    return access_allows(filter->access, ACCESS_READ, run->project, run->domain) &&
           (filter->project[0] == '\0' || strcmp(filter->project, run->project) == 0) &&
           (filter->domain[0] == '\0' || strcmp(filter->domain, run->domain) == 0) &&
           (filter->labels[0] == '\0' || has_labels(filter->labels, record)) &&
           (filter->filter.name[0] == '\0' || is_called(&filter->filter, run, record));
}
