#include "handlers/flyte_reads.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "adapters/flyte_records.h"
#include "handlers/action_document.h"
#include "handlers/lists.h"
#include "handlers/parameters.h"
#include "handlers/run_cells.h"
#include "model/records.h"
#include "server/http.h"

/* A call that reads, until its answer. */
struct flyte_read {
    const struct flyte_method *method;
    struct app *app;
    struct cell *cell;            /* of the run that it is about */
    struct http_request *request; /* NULL: gone meanwhile */
    bool is_json;
    struct arena arena; /* of the message */
    const void *message;
    struct flyte_scope scope; /* into the message */
    struct run_key run;       /* likewise, of what is about one run */
    const char *action;
    char *root;       /* owned */
    json_t *document; /* of runs: the page */
    json_t *runs;     /* the answer, as far as it is there */
    json_t *found;    /* the root that was read last */
};

static void read_free(void *arg)
{
    struct flyte_read *read = arg;

    json_decref(read->document);
    json_decref(read->runs);
    json_decref(read->found);
    free(read->root);
    arena_free(&read->arena);
    free(read);
}

/* The call's message; NULL when it was answered. */
static struct flyte_read *begin_read(const struct flyte_method *method, struct connect_call *call)
{
    struct flyte_read *read = calloc(1, sizeof *read);
    struct problem problem;

    if (read == NULL) {
        connect_clear(call);
        reply_unavailable(call->request, -ENOMEM);
        return NULL;
    }
    read->method = method;
    read->app = call->app;
    read->request = call->request;
    read->is_json = call->is_json;
    read->message = connect_message(call, method->request, &read->arena, &problem);
    connect_clear(call);
    if (read->message != NULL)
        return read;
    read_free(read);
    reply_problem(call->request, &problem);
    return NULL;
}

static void refuse(struct flyte_read *read, const char *what)
{
    reply_problemf(read->request, PROBLEM_INVALID_FIELD, NULL, "%s", what);
    read_free(read);
}

/* Whether the list's filters, if it has any, are such as runtree knows; if not the call was
 * answered, and `read` freed. */
static bool take_filters(struct flyte_read *read, const Flyte__ListRequest *list,
                         struct flyte_filters *filters)
{
    char why[FLYTE_WHY_SIZE];

    if (list == NULL || flyte_read_filters(list->filters, list->n_filters, filters, why) == 0)
        return true;
    refuse(read, why);
    return false;
}

static bool is_key(enum key_part part, const char *text)
{
    return key_part_is_valid(part, text, strlen(text));
}

/* Whether the call may read there; if not it was answered, and `read` freed. */
static bool may_read(struct flyte_read *read, const char *project, const char *domain)
{
    if (access_allows(http_request_access(read->request), ACCESS_READ, project, domain))
        return true;
    reply_forbidden(read->request, "read", project, domain);
    read_free(read);
    return false;
}

static bool is_org(const char *text)
{
    return strlen(text) <= FLYTE_ORG_BYTES_MAX;
}

bool flyte_run_key(const Flyte__RunIdentifier *id, struct run_key *key)
{
    if (id == NULL || !is_key(KEY_PROJECT, id->project) || !is_key(KEY_DOMAIN, id->domain) ||
        !is_key(KEY_NAME, id->name) || !is_org(id->org))
        return false;
    *key = (struct run_key){id->project, id->domain, id->name};
    return true;
}

/* The run that the call is about; false when it was answered. */
static bool find_run(struct flyte_read *read, const Flyte__RunIdentifier *id)
{
    if (!flyte_run_key(id, &read->run)) {
        refuse(read, "run_id: project, domain and name must be a run's, org at most 255 bytes");
        return false;
    }
    read->scope = (struct flyte_scope){id->org, id->project, id->domain, id->name};
    if (!may_read(read, id->project, id->domain))
        return false;
    read->cell = find_cell(read->request, &read->run);
    if (read->cell == NULL)
        read_free(read);
    return read->cell != NULL;
}

/* Takes the answer over. */
static void answer(struct flyte_read *read, json_t *document)
{
    flyte_reply(read->request, read->method->answer, document, read->is_json, NULL);
    read_free(read);
}

/* Likewise, of a page of a list over cells: Flyte's message has no place for those that are away.
 */
static void answer_page(struct flyte_read *read, const json_t *page, json_t *document)
{
    struct buffer names = {0};
    struct reply_header headers[] = {{"Runtree-Unavailable-Cells", NULL}, {NULL, NULL}};
    json_t *name;
    size_t index;

    json_array_foreach (json_object_get(page, "unavailableCells"), index, name) {
        buffer_text(&names, index > 0 ? ", " : "");
        buffer_text(&names, json_string_value(name));
    }
    if (names.length > 0)
        buffer_append(&names, "", 1);
    headers[0].value = names.bytes;
    flyte_reply(read->request, read->method->answer, document, read->is_json,
                names.length == 0 || names.failed ? NULL : headers);
    buffer_free(&names);
    read_free(read);
}

