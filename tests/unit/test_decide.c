/* What a batch of events is decided to be, case by case. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_test.h"
#include "event_maker.h"
#include "memory_store.h"

enum { BATCH_MAX = 16 };

/* A store, and the batch that is being put together. */
struct fixture {
    struct memory_store store;
    struct made_event made[BATCH_MAX];
    struct event_result results[BATCH_MAX];
    size_t count;
};

static int set_up(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state ? 0 : -1;
}

static void empty_batch(struct fixture *fixture)
{
    for (size_t i = 0; i < fixture->count; i++) {
        made_event_clear(&fixture->made[i]);
        event_result_clear(&fixture->results[i]);
    }
    fixture->count = 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    empty_batch(fixture);
    memory_store_clear(&fixture->store);
    free(fixture);
    return 0;
}

#define ADD(...) (fixture->made[fixture->count++] = make_event(__VA_ARGS__))

/* Posts what was added; results[i] belongs to the i-th ADD since the last post. */
static void post(struct fixture *fixture)
{
    const struct action_event *events[BATCH_MAX];
    for (size_t i = 0; i < fixture->count; i++)
        events[i] = &fixture->made[i].event;
    assert_int_equal(memory_store_post(&fixture->store, events, fixture->results, fixture->count),
                     0);
}

#define POST_ONE(...)                                                                              \
    do {                                                                                           \
        empty_batch(fixture);                                                                      \
        ADD(__VA_ARGS__);                                                                          \
        post(fixture);                                                                             \
    } while (0)

#define ASSERT_RESULT(index, expected_status, expected_revision)                                   \
    do {                                                                                           \
        assert_int_equal(fixture->results[index].status, expected_status);                         \
        assert_int_equal(fixture->results[index].revision, expected_revision);                     \
    } while (0)

static const struct action *action_of(const struct fixture *fixture, const char *name)
{
    return memory_store_action(&fixture->store, 0, name);
}

static const struct run *run_of(const struct fixture *fixture)
{
    return &fixture->store.runs[0];
}

static void test_root_joins_and_moves(void **state)
{
    struct fixture *fixture = *state;
    POST_ONE("'name':'a0','phase':'QUEUED','parent':null,'updatedTime':'1970-01-01T00:00:01Z'");
    ASSERT_RESULT(0, EVENT_APPLIED, 1);
    POST_ONE("'name':'a0','phase':'RUNNING','updatedTime':'1970-01-01T00:00:02Z'");
    ASSERT_RESULT(0, EVENT_APPLIED, 2);
    POST_ONE("'name':'a0','phase':'FAILED','updatedTime':'1970-01-01T00:00:05Z',"
             "'errorInfo':{'kind':'USER','message':'no'}");
    ASSERT_RESULT(0, EVENT_APPLIED, 3);

    const struct action *root = action_of(fixture, "a0");
    assert_int_equal(root->ordinal, 1);
    assert_int_equal(root->level, 1);
    assert_int_equal(root->phase, PHASE_FAILED);
    assert_int_equal(root->created_us, 1000000);
    assert_int_equal(root->started_us, 2000000);
    assert_int_equal(root->ended_us, 5000000);
    assert_int_equal(root->revision, 3);
    assert_string_equal(root->error_info, "{\"kind\":\"USER\",\"message\":\"no\"}");

    const struct run *run = run_of(fixture);
    assert_int_equal(run->revision, 3);
    assert_int_equal(run->action_count, 1);
    assert_string_equal(run->root, "a0");
    assert_int_equal(run->phase, PHASE_FAILED);
    assert_int_equal(run->created_us, 1000000);
    assert_int_equal(run->started_us, 2000000);
    assert_int_equal(run->ended_us, 5000000);
    assert_int_equal(run->phase_counts[PHASE_FAILED], 1);
    assert_int_equal(run->phase_counts[PHASE_QUEUED], 0);
}

/* Run and actions are read one after the other, and another process may write in between. What is
 * decided then is not written. */
