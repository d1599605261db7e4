/* Where runs are, as several processes see it that start, with other lists of cells, whenever they
 * like: what databases do is done here, in an order that a seed says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "cmocka_test.h"
#include "random.h"
#include "server/places.h"

enum { DATABASES = 3, PROCESSES = 4, RUNS = 160, KEYS_MAX = 1 };

static const char *const names[DATABASES] = {"a", "b", "c"};

static struct database {
    bool has_name, is_down, hides_lists;
    struct generations lists;
    bool runs[RUNS];
} databases[DATABASES];

struct process {
    struct places *places;
    struct cell_list list;
    struct cell cells[DATABASES]; /* by the number of their database */
    char why[DATABASES][CELL_WHY_SIZE];
};

static struct process processes[PROCESSES];

enum task_kind { TASK_READ, TASK_SYNC, TASK_SEARCH, TASK_WRITE };

/* Something that a process asks of a database: done there at one time, and told of at another. */
static struct task {
    struct task *prev, *next;
    enum task_kind kind;
    struct process *process;
    size_t database;
    bool is_done, is_refused;
    struct generations known, found;
    bool is_new;
    int runs[KEYS_MAX];
    bool has[KEYS_MAX];
    size_t run_count;
    changed_run_fn *on_run;
    changed_runs_end_fn *on_end;
    void *arg;
    int64_t generation; /* by which the run is placed */
    bool may_create;
} * tasks;

static struct task *task_new(enum task_kind kind, struct process *process, size_t database)
{
    struct task *task = calloc(1, sizeof *task);

    assert_non_null(task);
    task->kind = kind;
    task->process = process;
    task->database = database;
    DL_APPEND(tasks, task);
    return task;
}

static void task_free(struct task *task)
{
    DL_DELETE(tasks, task);
    generations_clear(&task->known);
    generations_clear(&task->found);
    free(task);
}

static struct run_key key_of(int run, char name[static 8])
{
    snprintf(name, 8, "r%d", run);
    return (struct run_key){"p", "d", name};
}

static struct process *process_of(const struct cell *cell)
{
    return cell->options.arg;
}

static size_t database_of(const struct cell *cell)
{
    return (size_t)(cell - process_of(cell)->cells);
}

/* -------- in place of server/cell.c and sql/ -------- */

void cell_use(struct cell *cell)
{
    cell->has_database = true;
}

void cell_wait(struct cell *cell, const char *why)
{
    snprintf(process_of(cell)->why[database_of(cell)], CELL_WHY_SIZE, "%s", why);
}

void cell_refuse(struct cell *cell, const char *why)
{
    cell_wait(cell, why);
    task_new(TASK_READ, process_of(cell), database_of(cell));
}

void cell_sync(struct cell *cell, const struct generations *known)
{
    struct task *task;

    DL_FOREACH (tasks, task)
        if (task->kind <= TASK_SYNC && &task->process->cells[task->database] == cell)
            return;
    task = task_new(TASK_SYNC, process_of(cell), database_of(cell));
    assert_int_equal(generations_merge(&task->known, known), 0);
}

int action_repo_runs_by_key(struct action_repo *repo, const struct run_key *keys, size_t count,
                            changed_run_fn *on_run, changed_runs_end_fn *on_end, void *arg)
{
    const struct cell *cell = (const void *)repo;
    struct task *task = task_new(TASK_SEARCH, process_of(cell), database_of(cell));

    for (size_t i = 0; i < count; i++)
        task->runs[task->run_count++] = (int)strtol(&keys[i].run_name[1], NULL, 10);
    task->on_run = on_run;
    task->on_end = on_end;
    task->arg = arg;
    return 0;
}

static int64_t newest_number(const struct database *database)
{
    return database->lists.count == 0 ? 0 : database->lists.items[0].number;
}

static bool has_number(const struct generations *lists, int64_t number)
{
    for (size_t i = 0; i < lists->count; i++)
        if (lists->items[i].number == number)
            return true;
    return false;
}

