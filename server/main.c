/* runtree serve: options, database, sockets, signals, loops. */
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "handlers/routes.h"
#include "server/app.h"
#include "server/listen.h"
#include "sql/embedded_postgres.h"
#include "sql/migrate.h"

enum { EXIT_USAGE = 2, KID_BYTES_MAX = 255 /* in the log */ };

/* One event loop and its thread. */
struct loop_thread {
    const struct app_shared *shared;
    struct metrics *metrics;
    int listen_fd;
    struct auth_keys *keys; /* taken over by the loop; NULL: no tokens are asked for */
    pthread_t thread;
    pthread_mutex_t mutex;
    uv_async_t *stop;            /* NULL until the loop runs */
    bool is_stopped;             /* before it ran */
    struct auth_keys *next_keys; /* that came before it ran; NULL: none did */
    int status;
};

static void on_started(void *arg, uv_async_t *stop)
{
    struct loop_thread *self = arg;

    pthread_mutex_lock(&self->mutex);
    self->stop = stop;
    if (self->next_keys != NULL)
        app_use_keys(stop, self->next_keys);
    self->next_keys = NULL;
    if (self->is_stopped)
        app_stop(stop);
    pthread_mutex_unlock(&self->mutex);
}

static void *run_loop(void *arg)
{
    struct loop_thread *self = arg;
    char why[APP_WHY_SIZE];

    self->status = app_run(self->shared, self->metrics, self->listen_fd, self->keys, on_started,
                           self, why, sizeof why);
    if (self->status < 0) {
        log_write(self->shared->log, LOG_ERROR, "an event loop did not start", "s:s", "why", why);
        kill(getpid(), SIGTERM);
    }
    return NULL;
}

static void stop_loop(struct loop_thread *self)
{
    pthread_mutex_lock(&self->mutex);
    self->is_stopped = true;
    if (self->stop != NULL)
        app_stop(self->stop);
    pthread_mutex_unlock(&self->mutex);
}

static int open_sockets(struct loop_thread *loops, const struct config *config,
                        const struct log *log)
{
    char why[APP_WHY_SIZE], address[300];

    snprintf(address, sizeof address, "%s", config->listen);
    for (int64_t i = 0; i < config->threads; i++) {
        loops[i].listen_fd = listen_on(address, config->threads > 1, why, sizeof why);
        if (loops[i].listen_fd < 0) {
            log_write(log, LOG_ERROR, "cannot listen", "s:s", "why", why);
            while (i-- > 0)
                close(loops[i].listen_fd);
            return -1;
        }
        /* All loops share the port that the first was given for port 0. */
        if (i == 0)
            snprintf(address, sizeof address, "%.*s:%d",
                     (int)(strrchr(config->listen, ':') - config->listen), config->listen,
                     listen_port(loops[0].listen_fd));
    }
    log_write(log, LOG_INFO, "listening", "s:s, s:s", "address", address, "url",
              config->listen[0] == '*' ? "" : address);
    return 0;
}

static void on_key_skipped(void *arg, const char *path, size_t number, const char *kid,
                           const char *why)
{
    const struct log *log = arg;

    if (kid != NULL && strlen(kid) > KID_BYTES_MAX)
        kid = NULL;
    log_write(log, LOG_WARNING, "a key is not used", "s:s, s:I, s:s?, s:s", "file", path, "key",
              (json_int_t)number, "kid", kid, "why", why);
}

static struct auth_keys *load_keys(const struct config *config, const struct log *log,
                                   char why[static AUTH_KEYS_WHY_SIZE])
{
    const struct auth_keys_source source = {
        .keys_path = config->auth_keys,
        .secret_path = config->auth_secret,
        .on_skipped = on_key_skipped,
        .arg = (void *)log,
    };

    return auth_keys_load(&source, why);
}

/* Fills `copies`, one for each loop; false, and none is left, when out of memory. */
static bool copy_keys(const struct auth_keys *keys, struct auth_keys **copies, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        copies[i] = auth_keys_copy(keys);
        if (copies[i] == NULL) {
            while (i-- > 0)
                auth_keys_free(copies[i]);
            return false;
        }
    }
    return true;
}

