/* What Flyte's clients ask to end. */
#ifndef RUNTREE_HANDLERS_FLYTE_ABORT_H
#define RUNTREE_HANDLERS_FLYTE_ABORT_H

#include "handlers/flyte_call.h"

flyte_handler flyte_abort_run, flyte_abort_action;

#endif