/* -------- pages -------- */

static json_t *document_of(struct buffer *text)
{
    json_t *document = json_loadb(text->bytes, text->length, 0, NULL);

    buffer_free(text);
    return document;
}

static int32_t limit_of(const Flyte__ListRequest *list)
{
    uint32_t limit = list == NULL ? 0 : list->limit;

    return limit == 0 ? LIMIT_DEFAULT : limit > LIMIT_MAX ? LIMIT_MAX : (int32_t)limit;
}

static const char *token_of(const Flyte__ListRequest *list)
{
    return list == NULL || *list->token == '\0' ? NULL : list->token;
}

static int add_phases(const Flyte__Filter *from, struct filter *filter)
{
    if (from->function != FLYTE__FILTER__FUNCTION__EQUAL &&
        from->function != FLYTE__FILTER__FUNCTION__VALUE_IN)
        return -EINVAL;
    for (size_t i = 0; i < from->n_values; i++)
        if (filter_add_phases(filter, from->values[i]) < 0)
            return -EINVAL;
    return 0;
}

static int add_name(const Flyte__Filter *from, struct filter *filter)
{
    if ((from->function != FLYTE__FILTER__FUNCTION__CONTAINS &&
         from->function != FLYTE__FILTER__FUNCTION__CONTAINS_CASE_INSENSITIVE) ||
        from->n_values != 1)
        return -EINVAL;
    return filter_set_name(filter, from->values[0]);
}

static int add_parent(const Flyte__Filter *from, struct flyte_filters *filters)
{
    if (!filters->may_have_parent || from->function != FLYTE__FILTER__FUNCTION__EQUAL ||
        from->n_values != 1 || !is_key(KEY_NAME, from->values[0]))
        return -EINVAL;
    filters->parent = from->values[0];
    return 0;
}

/* Of a field "labels.NAME". */
static int add_label(const Flyte__Filter *from, struct flyte_filters *filters)
{
    const char *name = from->field + strlen("labels.");
    char label[LIST_LABELS_SIZE];
    int length;

    if (!filters->may_have_labels || from->function != FLYTE__FILTER__FUNCTION__EQUAL ||
        from->n_values != 1 || strchr(name, ':') != NULL)
        return -EINVAL;
    length = snprintf(label, sizeof label, "%s:%s", name, from->values[0]);
    if (length >= (int)sizeof label)
        return -EINVAL;
    return list_filter_add_label(filters->labels.labels, label);
}

int flyte_read_filters(Flyte__Filter *const *from, size_t count, struct flyte_filters *filters,
                       char why[static FLYTE_WHY_SIZE])
{
    for (size_t i = 0; i < count; i++) {
        const char *field = from[i]->field;
        int status = -EINVAL;

        if (strcasecmp(field, "phase") == 0)
            status = add_phases(from[i], &filters->filter);
        else if (strcasecmp(field, "name") == 0)
            status = add_name(from[i], &filters->filter);
        else if (strcmp(field, "parent_name") == 0)
            status = add_parent(from[i], filters);
        else if (strncmp(field, "labels.", strlen("labels.")) == 0)
            status = add_label(from[i], filters);
        if (status == 0)
            continue;
        snprintf(why, FLYTE_WHY_SIZE,
                 "filters: runtree knows phase (EQUAL, VALUE_IN), name (CONTAINS)%s%s, not this of "
                 "\"%.60s\"",
                 filters->may_have_parent ? ", parent_name (EQUAL)" : "",
                 filters->may_have_labels ? ", labels.NAME (EQUAL)" : "", field);
        return -EINVAL;
    }
    return 0;
}

/* -------- actions -------- */

static void take_actions(void *arg, struct http_request *request, struct buffer *text)
{
    struct flyte_read *read = arg;
    json_t *page = document_of(text), *actions = json_array(), *item;
    size_t index;

    (void)request;
    json_array_foreach (json_object_get(page, "actions"), index, item)
        json_array_append_new(actions, flyte_action(&read->scope, item));
    answer(read, json_pack("{s:o, s:O?}", "actions", actions, "token",
                           json_object_get(page, "nextCursor")));
    json_decref(page);
}

/* Whether the filter asks for a kind of actions that there is not: conditions. */
static bool wants_conditions(const Flyte__ListRequest *list)
{
    return list != NULL && list->n_filters == 1 &&
           strcmp(list->filters[0]->field, "action_type") == 0 && list->filters[0]->n_values == 1 &&
           strcmp(list->filters[0]->values[0], "3") == 0;
}

