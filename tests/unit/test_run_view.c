/* Flyte's rules for what a filter shows, one by one, and walks in pieces. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_test.h"
#include "model/run_view.h"
#include "tree_maker.h"

static void upsert(struct run_state_manager *manager, struct action action)
{
    assert_int_equal(run_state_manager_upsert_actions(manager, &action, 1, action.revision), 0);
}

static void upsert_phase(struct run_state_manager *manager, const char *name, enum phase phase)
{
    struct action action = run_state_manager_find(manager, name)->action;
    action.phase = phase;
    action.revision = run_state_manager_revision(manager) + 1;
    upsert(manager, action);
}

/* a0 > b > c > d, and e below a0; all QUEUED. */
static struct run_state_manager *make_tree(void)
{
    struct run_state_manager *manager = run_state_manager_new();
    upsert(manager, tree_action("a0", NULL, 1, 1));
    upsert(manager, tree_action("b", "a0", 2, 2));
    upsert(manager, tree_action("c", "b", 3, 3));
    upsert(manager, tree_action("d", "c", 4, 4));
    upsert(manager, tree_action("e", "a0", 5, 5));
    return manager;
}

static struct run_view *make_view(struct run_state_manager *manager, const char *phases)
{
    struct filter filter = {0};
    if (phases)
        assert_int_equal(filter_add_phases(&filter, phases), 0);
    struct run_view *view = run_view_new(manager, &filter);
    assert_int_equal(run_view_sync(view), 0);
    return view;
}

/* The records of a walk as "+a0 -b …". */
struct record_list {
    char text[512];
    size_t length, count;
};

static void list_record(void *arg, const char *bytes, size_t length, bool meets_filter)
{
    struct record_list *list = arg;
    const char *name = strstr(bytes, ":\"") + 2;
    int written =
        snprintf(list->text + list->length, sizeof list->text - list->length, "%s%c%.*s",
                 list->count ? " " : "", meets_filter ? '+' : '-', (int)strcspn(name, "\""), name);
    assert_memory_equal(bytes + length - 14, "\"meetsFilter\":", 14);
    list->length += (size_t)written;
    list->count++;
}

/* Goes the walk in one go, and returns what a client then has. */
static int64_t assert_records(struct run_view *view, struct view_walk walk, const char *expected)
{
    struct record_list list = {0};
    assert_int_equal(run_view_walk(view, &walk, SIZE_MAX, SIZE_MAX, list_record, &list), 1);
    assert_string_equal(list.text, expected);
    return walk.target;
}

/* Syncs, and walks from `since`. */
static int64_t assert_walk(struct run_view *view, int64_t since, const char *expected)
{
    assert_int_equal(run_view_sync(view), 0);
    return assert_records(view, run_view_walk_begin(view, since), expected);
}

static void test_without_a_filter_all_is_visible(void **state)
{
    (void)state;
    struct run_state_manager *manager = make_tree();
    struct run_view *view = make_view(manager, NULL);
    int64_t cursor = assert_walk(view, 0, "+a0 +b +c +d +e");
    assert_int_equal(cursor, 5);
    assert_int_equal(run_view_visible_count(view), 5);
    assert_walk(view, cursor, "");
    upsert_phase(manager, "d", PHASE_RUNNING);
    upsert(manager, tree_action("f", "e", 6, 7));
    assert_walk(view, cursor, "+a0 +b +c +d +e +f");
    assert_walk(view, 6, "+a0 +e +f");
    assert_int_equal(run_view_visible_count(view), 6);
    run_view_free(view);
    run_state_manager_free(manager);
}

static void test_match_shows_its_ancestors(void **state)
{
    (void)state;
    struct run_state_manager *manager = make_tree();
    struct run_view *view = make_view(manager, "RUNNING");
    int64_t cursor = assert_walk(view, 0, "");
    assert_int_equal(run_view_visible_count(view), 0);
    upsert_phase(manager, "d", PHASE_RUNNING);
    cursor = assert_walk(view, cursor, "+a0 +b +c +d");
    assert_int_equal(run_view_visible_count(view), 4);
    assert_false(run_view_is_visible(view, run_state_manager_find(manager, "e")));
    upsert_phase(manager, "e", PHASE_RUNNING);
    assert_walk(view, cursor, "+a0 +e");
    run_view_free(view);
    run_state_manager_free(manager);
}

static void test_last_match_prunes_its_ancestors(void **state)
{
    (void)state;
    struct run_state_manager *manager = make_tree();
    upsert_phase(manager, "d", PHASE_RUNNING);
    upsert_phase(manager, "b", PHASE_RUNNING);
    struct run_view *view = make_view(manager, "RUNNING");
    int64_t cursor = assert_walk(view, 0, "+a0 +b +c +d");
    upsert_phase(manager, "d", PHASE_SUCCEEDED);
    cursor = assert_walk(view, cursor, "+a0 +b -c -d");
    upsert_phase(manager, "b", PHASE_SUCCEEDED);
    cursor = assert_walk(view, cursor, "-a0 -b");
    assert_int_equal(run_view_visible_count(view), 0);
    /* Hidden it was and hidden it is. */
    upsert_phase(manager, "d", PHASE_FAILED);
    assert_walk(view, cursor, "");
    run_view_free(view);
    run_state_manager_free(manager);
}

