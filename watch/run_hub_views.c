/* Who watches a run, and when they are flushed. */
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "watch/run_hub_internal.h"

/* -------- flushing -------- */

void run_hub_mark_dirty(struct run_hub *hub)
{
    if (hub->is_dirty)
        return;
    hub->is_dirty = true;
    DL_APPEND2(hub->owner->dirty, hub, dirty_prev, dirty_next);
}

void run_hub_clear_dirty(struct run_hub *hub)
{
    if (!hub->is_dirty)
        return;
    hub->is_dirty = false;
    DL_DELETE2(hub->owner->dirty, hub, dirty_prev, dirty_next);
}

static void report_lag(struct run_hub *hub)
{
    const struct run_hubs_options *options = &hub->owner->options;

    if (hub->unsent_ns != 0 && hub->views != NULL)
        options->on_flushed(options->arg, uv_hrtime() - hub->unsent_ns);
    hub->unsent_ns = 0;
}

static void on_flush_due(uv_timer_t *timer)
{
    (void)timer; /* it only wakes the loop, which calls run_hubs_run */
}

bool run_hubs_run(struct run_hubs *hubs)
{
    uint64_t now_ms = uv_now(hubs->loop), wait_ms = UINT64_MAX;
    struct run_hub *hub, *next;
    struct hub_view_entry *entry;

    run_hubs_take_turns(hubs, false);
    for (hub = hubs->dirty; hub != NULL; hub = next) {
        uint64_t since_ms = now_ms - hub->last_flush_ms;

        next = hub->dirty_next;
        if (since_ms < hubs->options.flush_interval_ms) {
            uint64_t left_ms = hubs->options.flush_interval_ms - since_ms;

            wait_ms = left_ms < wait_ms ? left_ms : wait_ms;
            continue;
        }
        run_hub_clear_dirty(hub);
        hub->last_flush_ms = now_ms;
        for (entry = hub->views; entry != NULL; entry = entry->hh.next)
            hub_view_flush(entry->view);
        report_lag(hub);
    }
    if (wait_ms != UINT64_MAX)
        uv_timer_start(&hubs->flush_timer, on_flush_due, wait_ms, 0);
    return hubs->next_turn != NULL;
}

/* -------- views -------- */

void run_hub_forget_views(struct run_hub *hub)
{
    struct hub_view_entry *entry, *next;

    HASH_ITER (hh, hub->views, entry, next)
        hub_view_forget(entry->view);
}

static void drop_view_if_unused(struct hub_view_entry *entry)
{
    struct run_hub *hub = entry->hub;

    if (entry->holds > 0 || hub_view_stream_count(entry->view) > 0)
        return;
    HASH_DELETE(hh, hub->views, entry);
    hub->owner->stats.views--;
    hub_view_free(entry->view);
    free(entry);
    run_hub_release(hub);
}

static void on_stream_left(void *arg)
{
    drop_view_if_unused(arg);
}

static void on_walked(void *arg)
{
    const struct hub_view_entry *entry = arg;

    run_hub_account(entry->hub);
}

/* Without what may stand behind the name's end: it is a hash key. */
static struct filter plain_filter(const struct filter *filter)
{
    struct filter plain;

    memset(&plain, 0, sizeof plain);
    plain.phases = filter->phases;
    memcpy(plain.name, filter->name, strlen(filter->name));
    return plain;
}

static struct hub_view_entry *find_view(const struct run_hub *hub, const struct filter *filter)
{
    const struct filter key = plain_filter(filter);
    struct hub_view_entry *entry;

    HASH_FIND(hh, hub->views, &key, sizeof key, entry);
    return entry;
}

static struct hub_view_entry *add_view(struct run_hub *hub, const struct filter *filter)
{
    static const struct hub_view_events events = {.on_left = on_stream_left,
                                                  .on_walked = on_walked};
    struct hub_view_entry *entry = calloc(1, sizeof *entry);

    if (entry == NULL)
        return NULL;
    entry->filter = plain_filter(filter);
    entry->hub = hub;
    entry->view = hub_view_new(&hub->state, &entry->filter, &events, entry);
    if (entry->view == NULL) {
        free(entry);
        return NULL;
    }
    HASH_ADD(hh, hub->views, filter, sizeof entry->filter, entry);
    hub->owner->stats.views++;
    hub->references++;
    return entry;
}

struct hub_view *run_hub_hold_view(struct run_hub *hub, const struct filter *filter)
{
    struct hub_view_entry *entry = find_view(hub, filter);

    if (entry == NULL)
        entry = add_view(hub, filter);
    if (entry == NULL)
        return NULL;
    entry->holds++;
    return entry->view;
}

void run_hub_release_view(struct run_hub *hub, struct hub_view *view)
{
    struct hub_view_entry *entry = find_view(hub, hub_view_filter(view));

    entry->holds--;
    drop_view_if_unused(entry);
}

bool run_hub_has_room_for(struct run_hub *hub, const struct hub_view *view)
{
    return run_hubs_make_room(hub->owner, hub_view_bytes_needed(view));
}