static void test_run_is_read_before_its_root_joined(void **state)
{
    struct fixture *fixture = *state;
    POST_ONE("'name':'a0','phase':'QUEUED','parent':null,'updatedTime':'1970-01-01T00:00:01Z'");
    struct run *run = &fixture->store.runs[0];
    free((char *)run->root);
    run->root = NULL;
    POST_ONE("'name':'a0','phase':'RUNNING','updatedTime':'1970-01-01T00:00:02Z'");
    ASSERT_RESULT(0, EVENT_APPLIED, 2);
}

static void test_late_event_is_recorded(void **state)
{
    struct fixture *fixture = *state;
    POST_ONE("'name':'a0','phase':'FAILED','parent':null,'updatedTime':'1970-01-01T00:00:05Z'");
    POST_ONE("'name':'a0','phase':'RUNNING','updatedTime':'1970-01-01T00:00:07Z'");
    ASSERT_RESULT(0, EVENT_RECORDED, 2);
    assert_int_equal(action_of(fixture, "a0")->phase, PHASE_FAILED);
    /* It did say when the action started, and a watcher sees that. */
    assert_int_equal(action_of(fixture, "a0")->started_us, 7000000);
    assert_int_equal(action_of(fixture, "a0")->revision, 2);

    POST_ONE("'name':'a0','phase':'QUEUED','updatedTime':'1970-01-01T00:00:06Z'");
    ASSERT_RESULT(0, EVENT_RECORDED, 3);
    assert_int_equal(action_of(fixture, "a0")->revision, 2);
    assert_int_equal(run_of(fixture)->revision, 3);

    POST_ONE("'name':'a0','phase':'QUEUED','attempt':2,'updatedTime':'1970-01-01T00:00:09Z'");
    ASSERT_RESULT(0, EVENT_APPLIED, 4);
    assert_int_equal(action_of(fixture, "a0")->phase, PHASE_QUEUED);
    assert_int_equal(action_of(fixture, "a0")->ended_us, TIME_NONE);
}

static void test_every_status_in_one_batch(void **state)
{
    struct fixture *fixture = *state;
    ADD("'name':'a0','phase':'RUNNING','parent':null");
    ADD("'name':'a0','phase':'QUEUED'");
    ADD("'name':'a1','phase':'QUEUED','parent':'a9'");
    ADD("'name':'a2','phase':'QUEUED'");
    ADD("'name':'a0','phase':'RUNNING','parent':null");
    ADD("'name':'a0','phase':'RUNNING','parent':null,'group':'g'");
    ADD("'name':'a0','phase':'SUCCEEDED','parent':'a1'");
    post(fixture);
    ASSERT_RESULT(0, EVENT_APPLIED, 1);
    ASSERT_RESULT(1, EVENT_RECORDED, 2);
    ASSERT_RESULT(2, EVENT_WAITING, 0);
    assert_string_equal(fixture->results[2].waiting_for, "a9");
    ASSERT_RESULT(3, EVENT_WAITING, 0);
    assert_null(fixture->results[3].waiting_for);
    ASSERT_RESULT(4, EVENT_DUPLICATE, 1);
    assert_true(fixture->results[4].identical);
    ASSERT_RESULT(5, EVENT_DUPLICATE, 1);
    assert_false(fixture->results[5].identical);
    ASSERT_RESULT(6, EVENT_REJECTED, 0);
    assert_int_equal(fixture->results[6].problem->kind, PROBLEM_PARENT_CONFLICT);
    assert_int_equal(fixture->store.event_count, 4);
    assert_int_equal(run_of(fixture)->revision, 2);
}

static void test_duplicate_of_a_stored_event(void **state)
{
    struct fixture *fixture = *state;
    POST_ONE("'name':'a0','phase':'RUNNING','parent':null,'outputs':{'x':1}");
    POST_ONE("'outputs':{'x':1},'parent':null,'phase':4,'name':'a0','version':0");
    ASSERT_RESULT(0, EVENT_DUPLICATE, 1);
    assert_true(fixture->results[0].identical);
    POST_ONE("'name':'a0','phase':'RUNNING','parent':null,'outputs':{'x':2}");
    ASSERT_RESULT(0, EVENT_DUPLICATE, 1);
    assert_false(fixture->results[0].identical);
    POST_ONE("'name':'a0','phase':'RUNNING','parent':'other','outputs':{'x':1}");
    ASSERT_RESULT(0, EVENT_DUPLICATE, 1);
    assert_false(fixture->results[0].identical);
    assert_int_equal(fixture->store.event_count, 1);
    assert_int_equal(run_of(fixture)->revision, 1);
}

