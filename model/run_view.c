/* What one filter sees of a run's tree. */
#include "model/run_view.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* How many of the revisions that a view was synced to it remembers. A watcher that is up to date
 * stands at the last of them, a slow one at an earlier one. */
enum { SYNCS_REMEMBERED = 64 };

enum { CAPACITY_MIN = 64 };

/* What the view knows of the node with the same index, but for whether it matches itself. */
struct view_node {
    int64_t toggled_revision; /* at which it came into view or went out of it; 0: never in view */
    uint32_t matching_descendant_count;
};

enum { WORD_BITS = 64 };

struct run_view {
    struct run_state_manager *manager;
    struct filter filter;
    bool sees_all; /* the empty filter: no view_node is needed */
    int64_t revision;
    size_t
        unseen; /* nodes of the tree as it was found that were not looked at yet, the first ones */
    size_t count; /* nodes that the view knows: those with an ordinal up to it */
    size_t visible_count;
    struct view_node *nodes;
    /* A bit for each node. What changed is looked up here, and matches as before in all but one or
     * two of many views: so keeping up with them reads little, and leaves the tree in the caches.
     */
    uint64_t *matching;
    size_t capacity;                 /* nodes; a multiple of WORD_BITS */
    int64_t syncs[SYNCS_REMEMBERED]; /* a ring */
    size_t sync_count;
};

static size_t index_of(const struct run_node *node)
{
    return (size_t)node->action.ordinal - 1;
}

static bool is_matching(const struct run_view *view, size_t i)
{
    return view->matching[i / WORD_BITS] >> i % WORD_BITS & 1;
}

static void set_bit(struct run_view *view, size_t i, bool is_matching)
{
    uint64_t bit = UINT64_C(1) << i % WORD_BITS;
    if (is_matching)
        view->matching[i / WORD_BITS] |= bit;
    else
        view->matching[i / WORD_BITS] &= ~bit;
}

static bool is_in_view(const struct run_view *view, size_t i)
{
    return is_matching(view, i) || view->nodes[i].matching_descendant_count > 0;
}

static bool matches(const struct run_view *view, const struct run_node *node)
{
    const struct filter_subject subject = filter_subject_of(&node->action);
    return !node->action.is_removed && filter_matches(&view->filter, &subject);
}

/* `block` for `count` of `size` bytes, where it is for `before` of them; what is new is zero. NULL
 * when out of memory. The memory of a first, large one comes zeroed from the kernel, when it is
 * written to. */
static void *extend(void *block, size_t before, size_t count, size_t size)
{
    if (!block)
        return calloc(count, size);
    block = realloc(block, count * size);
    if (block)
        memset((char *)block + before * size, 0, (count - before) * size);
    return block;
}

/* Room for what is known of `count` nodes. 0 or -ENOMEM. */
static int reserve(struct run_view *view, size_t count)
{
    if (count <= view->capacity)
        return 0;
    size_t capacity = view->capacity < CAPACITY_MIN ? CAPACITY_MIN : view->capacity;
    while (capacity < count)
        capacity += capacity / 2;
    capacity += -capacity % WORD_BITS;
    struct view_node *nodes = extend(view->nodes, view->capacity, capacity, sizeof *nodes);
    if (!nodes)
        return -ENOMEM;
    view->nodes = nodes;
    uint64_t *matching =
        extend(view->matching, view->capacity / WORD_BITS, capacity / WORD_BITS, sizeof *matching);
    if (!matching)
        return -ENOMEM;
    view->matching = matching;
    view->capacity = capacity;
    return 0;
}

/* Children have greater ordinals than their parents, so that from the end on each node's count is
 * complete when it is looked at. */
static void look_at_unseen(struct run_view *view)
{
    int64_t revision = run_state_manager_revision(view->manager);
    for (size_t looked = 0; view->unseen > 0 && looked < VIEW_SYNC_MAX; looked++) {
        size_t i = --view->unseen;
        const struct run_node *node = run_state_manager_at(view->manager, (int32_t)i + 1);
        struct view_node *seen = &view->nodes[i];
        set_bit(view, i, matches(view, node));
        if (node->parent)
            view->nodes[index_of(node->parent)].matching_descendant_count +=
                seen->matching_descendant_count + is_matching(view, i);
        if (is_in_view(view, i)) {
            seen->toggled_revision = revision;
            view->visible_count++;
        }
    }
}

struct run_view *run_view_new(struct run_state_manager *manager, const struct filter *filter)
{
    struct run_view *view = calloc(1, sizeof *view);
    if (!view)
        return NULL;
    view->manager = manager;
    view->filter = *filter;
    view->sees_all = filter_is_empty(filter);
    view->revision = run_state_manager_revision(manager);
    view->unseen = view->sees_all ? 0 : run_state_manager_count(manager);
    if (reserve(view, view->unseen) != 0) {
        run_view_free(view);
        return NULL;
    }
    return view;
}

size_t run_view_bytes(const struct run_view *view)
{
    return sizeof *view + view->capacity * sizeof *view->nodes + view->capacity / CHAR_BIT;
}

