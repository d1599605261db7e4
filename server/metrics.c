#include "server/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct metric_description {
    const char *name;
    const char *type;
    const char *help;
    bool is_maximum; /* of all loops, not their sum */
    double unit;     /* in which the value is kept; 0: it is a count */
    bool is_of_cell; /* of a database, not of the whole process */
};

static const struct metric_description descriptions[METRIC_COUNT] = {
    [METRIC_EVENTS_APPLIED] = {"runtree_events_applied_total", "counter",
                               "Events that became the state of their action."},
    [METRIC_EVENTS_RECORDED] =
        {"runtree_events_recorded_total", "counter",
         "Events kept in the history of an action that was further already."},
    [METRIC_EVENTS_WAITING] = {"runtree_events_waiting_total", "counter",
                               "Events recorded for an action whose parent was not in the tree."},
    [METRIC_EVENTS_DUPLICATE] = {"runtree_events_duplicate_total", "counter",
                                 "Events that were recorded already."},
    [METRIC_EVENTS_REJECTED] = {"runtree_events_rejected_total", "counter", "Events rejected."},
    [METRIC_REQUESTS_TIMED_OUT] = {"runtree_requests_timed_out_total", "counter",
                                   "Requests that took too long to arrive, answers that nobody "
                                   "took, and connections that asked nothing for too long."},
    [METRIC_CONNECTIONS_REFUSED] = {"runtree_connections_refused_total", "counter",
                                    "Connections closed because their address had too many."},
    [METRIC_RATE_LIMITED] = {"runtree_rate_limited_total", "counter",
                             "Requests answered by 429: a rate, or a client's number of streams."},
    [METRIC_WRITE_BATCHES] = {"runtree_write_batches_total", "counter",
                              "Transactions committed by the writers.", .is_of_cell = true},
    [METRIC_WRITE_REFUSED] = {"runtree_write_refused_total", "counter",
                              "Batches that the database refused.", .is_of_cell = true},
    [METRIC_WRITE_BATCHES_UNREAD] = {"runtree_write_batches_unread_total", "counter",
                                     "Of the batches, those for which nothing was read.",
                                     .is_of_cell = true},
    [METRIC_WRITE_CONFLICTS] = {"runtree_write_conflicts_total", "counter",
                                "Batches decided again because another process changed a run.",
                                .is_of_cell = true},
    [METRIC_DATABASE_LOST] = {"runtree_database_lost_total", "counter",
                              "Database connections lost, and attempts to connect that failed.",
                              .is_of_cell = true},
    [METRIC_NOTIFICATIONS] = {"runtree_notifications_total", "counter",
                              "Notifications heard from the database.", .is_of_cell = true},
    [METRIC_HUB_READS] = {"runtree_hub_reads_total", "counter", "Reads of a watched run.",
                          .is_of_cell = true},
    [METRIC_HUB_POLLED] = {"runtree_hub_polled_total", "counter",
                           "Watched runs found changed by the poll, not by a notification.",
                           .is_of_cell = true},
    [METRIC_LIST_READS] = {"runtree_list_reads_total", "counter",
                           "Reads of the runs that moved, for the watchers of the list.",
                           .is_of_cell = true},
    [METRIC_ACTIONS_ABANDONED] = {"runtree_actions_abandoned_total", "counter",
                                  "Actions that nobody ended, recorded as ABORTED.",
                                  .is_of_cell = true},
    [METRIC_RUNS_REMOVED] = {"runtree_runs_deleted_total", "counter", "Runs deleted.",
                             .is_of_cell = true},
    [METRIC_STREAMS_OPENED] = {"runtree_streams_opened_total", "counter", "Streams opened."},
    [METRIC_STREAMS_RESUMED] = {"runtree_streams_resumed_total", "counter",
                                "Streams that went on from their last event id."},
    [METRIC_STREAMS_RESET] = {"runtree_streams_reset_total", "counter",
                              "Streams that had to start anew: their last event id was of no use."},
    [METRIC_HUB_RESETS] = {"runtree_hub_resets_total", "counter",
                           "Watched runs, and the list of runs, all of whose streams had to start "
                           "anew.",
                           .is_of_cell = true},
    [METRIC_STREAMS_STALLED] = {"runtree_streams_stalled_total", "counter",
                                "Streams cut off because they took nothing."},
    [METRIC_STREAM_FRAMES] = {"runtree_stream_frames_total", "counter", "Frames sent to streams."},
    [METRIC_STREAM_FRAMES_COMPRESSED] =
        {"runtree_stream_frames_compressed_total", "counter",
         "Frames compressed, each once for all streams that send it."},
    [METRIC_STREAM_BYTES] = {"runtree_stream_bytes_total", "counter", "Bytes sent to streams."},
    [METRIC_AUTH_RELOAD_FAILED] = {"runtree_auth_reload_failed_total", "counter",
                                   "SIGHUPs at which the keys could not be read and stayed."},
    [METRIC_AUTH_KEYS] = {"runtree_auth_keys", "gauge", "Keys that tokens are verified with.",
                          true},
    [METRIC_WRITE_QUEUE_BYTES] = {"runtree_write_queue_bytes", "gauge",
                                  "Bytes of events that wait for a writer.", .is_of_cell = true},
    [METRIC_READ_QUEUE] = {"runtree_read_queue", "gauge", "Reads that wait for the database.",
                           .is_of_cell = true},
    [METRIC_DATABASE_CONNECTIONS] = {"runtree_database_connections", "gauge",
                                     "Database connections that are usable.", .is_of_cell = true},
    [METRIC_CELL_UP] = {"runtree_cell_up", "gauge",
                        "Event loops that can read, write and listen in the database.",
                        .is_of_cell = true},
    [METRIC_CELL_RUNS] = {"runtree_cell_runs", "gauge",
                          "Runs in the database, of each project and domain 1,000 at most.",
                          .is_of_cell = true},
    [METRIC_NOTIFICATION_QUEUE_MILLIONTHS] =
        {"runtree_notification_queue_usage_ratio", "gauge",
         "Part of the database's notification queue that is in use.", true, 1e-6,
         .is_of_cell = true},
    [METRIC_CONNECTIONS] = {"runtree_connections", "gauge",
                            "HTTP connections, streams not counted."},
    [METRIC_STREAMS] = {"runtree_streams", "gauge", "Open streams."},
    [METRIC_HUBS] = {"runtree_hubs", "gauge", "Runs whose tree is held.", .is_of_cell = true},
    [METRIC_VIEWS] = {"runtree_views", "gauge", "Filters over them.", .is_of_cell = true},
    [METRIC_NODES] = {"runtree_nodes", "gauge", "Actions in the trees held.", .is_of_cell = true},
    [METRIC_LIST_VIEWS] = {"runtree_list_views", "gauge", "Filters over the list of runs.",
                           .is_of_cell = true},
    [METRIC_LIST_RUNS] = {"runtree_list_runs", "gauge",
                          "Runs that moved lately, held for the watchers of the list.",
                          .is_of_cell = true},
    [METRIC_LOOP_BLOCKED_MAX_US] = {"runtree_loop_blocked_max_microseconds", "gauge",
                                    "Longest turn of an event loop since the start.", true},
    [METRIC_LOOP_CPU_MAX_US] = {"runtree_loop_cpu_max_microseconds", "gauge",
                                "Most processor time of one turn of an event loop.", true},
};

