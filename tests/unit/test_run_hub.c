/* Hubs over a database that answers when the test says so: who is told, and what is shared. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmocka_test.h"
#include "tree_maker.h"
#include "watch/run_hub.h"

/* -------- the database -------- */

/* The read that is under way; on_end NULL: none is. */
static struct {
    repo_changes_fn *on_changes;
    repo_end_fn *on_end;
    void *arg;
    size_t begun; /* so many reads until now */
} reads;

static int begin_read(repo_changes_fn *on_changes, repo_end_fn *on_end, void *arg)
{
    assert_null(reads.on_end);
    reads.on_changes = on_changes;
    reads.on_end = on_end;
    reads.arg = arg;
    reads.begun++;
    return 0;
}

int action_repo_changes_since(struct action_repo *repo, const struct run_key *run, int64_t revision,
                              repo_changes_fn *on_changes, repo_end_fn *on_end, void *arg)
{
    (void)repo;
    (void)run;
    (void)revision;
    return begin_read(on_changes, on_end, arg);
}

int action_repo_tree_parts(struct action_repo *repo, const struct run_key *run,
                           int32_t after_ordinal, int32_t part_size, size_t parts,
                           repo_changes_fn *on_part, repo_end_fn *end, void *arg)
{
    (void)repo;
    (void)run;
    (void)after_ordinal;
    (void)part_size;
    (void)parts;
    return begin_read(on_part, end, arg);
}

int action_repo_changed_runs(struct action_repo *repo, const struct run_position *runs,
                             size_t count, repo_changed_fn *on_changed, repo_end_fn *on_end,
                             void *arg)
{
    (void)repo;
    (void)runs;
    (void)count;
    (void)on_changed;
    (void)on_end;
    (void)arg;
    return -ENOTCONN;
}

uint32_t action_repo_timeline(const struct action_repo *repo)
{
    (void)repo;
    return 1;
}

/* Answers the read: the run is at `revision`, and `actions` changed (or are all there are). */
static void answer(int64_t revision, const struct action *actions, size_t count)
{
    const struct run run = {.key = {"p", "d", "r"},
                            .incarnation = "abcdefghijkl",
                            .revision = revision,
                            .action_count = 2};
    repo_end_fn *on_end = reads.on_end;

    reads.on_end = NULL;
    reads.on_changes(reads.arg, &run, actions, count);
    on_end(reads.arg, REPO_OK, NULL);
}

/* -------- the clock -------- */

uint64_t __wrap_uv_now(const uv_loop_t *loop);
uint64_t __real_uv_now(const uv_loop_t *loop);

static uint64_t clock_ms; /* as the test has set it; 0: the loop's */

uint64_t __wrap_uv_now(const uv_loop_t *loop)
{
    return clock_ms == 0 ? __real_uv_now(loop) : clock_ms;
}

/* -------- the fixture -------- */

struct fixture {
    uv_loop_t loop;
    struct memory *memory;
    struct metrics metrics;
    bool hubs_are_due, streams_are_due;
    struct channels *channels;
    struct streams *streams;
    struct run_hubs *hubs;
    struct run_hub *hub;
};

static int start_with(void **state, uint64_t flush_interval_ms)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    const struct streams_options stream_options = {
        .heartbeat_ms = 60000, .stall_ms = 60000, .is_due = &fixture->streams_are_due};
    struct run_hubs_options options = {.flush_interval_ms = flush_interval_ms,
                                       .linger_ms = 60000,
                                       .is_due = &fixture->hubs_are_due};
    const struct run_key key = {"p", "d", "r"};

    uv_loop_init(&fixture->loop);
    fixture->memory = options.memory = memory_new(UINT64_C(1) << 30);
    options.metrics = &fixture->metrics;
    fixture->channels = options.channels = channels_new(fixture->memory);
    fixture->streams = streams_new(&fixture->loop, &stream_options);
    fixture->hubs = run_hubs_new(&fixture->loop, NULL, &options, NULL);
    reads.on_end = NULL;
    reads.begun = 0;
    *state = fixture;
    return run_hub_open(fixture->hubs, &key, &fixture->hub);
}

static int start(void **state)
{
    return start_with(state, 0);
}

