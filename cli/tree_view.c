#include "cli/tree_view.h"

#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "model/text.h"
#include "model/timestamp.h"

enum { SECOND_US = 1000000, INDENT_LEVELS_MAX = 24, LEVEL_COLUMNS = 2, ESCAPE_SIZE = 16 };

struct look {
    const char *sign, *plain_sign, *colour;
};

static const struct look looks[PHASE_SLOTS] = {
    [PHASE_NONE] = {" ", " ", ""},
    [PHASE_QUEUED] = {"○", "o", "2"},
    [PHASE_WAITING_FOR_RESOURCES] = {"○", "o", "2"},
    [PHASE_INITIALIZING] = {"◌", "o", "36"},
    [PHASE_RUNNING] = {"●", "*", "36"},
    [PHASE_SUCCEEDED] = {"✓", "+", "32"},
    [PHASE_FAILED] = {"✗", "x", "31"},
    [PHASE_ABORTED] = {"✗", "x", "33"},
    [PHASE_TIMED_OUT] = {"✗", "x", "31"},
    [PHASE_PAUSED] = {"‖", "=", "36"},
    [PHASE_RECOVERED] = {"✓", "+", "32"},
    [PHASE_SKIPPED] = {"-", "-", "2"},
};

/* What comes first where not all fits. */
static int urgency(enum phase phase)
{
    if (phase == PHASE_FAILED || phase == PHASE_TIMED_OUT || phase == PHASE_ABORTED)
        return 0;
    if (phase == PHASE_RUNNING || phase == PHASE_PAUSED || phase == PHASE_INITIALIZING)
        return 1;
    return phase_is_terminal(phase) ? 3 : 2;
}
enum { URGENCIES = 4 };

/* The columns of a character, and in *length its bytes; -1: a terminal must not be given it. */
static int columns_of(const char *text, size_t *length)
{
    unsigned code = (unsigned char)text[0];
    size_t bytes = utf8_sequence_length(text);
    int columns;

    *length = bytes == 0 ? 1 : bytes;
    if (bytes == 0)
        return -1;
    if (bytes > 1) {
        code &= 0x7fU >> bytes;
        for (size_t i = 1; i < bytes; i++)
            code = code << 6 | ((unsigned char)text[i] & 0x3f);
    }
    if (code < 0x20 || (code >= 0x7f && code < 0xa0))
        return -1;
    columns = wcwidth((wchar_t)code);
    return columns < 0 ? 1 : columns;
}

size_t tree_view_text(struct buffer *out, const char *text, size_t columns)
{
    size_t used = 0, length, cut_at = out->length, cut_used = 0;

    for (; *text != '\0'; text += length) {
        int wide = columns_of(text, &length);

        if (wide < 0)
            continue;
        if (used + (size_t)wide > columns) {
            if (out->failed || columns == 0)
                return used;
            out->length = cut_at;
            buffer_text(out, "…");
            return cut_used + 1;
        }
        buffer_append(out, text, length);
        used += (size_t)wide;
        if (used < columns) {
            cut_at = out->length;
            cut_used = used;
        }
    }
    return used;
}

void tree_view_duration(struct buffer *out, int64_t duration_us)
{
    int64_t seconds = duration_us / SECOND_US;
    char text[40];

    if (seconds < 10)
        snprintf(text, sizeof text, "%lld.%llds", (long long)seconds,
                 (long long)(duration_us % SECOND_US / (SECOND_US / 10)));
    else if (seconds < 60)
        snprintf(text, sizeof text, "%llds", (long long)seconds);
    else if (seconds < 3600)
        snprintf(text, sizeof text, "%lldm%02llds", (long long)seconds / 60,
                 (long long)seconds % 60);
    else
        snprintf(text, sizeof text, "%lldh%02lldm", (long long)seconds / 3600,
                 (long long)seconds / 60 % 60);
    buffer_text(out, text);
}