static void test_waiting_child_joins_behind_its_parent(void **state)
{
    struct fixture *fixture = *state;
    POST_ONE("'name':'leaf','phase':'QUEUED','parent':'middle'");
    ASSERT_RESULT(0, EVENT_WAITING, 0);
    POST_ONE("'name':'leaf','phase':'RUNNING'");
    ASSERT_RESULT(0, EVENT_WAITING, 0);
    assert_string_equal(fixture->results[0].waiting_for, "middle");
    POST_ONE("'name':'middle','phase':'QUEUED'");
    ASSERT_RESULT(0, EVENT_WAITING, 0);
    POST_ONE("'name':'middle','phase':'RUNNING','parent':'a0'");
    ASSERT_RESULT(0, EVENT_WAITING, 0);
    assert_int_equal(run_of(fixture)->revision, 0);
    assert_null(run_of(fixture)->root);

    POST_ONE("'name':'a0','phase':'RUNNING','parent':null");
    ASSERT_RESULT(0, EVENT_APPLIED, 1);
    assert_int_equal(action_of(fixture, "a0")->ordinal, 1);
    assert_int_equal(action_of(fixture, "middle")->ordinal, 2);
    assert_int_equal(action_of(fixture, "middle")->revision, 2);
    assert_int_equal(action_of(fixture, "leaf")->ordinal, 3);
    assert_int_equal(action_of(fixture, "leaf")->level, 3);
    assert_int_equal(action_of(fixture, "leaf")->revision, 3);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(fixture->store.events[i].revision, 3);
    assert_int_equal(run_of(fixture)->revision, 3);
    assert_int_equal(run_of(fixture)->phase_counts[PHASE_RUNNING], 3);
    POST_ONE("'name':'leaf','phase':'QUEUED','parent':'middle'");
    ASSERT_RESULT(0, EVENT_DUPLICATE, 3);
}

static void test_child_before_its_parent_in_one_batch(void **state)
{
    struct fixture *fixture = *state;
    ADD("'name':'leaf','phase':'RUNNING'");
    ADD("'name':'leaf','phase':'QUEUED','parent':'a0'");
    ADD("'name':'leaf','phase':'QUEUED','parent':'a0'");
    ADD("'name':'a0','phase':'RUNNING','parent':null");
    post(fixture);
    ASSERT_RESULT(0, EVENT_APPLIED, 2);
    ASSERT_RESULT(1, EVENT_RECORDED, 2);
    ASSERT_RESULT(2, EVENT_DUPLICATE, 2);
    ASSERT_RESULT(3, EVENT_APPLIED, 1);
}

static void test_duplicate_of_an_event_that_stops_waiting(void **state)
{
    struct fixture *fixture = *state;
    POST_ONE("'name':'leaf','phase':'QUEUED','parent':'a0'");
    empty_batch(fixture);
    ADD("'name':'leaf','phase':'QUEUED','parent':'a0'");
    ADD("'name':'a0','phase':'RUNNING','parent':null");
    post(fixture);
    ASSERT_RESULT(0, EVENT_DUPLICATE, 2);
}

static void test_siblings_join_eldest_first(void **state)
{
    struct fixture *fixture = *state;
    ADD("'name':'x','phase':'QUEUED','parent':'a0','updatedTime':'1970-01-01T00:00:03Z'");
    ADD("'name':'y','phase':'QUEUED','parent':'a0','updatedTime':'1970-01-01T00:00:01Z'");
    ADD("'name':'c','phase':'QUEUED','parent':'a0','updatedTime':'1970-01-01T00:00:02Z'");
    ADD("'name':'b','phase':'QUEUED','parent':'a0','updatedTime':'1970-01-01T00:00:02Z'");
    post(fixture);
    POST_ONE("'name':'a0','phase':'QUEUED','parent':null");
    assert_int_equal(action_of(fixture, "y")->ordinal, 2);
    assert_int_equal(action_of(fixture, "b")->ordinal, 3);
    assert_int_equal(action_of(fixture, "c")->ordinal, 4);
    assert_int_equal(action_of(fixture, "x")->ordinal, 5);
}

