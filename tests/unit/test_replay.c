/* A tree that is made again from the events of a run is the one that there was: at a revision the
 * one that a watcher saw, at a time the one of a run to which only what had happened was posted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_test.h"
#include "event_maker.h"
#include "memory_store.h"
#include "model/replay.h"
#include "random.h"

enum { ROUNDS = 200, ACTIONS_MAX = 14, EVENTS_MAX = 60, SECONDS = 12 };

static const struct run_key run_key = {"p", "d", "r"};

/* -------- a tree as text: a line for each action, by name -------- */

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Without what differs between two runs of the same tree. */
static void cut_revision(char *line)
{
    char *revision = strstr(line, ",\"revision\":");
    size_t length = strcspn(revision + 1, ",}") + 1;
    memmove(revision, revision + length, strlen(revision + length) + 1);
}

static char *describe(struct run_state_manager *manager, bool has_revisions)
{
    size_t count = run_state_manager_count(manager);
    char *lines[ACTIONS_MAX + 1], *text = calloc(1, 1);
    for (size_t i = 0; i < count; i++) {
        size_t length;
        const char *record =
            node_update_encode(run_state_manager_at(manager, (int32_t)i + 1), &length);
        lines[i] = strndup(record, length);
        if (!has_revisions)
            cut_revision(lines[i]);
    }
    if (!has_revisions)
        qsort(lines, count, sizeof *lines, compare_lines);
    for (size_t i = 0; i < count; i++) {
        char *joined;
        assert_true(asprintf(&joined, "%s%s\n", text, lines[i]) > 0);
        free(lines[i]);
        free(text);
        text = joined;
    }
    run_state_manager_free(manager);
    return text;
}

static int compare_ordinals(const void *a, const void *b)
{
    return ((const struct action *)a)->ordinal - ((const struct action *)b)->ordinal;
}

/* What a watcher of the store's run has now. */
static struct run_state_manager *live_tree(const struct memory_store *store)
{
    struct run_state_manager *manager = run_state_manager_new();
    struct action actions[ACTIONS_MAX] = {0};
    size_t count = 0;
    for (size_t i = 0; i < store->action_count; i++)
        if (store->actions[i].action.ordinal > 0)
            actions[count++] = store->actions[i].action;
    qsort(actions, count, sizeof *actions, compare_ordinals);
    assert_int_equal(
        run_state_manager_upsert_actions(manager, actions, count, store->runs[0].revision), 0);
    return manager;
}

/* -------- the same from the events -------- */

static int compare_events(const void *a, const void *b)
{
    const struct stored_event *left = a, *right = b;
    const int64_t keys_left[] = {left->revision, left->attempt, left->phase, left->version};
    const int64_t keys_right[] = {right->revision, right->attempt, right->phase, right->version};
    for (size_t i = 0; i < 4; i++)
        if (keys_left[i] != keys_right[i])
            return keys_left[i] < keys_right[i] ? -1 : 1;
    return 0;
}

static const char *parent_of(const struct memory_store *store, const char *name)
{
    return memory_store_action(store, 0, name)->parent;
}

/* As the repo hands them out. */
static struct run_state_manager *replayed_tree(struct memory_store *store, int64_t revision,
                                               int64_t until_us)
{
    struct run_state_manager *manager = run_state_manager_new();
    struct replay *replay = replay_new(&run_key);
    qsort(store->events, store->event_count, sizeof *store->events, compare_events);
    for (size_t i = 0; i < store->event_count; i++) {
        const struct stored_event *at = &store->events[i];
        struct replayed_event event = {.name = at->name,
                                       .parent = parent_of(store, at->name),
                                       .attempt = at->attempt,
                                       .phase = at->phase,
                                       .version = at->version,
                                       .revision = at->revision,
                                       .updated_us = at->updated_us,
                                       .info = {at->info, strlen(at->info)}};
        if (at->updated_us > until_us)
            event.info = (struct json_text){NULL, 0};
        if (at->revision > 0 && at->revision <= revision)
            assert_int_equal(replay_add(replay, &event), 0);
    }
    assert_true(replay_bytes(replay) > 0);
    while (replay_build(replay, manager, 2, revision) == 0) {
    }
    replay_free(replay);
    return manager;
}

