/* OpenLineage run events (openlineage.io, spec 2-0-2): of Airflow, dbt, Spark, Flink and whatever
 * else sends them.
 *
 * A run of ours is a tree of theirs: called after its root, "etl-20ff6e971d03", which every event
 * names (the facet parent.root). An action is a job's run. It is called as a person calls it where
 * that is certain to be one thing in the tree: an Airflow task "load.store" or "transform.1", whose
 * tries are its attempts; the model or query of a dbt run that is the root itself; else it has the
 * end of its run id behind the job's name, and the job's name as title. Run ids are aliases, so a
 * parent may be named by its id, whoever the parent is.
 *
 * Versions are milliseconds, so that of what is said of one attempt the latest stands. What the end
 * of an Airflow DAG says of its tasks is version 0 where the task says the same of itself. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/tools.h"
#include "model/action_event.h"
#include "model/timestamp.h"

enum { RUN_ID_TAIL = 12, TITLE_SIZE = 512 };

/* One of theirs, taken apart: all borrowed from `json`. */
struct lineage {
    struct adapter_answer *answer;
    const json_t *json, *run_facets, *job_facets;
    const char *type; /* "START" */
    int64_t time_us;
    const char *run_id, *job_name;
    const char *parent_id, *parent_job; /* NULL: it has none */
    const char *root_id, *root_job;
    const char *integration, *job_type; /* "AIRFLOW", "TASK"; "" if it does not say */
    bool is_root;
    char run_name[ADAPTER_NAME_SIZE], root[ADAPTER_NAME_SIZE];
};

/* An action, and the attempt that is spoken of. */
struct lineage_action {
    char name[ADAPTER_NAME_SIZE], parent[ADAPTER_NAME_SIZE];
    int64_t attempt;
    bool has_parent;
    bool is_mapped; /* an instance of the task that is its parent */
};

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static const char *tail_of(const char *run_id)
{
    size_t length = strlen(run_id);
    return length > RUN_ID_TAIL ? run_id + length - RUN_ID_TAIL : run_id;
}

static bool is_job(const struct lineage *lineage, const char *integration, const char *job_type)
{
    return strcmp(lineage->integration, integration) == 0 &&
           (!job_type || strcmp(lineage->job_type, job_type) == 0);
}

/* Old ones have no facet jobType. */
static bool is_airflow_task(const struct lineage *lineage)
{
    return is_job(lineage, "AIRFLOW", "TASK") ||
           adapter_text(lineage->run_facets, "airflow/task/task_id") != NULL;
}

/* What somebody starts by itself, from a task or a shell: a dbt command, a Spark application. */
static bool is_started_apart(const struct lineage *lineage)
{
    return is_job(lineage, "DBT", "JOB") || strcmp(lineage->job_type, "APPLICATION") == 0;
}

/* -------- reading -------- */

static void find_family(struct lineage *lineage)
{
    const json_t *parent = adapter_get(lineage->run_facets, "parent");
    lineage->parent_id = adapter_text(parent, "run/runId");
    lineage->parent_job = adapter_text(parent, "job/name");
    lineage->root_id = adapter_text(parent, "root/run/runId");
    lineage->root_job = adapter_text(parent, "root/job/name");
    if (!lineage->parent_id || !lineage->parent_job)
        lineage->parent_id = lineage->parent_job = NULL;
    if (!lineage->root_id || !lineage->root_job) {
        bool has_parent = lineage->parent_id && !is_started_apart(lineage);
        lineage->root_id = has_parent ? lineage->parent_id : lineage->run_id;
        lineage->root_job = has_parent ? lineage->parent_job : lineage->job_name;
    }
    lineage->is_root = strcmp(lineage->root_id, lineage->run_id) == 0;
}