static const char *word_of(enum phase phase)
{
    static const char *const words[PHASE_SLOTS] = {
        [PHASE_QUEUED] = "queued",
        [PHASE_WAITING_FOR_RESOURCES] = "waiting for resources",
        [PHASE_INITIALIZING] = "initializing",
        [PHASE_RUNNING] = "running",
        [PHASE_SUCCEEDED] = "succeeded",
        [PHASE_FAILED] = "failed",
        [PHASE_ABORTED] = "aborted",
        [PHASE_TIMED_OUT] = "timed out",
        [PHASE_PAUSED] = "paused",
        [PHASE_RECOVERED] = "recovered",
        [PHASE_SKIPPED] = "skipped",
    };

    return words[phase];
}

/* "3 running, 1 failed", what is most urgent first. */
static void append_counts(struct buffer *out, const int64_t counts[static PHASE_SLOTS],
                          const char *before)
{
    char text[64];

    for (int level = 0; level < URGENCIES; level++) {
        for (int i = PHASE_QUEUED; i < PHASE_SLOTS; i++) {
            if (counts[i] == 0 || urgency((enum phase)i) != level)
                continue;
            snprintf(text, sizeof text, "%s%lld %s", before, (long long)counts[i],
                     word_of((enum phase)i));
            buffer_text(out, text);
            before = ", ";
        }
    }
}

void tree_view_counts(struct buffer *out, const struct watched_tree *tree)
{
    int64_t counts[PHASE_SLOTS] = {0};
    char text[64];

    for (const struct watched_node *node = watched_tree_next(tree, NULL); node != NULL;
         node = watched_tree_next(tree, node))
        counts[node->phase]++;
    snprintf(text, sizeof text, "%zu action%s", tree->count, tree->count == 1 ? "" : "s");
    buffer_text(out, text);
    append_counts(out, counts, ", ");
}

/* Shows the node and those above it if there is room for all of them. */
static void show(struct watched_node *node, size_t *room)
{
    size_t needed = 0;

    for (struct watched_node *it = node; it != NULL && !it->is_shown; it = it->parent)
        needed++;
    if (needed > *room)
        return;
    *room -= needed;
    for (struct watched_node *it = node; it != NULL && !it->is_shown; it = it->parent)
        it->is_shown = true;
}

static size_t choose(struct watched_tree *tree, size_t room)
{
    size_t left = room;

    for (struct watched_node *node = watched_tree_next(tree, NULL); node != NULL;
         node = watched_tree_next(tree, node))
        node->is_shown = false;
    for (int level = 0; level < URGENCIES && left > 0; level++)
        for (struct watched_node *node = watched_tree_next(tree, NULL); node != NULL && left > 0;
             node = watched_tree_next(tree, node))
            if (urgency(node->phase) == level)
                show(node, &left);
    return room - left;
}

/* A line that is being made. */
struct line {
    struct buffer *out;
    const struct tree_view *view;
    size_t left; /* columns */
};

static void colour(struct line *line, const char *code)
{
    char escape[ESCAPE_SIZE];

    if (!line->view->has_colours)
        return;
    snprintf(escape, sizeof escape, "\x1b[%sm", code);
    buffer_text(line->out, escape);
}

static void put(struct line *line, const char *text)
{
    line->left -= tree_view_text(line->out, text, line->left);
}

static void end_line(struct line *line)
{
    buffer_text(line->out, "\n");
}

static const struct watched_node *next_shown(const struct watched_node *node)
{
    do
        node = node->next;
    while (node != NULL && !node->is_shown);
    return node;
}

/* The lines that lead to the node from those above it; of a deep one only its own levels. */
static void put_branches(struct line *line, const struct watched_node *node)
{
    const struct watched_node *path[INDENT_LEVELS_MAX];
    size_t depth = 0;
    bool is_unicode = line->view->has_unicode;

    for (; node->parent != NULL && depth < INDENT_LEVELS_MAX &&
           (depth + 1) * LEVEL_COLUMNS < line->left / 2;
         node = node->parent)
        path[depth++] = node;
    colour(line, "2");
    for (size_t i = depth; i > 0; i--) {
        bool goes_on = next_shown(path[i - 1]) != NULL;

        if (i > 1)
            put(line, !goes_on ? "  " : is_unicode ? "│ " : "| ");
        else
            put(line, is_unicode ? (goes_on ? "├ " : "└ ") : (goes_on ? "|-" : "`-"));
    }
    colour(line, "0");
}

