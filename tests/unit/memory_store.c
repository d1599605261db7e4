/* The three tables in memory. */
#include "memory_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_test.h"

static char *copy_text(const char *text)
{
    return text ? strdup(text) : NULL;
}

static struct run_key copy_key(const struct run_key *key)
{
    return (struct run_key){copy_text(key->project), copy_text(key->domain),
                            copy_text(key->run_name)};
}

/* free takes no const; the store owns these. */
static void drop_text(const char *text)
{
    free((char *)(uintptr_t)text);
}

static struct action copy_action(const struct action *action)
{
    struct action copy = *action;
    copy.name = copy_text(action->name);
    copy.parent = copy_text(action->parent);
    copy.group = copy_text(action->group);
    copy.task_name = copy_text(action->task_name);
    copy.short_name = copy_text(action->short_name);
    copy.error_info = copy_text(action->error_info);
    copy.additions = copy_text(action->additions);
    return copy;
}

static void drop_action(const struct action *action)
{
    drop_text(action->name);
    drop_text(action->parent);
    drop_text(action->group);
    drop_text(action->task_name);
    drop_text(action->short_name);
    drop_text(action->error_info);
    drop_text(action->additions);
}

static size_t find_run(const struct memory_store *store, const struct run_key *key)
{
    size_t i = 0;
    while (i < store->run_count && run_key_compare(&store->runs[i].key, key) != 0)
        i++;
    return i;
}

static struct stored_action *find_action(const struct memory_store *store, size_t run,
                                         const char *name)
{
    for (size_t i = 0; i < store->action_count; i++)
        if (store->actions[i].run == run && strcmp(store->actions[i].action.name, name) == 0)
            return &store->actions[i];
    return NULL;
}

const struct action *memory_store_action(const struct memory_store *store, size_t run,
                                         const char *name)
{
    const struct stored_action *stored = find_action(store, run, name);
    return stored ? &stored->action : NULL;
}

static struct stored_event *find_event(const struct memory_store *store, size_t run,
                                       const struct action_event *event)
{
    for (size_t i = 0; i < store->event_count; i++) {
        struct stored_event *at = &store->events[i];
        if (at->run == run && strcmp(at->name, event->name) == 0 && at->attempt == event->attempt &&
            at->phase == event->phase && at->version == event->version)
            return at;
    }
    return NULL;
}

/* A decision and the store's index for each of the decision's runs. */
struct exchange {
    struct memory_store *store;
    struct decision *decision;
    size_t runs[STORED_RUNS_MAX];
    size_t children_left; /* that may still be read */
    bool is_known[STORED_RUNS_MAX];
    int64_t changed_xids[STORED_RUNS_MAX]; /* as read or known */
};

static int read_runs(struct exchange *exchange)
{
    size_t count;
    const struct run_key *keys = decision_runs(exchange->decision, &count);
    for (size_t i = 0; i < count; i++) {
        size_t run = find_run(exchange->store, &keys[i]);
        bool is_new = run == exchange->store->run_count;
        struct run made = {.key = keys[i],
                           .incarnation = "inc",
                           .created_us = TIME_NONE,
                           .started_us = TIME_NONE,
                           .ended_us = TIME_NONE};
        exchange->runs[i] = run;
        if (i > 0)
            assert_true(run_key_compare(&keys[i - 1], &keys[i]) < 0);
        if (exchange->is_known[i])
            continue;
        exchange->changed_xids[i] = exchange->store->changed_xids[run];
        if (decision_put_run(exchange->decision, is_new ? &made : &exchange->store->runs[run],
                             is_new) != 0)
            return -ENOMEM;
        if (is_new) {
            assert_true(run < STORED_RUNS_MAX);
            made.key = copy_key(&keys[i]);
            exchange->store->runs[exchange->store->run_count++] = made;
        }
    }
    return 0;
}

/* Only those that decision_old_events wants to know of. */
static int read_events(struct exchange *exchange, const struct action_event *const *events)
{
    size_t count;
    const size_t *old = decision_old_events(exchange->decision, &count);
    if (!old)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct action_event *event = events[old[i]];
        const struct stored_event *at =
            find_event(exchange->store, find_run(exchange->store, &event->run), event);
        if (at && decision_put_event(exchange->decision, &event->run, at->name, at->attempt,
                                     at->phase, at->version, at->revision, at->info) != 0)
            return -ENOMEM;
    }
    return 0;
}

static int put_action(struct exchange *exchange, size_t run, const struct stored_action *stored)
{
    return decision_put_action(exchange->decision, &exchange->store->runs[run].key, &stored->action,
                               &stored->origin);
}

