#include "model/replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A failed allocation leaves the element's hh.tbl NULL instead of ending the process. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "model/action.h"
#include "model/additions.h"
#include "model/arena.h"
#include "model/error_info.h"

/* An action of the run; in the arena. */
struct replayed_action {
    struct action action; /* its texts are in `texts` */
    struct action_origin origin;
    char *texts;
    bool has_events;        /* that count for its state */
    int64_t abort_revision; /* 0: none */
    struct replayed_action *next;
    UT_hash_handle hh; /* replay.actions, by name */
};

struct replay {
    const struct run_key *run;
    struct arena arena;
    struct arena texts; /* of the event that is being taken in */
    struct replayed_action *actions;
    struct replayed_action *first, **tail; /* in the order of their joining */
    size_t text_bytes;
    struct replayed_action *next_built;
    int32_t built;
};

struct replay *replay_new(const struct run_key *run)
{
    struct replay *replay = calloc(1, sizeof *replay);

    if (replay == NULL)
        return NULL;
    replay->run = run;
    replay->tail = &replay->first;
    return replay;
}

void replay_free(struct replay *replay)
{
    if (replay == NULL)
        return;
    for (struct replayed_action *at = replay->first; at != NULL; at = at->next)
        free(at->texts);
    HASH_CLEAR(hh, replay->actions);
    arena_free(&replay->texts);
    arena_free(&replay->arena);
    free(replay);
}

size_t replay_bytes(const struct replay *replay)
{
    return sizeof *replay + replay->arena.bytes + replay->text_bytes +
           (replay->actions == NULL ? 0 : HASH_OVERHEAD(hh, replay->actions));
}

size_t replay_tree_bytes(const struct replay *replay)
{
    return HASH_COUNT(replay->actions) * 2 * sizeof(struct run_node) + replay->arena.bytes +
           replay->text_bytes;
}

static struct replayed_action *find_action(const struct replay *replay, const char *name)
{
    struct replayed_action *found;

    HASH_FIND_STR(replay->actions, name, found);
    return found;
}

static struct replayed_action *add_action(struct replay *replay, const char *name,
                                          const char *parent)
{
    struct replayed_action *added = arena_alloc(&replay->arena, sizeof *added);

    if (added == NULL)
        return NULL;
    added->action = (struct action){.name = arena_copy(&replay->arena, name),
                                    .parent_named = true,
                                    .created_us = TIME_NONE,
                                    .started_us = TIME_NONE,
                                    .ended_us = TIME_NONE};
    if (parent != NULL)
        added->action.parent = arena_copy(&replay->arena, parent);
    if (added->action.name == NULL || (parent != NULL && added->action.parent == NULL))
        return NULL;
    HASH_ADD_KEYPTR(hh, replay->actions, added->action.name, strlen(added->action.name), added);
    if (added->hh.tbl == NULL)
        return NULL;
    *replay->tail = added;
    replay->tail = &added->next;
    return added;
}

/* -------- an event -------- */

/* Reads what was accepted once. What is no event any more, by rules that came later, still says
 * when its action was in which phase. 0 or -ENOMEM. */
static int decode(struct replay *replay, const struct replayed_event *stored,
                  struct action_event *event)
{
    char attempt[16], version[16];
    const struct action_event_path path = {.project = replay->run->project,
                                           .domain = replay->run->domain,
                                           .run_name = replay->run->run_name,
                                           .name = stored->name,
                                           .attempt = attempt,
                                           .phase = phase_name(stored->phase),
                                           .version = stored->version < 0 ? NULL : version};
    struct problem problem;
    int status;

    snprintf(attempt, sizeof attempt, "%d", stored->attempt);
    snprintf(version, sizeof version, "%d", stored->version);
    status = action_event_decode(event, stored->info, &path, stored->updated_us, &replay->texts,
                                 &problem);
    if (status == -ENOMEM || (status == -EBADMSG && json_scan_error(stored->info) == NULL))
        return -ENOMEM;
    if (status < 0)
        *event = (struct action_event){.name = stored->name};
    event->attempt = stored->attempt;
    event->phase = stored->phase;
    event->version = stored->version;
    event->updated_us = stored->updated_us;
    return 0;
}

/* The texts are the event's until here. */
static int keep_texts(struct replay *replay, struct replayed_action *of, struct action *action)
{
    size_t size = action_texts_size(action);
    char *block = NULL;

    if (size > 0) {
        block = malloc(size);
        if (block == NULL)
            return -ENOMEM;
        action_move_texts(action, block);
    }
    replay->text_bytes += size - action_texts_size(&of->action);
    free(of->texts);
    of->texts = block;
    of->action = *action;
    return 0;
}

static int take_event(struct replay *replay, struct replayed_action *action,
                      const struct action_event *event, const struct replayed_event *stored)
{
    struct action moved;
    struct action_change change;
    const char *error_info = NULL;

    if (event->error_info != NULL) {
        error_info = error_info_dump(event->error_info, &replay->texts);
        if (error_info == NULL)
            return -ENOMEM;
    }
    moved = action->action;
    if (stored->abort_requested != NULL) {
        moved.abort_requested = stored->abort_requested;
        action->abort_revision = stored->abort_revision;
    }
    change = action_apply(&moved, &action->origin, event, error_info);
    if (additions_take(&moved, event, &replay->texts, &change) < 0)
        return -ENOMEM;
    if (!action->has_events || change.is_visible)
        moved.revision = stored->revision;
    action->has_events = true;
    return keep_texts(replay, action, &moved);
}

int replay_add(struct replay *replay, const struct replayed_event *stored)
{
    struct replayed_action *action = find_action(replay, stored->name);
    struct action_event event;
    int status;

    if (action == NULL)
        action = add_action(replay, stored->name, stored->parent);
    if (action == NULL)
        return -ENOMEM;
    if (stored->info.bytes == NULL)
        return 0;
    status = decode(replay, stored, &event);
    if (status < 0)
        return status;
    status = take_event(replay, action, &event, stored);
    action_event_clear(&event);
    arena_free(&replay->texts);
    return status;
}

/* -------- the tree -------- */

/* Whether the parent is in the tree; a root needs none. */
static bool is_below_tree(const struct replay *replay, struct action *action)
{
    const struct replayed_action *parent;

    action->level = 1;
    if (action->parent == NULL)
        return true;
    parent = find_action(replay, action->parent);
    if (parent == NULL || parent->action.ordinal == 0)
        return false;
    action->level = parent->action.level + 1;
    return true;
}

int replay_build(struct replay *replay, struct run_state_manager *manager, size_t count,
                 int64_t revision)
{
    if (replay->built == 0 && replay->next_built == NULL) {
        replay->next_built = replay->first;
        if (run_state_manager_upsert_actions(manager, NULL, 0, revision) < 0)
            return -ENOMEM;
    }
    for (; replay->next_built != NULL && count > 0; count--) {
        struct replayed_action *at = replay->next_built;
        struct action *action = &at->action;

        if (at->has_events && is_below_tree(replay, action)) {
            action->ordinal = replay->built + 1;
            if (at->abort_revision > action->revision)
                action->revision = at->abort_revision;
            if (run_state_manager_upsert_actions(manager, action, 1, revision) < 0)
                return -ENOMEM;
            replay->built++;
        }
        replay->next_built = at->next;
    }
    return replay->next_built == NULL;
}
