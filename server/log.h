/* One JSON line a fact, on standard error.
 *
 * Who logs never waits for who reads: lines go into a queue of bounded size, and a thread of the
 * log's own writes them. What does not fit is dropped and counted, and the next line that gets
 * through comes after one that says how many are missing. */
#ifndef RUNTREE_SERVER_LOG_H
#define RUNTREE_SERVER_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* May be used by several threads at once; each one's lines keep their order. */
struct log;

/* By name ("info"); LOG_INFO for any other. */
enum log_level log_level_parse(const char *name);

/* Starts the thread that writes, with the signals blocked that the caller has blocked. NULL when
 * out of memory or threads. */
struct log *log_start(enum log_level level);

/* The end of the log: waits until all lines are written, but no longer than a second. Whatever
 * nobody has read by then ends with the process, and so does the thread that tries to write it. */
void log_end(struct log *log);

/* Whether lines of this level are written at all. */
bool log_has_level(const struct log *log, enum log_level level);

/* {"time", "level", "message", and the members that `format` packs as json_pack says inside an
 * object: log_write(log, LOG_INFO, "listening", "s:s, s:i", "address", address, "port", port).
 * `format` may be "", `message` is a literal. Of warnings and errors with one message, 100 a second
 * are written: what clients can bring about must not cost a disk. */
void log_write(const struct log *log, enum log_level level, const char *message, const char *format,
               ...);

/* Lines that were not written since the start: the queue was full, or there were too many alike. */
uint64_t log_lines_dropped(const struct log *log);

#endif
