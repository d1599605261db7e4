/* Messages by their descriptors: adapters/protobuf.h. */
#include "cmocka_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/flyte.pb-c.h"
#include "adapters/protobuf.h"

static char why[MESSAGE_WHY_SIZE];

static const void *from_json(const ProtobufCMessageDescriptor *descriptor, const char *text,
                             struct arena *arena)
{
    json_t *json = json_loads(text, 0, NULL);
    const void *message;

    assert_non_null(json);
    message = message_from_json(descriptor, json, arena, why);
    json_decref(json);
    return message;
}

static void assert_json_is(const ProtobufCMessage *message, const char *expected)
{
    struct buffer out = {0};

    message_write_json(&out, message);
    buffer_append(&out, "", 1);
    assert_string_equal(out.bytes, expected);
    buffer_free(&out);
}

/* What JSON says, packed, unpacked and written as JSON. */
static void assert_survives(const ProtobufCMessageDescriptor *descriptor, const char *text)
{
    struct arena arena = {0};
    struct buffer packed = {0};
    const ProtobufCMessage *message = from_json(descriptor, text, &arena);

    assert_non_null(message);
    message_pack(&packed, message);
    message = message_unpack(descriptor, packed.bytes, packed.length, &arena, why);
    assert_non_null(message);
    assert_json_is(message, text);
    buffer_free(&packed);
    arena_free(&arena);
}

static void test_every_kind_of_field_survives(void **state)
{
    (void)state;
    assert_survives(&flyte__action_event__descriptor,
                    "{\"id\":{\"run\":{\"name\":\"r\"},\"name\":\"a\"},\"attempt\":4294967295,"
                    "\"phase\":\"ACTION_PHASE_RUNNING\","
                    "\"updatedTime\":\"1969-12-31T23:59:59.250000Z\","
                    "\"logInfo\":[{\"uri\":\"u\",\"ready\":true},{\"name\":\"n\"}],"
                    "\"clusterEvents\":[{\"count\":-1}]}");
    assert_survives(&flyte__create_upload_location_request__descriptor,
                    "{\"contentLength\":\"9223372036854775807\"}");
    assert_survives(&flyte__filter__descriptor, "{\"field\":\"NAME\",\"values\":[\"a\",\"\"]}");
    assert_survives(&flyte__run__descriptor, "{\"labels\":{\"team\":\"ml\",\"\":\"\"}}");
    assert_survives(&flyte__enriched_action__descriptor,
                    "{\"meetsFilter\":true,\"childrenPhaseCounts\":{\"1\":2,\"5\":30}}");
    assert_survives(&flyte__record_response__descriptor, "{}");
}

static void test_json_may_say_it_otherwise(void **state)
{
    struct arena arena = {0};
    const void *event =
        from_json(&flyte__action_event__descriptor,
                  "{\"phase\":4,\"updated_time\":\"2026-01-01T01:00:00+01:00\",\"attempt\":\"2\","
                  "\"cluster\":null,\"unknown\":[1],\"cacheStatus\":\"CACHE_OF_TOMORROW\"}",
                  &arena);

    (void)state;
    assert_non_null(event);
    assert_json_is(event, "{\"attempt\":2,\"phase\":\"ACTION_PHASE_RUNNING\","
                          "\"updatedTime\":\"2026-01-01T00:00:00.000000Z\"}");
    arena_free(&arena);
}

