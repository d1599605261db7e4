#include "server/log.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "model/timestamp.h"

enum {
    QUEUE_MAX_BYTES = 1 << 20,
    ALIKE_PER_S_MAX = 100, /* warnings and errors with one message */
    MESSAGES_MAX = 64,     /* that are told apart for it; more than we have */
    END_WAIT_MS = 1000,
};

static const char *const level_names[] = {"error", "warning", "info", "debug"};

struct line {
    struct line *next;
    char *text;
    size_t length;
};

/* How many lines with this message there were in this second. */
struct message_rate {
    const char *message;
    uint64_t second;
    unsigned lines;
};

struct log {
    enum log_level level;
    struct log_queue *queue; /* that it is part of */
};

struct log_queue {
    struct log log;
    uv_thread_t writer;
    uv_mutex_t mutex; /* over all below, never held while something is written */
    uv_cond_t changed;
    struct line *first, **end;
    size_t bytes; /* of the lines in the queue and of the one that is being written */
    uint64_t dropped, dropped_unsaid;
    struct message_rate rates[MESSAGES_MAX];
    bool is_ending, has_ended;
};

enum log_level log_level_parse(const char *name)
{
    for (int level = LOG_ERROR; level <= LOG_DEBUG; level++)
        if (strcmp(name, level_names[level]) == 0)
            return (enum log_level)level;
    return LOG_INFO;
}

bool log_has_level(const struct log *log, enum log_level level)
{
    return level <= log->level;
}

/* -------- lines -------- */

static void free_line(struct line *line)
{
    if (line != NULL)
        free(line->text);
    free(line);
}