static int start_paced(void **state)
{
    return start_with(state, 10);
}

static int stop(void **state)
{
    struct fixture *fixture = *state;

    clock_ms = 0;
    streams_stop(fixture->streams);
    run_hub_release(fixture->hub);
    run_hubs_stop(fixture->hubs);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    uv_loop_close(&fixture->loop);
    run_hubs_free(fixture->hubs);
    streams_free(fixture->streams);
    channels_free(fixture->channels);
    memory_free(fixture->memory);
    free(fixture);
    return 0;
}

static void count_told(void *arg, enum hub_outcome outcome)
{
    assert_int_equal(outcome, HUB_LIVE);
    ++*(int *)arg;
}

/* The tree is there, its two actions in the phase. */
static void load(struct fixture *fixture, enum phase phase)
{
    struct action actions[] = {tree_action("a0", NULL, 1, 1), tree_action("a1", "a0", 2, 2)};
    int told = 0;

    actions[0].phase = actions[1].phase = phase;
    run_hub_when_read(fixture->hub, INT64_MAX, count_told, &told);
    answer(2, actions, 2);
    assert_int_equal(told, 1);
}

/* -------- a framing -------- */

struct framing {
    const char *says;
    size_t written, ended; /* so many times */
    bool is_last;          /* what it writes first is the last */
};

static int write_framed(void *arg, const char *records, size_t length, struct buffer *out)
{
    struct framing *framing = arg;

    if (memmem(records, length, "nodeUpdate", strlen("nodeUpdate")) == NULL)
        return 0;
    framing->written++;
    buffer_text(out, framing->says);
    return framing->is_last;
}

static void write_framed_end(void *arg, bool is_dismissed, struct buffer *out)
{
    struct framing *framing = arg;

    assert_false(is_dismissed);
    framing->ended++;
    buffer_text(out, "end\n");
}

static void free_framing(void *arg)
{
    (void)arg;
}

/* -------- watchers -------- */

/* A watcher; returns the client's end of its socket. `framing` NULL: none. */
static int watch_framed(struct fixture *fixture, const char *phases, const struct hub_start *start,
                        struct framing *framing, const char *form)
{
    static const struct stream_framing framed = {
        .write = write_framed, .write_end = write_framed_end, .free = free_framing};
    struct stream *stream;
    struct filter filter = {0};
    struct buffer head = {0};
    struct hub_view *view;
    int ends[2];

