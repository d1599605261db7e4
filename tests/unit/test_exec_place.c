#include <string.h>

#include "cli/exec_place.h"
#include "cmocka_test.h"

/* "NAME", "value", … NULL: what the test's environment has. */
static const char *const *environment;

static const char *get(const char *name)
{
    for (size_t i = 0; environment != NULL && environment[i] != NULL; i += 2)
        if (strcmp(environment[i], name) == 0)
            return environment[i + 1];
    return NULL;
}

static struct exec_place find(const struct exec_wish *wish, const char *const *variables)
{
    struct exec_place place;

    environment = variables;
    exec_place_find(&place, wish, get, "k3f9a2", 1795653022 * INT64_C(1000000));
    return place;
}

static void test_alone(void **state)
{
    const struct exec_wish wish = {.command = "/usr/bin/backup"};
    struct exec_place place = find(&wish, NULL);

    (void)state;
    assert_string_equal(place.project, "default");
    assert_string_equal(place.domain, "development");
    assert_string_equal(place.run, "backup-20261126T003022Z-k3f9a2");
    assert_string_equal(place.name, "backup");
    assert_string_equal(place.parent, "");
    assert_int_equal(place.attempt, 1);
    assert_true(place.is_new_run);
}

static void test_inside_another(void **state)
{
    const char *const variables[] = {
        "RUNTREE_RUN", "r", "RUNTREE_PARENT", "outer", "SLURM_JOB_NAME", "the-group", NULL};
    const struct exec_wish wish = {.command = "cc", .run = "r"},
                           other = {.command = "cc", .run = "s"};
    struct exec_place place = find(&wish, variables);

    (void)state;
    assert_string_equal(place.name, "cc-k3f9a2");
    assert_string_equal(place.parent, "outer");
    assert_string_equal(place.group, "");
    assert_false(place.is_new_run);
    place = find(&other, variables);
    assert_string_equal(place.parent, "");
    assert_string_equal(place.group, "the-group");
}

static void test_parent_of_another_project(void **state)
{
    const char *const variables[] = {
        "RUNTREE_RUN", "r", "RUNTREE_PARENT", "outer", "RUNTREE_PROJECT", "p", "RUNTREE_DOMAIN",
        "d",           NULL};
    struct exec_wish wish = {.command = "cc", .run = "r", .project = "p", .domain = "d"};

    (void)state;
    assert_string_equal(find(&wish, variables).parent, "outer");
    wish.domain = "other";
    assert_string_equal(find(&wish, variables).parent, "");
    wish.parent = "asked";
    assert_string_equal(find(&wish, variables).parent, "asked");
}

static void test_slurm(void **state)
{
    const char *const array[] = {"SLURM_JOB_ID",
                                 "43",
                                 "SLURM_ARRAY_JOB_ID",
                                 "41",
                                 "SLURM_ARRAY_TASK_ID",
                                 "7",
                                 "SLURM_RESTART_COUNT",
                                 "2",
                                 "SLURM_JOB_NAME",
                                 "fit",
                                 NULL};
    const char *const step[] = {"SLURM_JOB_ID",
                                "43",
                                "SLURM_STEP_ID",
                                "0",
                                "SLURM_PROCID",
                                "3",
                                "SLURM_STEP_NUM_TASKS",
                                "4",
                                NULL};
    const struct exec_wish named = {.command = "x", .name = "train"}, nameless = {.command = "x"};
    struct exec_place place = find(&named, array);

    (void)state;
    assert_string_equal(place.run, "slurm-41");
    assert_string_equal(place.run_title, "fit");
    assert_string_equal(place.name, "train.7");
    assert_string_equal(place.task, "train");
    assert_string_equal(place.group, "fit");
    assert_int_equal(place.attempt, 3);
    assert_false(place.is_new_run);
    place = find(&nameless, array);
    assert_string_equal(place.name, "x.7-k3f9a2");
    assert_int_equal(place.attempt, 1);
    place = find(&named, step);
    assert_string_equal(place.run, "slurm-43");
    assert_string_equal(place.name, "train.3");
}

static void test_github(void **state)
{
    const char *const variables[] = {"GITHUB_RUN_ID",
                                     "123",
                                     "GITHUB_WORKFLOW",
                                     "CI",
                                     "GITHUB_REPOSITORY",
                                     "owner/repo",
                                     "GITHUB_SERVER_URL",
                                     "https://git.example",
                                     "GITHUB_RUN_ATTEMPT",
                                     "2",
                                     "GITHUB_JOB",
                                     "build",
                                     NULL};
    const struct exec_wish wish = {.command = "make", .name = "unit"};
    struct exec_place place = find(&wish, variables);

    (void)state;
    assert_string_equal(place.project, "owner/repo");
    assert_string_equal(place.run, "123");
    assert_string_equal(place.run_title, "CI");
    assert_string_equal(place.group, "build");
    assert_string_equal(place.link_url, "https://git.example/owner/repo/actions/runs/123");
    assert_int_equal(place.attempt, 2);
}

static void test_gitlab(void **state)
{
    const char *const variables[] = {
        "CI_PIPELINE_ID", "9", "CI_PIPELINE_URL", "https://x/9", "CI_JOB_STAGE", "test", NULL};
    const struct exec_wish wish = {
        .command = "make", .name = "unit", .run = "mine", .attempt = "5"};
    struct exec_place place = find(&wish, variables);

    (void)state;
    assert_string_equal(place.run, "mine");
    assert_string_equal(place.run_title, "");
    assert_string_equal(place.link_name, "GitLab");
    assert_string_equal(place.link_url, "https://x/9");
    assert_int_equal(place.attempt, 5);
}

static void test_names_become_valid(void **state)
{
    char long_name[700];
    struct exec_wish wish = {.command = "x", .run = "r", .name = "a\tb\x7f\xc2\x85\xff\xc3\xa9"};

    (void)state;
    assert_string_equal(find(&wish, NULL).name, "a_b___\xc3\xa9");
    wish.name = "..";
    assert_string_equal(find(&wish, NULL).name, "_.");
    memset(long_name, 'x', sizeof long_name);
    memcpy(long_name + 511, "\xc3\xa9", 3);
    wish.name = long_name;
    assert_int_equal(strlen(find(&wish, NULL).name), 511);
    wish.name = NULL;
    wish.command = "dir/";
    assert_string_equal(find(&wish, NULL).task, "dir/");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_inside_another),
        cmocka_unit_test(test_parent_of_another_project),
        cmocka_unit_test(test_slurm),
        cmocka_unit_test(test_github),
        cmocka_unit_test(test_gitlab),
        cmocka_unit_test(test_names_become_valid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
