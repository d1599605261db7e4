/* One event loop with its thread, and every long-lived object on it: starts them in order; at the
 * end stops them, drains the loop and frees them backwards.
 *
 *   loop, metrics -> HTTP (health answers from here on) -> cells -> ready
 *
 * `--threads N` is N of these, which share nothing but the numbers that /metrics adds up. */
#ifndef RUNTREE_SERVER_APP_H
#define RUNTREE_SERVER_APP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "model/run_key.h"
#include "server/auth.h"
#include "server/cell.h"
#include "server/config.h"
#include "server/http.h"
#include "server/log.h"
#include "server/memory.h"
#include "server/metrics.h"
#include "server/places.h"
#include "server/rate_limit.h"
#include "server/webhook_secrets.h"

struct channels;
struct streams;

enum { APP_WHY_SIZE = 512 };

/* What all loops have in common; it does not change while they run. */
struct app_shared {
    const struct config *config;
    const struct cell_list *cells;
    const struct log *log;
    struct webhook_secrets *webhook_secrets; /* NULL: none */
    struct memory *memory;
    const struct route *routes;
    problem_form *problem_form;           /* see struct http_options */
    call_handler *call_handler;           /* likewise */
    const struct metrics *const *metrics; /* of each loop one for each cell, as it is listed */
    size_t metrics_count;
    _Atomic enum cell_health *cell_healths; /* likewise */
    size_t loops;
};

/* Handlers read it; only app.c writes it. */
struct app {
    const struct app_shared *shared;
    struct metrics *metrics; /* one for each cell; what is of no cell is in the first */
    uv_loop_t *loop;
    struct auth *auth;               /* NULL: nobody is asked for a token */
    struct rate_limits *rate_limits; /* NULL: none are configured */
    struct http_server *http;
    struct gzip_packer *packer;
    struct streams *streams;
    struct channels *channels;
    struct places *places; /* which cell a run is in */
    struct cell **cells;
    size_t cell_count;
    struct {
        bool http, streams;
    } due; /* which have something to do before the loop waits */
    bool is_draining;
};

/* A loop that listens, and does not run yet. `listen_fd` and `keys` (NULL: no tokens are asked for)
 * are taken over, also on failure; `metrics` are those of this loop. NULL with a reason in `why`.
 */
struct app *app_new(const struct app_shared *shared, struct metrics *metrics, int listen_fd,
                    struct auth_keys *keys, char *why, size_t why_size);

/* Runs it on a thread of its own. 0, or -1 when there can be none. */
int app_start(struct app *app);

/* From any thread: drains and ends the loop. */
void app_stop(struct app *app);

/* Waits for the end of a loop that was started, which app_stop brings about; then frees it. */
void app_free(struct app *app);

/* From any thread: takes `keys` over in place of those before. */
void app_use_keys(struct app *app, struct auth_keys *keys);

/* The cell that the run is in, or would be made in; NULL if that is not known yet (places_find), or
 * cannot be had. */
struct cell *app_cell_of(const struct app *app, const struct run_key *run);

/* Ready to serve, on whichever loop: at least half of the cells are usable, and none of the others
 * is only just being connected to; else false with the reason in `why`. */
bool app_is_ready(const struct app *app, char *why, size_t why_size);

/* How far the loop's cell at `index` is, of all loops on the one that is least far. */
enum cell_health app_cell_health(const struct app *app, size_t index);

/* Brings the gauges up to date, and the counters that others keep. */
void app_collect_metrics(struct app *app);

#endif
