/* Protocol buffer messages by their descriptors (protobuf-c): from the wire and from proto3's JSON,
 * and back. */
#ifndef RUNTREE_ADAPTERS_PROTOBUF_H
#define RUNTREE_ADAPTERS_PROTOBUF_H

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

#include "model/arena.h"
#include "model/buffer.h"

/* That a message takes once it is unpacked: its wire form may be a hundredth of that. */
enum { MESSAGE_BYTES_MAX = 32 * 1024 * 1024 };

enum { MESSAGE_WHY_SIZE = 200 };

/* The message that `bytes` are on the wire, in `arena`. NULL with the reason in `why`: they are no
 * such message, one of its texts is no UTF-8, or it is too large. Unknown fields are passed over.
 */
const ProtobufCMessage *message_unpack(const ProtobufCMessageDescriptor *descriptor,
                                       const void *bytes, size_t length, struct arena *arena,
                                       char why[static MESSAGE_WHY_SIZE]);

/* The message that `json` is by proto3's JSON mapping, in `arena`; names as the .proto has them are
 * known, too. Unknown members are passed over. NULL with the reason, which names the member, in
 * `why`. */
const ProtobufCMessage *message_from_json(const ProtobufCMessageDescriptor *descriptor,
                                          const json_t *json, struct arena *arena,
                                          char why[static MESSAGE_WHY_SIZE]);

/* The same for what an answer is made of: a member that does not fit is left out. NULL when out of
 * memory. */
const ProtobufCMessage *message_from_loose_json(const ProtobufCMessageDescriptor *descriptor,
                                                const json_t *json, struct arena *arena);

/* Appends the message as it is on the wire. */
void message_pack(struct buffer *out, const ProtobufCMessage *message);

/* Appends `message` as JSON: only what is not zero or empty. */
void message_write_json(struct buffer *out, const ProtobufCMessage *message);

/* The same of one of its fields, as `"name":value` behind a comma; nothing if it is zero or empty.
 */
void message_write_member(struct buffer *out, const ProtobufCMessage *message, const char *field);

/* Appends a time as JSON, to the microsecond. `seconds` since 1970; a time outside of the years 1
 * to 9999 is null. */
void time_write_json(struct buffer *out, int64_t seconds, int32_t nanos);

#endif