size_t run_view_bytes_for(const struct filter *filter, size_t nodes)
{
    return sizeof(struct run_view) +
           (filter_is_empty(filter) ? 0 : nodes * sizeof(struct view_node) + nodes / CHAR_BIT);
}

void run_view_free(struct run_view *view)
{
    if (!view)
        return;
    free(view->nodes);
    free(view->matching);
    free(view);
}

/* Notes at the node and its ancestors that it matches now, or no longer. */
static void set_matching(struct run_view *view, const struct run_node *node, bool matches_now)
{
    int64_t revision = run_state_manager_revision(view->manager);
    for (const struct run_node *at = node; at; at = at->parent) {
        size_t i = index_of(at);
        struct view_node *seen = &view->nodes[i];
        bool was_in_view = is_in_view(view, i);
        if (at == node)
            set_bit(view, i, matches_now);
        else if (matches_now)
            seen->matching_descendant_count++;
        else
            seen->matching_descendant_count--;
        if (is_in_view(view, i) == was_in_view)
            continue;
        seen->toggled_revision = revision;
        if (was_in_view)
            view->visible_count--;
        else
            view->visible_count++;
    }
}

/* Looks again at the nodes that changed themselves since the last sync. */
static void look_at_changes(struct run_view *view)
{
    for (const struct run_node *node = run_state_manager_newest(view->manager);
         node && node->changed_revision > view->revision; node = node->older) {
        if (node->action.revision <= view->revision)
            continue;
        bool matches_now = matches(view, node);
        if (matches_now != is_matching(view, index_of(node)))
            set_matching(view, node, matches_now);
    }
}

int run_view_sync(struct run_view *view)
{
    if (view->unseen > 0)
        look_at_unseen(view);
    if (view->unseen > 0)
        return 1;
    int64_t revision = run_state_manager_revision(view->manager);
    size_t count = run_state_manager_count(view->manager);
    if (view->sync_count > 0 && view->revision == revision)
        return 0;
    if (view->sees_all) {
        view->visible_count = run_state_manager_live_count(view->manager);
    } else {
        if (reserve(view, count) != 0)
            return -ENOMEM;
        look_at_changes(view);
    }
    view->revision = revision;
    view->count = count;
    view->syncs[view->sync_count++ % SYNCS_REMEMBERED] = revision;
    return 0;
}

int64_t run_view_revision(const struct run_view *view)
{
    return view->revision;
}

size_t run_view_visible_count(const struct run_view *view)
{
    return view->visible_count;
}

bool run_view_is_visible(const struct run_view *view, const struct run_node *node)
{
    if (index_of(node) >= view->count)
        return false;
    return view->sees_all ? !node->action.is_removed : is_in_view(view, index_of(node));
}

/* Whether the view was synced to `since`, and remembers. */
static bool knows_revision(const struct run_view *view, int64_t since)
{
    size_t remembered = view->sync_count < SYNCS_REMEMBERED ? view->sync_count : SYNCS_REMEMBERED;
    for (size_t i = 1; i <= remembered; i++) {
        int64_t sync = view->syncs[(view->sync_count - i) % SYNCS_REMEMBERED];
        if (sync <= since)
            return sync == since;
    }
    return false;
}

struct view_walk run_view_walk_begin(const struct run_view *view, int64_t since)
{
    return (struct view_walk){.since = since, .next_ordinal = 1, .target = view->revision};
}

struct view_walk run_view_walk_resume(const struct run_view *view, int64_t since)
{
    struct view_walk walk = run_view_walk_begin(view, since);
    walk.is_resume = true;
    return walk;
}

/* One call of run_view_walk. */
struct walk_call {
    const struct run_view *view;
    struct view_walk *walk;
    bool knows_since;
    size_t bytes_left;
    view_record_fn *record;
    void *arg;
};

/* What the walk does with a node that changed. */
enum verdict { SKIP, SHOW, REMOVE };

static enum verdict judge(const struct walk_call *call, const struct run_node *node)
{
    const struct run_view *view = call->view;
    const struct view_walk *walk = call->walk;
    bool has_nothing = walk->since == 0 && !walk->is_resume;
    if (view->sees_all)
        return !node->action.is_removed ? SHOW : has_nothing ? SKIP : REMOVE;
    const struct view_node *seen = &view->nodes[index_of(node)];
    if (is_in_view(view, index_of(node)))
        return seen->toggled_revision > walk->target ? SKIP : SHOW; /* it came too late */
    if (has_nothing)
        return SKIP;
    return seen->toggled_revision > walk->since || !call->knows_since ? REMOVE : SKIP;
}

/* Hands out one node and moves the walk behind it. 0 or -ENOMEM. */
static int hand_out(struct walk_call *call, const struct run_node *node)
{
    enum verdict verdict = judge(call, node);
    if (verdict != SKIP) {
        size_t length;
        const char *bytes = node_update_encode(node, &length);
        if (!bytes)
            return -ENOMEM;
        call->record(call->arg, bytes, length, verdict == SHOW);
        call->bytes_left -= length < call->bytes_left ? length : call->bytes_left;
    }
    call->walk->next_ordinal = node->action.ordinal + 1;
    return 0;
}