static void test_slow_watcher_is_told_what_it_missed(void **state)
{
    (void)state;
    struct run_state_manager *manager = make_tree();
    upsert_phase(manager, "e", PHASE_RUNNING);
    struct run_view *view = make_view(manager, "RUNNING");
    int64_t slow = assert_walk(view, 0, "+a0 +e");
    upsert_phase(manager, "e", PHASE_FAILED);
    int64_t quick = assert_walk(view, slow, "-a0 -e");
    upsert_phase(manager, "e", PHASE_ABORTED);
    assert_walk(view, quick, "");
    assert_walk(view, slow, "-a0 -e");
    /* One that comes anew has nothing to remove. */
    assert_walk(view, 0, "");
    run_view_free(view);
    run_state_manager_free(manager);
}

static void test_view_that_is_too_young_to_know(void **state)
{
    (void)state;
    struct run_state_manager *manager = make_tree();
    upsert_phase(manager, "e", PHASE_RUNNING);
    upsert_phase(manager, "e", PHASE_FAILED);
    struct run_view *view = make_view(manager, "RUNNING");
    /* At 6 another replica may have shown e; at 7, where the view begins, it was hidden. */
    assert_walk(view, 6, "-a0 -e");
    assert_walk(view, 7, "");
    /* Between two syncs, likewise. */
    upsert_phase(manager, "e", PHASE_RUNNING);
    upsert_phase(manager, "e", PHASE_FAILED);
    assert_walk(view, 8, "-a0 -e");
    assert_walk(view, 7, "");
    run_view_free(view);
    run_state_manager_free(manager);
}

/* A client that was cut off may have seen what the view never did. */
static void test_resume_removes_all_that_is_hidden(void **state)
{
    (void)state;
    struct run_state_manager *manager = make_tree();
    struct run_view *view = make_view(manager, "RUNNING");
    upsert_phase(manager, "e", PHASE_FAILED);
    assert_int_equal(run_view_sync(view), 0);
    assert_records(view, run_view_walk_resume(view, 5), "-a0 -e");
    assert_walk(view, 5, "");
    run_view_free(view);
    run_state_manager_free(manager);
}

/* A client that was there before the run's first action has an id of revision 0, and may have been
 * cut off inside the first flush. One without an id has nothing. */
static void test_resume_from_before_the_first_action(void **state)
{
    (void)state;
    struct run_state_manager *manager = make_tree();
    struct run_view *view = make_view(manager, "RUNNING");
    assert_records(view, run_view_walk_resume(view, 0), "-a0 -b -c -d -e");
    assert_walk(view, 0, "");
    run_view_free(view);
    run_state_manager_free(manager);
}

static void test_name_of_the_task_changes(void **state)
{
    (void)state;
    struct run_state_manager *manager = make_tree();
    struct filter filter = {0};
    assert_int_equal(filter_set_name(&filter, "TRAIN"), 0);
    struct run_view *view = run_view_new(manager, &filter);
    assert_int_equal(run_view_sync(view), 0);
    struct action action = run_state_manager_find(manager, "c")->action;
    action.task_name = "pkg.trainer";
    action.revision = 6;
    upsert(manager, action);
    int64_t cursor = assert_walk(view, 0, "+a0 +b +c");
    action.task_name = "pkg.load";
    action.revision = 7;
    upsert(manager, action);
    assert_walk(view, cursor, "-a0 -b -c");
    run_view_free(view);
    run_state_manager_free(manager);
}

/* A child that came into view behind the walk's back waits for the next walk, as its parents were
 * passed. */
static void test_walk_that_is_overtaken(void **state)
{
    (void)state;
    struct run_state_manager *manager = make_tree();
    upsert_phase(manager, "e", PHASE_RUNNING);
    struct run_view *view = make_view(manager, "RUNNING");
    struct record_list list = {0};
    struct view_walk walk = run_view_walk_begin(view, 0);
    assert_int_equal(run_view_walk(view, &walk, SIZE_MAX, 2, list_record, &list), 0);
    assert_string_equal(list.text, "+a0");
    upsert_phase(manager, "d", PHASE_RUNNING);
    assert_int_equal(run_view_sync(view), 0);
    assert_int_equal(run_view_walk(view, &walk, SIZE_MAX, 100, list_record, &list), 1);
    assert_string_equal(list.text, "+a0 +e");
    assert_int_equal(walk.target, 6);
    assert_walk(view, walk.target, "+a0 +b +c +d");
    run_view_free(view);
    run_state_manager_free(manager);
}

