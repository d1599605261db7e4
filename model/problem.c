/* What is wrong with a request or an event, and the pages that explain it. */
#include "model/problem.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "model/text.h"

static const struct problem_description descriptions[PROBLEM_KINDS] = {
    [PROBLEM_BAD_REQUEST] =
        {"bad-request", "The request is malformed", 400,
         "The request could not be understood as a whole: its path, a header or the shape of its "
         "body is not what this endpoint takes. `detail` says which. Nothing was recorded; sending "
         "the same request again will fail again."},
    [PROBLEM_INVALID_JSON] =
        {"invalid-json", "The body is not valid JSON", 400,
         "The body, or one line of an NDJSON body, is not JSON in UTF-8 as RFC 8259 defines it. "
         "Duplicate keys within an object, invalid UTF-8, the character NUL, and numbers that do "
         "not fit 64 bits are refused as well, because two readers could take them differently. "
         "`detail` gives the line and column of the first fault."},
    [PROBLEM_INVALID_FIELD] =
        {"invalid-field", "A field is not valid", 400,
         "One member of the event, one part of the path or one parameter of the query is missing, "
         "has the wrong type or is out of range. `pointer` is a JSON Pointer to a member, and "
         "`detail` says what would be accepted. The event was not recorded; correct it and send it "
         "again."},
    [PROBLEM_UNKNOWN_PARAMETER] =
        {"unknown-parameter", "A query parameter is unknown", 400,
         "The query has a parameter that this endpoint does not know. Such a request is refused "
         "rather than guessed at, so that a misspelt filter never looks like an empty answer. "
         "`detail` names the parameter."},
    [PROBLEM_UNAUTHORIZED] =
        {"unauthorized", "Authentication is required", 401,
         "The request carries no credentials, or they are malformed, expired or not signed by a "
         "key "
         "that this service trusts. Send a valid token in the `Authorization` header as `Bearer "
         "…`. "
         "The header `WWW-Authenticate` of the answer says what is wrong with the one you sent."},
    [PROBLEM_FORBIDDEN] =
        {"forbidden", "Not allowed", 403,
         "The credentials are valid but do not allow this on the project and domain in question. "
         "Ask whoever issues the tokens for the missing right: `read`, `write` or `admin`."},
    [PROBLEM_NOT_FOUND] =
        {"not-found", "Not found", 404,
         "There is nothing under this path: no such endpoint, or no run, action or page of that "
         "name. A run exists from its first event on; to wait for a run that has not started yet, "
         "watch it with `wait=true`."},
    [PROBLEM_METHOD_NOT_ALLOWED] =
        {"method-not-allowed", "The method is not allowed here", 405,
         "The path is known but does not take this method. The header `Allow` of the answer lists "
         "the methods that it takes."},
    [PROBLEM_NOT_ACCEPTABLE] =
        {"not-acceptable", "No acceptable representation", 406,
         "The header `Accept` admits none of the media types in which this can be answered. "
         "Watches "
         "answer `text/event-stream`, everything else `application/json`. Leave the header out or "
         "add `*/*` to take what there is."},
    [PROBLEM_ALIAS_CONFLICT] = {"alias-conflict", "The name is taken", 409,
                                "The names and aliases of a run's actions are of one kind: each is "
                                "of one action, whose event "
                                "came first. Either an alias of this event is the name or an alias "
                                "of another action, or the "
                                "event's own name is an alias of another action. The event was not "
                                "recorded. Leave the alias "
                                "out, or choose another name; `detail` says whose it is."},
    [PROBLEM_PARENT_CONFLICT] =
        {"parent-conflict", "The action has another parent", 409,
         "An earlier event of this action named a different parent, and an action's parent never "
         "changes. The event was not recorded. Leave `parent` out of later events, or repeat the "
         "one that was named first; `detail` names both."},
    [PROBLEM_TOO_DEEP] =
        {"too-deep", "The tree would become too deep", 409,
         "A run's tree has at most 1,000 levels, and the parent that this event names stands on "
         "the "
         "last of them. The event was not recorded. A chain this long usually means that steps "
         "which follow one another were reported as each other's children."},
    [PROBLEM_ALREADY_ENDED] =
        {"already-ended", "It has ended already", 409,
         "Somebody asked for the end of a run or an action that has ended: there is nothing left "
         "to "
         "abort, and nothing was noted. `detail` says in which phase it is. A later attempt of an "
         "action can be aborted again once it has begun."},
    [PROBLEM_REQUEST_TIMEOUT] =
        {"request-timeout", "The request took too long to arrive", 408,
         "The head and the body of a request must arrive within the time that the service is "
         "configured with. Nothing of this request was recorded, and the connection is closed. "
         "Send the request again, in smaller parts if the network is slow."},
    [PROBLEM_PAYLOAD_TOO_LARGE] =
        {"payload-too-large", "The payload is too large", 413,
         "A request's body is at most 4 MiB, as sent and unpacked. Split the batch; keep large "
         "outputs and logs elsewhere and put a reference to them into the event."},
    [PROBLEM_TOO_MANY_EVENTS] =
        {"too-many-events", "Too many events in one request", 413,
         "One request takes at most 5,000 events. Nothing of this request was recorded. Send the "
         "events in several requests; events that arrive twice are recognised and do no harm."},
    [PROBLEM_URI_TOO_LONG] =
        {"uri-too-long", "The path or query is too long", 414,
         "The path or the query of the request is longer than any that this service gives out or "
         "needs: its head has room for 16 KiB, and a name is at most 512 bytes, of which each may "
         "take three when it is encoded. Check for a loop in what builds the address, or watch "
         "fewer runs on one stream."},
    [PROBLEM_UNSUPPORTED_MEDIA_TYPE] =
        {"unsupported-media-type", "The media type is not supported", 415,
         "Events are taken as `application/json` (one event, or an object with `events`) and as "
         "`application/x-ndjson` (one event a line), in UTF-8, and as they are or packed with "
         "`Content-Encoding: gzip`. Set `Content-Type` and `Content-Encoding` accordingly."},
    [PROBLEM_TOO_MANY_REQUESTS] =
        {"too-many-requests", "Too many requests", 429,
         "This client has used up its share of requests or of open streams. Wait for as many "
         "seconds as `Retry-After` says, then go on more slowly; batches of events count as one "
         "request."},
    [PROBLEM_HEAD_TOO_LARGE] =
        {"head-too-large", "The head of the request is too large", 431,
         "The request line and the headers together are at most 16 KiB. Send fewer or shorter "
         "headers; cookies of other services on the same host name are a common cause."},
    [PROBLEM_INTERNAL] =
        {"internal", "Internal error", 500,
         "The service failed in a way that it did not expect; the fault is not in the request. It "
         "is safe to send the same events again: an event that was recorded after all is "
         "recognised "
         "as a duplicate. If it persists, report it with the time of the request."},
    [PROBLEM_UNAVAILABLE] =
        {"unavailable", "The service is not available now", 503,
         "The database cannot be reached or did not take something, or the service is starting or "
         "shutting down; `detail` says which. Nothing was half-recorded. Send the same request "
         "again after as many seconds as `Retry-After` says; "
         "events that were recorded already are recognised as duplicates."},
    [PROBLEM_OVERLOADED] =
        {"overloaded", "The service has too much to do", 503,
         "More work is waiting than the service is configured to hold in memory. Nothing of this "
         "request was recorded. Send it again after as many seconds as `Retry-After` says, with "
         "growing pauses if it is refused again."},
};