static void do_sync(struct task *task, struct database *database)
{
    if (!database->has_name && generations_have(&task->known, names[task->database])) {
        task->is_refused = true;
        return;
    }
    database->has_name = true;
    for (size_t i = 0; i < task->known.count; i++)
        if (!has_number(&database->lists, task->known.items[i].number))
            assert_int_equal(generations_add(&database->lists, task->known.items[i].number,
                                             task->known.items[i].text),
                             0);
}

/* Makes the run only if the list that it was placed by is the newest in the database, and still
 * the one that the process knows. It must not be in two. */
static void do_write(struct task *task, struct database *database)
{
    int run = task->runs[0], count = 0;

    if (task->may_create && task->generation == newest_number(database) &&
        task->generation == *places_generation(task->process->places))
        database->runs[run] = true;
    task->is_refused = !database->runs[run];
    for (size_t i = 0; i < DATABASES; i++)
        count += databases[i].runs[run];
    assert_true(count <= 1);
}

static void do_task(struct task *task)
{
    struct database *database = &databases[task->database];

    if (task->is_done || database->is_down || (task->kind <= TASK_SYNC && database->hides_lists))
        return;
    if (task->kind == TASK_SYNC)
        do_sync(task, database);
    if (task->kind <= TASK_SYNC)
        assert_int_equal(generations_merge(&task->found, &database->lists), 0);
    task->is_new = !database->has_name;
    for (size_t i = 0; i < task->run_count; i++)
        task->has[i] = database->runs[task->runs[i]];
    if (task->kind == TASK_WRITE)
        do_write(task, database);
    task->is_done = true;
}

static void tell_search(const struct task *task)
{
    static const struct run there = {0};
    char name[8];

    for (size_t i = 0; i < task->run_count; i++)
        task->on_run(task->arg, &(struct changed_run){.key = key_of(task->runs[i], name),
                                                      .run = task->has[i] ? &there : NULL});
    task->on_end(task->arg, REPO_OK, NULL, NULL);
}

static void tell(struct task *task)
{
    struct process *process = task->process;
    struct cell *cell = &process->cells[task->database];
    struct task told = *task;
    char name[8];
    struct run_key key = key_of(task->runs[0], name);

    DL_DELETE(tasks, task);
    free(task);
    if (told.kind == TASK_SEARCH)
        tell_search(&told);
    else if (told.kind == TASK_WRITE && told.is_refused)
        places_forget(process->places, &key);
    else if (told.kind == TASK_SYNC && told.is_refused)
        cell_refuse(cell, "it was never a cell");
    else if (told.kind <= TASK_SYNC)
        places_read(process->places, cell, &told.found, told.is_new);
    if (told.kind == TASK_WRITE && told.is_refused && told.may_create)
        places_refresh(process->places, cell);
    generations_clear(&told.known);
    generations_clear(&told.found);
}

/* -------- processes -------- */

static void start(struct process *process, const char *states)
{
    char why[CELL_LIST_WHY_SIZE];

    *process = (struct process){0};
    for (size_t i = 0; i < DATABASES; i++) {
        enum cell_state state = states[i] == 'a'   ? CELL_ACTIVE
                                : states[i] == 'd' ? CELL_DRAINING
                                                   : CELL_GONE;

        if (states[i] != ' ')
            assert_int_equal(cell_list_add(&process->list, names[i], state,
                                           state == CELL_GONE ? NULL : "dbname=x", why),
                             0);
    }
    process->places = places_new(&process->list);
    assert_non_null(process->places);
    for (size_t i = 0, index = 0; i < DATABASES; i++) {
        process->cells[i].options.arg = process;
        process->cells[i].repo = (void *)&process->cells[i];
        if (states[i] == 'a' || states[i] == 'd') {
            places_put(process->places, index, &process->cells[i]);
            task_new(TASK_READ, process, i);
        }
        index += states[i] != ' ';
    }
}

static void stop(struct process *process)
{
    struct task *task, *next;

    places_stop(process->places);
    DL_FOREACH_SAFE (tasks, task, next) {
        if (task->process != process)
            continue;
        if (task->kind == TASK_SEARCH)
            task->on_end(task->arg, REPO_LOST, NULL, NULL);
        task_free(task);
    }
    places_free(process->places);
    cell_list_clear(&process->list);
    process->places = NULL;
}

