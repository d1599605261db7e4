/* Every allocation of model/, but for those of moved_runs and access, and of adapters/ fails once:
 * the call says so, nothing leaks, and what was there is as it was. Linked with --wrap, so that
 * malloc and its kin come here first. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/flyte.pb-c.h"
#include "adapters/flyte_events.h"
#include "adapters/flyte_stream.h"
#include "adapters/protobuf.h"
#include "adapters/table.h"
#include "cmocka_test.h"
#include "event_maker.h"
#include "memory_store.h"
#include "model/attempts.h"
#include "model/event_batch.h"
#include "model/known_runs.h"
#include "model/replay.h"
#include "model/run_view.h"
#include "model/waiting.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
char *__wrap_strdup(const char *text);
void __wrap_free(void *block);

/* The wrappers have no argument to carry this. */
static struct {
    size_t until_failure; /* 0: none fails */
    bool has_failed;
    bool has_failed_in_jansson;
    size_t largest; /* block that jansson gets; 0: any */
    long live;      /* blocks that are allocated */
} heap;

static bool fails(void)
{
    if (heap.until_failure == 0 || --heap.until_failure > 0)
        return false;
    heap.has_failed = true;
    return true;
}

static void *count_block(void *block)
{
    heap.live += block != NULL;
    return block;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : count_block(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : count_block(__real_calloc(count, size));
}

void *__wrap_realloc(void *block, size_t size)
{
    if (fails())
        return NULL;
    return block ? __real_realloc(block, size) : count_block(__real_realloc(NULL, size));
}

char *__wrap_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = __wrap_malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

void __wrap_free(void *block)
{
    heap.live -= block != NULL;
    __real_free(block);
}

static void *jansson_malloc(size_t size)
{
    void *block = heap.largest > 0 && size > heap.largest ? NULL : __wrap_malloc(size);
    heap.has_failed_in_jansson |= block == NULL;
    return block;
}

/* Does something for which it gets memory, and gives all of it back. 0, or -1 if an allocation
 * failed; asserts whatever must hold then. */
typedef int scenario_fn(void *arg);

/* Runs the scenario with its first allocation failing, its second, and so on until none fails. A
 * failure within jansson may pass unnoticed: its lexer drops what it gets no memory for. */
static void fail_each_allocation(scenario_fn *scenario, void *arg)
{
    enum { ALLOCATIONS_MAX = 100000 };
    for (size_t nth = 1; nth < ALLOCATIONS_MAX; nth++) {
        long live = heap.live;
        heap.has_failed = heap.has_failed_in_jansson = false;
        heap.until_failure = nth;
        int status = scenario(arg);
        heap.until_failure = 0;
        assert_int_equal(heap.live, live);
        if (!heap.has_failed_in_jansson)
            assert_int_equal(status, heap.has_failed ? -1 : 0);
        if (!heap.has_failed) {
            assert_true(nth > 1);
            return;
        }
    }
    fail_msg("the scenario never ran to its end");
}

static const char json_body[] =
    "{\"events\": "
    "[{\"project\":\"p\",\"domain\":\"d\",\"runName\":\"r\",\"name\":\"a0\",\"phase\":4,"
    "\"parent\":null,\"task\":{\"name\":\"t\"},\"errorInfo\":{\"kind\":\"USER\"}},"
    "{\"project\":\"p\",\"domain\":\"d\",\"runName\":\"r\",\"name\":\"a1\",\"phase\":1,\"parent\":"
    "\"a9\"},"
    "{\"name\":3}]}";

static const char ndjson_body[] =
    "{\"project\":\"p\",\"domain\":\"d\",\"runName\":\"r\",\"name\":\"a0\",\"phase\":4,\"x\":1}\n"
    "{bad\n"
    "{\"project\":\"p\",\"domain\":\"d\",\"runName\":\"r\",\"name\":\"a1\",\"phase\":77}\n";

/* jansson takes a string for which it gets no memory for an invalid token, so that may be said too.
 */
static bool is_about_memory(const struct problem *problem)
{
    return problem->kind == PROBLEM_OVERLOADED ||
           (heap.has_failed_in_jansson && problem->kind == PROBLEM_INVALID_JSON);
}

/* Whether the events were decoded, and their answers made, as they are when there is memory. */
static bool check_batch(const struct event_batch *batch)
{
    assert_int_equal(batch->count, 3);
    assert_int_equal(batch->results[2].status, EVENT_REJECTED);
    if (batch->results[0].status == EVENT_REJECTED) {
        assert_true(is_about_memory(batch->results[0].problem));
        return false;
    }
    if (is_about_memory(batch->results[2].problem))
        return false;
    static const char rejected[] = "{\"status\":\"rejected\",\"problem\":{";
    struct buffer result = {0};
    event_result_write(&result, &batch->results[2], false);
    bool is_made = !result.failed;
    if (is_made)
        assert_memory_equal(result.bytes, rejected, sizeof rejected - 1);
    buffer_free(&result);
    return is_made;
}

static int decode(const char *text, enum event_batch_form form)
{
    struct event_batch batch;
    struct problem problem = {0};
    char *body = strdup(text);
    if (!body)
        return -1;
    if (event_batch_decode(&batch, body, strlen(text), form, NULL, 0, &problem) != 0) {
        assert_true(is_about_memory(&problem));
        return -1;
    }
    bool is_whole = check_batch(&batch);
    event_batch_clear(&batch);
    return is_whole ? 0 : -1;
}

static int decode_json(void *arg)
{
    (void)arg;
    return decode(json_body, EVENT_BATCH_JSON);
}

static int decode_ndjson(void *arg)
{
    (void)arg;
    return decode(ndjson_body, EVENT_BATCH_NDJSON);
}

static void test_decoding(void **state)
{
    (void)state;
    fail_each_allocation(decode_json, NULL);
    fail_each_allocation(decode_ndjson, NULL);
}

enum { BATCH = 10 };

/* Events that wait are stored already; the batch brings their root, and every kind of verdict. */
struct decision_case {
    const char *root; /* of the run as it is stored */
    struct made_event stored, batch[BATCH];
};

/* Feeds the decision what the test has stored for run r: two actions that wait below a0, and an
 * event. */
static int feed(struct decision *decision, const struct decision_case *given,
                struct event_result *results)
{
    static const struct action waiting[] = {
        {.name = "w1", .parent_named = true, .parent = "a0", .phase = PHASE_QUEUED, .attempt = 1},
        {.name = "w2",
         .parent_named = true,
         .parent = "w1",
         .phase = PHASE_QUEUED,
         .attempt = 1,
         .group = "g",
         .task_name = "t",
         .short_name = "s",
         .error_info = "{}"},
    };
    const struct run run = {
        .key = given->stored.event.run, .incarnation = "inc", .root = given->root};
    const struct run_key *key = &run.key;
    const struct action_origin origin = {0};
    size_t count;
    for (size_t i = 0; i < BATCH; i++)
        if (decision_add_event(decision, &given->batch[i].event, &results[i]) != 0)
            return -ENOMEM;
    decision_runs(decision, &count);
    decision_names(decision, &count);
    decision_event_names(decision, &count);
    if (decision_put_run(decision, &run, false) ||
        decision_put_action(decision, key, &waiting[0], &origin) ||
        !decision_old_events(decision, &count) ||
        decision_put_event(decision, key, "w1", 1, PHASE_QUEUED, 0, 0, given->stored.text))
        return -ENOMEM;
    if (!decision_unread_parents(decision, &count) && count == SIZE_MAX)
        return -ENOMEM;
    if (decision_put_action(decision, key, &waiting[1], &origin) != 0)
        return -ENOMEM;
    if (!decision_unread_parents(decision, &count) && count == SIZE_MAX)
        return -ENOMEM;
    if (!decision_unread_roots(decision, &count))
        return -ENOMEM;
    return decision_make(decision);
}

static int decide(void *arg)
{
    struct event_result results[BATCH] = {0};
    struct decision *decision = decision_new();
    if (!decision)
        return -1;
    int status = feed(decision, arg, results);
    if (status == 0) {
        assert_int_equal(results[0].status, EVENT_APPLIED);
        assert_int_equal(results[1].status, EVENT_DUPLICATE);
        assert_true(results[1].identical || heap.has_failed_in_jansson);
        assert_int_equal(results[2].status, EVENT_REJECTED);
        assert_int_equal(results[3].status, EVENT_WAITING);
        assert_int_equal(results[9].status, EVENT_DUPLICATE);
        assert_true(results[9].differing || heap.has_failed_in_jansson);
    }
    for (size_t i = 0; i < BATCH; i++) {
        assert_true(status == 0 || results[i].status == EVENT_PENDING);
        event_result_clear(&results[i]);
    }
    decision_free(decision);
    return status == 0 ? 0 : -1;
}

static struct decision_case make_decision_case(const char *run_name, const char *root)
{
    return (struct decision_case){
        .root = root,
        .stored = make_event("'runName':'%s','name':'w1','phase':'QUEUED','parent':'a0'", run_name),
        .batch = {
            make_event("'runName':'%s','name':'a0','phase':'RUNNING','parent':null,"
                       "'errorInfo':{'message':'m'}",
                       run_name),
            make_event("'runName':'%s','name':'w1','phase':'QUEUED','parent':'a0'", run_name),
            make_event("'runName':'%s','name':'a0','phase':'FAILED','parent':'other'", run_name),
            make_event("'runName':'%s','name':'x','phase':'FAILED','parent':'nobody'", run_name),
            make_event("'runName':'%s','name':'c','phase':'FAILED','parent':'a0'", run_name),
            make_event("'runName':'%s','name':'c','phase':'QUEUED'", run_name),
            make_event("'runName':'%s2','name':'c','phase':'QUEUED'", run_name),
            make_event("'runName':'%s','name':'w1','phase':'RUNNING'", run_name),
            make_event("'runName':'%s','name':'y','phase':'RUNNING'", run_name),
            make_event("'runName':'%s','name':'y','phase':'RUNNING','group':'g'", run_name),
        }};
}

static void fail_each_of_a_decision(size_t run_name_length, size_t root_length)
{
    char *run_name = calloc(run_name_length + 1, 1), *root = calloc(root_length + 1, 1);
    struct decision_case given =
        make_decision_case(memset(run_name, 'r', run_name_length), memset(root, 'z', root_length));
    fail_each_allocation(decide, &given);
    made_event_clear(&given.stored);
    for (size_t i = 0; i < BATCH; i++)
        made_event_clear(&given.batch[i]);
    free(root);
    free(run_name);
}

/* A decision gets its memory in chunks. The lengths of these names decide which of its pieces is
 * the first of a chunk, so that each is in one case or another. */
static void test_deciding(void **state)
{
    (void)state;
    for (size_t length = 1; length < NAME_BYTES_MAX; length += 4)
        fail_each_of_a_decision(length, 1);
    for (size_t length = 1; length < 9000; length += 17)
        fail_each_of_a_decision(1, length);
}

/* A decision about the event; NULL when out of memory. */
static struct decision *decision_about(const struct made_event *made, struct event_result *result)
{
    struct decision *decision = decision_new();
    if (!decision || decision_add_event(decision, &made->event, result) == 0)
        return decision;
    decision_free(decision);
    return NULL;
}

/* What there is no memory to note, or to recall, is read. */
static int know(void *arg)
{
    const struct made_event *made = arg;
    const struct run run = {.key = made[0].event.run, .incarnation = "inc"};
    struct event_result results[2] = {0};
    struct known_runs *known = known_runs_new(1 << 20);
    struct decision *decision = decision_about(&made[0], &results[0]);
    int64_t changed_xid = 0;
    size_t count;
    bool is_known = false;
    int recalled = -1;
    if (known && decision && decision_names(decision, &count) &&
        decision_put_run(decision, &run, true) == 0 && decision_make(decision) == 0) {
        known_runs_note(known, decision, &changed_xid, 7, 1);
        decision_free(decision);
        decision = decision_about(&made[1], &results[1]);
        if (decision)
            recalled = known_runs_recall(known, decision, &is_known, &changed_xid);
        assert_true(recalled <= 0 || known_runs_bytes(known) > 0);
        assert_true(recalled != 1 || (is_known && changed_xid == 7));
    }
    event_result_clear(&results[0]);
    decision_free(decision);
    known_runs_free(known);
    return recalled == 1 ? 0 : -1;
}

static void test_knowing(void **state)
{
    (void)state;
    struct made_event made[] = {
        make_event("'name':'a0','phase':'RUNNING','parent':null,'group':'g'"),
        make_event("'name':'a1','phase':'RUNNING','parent':'a0'"),
    };
    fail_each_allocation(know, made);
    made_event_clear(&made[0]);
    made_event_clear(&made[1]);
}

enum { TREE = 100, CHANGED = 40 };

/* Actions of a run, the last of which are new to a manager that has the others, and a change of
 * each. */
struct tree_case {
    struct action actions[TREE];
    char names[TREE][8];
};

static void make_tree(struct tree_case *tree)
{
    for (int32_t i = 0; i < TREE; i++) {
        snprintf(tree->names[i], sizeof tree->names[i], "n%d", i);
        tree->actions[i] = (struct action){.name = tree->names[i],
                                           .parent = i ? tree->names[(i - 1) / 2] : NULL,
                                           .parent_named = true,
                                           .ordinal = i + 1,
                                           .attempt = 1,
                                           .phase = PHASE_QUEUED,
                                           .group = "before",
                                           .created_us = 0,
                                           .started_us = TIME_NONE,
                                           .ended_us = TIME_NONE,
                                           .revision = i + 1};
    }
}

static void count_record(void *arg, const char *bytes, size_t length, bool meets_filter)
{
    size_t *records = arg;
    assert_int_equal(bytes[length - 1], ':');
    *records += meets_filter;
}

/* Builds a tree and shows it. A walk that failed goes on where it stood. */
static int build_and_walk(void *arg)
{
    struct tree_case *tree = arg;
    struct filter filter = {0};
    size_t records = 0;
    int status = -1;
    assert_int_equal(filter_set_name(&filter, "n"), 0);
    struct run_state_manager *manager = run_state_manager_new();
    struct run_view *view = NULL;
    if (!manager)
        return -1;
    if (run_state_manager_upsert_actions(manager, tree->actions, TREE / 2, TREE / 2) != 0) {
        assert_int_equal(run_state_manager_count(manager), 0);
        assert_null(run_state_manager_newest(manager));
        goto done;
    }
    view = run_view_new(manager, &filter);
    if (!view || run_state_manager_upsert_actions(manager, tree->actions, TREE, TREE) != 0)
        goto done;
    if (run_view_sync(view) != 0) {
        assert_int_equal(run_view_revision(view), TREE / 2);
        assert_int_equal(run_view_visible_count(view), TREE / 2);
        goto done;
    }
    struct view_walk walk = run_view_walk_begin(view, 0);
    status = run_view_walk(view, &walk, SIZE_MAX, SIZE_MAX, count_record, &records);
    if (status == -ENOMEM)
        assert_int_equal(run_view_walk(view, &walk, SIZE_MAX, SIZE_MAX, count_record, &records), 1);
    assert_int_equal(records, TREE);
    status = status == 1 ? 0 : -1;
done:
    run_view_free(view);
    run_state_manager_free(manager);
    return status;
}

/* Reads a tree that moves meanwhile: either as it was, or not at all. */
static int read_while_it_moves(void *arg)
{
    struct tree_case *tree = arg;
    struct view_reading *reading = NULL;
    size_t records = 0;
    int status = -1;
    struct run_state_manager *manager = run_state_manager_new();
    struct run_view *view = manager ? run_view_new(manager, &(struct filter){0}) : NULL;
    if (!view ||
        run_state_manager_upsert_actions(manager, tree->actions, TREE / 2, TREE / 2) != 0 ||
        run_view_sync(view) != 0)
        goto done;
    reading = view_reading_new(view);
    if (!reading || run_state_manager_upsert_actions(manager, tree->actions, TREE, TREE) != 0)
        goto done;
    status = view_reading_next(reading, SIZE_MAX, SIZE_MAX, count_record, &records);
    if (status == -ENOMEM)
        assert_int_equal(view_reading_next(reading, SIZE_MAX, SIZE_MAX, count_record, &records), 1);
    else if (status != 1)
        assert_int_equal(status, -ESTALE);
    assert_int_equal(records, status == -ESTALE ? 0 : TREE / 2);
    status = status == 1 ? 0 : -1;
done:
    view_reading_free(reading);
    run_view_free(view);
    run_state_manager_free(manager);
    return status;
}

static void test_trees_and_views(void **state)
{
    (void)state;
    struct tree_case *tree = calloc(1, sizeof *tree);
    make_tree(tree);
    fail_each_allocation(build_and_walk, tree);
    fail_each_allocation(read_while_it_moves, tree);
    free(tree);
}

/* What was added is there once, however often it was tried. */
static int replay_run(void *arg)
{
    const struct replayed_event *events = arg;
    static const struct run_key run = {"p", "d", "r"};
    struct run_state_manager *manager = run_state_manager_new();
    struct replay *replay = replay_new(&run);
    int status = replay && manager ? 0 : -1;
    for (size_t i = 0; i < 3 && status == 0; i++)
        status = replay_add(replay, &events[i]);
    if (status == 0)
        status = replay_build(replay, manager, 10, 3) == 1 ? 0 : -1;
    if (status == 0)
        assert_int_equal(run_state_manager_count(manager), 2);
    replay_free(replay);
    run_state_manager_free(manager);
    return status == 0 ? 0 : -1;
}

static void test_replaying(void **state)
{
    (void)state;
    static const char text[] =
        "{\"group\":\"g\",\"title\":\"t\",\"errorInfo\":{\"message\":\"m\"}}";
    const struct json_text info = {text, sizeof text - 1};
    const struct replayed_event events[] = {
        {.name = "a", .attempt = 1, .phase = PHASE_RUNNING, .revision = 1, .info = info},
        {.name = "b",
         .parent = "a",
         .attempt = 1,
         .phase = PHASE_QUEUED,
         .revision = 2,
         .info = info},
        {.name = "b",
         .parent = "a",
         .attempt = 1,
         .phase = PHASE_FAILED,
         .revision = 3,
         .info = info}};
    fail_each_allocation(replay_run, (void *)(uintptr_t)events);
}

static int explain_waiting(void *arg)
{
    const struct action *actions = arg;
    struct waiting_chains *chains = waiting_chains_new();
    int status = chains ? 0 : -1;
    for (size_t i = 0; i < 3 && status == 0; i++)
        status = waiting_chains_put(chains, &actions[i]);
    if (status == 0)
        assert_string_equal(waiting_chains_why(chains, "c").name, "absent");
    waiting_chains_free(chains);
    return status == 0 ? 0 : -1;
}

static void test_waiting(void **state)
{
    (void)state;
    const struct action actions[] = {{.name = "a", .parent_named = true, .parent = "absent"},
                                     {.name = "b", .parent_named = true, .parent = "a"},
                                     {.name = "c", .parent_named = true, .parent = "b"}};
    fail_each_allocation(explain_waiting, (void *)(uintptr_t)actions);
}

struct message {
    const char *tool, *text;
};

static int adapt(void *arg)
{
    const struct message *message = arg;
    const struct adapter_request request = {.method = "POST",
                                            .project = "p",
                                            .domain = "d",
                                            .body = message->text,
                                            .body_length = strlen(message->text),
                                            .received_us = 1};
    struct adapter_answer answer;
    adapter_handle(adapter_find(message->tool), &request, &answer);
    int status = answer.failed ? -1 : 0;
    adapter_answer_clear(&answer);
    return status;
}

static void test_adapting(void **state)
{
    (void)state;
    static struct message messages[] = {
        {"openlineage",
         "{\"eventType\":\"START\",\"eventTime\":\"2026-11-25T18:43:49Z\",\"run\":{\"runId\":\"1-"
         "2\","
         "\"facets\":{\"errorMessage\":{\"message\":\"m\",\"stackTrace\":\"s\"},\"airflowDagRun\":"
         "{\"dagRun\":{\"run_id\":\"r\",\"conf\":{\"x\":1}}}}},\"job\":{\"name\":\"etl\","
         "\"facets\":{"
         "\"sourceCodeLocation\":{\"url\":\"http://g\"},\"airflow\":{\"tasks\":{\"a\":{"
         "\"downstream_task_ids\":[\"b\"],\"operator\":\"x.Y\",\"task_group\":\"g\"},\"b\":{}}}}},"
         "\"outputs\":[{\"namespace\":\"n\",\"name\":\"t\"}]}"},
        {"openlineage",
         "[{\"eventType\":\"ODD\",\"run\":{\"runId\":\"1\"},\"job\":{\"name\":\"j\"}}]"},
        {"nextflow",
         "{\"event\":\"process_submitted\",\"runName\":\"r\",\"runId\":\"i\",\"trace\":{"
         "\"name\":\"A (1)\",\"process\":\"Q:A\",\"task_id\":1,\"workdir\":\"/w\"}}"},
        {"nextflow", "{\"event\":\"completed\",\"runName\":\"r\",\"runId\":\"i\",\"metadata\":{"
                     "\"parameters\":{\"x\":1},\"workflow\":{\"errorMessage\":\"m\"}}}"},
        {"cloudevents", "{\"specversion\":\"1.0\",\"data_base64\":\"eyJuYW1lIjoiYSJ9\"}"},
        {"cloudevents", "no JSON"},
    };
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++)
        fail_each_allocation(adapt, &messages[i]);
}

