/* What a client shows after a walk is what a filter lets it see of the run, whatever it missed,
 * wherever it comes from, and however the walk was cut up. The oracle works the tree out anew each
 * time, by search. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_test.h"
#include "model/run_view.h"
#include "random.h"

enum {
    ROUNDS = 40,
    STEPS = 260,
    ACTIONS_MAX = 40,
    REPLICAS = 2,
    FILTERS = 4,
    CLIENTS = 6,
    READERS = 5
};
enum { NAME_SIZE = 16 };

/* The database: the run's actions, the newest state of each. */
struct database {
    int64_t revision;
    int32_t count;
    struct action actions[ACTIONS_MAX]; /* by ordinal */
    char names[ACTIONS_MAX][NAME_SIZE];
};

/* A replica's hub: its tree, what the database was when it last read it, a view for each filter. */
struct replica {
    struct run_state_manager *manager;
    struct database mirror;
    struct run_view *views[FILTERS];
};

/* A browser: what it shows, by ordinal; NULL where it shows nothing. */
struct client {
    size_t filter;
    bool has_id; /* of `cursor`, which is 0 if there was no action yet */
    int64_t cursor;
    char *shown[ACTIONS_MAX + 1];
    const struct run_view *connection; /* the view that serves it, NULL between connections */
};

/* Who reads the tree as one document: shows what the run was when it began. */
struct reader {
    const struct replica *replica;
    struct view_reading *reading; /* NULL: none is under way */
    struct database mirror;
    struct client client;
    int32_t last_ordinal;
};

struct world {
    struct random random;
    struct filter filters[FILTERS];
    struct database database;
    struct replica replicas[REPLICAS];
    struct client clients[CLIENTS];
    struct reader readers[READERS];
};

static const char *const task_names[] = {"pkg.train", "pkg.Clean", "pkg.trainer", "load"};

/* The parent, or the next before it that is there; -1: none. */
static int32_t live_at_or_before(const struct database *database, int32_t index)
{
    while (index >= 0 && database->actions[index].is_removed)
        index--;
    return index;
}

static void join_action(struct database *database, struct random *random)
{
    int32_t index = database->count++;
    struct action *action = &database->actions[index];
    snprintf(database->names[index], NAME_SIZE, "n%d", index);
    /* Mostly deep: the parent is likely a young one. */
    int32_t parent = index == 0 || random_once_in(random, 20) ? -1
                     : random_once_in(random, 2)              ? index - 1
                                                 : (int32_t)random_below(random, (size_t)index);
    parent = live_at_or_before(database, parent);
    *action = (struct action){
        .name = database->names[index],
        .parent_named = true,
        .parent = parent < 0 ? NULL : database->names[parent],
        .ordinal = index + 1,
        .level = parent < 0 ? 1 : database->actions[parent].level + 1,
        .attempt = 1,
        .phase = PHASE_QUEUED,
        .task_name = task_names[random_below(random, 4)],
        .created_us = 1000000,
        .started_us = TIME_NONE,
        .ended_us = TIME_NONE,
    };
    action->revision = ++database->revision;
}

static void change_action(struct database *database, struct random *random)
{
    struct action *action = &database->actions[random_below(random, (size_t)database->count)];
    if (action->is_removed)
        return;
    action->phase = (enum phase)(1 + random_below(random, 10));
    action->version++;
    if (random_once_in(random, 8))
        action->group = action->group ? NULL : "g";
    if (random_once_in(random, 8))
        action->task_name = task_names[random_below(random, 4)];
    action->revision = ++database->revision;
}

static bool is_below(const struct database *mirror, int32_t index, int32_t ancestor);

/* With all that is below it, in one change. */
static void remove_action(struct database *database, int32_t index)
{
    if (database->actions[index].is_removed)
        return;
    database->revision++;
    for (int32_t i = index; i < database->count; i++) {
        struct action *action = &database->actions[i];
        if (action->is_removed || (i != index && !is_below(database, i, index)))
            continue;
        action->is_removed = true;
        action->revision = database->revision;
    }
}