/* -------- a run -------- */

static void make_events(struct made_event *events, size_t count, struct random *random)
{
    size_t actions = 1 + random_below(random, ACTIONS_MAX);
    for (size_t i = 0; i < count; i++) {
        size_t action = random_below(random, actions);
        char more[256] = "";
        size_t length = 0;
        if (action == 0)
            length = (size_t)snprintf(more, sizeof more, ",'parent':null");
        else if (random_once_in(random, 2))
            length = (size_t)snprintf(more, sizeof more, ",'parent':'n%zu'",
                                      random_once_in(random, 20) ? actions : action / 2);
        if (random_once_in(random, 3))
            length += (size_t)snprintf(more + length, sizeof more - length, ",'group':'g%zu'",
                                       random_below(random, 3));
        if (random_once_in(random, 3))
            length += (size_t)snprintf(more + length, sizeof more - length,
                                       ",'task':{'name':'t%zu'}", random_below(random, 3));
        if (random_once_in(random, 3))
            length += (size_t)snprintf(more + length, sizeof more - length, ",'title':'T%zu'",
                                       random_below(random, 3));
        if (random_once_in(random, 3))
            snprintf(more + length, sizeof more - length,
                     ",'errorInfo':{'message':'m%zu','code':7}", random_below(random, 3));
        events[i] = make_event("'name':'n%zu','attempt':%zu,'phase':%zu,'version':%zu,"
                               "'updatedTime':'2026-01-01T00:00:%02zuZ'%s",
                               action, 1 + random_below(random, 2), 1 + random_below(random, 10),
                               random_below(random, 3), random_below(random, SECONDS), more);
    }
}

/* Posts them in batches; after each, calls `seen`. */
static void post(struct memory_store *store, struct made_event *events, size_t count,
                 struct random *random, void (*seen)(void *arg), void *arg)
{
    for (size_t first = 0, length; first < count; first += length) {
        const struct action_event *batch[EVENTS_MAX];
        struct event_result results[EVENTS_MAX] = {0};
        length = 1 + random_below(random, 8);
        if (length > count - first)
            length = count - first;
        for (size_t i = 0; i < length; i++)
            batch[i] = &events[first + i].event;
        assert_int_equal(memory_store_post(store, batch, results, length), 0);
        for (size_t i = 0; i < length; i++)
            event_result_clear(&results[i]);
        seen(arg);
        if (random_once_in(random, 2) && memory_store_continue(store, first))
            seen(arg);
    }
    while (memory_store_continue(store, count))
        seen(arg);
}

struct history {
    struct memory_store store;
    char *trees[4 * EVENTS_MAX + 1]; /* by revision, where somebody saw it */
};

static void see(void *arg)
{
    struct history *history = arg;
    char **tree = &history->trees[history->store.runs[0].revision];
    if (*tree == NULL)
        *tree = describe(live_tree(&history->store), true);
}

static void test_tree_at_a_revision(void **state)
{
    (void)state;
    struct random random = random_start("replay");
    for (int round = 0; round < ROUNDS; round++) {
        struct history history = {.store.children_max = 1 + random_below(&random, 4)};
        struct made_event events[EVENTS_MAX];
        size_t count = 1 + random_below(&random, EVENTS_MAX);
        make_events(events, count, &random);
        post(&history.store, events, count, &random, see, &history);
        for (int64_t revision = 0; revision <= history.store.runs[0].revision; revision++) {
            if (history.trees[revision] == NULL)
                continue;
            char *again = describe(replayed_tree(&history.store, revision, INT64_MAX), true);
            assert_string_equal(again, history.trees[revision]);
            free(again);
            free(history.trees[revision]);
        }
        for (size_t i = 0; i < count; i++)
            made_event_clear(&events[i]);
        memory_store_clear(&history.store);
    }
}