/* False, and counted, if it is no run event. */
static bool read_lineage(struct lineage *lineage, struct adapter_answer *answer, const json_t *json)
{
    *lineage = (struct lineage){.answer = answer, .json = json};
    lineage->type = adapter_text(json, "eventType");
    lineage->run_id = adapter_text(json, "run/runId");
    lineage->job_name = adapter_text(json, "job/name");
    if (!lineage->run_id || !lineage->job_name) {
        bool is_other = adapter_get(json, "dataset") || adapter_get(json, "job");
        adapter_unmapped(answer, is_other ? UNMAPPED_TYPE : UNMAPPED_FIELD, NULL, NULL,
                         is_other ? "an event of no run" : "no run.runId or no job.name");
        return false;
    }
    lineage->run_facets = adapter_get(json, "run/facets");
    lineage->job_facets = adapter_get(json, "job/facets");
    lineage->integration = or_empty(adapter_text(lineage->job_facets, "jobType/integration"));
    lineage->job_type = or_empty(adapter_text(lineage->job_facets, "jobType/jobType"));
    lineage->time_us = adapter_time_us(json_object_get(json, "eventTime"));
    if (lineage->time_us == TIME_NONE)
        lineage->time_us = answer->request->received_us;
    find_family(lineage);
    adapter_name_with_id(lineage->root_job, tail_of(lineage->root_id), lineage->run_name);
    adapter_name(lineage->root_job, lineage->root);
    return true;
}

/* -------- which action -------- */

/* The one that is the parent in the tree. What was started apart, and was told of its parent only,
 * takes that for the root, although it is a task that reports to another run: it stays a root
 * rather than wait for what never comes. */
static void set_parent(const struct lineage *lineage, struct lineage_action *action)
{
    bool is_under_root = lineage->parent_id && strcmp(lineage->parent_id, lineage->root_id) == 0;
    action->has_parent =
        !lineage->is_root && lineage->parent_id && !(is_under_root && is_started_apart(lineage));
    if (is_under_root)
        memcpy(action->parent, lineage->root, sizeof action->parent);
    else if (lineage->parent_id)
        adapter_name(lineage->parent_id, action->parent);
}

/* Whether the root is the dbt command that this is part of, and so every name is there once. */
static bool is_of_dbt_root(const struct lineage *lineage)
{
    char root[TITLE_SIZE];
    const char *project = adapter_text(lineage->run_facets, "dbt_run/project_name");
    if (!is_job(lineage, "DBT", NULL) || !lineage->parent_id)
        return false;
    if (strcmp(lineage->job_type, "SQL") != 0)
        return !is_started_apart(lineage) && strcmp(lineage->parent_id, lineage->root_id) == 0;
    snprintf(root, sizeof root, "dbt-run-%s", or_empty(project));
    return strcmp(lineage->root_job, root) == 0;
}

/* "model.shop.stg_1": also where the job is called after the table. */
static const char *dbt_name(const struct lineage *lineage)
{
    const char *id = adapter_text(lineage->job_facets, "dbt_node/unique_id");
    bool is_model = strcmp(lineage->job_type, "MODEL") == 0 ||
                    strcmp(lineage->job_type, "SNAPSHOT") == 0 ||
                    strcmp(lineage->job_type, "SEED") == 0;
    return id && is_model ? id : lineage->job_name;
}

/* "save" of a job "app.save" below "app", as the specification wants them called. */
static const char *own_name(const struct lineage *lineage)
{
    const char *name = lineage->job_name, *parent = or_empty(lineage->parent_job);
    size_t length = strlen(parent);
    bool is_below = length > 0 && strncmp(name, parent, length) == 0 && name[length] == '.';
    return is_below && name[length + 1] ? name + length + 1 : name;
}

/* "transform.1"; behind the DAG run where that is not the root, for another one has such tasks. */
static void set_task_name(const struct lineage *lineage, struct lineage_action *action)
{
    char text[2 * ADAPTER_NAME_SIZE], dag_run[ADAPTER_NAME_SIZE] = "";
    const json_t *facet = adapter_get(lineage->run_facets, "airflow");
    const json_t *map_index = adapter_get(facet, "taskInstance/map_index");
    const char *id = adapter_text(facet, "task/task_id");
    const char *dag = or_empty(lineage->parent_job);
    if (!id)
        id = own_name(lineage);
    if (lineage->parent_id && strcmp(lineage->parent_id, lineage->root_id) != 0)
        adapter_name_with_id(dag, tail_of(lineage->parent_id), dag_run);
    snprintf(text, sizeof text, "%s%s%s", dag_run, *dag_run ? "." : "", id);
    if (json_is_integer(map_index) && json_integer_value(map_index) >= 0) {
        adapter_name_below(text, lineage->root, action->parent);
        action->has_parent = action->is_mapped = true;
        size_t length = strlen(text);
        snprintf(text + length, sizeof text - length, ".%" JSON_INTEGER_FORMAT,
                 json_integer_value(map_index));
    }
    adapter_name_below(text, lineage->root, action->name);
}