/* NULL when out of memory. */
static struct line *make_line_v(enum log_level level, const char *message, const char *format,
                                va_list arguments)
{
    struct line *line = calloc(1, sizeof *line);
    struct timespec now;
    char time_text[TIMESTAMP_SIZE], pack[256];
    json_t *document, *members;

    clock_gettime(CLOCK_REALTIME, &now);
    timestamp_format((int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000, time_text);
    document = json_pack("{s:s, s:s, s:s}", "time", time_text, "level", level_names[level],
                         "message", message);
    snprintf(pack, sizeof pack, "{%s}", format);
    members = json_vpack_ex(NULL, 0, pack, arguments);
    if (document != NULL && members != NULL)
        json_object_update_new(document, members);
    else
        json_decref(members);
    if (line != NULL && document != NULL)
        line->text = json_dumps(document, JSON_COMPACT);
    json_decref(document);
    if (line == NULL || line->text == NULL) {
        free_line(line);
        return NULL;
    }
    line->length = strlen(line->text) + 1;
    line->text[line->length - 1] = '\n'; /* in place of the NUL */
    return line;
}

static struct line *make_line(enum log_level level, const char *message, const char *format, ...)
{
    struct line *line;
    va_list arguments;

    va_start(arguments, format);
    line = make_line_v(level, message, format, arguments);
    va_end(arguments);
    return line;
}

/* -------- the queue; all with its mutex held -------- */

static size_t bytes_of(const struct line *line)
{
    return sizeof *line + line->length;
}

static void append(struct log_queue *queue, struct line *line)
{
    *queue->end = line;
    queue->end = &line->next;
    queue->bytes += bytes_of(line);
    uv_cond_broadcast(&queue->changed);
}

static void note_dropped(struct log_queue *queue)
{
    queue->dropped++;
    queue->dropped_unsaid++;
}

static void say_dropped(struct log_queue *queue)
{
    struct line *line;

    if (queue->dropped_unsaid == 0)
        return;
    line = make_line(LOG_WARNING, "log lines dropped", "s:I", "lines",
                     (json_int_t)queue->dropped_unsaid);
    if (line == NULL)
        return;
    queue->dropped_unsaid = 0;
    append(queue, line);
}

static bool is_within_rate(struct log_queue *queue, const char *message)
{
    uint64_t second = uv_hrtime() / 1000000000;
    struct message_rate *rate = queue->rates, *end = rate + MESSAGES_MAX;

    while (rate < end && rate->message != NULL && rate->message != message)
        rate++;
    if (rate == end)
        return true;
    if (rate->message == NULL || rate->second != second)
        *rate = (struct message_rate){.message = message, .second = second};
    return rate->lines++ < ALIKE_PER_S_MAX;
}

/* -------- the thread that writes -------- */

/* One write for each line, so that it stays whole on a pipe that others write to as well. */
static bool write_line(const struct line *line)
{
    for (size_t at = 0; at < line->length;) {
        ssize_t written = write(STDERR_FILENO, line->text + at, line->length - at);

        if (written >= 0)
            at += (size_t)written;
        else if (errno == EAGAIN) /* who shares it with us has set O_NONBLOCK */
            poll(&(struct pollfd){.fd = STDERR_FILENO, .events = POLLOUT}, 1, -1);
        else if (errno != EINTR)
            return false;
    }
    return true;
}

static void write_lines(void *arg)
{
    struct log_queue *queue = arg;

    uv_mutex_lock(&queue->mutex);
    while (!queue->is_ending || queue->first != NULL) {
        struct line *line = queue->first;
        bool is_written;

        if (line == NULL) {
            uv_cond_wait(&queue->changed, &queue->mutex);
            continue;
        }
        queue->first = line->next;
        if (queue->first == NULL)
            queue->end = &queue->first;
        uv_mutex_unlock(&queue->mutex);
        is_written = write_line(line);
        uv_mutex_lock(&queue->mutex);
        queue->bytes -= bytes_of(line);
        if (!is_written)
            note_dropped(queue);
        free_line(line);
    }
    queue->has_ended = true;
    uv_cond_broadcast(&queue->changed);
    uv_mutex_unlock(&queue->mutex);
}

static void free_queue(struct log_queue *queue)
{
    uv_cond_destroy(&queue->changed);
    uv_mutex_destroy(&queue->mutex);
    free(queue);
}

struct log *log_start(enum log_level level)
{
    struct log_queue *queue = calloc(1, sizeof *queue);

    if (queue == NULL)
        return NULL;
    queue->log = (struct log){.level = level, .queue = queue};
    queue->end = &queue->first;
    uv_mutex_init(&queue->mutex);
    uv_cond_init(&queue->changed);
    if (uv_thread_create(&queue->writer, write_lines, queue) == 0)
        return &queue->log;
    free_queue(queue);
    return NULL;
}

void log_end(struct log *log)
{
    struct log_queue *queue = log->queue;
    uint64_t until_ns = uv_hrtime() + (uint64_t)END_WAIT_MS * 1000000, now_ns;
    bool has_ended;

    uv_mutex_lock(&queue->mutex);
    say_dropped(queue);
    queue->is_ending = true;
    uv_cond_broadcast(&queue->changed);
    while (!queue->has_ended && (now_ns = uv_hrtime()) < until_ns)
        uv_cond_timedwait(&queue->changed, &queue->mutex, until_ns - now_ns);
    has_ended = queue->has_ended;
    uv_mutex_unlock(&queue->mutex);
    if (!has_ended)
        return;
    uv_thread_join(&queue->writer);
    free_queue(queue);
}

/* -------- what others call -------- */

void log_write(const struct log *log, enum log_level level, const char *message, const char *format,
               ...)
{
    struct log_queue *queue = log->queue;
    struct line *line = NULL;
    bool is_within;
    va_list arguments;

    if (!log_has_level(log, level))
        return;
    uv_mutex_lock(&queue->mutex);
    is_within = level > LOG_WARNING || is_within_rate(queue, message);
    uv_mutex_unlock(&queue->mutex);
    if (is_within) {
        va_start(arguments, format);
        line = make_line_v(level, message, format, arguments);
        va_end(arguments);
    }
    uv_mutex_lock(&queue->mutex);
    if (line != NULL && queue->bytes + bytes_of(line) <= QUEUE_MAX_BYTES) {
        say_dropped(queue);
        append(queue, line);
        line = NULL;
    } else {
        note_dropped(queue);
    }
    uv_mutex_unlock(&queue->mutex);
    free_line(line);
}

uint64_t log_lines_dropped(const struct log *log)
{
    uint64_t dropped;

    uv_mutex_lock(&log->queue->mutex);
    dropped = log->queue->dropped;
    uv_mutex_unlock(&log->queue->mutex);
    return dropped;
}
