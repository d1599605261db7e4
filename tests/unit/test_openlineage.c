/* OpenLineage: recordings of Airflow and dbt, and what they did not record. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapting.h"
#include "cmocka_test.h"

#define DAG_ID "01a21405-68bf-7002-b061-20ff6e971d03"
#define TASK_ID "01a21405-68bf-7e3f-be86-7a4fb8f9b85f"
#define DBT_ID "01a2140e-cc59-7bd4-a8fa-f31486b638f6"
#define MODEL_ID "01a2140e-d3b1-70dd-9a7c-242b2cfb2fcc"
#define TIME "2026-11-25T18:44:10.500000+00:00"

/* An event of theirs: facets of the run and of the job are taken over, and may be NULL. */
static struct adapted post(const char *type, const char *run_id, const char *job,
                           json_t *run_facets, json_t *job_facets)
{
    return adapt_packed("openlineage", "{s:s, s:s, s:{s:s, s:o*}, s:{s:s, s:s, s:o*}}", "eventType",
                        type, "eventTime", TIME, "run", "runId", run_id, "facets", run_facets,
                        "job", "namespace", "n", "name", job, "facets", job_facets);
}

static json_t *job_type(const char *integration, const char *type)
{
    return json_pack("{s:s, s:s}", "integration", integration, "jobType", type);
}

/* The facet `parent`. */
static json_t *family(const char *parent_id, const char *parent, const char *root_id,
                      const char *root)
{
    return json_pack("{s:{s:s}, s:{s:s}, s:{s:{s:s}, s:{s:s}}}", "run", "runId", parent_id, "job",
                     "name", parent, "root", "run", "runId", root_id, "job", "name", root);
}

static json_t *task_facets(const char *task, int try_number, json_t *instance)
{
    json_object_set_new(instance, "try_number", json_integer(try_number));
    return json_pack("{s:o, s:{s:{s:s, s:i}, s:o, s:{s:s, s:s, s:i}}}", "parent",
                     family(DAG_ID, "etl", DAG_ID, "etl"), "airflow", "task", "task_id", task,
                     "retries", 1, "taskInstance", instance, "dagRun", "dag_id", "etl", "run_id",
                     "manual-1", "clear_number", 0);
}

static struct adapted post_task(const char *type, const char *task, int try_number,
                                json_t *instance)
{
    return post(type, TASK_ID, "etl.task", task_facets(task, try_number, instance),
                json_pack("{s:o}", "jobType", job_type("AIRFLOW", "TASK")));
}

static void test_dag_start_queues_its_tasks(void **state)
{
    json_t *recording = read_recording("airflow");
    char *body = json_dumps(json_object_get(json_array_get(recording, 0), "json"), 0);
    struct adapted adapted = adapt_text("openlineage", body);
    const json_t *dag = event_of(&adapted, "etl", "RUNNING", 1);
    const json_t *task = event_of(&adapted, "load.check.b", "QUEUED", 1);
    const json_t *run = json_object_get(dag, "run");

    (void)state;
    assert_int_equal(json_array_size(adapted.events), 9);
    assert_string_equal(text_of(dag, "runName"), "etl-20ff6e971d03");
    assert_true(json_is_null(json_object_get(dag, "parent")));
    assert_string_equal(text_of(dag, "updatedTime"), "2026-11-25T18:43:49.837002Z");
    assert_string_equal(text_of(run, "title"), "etl manual-1");
    assert_string_equal(text_of(json_object_get(run, "labels"), "demo"), "demo");
    assert_string_equal(text_of(json_object_get(run, "labels"), "tool"), "Airflow");
    assert_null(text_of(json_object_get(run, "labels"), "openlineage_client_version"));
    assert_string_equal(text_of(json_object_get(run, "params"), "run_id"), "manual-1");
    assert_string_equal(text_of(task, "parent"), "etl");
    assert_string_equal(text_of(task, "group"), "load/check");
    assert_string_equal(json_string_value(json_array_get(json_object_get(task, "dependsOn"), 0)),
                        "load.check.a");
    assert_string_equal(text_of(json_object_get(task, "task"), "shortName"),
                        "_PythonDecoratedOperator");
    adapted_clear(&adapted);
    free(body);
    json_decref(recording);
}

