#include "server/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum option_kind { OPTION_TEXT, OPTION_URL, OPTION_NUMBER, OPTION_SWITCH };

struct option_row {
    const char *flag;     /* without the dashes */
    const char *variable; /* of the environment */
    enum option_kind kind;
    size_t offset; /* in struct config */
    const char *text_default;
    int64_t number_default, min, max;
    const char *meaning;
};

#define TEXT(member, flag, variable, value, meaning)                                               \
    {                                                                                              \
        flag, variable, OPTION_TEXT, offsetof(struct config, member), value, 0, 0, 0, meaning      \
    }
#define NUMBER(member, flag, variable, value, min, max, meaning)                                   \
    {                                                                                              \
        flag, variable, OPTION_NUMBER, offsetof(struct config, member), NULL, value, min, max,     \
            meaning                                                                                \
    }

#define SWITCH(member, flag, variable, meaning)                                                    \
    {                                                                                              \
        flag, variable, OPTION_SWITCH, offsetof(struct config, member), NULL, 0, 0, 1, meaning     \
    }

static const struct option_row options[] = {
    TEXT(listen, "listen", "RUNTREE_LISTEN", "127.0.0.1:8080", "address to serve HTTP on"),
    {"database-url", "RUNTREE_DATABASE_URL", OPTION_URL, 0, NULL, 0, 0, 0,
     "libpq connection string; without one runtree starts its own PostgreSQL; several are cells"},
    TEXT(cells_file, "cells", "RUNTREE_CELLS", "",
         "file of databases that share the runs, one a line: NAME active URL (docs/scale.md)"),
    TEXT(data_dir, "data-dir", "RUNTREE_DATA_DIR", "./runtree-data",
         "folder of that PostgreSQL's files"),
    NUMBER(threads, "threads", "RUNTREE_THREADS", 1, 1, 64,
           "event loops, which share nothing but the listening address"),
    TEXT(cors_origins, "cors-origins", "RUNTREE_CORS_ORIGINS", "",
         "origins, comma-separated, whose pages may call the API; * for any"),
    TEXT(auth, "auth", "RUNTREE_AUTH", "off",
         "off, or jwt: every request needs a signed token (docs/security.md)"),
    TEXT(auth_keys, "auth-keys", "RUNTREE_AUTH_KEYS", "",
         "file of the public keys of those who sign tokens: JWKS, JWK or PEM; read again at a"
         " SIGHUP"),
    TEXT(auth_secret, "auth-secret-file", "RUNTREE_AUTH_SECRET_FILE", "",
         "file of a secret that signs tokens (HMAC): 32 to 4096 bytes; read again at a SIGHUP"),
    TEXT(webhook_secrets, "webhook-secrets-file", "RUNTREE_WEBHOOK_SECRETS_FILE", "",
         "file of GitHub's secrets, PROJECT/DOMAIN SECRET a line; read again at a SIGHUP"),
    TEXT(auth_issuer, "auth-issuer", "RUNTREE_AUTH_ISSUER", "", "iss that tokens must have"),
    TEXT(auth_audience, "auth-audience", "RUNTREE_AUTH_AUDIENCE", "",
         "aud that tokens must have; without it they must have none"),
    TEXT(auth_claim, "auth-claim", "RUNTREE_AUTH_CLAIM", "runtree",
         "claim that says what a token allows"),
    NUMBER(auth_leeway_s, "auth-leeway-s", "RUNTREE_AUTH_LEEWAY_S", 30, 0, 600,
           "by how much clocks may differ from the issuer's"),
    SWITCH(insecure_listen_anywhere, "insecure-listen-anywhere", "RUNTREE_INSECURE_LISTEN_ANYWHERE",
           "listen beyond loopback without --auth: whoever reaches the address may do everything"),
    SWITCH(metrics_open, "metrics-open", "RUNTREE_METRICS_OPEN",
           "serve /metrics without a token; otherwise it needs admin on every project"),
    TEXT(log_level, "log-level", "RUNTREE_LOG_LEVEL", "info", "error, warning, info or debug"),
    NUMBER(writer_connections, "writer-connections", "RUNTREE_WRITER_CONNECTIONS", 2, 1, 16,
           "database connections that write, for each event loop"),
    NUMBER(write_queue_bytes, "write-queue-bytes", "RUNTREE_WRITE_QUEUE_BYTES", 64 << 20, 1 << 20,
           INT64_C(1) << 40, "events that may wait for the database; past it 503"),
    NUMBER(connections_max, "connections-max", "RUNTREE_CONNECTIONS_MAX", 20000, 10, 1000000,
           "HTTP connections for each event loop, streams not counted"),
    NUMBER(connections_per_address_max, "connections-per-address-max",
           "RUNTREE_CONNECTIONS_PER_ADDRESS_MAX", 0, 0, 1000000,
           "those that one client address may have, in each event loop; 0: no limit (proxies)"),
    NUMBER(request_timeout_ms, "request-timeout-ms", "RUNTREE_REQUEST_TIMEOUT_MS", 60000, 100,
           3600000, "time that a request's head and body may take to arrive"),
    NUMBER(rate_limit_requests, "rate-limit-requests", "RUNTREE_RATE_LIMIT_REQUESTS", 0, 0, 1000000,
           "requests a second of one client (a token's subject, else an address); 0: no limit"),
    NUMBER(rate_limit_events, "rate-limit-events", "RUNTREE_RATE_LIMIT_EVENTS", 0, 0, 1000000,
           "events a second of one client; 0: no limit"),
    NUMBER(streams_max, "streams-max", "RUNTREE_STREAMS_MAX", 50000, 1, 1000000,
           "streams for each event loop; past it 503"),
    NUMBER(streams_per_client_max, "streams-per-client-max", "RUNTREE_STREAMS_PER_CLIENT_MAX", 0, 0,
           1000000, "streams of one client, for each event loop; past it 429; 0: no limit"),
    NUMBER(read_queue_max, "read-queue-max", "RUNTREE_READ_QUEUE_MAX", 10000, 1, 1000000,
           "reads that may wait for the database, for each event loop; past it 503"),
    NUMBER(memory_max_bytes, "memory-max-bytes", "RUNTREE_MEMORY_MAX_BYTES", 0, 0, INT64_C(1) << 50,
           "memory for clients; past it new work is 503; 0: 3/4 of the cgroup's or machine's"),
    NUMBER(flush_interval_ms, "flush-interval-ms", "RUNTREE_FLUSH_INTERVAL_MS", 10, 0, 60000,
           "average time between two flushes of one run to its watchers; at least half"),
    NUMBER(heartbeat_ms, "heartbeat-ms", "RUNTREE_HEARTBEAT_MS", 15000, 100, 600000,
           "silence on a stream after which a heartbeat is sent"),
    NUMBER(hub_linger_ms, "hub-linger-ms", "RUNTREE_HUB_LINGER_MS", 30000, 0, 3600000,
           "time that a run's tree is kept after its last watcher left"),
    NUMBER(stall_ms, "stall-ms", "RUNTREE_STALL_MS", 10000, 100, 600000,
           "a stream that takes nothing for so long is cut off"),
    NUMBER(abandoned_after_s, "abandoned-after-s", "RUNTREE_ABANDONED_AFTER_S", 900, 0, 31536000,
           "silence after which what an ended run left open is ABORTED; 0 for never"),
    NUMBER(retention_days, "retention-days", "RUNTREE_RETENTION_DAYS", 0, 0, 36500,
           "days after which a run that has ended is deleted; 0 for never"),
    NUMBER(goodbye_ms, "goodbye-ms", "RUNTREE_GOODBYE_MS", 0, 0, 600000,
           "then: time over which streams are told, a few at a time, to come back elsewhere"),
    NUMBER(drain_ms, "drain-ms", "RUNTREE_DRAIN_MS", 0, 0, 600000,
           "at a SIGTERM: time to go on serving while not ready"),
};
enum { OPTION_COUNT = sizeof options / sizeof *options };

