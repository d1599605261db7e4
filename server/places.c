#include "server/places.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A failed allocation leaves the element's hh.tbl NULL instead of ending the process. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "model/arena.h"
#include "model/event_batch.h"

/* Runs of which is known where they are, of those that may be in several cells. */
enum { KNOWN_MAX = 4 * BATCH_EVENTS_MAX };

struct known_run {
    UT_hash_handle hh;
    uint8_t index; /* of the cell, in the list */
    char path[];
};

struct places {
    const struct cell_list *list;
    struct cell *cells[CELLS_MAX]; /* by their index in the list; NULL: gone */
    const char *names[CELLS_MAX];  /* likewise */
    bool was_read[CELLS_MAX];
    bool is_new[CELLS_MAX];     /* its database has no name yet */
    bool has_newest[CELLS_MAX]; /* its database has the newest list */
    struct generations generations;
    char unknown[CELL_NAME_SIZE];    /* a cell of any of them that ours has not; "": none */
    char ours[GENERATION_TEXT_SIZE]; /* the list of those that are active */
    int64_t newest;
    bool is_settled; /* ours was the newest once; if it is not any more, others have a newer one */
    bool is_stopped;
    bool is_starting;        /* ours is being stored, in all cells before any is used */
    struct known_run *known; /* the oldest first */
};

/* -------- the newest list -------- */

/* Not if another one was begun at the same time. */
static bool is_ours_newest(const struct places *places)
{
    const struct generation *items = places->generations.items;
    size_t count = places->generations.count;

    return count > 0 && strcmp(items[0].text, places->ours) == 0 &&
           (count == 1 || items[1].number < items[0].number);
}

/* The index of the first that was not read yet; the count of them all if there is none. */
static size_t first_unread(const struct places *places)
{
    size_t i = 0;

    while (i < places->list->count && (places->cells[i] == NULL || places->was_read[i]))
        i++;
    return i;
}

static void forget_all(struct places *places)
{
    struct known_run *known, *next;

    HASH_ITER (hh, places->known, known, next) {
        HASH_DEL(places->known, known);
        free(known);
    }
}

/* A list that our own does not know all cells of tells nobody where new runs are to be made. */
static void note_newest(struct places *places)
{
    const struct generation *newest = &places->generations.items[0];
    bool is_known = true;

    for (size_t i = 0; i < newest->count; i++)
        is_known &= newest->indexes[i] != NOT_LISTED && places->cells[newest->indexes[i]] != NULL;
    places->newest = is_known ? newest->number : -1;
}

/* Takes in what a database has; whether anything was new. */
static bool take_in(struct places *places, const struct generations *found)
{
    size_t count = places->generations.count;

    if (generations_merge(&places->generations, found) < 0 || places->generations.count == count)
        return false;
    generations_index(&places->generations, places->names, places->list->count, places->unknown);
    memset(places->has_newest, 0, sizeof places->has_newest);
    forget_all(places);
    note_newest(places);
    return true;
}

static bool has(const struct generations *found, const struct generation *wanted)
{
    for (size_t i = 0; i < found->count; i++)
        if (found->items[i].number == wanted->number &&
            strcmp(found->items[i].text, wanted->text) == 0)
            return true;
    return false;
}

/* Ours becomes the newest. */
static void begin_ours(struct places *places)
{
    struct generations ours = {0};
    int64_t number = places->generations.count == 0 ? 1 : places->generations.items[0].number + 1;

    if (generations_add(&ours, number, places->ours) == 0 && take_in(places, &ours))
        places->is_starting = true;
    generations_clear(&ours);
}

static bool all_have_newest(const struct places *places)
{
    for (size_t i = 0; i < places->list->count; i++)
        if (places->cells[i] != NULL && !places->has_newest[i])
            return false;
    return true;
}

static void make_wait(struct places *places)
{
    char why[CELL_WHY_SIZE];

    snprintf(why, sizeof why,
             "the list of cells is a new one, which is begun when all of them are up; cell %s is"
             " not yet",
             places->names[first_unread(places)]);
    for (size_t i = 0; i < places->list->count; i++)
        if (places->cells[i] != NULL && places->was_read[i])
            cell_wait(places->cells[i], why);
}