static void test_tries_are_attempts_with_links_and_errors(void **state)
{
    const char *log = "http://a/dags/etl/runs/manual-1/tasks/load?try_number=2";
    json_t *facets = task_facets("load", 2, json_pack("{s:s}", "log_url", log)), *run, *link;
    struct adapted adapted;
    const json_t *event;

    (void)state;
    json_object_set_new(facets, "errorMessage",
                        json_pack("{s:s, s:s}", "message", "no disk", "stackTrace", "Traceback…"));
    adapted = post("FAIL", TASK_ID, "etl.load", facets,
                   json_pack("{s:o}", "jobType", job_type("AIRFLOW", "TASK")));
    event = event_of(&adapted, "load", "FAILED", 2);
    assert_string_equal(text_of(event, "parent"), "etl");
    assert_string_equal(text_of(json_object_get(event, "errorInfo"), "message"),
                        "no disk\n\nTraceback…");
    assert_string_equal(text_of(json_array_get(json_object_get(event, "links"), 0), "url"), log);
    assert_string_equal(text_of(json_array_get(json_object_get(event, "logInfo"), 0), "uri"), log);
    assert_string_equal(json_string_value(json_array_get(json_object_get(event, "aliases"), 0)),
                        TASK_ID);
    run = json_object_get(event, "run");
    link = json_array_get(json_object_get(run, "links"), 0);
    assert_string_equal(text_of(run, "title"), "etl manual-1");
    assert_string_equal(text_of(link, "url"), "http://a/dags/etl/runs/manual-1");
    adapted_clear(&adapted);
}

static void test_mapped_task_is_above_its_instances(void **state)
{
    struct adapted adapted = post_task("START", "transform", 1, json_pack("{s:i}", "map_index", 2));
    const json_t *instance = event_of(&adapted, "transform.2", "RUNNING", 1);
    const json_t *task = event_of(&adapted, "transform", "RUNNING", 1);

    (void)state;
    assert_string_equal(text_of(instance, "parent"), "transform");
    assert_string_equal(text_of(task, "parent"), "etl");
    adapted_clear(&adapted);
}

