#include "sql/embedded_postgres.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <locale.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "model/text.h"
#include "sql/pg_connection.h"

enum {
    MAJOR_MIN = 12, /* older ones are no longer supported by PostgreSQL itself */
    PORT = 5432,    /* only part of the socket's name */
    STEP_MS = 20,
    VERSION_TIMEOUT_MS = 10000,
    INITDB_TIMEOUT_MS = 120000,
    START_TIMEOUT_MS = 60000,     /* until it answers at all */
    RECOVERY_TIMEOUT_MS = 600000, /* as long as it answers that it is starting up */
    LEFTOVERS_TIMEOUT_MS = 60000,
    STOP_TIMEOUT_MS = 5000,
    STARTS_MAX = 3,
    LOG_SIZE_MAX_BYTES = 16 << 20,
    LOG_TAIL_BYTES = 400,
    WHY_SIZE = 700,
    DATA_DIR_SIZE = 1000,
    PATH_SIZE = DATA_DIR_SIZE + 64,
    URL_SIZE = 2 * PATH_SIZE + 80,
};

static const char elsewhere_note[] = "postgres.path";
static const char socket_note[] = "socket.path";

struct embedded_postgres {
    uid_t uid; /* who runs the server and owns its files: never root */
    gid_t gid;
    int lock;
    int base_lock; /* of the folder elsewhere; else -1 */
    int connections_max;
    char data_dir[DATA_DIR_SIZE];
    char base[DATA_DIR_SIZE]; /* holds the cluster; the data folder, or elsewhere */
    char log_path[PATH_SIZE];
    char cluster[PATH_SIZE];
    char own_socket_dir[PATH_SIZE];

    char bin_dir[PATH_MAX]; /* holds postgres and initdb */
    pid_t pid;              /* of the postmaster; 0: none */
    bool is_child;          /* else adopted, with a port and a socket of its own */
    int port;
    char socket_dir[PATH_SIZE];
    char url[URL_SIZE];
    char why[WHY_SIZE];
};

__attribute__((format(printf, 2, 3))) static int fail(struct embedded_postgres *postgres,
                                                      const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(postgres->why, sizeof postgres->why, format, arguments);
    va_end(arguments);
    return -1;
}

static int fail_at(struct embedded_postgres *postgres, const char *what, const char *path)
{
    return fail(postgres, "%s %s: %s", what, path, strerror(errno));
}

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

static bool is_root(void)
{
    return geteuid() == 0;
}

/* Whether the caller's signals, which are blocked, want an end: a start in peace is followed by a
 * stop in order. */
static bool is_told_to_stop(struct embedded_postgres *postgres)
{
    sigset_t pending;

    if (sigpending(&pending) < 0 ||
        (sigismember(&pending, SIGTERM) != 1 && sigismember(&pending, SIGINT) != 1))
        return false;
    fail(postgres, "told to stop while PostgreSQL was starting");
    return true;
}

/* -------- processes -------- */

/* In the child: 0, or -1 with errno. */
static int become_user(const struct embedded_postgres *postgres)
{
    if (!is_root())
        return 0;
    return setgroups(0, NULL) < 0 || setgid(postgres->gid) < 0 || setuid(postgres->uid) < 0 ? -1
                                                                                            : 0;
}

static void run_child(const struct embedded_postgres *postgres, char *const argv[], int output,
                      bool dies_with_us)
{
    static char *const environment[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", NULL};
    int nothing = open("/dev/null", O_RDONLY);
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setsid();
    if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        dup2(output, STDERR_FILENO) < 0 || become_user(postgres) < 0 || chdir("/") < 0)
        _exit(126);
    close_range(STDERR_FILENO + 1, ~0U, 0);
    if (dies_with_us)
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* setuid would undo it */
    execve(argv[0], argv, environment);
    dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

/* Starts argv[0] as the server's user in a session of its own (a Ctrl-C in our terminal is not for
 * it), with nothing of ours open but `output` as its stdout and stderr, and a clean environment.
 * Its process id, or -1 with errno. */
static pid_t start_program(const struct embedded_postgres *postgres, char *const argv[], int output,
                           bool dies_with_us)
{
    pid_t pid = fork();

    if (pid == 0)
        run_child(postgres, argv, output, dies_with_us);
    return pid;
}

/* Waits for its end. 0; 1 when it failed, -1 when it did not run or was ended, with the reason. */
static int run_program(struct embedded_postgres *postgres, char *const argv[], int output,
                       uint64_t timeout_ms)
{
    uint64_t end_ms = now_ms() + timeout_ms;
    pid_t pid = start_program(postgres, argv, output, true);
    int status = 0;

    if (pid < 0)
        return fail_at(postgres, "cannot run", argv[0]);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        bool is_stopping = is_told_to_stop(postgres);

        if (is_stopping || now_ms() >= end_ms) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
            return is_stopping ? -1
                               : fail(postgres, "%s did not end within %ju s", argv[0],
                                      (uintmax_t)timeout_ms / 1000);
        }
        uv_sleep(STEP_MS);
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
}

