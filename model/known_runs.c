#include "model/known_runs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A failed allocation leaves the element's hh.tbl NULL instead of ending the process. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

enum {
    RUN_SHARE = 4,          /* this part of the bytes may be one run's */
    OVERHEAD_OF_ENTRY = 32, /* of the allocation and the table */
};

struct known_action {
    struct action action; /* its strings are in `texts` */
    struct action_origin origin;
    size_t bytes;
    struct known_action *prev, *next; /* known_run.actions_by_use */
    UT_hash_handle hh;                /* known_run.actions, by name */
    char texts[];
};

struct known_run {
    struct run run; /* without its key; it owns its root */
    int64_t changed_xid;
    int64_t heard_revision; /* the greatest, perhaps of a commit of ours that was not noted yet */
    struct known_action *actions, *actions_by_use; /* the one used last comes last */
    int32_t in_tree;                               /* of the actions */
    size_t bytes;                                  /* of itself and the actions */
    struct known_run *prev, *next;                 /* known_runs.runs_by_use */
    UT_hash_handle hh;                             /* known_runs.runs, by path */
    char path[];
};

struct known_runs {
    size_t bytes_max, bytes;
    struct known_run *runs, *runs_by_use; /* the one used last comes last */
};

struct known_runs *known_runs_new(size_t bytes_max)
{
    struct known_runs *known = calloc(1, sizeof *known);
    if (known)
        known->bytes_max = bytes_max;
    return known;
}

void known_runs_free(struct known_runs *known)
{
    if (!known)
        return;
    known_runs_clear(known);
    free(known);
}

size_t known_runs_bytes(const struct known_runs *known)
{
    return known->bytes;
}

static struct known_run *find_run(const struct known_runs *known, const struct run_key *key)
{
    char path[RUN_PATH_SIZE];
    struct known_run *run;
    if (!known->runs)
        return NULL;
    run_key_path(key, path);
    HASH_FIND_STR(known->runs, path, run);
    return run;
}

static struct known_action *find_action(const struct known_run *run, const char *name)
{
    struct known_action *action;
    HASH_FIND_STR(run->actions, name, action);
    return action;
}

static void charge(struct known_runs *known, struct known_run *run, size_t bytes)
{
    run->bytes += bytes;
    known->bytes += bytes;
}

static void drop_action(struct known_runs *known, struct known_run *run,
                        struct known_action *action)
{
    HASH_DEL(run->actions, action);
    DL_DELETE(run->actions_by_use, action);
    run->in_tree -= action->action.ordinal > 0;
    run->bytes -= action->bytes;
    known->bytes -= action->bytes;
    free(action);
}

static void drop_actions(struct known_runs *known, struct known_run *run)
{
    while (run->actions_by_use)
        drop_action(known, run, run->actions_by_use);
}

static void drop_run(struct known_runs *known, struct known_run *run)
{
    drop_actions(known, run);
    HASH_DEL(known->runs, run);
    DL_DELETE(known->runs_by_use, run);
    known->bytes -= run->bytes;
    free((char *)(uintptr_t)run->run.root);
    free(run);
}

void known_runs_forget(struct known_runs *known, const struct run_key *key)
{
    struct known_run *run = find_run(known, key);
    if (run)
        drop_run(known, run);
}

void known_runs_clear(struct known_runs *known)
{
    while (known->runs_by_use)
        drop_run(known, known->runs_by_use);
}

void known_runs_hear(struct known_runs *known, const struct run_key *key, int64_t revision)
{
    struct known_run *run = find_run(known, key);
    if (run && revision == 0)
        drop_run(known, run);
    else if (run && revision > run->heard_revision)
        run->heard_revision = revision;
}

/* -------- handing over -------- */

/* NULL where somebody else is heard to have changed it. */
static struct known_run *find_current(struct known_runs *known, const struct run_key *key)
{
    struct known_run *run = find_run(known, key);
    if (!run || run->heard_revision <= run->run.revision)
        return run;
    drop_run(known, run);
    return NULL;
}

/* Every action of its tree is known: one that is not is none, but perhaps an alias. */
static bool is_complete(const struct known_run *run)
{
    return run->in_tree == run->run.action_count - run->run.removed_count;
}

/* Whether all is known that decides about what is called so: also an action that is none yet, if
 * the batch makes it, which the table refuses where it is there after all. */
