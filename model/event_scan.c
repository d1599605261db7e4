#include "model/event_scan.h"

#include <string.h>

enum member {
    PROJECT,
    DOMAIN,
    RUN_NAME,
    NAME,
    ATTEMPT,
    PHASE,
    VERSION,
    PARENT,
    GROUP,
    TASK,
    UPDATED_TIME,
    REPORTED_TIME,
    CLUSTER,
    OUTPUTS,
    LOG_INFO,
    CLUSTER_EVENTS,
    MEMBERS,
};

static const char *const member_names[MEMBERS] = {
    [PROJECT] = "project",
    [DOMAIN] = "domain",
    [RUN_NAME] = "runName",
    [NAME] = "name",
    [ATTEMPT] = "attempt",
    [PHASE] = "phase",
    [VERSION] = "version",
    [PARENT] = "parent",
    [GROUP] = "group",
    [TASK] = "task",
    [UPDATED_TIME] = "updatedTime",
    [REPORTED_TIME] = "reportedTime",
    [CLUSTER] = "cluster",
    [OUTPUTS] = "outputs",
    [LOG_INFO] = "logInfo",
    [CLUSTER_EVENTS] = "clusterEvents",
};

enum {
    REQUIRED = 1 << PROJECT | 1 << DOMAIN | 1 << RUN_NAME | 1 << NAME | 1 << PHASE,
    DIGITS_MAX = 10, /* of 2^31-1 */
};

struct scanner {
    char *at, *end;
    struct action_event *event;
    unsigned seen; /* bits by member */
};

/* A string of the text, ended by a NUL in place of its quote. */
struct scanned_text {
    const char *bytes;
    size_t length;
};

/* -------- tokens -------- */

static char next_character(struct scanner *scanner)
{
    while (scanner->at < scanner->end && (*scanner->at == ' ' || *scanner->at == '\t' ||
                                          *scanner->at == '\n' || *scanner->at == '\r'))
        scanner->at++;
    return scanner->at < scanner->end ? *scanner->at : '\0';
}

static bool take(struct scanner *scanner, char wanted)
{
    if (next_character(scanner) != wanted)
        return false;
    scanner->at++;
    return true;
}

static bool take_text(struct scanner *scanner, struct scanned_text *text)
{
    if (!take(scanner, '"'))
        return false;
    text->bytes = scanner->at;
    while (scanner->at < scanner->end && *scanner->at >= ' ' && *scanner->at <= '~' &&
           *scanner->at != '"' && *scanner->at != '\\')
        scanner->at++;
    if (scanner->at == scanner->end || *scanner->at != '"')
        return false;
    text->length = (size_t)(scanner->at - text->bytes);
    *scanner->at++ = '\0';
    return true;
}

static bool take_number(struct scanner *scanner, int64_t *number)
{
    char first = next_character(scanner);
    const char *begin = scanner->at;

    *number = 0;
    while (scanner->at < scanner->end && *scanner->at >= '0' && *scanner->at <= '9' &&
           scanner->at - begin <= DIGITS_MAX)
        *number = *number * 10 + (*scanner->at++ - '0');
    return scanner->at > begin && scanner->at - begin <= DIGITS_MAX &&
           (first != '0' || scanner->at - begin == 1) && *number <= INT32_MAX;
}

static bool take_null(struct scanner *scanner)
{
    if (scanner->end - scanner->at < 4 || memcmp(scanner->at, "null", 4) != 0)
        return false;
    scanner->at += 4;
    return true;
}

/* -------- values -------- */

static bool take_key_part(struct scanner *scanner, size_t bytes_max, const char **part)
{
    struct scanned_text text;

    if (!take_text(scanner, &text) || !key_part_is_valid(text.bytes, text.length, bytes_max))
        return false;
    *part = text.bytes;
    return true;
}

static bool take_key_number(struct scanner *scanner, int32_t min, int32_t *out)
{
    int64_t number;

    if (!take_number(scanner, &number) || number < min)
        return false;
    *out = (int32_t)number;
    return true;
}

static bool take_phase(struct scanner *scanner)
{
    struct scanned_text text;
    int64_t number;

    if (next_character(scanner) == '"')
        scanner->event->phase =
            take_text(scanner, &text) ? phase_parse(text.bytes, text.length) : PHASE_NONE;
    else
        scanner->event->phase =
            take_number(scanner, &number) ? phase_from_number(number) : PHASE_NONE;
    return scanner->event->phase != PHASE_NONE;
}