void flyte_list_actions(const struct flyte_method *method, struct connect_call *call)
{
    struct flyte_read *read = begin_read(method, call);
    const struct page_taker taker = {.take = take_actions, .drop = read_free, .arg = read};
    struct flyte_filters filters = {.may_have_parent = true};
    const Flyte__ListActionsRequest *message;
    struct action_query query = {0};

    if (read == NULL)
        return;
    message = read->message;
    if (!find_run(read, message->run_id))
        return;
    if (wants_conditions(message->request)) {
        answer(read, json_object());
        return;
    }
    if (!take_filters(read, message->request, &filters))
        return;
    query.run = read->run;
    query.filter = filters.filter;
    query.parent = filters.parent;
    query.limit = limit_of(message->request);
    list_actions(read->cell, read->request, &query, token_of(message->request), &taker);
}

/* -------- runs -------- */

static void read_next_root(struct flyte_read *read);

static void on_root(void *arg, const struct action *action)
{
    struct flyte_read *read = arg;
    struct buffer text = {0};

    buffer_text(&text, "{");
    record_write_action_members(&text, action);
    buffer_text(&text, "}");
    read->found = text.failed ? NULL : json_loadb(text.bytes, text.length, 0, NULL);
    buffer_free(&text);
}

static void add_run(struct flyte_read *read, const json_t *run)
{
    json_array_append_new(read->runs, flyte_run(read->scope.org, run, read->found));
    json_decref(read->found);
    read->found = NULL;
}

static void on_root_end(void *arg, enum repo_outcome outcome, const char *message)
{
    struct flyte_read *read = arg;
    size_t index = json_array_size(read->runs);

    if (outcome != REPO_OK) {
        reply_repo_failure(read->request, outcome, message);
        read_free(read);
        return;
    }
    add_run(read, json_array_get(json_object_get(read->document, "runs"), index));
    read_next_root(read);
}

