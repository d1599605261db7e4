#include "model/waiting.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A failed allocation leaves the element's hh.tbl NULL instead of ending the process. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "model/arena.h"

/* An action that was put; it lives in the arena. */
struct link {
    const char *name, *parent;
    bool parent_named;
    int32_t ordinal, level;
    bool is_known;
    struct waiting_why why; /* once it is known, as are: */
    int64_t least_level;    /* on which it could join */
    int64_t walk;           /* the last that came by */
    UT_hash_handle hh;
};

struct waiting_chains {
    struct arena arena;
    struct link *links; /* hash by name */
    int64_t walks;
};

const char *waiting_reason_name(enum waiting_reason reason)
{
    static const char *const names[] = {
        [WAITING_FOR_PARENT] = "parent-absent", [WAITING_FOR_PARENT_NAME] = "parent-not-named",
        [WAITING_IN_CIRCLE] = "circle",         [WAITING_TOO_DEEP] = "too-deep",
        [WAITING_TO_JOIN] = "joining",
    };
    return names[reason];
}

struct waiting_chains *waiting_chains_new(void)
{
    return calloc(1, sizeof(struct waiting_chains));
}

void waiting_chains_free(struct waiting_chains *chains)
{
    if (chains == NULL)
        return;
    HASH_CLEAR(hh, chains->links);
    arena_free(&chains->arena);
    free(chains);
}

static struct link *find_link(const struct waiting_chains *chains, const char *name)
{
    struct link *found;

    HASH_FIND_STR(chains->links, name, found);
    return found;
}

/* The link's parent, by whichever of its names; NULL if it has none or that was not put. */
static struct link *find_above(const struct waiting_chains *chains, const struct link *link)
{
    struct link *above = link->parent == NULL ? NULL : find_link(chains, link->parent);

    return above == NULL || above->ordinal != ALIAS_ORDINAL ? above
                                                            : find_link(chains, above->parent);
}

int waiting_chains_put(struct waiting_chains *chains, const struct action *action)
{
    struct link *put;

    if (find_link(chains, action->name) != NULL)
        return 0;
    put = arena_alloc(&chains->arena, sizeof *put);
    if (put == NULL)
        return -ENOMEM;
    *put = (struct link){.name = arena_copy(&chains->arena, action->name),
                         .parent_named = action->parent_named,
                         .ordinal = action->ordinal,
                         .level = action->level};
    if (action->parent != NULL)
        put->parent = arena_copy(&chains->arena, action->parent);
    if (put->name == NULL || (action->parent != NULL && put->parent == NULL))
        return -ENOMEM;
    HASH_ADD_KEYPTR(hh, chains->links, put->name, strlen(put->name), put);
    return put->hh.tbl == NULL ? -ENOMEM : 0;
}

/* What a chain comes to whose last link that waits is `last`, and on which level the one behind it
 * is at least. */
static struct waiting_why end_of_chain(const struct waiting_chains *chains, const struct link *last,
                                       int64_t *least_level)
{
    const struct link *above = find_above(chains, last);

    *least_level = 0;
    if (last->parent == NULL) /* a root is about to join */
        return (struct waiting_why){last->parent_named ? WAITING_TO_JOIN : WAITING_FOR_PARENT_NAME,
                                    last->name};
    *least_level = 1;
    if (above == NULL)
        return (struct waiting_why){WAITING_FOR_PARENT, last->parent};
    if (above->ordinal == 0) /* which this walk came by before */
        return (struct waiting_why){WAITING_IN_CIRCLE, NULL};
    *least_level = above->level;
    return (struct waiting_why){WAITING_TO_JOIN, above->name};
}

static struct waiting_why why_at_level(struct waiting_why why, int64_t least_level,
                                       const struct link *at)
{
    if (why.reason == WAITING_IN_CIRCLE)
        why.name = at->parent;
    else if (least_level > TREE_LEVELS_MAX)
        why.reason = WAITING_TOO_DEEP;
    return why;
}

/* Walks up until it is known what comes, and then says it to all that it came by. */
static void walk(struct waiting_chains *chains, struct link *from)
{
    struct link *last = from, *above;
    struct waiting_why why;
    int64_t steps = 1, least_level;

    from->walk = ++chains->walks;
    while ((above = find_above(chains, last)) != NULL && above->ordinal == 0 && !above->is_known &&
           above->walk != chains->walks) {
        above->walk = chains->walks;
        last = above;
        steps++;
    }
    if (above != NULL && above->is_known) {
        why = above->why;
        least_level = above->least_level;
    } else {
        why = end_of_chain(chains, last, &least_level);
    }
    for (above = from; steps > 0; steps--) {
        above->least_level = least_level + steps;
        above->why = why_at_level(why, above->least_level, above);
        above->is_known = true;
        above = find_above(chains, above);
    }
}

struct waiting_why waiting_chains_why(struct waiting_chains *chains, const char *name)
{
    struct link *from = find_link(chains, name);

    if (!from->is_known)
        walk(chains, from);
    return from->why;
}
