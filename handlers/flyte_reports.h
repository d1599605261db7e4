/* What Flyte's clients report. */
#ifndef RUNTREE_HANDLERS_FLYTE_REPORTS_H
#define RUNTREE_HANDLERS_FLYTE_REPORTS_H

#include "handlers/flyte_call.h"

flyte_handler flyte_report;

#endif