static bool hides_children(const struct watched_node *node)
{
    for (const struct watched_node *child = node->first; child != NULL; child = child->next)
        if (!child->is_shown)
            return true;
    return false;
}

static void put_node(struct line *line, const struct watched_node *node)
{
    const struct look *look = &looks[node->phase];
    struct buffer text = {0};

    put_branches(line, node);
    colour(line, look->colour);
    put(line, line->view->has_unicode ? look->sign : look->plain_sign);
    colour(line, "0");
    put(line, " ");
    put(line, node->label == NULL ? node->name : node->label);
    if (node->attempt > 1) {
        char attempt[40];

        snprintf(attempt, sizeof attempt, " #%lld", (long long)node->attempt);
        buffer_text(&text, attempt);
    }
    if (watched_node_duration_us(node, line->view->now_us) >= 0) {
        buffer_text(&text, "  ");
        tree_view_duration(&text, watched_node_duration_us(node, line->view->now_us));
    }
    if (node->is_abort_asked && !phase_is_terminal(node->phase))
        buffer_text(&text, "  is to end");
    if (hides_children(node))
        append_counts(&text, node->below, "  ");
    buffer_append(&text, "", 1);
    colour(line, "2");
    if (!text.failed)
        put(line, text.bytes);
    colour(line, "0");
    if (node->error != NULL && line->left > 4) {
        colour(line, look->colour);
        put(line, "  ");
        put(line, node->error);
        colour(line, "0");
    }
    buffer_free(&text);
    end_line(line);
}

static struct line new_line(struct buffer *out, const struct tree_view *view)
{
    return (struct line){.out = out, .view = view, .left = view->columns};
}

static void put_head(struct buffer *out, const struct tree_view *view,
                     const struct watched_tree *tree)
{
    enum phase phase = watched_tree_phase(tree);
    struct line line = new_line(out, view);
    struct buffer text = {0};

    colour(&line, "1");
    put(&line, view->title);
    colour(&line, "0");
    put(&line, "  ");
    colour(&line, looks[phase].colour[0] == '\0' ? "0" : looks[phase].colour);
    put(&line, phase == PHASE_NONE ? "" : phase_name(phase));
    colour(&line, "0");
    buffer_text(&text, "  ");
    tree_view_duration(&text, watched_tree_duration_us(tree, view->now_us));
    buffer_text(&text, "  ");
    tree_view_counts(&text, tree);
    buffer_append(&text, "", 1);
    if (!text.failed)
        put(&line, text.bytes);
    buffer_free(&text);
    end_line(&line);
}

static void put_foot(struct buffer *out, const struct tree_view *view, size_t hidden)
{
    struct line line = new_line(out, view);
    char text[64] = "";

    if (hidden > 0)
        snprintf(text, sizeof text, "%zu more, as the counts above say. ", hidden);
    colour(&line, "2");
    put(&line, text);
    if (view->note != NULL)
        put(&line, view->note);
    colour(&line, "0");
    end_line(&line);
}

size_t tree_view_draw(struct buffer *out, const struct tree_view *view, struct watched_tree *tree)
{
    size_t room = view->rows > 1 ? view->rows - 1 : 0, shown;
    bool has_foot = room > 1 && (view->note != NULL || tree->count > room);

    if (view->rows == 0)
        return 0;
    put_head(out, view, tree);
    if (has_foot)
        room--;
    shown = choose(tree, room);
    for (const struct watched_node *node = watched_tree_next(tree, NULL); node != NULL;
         node = watched_tree_next(tree, node)) {
        struct line line = new_line(out, view);

        if (node->is_shown)
            put_node(&line, node);
    }
    if (has_foot)
        put_foot(out, view, tree->count - shown);
    return 1 + shown + (has_foot ? 1 : 0);
}
