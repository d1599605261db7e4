/* Requests put through the adapters of tools, as the HTTP side does it. */
#ifndef RUNTREE_TESTS_UNIT_ADAPTING_H
#define RUNTREE_TESTS_UNIT_ADAPTING_H

#include <jansson.h>

#include "adapters/adapter.h"

/* What became of a request; owned. */
struct adapted {
    json_t *events; /* an array of those that the contract allows */
    size_t rejected;
    struct adapter_answer answer; /* without its events */
    char *lines;                  /* them, as they came */
};

/* A POST of the body to the tool's /v1/adapters/{tool}/p/d/, received in 2026. */
struct adapted adapt_text(const char *tool, const char *body);
/* The same of what `format` packs as json_pack says. */
struct adapted adapt_packed(const char *tool, const char *format, ...);
/* The same of any request. */
struct adapted adapt_request(const char *tool, const struct adapter_request *request);

void adapted_clear(struct adapted *adapted);

/* The one event of this action, phase and attempt: borrowed, the test fails if there is none. */
const json_t *event_of(const struct adapted *adapted, const char *name, const char *phase,
                       int attempt);

/* The string of a member; NULL if it is none. */
const char *text_of(const json_t *event, const char *member);

/* A body that cannot be mapped: counted once as this kind, answered 200, and kept raw as an event
 * of its run or not. */
struct unmapped_case {
    const char *body;
    enum unmapped_kind kind;
    bool is_kept;
};
void assert_unmapped(const struct adapted *adapted, const struct unmapped_case *expected);

/* The requests of a recording in tests/data/emitters, by its name without .ndjson: an array of
 * {"method", "path", "json"}, owned.
 */
json_t *read_recording(const char *name);

#endif