/* By the provider's version: the run id is the instance's, or that of the task with all of them. */
static void test_run_id_of_a_mapped_task(void **state)
{
    static const struct {
        const char *producer; /* NULL: an older integration */
        bool is_instances;
    } cases[] = {
        {"https://github.com/apache/airflow/tree/providers-openlineage/1.14.0", false},
        {"https://github.com/apache/airflow/tree/providers-openlineage/2.0.0", true},
        {"https://github.com/apache/airflow/tree/providers-openlineage/20.1.0", true},
        {NULL, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct adapted adapted = adapt_packed(
            "openlineage", "{s:s, s:s, s:s?, s:{s:s, s:o}, s:{s:s, s:s}}", "eventType", "START",
            "eventTime", TIME, "producer", cases[i].producer, "run", "runId", TASK_ID, "facets",
            task_facets("transform", 1, json_pack("{s:i}", "map_index", 2)), "job", "namespace",
            "n", "name", "etl.transform");
        const json_t *of_instance =
            json_object_get(event_of(&adapted, "transform.2", "RUNNING", 1), "aliases");
        const json_t *of_task =
            json_object_get(event_of(&adapted, "transform", "RUNNING", 1), "aliases");
        const json_t *aliases = cases[i].is_instances ? of_instance : of_task;

        assert_string_equal(json_string_value(json_array_get(aliases, 0)), TASK_ID);
        assert_null(cases[i].is_instances ? of_task : of_instance);
        adapted_clear(&adapted);
    }
}

static void test_mapped_task_fails_with_the_last_try_of_an_instance(void **state)
{
    struct adapted first = post_task("FAIL", "transform", 1, json_pack("{s:i}", "map_index", 0));
    struct adapted last = post_task("FAIL", "transform", 2, json_pack("{s:i}", "map_index", 0));

    (void)state;
    event_of(&first, "transform", "RUNNING", 1);
    event_of(&first, "transform.0", "FAILED", 1);
    event_of(&last, "transform", "FAILED", 1);
    event_of(&last, "transform.0", "FAILED", 2);
    adapted_clear(&first);
    adapted_clear(&last);
}

static void test_task_of_an_airflow_without_types_of_jobs(void **state)
{
    struct adapted adapted =
        post("START", TASK_ID, "etl.load", task_facets("load", 1, json_object()), NULL);

    (void)state;
    assert_string_equal(text_of(event_of(&adapted, "load", "RUNNING", 1), "parent"), "etl");
    adapted_clear(&adapted);
}

static void test_task_called_like_its_dag(void **state)
{
    struct adapted task = post_task("START", "etl", 1, json_object());
    struct adapted end =
        post("COMPLETE", DAG_ID, "etl",
             json_pack("{s:{s:{s:s}}}", "airflowState", "tasksState", "etl", "success"), NULL);

    (void)state;
    assert_string_equal(text_of(event_of(&task, "etl (task)", "RUNNING", 1), "parent"), "etl");
    event_of(&end, "etl", "SUCCEEDED", 1);
    event_of(&end, "etl (task)", "SUCCEEDED", 1);
    adapted_clear(&task);
    adapted_clear(&end);
}

static void test_dag_end_ends_the_tasks_that_did_not_tell(void **state)
{
    json_t *states =
        json_pack("{s:s, s:s, s:s, s:s, s:n, s:s}", "good", "success", "bad", "failed", "skip",
                  "skipped", "up", "upstream_failed", "not", "goes", "running");
    struct adapted adapted = post(
        "FAIL", DAG_ID, "etl",
        json_pack("{s:{s:s, s:o}}", "airflowState", "dagRunState", "failed", "tasksState", states),
        json_pack("{s:o}", "jobType", job_type("AIRFLOW", "DAG")));
    const json_t *skipped = event_of(&adapted, "skip", "SKIPPED", 1);
    const json_t *upstream = event_of(&adapted, "up", "SKIPPED", 1);

    (void)state;
    assert_int_equal(json_array_size(adapted.events), 6);
    event_of(&adapted, "etl", "FAILED", 1);
    event_of(&adapted, "not", "SKIPPED", 1);
    /* What the task said of itself stands, but for "skipped", which it cannot say. */
    assert_int_equal(
        json_integer_value(json_object_get(event_of(&adapted, "good", "SUCCEEDED", 1), "version")),
        0);
    assert_int_equal(
        json_integer_value(json_object_get(event_of(&adapted, "bad", "FAILED", 1), "version")), 0);
    assert_true(json_integer_value(json_object_get(skipped, "version")) > 0);
    assert_string_equal(text_of(json_object_get(upstream, "errorInfo"), "message"),
                        "upstream_failed");
    adapted_clear(&adapted);
}

static void test_unknown_state_of_a_task_is_kept(void **state)
{
    struct adapted adapted =
        post("COMPLETE", DAG_ID, "etl",
             json_pack("{s:{s:{s:s}}}", "airflowState", "tasksState", "odd", "hibernating"), NULL);
    const json_t *kept = event_of(&adapted, "unmapped:openlineage", "SKIPPED", 1);

    (void)state;
    assert_int_equal(adapted.answer.unmapped[UNMAPPED_STATE], 1);
    assert_string_equal(text_of(kept, "runName"), "etl-20ff6e971d03");
    assert_string_equal(text_of(kept, "parent"), "etl");
    assert_string_equal(text_of(json_object_get(kept, "unmapped"), "detail"),
                        "the task odd is hibernating");
    adapted_clear(&adapted);
}

static void test_tasks_of_another_dag_in_the_tree_are_behind_it(void **state)
{
    json_t *facets = task_facets("load", 1, json_object());
    struct adapted adapted;
    const json_t *event;

    (void)state;
    json_object_set_new(facets, "parent", family(MODEL_ID, "child", DAG_ID, "etl"));
    adapted = post("START", TASK_ID, "child.load", facets,
                   json_pack("{s:o}", "jobType", job_type("AIRFLOW", "TASK")));
    event = event_of(&adapted, "child-242b2cfb2fcc.load", "RUNNING", 1);
    assert_string_equal(text_of(event, "parent"), MODEL_ID);
    assert_string_equal(text_of(event, "runName"), "etl-20ff6e971d03");
    adapted_clear(&adapted);
}

static struct adapted post_dbt(const char *type, const char *run_id, const char *job,
                               const char *kind, json_t *parent)
{
    json_t *run_facets = json_pack("{s:{s:s, s:s}, s:o*}", "dbt_run", "project_name", "shop",
                                   "_producer", "dbt-ol", "parent", parent);
    bool is_node = strcmp(kind, "SQL") != 0 && strcmp(kind, "JOB") != 0;
    json_t *job_facets = json_pack("{s:o}", "jobType", job_type("DBT", kind));

    if (is_node)
        json_object_set_new(job_facets, "dbt_node",
                            json_pack("{s:s, s:s}", "unique_id", job, "alias", "stg_1"));
    return post(type, run_id, job, run_facets, job_facets);
}

static void test_dbt_by_itself(void **state)
{
    struct adapted root = post_dbt("START", DBT_ID, "dbt-run-shop", "JOB", NULL);
    struct adapted model = post_dbt("START", MODEL_ID, "model.shop.stg_1", "MODEL",
                                    family(DBT_ID, "dbt-run-shop", DBT_ID, "dbt-run-shop"));
    struct adapted query = post_dbt("COMPLETE", TASK_ID, "model.shop.stg_1.sql.3", "SQL",
                                    family(MODEL_ID, "model.shop.stg_1", DBT_ID, "dbt-run-shop"));
    const json_t *event = event_of(&root, "dbt-run-shop", "RUNNING", 1);

    (void)state;
    assert_string_equal(text_of(event, "runName"), "dbt-run-shop-f31486b638f6");
    assert_string_equal(text_of(json_object_get(event, "run"), "title"),
                        "dbt-run-shop 2026-11-25T18:44:10.500Z");
    assert_string_equal(
        text_of(json_object_get(json_object_get(event, "run"), "params"), "project_name"), "shop");
    assert_int_equal(json_object_size(json_object_get(json_object_get(event, "run"), "params")), 1);
    event = event_of(&model, "model.shop.stg_1", "RUNNING", 1);
    assert_string_equal(text_of(event, "parent"), "dbt-run-shop");
    assert_string_equal(text_of(event, "title"), "stg_1");
    event = event_of(&query, "model.shop.stg_1.sql.3", "SUCCEEDED", 1);
    assert_string_equal(text_of(event, "parent"), "model.shop.stg_1");
    assert_string_equal(text_of(event, "title"), "SQL 3");
    assert_null(json_object_get(event, "aliases")); /* nothing is below a query */
    assert_string_equal(text_of(event, "runName"), "dbt-run-shop-f31486b638f6");
    adapted_clear(&root);
    adapted_clear(&model);
    adapted_clear(&query);
}

static void test_dbt_in_an_airflow_task(void **state)
{
    struct adapted root = post_dbt("START", DBT_ID, "dbt-run-shop", "JOB",
                                   family(TASK_ID, "etl.load", DAG_ID, "etl"));
    struct adapted model = post_dbt("START", MODEL_ID, "model.shop.stg_1", "MODEL",
                                    family(DBT_ID, "dbt-run-shop", DAG_ID, "etl"));
    const json_t *event = event_of(&root, "dbt-run-shop-f31486b638f6", "RUNNING", 1);

    (void)state;
    assert_string_equal(text_of(event, "runName"), "etl-20ff6e971d03");
    assert_string_equal(text_of(event, "parent"), TASK_ID);
    assert_string_equal(text_of(event, "title"), "dbt-run-shop");
    assert_string_equal(json_string_value(json_array_get(json_object_get(event, "aliases"), 0)),
                        DBT_ID);
    assert_null(json_object_get(event, "run"));
    event = event_of(&model, "model.shop.stg_1-242b2cfb2fcc", "RUNNING", 1);
    assert_string_equal(text_of(event, "parent"), DBT_ID);
    assert_string_equal(text_of(event, "title"), "stg_1");
    adapted_clear(&root);
    adapted_clear(&model);
}

static void test_started_apart_with_a_parent_alone_is_a_root(void **state)
{
    struct adapted adapted = post_dbt("START", DBT_ID, "dbt-run-shop", "JOB",
                                      family(TASK_ID, "etl.load", TASK_ID, "etl.load"));
    const json_t *event = event_of(&adapted, "dbt-run-shop-f31486b638f6", "RUNNING", 1);

    (void)state;
    assert_true(json_is_null(json_object_get(event, "parent")));
    assert_string_equal(text_of(event, "runName"), "etl.load-7a4fb8f9b85f");
    adapted_clear(&adapted);
}

/* Whose models will name it as their root, for they know no other. */
static void test_started_apart_by_who_names_no_root_is_one(void **state)
{
    json_t *parent = family(TASK_ID, "etl.load", "", "");
    struct adapted adapted;

    (void)state;
    json_object_del(parent, "root");
    adapted = post_dbt("START", DBT_ID, "dbt-run-shop", "JOB", parent);
    assert_string_equal(text_of(event_of(&adapted, "dbt-run-shop", "RUNNING", 1), "runName"),
                        "dbt-run-shop-f31486b638f6");
    adapted_clear(&adapted);
}

static void test_dbt_node_that_did_not_run_is_skipped(void **state)
{
    json_t *parent = family(DBT_ID, "dbt-run-shop", DBT_ID, "dbt-run-shop");
    struct adapted node = post_dbt("ABORT", MODEL_ID, "model.shop.stg_1", "MODEL", parent);
    struct adapted root = post_dbt("ABORT", DBT_ID, "dbt-run-shop", "JOB", NULL);

    (void)state;
    event_of(&node, "model.shop.stg_1", "SKIPPED", 1);
    event_of(&root, "dbt-run-shop", "ABORTED", 1);
    adapted_clear(&node);
    adapted_clear(&root);
}

static void test_failed_dbt_test_says_which(void **state)
{
    json_t *recording = read_recording("dbt-end");
    char *body = json_dumps(json_object_get(json_array_get(recording, 30), "json"), 0);
    struct adapted adapted = adapt_text("openlineage", body);
    const json_t *event = event_of(&adapted, "shop.main.shop.mart_a.build.test", "FAILED", 1);

    (void)state;
    assert_string_equal(text_of(json_object_get(event, "errorInfo"), "message"),
                        "not_null_mart_a_v: got 1, expected 0");
    adapted_clear(&adapted);
    free(body);
    json_decref(recording);
}

/* A Spark application runs the same job again and again: each run of it is an action. */
static void test_generic_jobs(void **state)
{
    json_t *facets = json_pack("{s:o, s:{s:s}}", "parent", family(DAG_ID, "app", DAG_ID, "app"),
                               "spark_applicationDetails", "uiWebUrl", "http://spark:4040");
    struct adapted job = post("RUNNING", TASK_ID, "app.save", facets,
                              json_pack("{s:o}", "jobType", job_type("SPARK", "SQL_JOB")));
    struct adapted old = post(
        "COMPLETE", TASK_ID, "app.save",
        json_pack("{s:{s:{s:s}, s:{s:s}}}", "parent", "run", "runId", DAG_ID, "job", "name", "app"),
        NULL);
    const json_t *event = event_of(&job, "app.save-7a4fb8f9b85f", "RUNNING", 1);

    (void)state;
    assert_string_equal(text_of(event, "parent"), "app");
    assert_string_equal(text_of(event, "title"), "save");
    assert_string_equal(text_of(event, "runName"), "app-20ff6e971d03");
    assert_string_equal(text_of(json_array_get(json_object_get(event, "links"), 0), "url"),
                        "http://spark:4040");
    event = event_of(&old, "app.save-7a4fb8f9b85f", "SUCCEEDED", 1);
    assert_string_equal(text_of(event, "parent"), "app");
    adapted_clear(&job);
    adapted_clear(&old);
}

/* Some report to a parent that never does: what is directly below the root tells that it is there,
 * in words that are the same for who tells of it in the same millisecond, under a key of its own.
 */
static void test_root_that_does_not_report(void **state)
{
    const json_t *root, *own, *job;
    struct adapted child =
        post("COMPLETE", TASK_ID, "app.save",
             json_pack("{s:o}", "parent", family(DAG_ID, "app", DAG_ID, "app")), NULL);
    struct adapted deeper =
        post("START", MODEL_ID, "save.sql",
             json_pack("{s:o}", "parent", family(TASK_ID, "app.save", DAG_ID, "app")), NULL);
    struct adapted itself = post("START", DAG_ID, "app", NULL, NULL);

    (void)state;
    root = event_of(&child, "app", "RUNNING", 1);
    job = event_of(&child, "app.save-7a4fb8f9b85f", "SUCCEEDED", 1);
    own = event_of(&itself, "app", "RUNNING", 1);
    assert_int_equal(json_object_size(root), 9);
    assert_true(json_is_null(json_object_get(root, "parent")));
    assert_string_equal(text_of(root, "runName"), text_of(own, "runName"));
    assert_string_equal(text_of(root, "updatedTime"), text_of(job, "updatedTime"));
    assert_false(json_equal(json_object_get(root, "version"), json_object_get(own, "version")));
    assert_int_equal(json_array_size(deeper.events), 1);
    assert_int_equal(json_array_size(itself.events), 1);
    adapted_clear(&child);
    adapted_clear(&deeper);
    adapted_clear(&itself);
}

/* eventType may be left out: such an event adds to what is known of a run. */
static void test_event_without_a_type_tells_more(void **state)
{
    static const char *const types[] = {"", "\"eventType\": null, "};

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        char text[512];
        struct adapted adapted;

        snprintf(text, sizeof text,
                 "{%s\"eventTime\": \"" TIME "\", \"run\": {\"runId\": \"" DAG_ID
                 "\"}, \"job\": {\"namespace\": \"n\", \"name\": \"etl\"}}",
                 types[i]);
        adapted = adapt_text("openlineage", text);
        event_of(&adapted, "etl", "RUNNING", 1);
        assert_int_equal(adapted.answer.unmapped[UNMAPPED_TYPE], 0);
        adapted_clear(&adapted);
    }
}

