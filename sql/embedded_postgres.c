#include "sql/embedded_postgres.h"

#include "sql/postgres_install.h"
#include "sql/server_folder.h"
#include "sql/server_process.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libpq-fe.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

enum {
    PORT = 5432, /* only part of the socket's name */
    STEP_MS = 20,
    INITDB_TIMEOUT_MS = 120000,
    START_TIMEOUT_MS = 60000,     /* until it answers at all */
    RECOVERY_TIMEOUT_MS = 600000, /* as long as it answers that it is starting up */
    LEFTOVERS_TIMEOUT_MS = 60000,
    STOP_TIMEOUT_MS = 5000,
    STARTS_MAX = 3,
    LOG_SIZE_MAX_BYTES = 16 << 20,
    LOG_TAIL_BYTES = 400,
    URL_SIZE = 2 * SERVER_FOLDER_PATH_SIZE + 64,
};

struct embedded_postgres {
    struct server_folder folder;
    pid_t pid; /* 0: none */
    bool is_child;
    int port;
    char socket_dir[SERVER_FOLDER_PATH_SIZE]; /* of an adopted server, its own */
    char url[URL_SIZE];
};

struct reason {
    char *text;
    size_t size;
};

__attribute__((format(printf, 2, 3))) static int fail(const struct reason *why, const char *format,
                                                      ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why->text, why->size, format, arguments);
    va_end(arguments);
    return -1;
}

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* The caller has them blocked, so that a start in peace can be followed by a stop in order. */
static bool is_told_to_stop(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 &&
           (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

static const char told_to_stop[] = "told to stop while PostgreSQL was starting";

/* Whether the process has ended; a child of ours is reaped. */
static bool has_ended(const struct embedded_postgres *postgres)
{
    if (postgres->is_child) {
        pid_t ended = waitpid(postgres->pid, NULL, WNOHANG);
        return ended == postgres->pid || (ended < 0 && errno == ECHILD);
    }
    return !server_process_is_in(postgres->pid, postgres->folder.cluster);
}

static bool wait_for_end(const struct embedded_postgres *postgres, uint64_t timeout_ms)
{
    uint64_t end_ms = now_ms() + timeout_ms;
    while (!has_ended(postgres)) {
        if (now_ms() >= end_ms) {
            return false;
        }
        uv_sleep(STEP_MS);
    }
    return true;
}

static void stop_server(struct embedded_postgres *postgres)
{
    static const int signals[] = {SIGINT, SIGQUIT,
                                  SIGKILL}; /* fast, immediate, and the last word */
    bool is_gone = postgres->pid == 0 || has_ended(postgres);

    for (size_t i = 0; i < sizeof signals / sizeof signals[0] && !is_gone; i++) {
        kill(postgres->pid, signals[i]);
        is_gone = wait_for_end(postgres, STOP_TIMEOUT_MS);
    }
    postgres->pid = 0;
}

/* The log for a new start, at its end; -1 with errno. */
static int open_log(const struct server_folder *folder)
{
    struct stat status;
    if (stat(folder->log_path, &status) == 0 && status.st_size > LOG_SIZE_MAX_BYTES) {
        char old[SERVER_FOLDER_PATH_SIZE + 4];
        snprintf(old, sizeof old, "%s.old", folder->log_path);
        rename(folder->log_path, old);
    }
    int log = open(folder->log_path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (log >= 0) {
        lseek(log, 0, SEEK_END);
    }
    return log;
}

/* The log's last lines since the byte `start`, as one. */
static void read_log_tail(int log, off_t start, char tail[LOG_TAIL_BYTES + 1])
{
    off_t end = lseek(log, 0, SEEK_END);
    off_t from = end - start > LOG_TAIL_BYTES ? end - LOG_TAIL_BYTES : start;
    ssize_t length = pread(log, tail, LOG_TAIL_BYTES, from);
    tail[length > 0 ? length : 0] = '\0';
    if (from > start) { /* begin with a whole line, which is a whole character, too */
        const char *line = strchr(tail, '\n');
        if (line != NULL) {
            memmove(tail, line + 1, strlen(line));
        }
    }
    size_t end_of_text = strlen(tail);
    while (end_of_text > 0 && tail[end_of_text - 1] == '\n') {
        tail[--end_of_text] = '\0';
    }
    for (char *byte = tail; *byte != '\0'; byte++) {
        if (*byte == '\n' || *byte == '\t') {
            *byte = ' ';
        }
    }
}

static PGconn *connect_to(const char *socket_dir, int port, const char *database)
{
    char port_text[16];
    snprintf(port_text, sizeof port_text, "%d", port);
    const char *const keywords[] = {"host",       "port", "dbname", "user", "connect_timeout",
                                    "gssencmode", NULL};
    const char *const values[] = {socket_dir, port_text, database, "runtree", "5", "disable", NULL};
    return PQconnectdbParams(keywords, values, 0);
}

static bool answers(const char *socket_dir, int port)
{
    PGconn *pg = connect_to(socket_dir, port, "postgres");
    bool is_connected = PQstatus(pg) == CONNECTION_OK;
    PQfinish(pg);
    return is_connected;
}

static PGPing ping(const char *socket_dir, int port)
{
    char port_text[16];
    snprintf(port_text, sizeof port_text, "%d", port);
    const char *const keywords[] = {"host", "port", "dbname", "user", "connect_timeout", NULL};
    const char *const values[] = {socket_dir, port_text, "postgres", "runtree", "5", NULL};
    return PQpingParams(keywords, values, 0);
}

/* What postmaster.pid says (PostgreSQL's src/include/utils/pidfile.h). */
struct pid_file {
    pid_t pid;
    int port;
    char socket_dir[SERVER_FOLDER_PATH_SIZE];
};

static bool read_pid_file(const char *path, struct pid_file *content)
{
    char line[SERVER_FOLDER_PATH_SIZE];
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    *content = (struct pid_file){.pid = 0};
    for (int number = 1; number <= 5 && fgets(line, sizeof line, file) != NULL; number++) {
        line[strcspn(line, "\n")] = '\0';
        if (number == 1) {
            content->pid = (pid_t)strtol(line, NULL, 10);
        } else if (number == 4) {
            content->port = (int)strtol(line, NULL, 10);
        } else if (number == 5) {
            snprintf(content->socket_dir, sizeof content->socket_dir, "%s", line);
        }
    }
    fclose(file);
    return true;
}

/* The files that say which process is the postmaster. PostgreSQL would take a stranger who has the
 * same process id now (in a container: as good as always) for it. */
static int remove_stale_locks(const struct embedded_postgres *postgres, const char *pid_file,
                              const struct reason *why)
{
    char socket_lock[SERVER_FOLDER_PATH_SIZE + 32];
    snprintf(socket_lock, sizeof socket_lock, "%s/.s.PGSQL.%d.lock", postgres->folder.socket_dir,
             PORT);
    const char *const paths[] = {pid_file, socket_lock};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        if (unlink(paths[i]) < 0 && errno != ENOENT) {
            return fail(why, "cannot remove %s: %s", paths[i], strerror(errno));
        }
    }
    return 0;
}

/* Deals with what an earlier runtree left behind. 1: its server is adopted; 0: nothing runs on the
 * cluster; -1. */
static int settle(struct embedded_postgres *postgres, const struct reason *why)
{
    const char *cluster = postgres->folder.cluster;
    char path[SERVER_FOLDER_PATH_SIZE + 32];
    uint64_t end_ms = now_ms() + LEFTOVERS_TIMEOUT_MS;

    snprintf(path, sizeof path, "%s/postmaster.pid", cluster);
    for (;;) {
        struct pid_file left;
        bool has_file = read_pid_file(path, &left);
        if (has_file && left.pid > 0 && server_process_is_in(left.pid, cluster)) {
            if (left.socket_dir[0] != '\0' && answers(left.socket_dir, left.port)) {
                postgres->pid = left.pid;
                postgres->is_child = false;
                postgres->port = left.port;
                memcpy(postgres->socket_dir, left.socket_dir, sizeof postgres->socket_dir);
                return 1;
            }
        } else if (!server_process_any_in(cluster)) {
            return remove_stale_locks(postgres, path, why);
        }
        if (is_told_to_stop()) {
            return fail(why, "%s", told_to_stop);
        }
        if (now_ms() >= end_ms) {
            return fail(why, "a PostgreSQL that does not answer is using %s: end it first",
                        cluster);
        }
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

static int run_initdb(struct embedded_postgres *postgres, const char *bin_dir, const char *cluster,
                      int log, const struct reason *why)
{
    char program[PATH_MAX + 16];
    char tail[LOG_TAIL_BYTES + 1];
    snprintf(program, sizeof program, "%s/initdb", bin_dir);
    locale_t utf8 = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);
    char *locale = utf8 != (locale_t)0 ? "--locale=C.UTF-8" : "--locale=C";
    if (utf8 != (locale_t)0) {
        freelocale(utf8);
    }
    /* "trust" is for whoever can enter the socket's folder: the server's user and root. */
    char *const arguments[] = {program,        "--pgdata",           (char *)cluster,
                               "--auth=trust", "--username=runtree", "--encoding=UTF8",
                               locale,         "--no-instructions",  NULL};
    off_t start = lseek(log, 0, SEEK_END);
    pid_t pid = server_process_start(&postgres->folder.user, arguments, log, SERVER_DIES_WITH_US);
    if (pid < 0) {
        return fail(why, "cannot run %s: %s", program, strerror(errno));
    }
    uint64_t end_ms = now_ms() + INITDB_TIMEOUT_MS;
    int status = 0;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        bool is_stopping = is_told_to_stop();
        if (is_stopping || now_ms() >= end_ms) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
            return is_stopping
                       ? fail(why, "%s", told_to_stop)
                       : fail(why, "%s did not end within %d s", program, INITDB_TIMEOUT_MS / 1000);
        }
        uv_sleep(STEP_MS);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        read_log_tail(log, start, tail);
        return fail(why, "%s failed: %s (all of it is in %s)", program, tail,
                    postgres->folder.log_path);
    }
    return 0;
}

/* Makes the cluster aside and moves it into place whole: a kill in the middle leaves no half of
 * one. */
static int make_cluster(struct embedded_postgres *postgres, const char *bin_dir, int log,
                        const struct reason *why)
{
    const struct server_folder *folder = &postgres->folder;
    char fresh[SERVER_FOLDER_PATH_SIZE];

    snprintf(fresh, sizeof fresh, "%s/postgres.new", folder->base);
    for (int i = 0; server_process_any_in(fresh) && i < LEFTOVERS_TIMEOUT_MS / STEP_MS; i++) {
        uv_sleep(STEP_MS); /* of an initdb that died with an earlier runtree */
    }
    if (nftw(fresh, remove_entry, 16, FTW_DEPTH | FTW_PHYS) < 0 && errno != ENOENT) {
        return fail(why, "cannot remove %s: %s", fresh, strerror(errno));
    }
    if (server_folder_make_private(folder, fresh) < 0) {
        return fail(why, "cannot make %s: %s", fresh, strerror(errno));
    }
    if (run_initdb(postgres, bin_dir, fresh, log, why) < 0) {
        return -1;
    }
    if (rename(fresh, folder->cluster) < 0) {
        return fail(why, "cannot rename %s to %s: %s", fresh, folder->cluster, strerror(errno));
    }
    int base = open(folder->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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
    size_t length = (size_t)snprintf(setting, size, "unix_socket_directories=\"");
    for (; *path != '\0' && length + 3 < size; path++) {
        if (*path == '"') {
            setting[length++] = '"';
        }
        setting[length++] = *path;
    }
    snprintf(setting + length, size - length, "\"");
}

static pid_t run_server(const struct embedded_postgres *postgres, const char *bin_dir, int log)
{
    const struct server_folder *folder = &postgres->folder;
    char program[PATH_MAX + 16];
    char sockets[2 * SERVER_FOLDER_PATH_SIZE];
    char port[16];

    snprintf(program, sizeof program, "%s/postgres", bin_dir);
    snprintf(port, sizeof port, "%d", PORT);
    quote_socket_dir(folder->socket_dir, sockets, sizeof sockets);
    /* What an answer 2xx rests on is said here, whatever postgresql.conf says; the rest is left to
     * it. */
    char *const arguments[] = {program,
                               "-D",
                               (char *)folder->cluster,
                               "-p",
                               port,
                               "-c",
                               sockets,
                               "-c",
                               "unix_socket_permissions=0700",
                               "-c",
                               "listen_addresses=",
                               "-c",
                               "fsync=on",
                               "-c",
                               "full_page_writes=on",
                               "-c",
                               "synchronous_commit=on",
                               "-c",
                               "wal_compression=on",
                               "-c",
                               "jit=off",
                               "-c",
                               "log_destination=stderr",
                               "-c",
                               "logging_collector=off",
                               "-c",
                               "log_min_messages=warning",
                               NULL};
    return server_process_start(&folder->user, arguments, log, SERVER_OUTLIVES_US);
}

static int wait_for_answer(struct embedded_postgres *postgres, int log, off_t start,
                           const struct reason *why)
{
    char tail[LOG_TAIL_BYTES + 1];
    uint64_t begin_ms = now_ms();

    for (;;) {
        PGPing state = ping(postgres->socket_dir, postgres->port);
        if (state == PQPING_OK) {
            return 0;
        }
        if (has_ended(postgres)) {
            postgres->pid = 0;
            read_log_tail(log, start, tail);
            return fail(why, "PostgreSQL did not start: %s (its log is %s)", tail,
                        postgres->folder.log_path);
        }
        if (is_told_to_stop()) {
            stop_server(postgres);
            return fail(why, "%s", told_to_stop);
        }
        uint64_t limit_ms = state == PQPING_REJECT ? RECOVERY_TIMEOUT_MS : START_TIMEOUT_MS;
        if (now_ms() - begin_ms >= limit_ms) {
            stop_server(postgres);
            return fail(why, "PostgreSQL did not accept a connection within %ju s (its log is %s)",
                        (uintmax_t)limit_ms / 1000, postgres->folder.log_path);
        }
        uv_sleep(STEP_MS);
    }
}

static int start_server(struct embedded_postgres *postgres, const struct reason *why)
{
    const struct server_folder *folder = &postgres->folder;
    struct postgres_install install;
    int error = -1;

    int major = server_folder_major(folder);
    if (postgres_install_find(major, &install, why->text, why->size) < 0) {
        return -1;
    }
    int log = open_log(folder);
    if (log < 0) {
        return fail(why, "cannot write %s: %s", folder->log_path, strerror(errno));
    }
    if (major == 0 && make_cluster(postgres, install.bin_dir, log, why) < 0) {
        goto done;
    }
    off_t start = lseek(log, 0, SEEK_END);
    postgres->port = PORT;
    memcpy(postgres->socket_dir, folder->socket_dir, sizeof postgres->socket_dir);
    postgres->is_child = true;
    postgres->pid = run_server(postgres, install.bin_dir, log);
    if (postgres->pid < 0) {
        postgres->pid = 0;
        fail(why, "cannot start PostgreSQL: %s", strerror(errno));
        goto done;
    }
    error = wait_for_answer(postgres, log, start, why);

done:
    close(log);
    return error;
}

static int make_database(const struct embedded_postgres *postgres, const struct reason *why)
{
    int error = 0;
    PGconn *pg = connect_to(postgres->socket_dir, postgres->port, "postgres");
    PGresult *found = PQexec(pg, "SELECT FROM pg_database WHERE datname = 'runtree'");
    PGresult *made = NULL;

    if (PQresultStatus(found) == PGRES_TUPLES_OK && PQntuples(found) == 0) {
        made = PQexec(pg, "CREATE DATABASE runtree");
    }
    if (PQresultStatus(found) != PGRES_TUPLES_OK ||
        (made != NULL && PQresultStatus(made) != PGRES_COMMAND_OK)) {
        error = fail(why, "cannot make the database runtree: %s", PQerrorMessage(pg));
        why->text[strcspn(why->text, "\n")] = '\0';
    }
    PQclear(made);
    PQclear(found);
    PQfinish(pg);
    return error;
}

static int bring_up(struct embedded_postgres *postgres, const struct reason *why)
{
    for (int i = 0; i < STARTS_MAX; i++) {
        int settled = settle(postgres, why);
        if (settled < 0) {
            return -1;
        }
        if (settled == 1 || start_server(postgres, why) == 0) {
            return make_database(postgres, why);
        }
        /* A server that an earlier runtree had just started may have come first: then adopt that
         * one. */
        if (!server_process_any_in(postgres->folder.cluster)) {
            return -1;
        }
    }
    return -1;
}

/* In quotes, as PQconninfoParse reads it. */
static void build_url(struct embedded_postgres *postgres)
{
    char *url = postgres->url;
    size_t length = (size_t)snprintf(url, URL_SIZE, "host='");
    for (const char *path = postgres->socket_dir; *path != '\0'; path++) {
        if (*path == '\'' || *path == '\\') {
            url[length++] = '\\';
        }
        url[length++] = *path;
    }
    snprintf(url + length, URL_SIZE - length, "' port=%d user=runtree dbname=runtree",
             postgres->port);
}

struct embedded_postgres *embedded_postgres_start(const char *data_dir, char *why, size_t why_size)
{
    const struct reason reason = {.text = why, .size = why_size};
    struct embedded_postgres *postgres = calloc(1, sizeof *postgres);

    if (postgres == NULL) {
        fail(&reason, "out of memory");
        goto no_memory;
    }
    if (server_folder_open(&postgres->folder, data_dir, why, why_size) < 0) {
        goto no_folder;
    }
    if (bring_up(postgres, &reason) < 0) {
        goto no_server;
    }
    build_url(postgres);
    return postgres;

no_server:
    stop_server(postgres);
    server_folder_close(&postgres->folder);
no_folder:
    free(postgres);
no_memory:
    return NULL;
}

const char *embedded_postgres_url(const struct embedded_postgres *postgres)
{
    return postgres->url;
}

int embedded_postgres_ensure(struct embedded_postgres *postgres, char *why, size_t why_size)
{
    const struct reason reason = {.text = why, .size = why_size};
    char url[URL_SIZE];

    if (postgres->pid != 0 && !has_ended(postgres)) {
        return 0;
    }
    postgres->pid = 0;
    if (bring_up(postgres, &reason) < 0) {
        return -1;
    }
    memcpy(url, postgres->url, sizeof url);
    build_url(postgres);
    if (strcmp(url, postgres->url) != 0) { /* it had been adopted from elsewhere */
        memcpy(postgres->url, url, sizeof url);
        return fail(&reason, "PostgreSQL's socket has moved: start runtree again");
    }
    return 0;
}

void embedded_postgres_stop(struct embedded_postgres *postgres)
{
    if (postgres == NULL) {
        return;
    }
    stop_server(postgres);
    server_folder_close(&postgres->folder);
    free(postgres);
}