static void test_parent_cannot_change(void **state)
{
    struct fixture *fixture = *state;
    POST_ONE("'name':'a0','phase':'QUEUED','parent':null");
    POST_ONE("'name':'a1','phase':'QUEUED','parent':'a0'");
    POST_ONE("'name':'a1','phase':'RUNNING','parent':'a2'");
    assert_int_equal(fixture->results[0].status, EVENT_REJECTED);
    assert_int_equal(fixture->results[0].problem->kind, PROBLEM_PARENT_CONFLICT);
    assert_string_equal(fixture->results[0].problem->pointer, "/parent");
    assert_non_null(strstr(fixture->results[0].problem->detail, "a0"));
    assert_non_null(strstr(fixture->results[0].problem->detail, "a2"));
    POST_ONE("'name':'a1','phase':'RUNNING','parent':null");
    assert_int_equal(fixture->results[0].status, EVENT_REJECTED);
    POST_ONE("'name':'a0','phase':'RUNNING','parent':'a1'");
    assert_int_equal(fixture->results[0].status, EVENT_REJECTED);
    POST_ONE("'name':'a1','phase':'RUNNING','parent':'a0'");
    ASSERT_RESULT(0, EVENT_APPLIED, 3);
    assert_int_equal(fixture->store.event_count, 3);

    /* A parent that was named while waiting stands as well. */
    POST_ONE("'name':'w','phase':'QUEUED','parent':'nobody'");
    POST_ONE("'name':'w','phase':'RUNNING','parent':'a0'");
    assert_int_equal(fixture->results[0].status, EVENT_REJECTED);
}

static void test_rejected_event_leaves_its_key_free(void **state)
{
    struct fixture *fixture = *state;
    POST_ONE("'name':'a0','phase':'QUEUED','parent':null");
    empty_batch(fixture);
    ADD("'name':'a0','phase':'RUNNING','parent':'x'");
    ADD("'name':'a0','phase':'RUNNING'");
    post(fixture);
    assert_int_equal(fixture->results[0].status, EVENT_REJECTED);
    ASSERT_RESULT(1, EVENT_APPLIED, 2);
}

static void test_cycle_waits(void **state)
{
    struct fixture *fixture = *state;
    POST_ONE("'name':'a0','phase':'QUEUED','parent':null");
    POST_ONE("'name':'b','phase':'QUEUED','parent':'c'");
    POST_ONE("'name':'c','phase':'QUEUED','parent':'b'");
    ASSERT_RESULT(0, EVENT_WAITING, 0);
    POST_ONE("'name':'b','phase':'RUNNING','parent':'c'");
    ASSERT_RESULT(0, EVENT_WAITING, 0);
    assert_int_equal(run_of(fixture)->action_count, 1);
}

/* An event of its own brings it in first, before its parent has brought in all that waited. */
static void test_a_waiting_child_joins_once(void **state)
{
    struct fixture *fixture = *state;
    fixture->store.children_max = 1;
    POST_ONE("'name':'b','phase':'QUEUED','parent':'a0'");
    POST_ONE("'name':'c','phase':'QUEUED','parent':'a0'");
    POST_ONE("'name':'a0','phase':'QUEUED','parent':null");
    assert_int_equal(run_of(fixture)->action_count, 2);

    empty_batch(fixture);
    ADD("'name':'b','phase':'RUNNING'");
    ADD("'name':'c','phase':'RUNNING'");
    ADD("'name':'a0','phase':'RUNNING','aliases':['z']");
    post(fixture);
    assert_int_equal(run_of(fixture)->action_count, 3);
    assert_int_equal(run_of(fixture)->phase_counts[PHASE_RUNNING], 3);
    assert_int_equal(run_of(fixture)->phase_counts[PHASE_QUEUED], 0);
}

static void post_chain(struct fixture *fixture, int first, int last)
{
    for (int i = first; i <= last; i++) {
        if (i == 1)
            POST_ONE("'name':'n1','phase':'RUNNING','parent':null");
        else
            POST_ONE("'name':'n%d','phase':'RUNNING','parent':'n%d'", i, i - 1);
    }
}

