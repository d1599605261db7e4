#include "adapter_input.h"

#include "adapters/table.h"
#include "fuzz.h"
#include "model/event_batch.h"

static const int64_t received_us = INT64_C(1795630830000000);

static const char *const paths[][2] = {
    {"v1", "lineage"},
    {"v1", "update_workflow_status"},
    {"v1", "create_workflow"},
    {"v1", "service-info"},
};
static const struct adapter_field headers[] = {
    {"Content-Type", "application/cloudevents-batch+json"},
    {"ce-specversion", "1.0"},
    {"ce-time", "2026-11-25T18:20:30Z"},
};

static struct adapter_request request_of(uint8_t form, const char *body, size_t length)
{
    return (struct adapter_request){
        .method = (form & 1) != 0 ? "GET" : "POST",
        .project = "p",
        .domain = (form & 2) != 0 ? "api" : "d",
        .path = paths[form >> 6],
        .path_count = (form & 2) != 0 ? 2 : 0,
        .headers = headers,
        .header_count = (form & 4) != 0   ? 3
                        : (form & 8) != 0 ? 1
                                          : 0,
        .body = length == 0 ? NULL : body,
        .body_length = length,
        .received_us = received_us,
    };
}

/* Whatever a tool sends, the events made of it are such as the contract allows, in the project and
 * domain of the URL. CloudEvents carry what somebody else made an event. */
static void check_events(const char *tool, const struct adapter_request *request,
                         const struct buffer *events)
{
    struct event_batch batch;
    struct problem problem;
    char *lines = malloc(events->length + 1);

    MUST(lines != NULL);
    if (events->length > 0)
        memcpy(lines, events->bytes, events->length);
    if (event_batch_decode(&batch, lines, events->length, EVENT_BATCH_NDJSON, NULL, received_us,
                           &problem) != 0) {
        MUST(problem.kind == PROBLEM_TOO_MANY_EVENTS || problem.kind == PROBLEM_PAYLOAD_TOO_LARGE);
        return;
    }
    for (size_t i = 0; i < batch.count; i++) {
        if (batch.results[i].status == EVENT_REJECTED) {
            if (strcmp(tool, "cloudevents") != 0)
                fprintf(stderr, "%s %s\n", batch.results[i].problem->pointer,
                        batch.results[i].problem->detail);
            MUST(strcmp(tool, "cloudevents") == 0);
            continue;
        }
        MUST(strcmp(batch.events[i].run.project, request->project) == 0);
        MUST(strcmp(batch.events[i].run.domain, request->domain) == 0);
    }
    event_batch_clear(&batch);
}

/* What is made of one that is rejected is such as the contract allows, too. */
static void check_rejection(const char *tool, const struct adapter_request *request,
                            struct adapter_answer *answer)
{
    size_t before = answer->events.length;
    const char *end = before == 0 ? NULL : memchr(answer->events.bytes, '\n', before);
    size_t length = end == NULL ? 0 : (size_t)(end - answer->events.bytes);
    char *line = malloc(length + 1);
    struct buffer added;

    MUST(line != NULL);
    if (length > 0) {
        memcpy(line, answer->events.bytes, length);
        adapter_keep_rejected(request, answer, line, length, "it is another's");
        adapter_drop_aliases(request, answer, line, length);
        added = (struct buffer){.bytes = answer->events.bytes + before,
                                .length = answer->events.length - before};
        check_events(tool, request, &added);
    }
    free(line);
}

void check_adapter(const char *tool, const uint8_t *data, size_t size)
{
    const struct adapter_tool *found = adapter_find(tool);
    struct adapter_answer answer, again;
    size_t length = size == 0 ? 0 : size - 1;
    char *body = malloc(length + 1);
    struct adapter_request request = request_of(size == 0 ? 0 : data[0], body, length);

    MUST(found != NULL && body != NULL);
    if (length > 0)
        memcpy(body, data + 1, length);
    adapter_handle(found, &request, &answer);
    adapter_handle(found, &request, &again);
    MUST(!answer.failed && !again.failed);
    MUST(answer.events.length == again.events.length);
    if (answer.events.length > 0)
        MUST(memcmp(answer.events.bytes, again.events.bytes, answer.events.length) == 0);
    check_events(tool, &request, &answer.events);
    check_rejection(tool, &request, &answer);
    adapter_answer_clear(&answer);
    adapter_answer_clear(&again);
    free(body);
}