static void test_run_has_no_more_labels_than_it_may(void **state)
{
    json_t *tags = json_array();
    struct adapted adapted;
    char key[16];

    (void)state;
    for (int i = 0; i < 70; i++) {
        snprintf(key, sizeof key, "k%d", i);
        json_array_append_new(tags, json_pack("{s:s, s:s}", "key", key, "value", "v"));
    }
    adapted = post("START", DAG_ID, "etl", json_pack("{s:{s:o}}", "tags", "tags", tags), NULL);
    assert_int_equal(adapted.rejected, 0);
    assert_int_equal(
        json_object_size(json_object_get(
            json_object_get(event_of(&adapted, "etl", "RUNNING", 1), "run"), "labels")),
        64);
    adapted_clear(&adapted);
}

static void test_several_at_once(void **state)
{
    json_t *recording = read_recording("airflow"), *list = json_array(), *request;
    struct adapted adapted, wrapped;
    size_t i;

    (void)state;
    json_array_foreach (recording, i, request) {
        json_array_append(list, json_object_get(request, "json"));
    }
    adapted = adapt_packed("openlineage", "O", list);
    wrapped = adapt_packed("openlineage", "{s:O}", "events", list);
    assert_int_equal(json_array_size(adapted.events), 9 + 2 + 12 + 8);
    assert_string_equal(adapted.lines, wrapped.lines);
    adapted_clear(&adapted);
    adapted_clear(&wrapped);
    json_decref(list);
    json_decref(recording);
}

