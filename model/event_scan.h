/* The plain form of an event, which nearly all have, read without building a document of it. */
#ifndef RUNTREE_MODEL_EVENT_SCAN_H
#define RUNTREE_MODEL_EVENT_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/action_event.h"

/* Plain is an object of members that we know, each at most once and valid: strings of printable
 * ASCII without escapes, whole numbers without a sign, null only for the parent, no errorInfo, and
 * outputs, logInfo, clusterEvents only if empty. True if `text` is such an event: then *event is
 * what action_event_decode would make of it, but for `document`, which is NULL, and `info`, which
 * is empty. False judges nothing: it is left to action_event_decode to take it, or to say what is
 * wrong.
 *
 * `text` is overwritten in any case; the event's strings point into it. */
bool event_scan(char *text, size_t length, int64_t received_us, struct action_event *event);

#endif