static void test_what_does_not_fit_is_named(void **state)
{
    static const struct {
        const char *json, *named;
    } cases[] = {
        {"{\"id\":\"a0\"}", "id: "},
        {"{\"id\":{\"run\":{\"name\":7}}}", "name: "},
        {"{\"attempt\":-1}", "attempt: "},
        {"{\"attempt\":4294967296}", "attempt: "},
        {"{\"attempt\":1.5}", "attempt: "},
        {"{\"attempt\":\"\"}", "attempt: "},
        {"{\"updatedTime\":\"yesterday\"}", "updated_time: "},
        {"{\"updatedTime\":{\"seconds\":1}}", "updated_time: "},
        {"{\"logInfo\":{\"a\":1}}", "log_info: "},
        {"{\"logInfo\":[1]}", "log_info: "},
        {"{\"logInfo\":[{\"ready\":1}]}", "ready: "},
        {"{\"phase\":[]}", "phase: "},
        {"{\"phase\":99999999999}", "phase: "},
        {"{\"cluster\":true}", "cluster: "},
        {"[]", "object"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena arena = {0};

        assert_null(from_json(&flyte__action_event__descriptor, cases[i].json, &arena));
        assert_non_null(strstr(why, cases[i].named));
        arena_free(&arena);
    }
}

static void test_loose_json_loses_only_what_does_not_fit(void **state)
{
    struct arena arena = {0};
    json_t *json = json_loads("{\"cluster\":\"c\",\"outputs\":\"text\",\"attempt\":\"x\","
                              "\"logInfo\":[\"text\",{\"uri\":\"u\",\"name\":[]},7]}",
                              0, NULL);

    (void)state;
    assert_json_is(message_from_loose_json(&flyte__action_event__descriptor, json, &arena),
                   "{\"logInfo\":[{\"uri\":\"u\"}],\"cluster\":\"c\"}");
    json_decref(json);
    arena_free(&arena);
}

static void test_bytes_that_are_no_message_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
    } cases[] = {
        {"\x0a\x05xy", 4},               /* a length beyond the end */
        {"\x5a\x02\xff\xfe", 4},         /* a text that is no UTF-8 */
        {"\x0a\x04\x12\x02\xc3\x28", 6}, /* the same, deeper */
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena arena = {0};

        why[0] = '\0';
        assert_null(message_unpack(&flyte__action_event__descriptor, cases[i].bytes,
                                   cases[i].length, &arena, why));
        assert_string_not_equal(why, "");
        arena_free(&arena);
    }
}

/* Two bytes on the wire are an empty event, which takes a hundred times that. */
static void test_a_small_body_cannot_take_much_memory(void **state)
{
    enum { EVENTS = 1000 * 1000 };
    struct arena arena = {0};
    char *bytes = malloc(2 * EVENTS);

    (void)state;
    assert_non_null(bytes);
    for (size_t i = 0; i < EVENTS; i++)
        memcpy(bytes + 2 * i, "\x0a\x00", 2);
    assert_null(message_unpack(&flyte__record_action_events_request__descriptor, bytes, 2 * EVENTS,
                               &arena, why));
    assert_true(arena.bytes < MESSAGE_BYTES_MAX + MESSAGE_BYTES_MAX / 64);
    arena_free(&arena);
    arena = (struct arena){0};
    assert_non_null(message_unpack(&flyte__record_action_events_request__descriptor, bytes,
                                   2 * 1000, &arena, why));
    arena_free(&arena);
    free(bytes);
}

static void test_a_time_beyond_the_calendar_is_null(void **state)
{
    static const struct {
        int64_t seconds;
        int32_t nanos;
        const char *text;
    } cases[] = {
        {0, 0, "\"1970-01-01T00:00:00.000000Z\""},
        {253402300799, 999999999, "\"9999-12-31T23:59:59.999999Z\""},
        {253402300800, 0, "null"},
        {-62135596800, 0, "\"0001-01-01T00:00:00.000000Z\""},
        {-62135596801, 0, "null"},
        {INT64_MAX, 0, "null"},
        {0, -1, "null"},
        {0, 1000000000, "null"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer out = {0};

        time_write_json(&out, cases[i].seconds, cases[i].nanos);
        buffer_append(&out, "", 1);
        assert_string_equal(out.bytes, cases[i].text);
        buffer_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_field_survives),
        cmocka_unit_test(test_json_may_say_it_otherwise),
        cmocka_unit_test(test_what_does_not_fit_is_named),
        cmocka_unit_test(test_loose_json_loses_only_what_does_not_fit),
        cmocka_unit_test(test_bytes_that_are_no_message_are_refused),
        cmocka_unit_test(test_a_small_body_cannot_take_much_memory),
        cmocka_unit_test(test_a_time_beyond_the_calendar_is_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