static bool user_can_enter(const struct embedded_postgres *postgres, const char *folder)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0)
        _exit(become_user(postgres) == 0 && access(folder, X_OK) == 0 ? 0 : 1);
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

/* The file's first line, not empty; false if there is none or it does not fit. */
static bool read_line(const char *dir, const char *name, char *line, size_t size)
{
    char path[PATH_SIZE + 32];
    FILE *file;
    bool is_whole;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    file = fopen(path, "re");
    if (file == NULL)
        return false;
    is_whole = fgets(line, (int)size, file) != NULL && strchr(line, '\n') != NULL;
    fclose(file);
    line[is_whole ? strcspn(line, "\n") : 0] = '\0';
    return line[0] != '\0';
}

/* Whether this is a living postgres process in this folder (PGDATA is every server process' working
 * directory). */
static bool is_process_in(pid_t pid, const char *folder)
{
    char process[64], link[80], cwd[PATH_MAX], name[32];
    ssize_t length;

    snprintf(process, sizeof process, "/proc/%d", (int)pid);
    snprintf(link, sizeof link, "%s/cwd", process);
    length = readlink(link, cwd, sizeof cwd); /* fails for a zombie */
    return length > 0 && (size_t)length == strlen(folder) &&
           memcmp(cwd, folder, (size_t)length) == 0 &&
           read_line(process, "comm", name, sizeof name) && strcmp(name, "postgres") == 0;
}

/* Whether any such process lives: also the orphans of a postmaster that was killed, for a moment.
 */
static bool any_process_in(const char *folder)
{
    DIR *processes = opendir("/proc");
    bool is_found = false;

    if (processes == NULL)
        return false;
    for (const struct dirent *entry; !is_found && (entry = readdir(processes)) != NULL;) {
        long pid = strtol(entry->d_name, NULL, 10);

        is_found = pid > 0 && is_process_in((pid_t)pid, folder);
    }
    closedir(processes);
    return is_found;
}

/* -------- the folder -------- */

/* 0; -1 with errno. On disk when it returns: losing the note would lose the cluster. */
static int write_line(const char *dir, const char *name, const char *line)
{
    char path[PATH_SIZE + 32];
    FILE *file;
    bool is_written;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    file = fopen(path, "we");
    if (file == NULL)
        return -1;
    is_written = fprintf(file, "%s\n", line) > 0 && fflush(file) == 0 && fsync(fileno(file)) == 0;
    return fclose(file) == 0 && is_written ? 0 : -1;
}

/* mkdir -p. What root makes has to be open to the server's user, whatever root's umask. */
static int make_folders(const char *path)
{
    char part[DATA_DIR_SIZE];
    size_t length = strlen(path);

    for (size_t end = 1; end <= length; end++) {
        if (path[end] != '/' && path[end] != '\0')
            continue;
        memcpy(part, path, end);
        part[end] = '\0';
        if (mkdir(part, 0755) < 0 ? errno != EEXIST : is_root() && chmod(part, 0755) < 0)
            return -1;
    }
    return 0;
}

/* The locked file, or -1. It is closed on exec, or else a server that outlives us would hold the
 * lock. */
static int lock_folder(struct embedded_postgres *postgres, const char *dir)
{
    char path[PATH_SIZE];
    int lock;

    snprintf(path, sizeof path, "%s/runtree.lock", dir);
    lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0)
        return fail_at(postgres, "cannot write in the data folder:", path);
    if (flock(lock, LOCK_EX | LOCK_NB) < 0) {
        close(lock);
        return fail(postgres, "another runtree is using the data folder %s", dir);
    }
    return lock;
}