static void name_action(const struct lineage *lineage, struct lineage_action *action)
{
    const json_t *attempt = adapter_get(lineage->run_facets, "airflow/taskInstance/try_number");
    *action = (struct lineage_action){.attempt = json_integer_value(attempt)};
    if (action->attempt < 1 || action->attempt > INT32_MAX)
        action->attempt = 1;
    set_parent(lineage, action);
    if (is_airflow_task(lineage)) {
        set_task_name(lineage, action);
    } else if (lineage->is_root) {
        adapter_name(lineage->root_job, action->name);
    } else if (is_of_dbt_root(lineage)) {
        adapter_name(dbt_name(lineage), action->name);
        if (strcmp(lineage->job_type, "SQL") == 0)
            adapter_name(lineage->parent_job, action->parent);
    } else {
        adapter_name_with_id(lineage->job_name, tail_of(lineage->run_id), action->name);
    }
}

/* NULL: a type that is not known. An event need not have one: it tells more of a run that is there.
 */
static const char *phase_of(const struct lineage *lineage)
{
    static const char *const phases[][2] = {
        {"START", "RUNNING"},      {"RUNNING", "RUNNING"}, {"OTHER", "RUNNING"},
        {"COMPLETE", "SUCCEEDED"}, {"FAIL", "FAILED"},     {"ABORT", "ABORTED"},
    };
    bool is_dbt_node = adapter_get(lineage->job_facets, "dbt_node") != NULL;
    const json_t *type = json_object_get(lineage->json, "eventType");
    if (!type || json_is_null(type))
        return "RUNNING";
    if (is_dbt_node && lineage->type && strcmp(lineage->type, "ABORT") == 0)
        return "SKIPPED";
    if (is_dbt_node && lineage->type && strcmp(lineage->type, "OTHER") == 0)
        return "ABORTED"; /* it has ended, in a way that has no type */
    for (size_t i = 0; lineage->type && i < sizeof phases / sizeof *phases; i++)
        if (strcmp(lineage->type, phases[i][0]) == 0)
            return phases[i][1];
    return NULL;
}

/* -------- what the event says -------- */

static json_t *new_event(const struct lineage *lineage, const char *name, int64_t attempt,
                         const char *phase, int32_t version)
{
    json_t *event =
        json_pack("{s:s, s:s, s:I, s:s, s:i}", "runName", lineage->run_name, "name", name,
                  "attempt", (json_int_t)attempt, "phase", phase, "version", (int)version);
    adapter_set(event, "updatedTime", adapter_time(lineage->time_us));
    return event;
}

static void set_task(json_t *event, const char *name, const char *short_name)
{
    if (name && short_name)
        adapter_set(event, "task",
                    json_pack("{s:o, s:o}", "name", adapter_label(name), "shortName",
                              adapter_label(short_name)));
}

/* What is behind the last dot. */
static const char *last_part(const char *text)
{
    const char *dot = text ? strrchr(text, '.') : NULL;
    return dot ? dot + 1 : text;
}

/* "load.check" as "load/check": ids of groups begin with those of the groups that they are in. */
static json_t *group_of(const json_t *id)
{
    char text[TITLE_SIZE];
    if (!json_string_length(id) || json_string_length(id) >= sizeof text)
        return NULL;
    memcpy(text, json_string_value(id), json_string_length(id) + 1);
    for (char *dot = strchr(text, '.'); dot; dot = strchr(dot, '.'))
        *dot = '/';
    return json_string(text);
}

