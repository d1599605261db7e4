#include "adapters/protobuf.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/text.h"
#include "model/timestamp.h"

enum { MICROSECONDS = 1000000, NANOS_PER_MICROSECOND = 1000 };

static const int64_t year_1_s = -62135596800, year_10000_s = 253402300800;

/* -------- fields of a message, by offset -------- */

static const void *place_of(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    return (const char *)message + field->offset;
}

static size_t count_of(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    size_t count;

    memcpy(&count, (const char *)message + field->quantifier_offset, sizeof count);
    return count;
}

static const void *pointer_at(const void *place)
{
    const void *pointer;

    memcpy(&pointer, place, sizeof pointer);
    return pointer;
}

/* Bytes of one value of the field. */
static size_t size_of(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return sizeof(int64_t);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return sizeof(int32_t);
    }
}

/* The integer that a place holds, whatever its width; messages of ours have no others numbers. */
static int64_t integer_at(const void *place, const ProtobufCFieldDescriptor *field)
{
    int64_t wide;
    int32_t narrow;
    uint32_t narrow_unsigned;

    if (size_of(field) == sizeof wide) {
        memcpy(&wide, place, sizeof wide);
        return wide;
    }
    if (field->type == PROTOBUF_C_TYPE_UINT32) {
        memcpy(&narrow_unsigned, place, sizeof narrow_unsigned);
        return narrow_unsigned;
    }
    memcpy(&narrow, place, sizeof narrow);
    return narrow;
}

/* A map is a list of messages with a key and a value. */
static bool is_map_of(const ProtobufCFieldDescriptor *field)
{
    const ProtobufCMessageDescriptor *entry = field->descriptor;

    return field->type == PROTOBUF_C_TYPE_MESSAGE && entry->n_fields == 2 &&
           strcmp(entry->fields[0].name, "key") == 0 && strcmp(entry->fields[1].name, "value") == 0;
}

static bool is_time(const ProtobufCMessageDescriptor *descriptor)
{
    return strcmp(descriptor->short_name, "Timestamp") == 0;
}

/* -------- from the wire -------- */

/* Memory for what is unpacked, up to MESSAGE_BYTES_MAX. */
static void *take(void *arg, size_t size)
{
    struct arena *arena = arg;

    return arena->bytes + size > MESSAGE_BYTES_MAX ? NULL : arena_alloc(arena, size);
}

static void give_back(void *arg, void *pointer)
{
    (void)arg;
    (void)pointer;
}

static const char *find_bad_text(const ProtobufCMessage *message);

static const char *find_bad_value(const ProtobufCFieldDescriptor *field, const void *place)
{
    const void *value = pointer_at(place);

    if (value == NULL)
        return NULL;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return find_bad_text(value);
    return utf8_is_valid(value) ? NULL : field->name;
}

/* The name of the first field whose text is no UTF-8; NULL if there is none. */
static const char *find_bad_text(const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *descriptor = message->descriptor;

    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        const char *at = place_of(message, field), *bad = NULL;
        size_t count = 1;

        if (field->type != PROTOBUF_C_TYPE_MESSAGE && field->type != PROTOBUF_C_TYPE_STRING)
            continue;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            count = count_of(message, field);
            at = pointer_at(at);
        }
        for (size_t k = 0; k < count && bad == NULL; k++)
            bad = find_bad_value(field, at + k * sizeof(void *));
        if (bad != NULL)
            return bad;
    }
    return NULL;
}

const ProtobufCMessage *message_unpack(const ProtobufCMessageDescriptor *descriptor,
                                       const void *bytes, size_t length, struct arena *arena,
                                       char why[static MESSAGE_WHY_SIZE])
{
    ProtobufCAllocator allocator = {.alloc = take, .free = give_back, .allocator_data = arena};
    const ProtobufCMessage *message =
        protobuf_c_message_unpack(descriptor, &allocator, length, bytes);
    const char *bad;

    if (message == NULL) {
        snprintf(why, MESSAGE_WHY_SIZE, "The body is no %s, or one that is too large.",
                 descriptor->short_name);
        return NULL;
    }
    bad = find_bad_text(message);
    if (bad == NULL)
        return message;
    snprintf(why, MESSAGE_WHY_SIZE, "%s: is not valid UTF-8", bad);
    return NULL;
}