static int add_url(struct config *config, const char *url, const char *source,
                   char why[static CONFIG_WHY_SIZE])
{
    if (config->database_urls.count == CELLS_MAX) {
        snprintf(why, CONFIG_WHY_SIZE, "%s: there may be %d at most", source, CELLS_MAX);
        return -EINVAL;
    }
    config->database_urls.items[config->database_urls.count++] = url;
    return 0;
}

static int set_option(struct config *config, const struct option_row *row, const char *value,
                      const char *source, char why[static CONFIG_WHY_SIZE])
{
    char *member = (char *)config + row->offset;
    char *end;
    long long number;

    if (row->kind == OPTION_TEXT) {
        memcpy(member, &value, sizeof value);
        return 0;
    }
    if (row->kind == OPTION_URL)
        return add_url(config, value, source, why);
    if (row->kind == OPTION_SWITCH) {
        bool is_on = strcmp(value, "true") == 0;

        if (!is_on && strcmp(value, "false") != 0) {
            snprintf(why, CONFIG_WHY_SIZE, "%s: \"%s\" is neither true nor false", source, value);
            return -EINVAL;
        }
        memcpy(member, &is_on, sizeof is_on);
        return 0;
    }
    errno = 0;
    number = strtoll(value, &end, 10);
    if (*value == '\0' || *end != '\0' || errno != 0 || number < row->min || number > row->max) {
        snprintf(why, CONFIG_WHY_SIZE, "%s: \"%s\" is not a whole number from %lld to %lld", source,
                 value, (long long)row->min, (long long)row->max);
        return -EINVAL;
    }
    memcpy(member, &(int64_t){number}, sizeof(int64_t));
    return 0;
}

