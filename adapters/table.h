/* Which tools there are. */
#ifndef RUNTREE_ADAPTERS_TABLE_H
#define RUNTREE_ADAPTERS_TABLE_H

#include "adapters/adapter.h"

/* Ended by one without a name. */
extern const struct adapter_tool adapter_tools[];

/* NULL if there is no such tool. */
const struct adapter_tool *adapter_find(const char *name);

#endif
