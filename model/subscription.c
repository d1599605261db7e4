#include "model/subscription.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/buffer.h"
#include "model/text.h"

struct reader {
    struct subscription *to;
    bool has_name, has_error, has_limit;
    char *why;
};

static int refuse(const struct reader *reader, const char *what)
{
    snprintf(reader->why, SUBSCRIPTION_WHY_SIZE, "%s", what);
    return -EINVAL;
}

static int take_part(const struct reader *reader, enum key_part key_part, char *part,
                     const char **to)
{
    static const char *const names[] = {
        [KEY_PROJECT] = "project", [KEY_DOMAIN] = "domain", [KEY_NAME] = "run"};
    bool may_be_any = reader->to->kind == SUBSCRIPTION_LIST;

    *to = part;
    if (may_be_any && strcmp(part, "*") == 0) {
        *part = '\0';
        return 0;
    }
    if (percent_decode(part, false) == 0 && key_part_is_valid(key_part, part, strlen(part)))
        return 0;
    snprintf(reader->why, SUBSCRIPTION_WHY_SIZE, "%s must be %s", names[key_part],
             key_part_rule(key_part));
    return -EINVAL;
}

/* The parts of the path, of which there must be as many as the kind has. */
static int take_key(const struct reader *reader, char *path)
{
    struct run_key *key = &reader->to->key;
    char *parts[3] = {NULL}, *rest = path;
    size_t count = 0, wanted = reader->to->kind == SUBSCRIPTION_RUN ? 3 : 2;

    while (count < wanted && rest != NULL)
        parts[count++] = strsep(&rest, "/");
    if (count < wanted || rest != NULL)
        return refuse(reader, wanted == 3 ? "must be project/domain/run, each part percent-encoded"
                                          : "must be project/domain, each part percent-encoded or "
                                            "\"*\" for any");
    if (take_part(reader, KEY_PROJECT, parts[0], &key->project) < 0 ||
        take_part(reader, KEY_DOMAIN, parts[1], &key->domain) < 0)
        return -EINVAL;
    key->run_name = NULL;
    return wanted == 2 ? 0 : take_part(reader, KEY_NAME, parts[2], &key->run_name);
}

static int take_limit(struct reader *reader, const char *value)
{
    int32_t limit = 0;

    for (; *value >= '0' && *value <= '9' && limit <= SUBSCRIPTION_LIMIT_MAX; value++)
        limit = limit * 10 + (*value - '0');
    if (*value != '\0' || limit < 1 || limit > SUBSCRIPTION_LIMIT_MAX)
        return refuse(reader, "limit must be a whole number from 1 to 1000");
    reader->to->limit = limit;
    return 0;
}

/* Whether it is the option of that name, and there for the first time. */
static bool is_first(const char *option, const char *name, bool *seen)
{
    bool is_it = strcmp(option, name) == 0 && !*seen;

    *seen |= is_it;
    return is_it;
}

static int take_option(struct reader *reader, char *option)
{
    struct filter *filter = &reader->to->filter;
    bool is_list = reader->to->kind == SUBSCRIPTION_LIST;
    char *value = option;

    strsep(&value, "=");
    if (value == NULL || percent_decode(value, false) < 0)
        return refuse(reader, "has an option that is not name=value, percent-encoded");
    if (strcmp(option, "phase") == 0)
        return filter_add_phases(filter, value) == 0
                   ? 0
                   : refuse(reader, "phase must be phases by name (such as RUNNING) or number, "
                                    "with commas between");
    if (is_first(option, "name", &reader->has_name))
        return filter_set_name(filter, value) == 0
                   ? 0
                   : refuse(reader, "name must be at most 255 bytes");
    if (!is_list && is_first(option, "error", &reader->has_error))
        return filter_set_error(filter, value) == 0
                   ? 0
                   : refuse(reader, "error must be at most 255 bytes");
    if (is_list && strcmp(option, "label") == 0)
        return list_filter_add_label(reader->to->labels, value) == 0
                   ? 0
                   : refuse(reader, "label must be name:value, at most 1000 bytes together");
    if (is_list && is_first(option, "limit", &reader->has_limit))
        return take_limit(reader, value);
    if (is_list && strcmp(option, "label") == 0)
        return list_filter_add_label(reader->to->labels, value) == 0
                   ? 0
                   : refuse(reader, "label must be name:value, of at most 1000 bytes together");
    return refuse(reader, is_list ? "takes phase, label, and once each name and limit, as options"
                                  : "takes phase, and once each name and error, as options");
}

int subscription_parse(struct subscription *subscription, enum subscription_kind kind,
                       const char *text, char why[static SUBSCRIPTION_WHY_SIZE])
{
    struct reader reader = {.to = subscription, .why = why};
    char *rest, *option;
    int status;

    *subscription = (struct subscription){
        .kind = kind, .text = text, .limit = SUBSCRIPTION_LIMIT_DEFAULT, .block = strdup(text)};
    rest = subscription->block;
    if (rest == NULL)
        return -ENOMEM;
    status = take_key(&reader, strsep(&rest, ";"));
    while (status == 0 && (option = strsep(&rest, ";")) != NULL)
        status = take_option(&reader, option);
    if (status < 0)
        subscription_clear(subscription);
    return status;
}

void subscription_clear(struct subscription *subscription)
{
    free(subscription->block);
    subscription->block = NULL;
}

bool subscription_equal(const struct subscription *a, const struct subscription *b)
{
    return a->kind == b->kind && strcmp(a->key.project, b->key.project) == 0 &&
           strcmp(a->key.domain, b->key.domain) == 0 &&
           (a->kind == SUBSCRIPTION_LIST || strcmp(a->key.run_name, b->key.run_name) == 0) &&
           memcmp(a->labels, b->labels, sizeof a->labels) == 0 &&
           filter_equal(&a->filter, &b->filter) &&
           memcmp(a->labels, b->labels, LIST_LABELS_SIZE) == 0;
}

static void add_member(struct buffer *label, const char *name, const char *text)
{
    if (text == NULL)
        return;
    buffer_string_member(label, name, text);
    buffer_text(label, ",");
}

char *subscription_label(const char *text, const char *cell)
{
    struct buffer label = {0};

    add_member(&label, "\"subscription\":", text);
    add_member(&label, "\"cell\":", cell);
    buffer_append(&label, "", 1);
    if (label.failed)
        buffer_free(&label);
    return label.bytes;
}
