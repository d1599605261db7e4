#include "server/log.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "model/timestamp.h"

static const char *const level_names[] = {"error", "warning", "info", "debug"};

enum log_level log_level_parse(const char *name)
{
    for (int level = LOG_ERROR; level <= LOG_DEBUG; level++)
        if (strcmp(name, level_names[level]) == 0)
            return (enum log_level)level;
    return LOG_INFO;
}

void log_write(const struct log *log, enum log_level level, const char *message, const char *format,
               ...)
{
    struct timespec now;
    char time_text[TIMESTAMP_SIZE], pack[256], *text;
    json_t *line, *members;
    va_list arguments;

    if (level > log->level)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    timestamp_format((int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000, time_text);
    line = json_pack("{s:s, s:s, s:s}", "time", time_text, "level", level_names[level], "message",
                     message);
    snprintf(pack, sizeof pack, "{%s}", format);
    va_start(arguments, format);
    members = json_vpack_ex(NULL, 0, pack, arguments);
    va_end(arguments);
    if (line != NULL && members != NULL)
        json_object_update_new(line, members);
    else
        json_decref(members);
    text = line == NULL ? NULL : json_dumps(line, JSON_COMPACT);
    if (text != NULL) {
        size_t length = strlen(text);

        text[length] = '\n'; /* in place of the NUL: one write for each line */
        if (write(STDERR_FILENO, text, length + 1) < 0) {
            /* nobody is left to be told */
        }
    }
    free(text);
    json_decref(line);
}
