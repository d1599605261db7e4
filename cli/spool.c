#include "cli/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Makes the folder and those above it. Unless it was asked for, it must be ours and closed to
 * others' writing. */
static int make_folder(const char *path, bool is_asked)
{
    char part[SPOOL_PATH_SIZE];
    struct stat status;

    snprintf(part, sizeof part, "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(part, 0700);
        *slash = '/';
    }
    mkdir(part, 0700);
    if (is_asked)
        return access(part, W_OK | X_OK);
    if (lstat(part, &status) < 0)
        return -1;
    if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 022) != 0) {
        errno = EPERM;
        return -1;
    }
    return access(part, W_OK | X_OK);
}

int spool_find(char folder[static SPOOL_PATH_SIZE], const char *asked)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

    if (asked != NULL) {
        snprintf(folder, SPOOL_PATH_SIZE, "%s", asked);
        return make_folder(folder, true);
    }
    if (state != NULL && state[0] == '/') {
        snprintf(folder, SPOOL_PATH_SIZE, "%s/runtree/spool", state);
        if (make_folder(folder, false) == 0)
            return 0;
    }
    if (home != NULL && home[0] == '/') {
        snprintf(folder, SPOOL_PATH_SIZE, "%s/.local/state/runtree/spool", home);
        if (make_folder(folder, false) == 0)
            return 0;
    }
    snprintf(folder, SPOOL_PATH_SIZE, "/var/tmp/runtree-%u", (unsigned)geteuid());
    return make_folder(folder, false);
}

static bool is_waiting_file(const char *name)
{
    size_t length = strlen(name);

    return strncmp(name, "wait-", 5) == 0 && length > 5 && strcmp(name + length - 5, ".json") == 0;
}

static int keep_waiting(const struct dirent *entry)
{
    return is_waiting_file(entry->d_name);
}

static void free_entries(struct dirent **entries, int count)
{
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
}

size_t spool_count(const char *folder)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, keep_waiting, NULL);

    free_entries(entries, count < 0 ? 0 : count);
    return count < 0 ? 0 : (size_t)count;
}

/* All of it is on the disk before it has its name. */
static int write_file(const char *path, const char *url, const char *member, const json_t *events,
                      bool is_batch)
{
    char temporary[SPOOL_PATH_SIZE + 8];
    json_t *document =
        json_pack("{s:s, s:b, s:O}", "url", url, "batch", is_batch, member, (json_t *)events);
    int fd, status = -1;

    snprintf(temporary, sizeof temporary, "%s.new", path);
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && document != NULL && json_dumpfd(document, fd, JSON_COMPACT) == 0 &&
        fsync(fd) == 0)
        status = rename(temporary, path);
    if (fd >= 0) {
        close(fd);
        if (status < 0)
            unlink(temporary);
    }
    json_decref(document);
    return status;
}

/* Names sort by time. */
static int put(const char *folder, const char *kind, const char *url, const char *member,
               const json_t *events)
{
    char path[SPOOL_PATH_SIZE + 64];
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (snprintf(path, sizeof path, "%s/%s-%010lld%09ld-%d.json", folder, kind,
                 (long long)now.tv_sec, now.tv_nsec, (int)getpid()) >= SPOOL_PATH_SIZE) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return write_file(path, url, member, events, false);
}

int spool_put(const char *folder, const char *url, const json_t *events)
{
    if (spool_count(folder) >= SPOOL_FILES_MAX) {
        errno = EDQUOT;
        return -1;
    }
    return put(folder, "wait", url, "events", events);
}

int spool_put_refused(const char *folder, const char *url, const json_t *refused)
{
    return put(folder, "refused", url, "refused", refused);
}

/* The events if the file is ours to send now. Who waited for the lock may hold a file that is gone.
 */
static json_t *read_locked(int fd, const char *url, bool *is_batch)
{
    json_t *document, *events = NULL;
    struct stat status;
    const char *for_url;

    if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &status) < 0 || status.st_nlink == 0 ||
        status.st_size > SPOOL_FILE_BYTES_MAX)
        return NULL;
    document = json_loadfd(fd, 0, NULL);
    for_url = json_string_value(json_object_get(document, "url"));
    if (for_url != NULL && strcmp(for_url, url) == 0 &&
        json_array_size(json_object_get(document, "events")) > 0)
        events = json_incref(json_object_get(document, "events"));
    *is_batch = json_is_true(json_object_get(document, "batch"));
    json_decref(document);
    return events;
}

bool spool_next(const char *folder, const char *url, const char *after, struct spool_file *file)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, keep_waiting, alphasort);
    const char *slash = strrchr(after, '/');

    *file = (struct spool_file){.fd = -1};
    for (int i = 0; i < count && file->events == NULL; i++) {
        if (slash != NULL && strcmp(entries[i]->d_name, slash + 1) <= 0)
            continue;
        if (snprintf(file->path, sizeof file->path, "%s/%s", folder, entries[i]->d_name) >=
            (int)sizeof file->path)
            continue;
        file->fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (file->fd < 0)
            continue;
        file->events = read_locked(file->fd, url, &file->is_batch);
        if (file->events == NULL) {
            close(file->fd);
            file->fd = -1;
        }
    }
    free_entries(entries, count < 0 ? 0 : count);
    return file->events != NULL;
}

void spool_close(struct spool_file *file, const char *url, const json_t *rest)
{
    if (rest == NULL)
        unlink(file->path);
    else if (!json_equal(rest, file->events))
        write_file(file->path, url, "events", rest, file->is_batch);
    close(file->fd);
    json_decref(file->events);
    *file = (struct spool_file){.fd = -1};
}
