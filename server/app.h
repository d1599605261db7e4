/* One event loop and every long-lived object on it: starts them in order and stops them backwards.
 *
 *   loop, metrics -> HTTP (health answers from here on) -> schema -> repo, writers, hubs, listener
 * -> ready
 *
 * `--threads N` is N of these, which share nothing but the numbers that /metrics adds up. */
#ifndef RUNTREE_SERVER_APP_H
#define RUNTREE_SERVER_APP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "server/auth.h"
#include "server/config.h"
#include "server/http.h"
#include "server/log.h"
#include "server/memory.h"
#include "server/metrics.h"
#include "server/rate_limit.h"
#include "sql/action_repo.h"
#include "sql/event_writer.h"
#include "sql/notify_listener.h"
#include "sql/run_remover.h"

struct frame_pool;
struct list_hub;
struct run_hubs;
struct streams;

enum { APP_WHY_SIZE = 512 };

enum { APP_READ_MAX_MS = 10000 }; /* that a client's read may take */

/* What all loops have in common; it does not change while they run. */
struct app_shared {
    const struct config *config;
    const char *database_url;
    const struct log *log;
    struct memory *memory;
    const struct route *routes;
    const struct metrics *const *metrics; /* one for each loop */
    size_t loops;
};

/* Handlers read it; only app.c writes it. */
struct app {
    const struct app_shared *shared;
    struct metrics *metrics;
    uv_loop_t *loop;
    struct auth *auth;               /* NULL: nobody is asked for a token */
    struct rate_limits *rate_limits; /* NULL: none are configured */
    struct http_server *http;
    struct gzip_packer *packer;
    struct streams *streams;
    struct frame_pool *frames;
    /* NULL until the schema is current: */
    struct action_repo *repo;      /* for clients */
    struct action_repo *live_repo; /* for hubs, which no client's read holds up */
    struct event_writers *writers;
    struct run_hubs *hubs;
    struct list_hub *list_hub;
    struct notify_listener *listener;
    struct run_remover *remover;
    bool is_draining;
    char not_ready_why[APP_WHY_SIZE]; /* why the database is not usable, for /readyz; "" for none */
};

/* Connections to the database that all loops of a process together hold open. */
int app_database_connections(const struct config *config);

/* Runs a loop until app_stop: 0, or -1 with a reason in `why` when it could not start. `listen_fd`
 * and `keys` (NULL: no tokens are asked for) are taken over. `metrics` is that of this loop.
 * `on_started` is called on the loop's thread before it runs, with what app_stop takes. */
int app_run(const struct app_shared *shared, struct metrics *metrics, int listen_fd,
            struct auth_keys *keys, void (*on_started)(void *arg, uv_async_t *stop), void *arg,
            char *why, size_t why_size);

/* From any thread: drains and ends the loop. */
void app_stop(uv_async_t *stop);

/* From any thread, until app_stop: takes `keys` over in place of those before. */
void app_use_keys(uv_async_t *stop, struct auth_keys *keys);

/* Ready to serve; else false with the reason in `why`. */
bool app_is_ready(const struct app *app, char *why, size_t why_size);

/* For the metrics: a request has ended. `route` NULL: there was none. */
void app_count_request(struct app *app, const struct route *route, unsigned status,
                       uint64_t duration_ns);

/* Brings the gauges up to date, and the counters that others keep. */
void app_collect_metrics(struct app *app);

/* When the last turn of the loop ended: the clock, and the sums until then. All zero at first. */
struct app_turn {
    uint64_t at_ns, idle_ns, cpu_ns;
};

/* At the end of each turn, which is everything between two waits, what the waiting call itself
 * called back included: how long it took. */
void app_note_turn(struct app *app, struct app_turn *turn);

#endif