static bool take_parent(struct scanner *scanner)
{
    scanner->event->names_parent = true;
    if (next_character(scanner) == 'n')
        return take_null(scanner);
    return take_key_part(scanner, NAME_BYTES_MAX, &scanner->event->parent);
}

static bool take_time(struct scanner *scanner, int64_t *time_us)
{
    struct scanned_text text;

    return take_text(scanner, &text) && timestamp_parse(text.bytes, text.length, time_us) == 0;
}

static bool take_task_member(struct scanner *scanner)
{
    struct action_event *event = scanner->event;
    struct scanned_text member, value;
    const char **out;

    if (!take_text(scanner, &member) || !take(scanner, ':') || !take_text(scanner, &value) ||
        value.length > LABEL_BYTES_MAX)
        return false;
    if (strcmp(member.bytes, "name") == 0)
        out = &event->task_name;
    else if (strcmp(member.bytes, "shortName") == 0)
        out = &event->short_name;
    else
        return false;
    if (*out)
        return false;
    *out = value.bytes;
    return true;
}

static bool take_task(struct scanner *scanner)
{
    scanner->event->has_task = true;
    if (!take(scanner, '{'))
        return false;
    if (take(scanner, '}'))
        return true;
    do {
        if (!take_task_member(scanner))
            return false;
    } while (take(scanner, ','));
    return take(scanner, '}');
}

/* -------- the event -------- */

static bool take_value(struct scanner *scanner, enum member member)
{
    struct action_event *event = scanner->event;
    struct scanned_text text;

    switch (member) {
    case PROJECT:
        return take_key_part(scanner, PROJECT_BYTES_MAX, &event->run.project);
    case DOMAIN:
        return take_key_part(scanner, DOMAIN_BYTES_MAX, &event->run.domain);
    case RUN_NAME:
        return take_key_part(scanner, NAME_BYTES_MAX, &event->run.run_name);
    case NAME:
        return take_key_part(scanner, NAME_BYTES_MAX, &event->name);
    case ATTEMPT:
        return take_key_number(scanner, 1, &event->attempt);
    case PHASE:
        return take_phase(scanner);
    case VERSION:
        return take_key_number(scanner, 0, &event->version);
    case PARENT:
        return take_parent(scanner);
    case GROUP:
        if (!take_text(scanner, &text) || text.length > LABEL_BYTES_MAX)
            return false;
        event->group = text.bytes;
        return true;
    case TASK:
        return take_task(scanner);
    case UPDATED_TIME:
        return take_time(scanner, &event->updated_us);
    case REPORTED_TIME:
        return take_time(scanner, &event->reported_us);
    case CLUSTER:
        return take_text(scanner, &text);
    case OUTPUTS:
        return take(scanner, '{') && take(scanner, '}');
    case LOG_INFO:
    case CLUSTER_EVENTS:
        return take(scanner, '[') && take(scanner, ']');
    case MEMBERS:
        break;
    }
    return false;
}

static bool take_member(struct scanner *scanner)
{
    struct scanned_text name;
    unsigned member = 0;

    if (!take_text(scanner, &name) || !take(scanner, ':'))
        return false;
    while (member < MEMBERS && strcmp(member_names[member], name.bytes) != 0)
        member++;
    if (member == MEMBERS || (scanner->seen & 1U << member) != 0)
        return false;
    scanner->seen |= 1U << member;
    return take_value(scanner, (enum member)member);
}

bool event_scan(char *text, size_t length, int64_t received_us, struct action_event *event)
{
    struct scanner scanner = {.at = text, .end = text + length, .event = event};

    *event =
        (struct action_event){.attempt = 1, .updated_us = received_us, .reported_us = TIME_NONE};
    if (!take(&scanner, '{'))
        return false;
    do {
        if (!take_member(&scanner))
            return false;
    } while (take(&scanner, ','));
    return take(&scanner, '}') && scanner.at == scanner.end &&
           (scanner.seen & REQUIRED) == REQUIRED &&
           (!event->parent || strcmp(event->parent, event->name) != 0);
}
