/* Thousands of watchers in one process, and the one who posts what they see.
 *
 *   bench_watchers PORT RUN STREAMS [name=value …]
 *
 *   idle=N           more streams, of the run `idle_run`, on which nothing happens
 *   idle_run=NAME
 *   silent=N         so many of STREAMS stop reading when they are synced
 *   gzip=1           ask for a compressed stream (then only bytes are counted)
 *   post=none        only opens the streams and reads what comes
 *   post=paced       `rate` POSTs a second of `events` (1) events each; times each event from the
 *                    POST to the record on each stream
 *   post=clocked     ten events a POST, of the same ten actions, as long as the first stream is
 * less than four POSTs behind, so that there is always something to send rate=N seconds=S wait=1
 * prints a line when the streams are synced, and goes on when one comes in
 *
 * Prints one JSON object. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "bench/latency.h"
#include "bench/poster.h"

enum {
    OPENING_MAX = 128, /* streams that are being opened at a time */
    READ_BYTES = 256 * 1024,
    TAIL_BYTES = 32, /* kept of a read, for a word that is cut in two */
    CLOCKED_EVENTS = 10,
    CLOCKED_AHEAD = 4,
    EVENTS_MAX = 1 << 20,
    DRAIN_US = 1500000,
    SILENT_BUFFER_BYTES = 4096,
    AWAKE_US = 200, /* after bytes came */
};

enum post_mode { POST_NONE, POST_PACED, POST_CLOCKED };

struct options {
    int port;
    const char *run, *idle_run;
    size_t streams, idle, silent, events;
    bool is_gzip, waits;
    enum post_mode post;
    double rate, seconds;
};

struct stream {
    int fd;
    bool is_synced, is_idle, is_silent, is_closed;
    size_t tail_length;
    char tail[TAIL_BYTES];
};

struct bench {
    struct options options;
    struct stream *streams;
    size_t count, opened, synced, closed;
    int epoll;
    int timer;
    struct poster poster;
    int64_t *posted_us; /* by number of the event */
    uint64_t posts, events, late;
    uint64_t seen_version; /* by the first stream */
    bool is_measuring;
    int64_t started_us, opened_us, first_us, last_us;
    uint64_t bytes, snapshot_bytes, reads, probe_bytes, probe_records;
    struct latencies latencies;
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_watchers: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

/* -------- opening -------- */

static void watch(struct bench *bench, int fd, uint64_t key)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = key};

    if (epoll_ctl(bench->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
}

static void open_stream(struct bench *bench)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)bench->options.port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct stream *stream = &bench->streams[bench->opened];
    const int small = SILENT_BUFFER_BYTES;
    char request[512];
    int length;

    stream->is_idle = bench->opened >= bench->options.streams;
    stream->is_silent = bench->opened > 0 && bench->opened <= bench->options.silent;
    stream->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (stream->fd < 0)
        die("socket");
    if (stream->is_silent)
        setsockopt(stream->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (connect(stream->fd, (const struct sockaddr *)&address, sizeof address) < 0)
        die("connect");
    length = snprintf(request, sizeof request,
                      "GET /v1/projects/bench/domains/load/runs/%s/watch HTTP/1.1\r\n"
                      "Host: localhost\r\nAccept: text/event-stream\r\n%s\r\n",
                      stream->is_idle ? bench->options.idle_run : bench->options.run,
                      bench->options.is_gzip ? "Accept-Encoding: gzip\r\n" : "");
    if (send(stream->fd, request, (size_t)length, MSG_NOSIGNAL) != length)
        die("request");
    watch(bench, stream->fd, bench->opened++);
}

static void open_more(struct bench *bench)
{
    while (bench->opened < bench->count && bench->opened - bench->synced < OPENING_MAX)
        open_stream(bench);
}

/* -------- reading -------- */

static void become_synced(struct bench *bench, struct stream *stream)
{
    stream->is_synced = true;
    stream->tail_length = 0;
    bench->synced++;
    if (stream->is_silent)
        epoll_ctl(bench->epoll, EPOLL_CTL_DEL, stream->fd, NULL);
}

/* Numbers behind each `word` in the bytes, to `take`. */
static void scan(struct bench *bench, const char *bytes, size_t length, const char *word,
                 void (*take)(struct bench *bench, uint64_t number))
{
    size_t word_length = strlen(word);
    const char *at = bytes, *end = bytes + length;

    while ((at = memmem(at, (size_t)(end - at), word, word_length)) != NULL) {
        char *behind;
        uint64_t number = strtoull(at + word_length, &behind, 10);

        if (behind < end)
            take(bench, number);
        at += word_length;
    }
}

static void take_event(struct bench *bench, uint64_t number)
{
    if (number < bench->events)
        latencies_add(&bench->latencies, monotonic_us() - bench->posted_us[number]);
}

