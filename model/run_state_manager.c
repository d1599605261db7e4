/* One run's tree, and what changed in it since revision N. */
#include "model/run_state_manager.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/run_state_manager_internal.h"

struct run_state_manager *run_state_manager_new(void)
{
    struct run_state_manager *manager = calloc(1, sizeof *manager);
    if (!manager)
        return NULL;
    node_table_init(&manager->nodes);
    change_list_init(&manager->changes);
    return manager;
}

void run_state_manager_free(struct run_state_manager *manager)
{
    if (!manager)
        return;
    for (size_t i = 0; i < manager->nodes.count; i++) {
        struct run_node *node = node_table_at(&manager->nodes, i);
        free(node->strings);
        free(node->encoded);
    }
    json_buffer_free(&manager->scratch);
    arena_free(&manager->names);
    change_list_free(&manager->changes);
    node_table_free(&manager->nodes);
    free(manager);
}

/* An action of an upsert after it was checked: everything that can fail is done. */
struct prepared {
    struct run_node *node;
    char *strings; /* for the node; NULL if it has none, or keeps those that it has */
    bool is_new, is_newer, replaces_strings;
};

enum { STRINGS = 4 };

/* The strings that change with the action's state, in the order in which they lie in the block. */
static void list_strings(const struct action *action, const char *strings[static STRINGS])
{
    strings[0] = action->group;
    strings[1] = action->task_name;
    strings[2] = action->short_name;
    strings[3] = action->error_info;
}

static size_t strings_size(const struct action *action)
{
    const char *strings[STRINGS];
    size_t size = 0;
    list_strings(action, strings);
    for (size_t i = 0; i < STRINGS; i++)
        size += strings[i] ? strlen(strings[i]) + 1 : 0;
    return size;
}

static bool has_same_strings(const struct action *a, const struct action *b)
{
    const char *strings_a[STRINGS], *strings_b[STRINGS];
    list_strings(a, strings_a);
    list_strings(b, strings_b);
    for (size_t i = 0; i < STRINGS; i++) {
        if (!strings_a[i] != !strings_b[i])
            return false;
        if (strings_a[i] && strcmp(strings_a[i], strings_b[i]) != 0)
            return false;
    }
    return true;
}

/* A block with the action's strings; NULL there are none. 0 or -ENOMEM. */
static int copy_strings(const struct action *action, char **block)
{
    const char *strings[STRINGS];
    size_t size = strings_size(action);
    *block = size ? malloc(size) : NULL;
    if (size && !*block)
        return -ENOMEM;
    list_strings(action, strings);
    char *at = *block;
    for (size_t i = 0; i < STRINGS; i++) {
        if (!strings[i])
            continue;
        size_t length = strlen(strings[i]) + 1;
        memcpy(at, strings[i], length);
        at += length;
    }
    return 0;
}

static const char *take_string(char **at, const char *source)
{
    const char *copy = *at;
    if (!source)
        return NULL;
    *at += strlen(copy) + 1;
    return copy;
}

/* Points the strings of `action` into a block that copy_strings made of it. */
static void point_into_block(struct action *action, char *block)
{
    action->group = take_string(&block, action->group);
    action->task_name = take_string(&block, action->task_name);
    action->short_name = take_string(&block, action->short_name);
    action->error_info = take_string(&block, action->error_info);
}

static bool is_child_of(const struct run_node *node, const char *parent)
{
    if (!node->parent || !parent)
        return !node->parent && !parent;
    return strcmp(node->parent->action.name, parent) == 0;
}

static int prepare_held(struct prepared *prepared, struct run_node *node,
                        const struct action *action)
{
    if (action->ordinal != node->action.ordinal || !is_child_of(node, action->parent))
        return -EINVAL;
    prepared->node = node;
    prepared->is_newer = action->revision > node->action.revision;
    prepared->replaces_strings = prepared->is_newer && !has_same_strings(action, &node->action);
    return prepared->replaces_strings ? copy_strings(action, &prepared->strings) : 0;
}

static int prepare_new(struct run_state_manager *manager, struct prepared *prepared,
                       const struct action *action)
{
    struct run_node *parent = NULL;
    if ((size_t)action->ordinal != manager->nodes.count + 1)
        return -EINVAL;
    if (action->parent) {
        parent = node_table_find(&manager->nodes, action->parent);
        if (!parent)
            return -EINVAL;
    }
    const char *name = arena_copy(&manager->names, action->name);
    if (!name || copy_strings(action, &prepared->strings) != 0)
        return -ENOMEM;
    prepared->node = node_table_add(&manager->nodes, name);
    prepared->node->manager = manager;
    prepared->node->parent = parent;
    prepared->is_new = prepared->is_newer = prepared->replaces_strings = true;
    return 0;
}

static int prepare(struct run_state_manager *manager, struct prepared *prepared,
                   const struct action *action, int64_t revision)
{
    *prepared = (struct prepared){0};
    if (action->ordinal < 1 || action->revision < 1 || action->revision > revision ||
        phase_from_number((int64_t)action->phase) == PHASE_NONE)
        return -EINVAL;
    struct run_node *held = node_table_find(&manager->nodes, action->name);
    return held ? prepare_held(prepared, held, action) : prepare_new(manager, prepared, action);
}