void message_pack(struct buffer *out, const ProtobufCMessage *message)
{
    size_t length = protobuf_c_message_get_packed_size(message);
    char *to = buffer_reserve(out, length);

    if (to != NULL)
        out->length += protobuf_c_message_pack(message, (uint8_t *)to);
}

/* -------- from JSON -------- */

struct reader {
    struct arena *arena;
    char *why;
    bool is_loose; /* what does not fit is left out */
    bool *failed;  /* there was no memory, or too much of the message */
};

static bool refuse(const struct reader *reader, const ProtobufCFieldDescriptor *field,
                   const char *what)
{
    snprintf(reader->why, MESSAGE_WHY_SIZE, "%s: %s", field->name, what);
    return false;
}

/* Memory for a part of the message, zeroed; NULL is noted. */
static void *take_noted(const struct reader *reader, size_t size)
{
    void *block = take(reader->arena, size);

    if (block != NULL)
        return block;
    *reader->failed = true;
    snprintf(reader->why, MESSAGE_WHY_SIZE, "The message is too large.");
    return NULL;
}

static ProtobufCMessage *new_message(const struct reader *reader,
                                     const ProtobufCMessageDescriptor *descriptor)
{
    ProtobufCMessage *message = take_noted(reader, descriptor->sizeof_message);

    if (message != NULL)
        descriptor->message_init(message);
    return message;
}

static void put_integer(void *place, const ProtobufCFieldDescriptor *field, int64_t number)
{
    int32_t narrow = (int32_t)number;

    if (size_of(field) == sizeof number)
        memcpy(place, &number, sizeof number);
    else
        memcpy(place, &narrow, sizeof narrow);
}

/* Seconds and nanos are the first two fields of a Timestamp. */
static bool read_time(const struct reader *reader, const ProtobufCFieldDescriptor *field,
                      const json_t *json, ProtobufCMessage *message)
{
    const ProtobufCFieldDescriptor *parts = message->descriptor->fields;
    const char *text = json_string_value(json);
    int64_t time_us, fraction_us;

    if (text == NULL || timestamp_parse(text, json_string_length(json), &time_us) < 0)
        return refuse(reader, field, "must be an RFC 3339 date-time");
    fraction_us = time_us % MICROSECONDS;
    if (fraction_us < 0)
        fraction_us += MICROSECONDS;
    put_integer((char *)message + parts[0].offset, &parts[0],
                (time_us - fraction_us) / MICROSECONDS);
    put_integer((char *)message + parts[1].offset, &parts[1], fraction_us * NANOS_PER_MICROSECOND);
    return true;
}

static bool read_members(const struct reader *reader, const json_t *json,
                         ProtobufCMessage *message);

static bool read_message(const struct reader *reader, const ProtobufCFieldDescriptor *field,
                         const json_t *json, void *place)
{
    ProtobufCMessage *message = new_message(reader, field->descriptor);

    if (message == NULL)
        return false;
    memcpy(place, &message, sizeof(void *));
    if (is_time(message->descriptor))
        return read_time(reader, field, json, message);
    if (!json_is_object(json))
        return refuse(reader, field, "must be an object");
    return read_members(reader, json, message);
}

static bool read_text(const struct reader *reader, const ProtobufCFieldDescriptor *field,
                      const json_t *json, void *place)
{
    const char *text = json_string_value(json);
    char *copy;

    if (text == NULL)
        return refuse(reader, field, "must be a string");
    copy = take_noted(reader, strlen(text) + 1);
    if (copy == NULL)
        return false;
    memcpy(copy, text, strlen(text));
    memcpy(place, &copy, sizeof(void *));
    return true;
}