static const char *member(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* A run's summary has no task; its root has. */
static void read_next_root(struct flyte_read *read)
{
    const json_t *page = json_object_get(read->document, "runs"), *run;
    struct run_key key;
    struct cell *cell;
    int status;

    while ((run = json_array_get(page, json_array_size(read->runs))) != NULL) {
        if (member(run, "root") == NULL) {
            add_run(read, run);
            continue;
        }
        key =
            (struct run_key){member(run, "project"), member(run, "domain"), member(run, "runName")};
        cell = app_cell_of(read->app, &key);
        status = cell == NULL ? -ENOTCONN
                              : action_repo_get_action(cell->repo, &key, member(run, "root"),
                                                       on_root, on_root_end, read);
        if (status < 0) {
            reply_unavailable(read->request, status);
            read_free(read);
        }
        return;
    }
    answer_page(read, read->document,
                json_pack("{s:O, s:O?}", "runs", read->runs, "token",
                          json_object_get(read->document, "nextCursor")));
}

static void read_roots(void *arg)
{
    read_next_root(arg);
}

/* 0 or -ENOMEM. */
static int find_runs(struct flyte_read *read)
{
    const json_t *page = json_object_get(read->document, "runs");
    size_t count = json_array_size(page);
    struct run_key *runs = calloc(count + 1, sizeof *runs);

    if (runs == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const json_t *run = json_array_get(page, i);

        runs[i] =
            (struct run_key){member(run, "project"), member(run, "domain"), member(run, "runName")};
    }
    when_runs_are_found(read->request, runs, count, read_roots, read_free, read);
    free(runs);
    return 0;
}

static void take_runs(void *arg, struct http_request *request, struct buffer *text)
{
    struct flyte_read *read = arg;

    (void)request;
    read->document = document_of(text);
    read->runs = json_array();
    if (read->document != NULL && read->runs != NULL && find_runs(read) == 0)
        return;
    reply_unavailable(read->request, -ENOMEM);
    read_free(read);
}

void flyte_list_runs(const struct flyte_method *method, struct connect_call *call)
{
    struct flyte_read *read = begin_read(method, call);
    const struct page_taker taker = {.take = take_runs, .drop = read_free, .arg = read};
    const Flyte__ListRunsRequest *message;
    const Flyte__ProjectIdentifier *project;
    struct flyte_filters filters = {.may_have_labels = true};
    struct run_query query = {0};

    if (read == NULL)
        return;
    message = read->message;
    project = message->project_id;
    if (project != NULL &&
        (!is_key(KEY_PROJECT, project->name) || !is_key(KEY_DOMAIN, project->domain))) {
        refuse(read, "project_id: name and domain must be a project's");
        return;
    }
    read->scope.org = project == NULL ? message->org : project->organization;
    if (!is_org(read->scope.org)) {
        refuse(read, "org: must be at most 255 bytes");
        return;
    }
    if (project != NULL && !may_read(read, project->name, project->domain))
        return;
    if (message->paused_actions_only) {
        refuse(read, "paused_actions_only: runtree does not know which runs have paused actions");
        return;
    }
    if (!take_filters(read, message->request, &filters))
        return;
    query.project = project == NULL ? NULL : project->name;
    query.domain = project == NULL ? NULL : project->domain;
    query.phases = filters.filter.phases;
    query.name = filters.filter.name[0] == '\0' ? NULL : filters.filter.name;
    query.labels = filters.labels.labels;
    query.limit = limit_of(message->request);
    list_runs(read->app, read->request, &query, token_of(message->request), &taker);
}

/* -------- projects -------- */

static void take_projects(void *arg, struct http_request *request, struct buffer *text)
{
    struct flyte_read *read = arg;
    json_t *page = document_of(text);

    (void)request;
    answer_page(read, page, flyte_projects(read->scope.org, page));
    json_decref(page);
}

void flyte_list_projects(const struct flyte_method *method, struct connect_call *call)
{
    struct flyte_read *read = begin_read(method, call);
    const struct page_taker taker = {.take = take_projects, .drop = read_free, .arg = read};
    const Flyte__ListProjectsRequest *message;
    Flyte__ListRequest list = FLYTE__LIST_REQUEST__INIT;

    if (read == NULL)
        return;
    message = read->message;
    read->scope.org = message->org;
    if (!is_org(message->org)) {
        refuse(read, "org: must be at most 255 bytes");
        return;
    }
    list.limit = message->limit;
    list.token = message->token;
    list_projects(read->app, read->request, limit_of(&list), token_of(&list), &taker);
}

/* -------- details -------- */

static void on_gone(void *arg)
{
    struct flyte_read *read = arg;

    read->request = NULL;
}

static void shape_details(void *arg, struct buffer *text)
{
    struct flyte_read *read = arg;
    bool is_run = read->method->answer == &flyte__get_run_details_response__descriptor;
    json_t *action = document_of(text), *details;

    details = action == NULL ? NULL
              : is_run       ? flyte_run_details(&read->scope, action)
                             : flyte_action_details(&read->scope, action);
    *text = (struct buffer){0};
    flyte_write_answer(text, read->method->answer, details, read->is_json);
    json_decref(details);
    json_decref(action);
}

static void on_details(void *arg, struct action_document *document)
{
    struct flyte_read *read = arg;
    struct http_request *request = read->request;
    const char *content_type = connect_content_type(read->is_json, false);

    read_free(read);
    if (request == NULL)
        return;
    http_request_when_gone(request, NULL, NULL);
    if (document->status == 0)
        reply_buffer(request, 200, content_type, &document->text);
    else
        reply_action_document_failure(request, document);
}

static void read_details(struct flyte_read *read, const char *name)
{
    struct http_request *request = read->request;
    const struct action_document_reader reader = {
        .client = repo_client_of(request), .shape = shape_details, .done = on_details, .arg = read};
    int status;

    http_request_when_gone(request, on_gone, read);
    status = action_document_read(read->cell, &read->run, name, &reader);
    if (status == 0)
        return;
    http_request_when_gone(request, NULL, NULL);
    read_free(read);
    reply_unavailable(request, status);
}

void flyte_get_action_details(const struct flyte_method *method, struct connect_call *call)
{
    struct flyte_read *read = begin_read(method, call);
    const Flyte__ActionIdentifier *id;

    if (read == NULL)
        return;
    id = ((const Flyte__ActionRequest *)read->message)->action_id;
    if (!find_run(read, id == NULL ? NULL : id->run))
        return;
    if (is_key(KEY_NAME, id->name))
        read_details(read, id->name);
    else
        refuse(read, "action_id: name must be an action's");
}

static void on_run(void *arg, const struct run *run)
{
    struct flyte_read *read = arg;

    read->root = run->root == NULL ? NULL : strdup(run->root);
}

static void on_run_end(void *arg, enum repo_outcome outcome, const char *message)
{
    struct flyte_read *read = arg;

    if (outcome == REPO_OK && read->root != NULL) {
        read_details(read, read->root);
        return;
    }
    if (outcome != REPO_OK)
        reply_repo_failure(read->request, outcome, message);
    else
        reply_problemf(read->request, PROBLEM_NOT_FOUND, NULL,
                       "There is no such run, or its root has not reported yet.");
    read_free(read);
}

void flyte_get_run_details(const struct flyte_method *method, struct connect_call *call)
{
    struct flyte_read *read = begin_read(method, call);
    int status;

    if (read == NULL || !find_run(read, ((const Flyte__RunRequest *)read->message)->run_id))
        return;
    status = action_repo_get_run(read->cell->repo, &read->run, on_run, on_run_end, read);
    if (status == 0)
        return;
    reply_unavailable(read->request, status);
    read_free(read);
}
