#include "handlers/flyte_abort.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "handlers/abort.h"
#include "handlers/flyte_reads.h"
#include "handlers/run_cells.h"
#include "server/http.h"

struct flyte_abort {
    struct http_request *request;
    const ProtobufCMessageDescriptor *answer;
    bool is_json;
};

/* What has ended is as it was asked for. */
static void on_noted(void *arg, enum abort_outcome outcome, const char *noted, enum phase phase)
{
    struct flyte_abort *abort = arg;

    (void)noted;
    (void)phase;
    if (outcome == ABORT_FAILED)
        reply_unavailable(abort->request, -ENOTCONN);
    else if (outcome == ABORT_ABSENT)
        reply_problemf(abort->request, PROBLEM_NOT_FOUND, NULL, "There is nothing to abort.");
    else
        flyte_reply(abort->request, abort->answer, json_object(), abort->is_json, NULL);
    free(abort);
}

/* `name` NULL: of the run. */
static void request_abort(const struct flyte_method *method, const struct connect_call *call,
                          const Flyte__RunIdentifier *id, const char *name, const char *reason)
{
    struct http_request *request = call->request;
    struct flyte_abort *abort;
    struct run_key run;
    struct cell *cell;
    int status;

    if (!flyte_run_key(id, &run) ||
        (name != NULL && !key_part_is_valid(KEY_NAME, name, strlen(name)))) {
        reply_problemf(request, PROBLEM_INVALID_FIELD, NULL,
                       "run_id, action_id: must be those of a run or an action");
        return;
    }
    if (!abort_reason_is_valid(reason)) {
        reply_problemf(request, PROBLEM_INVALID_FIELD, NULL,
                       "reason: must be at most %d bytes without control characters",
                       ABORT_REASON_BYTES_MAX);
        return;
    }
    if (!access_allows(http_request_access(request), ACCESS_WRITE, run.project, run.domain)) {
        reply_forbidden(request, "write", run.project, run.domain);
        return;
    }
    cell = find_cell(request, &run);
    if (cell == NULL)
        return;
    abort = malloc(sizeof *abort);
    if (abort == NULL) {
        reply_unavailable(request, -ENOMEM);
        return;
    }
    *abort = (struct flyte_abort){request, method->answer, call->is_json};
    status =
        note_abort(cell, request, &run, name, *reason == '\0' ? NULL : reason, on_noted, abort);
    if (status == 0)
        return;
    free(abort);
    reply_unavailable(request, status);
}

void flyte_abort_run(const struct flyte_method *method, struct connect_call *call)
{
    struct arena arena = {0};
    struct problem problem;
    const void *any = connect_message(call, method->request, &arena, &problem);
    const Flyte__AbortRunRequest *message = any;

    if (message == NULL)
        reply_problem(call->request, &problem);
    else
        request_abort(method, call, message->run_id, NULL, message->reason);
    arena_free(&arena);
    connect_clear(call);
}

void flyte_abort_action(const struct flyte_method *method, struct connect_call *call)
{
    struct arena arena = {0};
    struct problem problem;
    const void *any = connect_message(call, method->request, &arena, &problem);
    const Flyte__AbortActionRequest *message = any;
    const Flyte__ActionIdentifier *id = message == NULL ? NULL : message->action_id;

    if (message == NULL)
        reply_problem(call->request, &problem);
    else
        request_abort(method, call, id == NULL ? NULL : id->run, id == NULL ? "" : id->name,
                      message->reason);
    arena_free(&arena);
    connect_clear(call);
}