struct histogram_description {
    const char *name;
    const char *help;
    double bounds[HISTOGRAM_BUCKETS];
    bool is_of_cell;
};

#define SECONDS                                                                                    \
    {                                                                                              \
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5,  \
            5, 10                                                                                  \
    }

static const struct histogram_description histograms[HISTOGRAM_COUNT] = {
    [HISTOGRAM_COMMIT] = {"runtree_commit_seconds",
                          "From the first byte of a batch to the database until its commit.",
                          SECONDS, .is_of_cell = true},
    [HISTOGRAM_BATCH] = {"runtree_batch_events",
                         "Events in a transaction.",
                         {1, 2, 4, 8, 16, 32, 64, 100, 128, 256, 512, 1000, 1024, 2048, 4096, 5000},
                         .is_of_cell = true},
    [HISTOGRAM_LAG] = {"runtree_flush_lag_seconds",
                       "From hearing that a watched run changed until the change is flushed.",
                       SECONDS, .is_of_cell = true},
    [HISTOGRAM_LIST_LAG] = {"runtree_list_flush_lag_seconds",
                            "From hearing that a run changed until the change is flushed to the "
                            "watchers of the list of runs.",
                            SECONDS, .is_of_cell = true},
    [HISTOGRAM_TURN] = {"runtree_loop_turn_seconds",
                        "A turn of an event loop: everything between two waits.", SECONDS, false},
};