/* Sets `argv[*i]`, which is "--flag=value", or "--flag" with the value behind it. */
static int read_flag(struct config *config, int argc, char *const argv[], int *i,
                     char why[static CONFIG_WHY_SIZE])
{
    const char *argument = argv[*i];
    size_t length = strcspn(argument, "=");
    char source[64];

    for (size_t k = 0; k < OPTION_COUNT && strncmp(argument, "--", 2) == 0; k++) {
        const struct option_row *row = &options[k];

        if (strlen(row->flag) != length - 2 || strncmp(argument + 2, row->flag, length - 2) != 0)
            continue;
        snprintf(source, sizeof source, "--%s", row->flag);
        if (argument[length] == '=')
            return set_option(config, row, argument + length + 1, source, why);
        if (row->kind == OPTION_SWITCH)
            return set_option(config, row, "true", source, why);
        if (*i + 1 == argc) {
            snprintf(why, CONFIG_WHY_SIZE, "%s wants a value", source);
            return -EINVAL;
        }
        return set_option(config, row, argv[++*i], source, why);
    }
    snprintf(why, CONFIG_WHY_SIZE, "unknown option: %.100s (see runtree serve --help)", argument);
    return -EINVAL;
}

bool config_wants_tokens(const struct config *config)
{
    return strcmp(config->auth, "jwt") == 0;
}

/* Whether only this machine can reach the host of HOST:PORT. */
static bool is_loopback(const char *address)
{
    size_t length = (size_t)(strrchr(address, ':') - address);
    struct in_addr v4;
    char host[64];

    if (length >= sizeof host)
        return false;
    memcpy(host, address, length);
    host[length] = '\0';
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           strcmp(host, "::1") == 0 ||
           (inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET);
}

static int check_access(const struct config *config, char why[static CONFIG_WHY_SIZE])
{
    bool wants_tokens = config_wants_tokens(config);

    if (!wants_tokens && strcmp(config->auth, "off") != 0)
        snprintf(why, CONFIG_WHY_SIZE, "--auth: \"%.100s\" is neither off nor jwt", config->auth);
    else if (wants_tokens && config->auth_keys[0] == '\0' && config->auth_secret[0] == '\0')
        snprintf(why, CONFIG_WHY_SIZE,
                 "--auth jwt wants --auth-keys FILE, --auth-secret-file FILE or both to verify"
                 " tokens with");
    else if (!wants_tokens && !config->insecure_listen_anywhere && !is_loopback(config->listen))
        snprintf(why, CONFIG_WHY_SIZE,
                 "--listen %.60s can be reached from other machines, and without --auth jwt whoever"
                 " reaches it may read and write everything; if something else keeps strangers"
                 " out, say --insecure-listen-anywhere",
                 config->listen);
    else
        return 0;
    return -EINVAL;
}

static int check_texts(const struct config *config, char why[static CONFIG_WHY_SIZE])
{
    static const char *const levels[] = {"error", "warning", "info", "debug"};
    const char *colon = strrchr(config->listen, ':');
    char *end;
    long port = colon == NULL ? 0 : strtol(colon + 1, &end, 10);

    if (colon == NULL || colon == config->listen || colon[1] == '\0' || *end != '\0' || port < 0 ||
        port > 65535) {
        snprintf(why, CONFIG_WHY_SIZE, "--listen (RUNTREE_LISTEN): \"%.100s\" is not HOST:PORT",
                 config->listen);
        return -EINVAL;
    }
    if (config->data_dir[0] == '\0') {
        snprintf(why, CONFIG_WHY_SIZE,
                 "--data-dir (RUNTREE_DATA_DIR): a folder's path must not be empty");
        return -EINVAL;
    }
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (strcmp(config->log_level, levels[i]) == 0)
            return check_access(config, why);
    snprintf(why, CONFIG_WHY_SIZE,
             "--log-level (RUNTREE_LOG_LEVEL): \"%.100s\" is none of error, warning, info, debug",
             config->log_level);
    return -EINVAL;
}

