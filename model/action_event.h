/* An action event: what it is, and the name of the field that is wrong with it. */
#ifndef RUNTREE_MODEL_ACTION_EVENT_H
#define RUNTREE_MODEL_ACTION_EVENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "model/arena.h"
#include "model/buffer.h"
#include "model/json_scan.h"
#include "model/phase.h"
#include "model/problem.h"
#include "model/run_key.h"
#include "model/timestamp.h"

enum {
    EVENT_BYTES_MAX = 256 * 1024,
    EVENT_NESTING_MAX = 32,
    DIFFERING_BYTES_MAX = 256, /* of members' names that are told to differ, about */
    LABEL_BYTES_MAX = 512,     /* group, titles, the task's name and shortName, a label's value */
    LABELS_MAX = 64,
    LABEL_NAME_BYTES_MAX = 255,
    LINKS_MAX = 32,
    LINK_URL_BYTES_MAX = 4096,
    RUN_ADDITION_BYTES_MAX = 16 * 1024, /* of labels, links and params, as JSON */
    DEPENDS_ON_MAX = 1000,
    ADDITION_BYTES_MAX = 64 * 1024, /* of links and dependsOn, as JSON */
    ALIASES_MAX = 16,
};

enum error_kind { ERROR_KIND_NONE = 0, ERROR_KIND_USER = 1, ERROR_KIND_SYSTEM = 2 };

/* What an event may say of its action (model/additions.h), and of its run. */
enum addition { ADDITION_TITLE, ADDITION_LINKS, ADDITION_DEPENDS_ON, ADDITIONS };
enum run_addition { RUN_TITLE, RUN_LABELS, RUN_LINKS, RUN_PARAMS, RUN_ADDITIONS };

/* The name of the member, static. */
const char *run_addition_name(enum run_addition addition);

/* A decoded event. Its strings are in the arena that it was decoded with, `info` is borrowed. */
struct action_event {
    struct json_text info; /* the event as received but for Flyte's spellings, or truncated */
    struct run_key run;
    const char *name;
    int32_t attempt;
    enum phase phase;
    int32_t version;
    bool names_parent;
    const char *parent;                         /* NULL while names_parent: a root */
    const char *group, *task_name, *short_name; /* NULL if absent */
    bool has_task;
    bool has_additions;
    const char *additions[ADDITIONS]; /* JSON, NULL for what it leaves out */
    bool has_run_additions;
    const char *run_additions[RUN_ADDITIONS]; /* likewise, params as it came */
    const char **aliases; /* `alias_count` of them, none the action's own name */
    size_t alias_count;
    enum error_kind error_kind;
    json_t *error_info; /* as the live tree shows it (model/error_info.h), owned; NULL if absent */
    bool is_truncated;  /* `info` is what event_cut left of what was received */
    /* What timestamp_is_zero is as if it were absent. */
    int64_t updated_us;  /* the time of receipt if the event does not say it */
    int64_t reported_us; /* TIME_NONE if absent */
    /* Of the service itself, which gives up an action that nobody ended: recorded only if the run
     * is over, the action open, and the last event of the run still that of `heard_us`. */
    bool is_abandonment;
    int64_t heard_us;
};

/* The key when it stands in the path of a PUT; decoding checks it like members of the body, and a
 * body that repeats a part must agree. All NULL for a POST. */
struct action_event_path {
    const char *project, *domain, *run_name, *name, *attempt, *phase, *version;
};

/* Decodes the event that `info` says; `received_us` is the time of receipt, `path` may be NULL. 0
 * and *event filled (release with action_event_clear); -EINVAL and *problem with a pointer to the
 * member that is wrong (a part of the key that is wrong in the path has no pointer, its detail
 * names it); -EBADMSG if `info` is no JSON, or nested deeper than EVENT_NESTING_MAX, or there was
 * no memory to see that it is not; -ENOMEM. */
int action_event_decode(struct action_event *event, struct json_text info,
                        const struct action_event_path *path, int64_t received_us,
                        struct arena *texts, struct problem *problem);

void action_event_clear(struct action_event *event);

/* What `text` says, with duplicate keys refused as the contract (openapi.yaml) wants, and `flags`
 * more of json_loadb's: a new reference, or NULL and json_loadb's error, without a text when out of
 * memory. */
json_t *action_event_parse(struct json_text text, size_t flags, json_error_t *error);

/* Whether two events with the same key say the same: equal as JSON when the members of the key are
 * left out of both. `differing` (may be NULL) gets the names of the members that are not the same,
 * with ", " between them, as text. */
bool action_event_is_identical(const json_t *a, const json_t *b, struct buffer *differing);

/* The same for the event and the text of a stored one, which usually is just the same text. What is
 * no JSON says something else. 0 or -ENOMEM. */
int action_event_compare(const struct action_event *event, const char *stored, size_t length,
                         bool *is_identical, struct buffer *differing);

/* An event of the history as answers show it. The key is borrowed. */
struct event_record {
    struct run_key run;
    const char *name;
    int32_t attempt;
    enum phase phase;
    int32_t version;
    int64_t revision; /* 0: its action waits */
    int64_t updated_us, recorded_us;
    struct json_text info; /* the event as received, or truncated */
};

/* {the key, with phase by name, "revision", "recordedAt", "updatedTime", and the event's other
 * members as they came}. If one of those is called as a member of ours that is no member of events,
 * "asReceived" has the whole event. */
void event_record_write(struct buffer *out, const struct event_record *record);

#endif