static void set_error(const struct lineage *lineage, json_t *event)
{
    const json_t *facet = adapter_get(lineage->run_facets, "errorMessage");
    adapter_set_error(event, adapter_text(facet, "message"), adapter_text(facet, "stackTrace"));
}

/* A dbt test says by its assertions what has failed. */
static void set_failed_assertions(const struct lineage *lineage, json_t *event)
{
    struct buffer text = {0};
    const json_t *inputs = json_object_get(lineage->json, "inputs");
    for (size_t i = 0; i < json_array_size(inputs); i++) {
        const json_t *input = json_array_get(inputs, i);
        const json_t *assertions =
            adapter_get(input, "inputFacets/dataQualityAssertions/assertions");
        if (!assertions)
            assertions = adapter_get(input, "facets/dataQualityAssertions/assertions");
        for (size_t k = 0; k < json_array_size(assertions); k++) {
            const json_t *assertion = json_array_get(assertions, k);
            const char *name = adapter_text(assertion, "name");
            const char *actual = adapter_text(assertion, "actual");
            if (!json_is_false(json_object_get(assertion, "success")))
                continue;
            buffer_text(&text, text.length > 0 ? "\n" : "");
            buffer_text(&text, name ? name : or_empty(adapter_text(assertion, "assertion")));
            if (actual) {
                buffer_text(&text, ": got ");
                buffer_text(&text, actual);
                buffer_text(&text, ", expected ");
                buffer_text(&text, or_empty(adapter_text(assertion, "expected")));
            }
        }
    }
    buffer_append(&text, "", 1);
    lineage->answer->failed |= text.failed;
    if (!text.failed && text.length > 1 && !json_object_get(event, "errorInfo"))
        adapter_set_error(event, text.bytes, NULL);
    buffer_free(&text);
}

static void set_outputs(const struct lineage *lineage, json_t *event)
{
    const json_t *outputs = json_object_get(lineage->json, "outputs");
    json_t *datasets = json_array();
    for (size_t i = 0; i < json_array_size(outputs); i++) {
        const json_t *output = json_array_get(outputs, i);
        const char *space = adapter_text(output, "namespace");
        const char *name = adapter_text(output, "name");
        if (space && name)
            json_array_append_new(datasets,
                                  json_pack("{s:s, s:s}", "namespace", space, "name", name));
    }
    if (json_array_size(datasets) > 0)
        adapter_set(event, "outputs", json_pack("{s:O}", "datasets", datasets));
    json_decref(datasets);
}

static void set_links(const struct lineage *lineage, json_t *event)
{
    const char *log = adapter_text(lineage->run_facets, "airflow/taskInstance/log_url");
    const char *source = adapter_text(lineage->job_facets, "sourceCodeLocation/url");
    const json_t *spark = adapter_get(lineage->run_facets, "spark_applicationDetails");
    json_t *links = json_array();
    adapter_link(links, "Airflow", log);
    adapter_link(links, "Spark", adapter_text(spark, "uiWebUrl"));
    adapter_link(links, "Spark history", adapter_text(spark, "historyUrl"));
    adapter_link(links, "Source", source);
    if (log)
        adapter_set(event, "logInfo", json_pack("[{s:s, s:s}]", "name", "Airflow", "uri", log));
    adapter_set(event, "links", json_array_size(links) > 0 ? json_incref(links) : NULL);
    json_decref(links);
}

/* What a person calls it who sees what it stands under. */
static json_t *title_of(const struct lineage *lineage, const struct lineage_action *action)
{
    const json_t *node = adapter_get(lineage->job_facets, "dbt_node");
    const char *alias = adapter_text(node, "alias");
    const char *rendered =
        adapter_text(lineage->run_facets, "airflow/taskInstance/rendered_map_index");
    const char *query = strstr(lineage->job_name, ".sql.");
    const char *test = strncmp(lineage->job_name, "test.", 5) == 0 /* test.PACKAGE.NAME.HASH */
                           ? strchr(lineage->job_name + 5, '.')
                           : NULL;
    if (rendered && action->is_mapped)
        return adapter_labelf("%s [%s]", action->parent, rendered);
    if (is_airflow_task(lineage))
        return NULL;
    if (is_job(lineage, "DBT", "SQL") && query)
        return adapter_labelf("SQL %s", query + strlen(".sql."));
    if (is_job(lineage, "DBT", "TEST") && test)
        return adapter_labelf("%.*s", (int)strcspn(test + 1, "."), test + 1);
    if (alias && !is_job(lineage, "DBT", "TEST"))
        return adapter_label(alias);
    bool is_title = strcmp(action->name, lineage->job_name) == 0;
    return is_title ? NULL : adapter_label(own_name(lineage));
}

