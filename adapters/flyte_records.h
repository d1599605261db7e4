/* Records of ours (model/records.h, as JSON) as Flyte 2's clients read them: documents in proto3's
 * JSON mapping, from which an answer is made in either form. Pure; docs/flyte.md says where Flyte's
 * rules for what a client sees differ. All functions return a new reference, or NULL when out of
 * memory. */
#ifndef RUNTREE_ADAPTERS_FLYTE_RECORDS_H
#define RUNTREE_ADAPTERS_FLYTE_RECORDS_H

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#include "model/buffer.h"
#include "model/event_batch.h"

/* Whose a record is; borrowed. `org` is what the request called it. */
struct flyte_scope {
    const char *org, *project, *domain, *run;
};

/* Appends the answer in its form. `document` is borrowed; NULL sets out->failed. */
void flyte_write_answer(struct buffer *out, const ProtobufCMessageDescriptor *descriptor,
                        const json_t *document, bool is_json);

/* -------- answers to reports -------- */

/* To CreateRun: the run that it made. */
json_t *flyte_created_run(const struct flyte_scope *scope);

/* google.rpc.Status; `why` NULL: good. */
json_t *flyte_status(const char *why);

/* To ReportActions: a status for each event. */
json_t *flyte_statuses(const struct event_batch *batch);

/* -------- answers to reads -------- */

/* Of an action as lists and the live tree have it. */
json_t *flyte_action(const struct flyte_scope *scope, const json_t *action);

/* {"details": ActionDetails} of an action's document with its attempts. */
json_t *flyte_action_details(const struct flyte_scope *scope, const json_t *action);

/* {"details": RunDetails} of the run's root. */
json_t *flyte_run_details(const struct flyte_scope *scope, const json_t *root);

/* Of a run's summary; `root` is its root's record, NULL if there is none. */
json_t *flyte_run(const char *org, const json_t *run, const json_t *root);

/* Of a record nodeUpdate. */
json_t *flyte_enriched_action(const struct flyte_scope *scope, const json_t *update);

/* {"projects": Projects} of a page of projects and domains by name. */
json_t *flyte_projects(const char *org, const json_t *page);

#endif
