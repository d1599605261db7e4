#include "handlers/abort.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "handlers/handlers.h"
#include "handlers/parameters.h"
#include "handlers/submission.h"
#include "model/records.h"
#include "server/http.h"

struct abort_reply {
    struct http_request *request;
    bool is_of_run;
};

static void on_noted(void *arg, enum abort_outcome outcome, const char *noted, enum phase phase)
{
    struct abort_reply *reply = arg;
    const char *what = reply->is_of_run ? "run" : "action";
    struct http_request *request = reply->request;
    struct buffer body = {0};

    free(reply);
    if (outcome == ABORT_FAILED) {
        reply_unavailable(request, -ENOTCONN);
    } else if (outcome == ABORT_ABSENT) {
        reply_problemf(request, PROBLEM_NOT_FOUND, NULL, "There is no such %s.", what);
    } else if (outcome == ABORT_ENDED) {
        reply_problemf(request, PROBLEM_ALREADY_ENDED, NULL,
                       "The %s is %s: there is nothing to abort.", what, phase_name(phase));
    } else {
        buffer_text(&body, "{\"abortRequested\":");
        buffer_text(&body, noted);
        buffer_text(&body, "}");
        reply_buffer(request, 200, "application/json", &body);
    }
}

bool abort_reason_is_valid(const char *reason)
{
    if (strlen(reason) > ABORT_REASON_BYTES_MAX)
        return false;
    for (; *reason != '\0'; reason++)
        if (((unsigned char)*reason < ' ' && *reason != '\n' && *reason != '\t') || *reason == 0x7f)
            return false;
    return true;
}

/* What the body, which may be empty, gives as the reason, borrowed from *document; NULL if nothing.
 * 0, or -1 when answered. */
static int read_reason(struct http_request *request, json_t **document, const char **reason)
{
    size_t length;
    char *body = http_request_take_body(request, &length);
    json_error_t error = {0};
    const json_t *member;
    int status = -1;

    *reason = NULL;
    *document =
        length == 0 ? json_object() : json_loadb(body, length, JSON_REJECT_DUPLICATES, &error);
    free(body);
    member = json_object_get(*document, "reason");
    if (*document == NULL && length > 0)
        reply_problemf(request, PROBLEM_INVALID_JSON, NULL, "The body is not JSON: %s (line %d).",
                       error.text, error.line);
    else if (!json_is_object(*document))
        reply_problemf(request, PROBLEM_INVALID_FIELD, NULL,
                       "The body must be an object, such as {\"reason\": \"…\"}, or empty.");
    else if (member != NULL && !json_is_null(member) &&
             (!json_is_string(member) ||
              strlen(json_string_value(member)) != json_string_length(member) ||
              !abort_reason_is_valid(json_string_value(member))))
        reply_problemf(request, PROBLEM_INVALID_FIELD, "/reason",
                       "reason must be a string of at most %d bytes without control characters.",
                       ABORT_REASON_BYTES_MAX);
    else
        status = 0;
    if (status == 0)
        *reason = json_string_value(member);
    return status;
}

int note_abort(struct cell *cell, const struct http_request *request, const struct run_key *run,
               const char *name, const char *reason, abort_fn *on_end, void *arg)
{
    const struct access *access = http_request_access(request);
    const char *by = access == NULL || access->subject[0] == '\0' ? NULL : access->subject;
    struct buffer noted = {0};
    int status = -ENOMEM;

    abort_request_write(&noted, submission_now_us(), by, reason);
    buffer_append(&noted, "", 1);
    if (!noted.failed)
        status = run_remover_request_abort(cell->remover, run, name, noted.bytes, on_end, arg);
    buffer_free(&noted);
    return status;
}

static void request_abort(struct cell *cell, struct http_request *request,
                          const struct run_key *run, const char *name)
{
    struct abort_reply *reply = NULL;
    json_t *document = NULL;
    const char *reason;
    int status = -ENOMEM;

    if (read_reason(request, &document, &reason) < 0) {
        json_decref(document);
        return;
    }
    reply = malloc(sizeof *reply);
    if (reply != NULL) {
        *reply = (struct abort_reply){.request = request, .is_of_run = name == NULL};
        status = note_abort(cell, request, run, name, reason, on_noted, reply);
    }
    json_decref(document);
    if (status < 0) {
        free(reply);
        reply_unavailable(request, status);
    }
}

void handle_abort_run(struct app *app, struct http_request *request)
{
    struct run_key run;
    struct cell *cell;

    (void)app;
    if (read_run_key(request, &run, &cell) == 0)
        request_abort(cell, request, &run, NULL);
}

void handle_abort_action(struct app *app, struct http_request *request)
{
    struct run_key run;
    struct cell *cell;
    const char *name;

    (void)app;
    if (read_action_key(request, &run, &name, &cell) == 0)
        request_abort(cell, request, &run, name);
}