static const struct histogram_description request_histogram = {
    "runtree_http_request_seconds", "From a request's head to its end.", SECONDS, false};

void metrics_add(struct metrics *metrics, enum metric metric, uint64_t more)
{
    metrics->values[metric] += more;
}

void metrics_set(struct metrics *metrics, enum metric metric, uint64_t value)
{
    metrics->values[metric] = value;
}

void metrics_raise(struct metrics *metrics, enum metric metric, uint64_t value)
{
    if (value > metrics->values[metric])
        metrics->values[metric] = value;
}

static void observe(struct histogram_values *values, const double *bounds, double value)
{
    size_t bucket = 0;

    while (bucket < HISTOGRAM_BUCKETS && value > bounds[bucket])
        bucket++;
    values->buckets[bucket]++;
    values->sum_millionths += (uint64_t)(value * 1e6);
}

void metrics_observe(struct metrics *metrics, enum histogram histogram, double value)
{
    observe(&metrics->histograms[histogram], histograms[histogram].bounds, value);
}

void metrics_observe_request(struct metrics *metrics, size_t route, unsigned status, double seconds)
{
    struct route_values *values = &metrics->routes[route];
    unsigned class = status / 100;

    values->by_class[class < STATUS_CLASSES ? class : 0]++;
    observe(&values->duration, request_histogram.bounds, seconds);
}

/* -------- writing -------- */

