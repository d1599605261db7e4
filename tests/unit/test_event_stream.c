#include <stdio.h>
#include <string.h>

#include "cli/event_stream.h"
#include "cmocka_test.h"

/* What was taken, as "TYPE=DATA;…". */
struct taken {
    char text[400];
    bool stops;
};

static bool take(void *context, const char *type, const char *data, size_t length)
{
    struct taken *taken = context;

    assert_int_equal(strlen(data), length);
    snprintf(taken->text + strlen(taken->text), sizeof taken->text - strlen(taken->text), "%s=%s;",
             type, data);
    return !taken->stops;
}

static const char written[] =
    ": comment\r\nretry: 250\n\nevent: nodeUpdate\ndata: one\ndata:two\n\n"
    "event: synced\rdata\rid: a.1\r\rdata:  x\r\n\r\nid: a.2\nretry: soon\n\n"
    "event: heartbeat\nid: a.3\ndata: lost";

static void test_however_it_is_cut(void **state)
{
    (void)state;
    for (size_t step = 1; step < sizeof written; step++) {
        struct taken taken = {0};
        struct event_stream stream = {.take = take, .context = &taken};

        for (size_t i = 0; i < sizeof written - 1; i += step)
            assert_true(
                event_stream_feed(&stream, written + i,
                                  sizeof written - 1 - i < step ? sizeof written - 1 - i : step));
        assert_string_equal(taken.text, "nodeUpdate=one\ntwo;synced=;message= x;");
        assert_string_equal(stream.last_id, "a.2");
        assert_int_equal(stream.retry_ms, 250);
        event_stream_clear(&stream);
    }
}

/* What of an event had come when the connection broke is no event; its id is not the last one. */
static void test_cut_off(void **state)
{
    struct taken taken = {0};
    struct event_stream stream = {.take = take, .context = &taken};
    const char *rest = "data: new\n\n";

    (void)state;
    event_stream_feed(&stream, written, sizeof written - 1);
    event_stream_cut(&stream);
    assert_true(event_stream_feed(&stream, rest, strlen(rest)));
    assert_string_equal(taken.text, "nodeUpdate=one\ntwo;synced=;message= x;message=new;");
    assert_string_equal(stream.last_id, "a.2");
    event_stream_clear(&stream);
}

static void test_stopped(void **state)
{
    struct taken taken = {.stops = true};
    struct event_stream stream = {.take = take, .context = &taken};

    (void)state;
    assert_false(event_stream_feed(&stream, written, sizeof written - 1));
    assert_string_equal(taken.text, "nodeUpdate=one\ntwo;");
    event_stream_clear(&stream);
}

static void test_line_without_end(void **state)
{
    static const char many[1 << 16] = {'x'};
    struct event_stream stream = {.take = take};
    size_t fed = 0;

    (void)state;
    while (event_stream_feed(&stream, many, sizeof many))
        fed += sizeof many;
    assert_int_equal(fed, EVENT_STREAM_BYTES_MAX);
    event_stream_clear(&stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_however_it_is_cut),
        cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_line_without_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