static void undo_prepare(struct run_state_manager *manager, struct prepared *prepared)
{
    free(prepared->strings);
    if (prepared->is_new)
        node_table_undo_add(&manager->nodes);
}

/* Prepares all or nothing. */
static int prepare_all(struct run_state_manager *manager, struct prepared *prepared,
                       const struct action *actions, size_t count, int64_t revision)
{
    int32_t ordinal = 0;
    for (size_t i = 0; i < count; i++) {
        int status = actions[i].ordinal > ordinal
                         ? prepare(manager, &prepared[i], &actions[i], revision)
                         : -EINVAL;
        if (status != 0) {
            while (i-- > 0)
                undo_prepare(manager, &prepared[i]);
            return status;
        }
        ordinal = actions[i].ordinal;
    }
    return 0;
}

static void count_phase(struct run_node *node, enum phase before, enum phase now)
{
    struct run_state_manager *manager = node->manager;
    if (before == now)
        return;
    manager->phase_counts[before] -= before != PHASE_NONE;
    manager->phase_counts[now]++;
    for (struct run_node *at = node->parent; at; at = at->parent) {
        at->child_phase_counts[before] -= before != PHASE_NONE;
        at->child_phase_counts[now]++;
        node_update_forget(at);
    }
}

static void replace_strings(struct run_state_manager *manager, struct run_node *node,
                            const struct action *action, char *strings)
{
    if (node->strings)
        manager->string_bytes -= strings_size(&node->action);
    free(node->strings);
    node->strings = strings;
    manager->string_bytes += strings_size(action);
}

static void apply(struct run_state_manager *manager, const struct prepared *prepared,
                  const struct action *action)
{
    struct run_node *node = prepared->node;
    const struct action before = node->action;
    if (!prepared->is_newer)
        return;
    if (prepared->replaces_strings)
        replace_strings(manager, node, action, prepared->strings);
    node->action = *action;
    node->action.name = before.name;
    node->action.parent = node->parent ? node->parent->action.name : NULL;
    point_into_block(&node->action, node->strings);
    count_phase(node, before.phase, action->phase);
    node_update_forget(node);
    /* An ancestor that has this revision, or a later one, has it from another node, and so have
     * those above it. */
    for (struct run_node *at = node; at && at->changed_revision < action->revision; at = at->parent)
        change_list_move(&manager->changes, at, action->revision);
}

int run_state_manager_upsert_actions(struct run_state_manager *manager,
                                     const struct action *actions, size_t count, int64_t revision)
{
    if (revision < manager->revision)
        return -EINVAL;
    struct prepared *prepared = malloc((count ? count : 1) * sizeof *prepared);
    if (!prepared)
        return -ENOMEM;
    int status = node_table_reserve(&manager->nodes, count);
    if (status == 0)
        status = change_list_reserve(&manager->changes, revision);
    if (status == 0)
        status = prepare_all(manager, prepared, actions, count, revision);
    if (status == 0) {
        for (size_t i = 0; i < count; i++)
            apply(manager, &prepared[i], &actions[i]);
        manager->revision = revision;
    }
    free(prepared);
    return status;
}

int64_t run_state_manager_revision(const struct run_state_manager *manager)
{
    return manager->revision;
}

size_t run_state_manager_count(const struct run_state_manager *manager)
{
    return manager->nodes.count;
}

const uint32_t *run_state_manager_phase_counts(const struct run_state_manager *manager)
{
    return manager->phase_counts;
}

bool run_state_manager_is_ended(const struct run_state_manager *manager)
{
    size_t terminal = 0;
    for (int phase = PHASE_QUEUED; phase < PHASE_SLOTS; phase++)
        if (phase_is_terminal((enum phase)phase))
            terminal += manager->phase_counts[phase];
    return terminal > 0 && terminal == manager->nodes.count;
}

const struct run_node *run_state_manager_find(const struct run_state_manager *manager,
                                              const char *name)
{
    return node_table_find(&manager->nodes, name);
}

const struct run_node *run_state_manager_at(const struct run_state_manager *manager,
                                            int32_t ordinal)
{
    return node_table_at(&manager->nodes, (size_t)ordinal - 1);
}

const struct run_node *run_state_manager_newest(const struct run_state_manager *manager)
{
    return manager->changes.newest;
}

size_t run_state_manager_bytes(const struct run_state_manager *manager)
{
    return sizeof *manager + node_table_bytes(&manager->nodes) +
           manager->changes.bucket_count * sizeof(*manager->changes.buckets) +
           manager->names.bytes + manager->string_bytes + manager->encoded_bytes +
           manager->scratch.capacity;
}

void run_state_manager_drop_encoded(struct run_state_manager *manager)
{
    for (size_t i = 0; i < manager->nodes.count; i++)
        node_update_forget(node_table_at(&manager->nodes, i));
    json_buffer_free(&manager->scratch);
}