/* Cells "1", "2" … of the URLs behind the first `skipped`: flags are over the environment. */
static int list_urls(struct config *config, size_t skipped, char why[static CONFIG_WHY_SIZE])
{
    size_t count = config->database_urls.count - skipped;
    const char **urls = &config->database_urls.items[skipped];
    char name[CELL_NAME_SIZE], reason[CELL_LIST_WHY_SIZE];

    if (count == 1 && urls[0][0] == '\0')
        return 0;
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%zu", i + 1);
        if (urls[i][0] == '\0')
            snprintf(reason, sizeof reason, "that of cell %s is empty", name);
        else if (cell_list_add(&config->cells, name, CELL_ACTIVE, urls[i], reason) == 0)
            continue;
        snprintf(why, CONFIG_WHY_SIZE, "--database-url (RUNTREE_DATABASE_URL): %.260s", reason);
        return -EINVAL;
    }
    return 0;
}

static int list_cells(struct config *config, size_t skipped, char why[static CONFIG_WHY_SIZE])
{
    char reason[CELL_LIST_WHY_SIZE];

    if (config->cells_file[0] == '\0')
        return list_urls(config, skipped, why);
    if (config->database_urls.count > 0)
        snprintf(why, CONFIG_WHY_SIZE,
                 "--cells (RUNTREE_CELLS) and --database-url (RUNTREE_DATABASE_URL): one of them");
    else if (cell_list_load(&config->cells, config->cells_file, reason) < 0)
        snprintf(why, CONFIG_WHY_SIZE, "--cells (RUNTREE_CELLS): %.280s", reason);
    else
        return 0;
    return -EINVAL;
}

int config_read(struct config *config, int argc, char *const argv[],
                char why[static CONFIG_WHY_SIZE])
{
    size_t from_environment;

    *config = (struct config){0};
    for (size_t k = 0; k < OPTION_COUNT; k++) {
        const struct option_row *row = &options[k];
        const char *value = getenv(row->variable);
        char *member = (char *)config + row->offset;

        if (row->kind == OPTION_TEXT)
            memcpy(member, &row->text_default, sizeof row->text_default);
        else if (row->kind == OPTION_NUMBER)
            memcpy(member, &row->number_default, sizeof row->number_default);
        if (value != NULL && *value != '\0' &&
            set_option(config, row, value, row->variable, why) < 0)
            return -EINVAL;
    }
    from_environment = config->database_urls.count;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return 1;
        if (read_flag(config, argc, argv, &i, why) < 0)
            return -EINVAL;
    }
    if (check_texts(config, why) < 0)
        return -EINVAL;
    return list_cells(config, config->database_urls.count > from_environment ? from_environment : 0,
                      why);
}

void config_hide_secrets(int argc, char *const argv[])
{
    static const char flag[] = "--database-url";

    for (int i = 0; i < argc; i++) {
        char *secret = NULL;

        if (strncmp(argv[i], flag, sizeof flag - 1) != 0)
            continue;
        if (argv[i][sizeof flag - 1] == '=')
            secret = argv[i] + sizeof flag;
        else if (argv[i][sizeof flag - 1] == '\0' && i + 1 < argc)
            secret = argv[++i];
        if (secret != NULL)
            memset(secret, '*', strlen(secret));
    }
}

void config_clear(struct config *config)
{
    cell_list_clear(&config->cells);
}

void config_print_help(void)
{
    printf("Usage: runtree serve [OPTION]…\n\n"
           "Records what happens to the actions of workflow runs and shows each run, live, as a"
           " tree.\nEach option can be given by its flag, or by the variable in brackets.\n\n");
    for (size_t k = 0; k < OPTION_COUNT; k++) {
        const struct option_row *row = &options[k];

        printf("  --%s%s  [%s]\n      %s", row->flag,
               row->kind == OPTION_TEXT || row->kind == OPTION_URL ? " TEXT"
               : row->kind == OPTION_NUMBER                        ? " N"
                                                                   : "",
               row->variable, row->meaning);
        if (row->kind == OPTION_NUMBER)
            printf(" (default %lld)", (long long)row->number_default);
        else if (row->text_default != NULL && row->text_default[0] != '\0')
            printf(" (default %s)", row->text_default);
        printf("\n");
    }
    printf("  --help\n      this text\n");
}
