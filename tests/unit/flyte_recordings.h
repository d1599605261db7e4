/* Requests that Flyte 2's clients sent: tests/data/flyte. */
#ifndef RUNTREE_TESTS_UNIT_FLYTE_RECORDINGS_H
#define RUNTREE_TESTS_UNIT_FLYTE_RECORDINGS_H

#include <protobuf-c/protobuf-c.h>

#include "model/arena.h"

/* The message of a recorded body, unpacked, in `arena`; a name that begins with go-json is JSON. */
const ProtobufCMessage *recorded_message(const char *name,
                                         const ProtobufCMessageDescriptor *descriptor,
                                         struct arena *arena);

#endif
