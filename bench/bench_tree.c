/* The tree in memory: time of an upsert and bytes of a node, alone and with views over it.
 *
 *   bench_tree ACTIONS VIEWS
 *
 * A tree of depth 5 (fan-out chosen to fit), 200,000 upserts of one action each, in an order that
 * jumps through the tree. VIEWS filters are kept in step every 100 upserts; that time is not
 * counted: a view is brought up to date when it is flushed, not by the upsert. Time is the
 * processor's. Prints one JSON object. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/run_state_manager.h"
#include "model/run_view.h"
#include "model/timestamp.h"

enum { DEPTH = 5, UPSERTS = 200000, SYNC_EVERY = 100, NAME_SIZE = 24, VIEWS_MAX = 64 };

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "bench_tree: %s\n", what);
    exit(EXIT_FAILURE);
}

/* Of this thread, so that what else the machine does counts only where it takes the caches. */
static int64_t processor_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void fill(struct action *actions, char (*names)[NAME_SIZE], size_t count)
{
    /* fanout^1 + … + fanout^(DEPTH - 1) nodes below the root */
    size_t fanout = (size_t)ceil(pow((double)count, 1.0 / (DEPTH - 1)));

    for (size_t i = 0; i < count; i++) {
        size_t parent = i == 0 ? 0 : (i - 1) / fanout;

        snprintf(names[i], NAME_SIZE, "a%zu", i);
        actions[i] = (struct action){
            .name = names[i],
            .parent_named = true,
            .parent = i == 0 ? NULL : names[parent],
            .ordinal = (int32_t)i + 1,
            .attempt = 1,
            .phase = PHASE_QUEUED,
            .created_us = 1,
            .started_us = TIME_NONE,
            .ended_us = TIME_NONE,
            .revision = (int64_t)i + 1,
        };
    }
}

static void sync_views(struct run_view *views[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (run_view_sync(views[i]) < 0)
            fail("out of memory");
}

/* Nanoseconds an upsert. */
static double upsert(struct run_state_manager *manager, struct action *actions, size_t count,
                     struct run_view *views[], size_t view_count)
{
    int64_t revision = run_state_manager_revision(manager), spent_ns = 0;

    for (size_t i = 0; i < UPSERTS; i += SYNC_EVERY) {
        int64_t started_ns = processor_ns();

        for (size_t k = i; k < i + SYNC_EVERY; k++) {
            struct action *action = &actions[k * 7919 % count];

            action->phase = action->phase == PHASE_RUNNING ? PHASE_SUCCEEDED : PHASE_RUNNING;
            action->revision = ++revision;
            if (run_state_manager_upsert_actions(manager, action, 1, revision) < 0)
                fail("upsert");
        }
        spent_ns += processor_ns() - started_ns;
        sync_views(views, view_count);
    }
    return (double)spent_ns / UPSERTS;
}

int main(int argc, char *argv[])
{
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    size_t view_count = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    struct action *actions = calloc(count, sizeof *actions);
    char(*names)[NAME_SIZE] = calloc(count, sizeof *names);
    struct run_state_manager *manager = run_state_manager_new();
    struct run_view *views[VIEWS_MAX];
    size_t string_bytes = 0;
    int64_t started_ns;
    double load_ns, upsert_ns;

    if (actions == NULL || names == NULL || manager == NULL || view_count > VIEWS_MAX)
        fail("out of memory");
    fill(actions, names, count);
    for (size_t i = 0; i < count; i++)
        string_bytes += strlen(names[i]) + 1;
    started_ns = processor_ns();
    for (size_t i = 0; i < count; i += 1000)
        if (run_state_manager_upsert_actions(
                manager, actions + i, count - i < 1000 ? count - i : 1000, (int64_t)count) < 0)
            fail("load");
    load_ns = (double)(processor_ns() - started_ns) / (double)count;
    for (size_t i = 0; i < view_count; i++) {
        struct filter filter = {.phases = UINT32_C(1) << (i % 10 + 1)};

        views[i] = run_view_new(manager, &filter);
        if (views[i] == NULL)
            fail("out of memory");
    }
    upsert_ns = upsert(manager, actions, count, views, view_count);
    printf("{\"actions\": %zu, \"views\": %zu, \"load_ns\": %.0f, \"upsert_ns\": %.0f,"
           " \"bytes_per_node\": %.0f}\n",
           count, view_count, load_ns, upsert_ns,
           (double)(run_state_manager_bytes(manager) - string_bytes) / (double)count);
    return EXIT_SUCCESS;
}
