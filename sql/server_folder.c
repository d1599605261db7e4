#include "sql/server_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const char elsewhere_note[] = "postgres.path";
static const char socket_note[] = "socket.path";

static bool is_root(void)
{
    return geteuid() == 0;
}

static void complain(char *why, size_t why_size, const char *what, const char *path)
{
    snprintf(why, why_size, "%s %s: %s", what, path, strerror(errno));
}

/* The file's first line into `line`; false if there is none or it does not fit. */
static bool read_line(const char *dir, const char *name, char *line, size_t size)
{
    char path[SERVER_FOLDER_PATH_SIZE + 32];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    bool is_whole = fgets(line, (int)size, file) != NULL && strchr(line, '\n') != NULL;
    fclose(file);
    line[is_whole ? strcspn(line, "\n") : 0] = '\0';
    return is_whole && line[0] != '\0';
}

/* 0; -1 with errno. On disk when it returns: losing the note would lose the cluster. */
static int write_line(const char *dir, const char *name, const char *line)
{
    char path[SERVER_FOLDER_PATH_SIZE + 32];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        return -1;
    }
    bool is_written =
        fprintf(file, "%s\n", line) > 0 && fflush(file) == 0 && fsync(fileno(file)) == 0;
    return fclose(file) == 0 && is_written ? 0 : -1;
}

/* mkdir -p. What root makes has to be open to the server's user, whatever root's umask. */
static int make_folders(const char *path)
{
    char part[SERVER_FOLDER_DATA_DIR_MAX];
    size_t length = strlen(path);

    for (size_t end = 1; end <= length; end++) {
        if (path[end] != '/' && path[end] != '\0') {
            continue;
        }
        memcpy(part, path, end);
        part[end] = '\0';
        if (mkdir(part, 0755) == 0) {
            if (is_root() && chmod(part, 0755) < 0) {
                return -1;
            }
        } else if (errno != EEXIST) {
            return -1;
        }
    }
    return 0;
}

/* The locked file, or -1. It is closed on exec, or else a server that outlives us would hold the
 * lock. */
static int lock_folder(const char *dir, char *why, size_t why_size)
{
    char path[SERVER_FOLDER_PATH_SIZE];
    snprintf(path, sizeof path, "%s/runtree.lock", dir);
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0) {
        complain(why, why_size, "cannot write in the data folder:", path);
        return -1;
    }
    if (flock(lock, LOCK_EX | LOCK_NB) < 0) {
        snprintf(why, why_size, "another runtree is using the data folder %s", dir);
        close(lock);
        return -1;
    }
    return lock;
}

static int find_user(struct server_folder *folder, char *why, size_t why_size)
{
    folder->user.uid = geteuid();
    folder->user.gid = getegid();
    if (!is_root()) {
        return 0;
    }
    const struct passwd *entry = getpwnam("postgres");
    if (entry == NULL) {
        entry = getpwnam("nobody");
    }
    if (entry == NULL || entry->pw_uid == 0) {
        snprintf(
            why, why_size,
            "PostgreSQL does not run as root, and there is no user postgres or nobody: run runtree"
            " as another user, or name a database by --database-url");
        return -1;
    }
    folder->user.uid = entry->pw_uid;
    folder->user.gid = entry->pw_gid;
    return 0;
}

/* A cluster that is there already belongs to its user. */
static int adapt_user(struct server_folder *folder, char *why, size_t why_size)
{
    struct stat cluster;
    if (stat(folder->cluster, &cluster) < 0) {
        if (errno == ENOENT) {
            return 0;
        }
        complain(why, why_size, "cannot look at", folder->cluster);
        return -1;
    }
    if (is_root() && cluster.st_uid != 0) {
        folder->user.uid = cluster.st_uid;
        folder->user.gid = cluster.st_gid;
    } else if (cluster.st_uid != folder->user.uid) {
        snprintf(
            why, why_size,
            "%s belongs to the user with the id %ju: run runtree as this user or as root, or with"
            " another --data-dir",
            folder->cluster, (uintmax_t)cluster.st_uid);
        return -1;
    }
    return 0;
}

/* FNV-1a: names a folder, protects nothing. */
static uint64_t hash_of(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *text != '\0'; text++) {
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    }
    return hash;
}

/* Anybody may make files in /var/tmp: only what root made there and nobody else can change is
 * trusted. */
static int make_elsewhere(struct server_folder *folder, char *why, size_t why_size)
{
    struct stat status;
    if (mkdir(folder->base, 0711) == 0) {
        if (chmod(folder->base, 0711) < 0) {
            complain(why, why_size, "cannot open to the server's user", folder->base);
            return -1;
        }
    } else if (errno != EEXIST || lstat(folder->base, &status) < 0) {
        complain(why, why_size, "cannot make", folder->base);
        return -1;
    } else if (!S_ISDIR(status.st_mode) || status.st_uid != 0 || (status.st_mode & 022) != 0) {
        snprintf(why, why_size, "%s is not root's own folder: remove it", folder->base);
        return -1;
    }
    return 0;
}