static bool waits_for(const struct stored_action *action, size_t run, const char *name)
{
    return action->run == run && action->action.ordinal == 0 && action->action.parent &&
           strcmp(action->action.parent, name) == 0;
}

static int read_children(struct exchange *exchange, const struct decision_name *name)
{
    size_t run = exchange->runs[name->run];
    for (size_t i = 0; i < exchange->store->action_count; i++) {
        const struct stored_action *at = &exchange->store->actions[i];
        if (!waits_for(at, run, name->name))
            continue;
        if (exchange->children_left == 0) {
            decision_put_unfinished(exchange->decision, name);
            return 0;
        }
        exchange->children_left--;
        if (put_action(exchange, run, at) != 0)
            return -ENOMEM;
    }
    return 0;
}

static void read_parent_level(struct exchange *exchange, const struct decision_name *name,
                              const struct action *action)
{
    const struct stored_action *parent =
        action->ordinal == 0 && action->parent
            ? find_action(exchange->store, exchange->runs[name->run], action->parent)
            : NULL;
    if (parent && parent->action.level > 0)
        decision_put_parent_level(exchange->decision, name, parent->action.level);
}

static int read_actions(struct exchange *exchange)
{
    size_t count;
    const struct decision_name *names = decision_names(exchange->decision, &count);
    for (size_t i = 0; i < count; i++) {
        size_t run = exchange->runs[names[i].run];
        const struct stored_action *at = exchange->is_known[names[i].run]
                                             ? NULL
                                             : find_action(exchange->store, run, names[i].name);
        if (at && put_action(exchange, run, at) != 0)
            return -ENOMEM;
        if (at && at->action.ordinal == ALIAS_ORDINAL &&
            put_action(exchange, run, find_action(exchange->store, run, at->action.parent)) != 0)
            return -ENOMEM;
        if (at)
            read_parent_level(exchange, &names[i], &at->action);
    }
    names = decision_event_names(exchange->decision, &count);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < exchange->store->action_count; k++)
            if (!exchange->is_known[names[i].run] &&
                waits_for(&exchange->store->actions[k], exchange->runs[names[i].run],
                          names[i].name))
                decision_put_awaited(exchange->decision, &names[i]);
    exchange->children_left =
        exchange->store->children_max == 0 ? SIZE_MAX : exchange->store->children_max;
    for (;;) {
        names = decision_unread_parents(exchange->decision, &count);
        if (count == SIZE_MAX)
            return -ENOMEM;
        if (count == 0)
            return 0;
        for (size_t i = 0; i < count; i++)
            if (read_children(exchange, &names[i]) != 0)
                return -ENOMEM;
    }
}

static int read_roots(struct exchange *exchange)
{
    size_t count;
    const size_t *runs = decision_unread_roots(exchange->decision, &count);
    if (!runs)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < exchange->store->action_count; k++) {
            const struct stored_action *at = &exchange->store->actions[k];
            if (at->run == exchange->runs[runs[i]] && at->action.ordinal > 0 && !at->action.parent)
                decision_put_root(exchange->decision, runs[i], at->action.name,
                                  action_started_us(&at->action), at->action.ended_us);
        }
    decision_unread_roots(exchange->decision, &count);
    assert_int_equal(count, 0);
    return 0;
}

static void write_events(struct exchange *exchange)
{
    struct memory_store *store = exchange->store;
    size_t count;
    const struct event_row *rows = decision_event_rows(exchange->decision, &count);
    for (size_t i = 0; i < count; i++) {
        const struct action_event *event = rows[i].event;
        size_t run = exchange->runs[rows[i].run];
        assert_null(find_event(store, run, event));
        store->events = realloc(store->events, (store->event_count + 1) * sizeof *store->events);
        store->events[store->event_count++] =
            (struct stored_event){.run = run,
                                  .name = copy_text(event->name),
                                  .attempt = event->attempt,
                                  .version = event->version,
                                  .phase = event->phase,
                                  .revision = rows[i].revision,
                                  .updated_us = event->updated_us,
                                  .info = strndup(event->info.bytes, event->info.length)};
    }
}

static void write_joined(struct exchange *exchange)
{
    struct memory_store *store = exchange->store;
    size_t count;
    const struct joined_row *rows = decision_joined_rows(exchange->decision, &count);
    for (size_t i = 0; i < count; i++) {
        size_t given = 0;
        for (size_t j = 0; j < store->event_count; j++) {
            struct stored_event *at = &store->events[j];
            if (at->run == exchange->runs[rows[i].run] && at->revision == 0 &&
                strcmp(at->name, rows[i].name) == 0) {
                at->revision = rows[i].revision;
                given++;
            }
        }
        assert_true(given > 0);
    }
}

