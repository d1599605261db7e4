/* Processes of the embedded database: running PostgreSQL's programs as the user who may, and
 * finding them again. */
#ifndef RUNTREE_SQL_SERVER_PROCESS_H
#define RUNTREE_SQL_SERVER_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

/* Who runs the server and owns its files; PostgreSQL refuses to run as root. */
struct server_user {
    uid_t uid;
    gid_t gid;
};

enum server_lifetime {
    SERVER_DIES_WITH_US,
    SERVER_OUTLIVES_US,
};

/* Starts argv[0] as `user` in a session of its own (a Ctrl-C in our terminal is not for it), with
 * nothing of ours open but `output` as its stdout and stderr, and a clean environment. Its process
 * id, or -1 with errno. */
pid_t server_process_start(const struct server_user *user, char *const argv[], int output,
                           enum server_lifetime lifetime);

/* Whether `user` can enter the folder. */
bool server_user_can_enter(const struct server_user *user, const char *folder);

/* Whether this is a living postgres process in this folder (PGDATA is every server process' working
 * directory). */
bool server_process_is_in(pid_t pid, const char *folder);

/* Whether any such process lives: also the orphans of a postmaster that was killed, for a moment.
 */
bool server_process_any_in(const char *folder);

#endif