static void test_deepest_level_and_one_past_it(void **state)
{
    struct fixture *fixture = *state;
    post_chain(fixture, 1, TREE_LEVELS_MAX);
    ASSERT_RESULT(0, EVENT_APPLIED, TREE_LEVELS_MAX);
    assert_int_equal(action_of(fixture, "n1000")->level, TREE_LEVELS_MAX);

    POST_ONE("'name':'n1001','phase':'RUNNING','parent':'n1000'");
    assert_int_equal(fixture->results[0].status, EVENT_REJECTED);
    assert_int_equal(fixture->results[0].problem->kind, PROBLEM_TOO_DEEP);
    assert_string_equal(fixture->results[0].problem->pointer, "/parent");
    assert_null(action_of(fixture, "n1001"));
}

static void test_waiting_chain_joins_down_to_the_deepest_level(void **state)
{
    struct fixture *fixture = *state;
    post_chain(fixture, 2, TREE_LEVELS_MAX + 1);
    ASSERT_RESULT(0, EVENT_WAITING, 0);
    POST_ONE("'name':'n1','phase':'RUNNING','parent':null");
    ASSERT_RESULT(0, EVENT_APPLIED, 1);
    assert_int_equal(run_of(fixture)->action_count, TREE_LEVELS_MAX);
    assert_int_equal(action_of(fixture, "n1000")->level, TREE_LEVELS_MAX);
    assert_int_equal(action_of(fixture, "n1001")->ordinal, 0);
    POST_ONE("'name':'n1001','phase':'SUCCEEDED'");
    ASSERT_RESULT(0, EVENT_WAITING, 0);
    POST_ONE("'name':'n1001','phase':'FAILED','parent':'n1000'");
    assert_int_equal(fixture->results[0].problem->kind, PROBLEM_TOO_DEEP);
}

static void test_runs_are_decided_apart(void **state)
{
    struct fixture *fixture = *state;
    ADD("'runName':'z','name':'a0','phase':'RUNNING','parent':null");
    ADD("'runName':'b','name':'a0','phase':'QUEUED','parent':null");
    ADD("'runName':'z','name':'a1','phase':'QUEUED','parent':'a0'");
    ADD("'project':'o','runName':'z','name':'a1','phase':'QUEUED','parent':'a0'");
    post(fixture);
    ASSERT_RESULT(0, EVENT_APPLIED, 1);
    ASSERT_RESULT(1, EVENT_APPLIED, 1);
    ASSERT_RESULT(2, EVENT_APPLIED, 2);
    ASSERT_RESULT(3, EVENT_WAITING, 0);
    assert_int_equal(fixture->store.run_count, 3);
    assert_string_equal(fixture->store.runs[0].key.project, "o");
    assert_int_equal(fixture->store.runs[0].revision, 0);
    assert_int_equal(fixture->store.runs[2].revision, 2);
}

static void test_group_and_task_are_those_of_the_first_event_that_has_them(void **state)
{
    struct fixture *fixture = *state;
    POST_ONE("'name':'a0','phase':'RUNNING','parent':null,'group':'g2','task':{'name':'t2'}");
    POST_ONE("'name':'a0','phase':'SUCCEEDED','group':'g3'");
    assert_string_equal(action_of(fixture, "a0")->group, "g2");
    POST_ONE("'name':'a0','phase':'QUEUED','group':'g1'");
    ASSERT_RESULT(0, EVENT_RECORDED, 3);
    assert_string_equal(action_of(fixture, "a0")->group, "g1");
    assert_string_equal(action_of(fixture, "a0")->task_name, "t2");
    assert_int_equal(action_of(fixture, "a0")->revision, 3);
}

static void test_second_root_is_not_the_root(void **state)
{
    struct fixture *fixture = *state;
    POST_ONE("'name':'a0','phase':'RUNNING','parent':null");
    POST_ONE("'name':'b0','phase':'FAILED','parent':null");
    assert_string_equal(run_of(fixture)->root, "a0");
    assert_int_equal(run_of(fixture)->phase, PHASE_RUNNING);
    POST_ONE("'name':'b0','phase':'RUNNING','attempt':2");
    assert_int_equal(run_of(fixture)->phase, PHASE_RUNNING);
    assert_int_equal(run_of(fixture)->phase_counts[PHASE_RUNNING], 2);
    assert_int_equal(run_of(fixture)->phase_counts[PHASE_FAILED], 0);
}