static void write_actions(struct exchange *exchange)
{
    struct memory_store *store = exchange->store;
    size_t count;
    const struct action_row *rows = decision_action_rows(exchange->decision, &count);
    for (size_t i = 0; i < count; i++) {
        size_t run = exchange->runs[rows[i].run];
        struct stored_action *at = find_action(store, run, rows[i].action.name);
        assert_int_equal(rows[i].is_new, at == NULL);
        if (at) {
            drop_action(&at->action);
        } else {
            store->actions =
                realloc(store->actions, (store->action_count + 1) * sizeof *store->actions);
            at = &store->actions[store->action_count++];
        }
        *at = (struct stored_action){
            .run = run, .action = copy_action(&rows[i].action), .origin = rows[i].origin};
    }
}

static void write_runs(struct exchange *exchange)
{
    size_t count;
    const struct run_row *rows = decision_run_rows(exchange->decision, &count);
    for (size_t i = 0; i < count; i++) {
        struct run *run = &exchange->store->runs[exchange->runs[rows[i].run]];
        struct run before = *run;
        assert_int_equal(rows[i].revision_before, before.revision);
        assert_string_equal(rows[i].state.incarnation, before.incarnation);
        assert_false(rows[i].gets_open_ends && run_has_open_ends(&before));
        assert_false(rows[i].loses_open_ends && !run_has_open_ends(&before));
        *run = rows[i].state;
        assert_true(rows[i].gets_open_ends || rows[i].loses_open_ends ||
                    run_has_open_ends(run) == run_has_open_ends(&before));
        if (rows[i].has_events)
            run->last_event_us = ++exchange->store->now_us;
        exchange->store->changed_xids[exchange->runs[rows[i].run]] = exchange->store->xid;
        run->key = before.key;
        run->root = copy_text(rows[i].state.root);
        drop_text(before.root);
    }
}

static void drop_addition(const struct run_addition_row *addition)
{
    drop_text(addition->value);
    drop_text(addition->name);
}

static void write_run_additions(struct exchange *exchange)
{
    size_t count;
    const struct run_addition_row *rows = decision_run_addition_rows(exchange->decision, &count);
    for (size_t i = 0; i < count; i++) {
        struct run_addition_row *stored =
            &exchange->store->run_additions[exchange->runs[rows[i].run]][rows[i].addition];
        if (stored->value && run_addition_compare(&rows[i], stored) >= 0)
            continue;
        drop_addition(stored);
        *stored = rows[i];
        stored->value = copy_text(rows[i].value);
        stored->name = copy_text(rows[i].name);
    }
}

static void write_pending(struct exchange *exchange)
{
    struct memory_store *store = exchange->store;
    size_t count;
    const struct pending_join_row *rows = decision_pending_rows(exchange->decision, &count);
    for (size_t i = 0; i < count; i++) {
        size_t run = exchange->runs[rows[i].run], at = 0;
        while (at < store->pending_count &&
               (store->pending[at].run != run ||
                strcmp(store->pending[at].parent, rows[i].parent) != 0))
            at++;
        if (rows[i].is_done && at < store->pending_count) {
            free(store->pending[at].parent);
            store->pending[at] = store->pending[--store->pending_count];
        } else if (!rows[i].is_done && at == store->pending_count) {
            store->pending =
                realloc(store->pending, (store->pending_count + 1) * sizeof *store->pending);
            store->pending[store->pending_count++] =
                (struct pending_join){run, copy_text(rows[i].parent)};
        }
    }
}

static void write_rows(struct exchange *exchange)
{
    struct memory_store *store = exchange->store;
    store->xid++;
    write_events(exchange);
    write_joined(exchange);
    write_actions(exchange);
    write_pending(exchange);
    write_runs(exchange);
    write_run_additions(exchange);
    if (store->known)
        known_runs_note(store->known, exchange->decision, exchange->changed_xids, store->xid,
                        store->now_us);
}

bool memory_store_continue(struct memory_store *store, size_t choice)
{
    if (store->pending_count == 0)
        return false;
    struct exchange exchange = {.store = store, .decision = decision_new()};
    const struct pending_join *pending = &store->pending[choice % store->pending_count];
    struct run_key key = store->runs[pending->run].key;
    char *parent = copy_text(pending->parent);
    assert_int_equal(decision_add_join(exchange.decision, &key, parent), 0);
    assert_int_equal(read_runs(&exchange), 0);
    assert_int_equal(read_actions(&exchange), 0);
    assert_int_equal(read_roots(&exchange), 0);
    assert_int_equal(decision_make(exchange.decision), 0);
    write_rows(&exchange);
    decision_free(exchange.decision);
    free(parent);
    return true;
}