/* Numbers of 64 bits are texts in JSON, and those of 32 may be. */
static bool read_number(const json_t *json, int64_t *number)
{
    const char *text = json_string_value(json);
    char *end;

    *number = json_integer_value(json);
    if (json_is_integer(json))
        return true;
    if (text == NULL || *text == '\0')
        return false;
    *number = strtoll(text, &end, 10);
    return *end == '\0';
}

static bool read_integer(const struct reader *reader, const ProtobufCFieldDescriptor *field,
                         const json_t *json, void *place)
{
    bool is_unsigned =
        field->type == PROTOBUF_C_TYPE_UINT32 || field->type == PROTOBUF_C_TYPE_UINT64;
    int64_t number, min = is_unsigned ? 0 : INT64_MIN, max = INT64_MAX;

    if (size_of(field) != sizeof(int64_t)) {
        min = is_unsigned ? 0 : INT32_MIN;
        max = is_unsigned ? UINT32_MAX : INT32_MAX;
    }
    if (!read_number(json, &number) || number < min || number > max)
        return refuse(reader, field, "must be a whole number that fits");
    put_integer(place, field, number);
    return true;
}

/* By name, or by number. A name that is not known here is taken as 0, as a number would be kept. */
static bool read_enum(const struct reader *reader, const ProtobufCFieldDescriptor *field,
                      const json_t *json, void *place)
{
    const char *name = json_string_value(json);
    const ProtobufCEnumValue *value;
    int64_t number = 0;

    if (name != NULL) {
        value = protobuf_c_enum_descriptor_get_value_by_name(field->descriptor, name);
        number = value == NULL ? 0 : value->value;
    } else if (!json_is_integer(json)) {
        return refuse(reader, field, "must be the name or the number of an enum's value");
    } else {
        number = json_integer_value(json);
    }
    if (number < INT32_MIN || number > INT32_MAX)
        return refuse(reader, field, "must be the name or the number of an enum's value");
    put_integer(place, field, number);
    return true;
}

static bool read_value(const struct reader *reader, const ProtobufCFieldDescriptor *field,
                       const json_t *json, void *place)
{
    protobuf_c_boolean flag = json_is_true(json);

    switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        return read_message(reader, field, json, place);
    case PROTOBUF_C_TYPE_STRING:
        return read_text(reader, field, json, place);
    case PROTOBUF_C_TYPE_ENUM:
        return read_enum(reader, field, json, place);
    case PROTOBUF_C_TYPE_BOOL:
        if (!json_is_boolean(json))
            return refuse(reader, field, "must be true or false");
        memcpy(place, &flag, sizeof flag);
        return true;
    default:
        return read_integer(reader, field, json, place);
    }
}

/* A map's entry: its key and value are the first two fields. */
static bool read_entry(const struct reader *reader, const ProtobufCFieldDescriptor *field,
                       const char *key, const json_t *value, void *place)
{
    ProtobufCMessage *entry = new_message(reader, field->descriptor);
    const ProtobufCFieldDescriptor *parts;
    json_t *key_json;
    bool is_good;

    if (entry == NULL)
        return false;
    memcpy(place, &entry, sizeof(void *));
    parts = entry->descriptor->fields;
    key_json = json_string(key);
    *reader->failed |= key_json == NULL;
    is_good = key_json != NULL &&
              read_value(reader, &parts[0], key_json, (char *)entry + parts[0].offset) &&
              read_value(reader, &parts[1], value, (char *)entry + parts[1].offset);
    json_decref(key_json);
    return is_good;
}

/* An array, or an object if the items are a map's entries. */
static bool read_items(const struct reader *reader, const ProtobufCFieldDescriptor *field,
                       const json_t *json, ProtobufCMessage *message)
{
    bool is_map = json_is_object(json) && is_map_of(field);
    size_t room = is_map ? json_object_size(json) : json_array_size(json), count = 0, index;
    size_t size = size_of(field);
    const char *key;
    json_t *item;
    char *items;

    if (!is_map && !json_is_array(json))
        return refuse(reader, field, "must be an array");
    if (room == 0)
        return true;
    items = take_noted(reader, room * size);
    if (items == NULL)
        return false;
    if (is_map) {
        json_object_foreach ((json_t *)(uintptr_t)json, key, item) {
            if (read_entry(reader, field, key, item, items + count * size))
                count++;
            else if (!reader->is_loose)
                return false;
        }
    } else {
        json_array_foreach (json, index, item) {
            if (read_value(reader, field, item, items + count * size))
                count++;
            else if (!reader->is_loose)
                return false;
        }
    }
    memcpy((char *)message + field->offset, &items, sizeof(void *));
    memcpy((char *)message + field->quantifier_offset, &count, sizeof count);
    return true;
}