const struct problem_description *problem_describe(enum problem_kind kind)
{
    return &descriptions[kind];
}

/* Makes the text valid UTF-8 in place: a path or a parser's message may quote any bytes. A sequence
 * that was cut at the end goes, other invalid bytes become '?'. */
static void make_utf8(char *text, bool is_cut)
{
    while (*text) {
        size_t length = utf8_sequence_length(text);
        if (length == 0) {
            if (is_cut && strlen(text) < 4) {
                *text = '\0';
                return;
            }
            *text = '?';
            length = 1;
        }
        text += length;
    }
}

int problem_set(struct problem *problem, enum problem_kind kind, const char *pointer,
                const char *format, ...)
{
    problem->kind = kind;
    int pointer_length =
        snprintf(problem->pointer, sizeof problem->pointer, "%s", pointer ? pointer : "");
    make_utf8(problem->pointer, pointer_length >= (int)sizeof problem->pointer);
    va_list arguments;
    va_start(arguments, format);
    int detail_length = vsnprintf(problem->detail, sizeof problem->detail, format, arguments);
    va_end(arguments);
    make_utf8(problem->detail, detail_length >= (int)sizeof problem->detail);
    return -1;
}

json_t *problem_to_json(const struct problem *problem)
{
    const struct problem_description *description = problem_describe(problem->kind);
    json_t *json =
        json_pack("{s:s+, s:s, s:i, s:s}", "type", "/problems/", description->name, "title",
                  description->title, "status", description->status, "detail", problem->detail);
    if (json && problem->pointer[0] &&
        json_object_set_new(json, "pointer", json_string(problem->pointer)) != 0) {
        json_decref(json);
        return NULL;
    }
    return json;
}