/* One text for all that a manager says of itself. */
static char *describe(const struct run_state_manager *manager)
{
    struct buffer out = {0};
    buffer_integer(&out, run_state_manager_revision(manager));
    for (const struct run_node *at = run_state_manager_newest(manager); at; at = at->older) {
        size_t length;
        const char *record = node_update_encode(at, &length);
        buffer_append(&out, record, length);
        buffer_integer(&out, at->changed_revision);
        assert_ptr_equal(run_state_manager_find(manager, at->action.name), at);
    }
    buffer_append(&out, "", 1);
    return out.bytes;
}

/* A failed upsert leaves a manager that has a tree as it was; the one that does not fail goes
 * through. */
static void test_failed_upsert_changes_nothing(void **state)
{
    (void)state;
    struct tree_case *tree = calloc(1, sizeof *tree);
    make_tree(tree);
    struct run_state_manager *manager = run_state_manager_new();
    assert_int_equal(run_state_manager_upsert_actions(manager, tree->actions, CHANGED, CHANGED), 0);
    char *before = describe(manager);
    for (size_t i = 0; i < CHANGED; i += 2) {
        tree->actions[i].revision = TREE + (int64_t)i + 1;
        tree->actions[i].group = "after";
        tree->actions[i].phase = PHASE_RUNNING;
    }
    int status = -ENOMEM;
    size_t nth;
    for (nth = 1; status != 0; nth++) {
        heap.until_failure = nth;
        status = run_state_manager_upsert_actions(manager, tree->actions, TREE, 100000);
        heap.until_failure = 0;
        if (status == 0)
            break;
        assert_int_equal(status, -ENOMEM);
        assert_int_equal(run_state_manager_count(manager), CHANGED);
        assert_null(run_state_manager_find(manager, tree->names[CHANGED]));
        char *now = describe(manager);
        assert_string_equal(now, before);
        free(now);
    }
    assert_true(nth > CHANGED / 2);
    assert_int_equal(run_state_manager_count(manager), TREE);
    assert_int_equal(run_state_manager_phase_counts(manager)[PHASE_RUNNING], CHANGED / 2);
    free(before);
    run_state_manager_free(manager);
    free(tree);
}