/* The JSON name of a field: camelCase. */
static void json_name_of(const char *name, char out[static 64])
{
    size_t length = 0;
    bool is_upper = false;

    for (; *name != '\0' && length < 63; name++) {
        if (*name == '_') {
            is_upper = true;
            continue;
        }
        out[length++] =
            is_upper && *name >= 'a' && *name <= 'z' ? (char)(*name - 'a' + 'A') : *name;
        is_upper = false;
    }
    out[length] = '\0';
}

/* Of a message whose value did not fit. */
static void clear_field(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    void *none = NULL;

    if (field->type == PROTOBUF_C_TYPE_MESSAGE && field->label != PROTOBUF_C_LABEL_REPEATED)
        memcpy((char *)message + field->offset, &none, sizeof none);
}

static bool read_members(const struct reader *reader, const json_t *json, ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *descriptor = message->descriptor;

    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        const json_t *member;
        char name[64];
        bool is_good;

        json_name_of(field->name, name);
        member = json_object_get(json, name);
        if (member == NULL)
            member = json_object_get(json, field->name);
        if (member == NULL || json_is_null(member))
            continue;
        is_good = field->label == PROTOBUF_C_LABEL_REPEATED
                      ? read_items(reader, field, member, message)
                      : read_value(reader, field, member, (char *)message + field->offset);
        if (!is_good && !reader->is_loose)
            return false;
        if (!is_good)
            clear_field(message, field);
    }
    return true;
}

const ProtobufCMessage *message_from_json(const ProtobufCMessageDescriptor *descriptor,
                                          const json_t *json, struct arena *arena,
                                          char why[static MESSAGE_WHY_SIZE])
{
    bool failed = false;
    const struct reader reader = {.arena = arena, .why = why, .failed = &failed};
    ProtobufCMessage *message = new_message(&reader, descriptor);

    if (message == NULL)
        return NULL;
    if (!json_is_object(json)) {
        snprintf(why, MESSAGE_WHY_SIZE, "The body must be a JSON object.");
        return NULL;
    }
    return read_members(&reader, json, message) ? message : NULL;
}

const ProtobufCMessage *message_from_loose_json(const ProtobufCMessageDescriptor *descriptor,
                                                const json_t *json, struct arena *arena)
{
    char why[MESSAGE_WHY_SIZE];
    bool failed = false;
    const struct reader reader = {.arena = arena, .why = why, .is_loose = true, .failed = &failed};
    ProtobufCMessage *message = new_message(&reader, descriptor);

    if (message != NULL)
        read_members(&reader, json, message);
    return failed ? NULL : message;
}

/* -------- to JSON -------- */

void time_write_json(struct buffer *out, int64_t seconds, int32_t nanos)
{
    char text[TIMESTAMP_SIZE], fraction[8];

    if (seconds < year_1_s || seconds >= year_10000_s || nanos < 0 ||
        nanos >= MICROSECONDS * NANOS_PER_MICROSECOND) {
        buffer_text(out, "null");
        return;
    }
    timestamp_format(seconds * MICROSECONDS, text);
    snprintf(fraction, sizeof fraction, "%06" PRId32, nanos / NANOS_PER_MICROSECOND);
    buffer_text(out, "\"");
    buffer_append(out, text, strcspn(text, ".") + 1);
    buffer_text(out, fraction);
    buffer_text(out, "Z\"");
}