/* "model" for MODEL, as dbt writes it. */
static json_t *lower_case(const char *text)
{
    char lower[LABEL_BYTES_MAX + 1];
    size_t length = 0;
    for (; length < LABEL_BYTES_MAX && text[length]; length++)
        lower[length] = (char)tolower((unsigned char)text[length]);
    return json_stringn(lower, length);
}

static void set_alias(const struct lineage *lineage, json_t *event)
{
    char alias[ADAPTER_NAME_SIZE];
    adapter_name(lineage->run_id, alias);
    adapter_set(event, "aliases", json_pack("[s]", alias));
}

/* Before version 2 of Airflow's provider all instances of a mapped task have one run id: it is the
 * task's then. */
static bool is_id_of_mapped_task(const struct lineage *lineage, const struct lineage_action *action)
{
    static const char provider[] = "providers-openlineage/";
    const char *producer = or_empty(adapter_text(lineage->json, "producer"));
    const char *version = strstr(producer, provider);
    return action->is_mapped && (!version || strtol(version + sizeof provider - 1, NULL, 10) < 2);
}

static void set_members(const struct lineage *lineage, const struct lineage_action *action,
                        json_t *event)
{
    const json_t *task = adapter_get(lineage->run_facets, "airflow/task");
    const json_t *group = adapter_get(task, "task_group");
    bool is_query = is_job(lineage, "DBT", "SQL");
    if (json_is_object(group))
        group = json_object_get(group, "group_id");
    if (!action->is_mapped)
        adapter_set(event, "group", group_of(group));
    if (task)
        set_task(event, adapter_text(task, "operator_class_path"),
                 adapter_text(task, "operator_class"));
    else if (*lineage->integration && *lineage->job_type)
        set_task(event, lineage->integration, lineage->job_type);
    if (is_job(lineage, "DBT", NULL) && !is_query && !is_started_apart(lineage))
        adapter_set(event, "group", lower_case(lineage->job_type));
    if (!lineage->is_root && !is_query && !is_id_of_mapped_task(lineage, action))
        set_alias(lineage, event);
    adapter_set(event, "title", title_of(lineage, action));
    set_links(lineage, event);
    set_error(lineage, event);
    if (strcmp(or_empty(lineage->type), "FAIL") == 0)
        set_failed_assertions(lineage, event);
    set_outputs(lineage, event);
    adapter_set(event, "openLineage", adapter_raw(lineage->json));
}

/* -------- what the event says of the run -------- */

static void add_tags(json_t *labels, const json_t *facets)
{
    const json_t *tags = adapter_get(facets, "tags/tags");
    for (size_t i = 0; i < json_array_size(tags); i++) {
        const json_t *tag = json_array_get(tags, i);
        const char *source = adapter_text(tag, "source");
        if (!source || strcmp(source, "OPENLINEAGE_CLIENT") != 0)
            adapter_add_label(labels, adapter_text(tag, "key"), adapter_text(tag, "value"));
    }
}

static json_t *labels_of(const struct lineage *lineage, const json_t *dag_run)
{
    json_t *labels = json_object();
    const json_t *engine = adapter_get(lineage->run_facets, "processing_engine");
    adapter_add_label(labels, "tool", adapter_text(engine, "name"));
    adapter_add_label(labels, "namespace", adapter_text(lineage->json, "job/namespace"));
    adapter_add_label(labels, "job", lineage->job_name);
    adapter_add_label(labels, "run_type", adapter_text(dag_run, "run_type"));
    add_tags(labels, lineage->job_facets);
    add_tags(labels, lineage->run_facets);
    return labels;
}

