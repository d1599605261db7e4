/* What the tools that people already run send, as action events. One pure file a tool: no I/O, no
 * clock, no memory of earlier requests, so that any replica takes any request, and requests that
 * come twice or in another order end in the same tree.
 *
 * A tool speaks to /v1/adapters/{tool}/{project}/{domain}/… (handlers/adapters.c). Its adapter
 * appends events of the contract, which then go the way of all events, and says what to answer.
 * What cannot be mapped is no error, for these tools drop what they are told is wrong, or stop: it
 * is counted, and kept with the run where it belongs to one. */
#ifndef RUNTREE_ADAPTERS_ADAPTER_H
#define RUNTREE_ADAPTERS_ADAPTER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/buffer.h"
#include "model/run_key.h"

struct adapter_field {
    const char *name, *value;
};

/* Borrowed; texts are UTF-8. */
struct adapter_request {
    const char *method; /* "POST" */
    const char *project, *domain;
    const char *const *path; /* the segments behind the domain, decoded: "api", "v1", "lineage" */
    size_t path_count;
    const struct adapter_field *parameters; /* of the query, decoded */
    size_t parameter_count;
    const struct adapter_field *headers; /* those of the tool's `headers` that it has */
    size_t header_count;
    const char *body; /* unpacked, not ended by a NUL; NULL if empty */
    size_t body_length;
    int64_t received_us; /* since 1970 */
};

/* NULL if there is none. Names of headers are compared without regard to case. */
const char *adapter_header(const struct adapter_request *request, const char *name);
const char *adapter_parameter(const struct adapter_request *request, const char *name);

/* Whether the path behind the domain is this one, written with slashes: "api/v1/lineage". */
bool adapter_path_is(const struct adapter_request *request, const char *path);

/* Why something is not mapped. */
enum unmapped_kind {
    UNMAPPED_PATH,     /* the tool's adapter knows no such path or method */
    UNMAPPED_BODY,     /* the body is not in the form that the tool sends */
    UNMAPPED_TYPE,     /* a message of a type that is not known */
    UNMAPPED_STATE,    /* a state that is not known */
    UNMAPPED_FIELD,    /* what a message must have is missing, or of another type */
    UNMAPPED_REJECTED, /* an event that was made of it was rejected */
    UNMAPPED_KINDS,
};

/* Static: "path", … */
const char *unmapped_kind_name(enum unmapped_kind kind);

enum { UNMAPPED_DETAIL_SIZE = 200 };

struct adapter_answer {
    const char *tool;
    const struct adapter_request *request;
    struct buffer events; /* one a line, as model/event_batch decodes EVENT_BATCH_NDJSON */
    unsigned status;      /* 200 at first; the HTTP side answers 401, 429 and 503 by itself */
    const char *type;     /* of the body, static; NULL: application/json */
    struct buffer body;   /* empty at first */
    uint64_t unmapped[UNMAPPED_KINDS];
    char unmapped_detail[UNMAPPED_KINDS][UNMAPPED_DETAIL_SIZE]; /* of the first of its kind */
    json_t *roots;                                              /* of its runs, by their names */
    bool failed; /* out of memory: nothing of the request is taken, and it is answered by 503 */
};

/* From any thread. */
typedef void adapter_fn(const struct adapter_request *request, struct adapter_answer *answer);

struct adapter_tool {
    const char *name;           /* in the path */
    adapter_fn *handle;         /* *answer is as adapter_handle begins it */
    const char *const *headers; /* that it looks at, ended by NULL; NULL: none */
    bool is_signed;             /* it signs the body, which may stand in place of a token */
};

/* Fills *answer, which is to be cleared with adapter_answer_clear. */
void adapter_handle(const struct adapter_tool *tool, const struct adapter_request *request,
                    struct adapter_answer *answer);
void adapter_answer_clear(struct adapter_answer *answer);

/* One of the answer's events was rejected, `why`: appends one that keeps it with its run, as
 * adapter_unmapped does; nothing if the root is not known, or it is such a one itself. */
void adapter_keep_rejected(const struct adapter_request *request, struct adapter_answer *answer,
                           const char *line, size_t length, const char *why);

/* One of the answer's events was rejected for an alias that is another action's: appends it without
 * aliases, so that what it says is not lost with what it is called. */
void adapter_drop_aliases(const struct adapter_request *request, struct adapter_answer *answer,
                          const char *line, size_t length);

/* -------- for the tools' files (adapters/tools.h) -------- */

