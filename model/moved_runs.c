#include "model/moved_runs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "model/records.h"

struct moved_runs {
    struct moved_run *by_path;
    struct moved_run *list; /* the same, by sequence */
    size_t count;
    size_t bytes;          /* of all runs with their texts */
    int64_t sequence;      /* of the last move */
    int64_t lost_through;  /* moves up to here may be forgotten */
    int64_t complete_from; /* a transaction */
    bool has_evicted;      /* since the restart */
    bool has_refused;      /* an old move, since moved_runs_complete */
};

static size_t run_bytes(const struct moved_run *run)
{
    return sizeof *run + 2 * (strlen(run->path) + 1) + run->record.capacity;
}

static void free_run(struct moved_runs *runs, struct moved_run *run)
{
    /* A run of the list is in the table. NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
    HASH_DELETE(hh, runs->by_path, run);
    DL_DELETE(runs->list, run);
    runs->count--;
    runs->bytes -= run_bytes(run);
    buffer_free(&run->record);
    free(run->path);
    free(run);
}

void moved_runs_restart(struct moved_runs *runs, int64_t complete_from)
{
    while (runs->list != NULL)
        free_run(runs, runs->list);
    /* The gap leaves numbers for old moves. */
    runs->lost_through = runs->sequence + 1;
    runs->sequence += MOVED_RUNS_MAX + 2;
    runs->complete_from = complete_from;
    runs->has_evicted = false;
    runs->has_refused = false;
}

struct moved_runs *moved_runs_new(void)
{
    struct moved_runs *runs = calloc(1, sizeof *runs);

    if (runs != NULL)
        moved_runs_restart(runs, INT64_MAX);
    return runs;
}

void moved_runs_free(struct moved_runs *runs)
{
    while (runs->list != NULL)
        free_run(runs, runs->list);
    free(runs);
}

/* -------- putting -------- */

static void write_record(struct buffer *record, const struct run_key *key, const struct run *run)
{
    if (run != NULL) {
        record_write_run(record, run);
        return;
    }
    buffer_string_member(record, "{\"project\":", key->project);
    buffer_string_member(record, ",\"domain\":", key->domain);
    buffer_string_member(record, ",\"runName\":", key->run_name);
    buffer_text(record, ",\"deleted\":true}");
}

static struct moved_run *new_run(const char *path)
{
    struct moved_run *run = calloc(1, sizeof *run);
    size_t size = strlen(path) + 1;

    if (run == NULL)
        return NULL;
    run->path = malloc(2 * size);
    if (run->path == NULL) {
        free(run);
        return NULL;
    }
    memcpy(run->path, path, size);
    memcpy(run->path + size, path, size);
    run->key = run_key_split(run->path + size);
    return run;
}

static bool is_known(const struct moved_run *moved, int64_t xid, const struct run *run)
{
    if (moved->xid != xid || moved->is_deleted != (run == NULL))
        return false;
    return run == NULL || moved->revision == run->revision;
}

/* There is one. */
static void evict_oldest(struct moved_runs *runs)
{
    const struct moved_run *oldest = runs->list;

    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
    runs->lost_through = oldest->sequence;
    if (oldest->xid >= runs->complete_from)
        runs->complete_from = oldest->xid + 1;
    runs->has_evicted = true;
    free_run(runs, runs->list);
}

static void place_new_run(struct moved_runs *runs, struct moved_run *run, bool is_old)
{
    if (is_old) {
        run->sequence = moved_runs_start(runs);
        DL_PREPEND(runs->list, run);
    } else {
        run->sequence = ++runs->sequence;
        DL_APPEND(runs->list, run);
    }
    HASH_ADD_KEYPTR(hh, runs->by_path, run->path, strlen(run->path), run);
    runs->count++;
    runs->bytes += run_bytes(run);
}

static void move_to_tail(struct moved_runs *runs, struct moved_run *run)
{
    DL_DELETE(runs->list, run);
    run->sequence = ++runs->sequence;
    DL_APPEND(runs->list, run);
}

static bool is_full(const struct moved_runs *runs)
{
    return runs->count == MOVED_RUNS_MAX || runs->bytes >= MOVED_RUNS_BYTES_MAX;
}

/* The entry of a run that is new here; NULL when out of memory. */
static struct moved_run *add_run(struct moved_runs *runs, const char *path, bool is_old)
{
    struct moved_run *moved = new_run(path);

    if (moved == NULL)
        return NULL;
    if (runs->count == MOVED_RUNS_MAX)
        evict_oldest(runs);
    place_new_run(runs, moved, is_old);
    return moved;
}

int moved_runs_put(struct moved_runs *runs, const struct run_key *key, int64_t xid,
                   const struct run *run, bool is_old)
{
    char path[RUN_PATH_SIZE];
    struct buffer record = {0};
    struct moved_run *moved;

    run_key_path(key, path);
    HASH_FIND_STR(runs->by_path, path, moved);
    if (moved != NULL && is_known(moved, xid, run))
        return 0;
    if (moved == NULL && is_old && is_full(runs)) {
        runs->has_refused = true;
        return 0;
    }
    write_record(&record, key, run);
    if (record.failed)
        goto error_memory;
    if (moved != NULL)
        move_to_tail(runs, moved);
    else
        moved = add_run(runs, path, is_old);
    if (moved == NULL)
        goto error_memory;
    runs->bytes -= run_bytes(moved);
    buffer_free(&moved->record);
    moved->record = record;
    runs->bytes += run_bytes(moved);
    while (runs->bytes > MOVED_RUNS_BYTES_MAX && runs->list != moved)
        evict_oldest(runs);
    moved->xid = xid;
    moved->is_deleted = run == NULL;
    moved->revision = run == NULL ? 0 : run->revision;
    return 1;

error_memory:
    buffer_free(&record);
    return -ENOMEM;
}

bool moved_runs_complete(struct moved_runs *runs, int64_t xid)
{
    bool is_complete = !runs->has_refused && !runs->has_evicted;

    runs->has_refused = false;
    if (is_complete && xid < runs->complete_from)
        runs->complete_from = xid;
    return runs->complete_from <= xid;
}

/* -------- reading -------- */

int64_t moved_runs_complete_from(const struct moved_runs *runs)
{
    return runs->complete_from;
}

size_t moved_runs_bytes(const struct moved_runs *runs)
{
    return sizeof *runs + runs->bytes;
}

size_t moved_runs_count(const struct moved_runs *runs)
{
    return runs->count;
}

int64_t moved_runs_sequence(const struct moved_runs *runs)
{
    return runs->sequence;
}

int64_t moved_runs_start(const struct moved_runs *runs)
{
    return runs->list == NULL ? runs->sequence : runs->list->sequence - 1;
}

bool moved_runs_reach(const struct moved_runs *runs, int64_t sequence)
{
    return sequence >= runs->lost_through;
}

const struct moved_run *moved_runs_after(const struct moved_runs *runs, int64_t sequence)
{
    const struct moved_run *first = NULL;

    if (runs->list == NULL)
        return NULL;
    for (const struct moved_run *run = runs->list->prev; run->sequence > sequence;
         run = run->prev) {
        first = run;
        if (run == runs->list)
            break;
    }
    return first;
}