static json_t *params_of(const struct lineage *lineage, const json_t *dag_run)
{
    static const char *const names[] = {"run_id", "logical_date", "data_interval_start",
                                        "data_interval_end", "conf"};
    const json_t *facet = adapter_get(lineage->run_facets, "dbt_run");
    const json_t *properties = adapter_get(lineage->run_facets, "spark_properties/properties");
    json_t *params = json_copy((json_t *)(facet ? facet : properties));
    if (!params)
        params = json_object();
    json_object_del(params, "_producer");
    json_object_del(params, "_schemaURL");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        adapter_set(params, names[i], json_incref(json_object_get(dag_run, names[i])));
    return params;
}

static json_t *title_of_run(const struct lineage *lineage, const json_t *dag_run)
{
    char when[TIMESTAMP_SIZE];
    const char *id = adapter_text(dag_run, "run_id");
    json_int_t cleared = json_integer_value(json_object_get(dag_run, "clear_number"));
    timestamp_format(lineage->time_us, when);
    if (id && cleared > 0)
        return adapter_labelf("%s %s, cleared %" JSON_INTEGER_FORMAT, lineage->root_job, id,
                              cleared);
    return adapter_labelf("%s %s", lineage->root_job, id ? id : when);
}

/* An Airflow task knows the DAG run, and where its page is; else it is the root that tells. */
static void set_run(const struct lineage *lineage, json_t *event)
{
    static const char tasks[] = "/tasks/";
    bool is_task = is_airflow_task(lineage);
    const json_t *dag_run =
        adapter_get(lineage->run_facets, is_task ? "airflow/dagRun" : "airflowDagRun/dagRun");
    const char *log = adapter_text(lineage->run_facets, "airflow/taskInstance/log_url");
    const char *end = log && strstr(log, "/dags/") ? strstr(log, tasks) : NULL;
    bool is_of_root = lineage->parent_id && strcmp(lineage->parent_id, lineage->root_id) == 0;
    if (!lineage->is_root && !(is_task && dag_run && is_of_root))
        return;
    json_t *run = json_object();
    adapter_set(run, "title", title_of_run(lineage, dag_run));
    if (lineage->is_root) {
        adapter_set(run, "labels", labels_of(lineage, dag_run));
        adapter_set_params(run, params_of(lineage, dag_run));
    }
    if (end) {
        json_t *links = json_array(), *url = json_stringn(log, (size_t)(end - log));
        adapter_link(links, "Airflow", json_string_value(url));
        adapter_set(run, "links", links);
        json_decref(url);
    }
    adapter_set(event, "run", run);
}

/* -------- an Airflow DAG run's tasks -------- */

/* In what they depend on, the DAG says what depends on them. */
static json_t *turn_around(const json_t *tasks)
{
    json_t *upstream = json_object(), *task;
    const char *id;
    json_object_foreach ((json_t *)tasks, id, task) {
        const json_t *downstream = json_object_get(task, "downstream_task_ids");
        for (size_t i = 0; i < json_array_size(downstream); i++) {
            const char *other = json_string_value(json_array_get(downstream, i));
            json_t *list = other ? json_object_get(upstream, other) : NULL;
            if (other && !list) {
                json_object_set_new(upstream, other, json_array());
                list = json_object_get(upstream, other);
            }
            json_array_append_new(list, json_string(id));
        }
    }
    return upstream;
}

static void name_task(const struct lineage *lineage, const struct lineage_action *dag,
                      const char *id, char name[static ADAPTER_NAME_SIZE])
{
    char text[2 * ADAPTER_NAME_SIZE];
    snprintf(text, sizeof text, "%s%s%s", lineage->is_root ? "" : dag->name,
             lineage->is_root ? "" : ".", id);
    adapter_name_below(text, lineage->root, name);
}

