/* What the person who starts runtree decides: flags over environment over defaults. */
#ifndef RUNTREE_SERVER_CONFIG_H
#define RUNTREE_SERVER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/cell_list.h"

enum { CONFIG_WHY_SIZE = 320 };

/* Strings are borrowed from argv, the environment or the program, where they do not say otherwise.
 */
struct config {
    const char *listen; /* HOST:PORT, [IPV6]:PORT */
    struct {
        const char *items[CELLS_MAX];
        size_t count;
    } database_urls;
    const char *cells_file; /* "": none */
    struct cell_list cells; /* of that file or those URLs; empty: a PostgreSQL of our own */
    const char *data_dir;
    const char *cors_origins;    /* comma-separated; "": same origin only; "*": any */
    const char *log_level;       /* error, warning, info, debug */
    const char *auth;            /* off, jwt */
    const char *auth_keys;       /* file; "": none */
    const char *auth_secret;     /* file; "": none */
    const char *webhook_secrets; /* file; "": none */
    const char *auth_issuer, *auth_audience, *auth_claim;
    int64_t auth_leeway_s;
    bool insecure_listen_anywhere;
    bool metrics_open;
    int64_t threads;
    int64_t writer_connections;
    int64_t write_queue_bytes;
    int64_t connections_max;
    int64_t connections_per_address_max;
    int64_t request_timeout_ms;
    int64_t rate_limit_requests, rate_limit_events; /* a second, of one client; 0: no limit */
    int64_t streams_max;
    int64_t streams_per_client_max;
    int64_t read_queue_max;
    int64_t memory_max_bytes; /* 0: by what the process may have */
    int64_t flush_interval_ms;
    int64_t heartbeat_ms;
    int64_t hub_linger_ms;
    int64_t stall_ms;          /* a stream that takes nothing for so long is cut off */
    int64_t abandoned_after_s; /* 0: what nobody ended stays as it is */
    int64_t retention_days;    /* 0: runs are kept for ever */
    int64_t goodbye_ms;        /* over which streams are then told to come back */
    int64_t drain_ms;          /* between "not ready" and the end of streams at a SIGTERM */
};

/* 0; 1 if `--help` was asked for (print config_print_help and exit 0); -EINVAL with the reason in
 * `why`. `argv` as in main, behind the command. */
int config_read(struct config *config, int argc, char *const argv[],
                char why[static CONFIG_WHY_SIZE]);

/* Whether requests must bring a token. */
bool config_wants_tokens(const struct config *config);

/* Overwrites what of `argv` other users of the machine must not read in the list of processes. */
void config_hide_secrets(int argc, char *const argv[]);

void config_clear(struct config *config);

/* The flags, their variables, defaults and meaning, to standard output. */
void config_print_help(void);

#endif