/* Two attempts whose arrays grow more than once. */
static int merge_attempts(void *arg)
{
    const struct json_text *info = arg;
    struct buffer out = {0};
    struct attempts *attempts = attempts_new();
    int status = attempts ? 0 : -1;
    for (int32_t i = 0; status == 0 && i < 40; i++)
        status = attempts_add(attempts, 1 + i % 2, PHASE_RUNNING, i, 0, *info);
    if (status == 0)
        attempts_write(attempts, &out);
    if (status == 0 && !out.failed)
        assert_int_equal(out.bytes[out.length - 1], ']');
    else
        status = -1;
    buffer_free(&out);
    attempts_free(attempts);
    return status;
}

static void test_attempts(void **state)
{
    (void)state;
    static const char text[] = "{\"logInfo\":[1,2,3,4,5],\"clusterEvents\":[\"a\",\"b\"],"
                               "\"outputs\":{},\"errorInfo\":{}}";
    struct json_text info = {.bytes = text, .length = sizeof text - 1};
    fail_each_allocation(merge_attempts, &info);
}

/* jansson would run past the end of a string that it has a part of only. */
static void test_no_memory_for_a_long_string(void **state)
{
    (void)state;
    enum { STRING_BYTES = 100000 };
    static const char head[] = "{\"project\":\"p\",\"domain\":\"d\",\"runName\":\"r\","
                               "\"name\":\"a0\",\"phase\":4,\"errorInfo\":{\"message\":\"";
    char *body = malloc(sizeof head + STRING_BYTES + 4);
    struct event_batch batch;
    struct problem problem = {0};
    assert_non_null(body);
    memcpy(body, head, sizeof head);
    memset(body + sizeof head - 1, 'x', STRING_BYTES);
    memcpy(body + sizeof head - 1 + STRING_BYTES, "\"}}", 4);
    heap.largest = STRING_BYTES / 2;
    int status =
        event_batch_decode(&batch, body, strlen(body), EVENT_BATCH_JSON, NULL, 0, &problem);
    heap.largest = 0;
    assert_int_equal(status, -1);
    assert_int_equal(problem.kind, PROBLEM_OVERLOADED);
}