static void test_walk_is_cut_by_bytes(void **state)
{
    (void)state;
    struct run_state_manager *manager = make_tree();
    struct run_view *view = make_view(manager, NULL);
    static const int64_t cursors[] = {0, 1};
    for (size_t i = 0; i < 2; i++) {
        struct record_list list = {0};
        struct view_walk walk = run_view_walk_begin(view, cursors[i]);
        size_t calls = 1;
        while (run_view_walk(view, &walk, 1, SIZE_MAX, list_record, &list) == 0)
            assert_int_equal(list.count, calls++);
        assert_string_equal(list.text, "+a0 +b +c +d +e");
    }
    run_view_free(view);
    run_state_manager_free(manager);
}

static void count_record(void *arg, const char *bytes, size_t length, bool meets_filter)
{
    size_t *count = arg;
    (void)bytes;
    (void)length;
    *count += meets_filter;
}

/* More changes than a list is made of: the walk scans, and finds the same. */
static void test_many_changes(void **state)
{
    (void)state;
    enum { CHILDREN = 2000 };
    struct run_state_manager *manager = run_state_manager_new();
    upsert(manager, tree_action("a0", NULL, 1, 1));
    for (int32_t i = 2; i <= CHILDREN; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        upsert(manager, tree_action(name, "a0", i, i));
    }
    struct run_view *view = make_view(manager, NULL);
    const int64_t edge =
        CHILDREN - VIEW_WALK_LIST_MAX + 1; /* with a0 just as many changed after it */
    for (int64_t since = edge - 3; since < edge + 3; since++) {
        struct view_walk walk = run_view_walk_begin(view, since);
        size_t count = 0, calls = 1;
        while (run_view_walk(view, &walk, SIZE_MAX, 100, count_record, &count) == 0)
            calls++;
        assert_int_equal(count, CHILDREN - since + 1);
        /* By list in one call, by scan in as many as it takes. */
        assert_int_equal(calls, count <= VIEW_WALK_LIST_MAX ? 1 : CHILDREN / 100);
    }
    run_view_free(view);
    run_state_manager_free(manager);
}

/* A tree too large to be looked at in one call, which moves meanwhile. */
static void test_first_sync_goes_in_pieces(void **state)
{
    (void)state;
    enum { NODES = 3 * VIEW_SYNC_MAX };
    struct run_state_manager *manager = run_state_manager_new();
    upsert(manager, tree_action("a0", NULL, 1, 1));
    for (int i = 2; i <= NODES; i++) {
        char name[16], parent[16];
        snprintf(name, sizeof name, "n%d", i);
        snprintf(parent, sizeof parent, "n%d", i - 1);
        upsert(manager, tree_action(name, i % 10 == 3 ? parent : "a0", i, i));
    }
    struct filter filter = {0};
    assert_int_equal(filter_add_phases(&filter, "FAILED"), 0);
    struct run_view *view = run_view_new(manager, &filter);
    int calls = 1;
    for (; run_view_sync(view) == 1; calls++) {
        /* One behind the place where it stands, one before it, and one that is new. */
        upsert_phase(manager, "n59993", PHASE_FAILED);
        upsert_phase(manager, "n3", PHASE_FAILED);
        char name[16];
        snprintf(name, sizeof name, "new%d", calls);
        struct action action =
            tree_action(name, "n13", (int32_t)run_state_manager_count(manager) + 1,
                        run_state_manager_revision(manager) + 1);
        action.phase = PHASE_FAILED;
        upsert(manager, action);
    }
    assert_int_equal(calls, 3);
    assert_int_equal(run_view_revision(view), run_state_manager_revision(manager));
    assert_walk(view, 0, "+a0 +n2 +n3 +n12 +n13 +n59992 +n59993 +new1 +new2");
    upsert_phase(manager, "n59993", PHASE_RUNNING);
    assert_walk(view, 0, "+a0 +n2 +n3 +n12 +n13 +new1 +new2");
    run_view_free(view);
    run_state_manager_free(manager);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_filter_all_is_visible),
        cmocka_unit_test(test_match_shows_its_ancestors),
        cmocka_unit_test(test_last_match_prunes_its_ancestors),
        cmocka_unit_test(test_slow_watcher_is_told_what_it_missed),
        cmocka_unit_test(test_view_that_is_too_young_to_know),
        cmocka_unit_test(test_resume_removes_all_that_is_hidden),
        cmocka_unit_test(test_resume_from_before_the_first_action),
        cmocka_unit_test(test_name_of_the_task_changes),
        cmocka_unit_test(test_walk_that_is_overtaken),
        cmocka_unit_test(test_walk_is_cut_by_bytes),
        cmocka_unit_test(test_many_changes),
        cmocka_unit_test(test_first_sync_goes_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
