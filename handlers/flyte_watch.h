/* What Flyte's clients watch: the actions of a run, and one of them. */
#ifndef RUNTREE_HANDLERS_FLYTE_WATCH_H
#define RUNTREE_HANDLERS_FLYTE_WATCH_H

#include "handlers/flyte_call.h"

flyte_handler flyte_watch_actions, flyte_watch_action_details;

#endif