/* All that was asked for, in the order of asking, as far as it can be done. */
static void settle(void)
{
    for (int steps = 0; tasks != NULL && steps < 2000; steps++) {
        struct task *task = tasks;

        do_task(task);
        if (task->is_done) {
            tell(task);
        } else { /* its database is down: behind the others */
            DL_DELETE(tasks, task);
            DL_APPEND(tasks, task);
        }
    }
}

static size_t used(const struct process *process)
{
    size_t count = 0;

    for (size_t i = 0; i < DATABASES; i++)
        count += process->cells[i].has_database;
    return count;
}

static int clear(void **state)
{
    (void)state;
    for (size_t i = 0; i < PROCESSES; i++)
        if (processes[i].places != NULL)
            stop(&processes[i]);
    assert_null(tasks);
    for (size_t i = 0; i < DATABASES; i++) {
        generations_clear(&databases[i].lists);
        databases[i] = (struct database){0};
    }
    return 0;
}

/* -------- a run's place -------- */

static struct run_place found;
static bool is_found, was_sure;

static void on_sought(void *arg, bool is_sure)
{
    const struct process *process = arg;
    char name[8];
    struct run_key key = key_of(0, name);

    was_sure = is_sure;
    is_found = places_get(process->places, &key, &found) == 0;
}

/* Whether it is known where run 0 is, after a search if need be. */
static bool seek(struct process *process)
{
    char name[8];
    struct run_key key = key_of(0, name);

    is_found = places_get(process->places, &key, &found) == 0;
    if (!is_found)
        assert_int_equal(places_find(process->places, &key, 1, on_sought, process), 0);
    settle();
    return is_found;
}

static void test_a_new_list_needs_all_and_a_stored_one_only_those_that_are_up(void **state)
{
    (void)state;
    databases[2].is_down = true;
    start(&processes[0], "aaa");
    settle();
    assert_int_equal(used(&processes[0]), 0);
    assert_non_null(strstr(processes[0].why[0], "cell c is not yet"));
    assert_int_equal(databases[0].lists.count + databases[1].lists.count, 0);
    databases[2].is_down = false;
    settle();
    assert_int_equal(used(&processes[0]), 3);
    for (size_t i = 0; i < DATABASES; i++)
        assert_string_equal(databases[i].lists.items[0].text, "a b c");
    databases[2].is_down = true;
    start(&processes[1], "aaa");
    settle();
    assert_int_equal(used(&processes[1]), 2);
}

static void test_a_list_that_lacks_a_cell_is_refused(void **state)
{
    (void)state;
    start(&processes[0], "aa ");
    settle();
    start(&processes[1], "a  ");
    settle();
    assert_int_equal(used(&processes[1]), 0);
    assert_non_null(strstr(processes[1].why[0], "cell b, which ours has not"));
    start(&processes[2], "ag ");
    settle();
    assert_int_equal(used(&processes[2]), 1);
}

static void test_an_empty_database_in_the_place_of_a_cell_is_refused(void **state)
{
    (void)state;
    start(&processes[0], "aa ");
    settle();
    generations_clear(&databases[1].lists);
    databases[1] = (struct database){0};
    start(&processes[1], "aa ");
    settle();
    assert_true(processes[1].cells[0].has_database && !processes[1].cells[1].has_database);
    assert_false(databases[1].has_name);
}

/* Whoever is running already goes with it, and says of no run that it is nowhere before all that
 * may have it are closed to those with an older list. */
static void test_a_newer_list_is_gone_with(void **state)
{
    (void)state;
    start(&processes[0], "add");
    settle();
    assert_true(seek(&processes[0]) && found.cell == &processes[0].cells[0] && found.may_create);
    start(&processes[1], "dda");
    settle();
    databases[0].runs[0] = true;
    assert_true(seek(&processes[1]) && found.cell == &processes[1].cells[0] && !found.may_create);
    databases[0].runs[0] = false;
    places_refresh(processes[0].places, &processes[0].cells[2]);
    assert_int_equal(*places_generation(processes[0].places), 1);
    databases[0].hides_lists = true;
    settle();
    assert_int_equal(*places_generation(processes[0].places), 2);
    assert_false(seek(&processes[0]) || was_sure);
    databases[0].hides_lists = false;
    settle();
    assert_true(seek(&processes[0]) && found.cell == &processes[0].cells[2] && found.may_create);
}