static int compare_ordinals(const void *a, const void *b)
{
    const struct run_node *const *node_a = a, *const *node_b = b;
    return ((*node_a)->action.ordinal > (*node_b)->action.ordinal) -
           ((*node_a)->action.ordinal < (*node_b)->action.ordinal);
}

/* In order of their ordinals, what changed and was not handed out yet. Returns their number, or
 * VIEW_WALK_LIST_MAX + 1 if there was too much to look through. */
static size_t list_changes(const struct walk_call *call,
                           const struct run_node *nodes[static VIEW_WALK_LIST_MAX])
{
    size_t count = 0, looked_at = 0;
    if (call->walk->since == 0)
        return VIEW_WALK_LIST_MAX + 1;
    for (const struct run_node *node = run_state_manager_newest(call->view->manager);
         node && node->changed_revision > call->walk->since; node = node->older) {
        if (looked_at++ == VIEW_WALK_LIST_MAX)
            return VIEW_WALK_LIST_MAX + 1;
        if (node->action.ordinal >= call->walk->next_ordinal && index_of(node) < call->view->count)
            nodes[count++] = node;
    }
    qsort(nodes, count, sizeof *nodes, compare_ordinals);
    return count;
}

static int walk_by_list(struct walk_call *call, const struct run_node *const *nodes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (call->bytes_left == 0)
            return 0;
        int status = hand_out(call, nodes[i]);
        if (status != 0)
            return status;
    }
    return 1;
}

static int walk_by_scan(struct walk_call *call, size_t scan_max)
{
    for (size_t scanned = 0; (size_t)call->walk->next_ordinal <= call->view->count; scanned++) {
        if (call->bytes_left == 0 || scanned == scan_max)
            return 0;
        const struct run_node *node =
            run_state_manager_at(call->view->manager, call->walk->next_ordinal);
        if (node->changed_revision <= call->walk->since) {
            call->walk->next_ordinal++;
            continue;
        }
        int status = hand_out(call, node);
        if (status != 0)
            return status;
    }
    return 1;
}

int run_view_walk(struct run_view *view, struct view_walk *walk, size_t bytes_max, size_t scan_max,
                  view_record_fn *record, void *arg)
{
    struct walk_call call = {
        .view = view,
        .walk = walk,
        .knows_since = !walk->is_resume && knows_revision(view, walk->since),
        .bytes_left = bytes_max,
        .record = record,
        .arg = arg,
    };
    const struct run_node *nodes[VIEW_WALK_LIST_MAX];
    size_t count = list_changes(&call, nodes);
    if (count <= VIEW_WALK_LIST_MAX)
        return walk_by_list(&call, nodes, count);
    return walk_by_scan(&call, scan_max);
}

/* -------- reading -------- */

struct view_reading {
    struct tree_hold hold;
    int32_t next_ordinal;
    size_t words;
    uint64_t visible[]; /* a bit for each node; none: all are */
};

struct view_reading *view_reading_new(const struct run_view *view)
{
    bool is_whole = view->sees_all && run_state_manager_live_count(view->manager) == view->count;
    size_t words = is_whole ? 0 : (view->count + WORD_BITS - 1) / WORD_BITS;
    struct view_reading *reading = calloc(1, sizeof *reading + words * sizeof(*reading->visible));
    if (!reading)
        return NULL;
    for (size_t i = 0; words > 0 && i < view->count; i++)
        reading->visible[i / WORD_BITS] |=
            (uint64_t)run_view_is_visible(view, run_state_manager_at(view->manager, (int32_t)i + 1))
            << i % WORD_BITS;
    reading->words = words;
    reading->next_ordinal = 1;
    run_state_manager_hold(view->manager, &reading->hold);
    return reading;
}

void view_reading_free(struct view_reading *reading)
{
    if (!reading)
        return;
    tree_hold_release(&reading->hold);
    free(reading);
}

int64_t view_reading_revision(const struct view_reading *reading)
{
    return reading->hold.revision;
}

size_t view_reading_bytes(const struct view_reading *reading)
{
    return sizeof *reading + reading->words * sizeof(*reading->visible);
}

static bool is_read(const struct view_reading *reading, int32_t ordinal)
{
    size_t i = (size_t)ordinal - 1;
    return reading->words == 0 || (reading->visible[i / WORD_BITS] >> i % WORD_BITS & 1);
}

int view_reading_next(struct view_reading *reading, size_t bytes_max, size_t scan_max,
                      view_record_fn *record, void *arg)
{
    if (!reading->hold.manager)
        return -ESTALE;
    for (; reading->next_ordinal <= reading->hold.count; reading->next_ordinal++, scan_max--) {
        if (bytes_max == 0 || scan_max == 0)
            return 0;
        if (!is_read(reading, reading->next_ordinal))
            continue;
        size_t length;
        const char *bytes = tree_hold_encode(&reading->hold, reading->next_ordinal, &length);
        if (!bytes)
            return -ENOMEM;
        record(arg, bytes, length, true);
        bytes_max -= length < bytes_max ? length : bytes_max;
    }
    return 1;
}