static void test_nothing_new_writes_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct made_event made = make_event("'name':'a0','phase':'RUNNING','parent':null");
    struct event_result result = {0};
    struct run stored = {.incarnation = "inc", .revision = 7, .action_count = 1, .root = "a0"};
    struct decision *decision = decision_new();
    size_t count;
    (void)fixture;
    assert_int_equal(decision_add_event(decision, &made.event, &result), 0);
    stored.key = decision_runs(decision, &count)[0];
    assert_int_equal(count, 1);
    assert_int_equal(decision_put_run(decision, &stored, false), 0);
    assert_int_equal(decision_put_event(decision, &stored.key, "a0", 1, PHASE_RUNNING, 0, 5, "{}"),
                     0);
    decision_names(decision, &count);
    assert_int_equal(count, 1);
    decision_event_names(decision, &count);
    assert_int_equal(count, 1);
    decision_unread_parents(decision, &count);
    assert_int_equal(count, 0);
    assert_int_equal(decision_make(decision), 0);
    assert_int_equal(result.status, EVENT_DUPLICATE);
    assert_int_equal(result.revision, 5);
    decision_event_rows(decision, &count);
    assert_int_equal(count, 0);
    decision_action_rows(decision, &count);
    assert_int_equal(count, 0);
    decision_joined_rows(decision, &count);
    assert_int_equal(count, 0);
    decision_run_rows(decision, &count);
    assert_int_equal(count, 0);
    decision_free(decision);
    event_result_clear(&result);
    made_event_clear(&made);
}

/* A reader may hand in more than was asked for. */
static void test_what_does_not_belong_is_ignored(void **state)
{
    (void)state;
    struct made_event made = make_event("'name':'a0','phase':'RUNNING','parent':null");
    struct event_result result = {0};
    const struct run other = {.key = {"p", "d", "other"}, .incarnation = "inc", .revision = 9};
    const struct action action = {.name = "a0", .ordinal = 1, .level = 1, .phase = PHASE_FAILED};
    const struct action_origin origin = {.said.furthest.phase = PHASE_FAILED};
    const struct run_key *key = &made.event.run;
    struct decision *decision = decision_new();
    size_t count;
    assert_int_equal(decision_add_event(decision, &made.event, &result), 0);
    decision_runs(decision, &count);
    assert_int_equal(decision_put_run(decision, &other, false), 0);
    assert_int_equal(decision_put_action(decision, &other.key, &action, &origin), 0);
    assert_int_equal(decision_put_event(decision, &other.key, "a0", 1, PHASE_RUNNING, 0, 5, "{}"),
                     0);
    assert_int_equal(decision_put_event(decision, key, "a1", 1, PHASE_RUNNING, 0, 5, "{}"), 0);
    assert_int_equal(decision_put_event(decision, key, "a0", 1, PHASE_FAILED, 0, 5, "{}"), 0);
    assert_int_equal(decision_make(decision), 0);
    assert_int_equal(result.status, EVENT_APPLIED);
    assert_int_equal(result.revision, 1);
    decision_free(decision);
    decision_free(NULL);
    made_event_clear(&made);
}

