/* The tools' adapters, one a file. */
#ifndef RUNTREE_ADAPTERS_TOOLS_H
#define RUNTREE_ADAPTERS_TOOLS_H

#include "adapters/adapter.h"

/* CloudEvents 1.0 that carry events of the contract. */
adapter_fn adapt_cloudevents;

#endif