/* Whether the tables take what was decided: no run has changed meanwhile, and what is new is. */
static bool is_current(const struct exchange *exchange)
{
    size_t run_count, row_count;
    bool is_current = true;
    decision_runs(exchange->decision, &run_count);
    for (size_t i = 0; i < run_count; i++)
        is_current &= exchange->changed_xids[i] == exchange->store->changed_xids[exchange->runs[i]];
    const struct action_row *rows = decision_action_rows(exchange->decision, &row_count);
    for (size_t i = 0; i < row_count && is_current; i++)
        is_current = !rows[i].is_new || !find_action(exchange->store, exchange->runs[rows[i].run],
                                                     rows[i].action.name);
    return is_current;
}

/* Whether a verdict that writes nothing may be of a run that was not read. */
static bool must_read(const struct exchange *exchange, const struct event_result *results,
                      size_t count)
{
    size_t run_count;
    bool has_known = false;
    decision_runs(exchange->decision, &run_count);
    for (size_t i = 0; i < run_count; i++)
        has_known |= exchange->is_known[i];
    for (size_t i = 0; i < count && has_known; i++)
        if (results[i].status == EVENT_DUPLICATE || results[i].status == EVENT_REJECTED)
            return true;
    return false;
}

static void forget(struct exchange *exchange)
{
    size_t run_count;
    const struct run_key *keys = decision_runs(exchange->decision, &run_count);
    exchange->store->conflicts++;
    for (size_t i = 0; i < run_count; i++)
        known_runs_forget(exchange->store->known, &keys[i]);
}

static int decide(struct exchange *exchange, const struct action_event *const *events,
                  struct event_result *results, size_t count, struct known_runs *known)
{
    int status = exchange->decision ? 0 : -ENOMEM;
    for (size_t i = 0; i < count && status == 0; i++)
        status = decision_add_event(exchange->decision, events[i], &results[i]);
    if (status == 0 && known) {
        status = known_runs_recall(known, exchange->decision, exchange->is_known,
                                   exchange->changed_xids);
        exchange->store->recalled += status > 0 ? (size_t)status : 0;
        status = status < 0 ? status : 0;
    }
    if (status == 0)
        status = read_runs(exchange);
    if (status == 0)
        status = read_actions(exchange);
    if (status == 0)
        status = read_events(exchange, events);
    if (status == 0)
        status = read_roots(exchange);
    return status == 0 ? decision_make(exchange->decision) : status;
}

int memory_store_post(struct memory_store *store, const struct action_event *const *events,
                      struct event_result *results, size_t count)
{
    struct exchange exchange = {.store = store, .decision = decision_new()};
    int status = decide(&exchange, events, results, count, store->known);
    bool reads = status == 0 && must_read(&exchange, results, count);
    if (status == 0 && !reads && !is_current(&exchange)) {
        forget(&exchange);
        reads = true;
    }
    if (reads) {
        decision_free(exchange.decision);
        for (size_t i = 0; i < count; i++) {
            event_result_clear(&results[i]);
            results[i] = (struct event_result){.status = EVENT_PENDING};
        }
        exchange = (struct exchange){.store = store, .decision = decision_new()};
        status = decide(&exchange, events, results, count, NULL);
    }
    if (status == 0)
        write_rows(&exchange);
    decision_free(exchange.decision);
    return status;
}

void memory_store_clear(struct memory_store *store)
{
    for (size_t i = 0; i < store->run_count; i++) {
        drop_text(store->runs[i].key.project);
        drop_text(store->runs[i].key.domain);
        drop_text(store->runs[i].key.run_name);
        drop_text(store->runs[i].root);
        for (int k = 0; k < RUN_ADDITIONS; k++)
            drop_addition(&store->run_additions[i][k]);
    }
    for (size_t i = 0; i < store->event_count; i++) {
        free(store->events[i].name);
        free(store->events[i].info);
    }
    for (size_t i = 0; i < store->action_count; i++)
        drop_action(&store->actions[i].action);
    for (size_t i = 0; i < store->pending_count; i++)
        free(store->pending[i].parent);
    free(store->events);
    free(store->actions);
    free(store->pending);
    *store = (struct memory_store){0};
}