/* Whether all have their names; those that have not are given them. */
static bool name_new(struct places *places)
{
    bool are_named = true;

    for (size_t i = 0; i < places->list->count; i++) {
        if (!places->is_new[i])
            continue;
        cell_sync(places->cells[i], &places->generations);
        are_named = false;
    }
    return are_named;
}

/* Does what comes next, of storing the newest list in each cell and then using it. */
static void advance(struct places *places)
{
    if (!places->is_settled && !is_ours_newest(places)) {
        if (first_unread(places) < places->list->count) {
            make_wait(places);
            return;
        }
        if (!name_new(places))
            return;
        begin_ours(places);
    }
    for (size_t i = 0; i < places->list->count; i++)
        if (places->cells[i] != NULL && places->was_read[i] && !places->has_newest[i])
            cell_sync(places->cells[i], &places->generations);
    if (places->is_starting && !all_have_newest(places))
        return;
    places->is_starting = false;
    for (size_t i = 0; i < places->list->count; i++) {
        if (places->cells[i] == NULL || !places->has_newest[i])
            continue;
        places->is_settled = true;
        cell_use(places->cells[i]);
    }
}

static size_t index_of(const struct places *places, const struct cell *cell)
{
    size_t i = 0;

    while (places->cells[i] != cell)
        i++;
    return i;
}

void places_read(struct places *places, struct cell *cell, const struct generations *found,
                 bool is_new)
{
    size_t index = index_of(places, cell);
    char why[CELL_WHY_SIZE];

    take_in(places, found);
    if (places->unknown[0] != '\0' && !places->is_settled) {
        snprintf(why, sizeof why,
                 "there is a list of cells with cell %s, which ours has not, not even as gone",
                 places->unknown);
        cell_refuse(cell, why);
        return;
    }
    places->was_read[index] = true;
    places->is_new[index] = is_new;
    places->has_newest[index] =
        places->generations.count > 0 && has(found, &places->generations.items[0]);
    advance(places);
}

void places_refresh(struct places *places, struct cell *cell)
{
    cell_sync(cell, &places->generations);
}

const int64_t *places_generation(const struct places *places)
{
    return &places->newest;
}

/* -------- where a run is -------- */

static struct known_run *find_known(const struct places *places, const struct run_key *run)
{
    char path[RUN_PATH_SIZE];
    struct known_run *known = NULL;

    run_key_path(run, path);
    HASH_FIND_STR(places->known, path, known);
    return known;
}

static void drop_known(struct places *places, struct known_run *known)
{
    HASH_DEL(places->known, known);
    free(known);
}

static void note_known(struct places *places, const struct run_key *run, uint8_t index)
{
    char path[RUN_PATH_SIZE];
    struct known_run *known;

    places_forget(places, run);
    if (HASH_COUNT(places->known) >= KNOWN_MAX)
        drop_known(places, places->known);
    run_key_path(run, path);
    known = malloc(sizeof *known + strlen(path) + 1);
    if (known == NULL)
        return;
    known->index = index;
    memcpy(known->path, path, strlen(path) + 1);
    HASH_ADD_STR(places->known, path, known);
    if (known->hh.tbl == NULL)
        free(known);
}

/* The cell where a run that is nowhere is made; NULL if that is not known. */
static struct cell *newest_home(const struct places *places, const uint8_t homes[static HOMES_MAX])
{
    return places->newest < 0 || homes[0] == NOT_LISTED ? NULL : places->cells[homes[0]];
}

int places_get(const struct places *places, const struct run_key *run, struct run_place *place)
{
    uint8_t homes[HOMES_MAX];
    size_t count = generations_homes(&places->generations, run, homes);
    struct cell *newest = count == 0 ? NULL : newest_home(places, homes);
    const struct known_run *known;

    *place = (struct run_place){.cell = newest, .may_create = true};
    if (count == 1 && newest != NULL)
        return 0;
    known = find_known(places, run);
    if (known != NULL) {
        place->cell = places->cells[known->index];
        place->may_create = place->cell == newest;
        return 0;
    }
    place->cell = NULL;
    for (size_t i = 0; i < count && place->cell == NULL; i++)
        if (homes[i] != NOT_LISTED && places->cells[homes[i]] != NULL &&
            !places->cells[homes[i]]->has_database)
            place->cell = places->cells[homes[i]];
    return -EAGAIN;
}