static int find_user(struct embedded_postgres *postgres)
{
    const struct passwd *entry;

    postgres->uid = geteuid();
    postgres->gid = getegid();
    if (!is_root())
        return 0;
    entry = getpwnam("postgres");
    if (entry == NULL)
        entry = getpwnam("nobody");
    if (entry == NULL || entry->pw_uid == 0)
        return fail(postgres,
                    "PostgreSQL does not run as root, and there is no user postgres or nobody: run"
                    " runtree as another user, or name a database by --database-url");
    postgres->uid = entry->pw_uid;
    postgres->gid = entry->pw_gid;
    return 0;
}

/* A cluster that is there already belongs to its user. */
static int adapt_user(struct embedded_postgres *postgres)
{
    struct stat cluster;

    if (stat(postgres->cluster, &cluster) < 0)
        return errno == ENOENT ? 0 : fail_at(postgres, "cannot look at", postgres->cluster);
    if (is_root() && cluster.st_uid != 0) {
        postgres->uid = cluster.st_uid;
        postgres->gid = cluster.st_gid;
    } else if (cluster.st_uid != postgres->uid) {
        return fail(postgres,
                    "%s belongs to the user with the id %ju: run runtree as this user or as root,"
                    " or with another --data-dir",
                    postgres->cluster, (uintmax_t)cluster.st_uid);
    }
    return 0;
}

/* Anybody may make files in /var/tmp: only what root made there and nobody else can change is
 * trusted. */
static int make_elsewhere(struct embedded_postgres *postgres)
{
    const char *base = postgres->base;
    struct stat status;

    if (mkdir(base, 0711) == 0)
        return chmod(base, 0711) == 0 ? 0
                                      : fail_at(postgres, "cannot open to the server's user", base);
    if (errno != EEXIST || lstat(base, &status) < 0)
        return fail_at(postgres, "cannot make", base);
    if (!S_ISDIR(status.st_mode) || status.st_uid != 0 || (status.st_mode & 022) != 0)
        return fail(postgres, "%s is not root's own folder: remove it", base);
    return 0;
}

/* Fills base. */
static int choose_base(struct embedded_postgres *postgres)
{
    const char *data_dir = postgres->data_dir;
    char cluster[PATH_SIZE];

    if (!read_line(data_dir, elsewhere_note, postgres->base, sizeof postgres->base)) {
        snprintf(postgres->base, sizeof postgres->base, "%s", data_dir);
        if (user_can_enter(postgres, data_dir))
            return 0;
        snprintf(cluster, sizeof cluster, "%s/postgres", data_dir);
        if (!is_root() || access(cluster, F_OK) == 0)
            return fail(postgres,
                        "the user with the id %ju, who runs PostgreSQL, cannot enter %s: open it"
                        " and the folders above it (chmod o+x), or choose another --data-dir",
                        (uintmax_t)postgres->uid, data_dir);
        snprintf(postgres->base, sizeof postgres->base, "/var/tmp/runtree-%016" PRIx64,
                 hash_bytes(HASH_START, data_dir, strlen(data_dir)));
    }
    if (make_elsewhere(postgres) < 0)
        return -1;
    if (write_line(data_dir, elsewhere_note, postgres->base) < 0)
        return fail_at(postgres, "cannot write in", data_dir);
    postgres->base_lock = lock_folder(postgres, postgres->base);
    return postgres->base_lock < 0 ? -1 : 0;
}

/* An empty folder, mode 0700, that belongs to the server's user. 0; -1 with errno. */
static int make_private(const struct embedded_postgres *postgres, const char *path)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return -1;
    return is_root() ? lchown(path, postgres->uid, postgres->gid) : 0;
}

