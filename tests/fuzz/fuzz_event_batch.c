/* Bodies of requests: JSON, NDJSON, and that of a PUT whose key stands in the path. The first byte
 * says which. */
#include "fuzz.h"
#include "model/additions.h"
#include "model/error_info.h"
#include "model/event_batch.h"

static const int64_t received_us = INT64_C(1775980800000000);

static const struct action_event_path paths[] = {
    {"ml", "production", "r1", "a17", "1", "RUNNING", "0"},
    {"ml", "production", "r1", "a17", "01", "9", "2147483647"},
    {"ml", "-", "r1", "a17", "0", "ACTION_PHASE_QUEUED", ""},
};
enum { FORMS = 2 + sizeof paths / sizeof *paths };

static void check_text(const char *text, const json_t *object, const char *member)
{
    const char *said = json_string_value(json_object_get(object, member));

    MUST(said == NULL ? text == NULL : text != NULL && strcmp(text, said) == 0);
}

/* Of which an empty one says nothing. */
static void check_label(const char *text, const json_t *object, const char *member)
{
    if (json_string_length(json_object_get(object, member)) == 0)
        MUST(text == NULL);
    else
        check_text(text, object, member);
}

/* Of a key that may stand in the path. */
static void check_key_part(const char *text, const char *in_path, const json_t *document,
                           const char *member)
{
    if (in_path != NULL)
        MUST(strcmp(text, in_path) == 0);
    if (in_path == NULL || json_object_get(document, member) != NULL)
        check_text(text, document, member);
}

static void check_number(int32_t number, const char *in_path, const json_t *document,
                         const char *member, int32_t absent)
{
    const json_t *said = json_object_get(document, member);

    if (in_path != NULL)
        MUST(number == strtol(in_path, NULL, 10));
    if (json_is_integer(said))
        MUST(number == json_integer_value(said));
    else
        MUST((said == NULL || json_is_null(said)) && (in_path != NULL || number == absent));
}

static void check_time(int64_t time_us, const json_t *document, const char *member,
                       int64_t absent_us)
{
    const json_t *said = json_object_get(document, member);
    int64_t wanted_us = absent_us;

    if (json_is_string(said))
        MUST(timestamp_parse(json_string_value(said), json_string_length(said), &wanted_us) == 0);
    MUST(time_us == wanted_us);
}

static void check_error(const struct action_event *event, const json_t *said)
{
    const char *kind = json_string_value(json_object_get(said, "kind"));
    json_t *cut = json_is_object(said) ? error_info_cut(said) : NULL;

    MUST((event->error_info == NULL) == (cut == NULL));
    MUST(cut == NULL || json_equal(event->error_info, cut));
    MUST(event->error_kind == (kind == NULL                ? ERROR_KIND_NONE
                               : strcmp(kind, "USER") == 0 ? ERROR_KIND_USER
                                                           : ERROR_KIND_SYSTEM));
    json_decref(cut);
}

/* However the event was read, it says what its document says. */
static void check_decoded(const struct action_event *event, const json_t *document,
                          const struct action_event_path *path)
{
    static const struct action_event_path no_path = {0};
    const json_t *task = json_object_get(document, "task");

    path = path == NULL ? &no_path : path;
    check_key_part(event->run.project, path->project, document, "project");
    check_key_part(event->run.domain, path->domain, document, "domain");
    check_key_part(event->run.run_name, path->run_name, document, "runName");
    check_key_part(event->name, path->name, document, "name");
    check_number(event->attempt, path->attempt, document, "attempt", 1);
    check_number(event->version, path->version, document, "version", 0);
    check_text(event->parent, document, "parent");
    check_label(event->group, document, "group");
    check_label(event->task_name, task, "name");
    check_label(event->short_name, task, "shortName");
    MUST(event->names_parent == (json_object_get(document, "parent") != NULL));
    MUST(event->has_task == (event->task_name != NULL || event->short_name != NULL));
    check_time(event->updated_us, document, "updatedTime", received_us);
    check_time(event->reported_us, document, "reportedTime", TIME_NONE);
    check_error(event, json_object_get(document, "errorInfo"));
}

/* As the history shows it: JSON with every member of the event, its own or in the whole. */
static void check_record(const struct action_event *event, json_t *document)
{
    struct buffer text = {0};
    json_t *answer, *value, *whole;
    const char *name;

    event_record_write(&text, &(struct event_record){.run = event->run,
                                                     .name = event->name,
                                                     .attempt = event->attempt,
                                                     .phase = event->phase,
                                                     .version = event->version,
                                                     .revision = 1,
                                                     .updated_us = event->updated_us,
                                                     .recorded_us = received_us,
                                                     .info = event->info});
    answer = json_loadb(text.bytes, text.length, JSON_REJECT_DUPLICATES, NULL);
    MUST(answer != NULL);
    MUST(strcmp(json_string_value(json_object_get(answer, "name")), event->name) == 0);
    whole = json_object_get(answer, "asReceived");
    MUST(whole == NULL || json_equal(whole, document));
    json_object_foreach (document, name, value)
        MUST(whole != NULL || json_object_get(answer, name) != NULL);
    json_decref(answer);
    buffer_free(&text);
}

/* What is kept of what an event says beside the state is JSON, and is shown as JSON. */
static void check_additions(const struct action_event *event)
{
    struct arena arena = {0};
    struct buffer shown = {0};
    struct action action = {0};
    struct action_change change = {0};
    json_t *record;

    MUST(additions_take(&action, event, &arena, &change) == 0);
    buffer_text(&shown, "{\"x\":0");
    if (action.additions != NULL)
        additions_write(&shown, action.additions);
    buffer_text(&shown, "}");
    record = json_loadb(shown.bytes, shown.length, JSON_REJECT_DUPLICATES, NULL);
    MUST(json_is_object(record) && change.is_visible == (json_object_size(record) > 1));
    json_decref(record);
    buffer_free(&shown);
    arena_free(&arena);
}