    if (phases != NULL)
        assert_int_equal(filter_add_phases(&filter, phases), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    buffer_text(&head, "head\n");
    view = run_hub_hold_view(fixture->hub, &filter, NULL);
    stream = hub_view_add_stream(view, fixture->streams, ends[0], frame_of_kind(&head, FRAME_HEAD),
                                 start);
    assert_non_null(stream);
    if (framing != NULL)
        stream_use_framing(stream, &framed, framing, form);
    hub_view_release(view);
    return ends[1];
}

static int watch(struct fixture *fixture, const char *phases, const struct hub_start *start)
{
    return watch_framed(fixture, phases, start, NULL, NULL);
}

static void turn(struct fixture *fixture)
{
    for (int i = 0; i < 10; i++) {
        if (fixture->hubs_are_due)
            run_hubs_run(fixture->hubs);
        if (fixture->streams_are_due)
            streams_run(fixture->streams);
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
}

/* What the client was sent, borrowed until the next call; closes its end. */
static const char *sent_to(int fd)
{
    static char text[8192];
    ssize_t length = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);

    assert_true(length > 0);
    text[length] = '\0';
    close(fd);
    return text;
}

/* -------- tests -------- */

static void test_a_wish_wants_a_read_that_begins_after_it(void **state)
{
    struct fixture *fixture = *state;
    int first = 0, second = 0;

    load(fixture, PHASE_RUNNING);
    run_hub_when_read(fixture->hub, INT64_MAX, count_told, &first);
    run_hub_when_read(fixture->hub, INT64_MAX, count_told, &second);
    assert_int_equal(reads.begun, 2);
    answer(2, NULL, 0);
    assert_int_equal(first, 1);
    assert_int_equal(second, 0);
    assert_int_equal(reads.begun, 3);
    answer(2, NULL, 0);
    assert_int_equal(second, 1);
    assert_int_equal(reads.begun, 3);
}

static void note_outcome(void *arg, enum hub_outcome outcome)
{
    *(enum hub_outcome *)arg = outcome;
}

static void fail_read(void)
{
    repo_end_fn *on_end = reads.on_end;

    reads.on_end = NULL;
    on_end(reads.arg, REPO_LOST, "gone");
}

static void test_a_read_that_broke_is_no_answer_to_who_came_during_it(void **state)
{
    struct fixture *fixture = *state;
    enum hub_outcome first = HUB_ABSENT, second = HUB_ABSENT;

    load(fixture, PHASE_RUNNING);
    run_hub_when_read(fixture->hub, INT64_MAX, note_outcome, &first);
    run_hub_when_read(fixture->hub, INT64_MAX, note_outcome, &second);
    fail_read();
    assert_int_equal(first, HUB_UNAVAILABLE);
    assert_int_equal(second, HUB_ABSENT);
    answer(2, NULL, 0);
    assert_int_equal(second, HUB_LIVE);
}

static void test_what_is_there_already_wants_no_read(void **state)
{
    struct fixture *fixture = *state;
    int told = 0;

    load(fixture, PHASE_RUNNING);
    run_hub_when_read(fixture->hub, 2, count_told, &told);
    assert_int_equal(told, 1);
    assert_int_equal(reads.begun, 1);
}

/* -------- what this process wrote -------- */

/* A commit of two runs; the second is the hub's, from revision 2 on. */
struct written {
    struct run_row runs[2];
    struct action_row rows[5];
};

static struct written write_here(void)
{
    struct written written = {
        .runs = {{.run = 0, .revision_before = 2, .state = {.key = {"p", "d", "other"}}},
                 {.run = 1, .revision_before = 2, .state = {.key = {"p", "d", "r"}}}},
        /* As they come: the tree has its order. */
        .rows = {{.run = 0, .action = tree_action("a0", NULL, 1, 3)},
                 {.run = 1, .action = tree_action("waits", "nobody", 0, 0)},
                 {.run = 1, .action = tree_action("a2", "a1", 3, 4)},
                 {.run = 1, .action = tree_action("alias", "a1", ALIAS_ORDINAL, 0)},
                 {.run = 1, .action = tree_action("a1", "a0", 2, 3)}}};

