#include "bench/poster.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int poster_open(struct poster *poster, int port, const char *run)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int on = 1;

    *poster = (struct poster){.run = run};
    for (size_t i = 0; i < POSTER_CONNECTIONS; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
            return -1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        poster->connections[i].fd = fd;
    }
    return 0;
}

static struct poster_connection *free_connection(const struct poster *poster)
{
    for (size_t i = 0; i < POSTER_CONNECTIONS; i++)
        if (!poster->connections[i].is_waiting)
            return (struct poster_connection *)&poster->connections[i];
    return NULL;
}

bool poster_is_free(const struct poster *poster)
{
    return free_connection(poster) != NULL;
}

void poster_send(struct poster *poster, uint64_t first, size_t count, uint64_t version)
{
    struct poster_connection *connection = free_connection(poster);
    char body[POST_BYTES_MAX], head[256];
    int length = snprintf(body, sizeof body, "{\"events\":["), head_length;

    for (uint64_t i = 0; i < count; i++)
        length += snprintf(body + length, sizeof body - (size_t)length,
                           "%s{\"project\":\"bench\",\"domain\":\"load\",\"runName\":\"%s\","
                           "\"name\":\"e%llu\",\"phase\":\"RUNNING\",\"version\":%llu,"
                           "\"parent\":\"root\",\"updatedTime\":\"2026-04-12T08:00:00.000Z\","
                           "\"task\":{\"name\":\"pkg.module.train\",\"shortName\":\"train\"}}",
                           i == 0 ? "" : ",", poster->run, (unsigned long long)(first + i),
                           (unsigned long long)version);
    length += snprintf(body + length, sizeof body - (size_t)length, "]}");
    head_length = snprintf(head, sizeof head,
                           "POST /v1/events HTTP/1.1\r\nHost: localhost\r\n"
                           "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n",
                           length);
    connection->is_waiting = true;
    if (send(connection->fd, head, (size_t)head_length, MSG_NOSIGNAL | MSG_MORE) < 0 ||
        send(connection->fd, body, (size_t)length, MSG_NOSIGNAL) < 0) {
        perror("bench_watchers: post");
        exit(EXIT_FAILURE);
    }
}

/* An answer is small: it comes in one piece. */
void poster_receive(struct poster *poster, size_t index)
{
    struct poster_connection *connection = &poster->connections[index];
    char answer[POST_BYTES_MAX];
    ssize_t got = recv(connection->fd, answer, sizeof answer - 1, MSG_DONTWAIT);

    if (got <= 0)
        return;
    answer[got] = '\0';
    connection->is_waiting = false;
    poster->answered++;
    if (strncmp(answer, "HTTP/1.1 200", 12) != 0) {
        poster->refused++;
        fprintf(stderr, "bench_watchers: %.300s\n", answer);
    }
}