static void change_database(struct database *database, struct random *random)
{
    bool has_room = database->count < ACTIONS_MAX;
    if (database->count == 0 || (has_room && random_once_in(random, 4)))
        join_action(database, random);
    else if (random_once_in(random, 25))
        remove_action(database, (int32_t)random_below(random, (size_t)database->count));
    else
        change_action(database, random);
}

/* The names and parents of the mirror must not point into the database. */
static void copy_database(struct database *to, const struct database *from)
{
    *to = *from;
    for (int32_t i = 0; i < to->count; i++) {
        to->actions[i].name = to->names[i];
        if (to->actions[i].parent)
            to->actions[i].parent = to->names[atol(from->actions[i].parent + 1)];
    }
}

/* Reads what changed since the replica's revision, as one read ordered by ordinal. */
static void catch_up(struct replica *replica, const struct database *database)
{
    struct action changed[ACTIONS_MAX];
    size_t count = 0;
    int64_t known = run_state_manager_revision(replica->manager);
    for (int32_t i = 0; i < database->count; i++)
        if (database->actions[i].revision > known)
            changed[count++] = database->actions[i];
    assert_int_equal(
        run_state_manager_upsert_actions(replica->manager, changed, count, database->revision), 0);
    copy_database(&replica->mirror, database);
}

static void forget_all(struct client *client);

static void no_record(void *arg, const char *bytes, size_t length, bool meets_filter)
{
    fail_msg("%p %.*s %d", arg, (int)length, bytes, meets_filter);
}

static void end_reading(struct reader *reader)
{
    view_reading_free(reader->reading);
    reader->reading = NULL;
    forget_all(&reader->client);
}

/* Whoever still reads there is told that the tree is gone. */
static void cut_off_readers(struct world *world, const struct replica *replica)
{
    for (size_t i = 0; i < READERS; i++) {
        struct reader *reader = &world->readers[i];
        if (!reader->reading || reader->replica != replica)
            continue;
        assert_int_equal(view_reading_next(reader->reading, 1, 1, no_record, NULL), -ESTALE);
        end_reading(reader);
    }
}

static void close_replica(struct world *world, struct replica *replica)
{
    for (size_t i = 0; i < FILTERS; i++)
        run_view_free(replica->views[i]);
    run_state_manager_free(replica->manager);
    cut_off_readers(world, replica);
    for (size_t i = 0; i < CLIENTS; i++)
        for (size_t j = 0; j < FILTERS; j++)
            if (world->clients[i].connection == replica->views[j])
                world->clients[i].connection = NULL;
}

/* A new process: reads the run in chunks while it goes on, catches up, and only then shows it. */
static void restart_replica(struct world *world, struct replica *replica)
{
    struct database *database = &world->database;
    int64_t begun = database->revision;
    *replica = (struct replica){.manager = run_state_manager_new()};
    for (int32_t read = 0; read < database->count;) {
        int32_t chunk = 1 + (int32_t)random_below(&world->random, 9);
        chunk = chunk < database->count - read ? chunk : database->count - read;
        assert_int_equal(run_state_manager_upsert_actions(replica->manager,
                                                          database->actions + read, (size_t)chunk,
                                                          database->revision),
                         0);
        read += chunk;
        if (random_once_in(&world->random, 3))
            change_database(database, &world->random);
    }
    struct action changed[ACTIONS_MAX];
    size_t count = 0;
    for (int32_t i = 0; i < database->count; i++)
        if (database->actions[i].revision > begun)
            changed[count++] = database->actions[i];
    assert_int_equal(
        run_state_manager_upsert_actions(replica->manager, changed, count, database->revision), 0);
    copy_database(&replica->mirror, database);
    for (size_t i = 0; i < FILTERS; i++) {
        replica->views[i] = run_view_new(replica->manager, &world->filters[i]);
        assert_int_equal(run_view_sync(replica->views[i]), 0);
    }
}

/* The oracle: one action of the mirror at a time, by search through all. */