static bool knows_name(const struct known_run *run, const struct decision_name *name,
                       struct known_action **found)
{
    *found = find_action(run, name->name);
    if (!*found)
        return name->is_made && is_complete(run);
    return (*found)->action.ordinal != ALIAS_ORDINAL ||
           find_action(run, (*found)->action.parent) != NULL;
}

static int hand_over_action(struct decision *decision, const struct run_key *key,
                            struct known_run *run, struct known_action *action)
{
    DL_DELETE(run->actions_by_use, action);
    DL_APPEND(run->actions_by_use, action);
    return decision_put_action(decision, key, &action->action, &action->origin);
}

static int hand_over(struct decision *decision, const struct run_key *keys,
                     struct known_run *const *runs, const struct decision_name *names,
                     struct known_action *const *actions, size_t name_count)
{
    for (size_t i = 0; i < name_count; i++) {
        struct known_run *run = runs[names[i].run];
        const struct run_key *key = &keys[names[i].run];
        if (!run || !actions[i])
            continue;
        if (hand_over_action(decision, key, run, actions[i]) != 0)
            return -ENOMEM;
        if (actions[i]->action.ordinal == ALIAS_ORDINAL &&
            hand_over_action(decision, key, run, find_action(run, actions[i]->action.parent)) != 0)
            return -ENOMEM;
    }
    return 0;
}

static int recall(struct known_runs *known, struct decision *decision, struct known_run **runs,
                  struct known_action **actions, bool *is_known, int64_t *changed_xids)
{
    size_t run_count, name_count;
    int count = 0;
    const struct run_key *keys = decision_runs(decision, &run_count);
    const struct decision_name *names = decision_names(decision, &name_count);
    for (size_t i = 0; i < run_count; i++)
        runs[i] = find_current(known, &keys[i]);
    for (size_t i = 0; i < name_count; i++)
        if (runs[names[i].run] && !knows_name(runs[names[i].run], &names[i], &actions[i]))
            runs[names[i].run] = NULL;
    for (size_t i = 0; i < run_count; i++) {
        struct run run = {.key = keys[i]};
        is_known[i] = runs[i] != NULL;
        if (!runs[i])
            continue;
        run = runs[i]->run;
        run.key = keys[i];
        changed_xids[i] = runs[i]->changed_xid;
        if (decision_put_run(decision, &run, false) != 0)
            return -ENOMEM;
        count++;
    }
    return hand_over(decision, keys, runs, names, actions, name_count) == 0 ? count : -ENOMEM;
}

int known_runs_recall(struct known_runs *known, struct decision *decision, bool *is_known,
                      int64_t *changed_xids)
{
    size_t run_count, name_count;
    struct known_run **runs;
    struct known_action **actions;
    int status = -ENOMEM;
    decision_runs(decision, &run_count);
    decision_names(decision, &name_count);
    runs = calloc(run_count, sizeof(struct known_run *));
    actions = calloc(name_count, sizeof(struct known_action *));
    if (runs && actions)
        status = recall(known, decision, runs, actions, is_known, changed_xids);
    free((void *)runs);
    free((void *)actions);
    return status;
}

/* -------- noting -------- */

static bool may_be_kept(const struct run *run)
{
    return run->waiting_count == 0 && !run->abort_requested && run->abort_count == 0;
}

static struct known_run *add_run(struct known_runs *known, const struct run_key *key)
{
    char path[RUN_PATH_SIZE];
    struct known_run *run;
    size_t size;
    run_key_path(key, path);
    size = strlen(path) + 1;
    run = calloc(1, sizeof *run + size);
    if (!run)
        return NULL;
    memcpy(run->path, path, size);
    HASH_ADD_STR(known->runs, path, run);
    if (!run->hh.tbl) {
        free(run);
        return NULL;
    }
    DL_APPEND(known->runs_by_use, run);
    charge(known, run, sizeof *run + size + OVERHEAD_OF_ENTRY);
    return run;
}

/* The place of the run, as the last that was used; NULL when out of memory. What is known of its
 * actions is so as of `changed_xid`. */