/* The body as JSON, a new reference; NULL if it is none, which is counted, or there is no memory.
 */
json_t *adapter_body(struct adapter_answer *answer);

/* The value of a field of the body as a form (application/x-www-form-urlencoded), owned; NULL if
 * there is none that is UTF-8, or no memory. */
char *adapter_form_field(struct adapter_answer *answer, const char *name);

/* What adapter_body returns, of a form what this field of it says. */
json_t *adapter_form_body(struct adapter_answer *answer, const char *field);

/* Appends the event, whose reference is taken over; project and domain are filled in from the path.
 * NULL is out of memory. */
void adapter_emit(struct adapter_answer *answer, json_t *event);

/* Takes `value` over as the event's member, unless either is NULL. */
void adapter_set(json_t *event, const char *member, json_t *value);

/* The run that a message belongs to, and the root of its tree. */
struct adapter_place {
    const char *run_name, *root;
    int64_t time_us; /* of the message; 0 or less: it does not say */
};

/* Remembers the root of a run whose events follow, for what of them may be rejected. */
void adapter_note_place(struct adapter_answer *answer, const struct adapter_place *place);

/* Counts a message, or what is in it, as not mapped; `format` says why. With a place the message is
 * kept: as an event of the action adapter_keeper_name below the root, which is SKIPPED. */
void adapter_unmapped(struct adapter_answer *answer, enum unmapped_kind kind,
                      const struct adapter_place *place, const json_t *message, const char *format,
                      ...) __attribute__((format(printf, 5, 6)));

/* "unmapped:TOOL" */
enum { ADAPTER_NAME_SIZE = NAME_BYTES_MAX + 1 };
void adapter_keeper_name(const char *tool, char out[static ADAPTER_NAME_SIZE]);

/* Answers by 404, where the request shows that the tool was given a wrong URL: `why`, static, says
 * what is wrong with it. */
void adapter_refuse(struct adapter_answer *answer, const char *why);

/* `text` as a name of a run or an action may be: what a name must not have becomes "?", and one
 * that is too long ends in a hash of the whole. */
void adapter_name(const char *text, char out[static ADAPTER_NAME_SIZE]);

/* The same of an action that is not the root: "NAME (task)" where that is how the root is called.
 */
void adapter_name_below(const char *text, const char *root, char out[static ADAPTER_NAME_SIZE]);

/* A member `parent`: null where there is none, or it is the action itself. */
json_t *adapter_parent(const char *parent, const char *name);

/* "BASE-ID", as above; what is too long is cut off BASE. */
void adapter_name_with_id(const char *base, const char *id, char out[static ADAPTER_NAME_SIZE]);

/* The time in microseconds of a JSON integer of milliseconds since 1970, of an RFC 3339 text (a
 * blank in place of the T is taken, too), or TIME_NONE of anything else and of a zero. */
int64_t adapter_time_us(const json_t *value);

/* A JSON text for updatedTime; NULL of TIME_NONE. */
json_t *adapter_time(int64_t time_us);

/* A version by which events of one action and phase that happened one after the other keep their
 * order, and none takes another's key: milliseconds, which start anew every 24 days. */
int32_t adapter_version(int64_t time_us);

/* What follows leaves out, or cuts, what is more than an event may say (model/action_event.h). */

/* A text of at most LABEL_BYTES_MAX, cut between characters, as titles, groups and the names of
 * tasks are. */
json_t *adapter_label(const char *text);
json_t *adapter_labelf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Adds to a run's labels; nothing if one of them is NULL. */
void adapter_add_label(json_t *labels, const char *name, const char *value);

/* Adds {"name", "url"} to an array of links, unless the url is NULL. */
void adapter_link(json_t *links, const char *name, const char *url);

/* Takes `params` over as those of the event's member run, unless they are empty or too many. */
void adapter_set_params(json_t *run, json_t *params);

/* The member errorInfo: the message, and what more is known behind it; either may be NULL, both:
 * nothing is set. */
void adapter_set_error(json_t *event, const char *message, const char *more);

/* The message as a member of an event: itself, or its text if it is nested too deep, of which the
 * beginning is taken if it is long. */
json_t *adapter_raw(const json_t *message);

/* What stands at the end of a path of members, "run/facets/parent", whose names have no slash; NULL
 * if nothing does. */
const json_t *adapter_get(const json_t *object, const char *path);
/* The string there, NULL if there is none or it is empty. */
const char *adapter_text(const json_t *object, const char *path);

#endif