static void see_nothing(void *arg)
{
    (void)arg;
}

/* To `past`, what happened by then; each event says its action's parent, whichever said it. */
static void post_past(struct memory_store *past, const struct memory_store *store, int64_t until_us)
{
    for (size_t i = 0; i < store->event_count; i++) {
        const struct stored_event *at = &store->events[i];
        const char *parent = parent_of(store, at->name);
        struct event_result result = {0};
        if (at->updated_us > until_us || at->revision == 0)
            continue;
        struct made_event said =
            make_event("%.*s,'parent':%s%s%s", (int)strlen(at->info) - 2, at->info + 1,
                       parent ? "'" : "", parent ? parent : "null", parent ? "'" : "");
        const struct action_event *event = &said.event;
        assert_int_equal(memory_store_post(past, &event, &result, 1), 0);
        event_result_clear(&result);
        made_event_clear(&said);
    }
}

static void test_tree_at_a_time(void **state)
{
    (void)state;
    struct random random = random_start("replay at a time");
    for (int round = 0; round < ROUNDS; round++) {
        struct memory_store store = {.children_max = 1 + random_below(&random, 4)};
        struct made_event events[EVENTS_MAX];
        size_t count = 1 + random_below(&random, EVENTS_MAX);
        make_events(events, count, &random);
        post(&store, events, count, &random, see_nothing, NULL);
        for (int64_t second = -1; second < SECONDS; second++) {
            int64_t until_us = INT64_C(1767225600000000) + second * 1000000;
            struct memory_store past = {0};
            post_past(&past, &store, until_us);
            char *expected = past.run_count > 0 ? describe(live_tree(&past), false) : strdup("");
            char *found = describe(replayed_tree(&store, store.runs[0].revision, until_us), false);
            assert_string_equal(found, expected);
            free(found);
            free(expected);
            memory_store_clear(&past);
        }
        for (size_t i = 0; i < count; i++)
            made_event_clear(&events[i]);
        memory_store_clear(&store);
    }
}

static void add(struct replay *replay, const char *name, const char *parent, enum phase phase,
                int64_t revision, const char *info)
{
    const struct replayed_event event = {.name = name,
                                         .parent = parent,
                                         .attempt = 1,
                                         .phase = phase,
                                         .revision = revision,
                                         .updated_us = revision,
                                         .info = {info, strlen(info)}};
    assert_int_equal(replay_add(replay, &event), 0);
}

/* A PUT's document need not repeat the key; what was accepted before a rule came counts as far as
 * its row goes; a child may name its parent by an alias. */
static void test_documents_as_they_were_accepted(void **state)
{
    (void)state;
    struct run_state_manager *manager = run_state_manager_new();
    struct replay *replay = replay_new(&run_key);
    add(replay, "root", NULL, PHASE_RUNNING, 1, "{\"parent\":null,\"aliases\":[\"id-1\"]}");
    add(replay, "a", "root", PHASE_RUNNING, 2, "{\"parent\":\"id-1\",\"group\":\"g\"}");
    add(replay, "a", "root", PHASE_FAILED, 3, "{\"title\":7}");
    add(replay, "a", "root", PHASE_FAILED, 3, "no JSON");
    add(replay, "b", "a", PHASE_QUEUED, 4, "{}");
    assert_int_equal(replay_build(replay, manager, 100, 4), 1);
    assert_int_equal(run_state_manager_count(manager), 3);
    const struct run_node *a = run_state_manager_find(manager, "a");
    assert_int_equal(a->action.phase, PHASE_FAILED);
    assert_string_equal(a->action.group, "g");
    assert_string_equal(run_state_manager_find(manager, "b")->parent->action.name, "a");
    run_state_manager_free(manager);
    replay_free(replay);
    replay_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree_at_a_revision),
        cmocka_unit_test(test_tree_at_a_time),
        cmocka_unit_test(test_documents_as_they_were_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