/* A message of Flyte's, in both forms, and the events that it becomes. */
static int report_to_flyte(void *arg)
{
    const char *text = arg;
    struct arena arena = {0};
    struct buffer packed = {0};
    struct flyte_events events = {0};
    char why[MESSAGE_WHY_SIZE];
    const ProtobufCMessageDescriptor *kind = &flyte__create_tracked_run_request__descriptor;
    json_t *json = json_loads(text, 0, NULL);
    const ProtobufCMessage *message =
        json == NULL ? NULL : message_from_json(kind, json, &arena, why);
    if (message != NULL) {
        message_pack(&packed, message);
        message =
            packed.failed ? NULL : message_unpack(kind, packed.bytes, packed.length, &arena, why);
    }
    if (message != NULL)
        flyte_events_write(&events, message);
    int status = message == NULL || events.json.failed ? -1 : 0;
    json_decref(json);
    buffer_free(&events.json);
    buffer_free(&packed);
    arena_free(&arena);
    return status;
}

/* Answers that are made of records. */
static int answer_flyte(void *arg)
{
    static const struct flyte_scope scope = {"o", "p", "d", "r"};
    const char *records = arg, *document = strstr(records, "{");
    struct flyte_updates updates = {0};
    struct buffer out[3] = {0};
    json_t *record = json_loads(document, JSON_DISABLE_EOF_CHECK, NULL);
    json_t *details = record == NULL ? NULL : flyte_action_details(&scope, record);
    json_t *run = record == NULL ? NULL : flyte_run("o", record, record);
    int status = flyte_updates_read(&updates, &scope, records, strlen(records));
    flyte_write_answer(&out[0], &flyte__action_details_response__descriptor, details, false);
    flyte_write_answer(&out[1], &flyte__run__descriptor, run, true);
    for (size_t i = 0; i < 2; i++) {
        status |= out[i].failed ? -1 : 0;
        buffer_free(&out[i]);
    }
    json_decref(updates.response);
    json_decref(run);
    json_decref(details);
    json_decref(record);
    return status < 0 ? -1 : 0;
}