    for (size_t i = 0; i < 2; i++) {
        written.runs[i].state.revision = 4;
        memcpy(written.runs[i].state.incarnation, "abcdefghijkl", INCARNATION_SIZE);
    }
    written.rows[4].action.phase = PHASE_SUCCEEDED;
    return written;
}

static void take(struct fixture *fixture, const struct written *written)
{
    run_hubs_take(fixture->hubs, written->runs, 2, written->rows, 5);
}

static void hear(struct fixture *fixture, int64_t revision)
{
    const struct run_key key = {"p", "d", "r"};

    run_hubs_hear(fixture->hubs, &key, revision);
}

static void test_what_was_written_here_is_not_read(void **state)
{
    struct fixture *fixture = *state;
    const struct hub_start start = {0};
    const struct written written = write_here();
    int fd;
    const char *sent;

    load(fixture, PHASE_RUNNING);
    fd = watch(fixture, NULL, &start);
    turn(fixture);
    take(fixture, &written);
    hear(fixture, 4);
    assert_int_equal(reads.begun, 1);
    turn(fixture);
    sent = sent_to(fd);
    assert_non_null(strstr(sent, "\"name\":\"a1\",\"parent\":\"a0\",\"phase\":\"SUCCEEDED\""));
    assert_non_null(strstr(sent, "\"name\":\"a2\",\"parent\":\"a1\",\"phase\":\"QUEUED\""));
    assert_non_null(strstr(sent, "\"childPhaseCounts\":{\"QUEUED\":1,\"SUCCEEDED\":1}"));
    assert_null(strstr(sent, "waits"));
    assert_null(strstr(sent, "alias"));
    assert_int_equal(run_hub_revision(fixture->hub), 4);
}

static void test_what_the_tree_cannot_take_is_read(void **state)
{
    struct fixture *fixture = *state;
    struct written written[7];

    for (size_t i = 0; i < 7; i++)
        written[i] = write_here();
    written[0].runs[1].revision_before = 1;
    written[1].runs[1].revision_before = 3;
    written[2].runs[1].state.incarnation[0] = 'x';
    written[3].runs[1].state.waiting_count = 1; /* for whom, is read, as who asked for an end */
    written[4].runs[1].state.abort_count = 1;
    written[5].runs[1].state.abort_requested = "{}";
    written[6].rows[2].action.parent = "nobody";
    take(fixture, &written[0]); /* there is no tree */
    load(fixture, PHASE_RUNNING);
    for (size_t i = 0; i < 7; i++) {
        take(fixture, &written[i]);
        assert_int_equal(run_hub_revision(fixture->hub), 2);
    }
    hear(fixture, 3);
    assert_int_equal(reads.begun, 2);
    written[0] = write_here();
    take(fixture, &written[0]); /* what is being read may be older, or have it */
    assert_int_equal(run_hub_revision(fixture->hub), 2);
    answer(3, NULL, 0);
    assert_int_equal(run_hub_revision(fixture->hub), 3);
}

/* Both stand at revision 0 and have not heard `synced`. */
static void test_who_resumes_is_not_sent_what_a_new_client_is(void **state)
{
    struct fixture *fixture = *state;
    const struct hub_start resuming = {.is_resuming = true}, new_client = {0};
    int fresh, resumed;

    load(fixture, PHASE_RUNNING);
    resumed = watch(fixture, "FAILED", &resuming);
    fresh = watch(fixture, "FAILED", &new_client);
    turn(fixture);
    assert_non_null(strstr(sent_to(resumed), "\"meetsFilter\":false"));
    assert_null(strstr(sent_to(fresh), "\"meetsFilter\":false"));

    fresh = watch(fixture, "FAILED", &new_client);
    resumed = watch(fixture, "FAILED", &resuming);
    turn(fixture);
    assert_null(strstr(sent_to(fresh), "\"meetsFilter\":false"));
    assert_non_null(strstr(sent_to(resumed), "\"meetsFilter\":false"));
}

/* All share one frame, whoever it was made for. */
static void test_who_follows_stays_and_his_neighbour_does_not(void **state)
{
    struct fixture *fixture = *state;
    const struct hub_start following = {.is_following = true}, ending = {0};
    int fds[4];

    load(fixture, PHASE_SUCCEEDED);
    for (size_t i = 0; i < 4; i++) /* streams are served in the order of their coming */
        fds[i] = watch(fixture, NULL, i == 0 || i == 3 ? &following : &ending);
    turn(fixture);
    for (size_t i = 0; i < 4; i++) {
        const char *sent = sent_to(fds[i]);

        assert_non_null(strstr(sent, "event: synced"));
        if (i == 0 || i == 3)
            assert_null(strstr(sent, "event: end"));
        else
            assert_non_null(strstr(sent, "event: end"));
    }
}

static void test_a_place_has_one_frame_for_all(void **state)
{
    struct fixture *fixture = *state;
    const struct hub_start start = {0};
    int fds[8];

    load(fixture, PHASE_RUNNING);
    for (size_t i = 0; i < 8; i++)
        fds[i] = watch(fixture, NULL, &start);
    turn(fixture);
    {
        uint64_t shared = memory_held_bytes(fixture->memory, MEMORY_FRAMES);
        uint64_t one = strlen(sent_to(fds[0]));

        assert_in_range(shared, 1, 3 * one);
    }
    for (size_t i = 1; i < 8; i++)
        sent_to(fds[i]);
    channels_cool(fixture->channels);
    channels_cool(fixture->channels);
    assert_int_equal(memory_held_bytes(fixture->memory, MEMORY_FRAMES), 0);
}

/* Of five forms four are kept; what is of no form is nobody else's. */
static void test_a_frame_is_framed_once_for_each_form(void **state)
{
    static const char *const forms[] = {"a", "b", "c", "d", "too many", NULL};
    static const size_t written[] = {1, 1, 1, 1, 2, 2};
    static const char *const said[] = {"head\nA", "head\nB", "head\nC",
                                       "head\nD", "head\nE", "head\nF"};
    struct fixture *fixture = *state;
    const struct hub_start start = {.is_following = true};
    struct framing framings[6] = {0};
    int fds[12];

    load(fixture, PHASE_RUNNING);
    for (size_t i = 0; i < 12; i++) {
        framings[i / 2].says = said[i / 2] + strlen("head\n");
        fds[i] = watch_framed(fixture, NULL, &start, &framings[i / 2], forms[i / 2]);
    }
    turn(fixture);
    for (size_t i = 0; i < 12; i++) {
        assert_string_equal(sent_to(fds[i]), said[i / 2]);
        assert_int_equal(framings[i / 2].written, written[i / 2]);
    }
    channels_cool(fixture->channels);
    channels_cool(fixture->channels);
    assert_int_equal(memory_held_bytes(fixture->memory, MEMORY_FRAMES), 0);
}

static void test_what_a_framing_ends_with_is_its_own(void **state)
{
    struct fixture *fixture = *state;
    const struct hub_start start = {.is_following = true};
    struct framing framing = {.says = "last\n", .is_last = true};
    int fds[2];

    load(fixture, PHASE_RUNNING);
    for (size_t i = 0; i < 2; i++)
        fds[i] = watch_framed(fixture, NULL, &start, &framing, "a");
    turn(fixture);
    assert_string_equal(sent_to(fds[0]), "head\nlast\nend\n");
    assert_string_equal(sent_to(fds[1]), "head\nlast\nend\n");
    assert_int_equal(framing.ended, 2);
}

static void count_flush(void *arg)
{
    ++*(size_t *)arg;
}

/* One that is late does not put off the next, up to half of the interval. */
static void test_flushes_are_an_interval_apart(void **state)
{
    static const struct {
        uint64_t at_ms;
        bool moves, flushes;
    } steps[] = {{1000, false, true}, {1003, true, false}, {1004, false, false},
                 {1005, false, true}, {1006, true, false}, {1014, false, false},
                 {1015, false, true}, {1029, true, true},  {1034, true, false},
                 {1035, false, true}, {1053, true, true},  {1057, true, false},
                 {1058, false, true}};
    struct fixture *fixture = *state;
    size_t flushed = 0, expected = 0;
    struct hub_listener listener = {.on_moved = count_flush, .arg = &flushed};

    load(fixture, PHASE_RUNNING);
    run_hub_listen(fixture->hub, &listener);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        int64_t revision = (int64_t)i + 3;
        const struct action action = tree_action("a1", "a0", 2, revision);

        clock_ms = steps[i].at_ms;
        if (steps[i].moves) {
            hear(fixture, revision);
            answer(revision, &action, 1);
        }
        run_hubs_run(fixture->hubs);
        expected += steps[i].flushes;
        assert_int_equal(flushed, expected);
    }
    run_hub_unlisten(fixture->hub, &listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_wish_wants_a_read_that_begins_after_it, start, stop),
        cmocka_unit_test_setup_teardown(test_a_read_that_broke_is_no_answer_to_who_came_during_it,
                                        start, stop),
        cmocka_unit_test_setup_teardown(test_what_is_there_already_wants_no_read, start, stop),
        cmocka_unit_test_setup_teardown(test_what_was_written_here_is_not_read, start, stop),
        cmocka_unit_test_setup_teardown(test_what_the_tree_cannot_take_is_read, start, stop),
        cmocka_unit_test_setup_teardown(test_who_resumes_is_not_sent_what_a_new_client_is, start,
                                        stop),
        cmocka_unit_test_setup_teardown(test_who_follows_stays_and_his_neighbour_does_not, start,
                                        stop),
        cmocka_unit_test_setup_teardown(test_a_place_has_one_frame_for_all, start, stop),
        cmocka_unit_test_setup_teardown(test_a_frame_is_framed_once_for_each_form, start, stop),
        cmocka_unit_test_setup_teardown(test_what_a_framing_ends_with_is_its_own, start, stop),
        cmocka_unit_test_setup_teardown(test_flushes_are_an_interval_apart, start_paced, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
