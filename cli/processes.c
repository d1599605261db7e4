#include "cli/processes.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ANCESTORS_MAX = 10000 };

/* Its parent; 0 if it has none or is gone or dead. */
static pid_t parent_of(pid_t pid)
{
    char path[40], line[512], *end;
    int parent = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    if (fgets(line, sizeof line, file) != NULL && (end = strrchr(line, ')')) != NULL &&
        strncmp(end, ") Z", 3) != 0 && sscanf(end + 1, " %*c %d", &parent) != 1)
        parent = 0;
    fclose(file);
    return parent;
}

bool process_is_below(pid_t pid, pid_t ancestor)
{
    for (int i = 0; i < ANCESTORS_MAX && pid > 1; i++) {
        if (pid == ancestor)
            return true;
        pid = parent_of(pid);
    }
    return false;
}

/* Does it run the program that this process runs? */
static bool is_alike(pid_t pid)
{
    struct stat ours, theirs;
    char path[40];

    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    return stat("/proc/self/exe", &ours) == 0 && stat(path, &theirs) == 0 &&
           ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

void processes_abort(int signal_number, bool spares_alike)
{
    const union sigval mark = {.sival_int = ABORT_MARK};
    DIR *folder = opendir("/proc");
    struct dirent *entry;

    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

        if (pid <= 1 || pid == getpid() || !process_is_below(pid, getpid()) ||
            (spares_alike && is_alike(pid)))
            continue;
        sigqueue(pid, signal_number, mark);
        kill(pid, SIGCONT); /* one that is stopped would not notice */
    }
    if (folder != NULL)
        closedir(folder);
}
