#include "sql/server_process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the child: 0, or -1 with errno. */
static int become(const struct server_user *user)
{
    if (geteuid() != 0) {
        return 0;
    }
    if (setgroups(0, NULL) < 0 || setgid(user->gid) < 0 || setuid(user->uid) < 0) {
        return -1;
    }
    return 0;
}

static void run_child(const struct server_user *user, char *const argv[], int output,
                      enum server_lifetime lifetime)
{
    static char *const environment[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", NULL};
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setsid();
    int nothing = open("/dev/null", O_RDONLY);
    if (dup2(nothing, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        dup2(output, STDERR_FILENO) < 0 || become(user) < 0 || chdir("/") < 0) {
        _exit(126);
    }
    close_range(STDERR_FILENO + 1, ~0U, 0);
    if (lifetime == SERVER_DIES_WITH_US) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* setuid would undo it */
    }
    execve(argv[0], argv, environment);
    dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

pid_t server_process_start(const struct server_user *user, char *const argv[], int output,
                           enum server_lifetime lifetime)
{
    pid_t pid = fork();
    if (pid == 0) {
        run_child(user, argv, output, lifetime);
    }
    return pid;
}

bool server_user_can_enter(const struct server_user *user, const char *folder)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(become(user) == 0 && access(folder, X_OK) == 0 ? 0 : 1);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

/* A process' name in the kernel's view: the program's, cut at 15 bytes. */
static bool is_postgres(pid_t pid)
{
    char path[64];
    char name[32] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    bool is_read = fgets(name, sizeof name, file) != NULL;
    fclose(file);
    return is_read && strcmp(name, "postgres\n") == 0;
}

bool server_process_is_in(pid_t pid, const char *folder)
{
    char link[64];
    char cwd[PATH_MAX];
    snprintf(link, sizeof link, "/proc/%d/cwd", (int)pid);
    ssize_t length = readlink(link, cwd, sizeof cwd); /* fails for a zombie */
    return length > 0 && (size_t)length == strlen(folder) &&
           memcmp(cwd, folder, (size_t)length) == 0 && is_postgres(pid);
}

bool server_process_any_in(const char *folder)
{
    DIR *processes = opendir("/proc");
    bool is_found = false;
    if (processes == NULL) {
        return false;
    }
    for (const struct dirent *entry; !is_found && (entry = readdir(processes)) != NULL;) {
        long pid = strtol(entry->d_name, NULL, 10);
        is_found = pid > 0 && server_process_is_in((pid_t)pid, folder);
    }
    closedir(processes);
    return is_found;
}
