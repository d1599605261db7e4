#include "sql/abandoner.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sql/action_repo.h"
#include "sql/event_writer.h"

enum {
    LOOK_MAX_MS = 10000, /* from the end of a look to the next, at most */
    LOOK_MIN_MS = 1000,
    RUNS_MAX = 100,    /* found at once */
    ACTIONS_MAX = 500, /* given up in one piece */
};

/* A run that is over and of which nothing was heard. */
struct over_run {
    char path[RUN_PATH_SIZE];
    struct run_key key; /* into path */
    int64_t ended_us, last_event_us;
};

struct abandoner {
    struct abandoner_options options;
    uv_loop_t *loop;
    uv_timer_t timer;
    bool is_stopped;
    struct over_run runs[RUNS_MAX]; /* of the look that is under way */
    size_t run_count, run;          /* found, and the one that is being worked on */
    struct action_query query;      /* of its open actions, a page after the other */
    bool goes_on;                   /* there may be more pages */
    struct event_batch batch;
    bool is_out_of_memory;
};

static void next_page(struct abandoner *abandoner);
static void find_runs(struct abandoner *abandoner, const struct run_key *after);

static void look(uv_timer_t *timer)
{
    const struct run_key first = {0};

    find_runs(timer->data, &first);
}

/* The look is over, or cannot go on: what is left is found by the next. A short silence is not
 * doubled by the time between two looks. */
static void end_look(struct abandoner *abandoner)
{
    uint64_t after_ms = (uint64_t)abandoner->options.after_us / 4000;

    event_batch_clear(&abandoner->batch);
    if (abandoner->is_stopped)
        return;
    if (after_ms > LOOK_MAX_MS)
        after_ms = LOOK_MAX_MS;
    if (after_ms < LOOK_MIN_MS)
        after_ms = LOOK_MIN_MS;
    uv_timer_start(&abandoner->timer, look, after_ms, 0);
}

/* -------- one run, a piece at a time -------- */

static void next_run(struct abandoner *abandoner)
{
    struct filter open = {0};

    if (++abandoner->run == abandoner->run_count) {
        if (abandoner->run_count == RUNS_MAX)
            find_runs(abandoner, &abandoner->runs[RUNS_MAX - 1].key);
        else
            end_look(abandoner);
        return;
    }
    for (int phase = PHASE_QUEUED; phase < PHASE_SLOTS; phase++)
        if (!phase_is_terminal((enum phase)phase))
            open.phases |= UINT32_C(1) << phase;
    abandoner->query = (struct action_query){
        .run = abandoner->runs[abandoner->run].key, .filter = open, .limit = ACTIONS_MAX};
    next_page(abandoner);
}

static void go_on(struct abandoner *abandoner, bool went_well)
{
    if (!went_well || abandoner->is_stopped)
        end_look(abandoner);
    else if (abandoner->goes_on)
        next_page(abandoner);
    else
        next_run(abandoner);
}

static void on_written(void *arg, enum event_write_outcome outcome, const char *why)
{
    struct abandoner *abandoner = arg;
    struct event_batch *batch = &abandoner->batch;
    size_t recorded = 0;

    (void)why;
    for (size_t i = 0; i < batch->count; i++)
        recorded += batch->results[i].status == EVENT_APPLIED;
    if (recorded > 0)
        abandoner->options.on_abandoned(abandoner->options.arg, recorded);
    go_on(abandoner, outcome == EVENT_WRITE_DONE);
}