static void write_line(struct buffer *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void write_line(struct buffer *out, const char *format, ...)
{
    char line[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    buffer_text(out, line);
}

static void write_head(struct buffer *out, const char *name, const char *type, const char *help)
{
    write_line(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* `labels` is "" or `name="value",` for each label. */
static void write_histogram(struct buffer *out, const struct histogram_description *description,
                            const char *labels, const struct histogram_values *const *values,
                            size_t count)
{
    uint64_t total = 0, sum = 0;

    for (size_t bucket = 0; bucket <= HISTOGRAM_BUCKETS; bucket++) {
        for (size_t i = 0; i < count; i++)
            total += values[i]->buckets[bucket];
        if (bucket < HISTOGRAM_BUCKETS)
            write_line(out, "%s_bucket{%sle=\"%g\"} %" PRIu64 "\n", description->name, labels,
                       description->bounds[bucket], total);
    }
    for (size_t i = 0; i < count; i++)
        sum += values[i]->sum_millionths;
    write_line(out, "%s_bucket{%sle=\"+Inf\"} %" PRIu64 "\n", description->name, labels, total);
    write_line(out, "%s_sum{%.*s} %g\n", description->name,
               (int)(labels[0] == '\0' ? 0 : strlen(labels) - 1), labels, (double)sum / 1e6);
    write_line(out, "%s_count{%.*s} %" PRIu64 "\n", description->name,
               (int)(labels[0] == '\0' ? 0 : strlen(labels) - 1), labels, total);
}

static const char *method_name(enum http_method method)
{
    return method == HTTP_GET    ? "GET"
           : method == HTTP_POST ? "POST"
           : method == HTTP_PUT  ? "PUT"
                                 : "DELETE";
}

static void write_requests(const struct metrics *const *all, size_t count,
                           const struct route *routes, struct buffer *out)
{
    const struct histogram_values *values[METRICS_MAX] = {0};
    size_t route_count = 0;

    while (routes[route_count].pattern != NULL)
        route_count++;
    write_head(out, "runtree_http_requests_total", "counter", "Requests answered.");
    for (size_t route = 0; route <= route_count; route++) {
        size_t slot = route == route_count ? ROUTES_MAX : route;

        for (unsigned class = 1; class < STATUS_CLASSES; class ++) {
            uint64_t total = 0;

            for (size_t i = 0; i < count; i++)
                total += all[i]->routes[slot].by_class[class];
            if (total > 0)
                write_line(out,
                           "runtree_http_requests_total{method=\"%s\",route=\"%s\",code=\"%uxx\"} "
                           "%" PRIu64 "\n",
                           route == route_count ? "" : method_name(routes[route].method),
                           route == route_count ? "" : routes[route].pattern, class, total);
        }
    }
    write_head(out, request_histogram.name, "histogram", request_histogram.help);
    for (size_t route = 0; route < route_count; route++) {
        char labels[256];

        for (size_t i = 0; i < count; i++)
            values[i] = &all[i]->routes[route].duration;
        snprintf(labels, sizeof labels, "method=\"%s\",route=\"%s\",",
                 method_name(routes[route].method), routes[route].pattern);
        write_histogram(out, &request_histogram, labels, values, count);
    }
}

static struct unmapped_slot *find_unmapped(struct metrics *metrics, const char *tool,
                                           const char *kind)
{
    for (size_t i = 0; i < UNMAPPED_SLOTS; i++) {
        struct unmapped_slot *slot = &metrics->unmapped[i];

        if (slot->tool == NULL) {
            slot->kind = kind;
            slot->tool = tool;
        }
        if (strcmp(slot->tool, tool) == 0 && strcmp(slot->kind, kind) == 0)
            return slot;
    }
    return NULL;
}

void metrics_add_unmapped(struct metrics *metrics, const char *tool, const char *kind,
                          uint64_t more)
{
    struct unmapped_slot *slot = find_unmapped(metrics, tool, kind);

    if (slot != NULL)
        slot->count += more;
}

uint64_t metrics_unmapped(const struct metrics *const *all, size_t count, const char *tool,
                          const char *kind)
{
    uint64_t total = 0;

    for (size_t i = 0; i < count; i++) {
        const struct unmapped_slot *slot = all[i]->unmapped;

        for (; slot < all[i]->unmapped + UNMAPPED_SLOTS && slot->tool != NULL; slot++)
            if (strcmp(slot->tool, tool) == 0 && strcmp(slot->kind, kind) == 0)
                total += slot->count;
    }
    return total;
}

/* Each pair once, with the sum of all loops: where it comes first. */
static void write_unmapped(const struct metrics *const *all, size_t count, struct buffer *out)
{
    write_head(out, "runtree_adapter_unmapped_total", "counter",
               "Messages of other tools, and events made of them, that were not recorded.");
    for (size_t i = 0; i < count; i++) {
        const struct unmapped_slot *slot = all[i]->unmapped;

        for (; slot < all[i]->unmapped + UNMAPPED_SLOTS && slot->tool != NULL; slot++)
            if (metrics_unmapped(all, i, slot->tool, slot->kind) == 0)
                write_line(out,
                           "runtree_adapter_unmapped_total{tool=\"%s\",kind=\"%s\"} %" PRIu64 "\n",
                           slot->tool, slot->kind,
                           metrics_unmapped(all + i, count - i, slot->tool, slot->kind));
    }
}

static void write_memory(const struct memory *memory, struct buffer *out)
{
    write_head(out, "runtree_memory_bytes", "gauge", "Memory held for clients, by what it is for.");
    for (int kind = 0; kind < MEMORY_KINDS; kind++)
        write_line(out, "runtree_memory_bytes{kind=\"%s\"} %" PRIu64 "\n",
                   memory_kind_name((enum memory_kind)kind),
                   memory_held_bytes(memory, (enum memory_kind)kind));
    write_head(out, "runtree_memory_max_bytes", "gauge",
               "How much all of it may be; past it new work is answered by 503.");
    write_line(out, "runtree_memory_max_bytes %" PRIu64 "\n", memory_max_bytes(memory));
    write_head(out, "runtree_memory_refused_total", "counter",
               "Work that was refused because there was no room.");
    write_line(out, "runtree_memory_refused_total %" PRIu64 "\n", memory_refusals(memory));
}

/* The value of a metric in `count` of them, the first and each `step`th behind it. */
static void write_metric(enum metric metric, const char *labels, const struct metrics *const *first,
                         size_t count, size_t step, struct buffer *out)
{
    const struct metric_description *description = &descriptions[metric];
    uint64_t total = 0;

    for (size_t i = 0; i < count; i++) {
        uint64_t value = first[i * step]->values[metric];

        total = description->is_maximum ? (value > total ? value : total) : total + value;
    }
    if (description->unit > 0)
        write_line(out, "%s%s %g\n", description->name, labels, (double)total * description->unit);
    else
        write_line(out, "%s%s %" PRIu64 "\n", description->name, labels, total);
}

static void write_metrics(const struct all_metrics *all, struct buffer *out)
{
    char labels[CELL_NAME_SIZE + 16];

    for (int metric = 0; metric < METRIC_COUNT; metric++) {
        const struct metric_description *description = &descriptions[metric];

        if (metric == METRIC_CELL_RUNS && all->cells == 1)
            continue;
        write_head(out, description->name, description->type, description->help);
        if (!description->is_of_cell || all->cells == 1) {
            write_metric((enum metric)metric, "", all->items, all->loops * all->cells, 1, out);
            continue;
        }
        for (size_t cell = 0; cell < all->cells; cell++) {
            snprintf(labels, sizeof labels, "{cell=\"%s\"}", all->cell_names[cell]);
            write_metric((enum metric)metric, labels, &all->items[cell], all->loops, all->cells,
                         out);
        }
    }
}

static void write_histograms(const struct all_metrics *all, struct buffer *out)
{
    const struct histogram_values *values[METRICS_MAX] = {0};
    char labels[CELL_NAME_SIZE + 16];

    for (int histogram = 0; histogram < HISTOGRAM_COUNT; histogram++) {
        const struct histogram_description *description = &histograms[histogram];
        size_t parts = description->is_of_cell ? all->cells : 1;
        size_t count = description->is_of_cell ? all->loops : all->loops * all->cells;

        write_head(out, description->name, "histogram", description->help);
        for (size_t part = 0; part < parts; part++) {
            for (size_t i = 0; i < count; i++)
                values[i] = &all->items[part + i * parts]->histograms[histogram];
            snprintf(labels, sizeof labels, parts == 1 ? "" : "cell=\"%s\",",
                     all->cell_names[part]);
            write_histogram(out, description, labels, values, count);
        }
    }
}

void metrics_write(const struct all_metrics *all, const struct memory *memory,
                   const struct log *log, const struct route *routes, struct buffer *out)
{
    size_t count = all->loops * all->cells;

    write_metrics(all, out);
    write_histograms(all, out);
    write_memory(memory, out);
    write_head(out, "runtree_log_lines_dropped_total", "counter",
               "Lines of the log that were not written: nobody read them, or too many were alike.");
    write_line(out, "runtree_log_lines_dropped_total %" PRIu64 "\n", log_lines_dropped(log));
    write_unmapped(all->items, count, out);
    write_requests(all->items, count, routes, out);
}