static void give_keys(struct loop_thread *loop, struct auth_keys *keys)
{
    pthread_mutex_lock(&loop->mutex);
    if (loop->stop != NULL) {
        app_use_keys(loop->stop, keys);
    } else {
        auth_keys_free(loop->next_keys);
        loop->next_keys = keys;
    }
    pthread_mutex_unlock(&loop->mutex);
}

/* The keys are read once, and all loops are given them or none is. */
static void reload_keys(struct loop_thread *loops, const struct config *config,
                        const struct log *log)
{
    struct auth_keys *copies[METRICS_LOOPS_MAX], *keys;
    char why[AUTH_KEYS_WHY_SIZE] = "out of memory";
    bool is_done;

    if (!config_wants_tokens(config))
        return;
    keys = load_keys(config, log, why);
    is_done = keys != NULL && copy_keys(keys, copies, (size_t)config->threads);
    if (is_done) {
        for (int64_t i = 0; i < config->threads; i++)
            give_keys(&loops[i], copies[i]);
    } else {
        metrics_add(loops[0].metrics, METRIC_AUTH_RELOAD_FAILED, 1);
        log_write(log, LOG_ERROR, "the new keys cannot be used", "s:s", "why", why);
    }
    auth_keys_free(keys);
}

/* Signals come to the main thread alone, which waits for them here until one says to stop, and
 * meanwhile sees to it that the database of our own, if there is one, runs. */
static void wait_for_signal(struct loop_thread *loops, const struct config *config,
                            const sigset_t *signals, struct embedded_postgres *postgres,
                            const struct log *log)
{
    const struct timespec second = {.tv_sec = 1};
    char why[APP_WHY_SIZE];
    int number = 0;

    while (number != SIGTERM && number != SIGINT) {
        number = sigtimedwait(signals, NULL, &second);
        if (number > 0)
            log_write(log, LOG_INFO, "signal received", "s:s", "signal", strsignal(number));
        if (number == SIGHUP)
            reload_keys(loops, config, log);
        else if (number < 0 && postgres != NULL &&
                 embedded_postgres_ensure(postgres, why, sizeof why) < 0)
            log_write(log, LOG_ERROR, "PostgreSQL did not come back", "s:s", "why", why);
    }
}

static int run_loops(struct loop_thread *loops, const struct config *config,
                     const struct auth_keys *keys, const sigset_t *signals,
                     struct embedded_postgres *postgres, const struct log *log)
{
    int64_t started = 0;
    int status = 0;

    for (; started < config->threads; started++) {
        loops[started].keys = keys == NULL ? NULL : auth_keys_copy(keys);
        if (keys != NULL && loops[started].keys == NULL) {
            log_write(log, LOG_ERROR, "out of memory", "");
            status = -1;
            break;
        }
        if (pthread_create(&loops[started].thread, NULL, run_loop, &loops[started]) != 0) {
            log_write(log, LOG_ERROR, "cannot start a thread", "");
            status = -1;
            break;
        }
    }
    if (status == 0)
        wait_for_signal(loops, config, signals, postgres, log);
    for (int64_t i = 0; i < started; i++)
        stop_loop(&loops[i]);
    for (int64_t i = 0; i < started; i++) {
        pthread_join(loops[i].thread, NULL);
        auth_keys_free(loops[i].next_keys);
        if (loops[i].status < 0)
            status = -1;
    }
    return status;
}

/* `keys` is NULL if no tokens are asked for, `postgres` for a database of somebody else. 0 or -1.
 */
static int serve_on(const struct config *config, const struct auth_keys *keys,
                    const char *database_url, struct embedded_postgres *postgres,
                    const struct log *log, const sigset_t *signals)
{
    size_t count = (size_t)config->threads;
    struct loop_thread *loops = calloc(count, sizeof *loops);
    struct metrics *metrics = calloc(count, sizeof *metrics);
    const struct metrics **all = calloc(count, sizeof(const struct metrics *));
    struct memory *memory = memory_new((uint64_t)config->memory_max_bytes);
    const struct app_shared shared = {
        .config = config,
        .database_url = database_url,
        .log = log,
        .memory = memory,
        .routes = routes,
        .metrics = all,
        .loops = count,
    };
    int status = -1;

    if (loops == NULL || metrics == NULL || all == NULL || memory == NULL) {
        log_write(log, LOG_ERROR, "out of memory", "");
        goto done;
    }
    for (size_t i = 0; i < count; i++) {
        all[i] = &metrics[i];
        loops[i].shared = &shared;
        loops[i].metrics = &metrics[i];
        pthread_mutex_init(&loops[i].mutex, NULL);
    }
    if (open_sockets(loops, config, log) == 0)
        status = run_loops(loops, config, keys, signals, postgres, log);
done:
    memory_free(memory);
    free((void *)all);
    free(metrics);
    free(loops);
    return status;
}

