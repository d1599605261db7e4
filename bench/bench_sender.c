/* The limit of fan-out: a bare send() loop over as many sockets.
 *
 *   bench_sender STREAMS FRAME_BYTES SECONDS
 *
 * Prints the port that it listens on, answers STREAMS watchers with a head and a record `synced`,
 * and then sends frames of FRAME_BYTES to one after the other, round after round; ends when the
 * time is over. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "bench/latency.h"

enum { SETTLE_MS = 500 };

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_sender: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static int listen_anywhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        die("listen");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static int accept_watcher(int listener)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                 "Connection: close\r\n\r\nevent: synced\ndata: {}\n\n";
    const int on = 1;
    char request[1024];
    int fd = accept(listener, NULL, NULL);

    if (fd < 0 || recv(fd, request, sizeof request, 0) <= 0 ||
        send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL) < 0)
        die("accept");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/* The whole frame, waiting for the peer where it must. False when the peer is gone. */
static int send_frame(int fd, const char *frame, size_t length)
{
    size_t sent = 0;

    while (sent < length) {
        ssize_t more = send(fd, frame + sent, length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (more > 0) {
            sent += (size_t)more;
        } else if (errno == EAGAIN) {
            struct pollfd wanted = {.fd = fd, .events = POLLOUT};

            poll(&wanted, 1, 1000);
        } else {
            return 0;
        }
    }
    return 1;
}

int main(int argc, char *argv[])
{
    const struct timespec settle = {0, SETTLE_MS * 1000000L};
    struct rlimit limit;
    size_t streams, length;
    int64_t end_us;
    int listener, *fds;
    char *frame;

    if (argc != 4)
        die("usage: STREAMS FRAME_BYTES SECONDS");
    streams = strtoul(argv[1], NULL, 10);
    length = strtoul(argv[2], NULL, 10);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    fds = calloc(streams, sizeof *fds);
    frame = malloc(length + 1);
    if (fds == NULL || frame == NULL)
        die("memory");
    memset(frame, 'x', length);
    frame[length - 1] = '\n';
    listener = listen_anywhere();
    for (size_t i = 0; i < streams; i++)
        fds[i] = accept_watcher(listener);
    nanosleep(&settle, NULL);
    end_us = monotonic_us() + (int64_t)(strtod(argv[3], NULL) * 1e6);
    while (monotonic_us() < end_us)
        for (size_t i = 0; i < streams; i++)
            if (!send_frame(fds[i], frame, length))
                return EXIT_SUCCESS;
    return EXIT_SUCCESS;
}
