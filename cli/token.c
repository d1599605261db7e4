#include "cli/token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TOKEN_BYTES_MAX = 8000 };

char *token_read(const char *path, char *why, size_t why_size)
{
    const char *variable = getenv("RUNTREE_TOKEN");
    char token[TOKEN_BYTES_MAX + 1];
    ssize_t length;
    int fd;

    if (path == NULL)
        return variable == NULL || *variable == '\0' ? NULL : strdup(variable);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    length = fd < 0 ? -1 : read(fd, token, TOKEN_BYTES_MAX);
    if (length < 0)
        snprintf(why, why_size, "%.150s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    while (length > 0 && strchr(" \t\r\n", token[length - 1]) != NULL)
        length--;
    return length <= 0 ? NULL : strndup(token, (size_t)length);
}