static void test_what_is_not_mapped(void **state)
{
    struct adapted type = post("PONDERING", DAG_ID, "etl", NULL, NULL);
    struct adapted dataset = adapt_text("openlineage", "{\"dataset\": {\"name\": \"t\"}}");
    struct adapted field = adapt_text("openlineage", "{\"eventType\": \"START\", \"run\": 7}");
    struct adapted body = adapt_text("openlineage", "[1, {}]");

    (void)state;
    assert_int_equal(type.answer.unmapped[UNMAPPED_TYPE], 1);
    event_of(&type, "unmapped:openlineage", "SKIPPED", 1);
    assert_int_equal(dataset.answer.unmapped[UNMAPPED_TYPE], 1);
    assert_int_equal(field.answer.unmapped[UNMAPPED_FIELD], 1);
    assert_int_equal(body.answer.unmapped[UNMAPPED_FIELD], 2);
    assert_int_equal(json_array_size(body.events), 0);
    adapted_clear(&type);
    adapted_clear(&dataset);
    adapted_clear(&field);
    adapted_clear(&body);
}

static void test_url_without_a_slash_is_told(void **state)
{
    const char *const path[] = {"v1", "lineage"};
    const struct adapter_request request = {
        .method = "POST", .project = "p", .domain = "api", .path = path, .path_count = 2};
    struct adapted adapted = adapt_request("openlineage", &request);

    (void)state;
    assert_int_equal(adapted.answer.status, 404);
    buffer_append(&adapted.answer.body, "", 1);
    assert_non_null(strstr(adapted.answer.body.bytes, "must end with a slash"));
    adapted_clear(&adapted);
}

