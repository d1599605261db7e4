/* Prints what a change costs in a tree of 100,000 nodes, five levels deep, and what a node weighs.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/run_view.h"

enum { NODES = 100000, WIDTH = 10, CHANGES = 1000000, CHUNK = 1000, NAME_SIZE = 24 };

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Level by level: a root, 10, 100, 1,000, and all others on the fifth level. */
static int32_t parent_of(int32_t index)
{
    int32_t inner = 1 + WIDTH + WIDTH * WIDTH + WIDTH * WIDTH * WIDTH;
    if (index < inner)
        return (index - 1) / WIDTH;
    return 1 + WIDTH + WIDTH * WIDTH + (index - inner) % (WIDTH * WIDTH * WIDTH);
}

static void make_actions(struct action *actions, char (*names)[NAME_SIZE])
{
    for (int32_t i = 0; i < NODES; i++) {
        snprintf(names[i], NAME_SIZE, "individuals_ID%07" PRId32, i);
        actions[i] = (struct action){.name = names[i],
                                     .parent_named = true,
                                     .parent = i ? names[parent_of(i)] : NULL,
                                     .ordinal = i + 1,
                                     .attempt = 1,
                                     .phase = PHASE_QUEUED,
                                     .task_name = "pkg.individuals",
                                     .short_name = "individuals",
                                     .created_us = 1000000,
                                     .started_us = TIME_NONE,
                                     .ended_us = TIME_NONE,
                                     .revision = 1 + (i * INT64_C(7919)) % NODES};
    }
}

static void must(int status)
{
    if (status < 0) {
        fprintf(stderr, "status %d\n", status);
        exit(1);
    }
}

static size_t strings_size(void)
{
    return NODES *
           (sizeof "individuals_ID0000000" + sizeof "pkg.individuals" + sizeof "individuals");
}

static void load(struct run_state_manager *manager, const struct action *actions)
{
    double worst = 0, begin = now_ns();
    for (int32_t i = 0; i < NODES; i += CHUNK) {
        double chunk_begin = now_ns();
        must(run_state_manager_upsert_actions(manager, actions + i, CHUNK, NODES));
        double took = now_ns() - chunk_begin;
        worst = took > worst ? took : worst;
    }
    printf("load: %.0f ns a node in chunks of %d, the slowest chunk %.2f ms\n",
           (now_ns() - begin) / NODES, CHUNK, worst / 1e6);
    size_t bytes = run_state_manager_bytes(manager);
    printf("size: %.1f bytes a node, of which strings %.1f\n", (double)bytes / NODES,
           (double)strings_size() / NODES);
}

/* Changes of phase at random actions, `batch` of them a call. They are made outside of what is
 * measured, and with names of their own, as actions are that were just read. */
static void change(struct run_state_manager *manager, struct action *actions, int32_t batch)
{
    static struct action changed[CHUNK];
    static char changed_names[CHUNK][NAME_SIZE];
    int64_t revision = run_state_manager_revision(manager);
    int32_t stride = NODES / batch;
    uint64_t state = 1;
    double spent = 0;
    for (int32_t done = 0; done < CHANGES; done += CHUNK) {
        for (int32_t i = 0; i < CHUNK; i++) {
            state = state * UINT64_C(6364136223846793005) + 1;
            struct action *action =
                &actions[i % batch * stride + (int32_t)((state >> 33) % (uint64_t)stride)];
            action->phase = (enum phase)(1 + (state >> 40) % 10);
            action->revision = ++revision;
            changed[i] = *action;
            changed[i].name = memcpy(changed_names[i], action->name, NAME_SIZE);
        }
        double begin = now_ns();
        for (int32_t i = 0; i < CHUNK; i += batch)
            must(run_state_manager_upsert_actions(manager, changed + i, (size_t)batch, revision));
        spent += now_ns() - begin;
    }
    printf("upsert: %.0f ns an action, %d a call\n", spent / CHANGES, batch);
}

static void swallow(void *arg, const char *bytes, size_t length, bool meets_filter)
{
    (void)bytes;
    (void)meets_filter;
    *(size_t *)arg += length;
}

static void show(struct run_state_manager *manager)
{
    struct filter filter = {0};
    double begin = now_ns();
    must(filter_add_phases(&filter, "RUNNING"));
    must(filter_set_name(&filter, "individuals"));
    struct run_view *view = run_view_new(manager, &filter);
    while (run_view_sync(view) == 1)
        ;
    printf("view: %.2f ms to make one with a filter\n", (now_ns() - begin) / 1e6);
    run_view_free(view);
    view = run_view_new(manager, &(struct filter){0});
    run_view_sync(view);
    for (int pass = 0; pass < 2; pass++) {
        struct view_walk walk = run_view_walk_begin(view, 0);
        double pass_begin = now_ns();
        size_t bytes = 0;
        must(run_view_walk(view, &walk, SIZE_MAX, SIZE_MAX, swallow, &bytes));
        printf("walk: %.0f ns a node, %s\n", (now_ns() - pass_begin) / NODES,
               pass ? "encoded already" : "encoded for it");
    }
    run_view_free(view);
}

int main(void)
{
    struct action *actions = calloc(NODES, sizeof *actions);
    char(*names)[NAME_SIZE] = calloc(NODES, sizeof *names);
    struct run_state_manager *manager = run_state_manager_new();
    make_actions(actions, names);
    load(manager, actions);
    change(manager, actions, 1);
    change(manager, actions, 10);
    change(manager, actions, 1000);
    show(manager);
    run_state_manager_free(manager);
    free(names);
    free(actions);
    return 0;
}