static void write_enum(struct buffer *out, const ProtobufCFieldDescriptor *field, int64_t number)
{
    const ProtobufCEnumValue *value =
        protobuf_c_enum_descriptor_get_value(field->descriptor, (int)number);

    if (value == NULL)
        buffer_integer(out, number);
    else
        buffer_string(out, value->name);
}

static void write_value(struct buffer *out, const ProtobufCFieldDescriptor *field,
                        const void *place)
{
    protobuf_c_boolean flag;

    switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        message_write_json(out, pointer_at(place));
        break;
    case PROTOBUF_C_TYPE_STRING:
        buffer_string(out, pointer_at(place));
        break;
    case PROTOBUF_C_TYPE_BOOL:
        memcpy(&flag, place, sizeof flag);
        buffer_text(out, flag ? "true" : "false");
        break;
    case PROTOBUF_C_TYPE_ENUM:
        write_enum(out, field, integer_at(place, field));
        break;
    default: /* 64 bits are a text in JSON */
        buffer_text(out, size_of(field) == sizeof(int64_t) ? "\"" : "");
        buffer_integer(out, integer_at(place, field));
        buffer_text(out, size_of(field) == sizeof(int64_t) ? "\"" : "");
        break;
    }
}

/* Whether there is something to say: proto3 leaves out what has its default. */
static bool has_value(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const void *place = place_of(message, field);
    protobuf_c_boolean flag;

    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return count_of(message, field) > 0;
    switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        return pointer_at(place) != NULL;
    case PROTOBUF_C_TYPE_STRING:
        return *(const char *)pointer_at(place) != '\0';
    case PROTOBUF_C_TYPE_BOOL:
        memcpy(&flag, place, sizeof flag);
        return flag;
    default:
        return integer_at(place, field) != 0;
    }
}

/* `"key":value` */
static void write_entry(struct buffer *out, const ProtobufCMessage *entry)
{
    const ProtobufCFieldDescriptor *parts = entry->descriptor->fields;
    bool is_text = parts[0].type == PROTOBUF_C_TYPE_STRING;

    buffer_text(out, is_text ? "" : "\"");
    write_value(out, &parts[0], place_of(entry, &parts[0]));
    buffer_text(out, is_text ? ":" : "\":");
    write_value(out, &parts[1], place_of(entry, &parts[1]));
}

static void write_field(struct buffer *out, const ProtobufCMessage *message,
                        const ProtobufCFieldDescriptor *field)
{
    bool is_map = is_map_of(field);
    const char *at = place_of(message, field);
    char name[64];

    json_name_of(field->name, name);
    buffer_string(out, name);
    buffer_text(out, ":");
    if (field->label != PROTOBUF_C_LABEL_REPEATED) {
        write_value(out, field, at);
        return;
    }
    at = pointer_at(at);
    buffer_text(out, is_map ? "{" : "[");
    for (size_t i = 0; i < count_of(message, field); i++) {
        if (i > 0)
            buffer_text(out, ",");
        if (is_map)
            write_entry(out, pointer_at(at + i * sizeof(void *)));
        else
            write_value(out, field, at + i * size_of(field));
    }
    buffer_text(out, is_map ? "}" : "]");
}

void message_write_json(struct buffer *out, const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *descriptor = message->descriptor;
    const ProtobufCFieldDescriptor *parts = descriptor->fields;
    bool is_first = true;

    if (is_time(descriptor)) {
        time_write_json(out, integer_at(place_of(message, &parts[0]), &parts[0]),
                        (int32_t)integer_at(place_of(message, &parts[1]), &parts[1]));
        return;
    }
    buffer_text(out, "{");
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        if (!has_value(message, &descriptor->fields[i]))
            continue;
        if (!is_first)
            buffer_text(out, ",");
        is_first = false;
        write_field(out, message, &descriptor->fields[i]);
    }
    buffer_text(out, "}");
}

void message_write_member(struct buffer *out, const ProtobufCMessage *message, const char *field)
{
    const ProtobufCFieldDescriptor *found =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, field);

    if (found == NULL || !has_value(message, found))
        return;
    buffer_text(out, ",");
    write_field(out, message, found);
}