static void take_version(struct bench *bench, uint64_t version)
{
    bench->probe_records++;
    if (version > bench->seen_version)
        bench->seen_version = version;
}

/* `bytes` begin with the tail of the read before, so that a word in two pieces is found; a word as
 * a whole in the tail is not found twice, because the tail is shorter than any record. */
static void look_at(struct bench *bench, struct stream *stream, const char *bytes, size_t length)
{
    if (!stream->is_synced) {
        if (memmem(bytes, length, "event: synced", 13) != NULL ||
            (bench->options.is_gzip && length > 0))
            become_synced(bench, stream);
        return;
    }
    if (bench->options.post == POST_PACED && !stream->is_idle)
        scan(bench, bytes, length, "\"name\":\"e", take_event);
    if (bench->options.post == POST_CLOCKED && stream == bench->streams)
        scan(bench, bytes, length, "\"RUNNING\",\"attempt\":1,\"version\":", take_version);
}

/* What the next read must see again: the last bytes, if a word may have been cut. */
static void keep_tail(struct stream *stream, const char *bytes, size_t length)
{
    bool is_cut = length > 0 && bytes[length - 1] != '\n';

    stream->tail_length = is_cut ? (length < TAIL_BYTES ? length : TAIL_BYTES) : 0;
    memcpy(stream->tail, bytes + length - stream->tail_length, stream->tail_length);
}

static void count_bytes(struct bench *bench, const struct stream *stream, size_t length)
{
    if (!stream->is_synced)
        bench->snapshot_bytes += length;
    if (!bench->is_measuring)
        return;
    bench->last_us = monotonic_us();
    if (bench->first_us == 0)
        bench->first_us = bench->last_us;
    bench->bytes += length;
    bench->reads++;
    if (stream == bench->streams)
        bench->probe_bytes += length;
}

static void read_stream(struct bench *bench, struct stream *stream)
{
    static char buffer[TAIL_BYTES + READ_BYTES];
    ssize_t got;

    memcpy(buffer, stream->tail, stream->tail_length);
    got = recv(stream->fd, buffer + stream->tail_length, READ_BYTES, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        stream->is_closed = true;
        bench->closed++;
        epoll_ctl(bench->epoll, EPOLL_CTL_DEL, stream->fd, NULL);
        return;
    }
    count_bytes(bench, stream, (size_t)got);
    look_at(bench, stream, buffer, stream->tail_length + (size_t)got);
    keep_tail(stream, buffer, stream->tail_length + (size_t)got);
}

/* Watchers elsewhere are not woken by the sender's send(). One that sleeps on this machine is, and
 * that costs the sender as much as the sending: so nobody sleeps between the frames of a flush. */
static void read_for(struct bench *bench, int timeout_ms)
{
    struct epoll_event events[512];
    bool is_awake = bench->is_measuring && monotonic_us() - bench->last_us < AWAKE_US;
    int count = epoll_wait(bench->epoll, events, 512, is_awake ? 0 : timeout_ms);

    for (int i = 0; i < count; i++) {
        uint64_t key = events[i].data.u64;

        if (key < bench->count)
            read_stream(bench, &bench->streams[key]);
        else if (key < bench->count + POSTER_CONNECTIONS)
            poster_receive(&bench->poster, key - bench->count);
    }
}

/* -------- posting -------- */

static void post_paced(struct bench *bench)
{
    uint64_t due = 0;

    if (read(bench->timer, &due, sizeof due) != sizeof due)
        return;
    for (; due > 0 && bench->events + bench->options.events <= EVENTS_MAX; due--) {
        if (!poster_is_free(&bench->poster)) {
            bench->late += due;
            return;
        }
        for (size_t i = 0; i < bench->options.events; i++)
            bench->posted_us[bench->events + i] = monotonic_us();
        poster_send(&bench->poster, bench->events, bench->options.events, 0);
        bench->events += bench->options.events;
        bench->posts++;
    }
}

static void post_clocked(struct bench *bench)
{
    while (bench->posts < bench->seen_version + CLOCKED_AHEAD && poster_is_free(&bench->poster))
        poster_send(&bench->poster, 0, CLOCKED_EVENTS, ++bench->posts);
}

static void start_timer(struct bench *bench)
{
    int64_t interval_ns = (int64_t)(1e9 / bench->options.rate);
    struct timespec interval = {interval_ns / 1000000000, interval_ns % 1000000000};
    const struct itimerspec setting = {.it_interval = interval, .it_value = interval};

    bench->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    if (bench->timer < 0 || timerfd_settime(bench->timer, 0, &setting, NULL) < 0)
        die("timer");
    watch(bench, bench->timer, bench->count + POSTER_CONNECTIONS);
}