/* The names that are depended on, as the tasks are called here. */
static json_t *depends_on(const struct lineage *lineage, const struct lineage_action *dag,
                          const json_t *ids)
{
    char name[ADAPTER_NAME_SIZE];
    json_t *names = json_array_size(ids) > 0 ? json_array() : NULL;
    for (size_t i = 0; i < json_array_size(ids) && i < DEPENDS_ON_MAX; i++) {
        name_task(lineage, dag, json_string_value(json_array_get(ids, i)), name);
        json_array_append_new(names, json_string(name));
    }
    return names;
}

static void queue_tasks(const struct lineage *lineage, const struct lineage_action *dag)
{
    const json_t *tasks = adapter_get(lineage->job_facets, "airflow/tasks");
    json_t *upstream = tasks ? turn_around(tasks) : NULL, *task;
    char name[ADAPTER_NAME_SIZE];
    const char *id;
    json_object_foreach ((json_t *)tasks, id, task) {
        const char *operator_class = adapter_text(task, "operator");
        name_task(lineage, dag, id, name);
        json_t *event = new_event(lineage, name, 1, "QUEUED", 0);
        adapter_set(event, "parent", adapter_parent(dag->name, name));
        adapter_set(event, "group", group_of(json_object_get(task, "task_group")));
        set_task(event, operator_class, last_part(operator_class));
        adapter_set(event, "dependsOn", depends_on(lineage, dag, json_object_get(upstream, id)));
        adapter_emit(lineage->answer, event);
    }
    json_decref(upstream);
}

/* A state of a task at the end of its DAG run. `stands`: the task's own events cannot have said
 * it. */
static const struct task_end {
    const char *state, *phase, *why;
    bool stands;
} task_ends[] = {
    {"success", "SUCCEEDED", NULL, false},
    {"failed", "FAILED", NULL, false},
    {"skipped", "SKIPPED", NULL, true},
    {"upstream_failed", "SKIPPED", "upstream_failed", true},
    {"removed", "SKIPPED", "removed", true},
    {"none", "SKIPPED", "not run", false},
    /* Not ended: the tasks themselves will say it, or nobody does. */
    {"running", NULL, NULL, false},
    {"queued", NULL, NULL, false},
    {"scheduled", NULL, NULL, false},
    {"deferred", NULL, NULL, false},
    {"restarting", NULL, NULL, false},
    {"up_for_retry", NULL, NULL, false},
    {"up_for_reschedule", NULL, NULL, false},
};

static const struct task_end *find_task_end(const json_t *state)
{
    const char *text = json_is_null(state) ? "none" : or_empty(json_string_value(state));
    for (size_t i = 0; i < sizeof task_ends / sizeof *task_ends; i++)
        if (strcmp(text, task_ends[i].state) == 0)
            return &task_ends[i];
    return NULL;
}

static void end_tasks(const struct lineage *lineage, const struct lineage_action *dag)
{
    const struct adapter_place place = {
        .run_name = lineage->run_name, .root = lineage->root, .time_us = lineage->time_us};
    const json_t *states = adapter_get(lineage->run_facets, "airflowState/tasksState");
    char name[ADAPTER_NAME_SIZE];
    const char *id;
    json_t *state;
    json_object_foreach ((json_t *)states, id, state) {
        const struct task_end *end = find_task_end(state);
        if (!end)
            adapter_unmapped(lineage->answer, UNMAPPED_STATE, &place, lineage->json,
                             "the task %s is %s", id, or_empty(json_string_value(state)));
        if (!end || !end->phase)
            continue;
        name_task(lineage, dag, id, name);
        json_t *event = new_event(lineage, name, 1, end->phase,
                                  end->stands ? adapter_version(lineage->time_us) : 0);
        adapter_set(event, "parent", adapter_parent(dag->name, name));
        if (end->why)
            adapter_set(event, "errorInfo", json_pack("{s:s}", "message", end->why));
        adapter_emit(lineage->answer, event);
    }
}

/* The task of which this is one mapped instance: it runs as long as the DAG, or has failed when an
 * instance has, finally. */
