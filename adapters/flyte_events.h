/* Flyte 2's reports as action events: what executors and tracked runs send (flyte.proto) in, events
 * of the contract out. Pure; the HTTP side is handlers/flyte.c.
 *
 * The organization that Flyte's identifiers have is not kept. */
#ifndef RUNTREE_ADAPTERS_FLYTE_EVENTS_H
#define RUNTREE_ADAPTERS_FLYTE_EVENTS_H

#include <protobuf-c/protobuf-c.h>
#include <stdint.h>

#include "model/buffer.h"

/* The root of every run of Flyte's. */
#define FLYTE_ROOT_NAME "a0"

/* What a request says as events. */
struct flyte_events {
    struct buffer json; /* {"events":[…]}, for event_batch_decode */
    size_t count;
    /* Of all of them, if it is not 0: some calls have no version, and must not take the key of an
     * event that has one (model/phase.h). */
    int32_t version;
};

/* Fills `events` (to be freed: events->json). `request` is a CreateTrackedRunRequest,
 * ReportTrackedActionsRequest, RecordActionRequest, UpdateActionStatusRequest or
 * RecordActionEventsRequest. */
void flyte_events_write(struct flyte_events *events, const ProtobufCMessage *request);

#endif