/* Behind an action's state there is nothing stored. */
static void test_only_old_events_may_be_stored(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "'name':'a0','phase':'SUCCEEDED'",            /* behind RUNNING */
        "'name':'a0','phase':'RUNNING'",              /* the state itself */
        "'name':'a0','phase':'RUNNING','version':1",  /* behind it */
        "'name':'a0','phase':'QUEUED','version':7",   /* before it */
        "'name':'a0','phase':'QUEUED','attempt':2",   /* behind it */
        "'name':'b0','phase':'QUEUED','parent':'a0'", /* not stored at all */
    };
    enum { TEXTS = sizeof texts / sizeof *texts };
    struct made_event made[TEXTS];
    struct event_result results[TEXTS] = {0};
    const struct action action = {
        .name = "a0", .ordinal = 1, .level = 1, .attempt = 1, .phase = PHASE_RUNNING};
    const struct action_origin origin = {.said.furthest.phase = PHASE_RUNNING};
    struct decision *decision = decision_new();
    size_t count;
    for (size_t i = 0; i < TEXTS; i++) {
        made[i] = make_event(texts[i]);
        assert_int_equal(decision_add_event(decision, &made[i].event, &results[i]), 0);
    }
    decision_runs(decision, &count);
    assert_int_equal(decision_put_action(decision, &made[0].event.run, &action, &origin), 0);
    const size_t *old = decision_old_events(decision, &count);
    assert_int_equal(count, 2);
    assert_int_equal(old[0], 1);
    assert_int_equal(old[1], 3);
    decision_free(decision);
    for (size_t i = 0; i < TEXTS; i++)
        made_event_clear(&made[i]);
}

/* Another end may have lost against the one that stands, whichever number it has. */
static void test_an_end_that_lost_is_known(void **state)
{
    struct fixture *fixture = *state;
    POST_ONE("'name':'a0','phase':'FAILED','parent':null,'updatedTime':'1970-01-01T00:00:05Z'");
    POST_ONE("'name':'a0','phase':'RECOVERED','updatedTime':'1970-01-01T00:00:06Z'");
    ASSERT_RESULT(0, EVENT_RECORDED, 2);
    POST_ONE("'name':'a0','phase':'RECOVERED','updatedTime':'1970-01-01T00:00:06Z'");
    ASSERT_RESULT(0, EVENT_DUPLICATE, 2);
    assert_int_equal(action_of(fixture, "a0")->phase, PHASE_FAILED);
    POST_ONE("'name':'a0','phase':'FAILED','updatedTime':'1970-01-01T00:00:04Z'");
    ASSERT_RESULT(0, EVENT_DUPLICATE, 1); /* the first document of a key stays */
    assert_int_equal(action_of(fixture, "a0")->ended_us, 5000000);
}

static void test_duplicate_says_what_differs(void **state)
{
    struct fixture *fixture = *state;
    POST_ONE("'name':'a0','phase':'RUNNING','parent':null,'group':'g','x':1");
    POST_ONE("'name':'a0','phase':'RUNNING','group':'h','x':1,'y':2");
    assert_false(fixture->results[0].identical);
    assert_non_null(strstr(fixture->results[0].differing, "group"));
    assert_non_null(strstr(fixture->results[0].differing, "parent"));
    assert_non_null(strstr(fixture->results[0].differing, "y"));
    assert_null(strstr(fixture->results[0].differing, "x"));
    assert_null(strstr(fixture->results[0].differing, "phase"));
    POST_ONE("'name':'a0','phase':'RUNNING','parent':null,'x':1,'group':'g'");
    assert_true(fixture->results[0].identical);
    assert_null(fixture->results[0].differing);
}

/* The service gives an action up, of whose run it was heard at `heard_us`. */
static void abandon(struct fixture *fixture, const char *name, int32_t attempt, int64_t heard_us)
{
    struct action_event *event = &fixture->made[fixture->count].event;
    ADD("'name':'%s','phase':'ABORTED','attempt':%d,'updatedTime':'1970-01-01T00:00:09Z'", name,
        attempt);
    event->version = ABANDONED_VERSION;
    event->is_abandonment = true;
    event->heard_us = heard_us;
}