static void measure(struct bench *bench)
{
    int64_t end_us = monotonic_us() + (int64_t)(bench->options.seconds * 1e6), drained_us;

    bench->is_measuring = true;
    while (monotonic_us() < end_us) {
        if (bench->options.post == POST_PACED)
            post_paced(bench);
        else if (bench->options.post == POST_CLOCKED)
            post_clocked(bench);
        read_for(bench, 20);
    }
    bench->is_measuring = false;
    drained_us = monotonic_us() + (bench->options.post == POST_NONE ? 0 : DRAIN_US);
    while (monotonic_us() < drained_us)
        read_for(bench, 20);
}

/* -------- main -------- */

static void read_option(struct options *options, const char *text)
{
    const char *value = strchr(text, '=');
    size_t length = value == NULL ? 0 : (size_t)(++value - text);

    if (length == 0) {
        fprintf(stderr, "bench_watchers: %s?\n", text);
        exit(EXIT_FAILURE);
    }
    if (strncmp(text, "idle=", length) == 0)
        options->idle = strtoul(value, NULL, 10);
    else if (strncmp(text, "idle_run=", length) == 0)
        options->idle_run = value;
    else if (strncmp(text, "silent=", length) == 0)
        options->silent = strtoul(value, NULL, 10);
    else if (strncmp(text, "events=", length) == 0)
        options->events = strtoul(value, NULL, 10);
    else if (strncmp(text, "gzip=", length) == 0)
        options->is_gzip = *value == '1';
    else if (strncmp(text, "wait=", length) == 0)
        options->waits = *value == '1';
    else if (strncmp(text, "rate=", length) == 0)
        options->rate = strtod(value, NULL);
    else if (strncmp(text, "seconds=", length) == 0)
        options->seconds = strtod(value, NULL);
    else if (strcmp(text, "post=paced") == 0)
        options->post = POST_PACED;
    else if (strcmp(text, "post=clocked") == 0)
        options->post = POST_CLOCKED;
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void print_result(const struct bench *bench)
{
    double seconds = (double)(bench->last_us - bench->first_us) / 1e6;

    printf("{\"streams\": %zu, \"opened_us\": %lld, \"snapshot_bytes\": %llu, \"seconds\": %.3f,"
           " \"bytes\": %llu, \"reads\": %llu, \"probe_bytes\": %llu, \"probe_records\": %llu,"
           " \"posts\": %llu, \"late\": %llu, \"refused\": %llu, \"closed\": %zu, ",
           bench->synced, (long long)(bench->opened_us - bench->started_us),
           (unsigned long long)bench->snapshot_bytes, seconds, (unsigned long long)bench->bytes,
           (unsigned long long)bench->reads, (unsigned long long)bench->probe_bytes,
           (unsigned long long)bench->probe_records, (unsigned long long)bench->posts,
           (unsigned long long)bench->late, (unsigned long long)bench->poster.refused,
           bench->closed);
    latencies_print(&bench->latencies, "latency");
    printf("}\n");
}

static void start(struct bench *bench)
{
    bench->count = bench->options.streams + bench->options.idle;
    bench->streams = calloc(bench->count, sizeof *bench->streams);
    bench->posted_us = calloc(EVENTS_MAX, sizeof *bench->posted_us);
    bench->epoll = epoll_create1(0);
    if (bench->streams == NULL || bench->posted_us == NULL || bench->epoll < 0)
        die("start");
    bench->started_us = monotonic_us();
    while (bench->synced < bench->count && bench->closed == 0) {
        open_more(bench);
        read_for(bench, 100);
    }
    bench->opened_us = monotonic_us();
    if (bench->closed > 0)
        die("a stream was closed before it was synced");
}

int main(int argc, char *argv[])
{
    static struct bench bench;
    char line[16];

    bench.options = (struct options){.idle_run = "idle", .events = 1, .rate = 10, .seconds = 1};
    if (argc < 4)
        die("usage: PORT RUN STREAMS [name=value …]");
    bench.options.port = (int)strtol(argv[1], NULL, 10);
    bench.options.run = argv[2];
    bench.options.streams = strtoul(argv[3], NULL, 10);
    for (int i = 4; i < argc; i++)
        read_option(&bench.options, argv[i]);
    raise_descriptor_limit();
    start(&bench);
    if (bench.options.waits) {
        printf("synced\n");
        fflush(stdout);
        if (fgets(line, sizeof line, stdin) == NULL)
            return EXIT_FAILURE;
    }
    if (bench.options.post != POST_NONE) {
        if (poster_open(&bench.poster, bench.options.port, bench.options.run) < 0)
            die("post");
        for (size_t i = 0; i < POSTER_CONNECTIONS; i++)
            watch(&bench, bench.poster.connections[i].fd, bench.count + i);
    }
    if (bench.options.post == POST_PACED)
        start_timer(&bench);
    measure(&bench);
    print_result(&bench);
    return EXIT_SUCCESS;
}
