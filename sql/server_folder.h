/* The folder of an embedded database: what lies where, who owns it, and that nobody else uses it.
 *
 *   DATA/runtree.lock    locked (flock) while a runtree uses the folder
 *   DATA/postgres.log    what the server and initdb say
 *   DATA/postgres/       the cluster (PGDATA)
 *   DATA/run/            its socket
 *   DATA/postgres.path   only if the last two are elsewhere: where
 *   DATA/socket.path     only if the socket's path would be too long: the folder under /tmp
 * that has it
 *
 * Root's server runs as an unprivileged user. If that user cannot enter the data folder (say it is
 * under /root), cluster and socket are in /var/tmp/runtree-HASH, of the data folder's path,
 * instead. */
#ifndef RUNTREE_SQL_SERVER_FOLDER_H
#define RUNTREE_SQL_SERVER_FOLDER_H

#include "sql/server_process.h"

#include <stddef.h>

enum {
    SERVER_FOLDER_DATA_DIR_MAX = 1000,
    SERVER_FOLDER_PATH_SIZE = SERVER_FOLDER_DATA_DIR_MAX + 64,
};

struct server_folder {
    struct server_user user;
    int lock;
    int base_lock; /* of the folder elsewhere; else -1 */
    char data_dir[SERVER_FOLDER_DATA_DIR_MAX];
    char base[SERVER_FOLDER_DATA_DIR_MAX]; /* holds the cluster; the data folder, or elsewhere */
    char log_path[SERVER_FOLDER_PATH_SIZE];
    char cluster[SERVER_FOLDER_PATH_SIZE];
    char socket_dir[SERVER_FOLDER_PATH_SIZE];
};

/* Makes what is missing but the cluster, and locks. 0; -1 with a sentence in `why`. */
int server_folder_open(struct server_folder *folder, const char *data_dir, char *why,
                       size_t why_size);

/* Unlocks. A socket's folder under /tmp is removed if it is empty. */
void server_folder_close(struct server_folder *folder);

/* The major version whose files the cluster has; 0 if there is no cluster yet. */
int server_folder_major(const struct server_folder *folder);

/* Makes an empty folder, mode 0700, that belongs to the server's user. 0; -1 with errno. */
int server_folder_make_private(const struct server_folder *folder, const char *path);

#endif