static void test_long_texts_are_cut(void **state)
{
    enum { LENGTH = 300 * 1024 };
    char *text = malloc(LENGTH + 1);
    struct adapted adapted, kept;
    const json_t *event;

    (void)state;
    assert_non_null(text);
    memset(text, 'x', LENGTH);
    text[LENGTH] = '\0';
    adapted = post(
        "FAIL", DAG_ID, "etl",
        json_pack("{s:{s:s, s:s}}", "errorMessage", "message", "why", "stackTrace", text), NULL);
    event = event_of(&adapted, "etl", "FAILED", 1);
    assert_null(json_object_get(event, "truncated")); /* so nothing of it was left out */
    kept = post("ODD", DAG_ID, "etl", json_pack("{s:s}", "long", text), NULL);
    assert_int_equal(
        json_string_length(json_object_get(
            json_object_get(event_of(&kept, "unmapped:openlineage", "SKIPPED", 1), "unmapped"),
            "message")),
        64 * 1024);
    adapted_clear(&kept);
    assert_int_equal(json_string_length(json_object_get(event, "openLineage")), 64 * 1024);
    assert_int_equal(
        json_string_length(json_object_get(json_object_get(event, "errorInfo"), "message")),
        64 * 1024);
    adapted_clear(&adapted);
    free(text);
}

