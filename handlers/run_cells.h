/* The cells of the runs that requests are about: found before anything is done with them. */
#ifndef RUNTREE_HANDLERS_RUN_CELLS_H
#define RUNTREE_HANDLERS_RUN_CELLS_H

#include "server/app.h"

/* Calls the route's handler when it is known where the run of its path is, if it has one. */
call_handler call_with_run;

/* Calls `go_on` when it is known where the runs are, as far as that can be found out: find_cell
 * says so until its return. If the request goes before that, or was answered because there is no
 * memory or the service ends, `drop` is called instead. Either comes perhaps before the return. */
void when_runs_are_found(struct http_request *request, const struct run_key *runs, size_t count,
                         void (*go_on)(void *arg), void (*drop)(void *arg), void *arg);

/* The cell that has the run, or would be given it; NULL when it was answered that it cannot be had
 * now. */
struct cell *find_cell(struct http_request *request, const struct run_key *run);

#endif