/* Fills base. */
static int choose_base(struct server_folder *folder, char *why, size_t why_size)
{
    char cluster[SERVER_FOLDER_PATH_SIZE];

    folder->base_lock = -1;
    if (!read_line(folder->data_dir, elsewhere_note, folder->base, sizeof folder->base)) {
        snprintf(folder->base, sizeof folder->base, "%s", folder->data_dir);
        if (server_user_can_enter(&folder->user, folder->data_dir)) {
            return 0;
        }
        snprintf(cluster, sizeof cluster, "%s/postgres", folder->data_dir);
        if (!is_root() || access(cluster, F_OK) == 0) {
            snprintf(
                why, why_size,
                "the user with the id %ju, who runs PostgreSQL, cannot enter %s: open it and the"
                " folders above it (chmod o+x), or choose another --data-dir",
                (uintmax_t)folder->user.uid, folder->data_dir);
            return -1;
        }
        snprintf(folder->base, sizeof folder->base, "/var/tmp/runtree-%016" PRIx64,
                 hash_of(folder->data_dir));
    }
    if (make_elsewhere(folder, why, why_size) < 0) {
        return -1;
    }
    if (write_line(folder->data_dir, elsewhere_note, folder->base) < 0) {
        complain(why, why_size, "cannot write in", folder->data_dir);
        return -1;
    }
    folder->base_lock = lock_folder(folder->base, why, why_size);
    return folder->base_lock < 0 ? -1 : 0;
}

int server_folder_make_private(const struct server_folder *folder, const char *path)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST) {
        return -1;
    }
    if (is_root() && lchown(path, folder->user.uid, folder->user.gid) < 0) {
        return -1;
    }
    return 0;
}

static bool is_private(const struct server_folder *folder, const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 && S_ISDIR(status.st_mode) &&
           status.st_uid == folder->user.uid && (status.st_mode & 077) == 0;
}

/* Fills socket_dir. */
static int choose_socket_dir(struct server_folder *folder, char *why, size_t why_size)
{
    char *path = folder->socket_dir;
    size_t size = sizeof folder->socket_dir;

    snprintf(path, size, "%s/run", folder->base);
    /* libpq splits a host at each comma, also a path. */
    if (strlen(path) + strlen("/.s.PGSQL.5432") < sizeof((struct sockaddr_un *)NULL)->sun_path &&
        strchr(path, ',') == NULL) {
        if (server_folder_make_private(folder, path) == 0) {
            return 0;
        }
        complain(why, why_size, "cannot make", path);
        return -1;
    }
    if (read_line(folder->data_dir, socket_note, path, size) && is_private(folder, path)) {
        return 0;
    }
    snprintf(path, size, "/tmp/runtree-XXXXXX");
    if (mkdtemp(path) == NULL || server_folder_make_private(folder, path) < 0 ||
        write_line(folder->data_dir, socket_note, path) < 0) {
        complain(why, why_size, "cannot make", path);
        return -1;
    }
    return 0;
}

int server_folder_open(struct server_folder *folder, const char *data_dir, char *why,
                       size_t why_size)
{
    folder->lock = -1;
    folder->base_lock = -1;
    if (strlen(data_dir) >= SERVER_FOLDER_DATA_DIR_MAX) {
        snprintf(why, why_size, "the data folder's path is longer than %d bytes",
                 SERVER_FOLDER_DATA_DIR_MAX - 1);
        return -1;
    }
    if (make_folders(data_dir) < 0) {
        complain(why, why_size, "cannot make the data folder", data_dir);
        return -1;
    }
    char *real = realpath(data_dir, NULL);
    if (real == NULL) {
        complain(why, why_size, "cannot use the data folder", data_dir);
        return -1;
    }
    if (strlen(real) >= SERVER_FOLDER_DATA_DIR_MAX) {
        snprintf(why, why_size, "the data folder's real path is longer than %d bytes",
                 SERVER_FOLDER_DATA_DIR_MAX - 1);
        free(real);
        return -1;
    }
    snprintf(folder->data_dir, sizeof folder->data_dir, "%s", real);
    free(real);
    snprintf(folder->log_path, sizeof folder->log_path, "%s/postgres.log", folder->data_dir);
    folder->lock = lock_folder(folder->data_dir, why, why_size);
    if (folder->lock < 0) {
        return -1;
    }
    if (find_user(folder, why, why_size) < 0 || choose_base(folder, why, why_size) < 0) {
        goto failed;
    }
    snprintf(folder->cluster, sizeof folder->cluster, "%s/postgres", folder->base);
    if (adapt_user(folder, why, why_size) < 0 || choose_socket_dir(folder, why, why_size) < 0) {
        goto failed;
    }
    return 0;

failed:
    server_folder_close(folder);
    return -1;
}

void server_folder_close(struct server_folder *folder)
{
    char note[SERVER_FOLDER_PATH_SIZE];
    snprintf(note, sizeof note, "%s/%s", folder->data_dir, socket_note);
    if (strncmp(folder->socket_dir, folder->base, strlen(folder->base)) != 0 &&
        rmdir(folder->socket_dir) == 0) {
        unlink(note);
    }
    if (folder->base_lock >= 0) {
        close(folder->base_lock);
    }
    if (folder->lock >= 0) {
        close(folder->lock);
    }
}

int server_folder_major(const struct server_folder *folder)
{
    char line[32];
    if (!read_line(folder->cluster, "PG_VERSION", line, sizeof line)) {
        return 0;
    }
    return (int)strtol(line, NULL, 10);
}
