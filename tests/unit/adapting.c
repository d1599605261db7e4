#include "adapting.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/table.h"
#include "cmocka_test.h"
#include "model/event_batch.h"

static const int64_t received_us = INT64_C(1795630830000000); /* 2026-11-25T18:20:30Z */

/* What of the lines is an event of the contract. */
static void decode(struct adapted *adapted)
{
    struct event_batch batch;
    struct problem problem;
    char *lines = strdup(adapted->lines);

    assert_int_equal(event_batch_decode(&batch, lines, strlen(lines), EVENT_BATCH_NDJSON, NULL,
                                        received_us, &problem),
                     0);
    for (size_t i = 0; i < batch.count; i++) {
        const struct json_text info = batch.events[i].info;

        if (batch.results[i].status == EVENT_REJECTED) {
            print_message("rejected: %s\n", batch.results[i].problem->detail);
            adapted->rejected++;
        } else {
            json_array_append_new(adapted->events, json_loadb(info.bytes, info.length, 0, NULL));
        }
    }
    event_batch_clear(&batch);
}

struct adapted adapt_request(const char *tool, const struct adapter_request *request)
{
    struct adapted adapted = {.events = json_array()};

    assert_non_null(adapter_find(tool));
    adapter_handle(adapter_find(tool), request, &adapted.answer);
    assert_false(adapted.answer.failed);
    adapted.lines = strndup(adapted.answer.events.length > 0 ? adapted.answer.events.bytes : "",
                            adapted.answer.events.length);
    buffer_free(&adapted.answer.events);
    decode(&adapted);
    return adapted;
}

struct adapted adapt_text(const char *tool, const char *body)
{
    const struct adapter_request request = {.method = "POST",
                                            .project = "p",
                                            .domain = "d",
                                            .body = body,
                                            .body_length = strlen(body),
                                            .received_us = received_us};

    return adapt_request(tool, &request);
}

struct adapted adapt_packed(const char *tool, const char *format, ...)
{
    struct adapted adapted;
    va_list arguments;
    json_t *json;
    char *text;

    va_start(arguments, format);
    json = json_vpack_ex(NULL, 0, format, arguments);
    va_end(arguments);
    assert_non_null(json);
    text = json_dumps(json, JSON_COMPACT);
    adapted = adapt_text(tool, text);
    free(text);
    json_decref(json);
    return adapted;
}

void adapted_clear(struct adapted *adapted)
{
    json_decref(adapted->events);
    adapter_answer_clear(&adapted->answer);
    free(adapted->lines);
}

const json_t *event_of(const struct adapted *adapted, const char *name, const char *phase,
                       int attempt)
{
    const json_t *found = NULL;
    size_t i;
    json_t *event;

    json_array_foreach (adapted->events, i, event) {
        const json_t *said = json_object_get(event, "attempt");

        if (strcmp(text_of(event, "name"), name) != 0 ||
            strcmp(text_of(event, "phase"), phase) != 0 ||
            (said == NULL ? 1 : json_integer_value(said)) != attempt)
            continue;
        assert_null(found);
        found = event;
    }
    if (found == NULL)
        print_message("no %s of %s among:\n%s", phase, name, adapted->lines);
    assert_non_null(found);
    return found;
}

const char *text_of(const json_t *event, const char *member)
{
    return json_string_value(json_object_get(event, member));
}

json_t *read_recording(const char *name)
{
    json_t *requests = json_array(), *request;
    char path[512];
    FILE *file;

    snprintf(path, sizeof path, RUNTREE_TEST_DATA "/emitters/%s.ndjson", name);
    file = fopen(path, "r");
    assert_non_null(file);
    while ((request = json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL)) != NULL)
        json_array_append_new(requests, request);
    fclose(file);
    return requests;
}

void assert_unmapped(const struct adapted *adapted, const struct unmapped_case *expected)
{
    assert_int_equal(adapted->answer.unmapped[expected->kind], 1);
    assert_int_equal(adapted->answer.status, 200);
    assert_int_equal(json_array_size(adapted->events), expected->is_kept);
}
