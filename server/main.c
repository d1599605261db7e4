/* runtree: its subcommands; and of serve: options, database, sockets, signals, loops. */
#include <errno.h>
#include <jansson.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "cli/exec.h"
#include "cli/watch_run.h"
#include "handlers/connect.h"
#include "handlers/routes.h"
#include "handlers/run_cells.h"
#include "server/app.h"
#include "server/listen.h"
#include "sql/embedded_postgres.h"

enum {
    EXIT_USAGE = 2,
    MMAP_THRESHOLD_BYTES = 128 * 1024, /* glibc's own, to begin with */
};

/* The loops of a process, and what they are given. */
struct process {
    struct app_shared shared;
    const struct metrics **all_metrics;
    struct metrics *metrics; /* for each loop one for each cell */
    _Atomic enum cell_health *cell_healths;
    struct app *loops[LOOPS_MAX];
    size_t loops_open;
};

/* What requests are let in by. NULL: that is not asked for. */
struct secrets {
    struct auth_keys *keys;
    struct webhook_secrets *webhooks;
};

static struct auth_keys *load_keys(const struct config *config, const struct log *log,
                                   char why[static AUTH_KEYS_WHY_SIZE])
{
    const struct auth_keys_source source = {
        .keys_path = config->auth_keys, .secret_path = config->auth_secret, .log = log};

    return auth_keys_load(&source, why);
}

/* A copy of the keys for each loop: 0, or -1 with the reason in `why`. */
static int copy_keys(const struct app_shared *shared, struct auth_keys *copies[static LOOPS_MAX],
                     char why[static AUTH_KEYS_WHY_SIZE])
{
    struct auth_keys *keys = load_keys(shared->config, shared->log, why);
    size_t count = 0;

    while (keys != NULL && count < shared->loops && (copies[count] = auth_keys_copy(keys)) != NULL)
        count++;
    auth_keys_free(keys);
    if (count == shared->loops)
        return 0;
    while (count > 0)
        auth_keys_free(copies[--count]);
    return -1;
}

static void use_webhook_secrets(const struct app_shared *shared, struct webhook_secrets *fresh)
{
    size_t count = webhook_secrets_replace(shared->webhook_secrets, fresh);

    log_write(shared->log, LOG_INFO, "new webhook secrets are in use", "s:I", "secrets",
              (json_int_t)count);
}

/* All files are read once; what is in them is given to all loops, or none of it to any. */
static void reload_secrets(struct process *process)
{
    const struct app_shared *shared = &process->shared;
    struct auth_keys *copies[LOOPS_MAX];
    struct webhook_secrets *fresh = NULL;
    char why[AUTH_KEYS_WHY_SIZE] = "out of memory";
    bool wants_tokens = config_wants_tokens(shared->config), is_good = true;

    if (shared->webhook_secrets != NULL) {
        fresh = webhook_secrets_load(shared->config->webhook_secrets, why);
        is_good = fresh != NULL;
    }
    if (is_good && wants_tokens)
        is_good = copy_keys(shared, copies, why) == 0;
    for (size_t i = 0; is_good && wants_tokens && i < shared->loops; i++)
        app_use_keys(process->loops[i], copies[i]);
    if (is_good && fresh != NULL) {
        use_webhook_secrets(shared, fresh);
    } else if (!is_good) {
        webhook_secrets_free(fresh);
        log_write(shared->log, LOG_ERROR, "the new keys cannot be used", "s:s", "why", why);
        metrics_add(&process->metrics[0], METRIC_AUTH_RELOAD_FAILED, 1);
    }
}

/* Signals come to the main thread alone, which waits for them here until one says to stop, and
 * meanwhile sees to it that the database of our own, if there is one, runs. */
static void wait_for_signal(struct process *process, const sigset_t *signals,
                            struct embedded_postgres *postgres)
{
    const struct timespec second = {.tv_sec = 1};
    const struct log *log = process->shared.log;
    char why[APP_WHY_SIZE];
    int number = 0;

    while (number != SIGTERM && number != SIGINT) {
        number = sigtimedwait(signals, NULL, &second);
        if (number > 0)
            log_write(log, LOG_INFO, "signal received", "s:s", "signal", strsignal(number));
        if (number == SIGHUP)
            reload_secrets(process);
        else if (number < 0 && postgres != NULL &&
                 embedded_postgres_ensure(postgres, why, sizeof why) < 0)
            log_write(log, LOG_ERROR, "PostgreSQL did not come back", "s:s", "why", why);
    }
}