static void emit_mapped_task(const struct lineage *lineage, const struct lineage_action *action)
{
    const json_t *task = adapter_get(lineage->run_facets, "airflow/task");
    const json_t *group = adapter_get(task, "task_group");
    struct lineage_action above;
    json_int_t retries = json_integer_value(json_object_get(task, "retries"));
    bool has_failed = strcmp(or_empty(lineage->type), "FAIL") == 0 && action->attempt > retries;
    set_parent(lineage, &above);
    json_t *event = new_event(lineage, action->parent, 1, has_failed ? "FAILED" : "RUNNING",
                              adapter_version(lineage->time_us));
    adapter_set(event, "parent",
                adapter_parent(above.has_parent ? above.parent : NULL, action->parent));
    if (json_is_object(group))
        adapter_set(event, "group", group_of(json_object_get(group, "group_id")));
    set_task(event, adapter_text(task, "operator_class_path"),
             adapter_text(task, "operator_class"));
    if (is_id_of_mapped_task(lineage, action))
        set_alias(lineage, event);
    adapter_emit(lineage->answer, event);
}

/* What is directly below the root says that the root is there: there are tools that report to an
 * Airflow or another parent that does not report, or whose start was lost. The time is to the
 * millisecond, which is the version, so that the same event is told by whoever comes first; and
 * that counts down, to be none of the root's own. */
static void tell_of_root(const struct lineage *lineage)
{
    struct lineage at_ms = *lineage;
    if (lineage->is_root || !lineage->parent_id ||
        strcmp(lineage->parent_id, lineage->root_id) != 0 || is_started_apart(lineage))
        return;
    at_ms.time_us -= at_ms.time_us % US_PER_MS;
    json_t *event = new_event(&at_ms, lineage->root, 1, "RUNNING",
                              INT32_MAX - adapter_version(lineage->time_us));
    adapter_set(event, "parent", json_null());
    adapter_emit(lineage->answer, event);
}

/* -------- requests -------- */

/* Clients that are given a URL without a slash at its end put their own path in place of the
 * domain. */
static bool has_lost_its_domain(const struct adapter_request *request)
{
    return strcmp(request->domain, "api") == 0 && adapter_path_is(request, "v1/lineage");
}

static void take_lineage(struct adapter_answer *answer, const json_t *json)
{
    struct lineage lineage;
    struct lineage_action action;
    if (!read_lineage(&lineage, answer, json))
        return;
    const struct adapter_place place = {
        .run_name = lineage.run_name, .root = lineage.root, .time_us = lineage.time_us};
    const char *phase = phase_of(&lineage);
    adapter_note_place(answer, &place);
    if (!phase) {
        adapter_unmapped(answer, UNMAPPED_TYPE, &place, json, "eventType %s",
                         or_empty(lineage.type));
        return;
    }
    name_action(&lineage, &action);
    tell_of_root(&lineage);
    if (action.is_mapped)
        emit_mapped_task(&lineage, &action);
    json_t *event =
        new_event(&lineage, action.name, action.attempt, phase, adapter_version(lineage.time_us));
    adapter_set(event, "parent",
                adapter_parent(action.has_parent ? action.parent : NULL, action.name));
    set_run(&lineage, event);
    set_members(&lineage, &action, event);
    adapter_emit(answer, event);
    if (strcmp(phase, "RUNNING") == 0)
        queue_tasks(&lineage, &action);
    else
        end_tasks(&lineage, &action);
}

void adapt_openlineage(const struct adapter_request *request, struct adapter_answer *answer)
{
    if (strcmp(request->method, "POST") != 0) {
        adapter_unmapped(answer, UNMAPPED_PATH, NULL, NULL, "%s", request->method);
        return;
    }
    if (has_lost_its_domain(request)) {
        adapter_refuse(answer, "The URL that the client is given must end with a slash: "
                               "…/v1/adapters/openlineage/{project}/{domain}/");
        return;
    }
    json_t *body = adapter_body(answer);
    const json_t *list = json_is_array(body) ? body : json_object_get(body, "events");
    if (json_is_array(list))
        for (size_t i = 0; i < json_array_size(list); i++)
            take_lineage(answer, json_array_get(list, i));
    else if (body)
        take_lineage(answer, body);
    json_decref(body);
}