static int64_t latest(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* {the key, "updatedTime", "abandoned": true}, in the batch's memory; empty when there is none. */
static struct json_text write_info(struct arena *texts, const struct action_event *event)
{
    struct buffer info = {0};
    const char *kept = NULL;

    buffer_string_member(&info, "{\"project\":", event->run.project);
    buffer_string_member(&info, ",\"domain\":", event->run.domain);
    buffer_string_member(&info, ",\"runName\":", event->run.run_name);
    buffer_string_member(&info, ",\"name\":", event->name);
    buffer_integer_member(&info, ",\"attempt\":", event->attempt);
    buffer_integer_member(&info, ",\"phase\":\"ABORTED\",\"version\":", event->version);
    buffer_timestamp_member(&info, ",\"updatedTime\":", event->updated_us);
    buffer_text(&info, ",\"abandoned\":true}");
    buffer_append(&info, "", 1);
    if (!info.failed)
        kept = arena_copy(texts, info.bytes);
    buffer_free(&info);
    return (struct json_text){.bytes = kept, .length = kept == NULL ? 0 : strlen(kept)};
}

/* It ended with the run, for nothing later is known of it. */
static void on_open_action(void *arg, const struct action *action, struct page_row row)
{
    struct abandoner *abandoner = arg;
    const struct over_run *run = &abandoner->runs[abandoner->run];
    struct event_batch *batch = &abandoner->batch;
    struct action_event *event = &batch->events[batch->count];

    abandoner->query.after_ordinal = action->ordinal;
    abandoner->goes_on = row.goes_on;
    if (!row.is_listed || abandoner->is_out_of_memory)
        return;
    *event = (struct action_event){
        .run = run->key,
        .name = arena_copy(&batch->texts, action->name),
        .attempt = action->attempt,
        .phase = PHASE_ABORTED,
        .version = ABANDONED_VERSION,
        .updated_us = latest(run->ended_us, latest(action->created_us, action->started_us)),
        .reported_us = TIME_NONE,
        .is_abandonment = true,
        .heard_us = run->last_event_us,
    };
    if (event->name != NULL)
        event->info = write_info(&batch->texts, event);
    abandoner->is_out_of_memory |= event->info.length == 0;
    batch->count++;
}

static void on_page_end(void *arg, enum repo_outcome outcome, const char *message)
{
    struct abandoner *abandoner = arg;
    bool went_well = outcome == REPO_OK && !abandoner->is_out_of_memory && !abandoner->is_stopped;

    (void)message;
    if (went_well && abandoner->batch.count > 0) {
        if (event_writers_submit(abandoner->options.writers, &abandoner->batch, false, on_written,
                                 abandoner) == 0)
            return;
        went_well = false;
    }
    go_on(abandoner, went_well);
}

static void next_page(struct abandoner *abandoner)
{
    struct event_batch *batch = &abandoner->batch;

    event_batch_clear(batch);
    abandoner->goes_on = false;
    batch->room = ACTIONS_MAX;
    batch->events = calloc(ACTIONS_MAX, sizeof *batch->events);
    batch->results = calloc(ACTIONS_MAX, sizeof *batch->results);
    if (batch->events == NULL || batch->results == NULL ||
        action_repo_list_actions(abandoner->options.repo, &abandoner->query, on_open_action,
                                 on_page_end, abandoner) < 0)
        end_look(abandoner);
}

/* -------- which runs -------- */

static void on_over_run(void *arg, const struct run *run)
{
    struct abandoner *abandoner = arg;
    struct over_run *over = &abandoner->runs[abandoner->run_count++];

    run_key_path(&run->key, over->path);
    over->key = run_key_split(over->path);
    over->ended_us = run->ended_us;
    over->last_event_us = run->last_event_us;
}

static void on_runs_end(void *arg, enum repo_outcome outcome, const char *message)
{
    struct abandoner *abandoner = arg;

    (void)message;
    if (outcome != REPO_OK || abandoner->run_count == 0 || abandoner->is_stopped) {
        end_look(abandoner);
        return;
    }
    abandoner->run = SIZE_MAX;
    next_run(abandoner);
}

static void find_runs(struct abandoner *abandoner, const struct run_key *after)
{
    uv_timeval64_t now;
    int64_t now_us;

    uv_gettimeofday(&now);
    now_us = now.tv_sec * 1000000 + now.tv_usec;
    abandoner->run_count = 0;
    abandoner->is_out_of_memory = false;
    if (action_repo_list_open_ends(abandoner->options.repo, now_us - abandoner->options.after_us,
                                   after, RUNS_MAX, on_over_run, on_runs_end, abandoner) < 0)
        end_look(abandoner);
}

/* -------- life -------- */

struct abandoner *abandoner_new(uv_loop_t *loop, const struct abandoner_options *options)
{
    struct abandoner *abandoner = calloc(1, sizeof *abandoner);

    if (abandoner == NULL)
        return NULL;
    abandoner->loop = loop;
    abandoner->options = *options;
    uv_timer_init(loop, &abandoner->timer);
    abandoner->timer.data = abandoner;
    if (options->after_us > 0)
        end_look(abandoner);
    return abandoner;
}

void abandoner_stop(struct abandoner *abandoner)
{
    abandoner->is_stopped = true;
    uv_close((uv_handle_t *)&abandoner->timer, NULL);
}

void abandoner_free(struct abandoner *abandoner)
{
    if (abandoner == NULL)
        return;
    event_batch_clear(&abandoner->batch);
    free(abandoner);
}
