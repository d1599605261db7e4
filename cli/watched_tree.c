#include "cli/watched_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/run.h"
#include "model/timestamp.h"

static void free_node(struct watched_node *node)
{
    free(node->name);
    free(node->label);
    free(node->error);
    free(node);
}

void watched_tree_clear(struct watched_tree *tree)
{
    struct watched_node *node, *other;

    HASH_ITER (hh, tree->nodes, node, other) {
        HASH_DEL(tree->nodes, node);
        free_node(node);
    }
    *tree = (struct watched_tree){0};
}

static struct watched_node *find(const struct watched_tree *tree, const char *name)
{
    struct watched_node *node = NULL;

    if (name != NULL)
        HASH_FIND_STR(tree->nodes, name, node);
    return node;
}

static const char *text_of(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));

    return text == NULL || *text == '\0' ? NULL : text;
}

static int64_t time_of(const json_t *action, const char *member)
{
    const char *text = text_of(action, member);
    int64_t time_us;

    return text == NULL || timestamp_parse(text, strlen(text), &time_us) < 0 ? TIME_NONE : time_us;
}

/* The title; else the name, and what the task is called if that says more. */
static char *label_of(const json_t *action)
{
    const char *name = text_of(action, "name"), *title = text_of(action, "title");
    const char *task = text_of(action, "shortName");
    char *label;
    size_t size;

    if (title != NULL)
        return strdup(title);
    if (task == NULL)
        task = text_of(action, "taskName");
    if (task == NULL || strncmp(name, task, strlen(task)) == 0)
        return strdup(name);
    size = strlen(name) + strlen(task) + 2;
    label = malloc(size);
    if (label != NULL)
        snprintf(label, size, "%s %s", name, task);
    return label;
}

static char *error_of(const json_t *action)
{
    const char *message = text_of(json_object_get(action, "errorInfo"), "message");

    return message == NULL ? NULL : strndup(message, strcspn(message, "\r\n"));
}

static void set_text(char **member, char *text)
{
    free(*member);
    *member = text;
}

/* The list that the node stands in. */
static struct watched_node **first_of(struct watched_tree *tree, struct watched_node *parent)
{
    return parent == NULL ? &tree->first : &parent->first;
}

static struct watched_node **last_of(struct watched_tree *tree, struct watched_node *parent)
{
    return parent == NULL ? &tree->last : &parent->last;
}

static struct watched_node *add(struct watched_tree *tree, const char *name,
                                struct watched_node *parent)
{
    struct watched_node *node = calloc(1, sizeof *node), **last = last_of(tree, parent);

    if (node == NULL || (node->name = strdup(name)) == NULL) {
        free(node);
        return NULL;
    }
    node->parent = parent;
    HASH_ADD_KEYPTR(hh, tree->nodes, node->name, strlen(node->name), node);
    *(*last == NULL ? first_of(tree, parent) : &(*last)->next) = node;
    *last = node;
    tree->count++;
    return node;
}

/* With all below it. */
static void drop(struct watched_tree *tree, struct watched_node *node)
{
    struct watched_node **link = first_of(tree, node->parent), *before = NULL;

    while (node->first != NULL)
        drop(tree, node->first);
    for (; *link != node; link = &(*link)->next)
        before = *link;
    *link = node->next;
    if (node->next == NULL)
        *last_of(tree, node->parent) = before;
    HASH_DEL(tree->nodes, node);
    tree->count--;
    free_node(node);
}

static void set_counts(struct watched_node *node, const json_t *counts)
{
    for (int i = PHASE_QUEUED; i < PHASE_SLOTS; i++)
        node->below[i] = json_integer_value(json_object_get(counts, phase_name((enum phase)i)));
}

struct watched_node *watched_tree_update(struct watched_tree *tree, const json_t *update)
{
    const json_t *action = json_object_get(update, "action");
    const char *name = text_of(action, "name"), *phase = text_of(action, "phase");
    struct watched_node *node = find(tree, name);
    int64_t attempt = json_integer_value(json_object_get(action, "attempt"));
    bool has_moved;

    if (json_is_false(json_object_get(update, "meetsFilter"))) {
        if (node != NULL)
            drop(tree, node);
        return NULL;
    }
    if (name == NULL || phase == NULL)
        return NULL;
    if (node == NULL)
        node = add(tree, name, find(tree, text_of(action, "parent")));
    if (node == NULL)
        return NULL;
    has_moved = node->phase != phase_parse(phase, strlen(phase)) || node->attempt != attempt;
    node->phase = phase_parse(phase, strlen(phase));
    node->attempt = attempt;
    node->is_abort_asked = json_is_object(json_object_get(action, "abortRequested"));
    node->created_us = time_of(action, "createdAt");
    node->started_us = time_of(action, "startedAt");
    node->ended_us = time_of(action, "endedAt");
    set_counts(node, json_object_get(update, "childPhaseCounts"));
    set_text(&node->label, label_of(action));
    set_text(&node->error, error_of(action));
    return has_moved ? node : NULL;
}

struct watched_node *watched_tree_next(const struct watched_tree *tree,
                                       const struct watched_node *node)
{
    if (node == NULL)
        return tree->first;
    if (node->first != NULL)
        return node->first;
    while (node != NULL && node->next == NULL)
        node = node->parent;
    return node == NULL ? NULL : node->next;
}

enum phase watched_tree_phase(const struct watched_tree *tree)
{
    int32_t counts[PHASE_SLOTS] = {0};

    for (const struct watched_node *root = tree->first; root != NULL; root = root->next)
        counts[root->phase]++;
    return run_phase(counts);
}

int64_t watched_tree_duration_us(const struct watched_tree *tree, int64_t now_us)
{
    bool has_ended = phase_is_terminal(watched_tree_phase(tree));
    int64_t from = INT64_MAX, to = INT64_MIN;

    for (const struct watched_node *root = tree->first; root != NULL; root = root->next) {
        if (root->started_us != TIME_NONE && root->started_us < from)
            from = root->started_us;
        if (root->ended_us != TIME_NONE && root->ended_us > to)
            to = root->ended_us;
    }
    if (from == INT64_MAX)
        return 0;
    if (!has_ended)
        to = now_us;
    return to > from ? to - from : 0;
}

int64_t watched_node_duration_us(const struct watched_node *node, int64_t now_us)
{
    int64_t to = phase_is_terminal(node->phase) ? node->ended_us : now_us;

    if (node->started_us == TIME_NONE || to == TIME_NONE)
        return -1;
    return to > node->started_us ? to - node->started_us : 0;
}