static void test_what_nobody_ended_is_abandoned(void **state)
{
    struct fixture *fixture = *state;
    POST_ONE("'name':'a0','phase':'RUNNING','parent':null");
    POST_ONE("'name':'a1','phase':'RUNNING','parent':'a0'");
    POST_ONE("'name':'a2','phase':'SUCCEEDED','parent':'a0'");
    assert_false(run_has_open_ends(run_of(fixture)));
    POST_ONE("'name':'a0','phase':'FAILED'");
    assert_true(run_has_open_ends(run_of(fixture)));
    int64_t heard = run_of(fixture)->last_event_us;

    empty_batch(fixture);
    abandon(fixture, "a1", 1, heard);
    abandon(fixture, "a1", 1, heard); /* by another process */
    abandon(fixture, "a2", 1, heard); /* it has ended meanwhile */
    abandon(fixture, "a3", 1, heard); /* it is gone */
    post(fixture);
    ASSERT_RESULT(0, EVENT_APPLIED, 5);
    ASSERT_RESULT(1, EVENT_REJECTED, 0);
    ASSERT_RESULT(2, EVENT_REJECTED, 0);
    ASSERT_RESULT(3, EVENT_REJECTED, 0);
    assert_true(action_is_abandoned(action_of(fixture, "a1")));
    assert_int_equal(action_of(fixture, "a1")->ended_us, 9000000);
    assert_int_equal(run_of(fixture)->phase_counts[PHASE_ABORTED], 1);
    assert_int_equal(run_of(fixture)->last_event_us, heard);
    assert_false(run_has_open_ends(run_of(fixture)));

    POST_ONE("'name':'a1','phase':'SUCCEEDED'");
    ASSERT_RESULT(0, EVENT_APPLIED, 6);
    assert_int_equal(action_of(fixture, "a1")->phase, PHASE_SUCCEEDED);
    assert_false(action_is_abandoned(action_of(fixture, "a1")));
}

static void test_nothing_is_abandoned_too_early(void **state)
{
    struct fixture *fixture = *state;
    POST_ONE("'name':'a0','phase':'RUNNING','parent':null");
    POST_ONE("'name':'a1','phase':'RUNNING','parent':'a0'");
    empty_batch(fixture);
    abandon(fixture, "a1", 1, run_of(fixture)->last_event_us); /* the root runs */
    post(fixture);
    ASSERT_RESULT(0, EVENT_REJECTED, 0);
    POST_ONE("'name':'a0','phase':'FAILED'");
    int64_t heard = run_of(fixture)->last_event_us;
    POST_ONE("'name':'a1','phase':'RUNNING','attempt':2");
    empty_batch(fixture);
    abandon(fixture, "a1", 2, heard);                          /* something was heard */
    abandon(fixture, "a1", 1, run_of(fixture)->last_event_us); /* another attempt runs */
    post(fixture);
    ASSERT_RESULT(0, EVENT_REJECTED, 0);
    ASSERT_RESULT(1, EVENT_REJECTED, 0);

    heard = run_of(fixture)->last_event_us;
    empty_batch(fixture);
    ADD("'name':'a0','phase':'RUNNING','attempt':2"); /* in the same batch */
    abandon(fixture, "a1", 2, heard);
    post(fixture);
    ASSERT_RESULT(1, EVENT_REJECTED, 0);
    assert_int_equal(action_of(fixture, "a1")->phase, PHASE_RUNNING);
    assert_false(run_has_open_ends(run_of(fixture)));
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_root_joins_and_moves),
        CASE(test_run_is_read_before_its_root_joined),
        CASE(test_late_event_is_recorded),
        CASE(test_every_status_in_one_batch),
        CASE(test_duplicate_of_a_stored_event),
        CASE(test_waiting_child_joins_behind_its_parent),
        CASE(test_child_before_its_parent_in_one_batch),
        CASE(test_duplicate_of_an_event_that_stops_waiting),
        CASE(test_siblings_join_eldest_first),
        CASE(test_parent_cannot_change),
        CASE(test_rejected_event_leaves_its_key_free),
        CASE(test_cycle_waits),
        CASE(test_a_waiting_child_joins_once),
        CASE(test_deepest_level_and_one_past_it),
        CASE(test_waiting_chain_joins_down_to_the_deepest_level),
        CASE(test_runs_are_decided_apart),
        CASE(test_group_and_task_are_those_of_the_first_event_that_has_them),
        CASE(test_second_root_is_not_the_root),
        CASE(test_nothing_new_writes_nothing),
        CASE(test_what_does_not_belong_is_ignored),
        CASE(test_only_old_events_may_be_stored),
        CASE(test_an_end_that_lost_is_known),
        CASE(test_duplicate_says_what_differs),
        CASE(test_what_nobody_ended_is_abandoned),
        CASE(test_nothing_is_abandoned_too_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
