#include "server/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096 };

/* The parts of "HOST:PORT"; the brackets of an IPv6 address are left out. */
static void split_address(const char *address, char *host, size_t host_size, const char **port)
{
    const char *colon = strrchr(address, ':');
    size_t length = (size_t)(colon - address);

    if (length >= 2 && address[0] == '[' && colon[-1] == ']') {
        address++;
        length -= 2;
    }
    snprintf(host, host_size, "%.*s", (int)length, address);
    *port = colon + 1;
}

static int try_listen(const struct addrinfo *info, int is_shared)
{
    const int on = 1;
    int saved;
    int fd = socket(info->ai_family, info->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (is_shared)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* The places that `address` means, to be freed with freeaddrinfo; NULL with a reason in `why`. */
static struct addrinfo *look_up(const char *address, char *why, size_t why_size)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    char host[256];
    const char *port;
    int status;

    split_address(address, host, sizeof host, &port);
    status = getaddrinfo(strcmp(host, "*") == 0 ? NULL : host, port, &hints, &found);
    if (status != 0)
        snprintf(why, why_size, "cannot listen on %s: %s", address, gai_strerror(status));
    return status != 0 ? NULL : found;
}

int listen_check(const char *address, char *why, size_t why_size)
{
    struct addrinfo *found = look_up(address, why, why_size);

    if (found == NULL)
        return -1;
    freeaddrinfo(found);
    return 0;
}

int listen_on(const char *address, int is_shared, char *why, size_t why_size)
{
    struct addrinfo *found = look_up(address, why, why_size);
    int fd = -1;

    if (found == NULL)
        return -1;
    for (const struct addrinfo *info = found; info != NULL && fd < 0; info = info->ai_next)
        fd = try_listen(info, is_shared);
    if (fd < 0)
        snprintf(why, why_size, "cannot listen on %s: %s", address, strerror(errno));
    freeaddrinfo(found);
    return fd;
}

int listen_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = {0};
    socklen_t length = sizeof address;

    if (getsockname(fd, &address.any, &length) < 0)
        return 0;
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}
