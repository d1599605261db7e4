/* One JSON line a fact, on standard error. */
#ifndef RUNTREE_SERVER_LOG_H
#define RUNTREE_SERVER_LOG_H

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* A plain value; what is beyond `level` is not written. May be used by several threads at once. */
struct log {
    enum log_level level;
};

/* By name ("info"); LOG_INFO for any other. */
enum log_level log_level_parse(const char *name);

/* {"time", "level", "message", and the members that `format` packs as json_pack says inside an
 * object: log_write(log, LOG_INFO, "listening", "s:s, s:i", "address", address, "port", port).
 * `format` may be "". */
void log_write(const struct log *log, enum log_level level, const char *message, const char *format,
               ...);

#endif
