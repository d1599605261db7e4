/* What of other tools' requests was not mapped: counted, and logged the first time of each kind. */
#ifndef RUNTREE_HANDLERS_UNMAPPED_H
#define RUNTREE_HANDLERS_UNMAPPED_H

#include "adapters/adapter.h"
#include "server/app.h"

/* `tool` must live as long as the program; `detail` says why of the first of them. Nothing if
 * `count` is 0. */
void count_unmapped(const struct app *app, const char *tool, enum unmapped_kind kind,
                    uint64_t count, const struct run_key *run, const char *detail);

#endif