bool places_may_differ(const struct places *places)
{
    return places->generations.count != 1 || places->newest < 0;
}

void places_forget(struct places *places, const struct run_key *run)
{
    struct known_run *known = find_known(places, run);

    if (known != NULL)
        drop_known(places, known);
}

void places_forget_cell(struct places *places, const struct cell *cell)
{
    struct known_run *known, *next;

    HASH_ITER (hh, places->known, known, next)
        if (places->cells[known->index] == cell)
            drop_known(places, known);
}

/* -------- looking for runs -------- */

struct sought_run {
    struct run_key key; /* in the search's memory */
    bool is_sought;     /* still */
    uint8_t at, count;  /* of its homes: the one that is asked in this round; how many there are */
    bool was_answered;  /* it is not there, or that cannot be said … */
    bool is_in_doubt;   /* … as once at least */
    uint8_t homes[HOMES_MAX];
};

struct search {
    struct places *places;
    int64_t generation; /* by which the homes are right */
    struct arena texts;
    struct sought_run *runs; /* each once, in the order of run_key_compare */
    size_t count;
    size_t reads_pending;
    bool has_doubts; /* some cell could not say */
    places_fn *done;
    void *arg;
};

/* One cell's part of a round. */
struct search_read {
    struct search *search;
    uint8_t index;
    bool is_closed; /* nobody with an older list made a run there any more when it was asked */
};

static void search_free(struct search *search)
{
    arena_free(&search->texts);
    free(search->runs);
    free(search);
}

static int compare_sought(const void *a, const void *b)
{
    const struct sought_run *left = a, *right = b;

    return run_key_compare(&left->key, &right->key);
}

static void on_looked_at(void *arg, const struct changed_run *changed)
{
    const struct search_read *read = arg;
    struct search *search = read->search;
    struct sought_run wanted = {.key = changed->key}, *run;

    run = bsearch(&wanted, search->runs, search->count, sizeof wanted, compare_sought);
    if (run == NULL || changed->run == NULL)
        return;
    run->is_sought = false;
    note_known(search->places, &run->key, read->index);
}

static void next_round(struct search *search);

static void end_read(struct search *search)
{
    if (--search->reads_pending == 0)
        next_round(search);
}

static bool is_asked(const struct sought_run *run, uint8_t index)
{
    return run->is_sought && run->homes[run->at] == index;
}

/* Those that a cell was asked for and has not, or cannot say whether it has. */
static void note_answer(struct search *search, uint8_t index, bool is_sure)
{
    for (size_t i = 0; i < search->count; i++) {
        struct sought_run *run = &search->runs[i];

        if (!is_asked(run, index))
            continue;
        run->was_answered = true;
        run->is_in_doubt |= !is_sure;
    }
    search->has_doubts |= !is_sure;
}

static void on_read_end(void *arg, enum repo_outcome outcome, const char *message,
                        const struct database_moment *moment)
{
    struct search_read *read = arg;
    struct search *search = read->search;

    (void)message;
    (void)moment;
    note_answer(search, read->index, outcome == REPO_OK && read->is_closed);
    free(read);
    end_read(search);
}

/* Asks a cell for those of the runs that may be in it next. */
static void ask_cell(struct search *search, uint8_t index)
{
    struct cell *cell = index == NOT_LISTED ? NULL : search->places->cells[index];
    struct run_key *keys = malloc(search->count * sizeof *keys);
    struct search_read *read = malloc(sizeof *read);
    bool is_gone = index != NOT_LISTED && cell == NULL;
    size_t count = 0;
    int status = -ENOTCONN;

    for (size_t i = 0; keys != NULL && i < search->count; i++)
        if (is_asked(&search->runs[i], index))
            keys[count++] = search->runs[i].key;
    search->reads_pending++;
    if (read != NULL)
        *read = (struct search_read){search, index,
                                     index != NOT_LISTED && search->places->has_newest[index]};
    if (keys != NULL && read != NULL && cell != NULL && cell->has_database)
        status = action_repo_runs_by_key(cell->repo, keys, count, on_looked_at, on_read_end, read);
    free(keys);
    if (status == 0)
        return;
    free(read);
    note_answer(search, index, is_gone);
    end_read(search);
}