static void test_flyte(void **state)
{
    static char report[] =
        "{\"runId\":{\"project\":\"p\",\"domain\":\"d\",\"name\":\"r\"},"
        "\"labels\":{\"a\":\"b\",\"c\":\"d\"},\"taskSpec\":{\"shortName\":\"s\"},"
        "\"runStartTime\":\"2026-04-12T08:00:00Z\"}";
    static char records[] =
        "event: nodeUpdate\ndata: {\"action\":{\"name\":\"a1\",\"phase\":\"RUNNING\"},"
        "\"name\":\"a1\",\"phase\":\"ABORTED\",\"errorInfo\":{\"message\":\"m\"},"
        "\"attempts\":[{\"attempt\":1,\"logInfo\":[{\"uri\":\"u\"}],\"phaseTransitions\":["
        "{\"phase\":\"RUNNING\"},{\"phase\":\"RUNNING\"}]}],\"labels\":{\"a\":\"b\"},"
        "\"childPhaseCounts\":{\"RUNNING\":1},\"meetsFilter\":true}\n";

    (void)state;
    fail_each_allocation(report_to_flyte, report);
    fail_each_allocation(answer_flyte, records);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flyte),
        cmocka_unit_test(test_decoding),
        cmocka_unit_test(test_no_memory_for_a_long_string),
        cmocka_unit_test(test_deciding),
        cmocka_unit_test(test_knowing),
        cmocka_unit_test(test_trees_and_views),
        cmocka_unit_test(test_failed_upsert_changes_nothing),
        cmocka_unit_test(test_attempts),
        cmocka_unit_test(test_replaying),
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_adapting),
    };
    json_object_seed(1);
    json_set_alloc_funcs(jansson_malloc, __wrap_free);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