static struct known_run *get_run(struct known_runs *known, const struct run_key *key,
                                 int64_t changed_xid, const char *incarnation)
{
    struct known_run *run = find_run(known, key);
    if (!run)
        return add_run(known, key);
    if (run->changed_xid != changed_xid || strcmp(run->run.incarnation, incarnation) != 0)
        drop_actions(known, run);
    DL_DELETE(known->runs_by_use, run);
    DL_APPEND(known->runs_by_use, run);
    return run;
}

/* NULL when it is not kept. */
static struct known_run *note_run(struct known_runs *known, const struct run_key *key,
                                  int64_t changed_xid, const struct run_row *row, int64_t xid,
                                  int64_t now_us)
{
    const struct run *state = &row->state;
    struct known_run *run =
        may_be_kept(state) ? get_run(known, key, changed_xid, state->incarnation) : NULL;
    const char *root;
    if (!run) {
        known_runs_forget(known, key);
        return NULL;
    }
    root = run->run.root;
    if (state->root && !(root && strcmp(root, state->root) == 0)) {
        free((char *)(uintptr_t)root);
        root = strdup(state->root);
    }
    run->run = *state;
    run->run.root = root;
    run->run.key = (struct run_key){0};
    if (row->has_events)
        run->run.last_event_us = now_us;
    run->changed_xid = xid > changed_xid ? xid : changed_xid + 1; /* NEXT_CHANGE of sql/rows.h */
    if (!state->root || root)
        return run;
    drop_run(known, run);
    return NULL;
}

/* 0 or -ENOMEM. */
static int note_action(struct known_runs *known, struct known_run *run,
                       const struct action_row *row)
{
    const struct action *action = &row->action;
    struct known_action *noted = find_action(run, action->name);
    size_t name_size = strlen(action->name) + 1;
    size_t parent_size = action->parent ? strlen(action->parent) + 1 : 0;
    size_t texts_size = name_size + parent_size + action_texts_size(action);
    if (noted)
        drop_action(known, run, noted);
    noted = malloc(sizeof *noted + texts_size);
    if (!noted)
        return -ENOMEM;
    noted->action = *action;
    noted->origin = row->origin;
    noted->bytes = sizeof *noted + texts_size + OVERHEAD_OF_ENTRY;
    noted->action.name = memcpy(noted->texts, action->name, name_size);
    if (action->parent)
        noted->action.parent = memcpy(noted->texts + name_size, action->parent, parent_size);
    action_move_texts(&noted->action, noted->texts + name_size + parent_size);
    HASH_ADD_KEYPTR(hh, run->actions, noted->action.name, name_size - 1, noted);
    if (!noted->hh.tbl) {
        free(noted);
        return -ENOMEM;
    }
    DL_APPEND(run->actions_by_use, noted);
    run->in_tree += action->ordinal > 0;
    charge(known, run, noted->bytes);
    return 0;
}

static void note_actions(struct known_runs *known, struct known_run **runs,
                         const struct action_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct known_run *run = runs[rows[i].run];
        if (!run || note_action(known, run, &rows[i]) == 0)
            continue;
        drop_run(known, run);
        runs[rows[i].run] = NULL;
    }
}

void known_runs_note(struct known_runs *known, struct decision *decision,
                     const int64_t *changed_xids, int64_t xid, int64_t now_us)
{
    size_t run_count, row_count, changed_count, unchanged_count;
    const struct run_key *keys = decision_runs(decision, &run_count);
    const struct run_row *rows = decision_run_rows(decision, &row_count);
    const struct action_row *changed = decision_action_rows(decision, &changed_count);
    const struct action_row *unchanged = decision_unchanged_rows(decision, &unchanged_count);
    struct known_run **runs = calloc(run_count, sizeof(struct known_run *));
    if (!runs) {
        known_runs_clear(known);
        return;
    }
    for (size_t i = 0; i < row_count; i++)
        runs[rows[i].run] =
            note_run(known, &keys[rows[i].run], changed_xids[rows[i].run], &rows[i], xid, now_us);
    note_actions(known, runs, changed, changed_count);
    note_actions(known, runs, unchanged, unchanged_count);
    for (size_t i = 0; i < run_count; i++)
        while (runs[i] && runs[i]->actions_by_use && runs[i]->bytes > known->bytes_max / RUN_SHARE)
            drop_action(known, runs[i], runs[i]->actions_by_use);
    free((void *)runs);
    while (known->runs_by_use && known->bytes > known->bytes_max)
        drop_run(known, known->runs_by_use);
}
