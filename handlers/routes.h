/* The API's table of contents. */
#ifndef RUNTREE_HANDLERS_ROUTES_H
#define RUNTREE_HANDLERS_ROUTES_H

#include "server/router.h"

/* Ended by a route without a pattern. */
extern const struct route routes[];

#endif