static bool is_private(const struct embedded_postgres *postgres, const char *path)
{
    struct stat status;

    return lstat(path, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == postgres->uid &&
           (status.st_mode & 077) == 0;
}

/* Fills own_socket_dir. */
static int choose_socket_dir(struct embedded_postgres *postgres)
{
    char *path = postgres->own_socket_dir;
    size_t size = sizeof postgres->own_socket_dir;

    snprintf(path, size, "%s/run", postgres->base);
    /* libpq splits a host at each comma, also a path. */
    if (strlen(path) + strlen("/.s.PGSQL.5432") < sizeof((struct sockaddr_un *)NULL)->sun_path &&
        strchr(path, ',') == NULL)
        return make_private(postgres, path) == 0 ? 0 : fail_at(postgres, "cannot make", path);
    if (read_line(postgres->data_dir, socket_note, path, size) && is_private(postgres, path))
        return 0;
    snprintf(path, size, "/tmp/runtree-XXXXXX");
    if (mkdtemp(path) == NULL || make_private(postgres, path) < 0 ||
        write_line(postgres->data_dir, socket_note, path) < 0)
        return fail_at(postgres, "cannot make", path);
    return 0;
}

/* Makes what is missing but the cluster, and locks. */
static int open_folder(struct embedded_postgres *postgres, const char *data_dir)
{
    char *real = NULL;

    if (strlen(data_dir) < DATA_DIR_SIZE) {
        if (make_folders(data_dir) < 0)
            return fail_at(postgres, "cannot make the data folder", data_dir);
        real = realpath(data_dir, NULL);
        if (real == NULL)
            return fail_at(postgres, "cannot use the data folder", data_dir);
    }
    if (real == NULL || strlen(real) >= DATA_DIR_SIZE) {
        free(real);
        return fail(postgres, "the data folder's path is longer than %d bytes", DATA_DIR_SIZE - 1);
    }
    snprintf(postgres->data_dir, sizeof postgres->data_dir, "%s", real);
    free(real);
    snprintf(postgres->log_path, sizeof postgres->log_path, "%s/postgres.log", postgres->data_dir);
    postgres->lock = lock_folder(postgres, postgres->data_dir);
    if (postgres->lock < 0 || find_user(postgres) < 0 || choose_base(postgres) < 0)
        return -1;
    snprintf(postgres->cluster, sizeof postgres->cluster, "%s/postgres", postgres->base);
    return adapt_user(postgres) < 0 ? -1 : choose_socket_dir(postgres);
}

/* Unlocks. A socket's folder under /tmp is removed if it is empty. */
static void close_folder(const struct embedded_postgres *postgres)
{
    char note[PATH_SIZE];

    snprintf(note, sizeof note, "%s/%s", postgres->data_dir, socket_note);
    if (strncmp(postgres->own_socket_dir, postgres->base, strlen(postgres->base)) != 0 &&
        rmdir(postgres->own_socket_dir) == 0)
        unlink(note);
    if (postgres->base_lock >= 0)
        close(postgres->base_lock);
    if (postgres->lock >= 0)
        close(postgres->lock);
}

/* The log for a new start, at its end; -1 with errno. */
static int open_log(const struct embedded_postgres *postgres)
{
    char old[PATH_SIZE + 4];
    struct stat status;

    if (stat(postgres->log_path, &status) == 0 && status.st_size > LOG_SIZE_MAX_BYTES) {
        snprintf(old, sizeof old, "%s.old", postgres->log_path);
        rename(postgres->log_path, old);
    }
    return open(postgres->log_path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

/* The log's last lines since the byte `start`, as one. */
static void read_log_tail(int log, off_t start, char tail[LOG_TAIL_BYTES + 1])
{
    off_t end = lseek(log, 0, SEEK_END);
    off_t from = end - start > LOG_TAIL_BYTES ? end - LOG_TAIL_BYTES : start;
    ssize_t length = pread(log, tail, LOG_TAIL_BYTES, from);
    const char *line;

    while (length > 0 && tail[length - 1] == '\n')
        length--;
    tail[length > 0 ? length : 0] = '\0';
    line = from > start ? strchr(tail, '\n') : NULL;
    if (line != NULL) /* begin with a whole line, which is a whole character, too */
        memmove(tail, line + 1, strlen(line));
    for (char *byte = tail; *byte != '\0'; byte++)
        if (*byte == '\n' || *byte == '\t')
            *byte = ' ';
}

/* -------- the programs -------- */

/* What `postgres --version` says; 0 if it says nothing of the kind. */
static int ask_major(struct embedded_postgres *postgres, char *program)
{
    char *const argv[] = {program, "--version", NULL};
    char line[128] = "";
    int output = memfd_create("version", MFD_CLOEXEC);
    const char *number;

    if (output < 0 || run_program(postgres, argv, output, VERSION_TIMEOUT_MS) != 0 ||
        pread(output, line, sizeof line - 1, 0) < 0)
        line[0] = '\0';
    close(output);
    number = strstr(line, "(PostgreSQL) ");
    return number != NULL ? (int)strtol(strchr(number, ' '), NULL, 10) : 0;
}

struct search {
    struct embedded_postgres *postgres;
    int wanted_major;   /* 0: any that is new enough, the newest of a place */
    int found_major;    /* of bin_dir; 0: nothing yet */
    int rejected_major; /* of another version than wanted */
};

static void consider(struct search *search, const char *bin_dir)
{
    char postgres[PATH_MAX + 16], initdb[PATH_MAX + 16];
    int major;

    if (strlen(bin_dir) >= PATH_MAX)
        return;
    snprintf(postgres, sizeof postgres, "%s/postgres", bin_dir);
    snprintf(initdb, sizeof initdb, "%s/initdb", bin_dir);
    if (access(postgres, X_OK) < 0 || access(initdb, X_OK) < 0)
        return;
    major = ask_major(search->postgres, postgres);
    if (search->wanted_major != 0 ? major != search->wanted_major : major < MAJOR_MIN) {
        search->rejected_major = major;
    } else if (major > search->found_major) {
        snprintf(search->postgres->bin_dir, sizeof search->postgres->bin_dir, "%s", bin_dir);
        search->found_major = major;
    }
}

static void consider_path(struct search *search)
{
    const char *rest = getenv("PATH");

    while (rest != NULL && search->found_major == 0) {
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

/* Fills bin_dir: from the folders of PATH, then where Debian, the PostgreSQL project's RPMs and a
 * build from source put it. With `wanted_major` not 0 only that version will do: files of one major
 * version cannot be used by another. */
static int find_programs(struct embedded_postgres *postgres, int wanted_major)
{
    static const char *const places[] = {"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin",
                                         "/usr/local/pgsql/bin"};
    struct search search = {.postgres = postgres, .wanted_major = wanted_major};

    consider_path(&search);
    for (size_t i = 0; i < sizeof places / sizeof places[0] && search.found_major == 0; i++) {
        glob_t paths;

        if (glob(places[i], 0, NULL, &paths) == 0) {
            for (size_t path = 0; path < paths.gl_pathc; path++)
                consider(&search, paths.gl_pathv[path]);
            globfree(&paths);
        }
    }
    if (search.found_major != 0)
        return 0;
    if (is_told_to_stop(postgres))
        return -1;
    if (wanted_major != 0)
        return fail(postgres,
                    "the database's files are of PostgreSQL %d, and its programs postgres and"
                    " initdb are neither in PATH nor in /usr/lib/postgresql/%d/bin (Debian: apt-get"
                    " install postgresql-%d)",
                    wanted_major, wanted_major, wanted_major);
    if (search.rejected_major != 0)
        return fail(postgres, "PostgreSQL %d is installed, but version %d or newer is needed",
                    search.rejected_major, MAJOR_MIN);
    return fail(postgres,
                "no PostgreSQL server is installed: its programs postgres and initdb are neither in"
                " PATH nor in /usr/lib/postgresql/*/bin, /usr/pgsql-*/bin or /usr/local/pgsql/bin"
                " (Debian: apt-get install postgresql; or name a database by --database-url)");
}

/* -------- the server -------- */

/* The connection string, in quotes as PQconninfoParse reads it. */
static void write_url(const struct embedded_postgres *postgres, const char *database,
                      char url[URL_SIZE])
{
    size_t length = (size_t)snprintf(url, URL_SIZE, "host='");

    for (const char *path = postgres->socket_dir; *path != '\0'; path++) {
        if (*path == '\'' || *path == '\\')
            url[length++] = '\\';
        url[length++] = *path;
    }
    snprintf(url + length, URL_SIZE - length, "' port=%d user=runtree dbname=%s connect_timeout=5",
             postgres->port, database);
}

/* A session with the database that every cluster has. NULL with a sentence in `why`. */
static PGconn *connect_to(const struct embedded_postgres *postgres, char why[static PG_WHY_SIZE])
{
    char url[URL_SIZE];

    write_url(postgres, "postgres", url);
    return pg_connect(url, "runtree", why);
}

static bool answers(const struct embedded_postgres *postgres)
{
    char why[PG_WHY_SIZE];
    PGconn *pg = connect_to(postgres, why);

    PQfinish(pg);
    return pg != NULL;
}

/* Whether the process has ended; a child of ours is reaped. */
static bool has_ended(const struct embedded_postgres *postgres)
{
    pid_t ended;

    if (!postgres->is_child)
        return !is_process_in(postgres->pid, postgres->cluster);
    ended = waitpid(postgres->pid, NULL, WNOHANG);
    return ended == postgres->pid || (ended < 0 && errno == ECHILD);
}

static void stop_server(struct embedded_postgres *postgres)
{
    static const int signals[] = {SIGINT, SIGQUIT,
                                  SIGKILL}; /* fast, immediate, and the last word */
    bool is_gone = postgres->pid == 0 || has_ended(postgres);

    for (size_t i = 0; i < sizeof signals / sizeof signals[0] && !is_gone; i++) {
        uint64_t end_ms = now_ms() + STOP_TIMEOUT_MS;

        kill(postgres->pid, signals[i]);
        while (!(is_gone = has_ended(postgres)) && now_ms() < end_ms)
            uv_sleep(STEP_MS);
    }
    postgres->pid = 0;
}

/* The postmaster that the file names, with its port and socket (PostgreSQL's
 * src/include/utils/pidfile.h); 0 if it names none. */
static pid_t read_pid_file(struct embedded_postgres *postgres, const char *path)
{
    char line[PATH_SIZE];
    FILE *file = fopen(path, "re");
    pid_t pid = 0;

    postgres->socket_dir[0] = '\0';
    if (file == NULL)
        return 0;
    for (int number = 1; number <= 5 && fgets(line, sizeof line, file) != NULL; number++) {
        line[strcspn(line, "\n")] = '\0';
        if (number == 1)
            pid = (pid_t)strtol(line, NULL, 10);
        else if (number == 4)
            postgres->port = (int)strtol(line, NULL, 10);
        else if (number == 5)
            snprintf(postgres->socket_dir, sizeof postgres->socket_dir, "%s", line);
    }
    fclose(file);
    return pid;
}

/* The files that say which process is the postmaster. PostgreSQL would take a stranger who has the
 * same process id now (in a container: as good as always) for it. */
static int remove_stale_locks(struct embedded_postgres *postgres, const char *pid_file)
{
    char socket_lock[PATH_SIZE + 32];
    const char *const paths[] = {pid_file, socket_lock};

    snprintf(socket_lock, sizeof socket_lock, "%s/.s.PGSQL.%d.lock", postgres->own_socket_dir,
             PORT);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (unlink(paths[i]) < 0 && errno != ENOENT)
            return fail_at(postgres, "cannot remove", paths[i]);
    return 0;
}

/* Deals with what an earlier runtree left behind. 1: its server is adopted; 0: nothing runs on the
 * cluster; -1. */
static int settle(struct embedded_postgres *postgres)
{
    const char *cluster = postgres->cluster;
    char path[PATH_SIZE + 32];
    uint64_t end_ms = now_ms() + LEFTOVERS_TIMEOUT_MS;

    snprintf(path, sizeof path, "%s/postmaster.pid", cluster);
    for (;;) {
        pid_t left = read_pid_file(postgres, path);

        if (left > 0 && is_process_in(left, cluster)) {
            if (postgres->socket_dir[0] != '\0' && answers(postgres)) {
                postgres->pid = left;
                postgres->is_child = false;
                return 1;
            }
        } else if (!any_process_in(cluster)) {
            return remove_stale_locks(postgres, path);
        }
        if (is_told_to_stop(postgres))
            return -1;
        if (now_ms() >= end_ms)
            return fail(postgres, "a PostgreSQL that does not answer is using %s: end it first",
                        cluster);
        uv_sleep(STEP_MS);
    }
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

static int run_initdb(struct embedded_postgres *postgres, char *cluster, int log)
{
    char program[PATH_MAX + 16], tail[LOG_TAIL_BYTES + 1];
    locale_t utf8 = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);
    char *locale = utf8 != (locale_t)0 ? "--locale=C.UTF-8" : "--locale=C";
    /* "trust" is for whoever can enter the socket's folder: the server's user and root. */
    char *const arguments[] = {program,        "--pgdata",           cluster,
                               "--auth=trust", "--username=runtree", "--encoding=UTF8",
                               locale,         "--no-instructions",  NULL};
    off_t start = lseek(log, 0, SEEK_END);
    int status;

    if (utf8 != (locale_t)0)
        freelocale(utf8);
    snprintf(program, sizeof program, "%s/initdb", postgres->bin_dir);
    status = run_program(postgres, arguments, log, INITDB_TIMEOUT_MS);
    if (status <= 0)
        return status;
    read_log_tail(log, start, tail);
    return fail(postgres, "%s failed: %s (all of it is in %s)", program, tail, postgres->log_path);
}

/* Makes the cluster aside and moves it into place whole: a kill in the middle leaves no half of
 * one. */
static int make_cluster(struct embedded_postgres *postgres, int log)
{
    char fresh[PATH_SIZE];
    int base;

    snprintf(fresh, sizeof fresh, "%s/postgres.new", postgres->base);
    for (int i = 0; any_process_in(fresh) && i < LEFTOVERS_TIMEOUT_MS / STEP_MS; i++)
        uv_sleep(STEP_MS); /* of an initdb that died with an earlier runtree */
    if (nftw(fresh, remove_entry, 16, FTW_DEPTH | FTW_PHYS) < 0 && errno != ENOENT)
        return fail_at(postgres, "cannot remove", fresh);
    if (make_private(postgres, fresh) < 0)
        return fail_at(postgres, "cannot make", fresh);
    if (run_initdb(postgres, fresh, log) < 0)
        return -1;
    if (rename(fresh, postgres->cluster) < 0)
        return fail_at(postgres, "cannot move into place", fresh);
    base = open(postgres->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (base >= 0) {
        fsync(base);
        close(base);
    }
    return 0;
}

/* unix_socket_directories is a list: quotes keep a comma or a space in the path from splitting it.
 */
static void quote_socket_dir(const char *path, char *setting, size_t size)
{
    size_t length = (size_t)snprintf(setting, size, "--unix_socket_directories=\"");

    for (; *path != '\0' && length + 3 < size; path++) {
        if (*path == '"')
            setting[length++] = '"';
        setting[length++] = *path;
    }
    snprintf(setting + length, size - length, "\"");
}

static pid_t run_server(struct embedded_postgres *postgres, int log)
{
    char program[PATH_MAX + 16], sockets[2 * PATH_SIZE], port[32], connections[40];
    /* What an answer 2xx rests on is said here, whatever postgresql.conf says; the rest is left to
     * it. */
    char *const arguments[] = {
        program,
        "-D",
        postgres->cluster,
        port,
        sockets,
        connections,
        "--unix_socket_permissions=0700",
        "--listen_addresses=",
        "--fsync=on",
        "--full_page_writes=on",
        "--synchronous_commit=on",
        "--wal_compression=on",
        "--jit=off",
        "--log_destination=stderr",
        "--logging_collector=off",
        "--log_min_messages=warning",
        NULL,
    };

    snprintf(program, sizeof program, "%s/postgres", postgres->bin_dir);
    snprintf(port, sizeof port, "--port=%d", PORT);
    snprintf(connections, sizeof connections, "--max_connections=%d", postgres->connections_max);
    quote_socket_dir(postgres->own_socket_dir, sockets, sizeof sockets);
    return start_program(postgres, arguments, log, false);
}

static int wait_for_answer(struct embedded_postgres *postgres, int log, off_t start)
{
    char url[URL_SIZE], tail[LOG_TAIL_BYTES + 1];
    uint64_t begin_ms = now_ms();

    write_url(postgres, "postgres", url);
    for (;;) {
        PGPing state = PQping(url);
        uint64_t limit_ms = state == PQPING_REJECT ? RECOVERY_TIMEOUT_MS : START_TIMEOUT_MS;

        if (state == PQPING_OK)
            return 0;
        if (has_ended(postgres)) {
            postgres->pid = 0;
            read_log_tail(log, start, tail);
            return fail(postgres, "PostgreSQL did not start: %s (its log is %s)", tail,
                        postgres->log_path);
        }
        if (is_told_to_stop(postgres)) {
            stop_server(postgres);
            return -1;
        }
        if (now_ms() - begin_ms >= limit_ms) {
            stop_server(postgres);
            return fail(postgres,
                        "PostgreSQL did not accept a connection within %ju s (its log is %s)",
                        (uintmax_t)limit_ms / 1000, postgres->log_path);
        }
        uv_sleep(STEP_MS);
    }
}

static int start_server(struct embedded_postgres *postgres)
{
    char version[32] = "";
    int major = 0, log, status = -1;
    off_t start;

    if (read_line(postgres->cluster, "PG_VERSION", version, sizeof version))
        major = (int)strtol(version, NULL, 10);
    if (find_programs(postgres, major) < 0)
        return -1;
    log = open_log(postgres);
    if (log < 0)
        return fail_at(postgres, "cannot write", postgres->log_path);
    if (major != 0 || make_cluster(postgres, log) == 0) {
        start = lseek(log, 0, SEEK_END);
        postgres->port = PORT;
        memcpy(postgres->socket_dir, postgres->own_socket_dir, sizeof postgres->socket_dir);
        postgres->is_child = true;
        postgres->pid = run_server(postgres, log);
        if (postgres->pid > 0) {
            status = wait_for_answer(postgres, log, start);
        } else {
            postgres->pid = 0;
            fail_at(postgres, "cannot start", "PostgreSQL");
        }
    }
    close(log);
    return status;
}

static int make_database(struct embedded_postgres *postgres)
{
    char why[PG_WHY_SIZE];
    PGconn *pg = connect_to(postgres, why);
    PGresult *result = PQexec(pg, "SELECT FROM pg_database WHERE datname = 'runtree'");
    int status = 0;

    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 0) {
        PQclear(result);
        result = PQexec(pg, "CREATE DATABASE runtree");
    }
    if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
        status = fail(postgres, "cannot make the database runtree: %s",
                      pg == NULL ? why : PQerrorMessage(pg));
    PQclear(result);
    PQfinish(pg);
    return status;
}

/* Whether the server takes as many connections as are wanted. */
static bool is_wide_enough(struct embedded_postgres *postgres)
{
    char why[PG_WHY_SIZE];
    PGconn *pg = connect_to(postgres, why);
    PGresult *found = PQexec(pg, "SHOW max_connections");
    bool is_enough = PQresultStatus(found) == PGRES_TUPLES_OK &&
                     strtol(PQgetvalue(found, 0, 0), NULL, 10) >= postgres->connections_max;

    PQclear(found);
    PQfinish(pg);
    return is_enough;
}

static int bring_up(struct embedded_postgres *postgres)
{
    for (int i = 0; i < STARTS_MAX; i++) {
        int settled = settle(postgres);

        if (settled < 0)
            return -1;
        if (settled == 1 && !is_wide_enough(postgres)) {
            stop_server(postgres);
            settled = 0;
        }
        if (settled == 1 || start_server(postgres) == 0)
            return make_database(postgres);
        /* A server that an earlier runtree had just started may have come first: then adopt that
         * one. */
        if (!any_process_in(postgres->cluster))
            return -1;
    }
    return -1;
}

struct embedded_postgres *embedded_postgres_start(const char *data_dir, int connections, char *why,
                                                  size_t why_size)
{
    struct embedded_postgres *postgres = calloc(1, sizeof *postgres);

    if (postgres == NULL) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    postgres->lock = postgres->base_lock = -1;
    postgres->connections_max = connections + EMBEDDED_CONNECTIONS_SPARE;
    if (open_folder(postgres, data_dir) < 0 || bring_up(postgres) < 0) {
        snprintf(why, why_size, "%s", postgres->why);
        embedded_postgres_stop(postgres);
        return NULL;
    }
    write_url(postgres, "runtree", postgres->url);
    return postgres;
}

const char *embedded_postgres_url(const struct embedded_postgres *postgres)
{
    return postgres->url;
}

int embedded_postgres_ensure(struct embedded_postgres *postgres, char *why, size_t why_size)
{
    char url[URL_SIZE];
    int status;

    if (postgres->pid != 0 && !has_ended(postgres))
        return 0;
    postgres->pid = 0;
    status = bring_up(postgres);
    write_url(postgres, "runtree", url);
    if (status == 0 && strcmp(url, postgres->url) != 0) /* it had been adopted from elsewhere */
        status = fail(postgres, "PostgreSQL's socket has moved: start runtree again");
    if (status < 0)
        snprintf(why, why_size, "%s", postgres->why);
    return status;
}

void embedded_postgres_stop(struct embedded_postgres *postgres)
{
    if (postgres == NULL)
        return;
    stop_server(postgres);
    close_folder(postgres);
    free(postgres);
}