/* What an event that was taken must be. */
static void check_event(const struct event_batch *batch, const struct action_event *event,
                        const struct action_event_path *path)
{
    json_t *again, *document;
    json_error_t error;
    size_t at = (size_t)(event->info.bytes - batch->body);

    if (at < batch->body_length) { /* else it is written anew, or the {} of an empty PUT */
        MUST(event->info.length <= batch->body_length - at);
        MUST(event->info.length <= EVENT_BYTES_MAX);
    }
    again = json_loadb(event->info.bytes, event->info.length, JSON_REJECT_DUPLICATES, NULL);
    document = action_event_parse(event->info, 0, &error);
    MUST(again != NULL && json_equal(again, document));
    MUST(action_event_is_identical(again, document, NULL));
    check_decoded(event, document, path);
    MUST(phase_name(event->phase) != NULL && event->attempt >= 1 && event->version >= 0);
    MUST(key_part_is_valid(KEY_NAME, event->name, strlen(event->name)));
    MUST(event->names_parent || event->parent == NULL);
    for (size_t i = 0; i < event->alias_count; i++)
        MUST(strcmp(event->aliases[i], event->name) != 0);
    check_additions(event);
    check_record(event, document);
    json_decref(document);
    json_decref(again);
}

/* The paths that a run's key is kept as, and read from again. */
static void check_run_key(const struct run_key *key)
{
    char path[RUN_PATH_SIZE], words[RUN_PATH_SIZE];
    struct run_key again;

    run_key_words(key, words);
    run_key_path(key, path);
    MUST(strlen(path) == strlen(words));
    again = run_key_split(path);
    MUST(run_key_compare(key, &again) == 0 && run_key_hash(key) == run_key_hash(&again));
}

static void check_order(const struct action_event *event)
{
    int64_t position = event_order_of(event->attempt, event->phase, event->version).position;
    int32_t before = event_version_before(event->phase, position);

    MUST(before == event->version - 1);
}

/* Two events as if they had the same key: what differs has a name. */
static void check_comparison(const struct action_event *event, const struct action_event *other)
{
    struct buffer differing = {0};
    bool is_identical = false;

    MUST(action_event_compare(event, other->info.bytes, other->info.length, &is_identical,
                              &differing) == 0);
    MUST(is_identical == (differing.length == 0));
    MUST(is_identical || event != other);
    buffer_free(&differing);
}

static void check_answer(const struct event_result *result)
{
    struct buffer text = {0};
    json_t *answer;

    event_result_write(&text, result, false);
    answer = json_loadb(text.bytes, text.length, 0, NULL);
    MUST(json_is_string(json_object_get(answer, "status")));
    json_decref(answer);
    buffer_free(&text);
}

/* Whatever the verdict will be, there is an answer for it. */
static void check_verdicts(const struct action_event *event)
{
    char parent[] = "a0", differing[] = "outputs, group";
    const struct event_result results[] = {
        {.status = EVENT_APPLIED, .revision = 1},
        {.status = EVENT_RECORDED, .revision = INT64_MAX},
        {.status = EVENT_WAITING, .waiting_for = event->names_parent ? parent : NULL},
        {.status = EVENT_DUPLICATE, .revision = 1, .identical = event->has_task},
        {.status = EVENT_DUPLICATE, .differing = differing, .is_abort_requested = true},
        {.status = EVENT_RECORDED, .is_paused = true},
        {.status = EVENT_RECORDED, .is_given_up = true},
    };

    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        check_answer(&results[i]);
    }
}

static void check_batch_result(const struct event_batch *batch, size_t index,
                               const struct action_event_path *path)
{
    const struct event_result *result = &batch->results[index];

    check_answer(result);
    if (result->status == EVENT_REJECTED) {
        MUST(result->problem != NULL);
        return;
    }
    MUST(result->status == EVENT_PENDING);
    check_event(batch, &batch->events[index], path);
    check_run_key(&batch->events[index].run);
    check_order(&batch->events[index]);
    check_comparison(&batch->events[index], &batch->events[index]);
    if (index > 0 && batch->results[index - 1].status == EVENT_PENDING)
        check_comparison(&batch->events[index], &batch->events[index - 1]);
    check_verdicts(&batch->events[index]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct event_batch batch = {0};
    struct problem problem;
    unsigned form = size > 0 ? data[0] % FORMS : 0;
    const struct action_event_path *path = form >= 2 ? &paths[form - 2] : NULL;
    size_t length = size > 0 ? size - 1 : 0;
    char *body = malloc(length > 0 ? length : 1);

    MUST(body != NULL);
    problem.kind = PROBLEM_NONE;
    if (length > 0)
        memcpy(body, data + 1, length);
    if (event_batch_decode(&batch, body, length, form == 1 ? EVENT_BATCH_NDJSON : EVENT_BATCH_JSON,
                           path, received_us, &problem) == 0) {
        MUST(batch.count <= BATCH_EVENTS_MAX && (!batch.is_single || batch.count == 1));
        MUST(event_batch_bytes(&batch) >= length);
        for (size_t i = 0; i < batch.count; i++)
            check_batch_result(&batch, i, path);
        event_batch_clear(&batch);
    }
    MUST(problem.kind != PROBLEM_OVERLOADED); /* what jansson takes is taken */
    return 0;
}