static bool oracle_matches(const struct database *mirror, int32_t index,
                           const struct filter *filter)
{
    const struct action *action = &mirror->actions[index];
    bool has_phase = !filter->phases || (filter->phases & 1u << action->phase);
    return !action->is_removed && has_phase &&
           (strcasestr(action->name, filter->name) || strcasestr(action->task_name, filter->name));
}

static bool is_below(const struct database *mirror, int32_t index, int32_t ancestor)
{
    while (mirror->actions[index].parent) {
        index = (int32_t)atol(mirror->actions[index].parent + 1);
        if (index == ancestor)
            return true;
    }
    return false;
}

static bool oracle_shows(const struct database *mirror, int32_t index, const struct filter *filter)
{
    for (int32_t i = 0; i < mirror->count; i++)
        if ((i == index || is_below(mirror, i, index)) && oracle_matches(mirror, i, filter))
            return true;
    return false;
}

static json_t *oracle_record(const struct database *mirror, int32_t index)
{
    const struct action *action = &mirror->actions[index];
    json_t *counts = json_object();
    for (int phase = 1; phase < PHASE_SLOTS; phase++) {
        int count = 0;
        for (int32_t i = 0; i < mirror->count; i++)
            count += !mirror->actions[i].is_removed && (int)mirror->actions[i].phase == phase &&
                     is_below(mirror, i, index);
        if (count)
            json_object_set_new(counts, phase_name((enum phase)phase), json_integer(count));
    }
    return json_pack("{s:{s:s, s:s?, s:s, s:i, s:i, s:s?, s:s, s:n, s:s, s:n, s:n, s:n, s:n, s:I},"
                     " s:o, s:b}",
                     "action", "name", action->name, "parent", action->parent, "phase",
                     phase_name(action->phase), "attempt", action->attempt, "version",
                     action->version, "group", action->group, "taskName", action->task_name,
                     "shortName", "createdAt", "1970-01-01T00:00:01.000Z", "startedAt", "endedAt",
                     "durationMs", "errorInfo", "revision", (json_int_t)action->revision,
                     "childPhaseCounts", counts, "meetsFilter", 1);
}

static void check_client(const struct world *world, const struct client *client,
                         const struct database *mirror)
{
    const struct filter *filter = &world->filters[client->filter];
    for (int32_t i = 0; i < mirror->count; i++) {
        const char *shown = client->shown[i + 1];
        assert_int_equal(shown != NULL, oracle_shows(mirror, i, filter));
        if (!shown)
            continue;
        json_t *found = json_loads(shown, 0, NULL), *expected = oracle_record(mirror, i);
        if (!json_equal(found, expected))
            fail_msg("shown %s, not %s", shown, json_dumps(expected, 0));
        json_decref(found);
        json_decref(expected);
    }
}

/* A walk on its way to a client. */
struct delivery {
    struct client *client;
    const struct database *mirror;
    bool is_up_to_date;   /* the client was when it began, so nothing absent may be removed */
    int32_t last_ordinal; /* of the walk */
};

static void receive(void *arg, const char *bytes, size_t length, bool meets_filter)
{
    struct delivery *delivery = arg;
    char *text;
    assert_true(asprintf(&text, "%.*s%s}", (int)length, bytes, meets_filter ? "true" : "false") >
                0);
    int32_t ordinal = 1 + (int32_t)atol(strstr(text, ":\"n") + 3);
    char **shown = &delivery->client->shown[ordinal];
    const char *parent = delivery->mirror->actions[ordinal - 1].parent;

    assert_true(ordinal > delivery->last_ordinal);
    delivery->last_ordinal = ordinal;
    if (meets_filter && parent)
        assert_non_null(delivery->client->shown[1 + atol(parent + 1)]);
    /* One that joined and was removed meanwhile is harmless. */
    if (!meets_filter && delivery->is_up_to_date &&
        !delivery->mirror->actions[ordinal - 1].is_removed)
        assert_non_null(*shown);
    free(*shown);
    *shown = meets_filter ? text : NULL;
    if (!meets_filter)
        free(text);
}

static void sync_view(struct run_view *view)
{
    assert_int_equal(run_view_sync(view), 0);
}