/* A loop that listens on `address`. 0, or -1 when that was logged. */
static int open_loop(struct process *process, const char *address, const struct auth_keys *keys)
{
    const struct app_shared *shared = &process->shared;
    struct auth_keys *own_keys = keys == NULL ? NULL : auth_keys_copy(keys);
    size_t number = process->loops_open;
    char why[APP_WHY_SIZE];
    int fd = listen_on(address, shared->loops > 1, why, sizeof why);

    if (fd < 0) {
        log_write(shared->log, LOG_ERROR, "cannot listen", "s:s", "why", why);
        auth_keys_free(own_keys);
        return -1;
    }
    if (keys != NULL && own_keys == NULL) {
        log_write(shared->log, LOG_ERROR, "out of memory", "");
        close(fd);
        return -1;
    }
    process->loops[number] = app_new(shared, &process->metrics[number * shared->cells->alive], fd,
                                     own_keys, why, sizeof why);
    if (process->loops[number] == NULL) {
        log_write(shared->log, LOG_ERROR, "an event loop did not start", "s:s", "why", why);
        return -1;
    }
    process->loops_open++;
    return fd;
}

/* All loops listen before the first one runs. 0 or -1. */
static int start_loops(struct process *process, const struct auth_keys *keys)
{
    const char *listen = process->shared.config->listen;
    const struct log *log = process->shared.log;
    char address[300];

    snprintf(address, sizeof address, "%s", listen);
    while (process->loops_open < process->shared.loops) {
        int fd = open_loop(process, address, keys);

        if (fd < 0)
            return -1;
        if (process->loops_open == 1) /* all share the port that the first was given for port 0 */
            snprintf(address, sizeof address, "%.*s:%d", (int)(strrchr(listen, ':') - listen),
                     listen, listen_port(fd));
    }
    log_write(log, LOG_INFO, "listening", "s:s, s:s", "address", address, "url",
              listen[0] == '*' ? "" : address);
    for (size_t i = 0; i < process->loops_open; i++) {
        if (app_start(process->loops[i]) < 0) {
            log_write(log, LOG_ERROR, "cannot start a thread", "");
            return -1;
        }
    }
    return 0;
}

/* `postgres` is NULL for a database of somebody else. 0 or -1. */
static int serve_on(const struct config *config, const struct secrets *secrets,
                    const struct cell_list *cells, struct embedded_postgres *postgres,
                    const struct log *log, const sigset_t *signals)
{
    size_t count = (size_t)config->threads * cells->alive;
    struct process process = {.metrics = calloc(count, sizeof *process.metrics),
                              .all_metrics = calloc(count, sizeof *process.all_metrics),
                              .cell_healths = calloc(count, sizeof *process.cell_healths)};
    struct memory *memory = memory_new((uint64_t)config->memory_max_bytes);
    int status = -1;

    process.shared = (struct app_shared){
        .config = config,
        .cells = cells,
        .log = log,
        .webhook_secrets = secrets->webhooks,
        .memory = memory,
        .routes = routes,
        .problem_form = connect_problem_form,
        .call_handler = call_with_run,
        .metrics = process.all_metrics,
        .metrics_count = count,
        .cell_healths = process.cell_healths,
        .loops = (size_t)config->threads,
    };
    for (size_t i = 0; process.metrics != NULL && process.all_metrics != NULL && i < count; i++)
        process.all_metrics[i] = &process.metrics[i];
    if (process.metrics == NULL || process.all_metrics == NULL || process.cell_healths == NULL ||
        memory == NULL)
        log_write(log, LOG_ERROR, "out of memory", "");
    else
        status = start_loops(&process, secrets->keys);
    if (status == 0)
        wait_for_signal(&process, signals, postgres);
    for (size_t i = 0; i < process.loops_open; i++)
        app_stop(process.loops[i]);
    for (size_t i = 0; i < process.loops_open; i++)
        app_free(process.loops[i]);
    memory_free(memory);
    free(process.cell_healths);
    free(process.all_metrics);
    free(process.metrics);
    return status;
}