/* On the database that is configured, or one of our own. 0 or -1. */
static int serve_with_keys(const struct config *config, const struct auth_keys *keys,
                           const struct log *log, const sigset_t *signals)
{
    struct embedded_postgres *postgres = NULL;
    const char *url = config->database_url;
    char why[APP_WHY_SIZE];
    int status;

    if (url == NULL) {
        log_write(log, LOG_INFO, "starting a PostgreSQL of our own", "s:s", "folder",
                  config->data_dir);
        postgres = embedded_postgres_start(config->data_dir, app_database_connections(config), why,
                                           sizeof why);
        if (postgres == NULL) {
            log_write(log, LOG_ERROR, "PostgreSQL did not start", "s:s", "why", why);
            return -1;
        }
        url = embedded_postgres_url(postgres);
    }
    status = serve_on(config, keys, url, postgres, log, signals);
    if (postgres != NULL)
        embedded_postgres_stop(postgres);
    log_write(log, LOG_INFO, "stopped", "");
    return status;
}

/* What is wrong with the keys is told before anything starts. The program's exit status. */
static int serve_logged(const struct config *config, const struct log *log, const sigset_t *signals)
{
    char why[AUTH_KEYS_WHY_SIZE];
    struct auth_keys *keys = NULL;
    int status;

    if (config_wants_tokens(config)) {
        auth_keys_start();
        keys = load_keys(config, log, why);
        if (keys == NULL) {
            fprintf(stderr, "runtree: %s\n", why);
            return EXIT_USAGE;
        }
    }
    status = serve_with_keys(config, keys, log, signals);
    auth_keys_free(keys);
    return status < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int serve(const struct config *config)
{
    struct log *log;
    sigset_t signals;
    int status;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    json_object_seed(0);
    log = log_start(log_level_parse(config->log_level));
    if (log == NULL) {
        fprintf(stderr, "runtree: cannot start a thread\n");
        return EXIT_FAILURE;
    }
    status = serve_logged(config, log, &signals);
    log_end(log);
    return status;
}

/* What can be seen to lead nowhere before anything starts. 0, or -1 with the reason in `why`. */
static int check_places(const struct config *config, char why[static CONFIG_WHY_SIZE])
{
    char reason[CONFIG_WHY_SIZE / 2];

    if (listen_check(config->listen, reason, sizeof reason) < 0)
        snprintf(why, CONFIG_WHY_SIZE, "--listen (RUNTREE_LISTEN): %s", reason);
    else if (config->database_url != NULL &&
             database_url_check(config->database_url, reason, sizeof reason) < 0)
        snprintf(why, CONFIG_WHY_SIZE, "%s", reason);
    else
        return 0;
    return -1;
}

/* Every connection and stream is a descriptor, and the usual limit is 1,024. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char *argv[])
{
    struct config config;
    char why[CONFIG_WHY_SIZE];
    int status;

    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        config_print_help();
        return EXIT_SUCCESS;
    }
    if (argc < 2 || strcmp(argv[1], "serve") != 0) {
        fprintf(stderr,
                "runtree: %s%s\nUsage: runtree serve [OPTION]… (see runtree serve --help)\n",
                argc < 2 ? "a command is missing" : "unknown command: ", argc < 2 ? "" : argv[1]);
        return EXIT_USAGE;
    }
    status = config_read(&config, argc - 2, argv + 2, why);
    if (status == 1) {
        config_print_help();
        return EXIT_SUCCESS;
    }
    if (status < 0 || check_places(&config, why) < 0) {
        fprintf(stderr, "runtree: %s\n", why);
        return EXIT_USAGE;
    }
    raise_descriptor_limit();
    status = EXIT_USAGE;
    if (config_hide_secrets(&config, argc, argv) == 0)
        status = serve(&config);
    config_clear(&config);
    return status;
}
