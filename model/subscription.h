/* What a stream of many follows: the values of its `run` and `list`.
 *
 *   project/domain/run;phase=FAILED,RUNNING;name=train      a run's tree
 *   project/domain;phase=RUNNING;label=team:ml;limit=20     a list of runs; "*" for any of them
 *
 * Each part, and each value behind a "=", is percent-encoded in the value itself (RFC 3986, 2.1),
 * for what would be taken for a separator: "owner%2Frepo/ci/build%3B1". */
#ifndef RUNTREE_MODEL_SUBSCRIPTION_H
#define RUNTREE_MODEL_SUBSCRIPTION_H

#include <stdint.h>

#include "model/filter.h"
#include "model/list_filter.h"
#include "model/run_key.h"

enum subscription_kind { SUBSCRIPTION_RUN, SUBSCRIPTION_LIST };

enum { SUBSCRIPTION_LIMIT_DEFAULT = 100, SUBSCRIPTION_LIMIT_MAX = 1000 };
enum { SUBSCRIPTION_WHY_SIZE = 200 };

struct subscription {
    enum subscription_kind kind;
    const char *text;   /* as it was read; borrowed */
    char *block;        /* has the strings of `key` */
    struct run_key key; /* of a list without run_name, and "" for any project or domain */
    struct filter filter;
    char labels[LIST_LABELS_SIZE]; /* of a list (struct list_filter) */
    int32_t limit;                 /* of a list: the runs of its snapshot */
};

/* Reads `text`. 0 (release with subscription_clear); -EINVAL with the reason in `why`, which begins
 * with what is wrong; -ENOMEM. */
int subscription_parse(struct subscription *subscription, enum subscription_kind kind,
                       const char *text, char why[static SUBSCRIPTION_WHY_SIZE]);

void subscription_clear(struct subscription *subscription);

/* Whether both mean the same, however they are written. */
bool subscription_equal(const struct subscription *a, const struct subscription *b);

/* The first members of the data of its records, each with a comma behind it:
 * "subscription":"…","cell":"2", ; NULL: without that one. To be freed, NULL when out of memory. */
char *subscription_label(const char *text, const char *cell);

#endif