static void test_message_that_is_nested_deep_is_kept_as_text(void **state)
{
    json_t *deep = json_object(), *facets;
    struct adapted adapted;

    (void)state;
    for (int i = 0; i < 40; i++)
        deep = json_pack("{s:o}", "d", deep);
    facets =
        json_pack("{s:{s:{s:s, s:o}}}", "airflowDagRun", "dagRun", "run_id", "r", "conf", deep);
    adapted = post("START", DAG_ID, "etl", facets, NULL);
    assert_int_equal(adapted.rejected, 0);
    assert_non_null(text_of(event_of(&adapted, "etl", "RUNNING", 1), "openLineage"));
    adapted_clear(&adapted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dag_start_queues_its_tasks),
        cmocka_unit_test(test_tries_are_attempts_with_links_and_errors),
        cmocka_unit_test(test_mapped_task_is_above_its_instances),
        cmocka_unit_test(test_run_id_of_a_mapped_task),
        cmocka_unit_test(test_mapped_task_fails_with_the_last_try_of_an_instance),
        cmocka_unit_test(test_task_of_an_airflow_without_types_of_jobs),
        cmocka_unit_test(test_task_called_like_its_dag),
        cmocka_unit_test(test_dag_end_ends_the_tasks_that_did_not_tell),
        cmocka_unit_test(test_unknown_state_of_a_task_is_kept),
        cmocka_unit_test(test_tasks_of_another_dag_in_the_tree_are_behind_it),
        cmocka_unit_test(test_dbt_by_itself),
        cmocka_unit_test(test_dbt_in_an_airflow_task),
        cmocka_unit_test(test_started_apart_with_a_parent_alone_is_a_root),
        cmocka_unit_test(test_started_apart_by_who_names_no_root_is_one),
        cmocka_unit_test(test_dbt_node_that_did_not_run_is_skipped),
        cmocka_unit_test(test_failed_dbt_test_says_which),
        cmocka_unit_test(test_generic_jobs),
        cmocka_unit_test(test_root_that_does_not_report),
        cmocka_unit_test(test_event_without_a_type_tells_more),
        cmocka_unit_test(test_run_has_no_more_labels_than_it_may),
        cmocka_unit_test(test_several_at_once),
        cmocka_unit_test(test_what_is_not_mapped),
        cmocka_unit_test(test_url_without_a_slash_is_told),
        cmocka_unit_test(test_long_texts_are_cut),
        cmocka_unit_test(test_message_that_is_nested_deep_is_kept_as_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