/* On the database that is configured, or one of our own. 0 or -1. */
static int serve_with_secrets(const struct config *config, const struct secrets *secrets,
                              const struct log *log, const sigset_t *signals)
{
    struct embedded_postgres *postgres;
    struct cell_list own = {0};
    char why[APP_WHY_SIZE];
    int status = -1;

    if (config->cells.count > 0) {
        status = serve_on(config, secrets, &config->cells, NULL, log, signals);
        log_write(log, LOG_INFO, "stopped", "");
        return status;
    }
    log_write(log, LOG_INFO, "starting a PostgreSQL of our own", "s:s", "folder", config->data_dir);
    postgres = embedded_postgres_start(config->data_dir, cell_connections(config), why, sizeof why);
    if (postgres == NULL) {
        log_write(log, LOG_ERROR, "PostgreSQL did not start", "s:s", "why", why);
        return -1;
    }
    if (cell_list_add(&own, "1", CELL_ACTIVE, embedded_postgres_url(postgres), why) == 0)
        status = serve_on(config, secrets, &own, postgres, log, signals);
    cell_list_clear(&own);
    embedded_postgres_stop(postgres);
    log_write(log, LOG_INFO, "stopped", "");
    return status;
}

static bool load_secrets(struct secrets *secrets, const struct config *config,
                         const struct log *log)
{
    _Static_assert((int)WEBHOOK_SECRETS_WHY_SIZE <= (int)AUTH_KEYS_WHY_SIZE, "one `why` for both");
    char why[AUTH_KEYS_WHY_SIZE] = "";

    if (config_wants_tokens(config)) {
        auth_keys_start();
        secrets->keys = load_keys(config, log, why);
    }
    if (why[0] == '\0' && config->webhook_secrets[0] != '\0')
        secrets->webhooks = webhook_secrets_load(config->webhook_secrets, why);
    if (why[0] != '\0')
        fprintf(stderr, "runtree: %s\n", why);
    return why[0] == '\0';
}

/* What is wrong with the secrets is told before anything starts. The program's exit status. */
static int serve_logged(const struct config *config, const struct log *log, const sigset_t *signals)
{
    struct secrets secrets = {0};
    int status = EXIT_USAGE;

    if (load_secrets(&secrets, config, log))
        status =
            serve_with_secrets(config, &secrets, log, signals) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    auth_keys_free(secrets.keys);
    webhook_secrets_free(secrets.webhooks);
    return status;
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
    else
        return 0;
    return -1;
}

/* By itself glibc takes blocks as large as the largest that was freed from heaps that it keeps, one
 * for each thread: a few bodies of 4 MiB, and they stay. */
static void give_large_blocks_back(void)
{
    mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES);
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

static int serve_main(int argc, char *argv[])
{
    struct config config;
    char why[CONFIG_WHY_SIZE];
    int status = config_read(&config, argc, argv, why);

    if (status == 1) {
        config_print_help();
        return EXIT_SUCCESS;
    }
    if (status < 0 || check_places(&config, why) < 0) {
        fprintf(stderr, "runtree: %s\n", why);
        config_clear(&config);
        return EXIT_USAGE;
    }
    raise_descriptor_limit();
    give_large_blocks_back();
    config_hide_secrets(argc, argv);
    status = serve(&config);
    config_clear(&config);
    return status;
}

static const struct {
    const char *name;
    int (*run)(int argc, char *argv[]); /* with what stands behind the name */
    const char *summary;
} subcommands[] = {
    {"serve", serve_main, "the service"},
    {"exec", exec_main, "run a command as an action of a run"},
    {"watch", watch_run_main, "show a run's tree, live, in a terminal"},
};

static void print_usage(FILE *file)
{
    fprintf(file, "Usage: runtree COMMAND [OPTION]…\n\n");
    for (size_t i = 0; i < sizeof subcommands / sizeof *subcommands; i++)
        fprintf(file, "  %-8s %s (runtree %s --help)\n", subcommands[i].name,
                subcommands[i].summary, subcommands[i].name);
}

int main(int argc, char *argv[])
{
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        print_usage(stdout);
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; argc > 1 && i < sizeof subcommands / sizeof *subcommands; i++)
        if (strcmp(argv[1], subcommands[i].name) == 0)
            return subcommands[i].run(argc - 2, argv + 2);
    fprintf(stderr, "runtree: %s%s\n",
            argc < 2 ? "a command is missing" : "unknown command: ", argc < 2 ? "" : argv[1]);
    print_usage(stderr);
    return EXIT_USAGE;
}
