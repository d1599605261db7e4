/* What handlers read out of paths and queries. Each function answers the request with a problem
 * that names the part and returns -1 if it is wrong; the handler then just returns. */
#ifndef RUNTREE_HANDLERS_PARAMETERS_H
#define RUNTREE_HANDLERS_PARAMETERS_H

#include "handlers/cursor.h"
#include "model/filter.h"
#include "model/list_filter.h"
#include "server/app.h"

enum { LIMIT_DEFAULT = 100, LIMIT_MAX = 1000 };

/* Answers that the query parameter is wrong; `what` it must be. Returns -1. */
int refuse_parameter(struct http_request *request, const char *parameter, const char *what);

/* {project}, {domain} and {run} of the path, borrowed from the request, and the cell that has the
 * run. */
int read_run_key(struct http_request *request, struct run_key *key, struct cell **cell);

/* The same, and {action}. */
int read_action_key(struct http_request *request, struct run_key *run, const char **name,
                    struct cell **cell);

/* A name in the path or the query, checked as that part of a key. NULL and 0 if a query has none.
 */
int read_captured_name(struct http_request *request, const char *part, enum key_part key_part,
                       const char **name);
int read_name_parameter(struct http_request *request, const char *parameter, enum key_part key_part,
                        const char **name);

/* {project} and {domain} of the path, or those of the query, NULL if it has none. */
int read_scope(struct http_request *request, const char **project, const char **domain);

/* limit= */
int read_limit(struct http_request *request, int32_t *limit);

/* phase= (repeated, or comma-separated), name= and error= */
int read_filter(struct http_request *request, struct filter *filter);

/* label= (repeated): each is one that the run must have. */
int read_labels(struct http_request *request, struct list_filter *filter);

/* wait=, follow=: true or false; absent is false. */
int read_flag(struct http_request *request, const char *parameter, bool *flag);

/* A whole number from `min` to `max`; *number stays as it is if there is none. */
int read_number(struct http_request *request, const char *parameter, int64_t min, int64_t max,
                int64_t *number);

/* cursor=, which must have been made for `kind` with `count` parts. */
int read_cursor(struct http_request *request, char kind, size_t count, struct cursor *cursor);

/* The same of a cursor that the request has elsewhere; NULL: it has none. */
int read_cursor_text(struct http_request *request, const char *hex, char kind, size_t count,
                     struct cursor *cursor);

/* The part as a number from `min` to `max`, else answers. */
int read_cursor_number(struct http_request *request, const struct cursor *cursor, size_t part,
                       int64_t min, int64_t max, int64_t *number);

#endif