/* Which of the cells are to be asked now; what was looked for everywhere is nowhere. */
static bool find_asked(struct search *search, bool asked[static HOMES_MAX])
{
    bool are_any = false;

    for (size_t i = 0; i < search->count; i++) {
        struct sought_run *run = &search->runs[i];

        run->at = (uint8_t)(run->at + run->was_answered);
        run->was_answered = false;
        if (run->is_sought && run->at == run->count) {
            run->is_sought = false;
            if (!run->is_in_doubt && newest_home(search->places, run->homes) != NULL)
                note_known(search->places, &run->key, run->homes[0]);
        }
        if (run->is_sought)
            asked[run->homes[run->at]] = are_any = true;
    }
    return are_any;
}

/* Each run is looked for in its homes, one after the other, the newest first. */
static void next_round(struct search *search)
{
    bool asked[HOMES_MAX] = {false};
    bool is_out_of_date = search->places->is_stopped || search->places->generations.count == 0 ||
                          search->places->generations.items[0].number != search->generation;

    if (is_out_of_date || !find_asked(search, asked)) {
        search->done(search->arg, !search->has_doubts);
        search_free(search);
        return;
    }
    search->reads_pending = 1;
    for (size_t index = 0; index < HOMES_MAX; index++)
        if (asked[index])
            ask_cell(search, (uint8_t)index);
    end_read(search);
}

/* 0 or -ENOMEM. */
static int take_runs(struct search *search, const struct run_key *runs, size_t count)
{
    search->runs = calloc(count, sizeof *search->runs);
    if (search->runs == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        search->runs[i].key = runs[i];
    qsort(search->runs, count, sizeof *search->runs, compare_sought);
    for (size_t i = 0; i < count; i++) {
        struct sought_run *run = &search->runs[search->count];

        if (search->count > 0 && run_key_compare(&run[-1].key, &search->runs[i].key) == 0)
            continue;
        run->key = search->runs[i].key;
        run->is_sought = true;
        run->key.project = arena_copy(&search->texts, run->key.project);
        run->key.domain = arena_copy(&search->texts, run->key.domain);
        run->key.run_name = arena_copy(&search->texts, run->key.run_name);
        if (run->key.project == NULL || run->key.domain == NULL || run->key.run_name == NULL)
            return -ENOMEM;
        run->count =
            (uint8_t)generations_homes(&search->places->generations, &run->key, run->homes);
        search->count++;
    }
    return 0;
}

int places_find(struct places *places, const struct run_key *runs, size_t count, places_fn *done,
                void *arg)
{
    struct search *search = calloc(1, sizeof *search);

    if (search == NULL)
        return -ENOMEM;
    *search = (struct search){
        .places = places,
        .generation = places->generations.count == 0 ? 0 : places->generations.items[0].number,
        .done = done,
        .arg = arg};
    if (take_runs(search, runs, count) < 0) {
        search_free(search);
        return -ENOMEM;
    }
    next_round(search);
    return 0;
}

/* -------- its life -------- */

struct places *places_new(const struct cell_list *list)
{
    struct places *places = calloc(1, sizeof *places);
    const char *active[CELLS_MAX];
    size_t active_count = 0;

    if (places == NULL)
        return NULL;
    places->list = list;
    places->newest = -1;
    for (size_t i = 0; i < list->count; i++) {
        places->names[i] = list->items[i].name;
        if (list->items[i].state == CELL_ACTIVE)
            active[active_count++] = list->items[i].name;
    }
    generation_write(active, active_count, places->ours);
    return places;
}

void places_put(struct places *places, size_t index, struct cell *cell)
{
    places->cells[index] = cell;
}

void places_stop(struct places *places)
{
    places->is_stopped = true;
}

bool places_are_stopped(const struct places *places)
{
    return places->is_stopped;
}

void places_free(struct places *places)
{
    if (places == NULL)
        return;
    forget_all(places);
    generations_clear(&places->generations);
    free(places);
}
