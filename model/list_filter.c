#include "model/list_filter.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/text.h"

bool list_filter_equal(const struct list_filter *a, const struct list_filter *b)
{
    return strcmp(a->project, b->project) == 0 && strcmp(a->domain, b->domain) == 0 &&
           filter_equal(&a->filter, &b->filter) && access_reads_same(a->access, b->access);
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

    if (filter->project[0] == '\0' && filter->domain[0] == '\0' &&
        filter_is_empty(&filter->filter) && access_allows_all(filter->access, ACCESS_READ)) {
        snprintf(out, LIST_FILTER_HASH_SIZE, "0");
        return;
    }
    filter_hash(&filter->filter, inner);
    hash = hash_text(hash, filter->project);
    hash = hash_text(hash, filter->domain);
    hash = hash_text(hash, inner);
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

bool list_filter_covers(const struct list_filter *filter, const struct run_key *run,
                        struct json_text record)
{
    return access_allows(filter->access, ACCESS_READ, run->project, run->domain) &&
           (filter->project[0] == '\0' || strcmp(filter->project, run->project) == 0) &&
           (filter->domain[0] == '\0' || strcmp(filter->domain, run->domain) == 0) &&
           (filter->filter.name[0] == '\0' || is_called(&filter->filter, run, record));
}
