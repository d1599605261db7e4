/* Who waits for a run's tree, or for the next turn of the loop. */
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "watch/run_hub_internal.h"

struct hub_waiter {
    struct hub_waiter *prev, *next;
    struct run_hub *hub; /* of one that waits for the next turn */
    int64_t at_least;
    bool counts_next_read; /* a read that began before does not count */
    hub_ready_fn *fn;
    void *arg;
};

static bool is_satisfied(const struct run_hub *hub, int64_t at_least)
{
    return hub->phase == HUB_PHASE_LIVE && run_hub_revision(hub) >= at_least;
}

void run_hub_tell_waiters(struct run_hub *hub, enum hub_outcome outcome)
{
    struct hub_waiter *told = NULL, *waiter, *next;

    DL_FOREACH_SAFE (hub->waiters, waiter, next) {
        if (outcome == HUB_LIVE && waiter->counts_next_read &&
            !is_satisfied(hub, waiter->at_least)) {
            waiter->counts_next_read = false;
            hub->must_read_again = true;
            continue;
        }
        if (outcome == HUB_ABSENT && waiter->counts_next_read) {
            waiter->counts_next_read = false;
            hub->must_read_again = true;
            continue;
        }
        DL_DELETE(hub->waiters, waiter);
        DL_APPEND(told, waiter);
    }
    DL_FOREACH_SAFE (told, waiter, next) {
        waiter->fn(waiter->arg, outcome);
        free(waiter);
    }
}

int run_hub_when_read(struct run_hub *hub, int64_t at_least, hub_ready_fn *fn, void *arg)
{
    struct hub_waiter *waiter;

    if (is_satisfied(hub, at_least)) {
        fn(arg, HUB_LIVE);
        return 0;
    }
    waiter = malloc(sizeof *waiter);
    if (waiter == NULL)
        return -ENOMEM;
    *waiter = (struct hub_waiter){
        .at_least = at_least, .counts_next_read = hub->is_reading, .fn = fn, .arg = arg};
    DL_APPEND(hub->waiters, waiter);
    run_hub_read(hub);
    return 0;
}

int run_hub_next_turn(struct run_hub *hub, hub_ready_fn *fn, void *arg)
{
    struct hub_waiter *waiter = malloc(sizeof *waiter);

    if (waiter == NULL)
        return -ENOMEM;
    *waiter = (struct hub_waiter){.hub = hub, .fn = fn, .arg = arg};
    DL_APPEND(hub->owner->next_turn, waiter);
    return 0;
}

static void take_turn(const struct hub_waiter *waiter, bool is_abandoned)
{
    struct run_hub *hub = waiter->hub;
    enum hub_outcome outcome = is_abandoned ? HUB_UNAVAILABLE : HUB_LIVE;

    if (!is_abandoned && hub->phase != HUB_PHASE_LIVE) {
        if (run_hub_when_read(hub, INT64_MAX, waiter->fn, waiter->arg) == 0)
            return;
        outcome = HUB_UNAVAILABLE;
    }
    waiter->fn(waiter->arg, outcome);
}

void run_hubs_take_turns(struct run_hubs *hubs, bool is_abandoned)
{
    struct hub_waiter *taken = hubs->next_turn, *waiter, *next;

    hubs->next_turn = NULL;
    DL_FOREACH_SAFE (taken, waiter, next) {
        take_turn(waiter, is_abandoned);
        free(waiter);
    }
}

void run_hubs_abandon(struct run_hubs *hubs)
{
    struct run_hub *hub, *next;

    run_hubs_take_turns(hubs, true);
    HASH_ITER (hh, hubs->all, hub, next)
        run_hub_tell_waiters(hub, HUB_UNAVAILABLE);
}