/* Lets the run go on, and the replica with it. */
static void overtake(struct world *world, struct replica *replica, struct run_view *view)
{
    for (size_t i = random_below(&world->random, 4); i > 0; i--)
        change_database(&world->database, &world->random);
    catch_up(replica, &world->database);
    sync_view(view);
}

static void forget_all(struct client *client)
{
    for (size_t i = 0; i <= ACTIONS_MAX; i++) {
        free(client->shown[i]);
        client->shown[i] = NULL;
    }
    client->has_id = false;
    client->cursor = 0;
    client->connection = NULL;
}

/* A client that was served by this view last is still connected to it; any other resumes. */
static struct view_walk begin(struct client *client, const struct run_view *view)
{
    if (client->connection == view)
        return run_view_walk_begin(view, client->cursor);
    client->connection = view;
    return client->has_id ? run_view_walk_resume(view, client->cursor)
                          : run_view_walk_begin(view, 0);
}

enum served { COMPLETELY, OVERTAKEN, CUT_OFF };

/* Serves a client from a replica; in pieces, between which the run may go on or the connection
 * break. */
static enum served walk(struct world *world, struct client *client, struct replica *replica,
                        bool is_interrupted)
{
    struct run_view *view = replica->views[client->filter];
    bool is_up_to_date = client->connection == view && client->cursor == run_view_revision(view);
    sync_view(view);
    struct view_walk walk = begin(client, view);
    struct delivery delivery = {.client = client,
                                .mirror = &replica->mirror,
                                .is_up_to_date = is_up_to_date && !is_interrupted};
    enum served served = COMPLETELY;
    for (;;) {
        size_t bytes_max = is_interrupted ? 1 + random_below(&world->random, 2000) : 1 << 20;
        size_t scan_max = is_interrupted ? 1 + random_below(&world->random, 6) : 1000;
        int status = run_view_walk(view, &walk, bytes_max, scan_max, receive, &delivery);
        assert_true(status >= 0);
        if (status == 1)
            break;
        if (random_once_in(&world->random, 8)) {
            client->connection = NULL;
            if (!client->has_id)
                forget_all(client); /* it begins anew by itself */
            return CUT_OFF;
        }
        if (is_interrupted && random_once_in(&world->random, 2)) {
            overtake(world, replica, view);
            served = OVERTAKEN;
        }
    }
    client->has_id = true;
    client->cursor = walk.target;
    return served;
}

static void serve_client(struct world *world, struct client *client)
{
    struct replica *replica = &world->replicas[random_below(&world->random, REPLICAS)];
    if (client->connection != replica->views[client->filter])
        catch_up(replica, &world->database); /* as a hub reads anew when a watcher comes */
    bool is_interrupted = random_once_in(&world->random, 3);
    enum served served;
    while ((served = walk(world, client, replica, is_interrupted)) == OVERTAKEN)
        is_interrupted = random_once_in(&world->random, 2);
    if (served == CUT_OFF)
        return;
    check_client(world, client, &replica->mirror);
    size_t shown = 0;
    for (size_t i = 0; i <= ACTIONS_MAX; i++)
        shown += client->shown[i] != NULL;
    assert_int_equal(shown, run_view_visible_count(replica->views[client->filter]));
}

static void read_record(void *arg, const char *bytes, size_t length, bool meets_filter)
{
    struct reader *reader = arg;
    char *text;
    assert_true(meets_filter);
    assert_true(asprintf(&text, "%.*strue}", (int)length, bytes) > 0);
    int32_t ordinal = 1 + (int32_t)atol(strstr(text, ":\"n") + 3);
    assert_true(ordinal > reader->last_ordinal);
    reader->last_ordinal = ordinal;
    reader->client.shown[ordinal] = text;
}

static void begin_reading(struct world *world, struct reader *reader)
{
    struct replica *replica = &world->replicas[random_below(&world->random, REPLICAS)];
    reader->client.filter = random_below(&world->random, FILTERS);
    struct run_view *view = replica->views[reader->client.filter];
    sync_view(view);
    reader->replica = replica;
    reader->reading = view_reading_new(view);
    reader->last_ordinal = 0;
    copy_database(&reader->mirror, &replica->mirror);
    assert_int_equal(view_reading_revision(reader->reading), reader->mirror.revision);
}