/* -------- all at once -------- */

static struct writing {
    struct process *process;
    int run;
    bool is_under_way;
} writings[20];

static void place(struct writing *writing)
{
    char name[8];
    struct run_key key = key_of(writing->run, name);
    struct run_place at;
    struct task *task;

    writing->is_under_way = false;
    if (places_are_stopped(writing->process->places) ||
        places_get(writing->process->places, &key, &at) < 0 || !at.cell->has_database)
        return;
    task = task_new(TASK_WRITE, writing->process, database_of(at.cell));
    task->runs[task->run_count++] = writing->run;
    task->may_create = at.may_create;
    task->generation = *places_generation(writing->process->places);
}

static void on_placed(void *arg, bool is_sure)
{
    (void)is_sure;
    place(arg);
}

static void write_run(struct writing *writing, struct process *process, int run)
{
    char name[8];
    struct run_key key = key_of(run, name);
    struct run_place at;

    if (writing->is_under_way)
        return;
    *writing = (struct writing){process, run, true};
    if (places_get(process->places, &key, &at) == 0)
        place(writing);
    else
        assert_int_equal(places_find(process->places, &key, 1, on_placed, writing), 0);
}

static void do_any(struct random *random)
{
    struct task *task;
    int count, chosen;

    DL_COUNT(tasks, task, count);
    chosen = count == 0 ? -1 : (int)random_below(random, (uint64_t)count);
    for (task = tasks; chosen > 0; chosen--)
        task = task->next;
    if (chosen < 0)
        return;
    if (task->is_done)
        tell(task);
    else
        do_task(task);
}

/* Wherever that is, whoever starts next begins the list. */
static void test_a_start_that_is_cut_off(void **state)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct random random = {.state = seed};

        start(&processes[0], "aaa");
        for (size_t step = 0; step < seed % 30; step++)
            do_any(&random);
        stop(&processes[0]);
        start(&processes[1], "aaa");
        settle();
        assert_int_equal(used(&processes[1]), DATABASES);
        clear(state);
    }
}

/* Two processes that begin contradicting lists at the same moment, beside two of before: no run is
 * ever in two cells, and in the end all work. */
static void test_contradicting_lists_at_once(void **state)
{
    static const char *const lists[] = {"aad", "ada", "daa", "aaa", "dad", "dda"};

    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct random random = {.state = seed};

        start(&processes[0], lists[seed % 6]);
        start(&processes[1], lists[seed % 6]);
        if (random_below(&random, 4) > 0)
            settle();
        start(&processes[2], lists[random_below(&random, 6)]);
        start(&processes[3], lists[random_below(&random, 6)]);
        for (int step = 0; step < 600; step++) {
            if (random_below(&random, 3) == 0) /* of new ones, each by several */
                write_run(&writings[random_below(&random, 20)],
                          &processes[random_below(&random, PROCESSES)],
                          step / 4 + (int)random_below(&random, 4));
            do_any(&random);
        }
        settle();
        for (size_t i = 0; i < PROCESSES; i++)
            assert_int_equal(used(&processes[i]), DATABASES);
        clear(state);
        memset(writings, 0, sizeof writings);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_new_list_needs_all_and_a_stored_one_only_those_that_are_up,
                                  clear),
        cmocka_unit_test_teardown(test_a_list_that_lacks_a_cell_is_refused, clear),
        cmocka_unit_test_teardown(test_an_empty_database_in_the_place_of_a_cell_is_refused, clear),
        cmocka_unit_test_teardown(test_a_newer_list_is_gone_with, clear),
        cmocka_unit_test_teardown(test_a_start_that_is_cut_off, clear),
        cmocka_unit_test_teardown(test_contradicting_lists_at_once, clear),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
