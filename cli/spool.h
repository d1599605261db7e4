/* Events that could not be sent, as files of a folder: one for each command, sent by a later one.
 */
#ifndef RUNTREE_CLI_SPOOL_H
#define RUNTREE_CLI_SPOOL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { SPOOL_FILES_MAX = 10000, SPOOL_FILE_BYTES_MAX = 4 * 1024 * 1024, SPOOL_PATH_SIZE = 4096 };

/* A file of the folder that this process has locked. */
struct spool_file {
    int fd;
    char path[SPOOL_PATH_SIZE];
    json_t *events; /* owned */
    bool is_batch;  /* of many actions (clients/python); else of one */
};

/* The folder, made where it is missing, for its owner alone: `asked`, or without it
 * $XDG_STATE_HOME/runtree/spool, ~/.local/state/runtree/spool, or at last /var/tmp/runtree-UID. 0,
 * or -1 with errno if none can be written. */
int spool_find(char folder[static SPOOL_PATH_SIZE], const char *asked);

/* Keeps the events for who reports to `url`. 0, or -1 with errno: not written, or too many wait. */
int spool_put(const char *folder, const char *url, const json_t *events);

/* Keeps what the service has refused, for people to look at; nobody sends it again. */
int spool_put_refused(const char *folder, const char *url, const json_t *refused);

/* The next file in order of time behind `after` (a path; "" for the first) that is for `url` and
 * nobody else is at. False if there is none. */
bool spool_next(const char *folder, const char *url, const char *after, struct spool_file *file);

/* Closes the file: `rest` (not owned) is what of it still is to be sent; NULL: nothing, it goes. */
void spool_close(struct spool_file *file, const char *url, const json_t *rest);

/* How many files wait, for any URL. */
size_t spool_count(const char *folder);

#endif
