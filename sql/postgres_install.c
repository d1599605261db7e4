#include "sql/postgres_install.h"

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What `postgres --version` says, which root may ask as well; 0 if it says nothing of the kind. */
static int ask_major(const char *bin_dir)
{
    char program[PATH_MAX + 16];
    char line[128] = "";
    int ends[2];
    int major = 0;

    snprintf(program, sizeof program, "%s/postgres", bin_dir);
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return 0;
    }
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execl(program, program, "--version", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    if (pid > 0) {
        FILE *output = fdopen(ends[0], "r");
        if (output != NULL && fgets(line, sizeof line, output) != NULL) {
            const char *number = strstr(line, "(PostgreSQL) ");
            major = number != NULL ? (int)strtol(strchr(number, ' '), NULL, 10) : 0;
        }
        if (output != NULL) {
            fclose(output);
            ends[0] = -1;
        }
        waitpid(pid, NULL, 0);
    }
    if (ends[0] >= 0) {
        close(ends[0]);
    }
    return major;
}

static int has_program(const char *bin_dir, const char *name)
{
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/%s", bin_dir, name);
    return access(path, X_OK) == 0;
}

struct search {
    int wanted_major;
    struct postgres_install *found; /* major 0: nothing yet */
    int rejected_major;             /* of another version than wanted */
};

static void consider(struct search *search, const char *bin_dir)
{
    if (!has_program(bin_dir, "postgres") || !has_program(bin_dir, "initdb") ||
        strlen(bin_dir) >= PATH_MAX) {
        return;
    }
    int major = ask_major(bin_dir);
    if (search->wanted_major != 0 ? major != search->wanted_major : major < POSTGRES_MAJOR_MIN) {
        search->rejected_major = major;
        return;
    }
    if (major > search->found->major) {
        snprintf(search->found->bin_dir, sizeof search->found->bin_dir, "%s", bin_dir);
        search->found->major = major;
    }
}

static void consider_path(struct search *search)
{
    const char *rest = getenv("PATH");
    while (rest != NULL && search->found->major == 0) {
        char bin_dir[PATH_MAX];
        size_t length = strcspn(rest, ":");
        if (length > 0 && length < sizeof bin_dir && rest[0] == '/') {
            memcpy(bin_dir, rest, length);
            bin_dir[length] = '\0';
            consider(search, bin_dir);
        }
        rest = rest[length] == ':' ? rest + length + 1 : NULL;
    }
}

int postgres_install_find(int wanted_major, struct postgres_install *found, char *why,
                          size_t why_size)
{
    static const char *const places[] = {"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin",
                                         "/usr/local/pgsql/bin"};
    struct search search = {.wanted_major = wanted_major, .found = found};

    found->major = 0;
    consider_path(&search);
    for (size_t i = 0; i < sizeof places / sizeof places[0] && found->major == 0; i++) {
        glob_t paths;
        if (glob(places[i], 0, NULL, &paths) == 0) {
            for (size_t path = 0; path < paths.gl_pathc; path++) {
                consider(&search, paths.gl_pathv[path]);
            }
            globfree(&paths);
        }
    }
    if (found->major != 0) {
        return 0;
    }
    if (wanted_major != 0) {
        snprintf(
            why, why_size,
            "the database's files are of PostgreSQL %d, and its programs postgres and initdb are"
            " neither in PATH nor in /usr/lib/postgresql/%d/bin (Debian: apt-get install"
            " postgresql-%d)",
            wanted_major, wanted_major, wanted_major);
    } else if (search.rejected_major != 0) {
        snprintf(why, why_size, "PostgreSQL %d is installed, but version %d or newer is needed",
                 search.rejected_major, POSTGRES_MAJOR_MIN);
    } else {
        snprintf(
            why, why_size,
            "no PostgreSQL server is installed: its programs postgres and initdb are neither in"
            " PATH nor in /usr/lib/postgresql/*/bin, /usr/pgsql-*/bin or /usr/local/pgsql/bin"
            " (Debian: apt-get install postgresql; or name a database by --database-url)");
    }
    return -1;
}