/* A piece, or a client that leaves. */
static void read_on(struct world *world, struct reader *reader)
{
    int status = view_reading_next(reader->reading, 1 + random_below(&world->random, 2000),
                                   1 + random_below(&world->random, 6), read_record, reader);
    if (status == 1)
        check_client(world, &reader->client, &reader->mirror);
    else
        assert_int_equal(status, 0);
    if (status == 1 || random_once_in(&world->random, 50))
        end_reading(reader);
}

static void serve_reader(struct world *world)
{
    struct reader *reader = &world->readers[random_below(&world->random, READERS)];
    if (reader->reading)
        read_on(world, reader);
    else
        begin_reading(world, reader);
}

/* The list of changes is in order, complete, and says of each node the newest revision below it. */
static void check_changes(const struct replica *replica)
{
    const struct database *mirror = &replica->mirror;
    int32_t count = 0;
    int64_t revision = mirror->revision;
    for (const struct run_node *node = run_state_manager_newest(replica->manager); node;
         node = node->older, count++) {
        int64_t newest = 0;
        for (int32_t i = 0; i < mirror->count; i++)
            if ((i == node->action.ordinal - 1 || is_below(mirror, i, node->action.ordinal - 1)) &&
                mirror->actions[i].revision > newest)
                newest = mirror->actions[i].revision;
        assert_int_equal(node->changed_revision, newest);
        assert_true(node->changed_revision <= revision);
        revision = node->changed_revision;
        assert_ptr_equal(node->older ? node->older->newer : node, node);
    }
    assert_int_equal(count, mirror->count);
}

static void step(struct world *world)
{
    struct random *random = &world->random;
    struct replica *replica = &world->replicas[random_below(random, REPLICAS)];
    switch (random_below(random, 13)) {
    case 0:
    case 1:
    case 2:
        for (size_t i = random_below(random, 5); i > 0; i--)
            change_database(&world->database, random);
        break;
    case 3:
        catch_up(replica, &world->database);
        check_changes(replica);
        break;
    case 4:
        sync_view(replica->views[random_below(random, FILTERS)]);
        break;
    case 5:
        if (random_once_in(random, 6)) {
            close_replica(world, replica);
            restart_replica(world, replica);
            check_changes(replica);
        }
        break;
    case 6:
        if (random_once_in(random, 6))
            forget_all(&world->clients[random_below(random, CLIENTS)]);
        break;
    case 7:
    case 8:
    case 9:
    case 10:
        serve_reader(world);
        break;
    default:
        serve_client(world, &world->clients[random_below(random, CLIENTS)]);
    }
}

static void test_clients_show_what_the_oracle_shows(void **state)
{
    (void)state;
    struct world *world = calloc(1, sizeof *world);
    world->random = random_start("clients and oracle");
    assert_int_equal(filter_add_phases(&world->filters[1], "RUNNING,FAILED"), 0);
    assert_int_equal(filter_set_name(&world->filters[2], "TRAIN"), 0);
    assert_int_equal(filter_add_phases(&world->filters[3], "SUCCEEDED"), 0);
    assert_int_equal(filter_set_name(&world->filters[3], "clean"), 0);
    for (size_t round = 0; round < ROUNDS; round++) {
        world->database = (struct database){0};
        for (size_t i = 0; i < REPLICAS; i++)
            restart_replica(world, &world->replicas[i]);
        for (size_t i = 0; i < CLIENTS; i++) {
            world->clients[i].filter = i % FILTERS;
            if (random_once_in(&world->random, 2)) /* is there before the run's first action */
                serve_client(world, &world->clients[i]);
        }
        for (size_t i = 0; i < STEPS; i++)
            step(world);
        for (size_t i = 0; i < CLIENTS; i++)
            forget_all(&world->clients[i]);
        for (size_t i = 0; i < REPLICAS; i++)
            close_replica(world, &world->replicas[i]);
    }
    free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clients_show_what_the_oracle_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
