#include "cli/exec.h"

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/exec_place.h"
#include "cli/options.h"
#include "cli/reporter.h"

enum {
    EXIT_OURS = 125, /* as env, timeout, nohup: none of the command's own */
    SECOND_MS = 1000,
    KILL_ALL_MS = 5000, /* after SIGKILL to the commands, to those that report on them */
    UNIQUE_SIZE = 7,
    HOST_SIZE = 256,
};

enum option {
    O_NAME,
    O_RUN,
    O_PROJECT,
    O_DOMAIN,
    O_PARENT,
    O_GROUP,
    O_TITLE,
    O_ATTEMPT,
    O_URL,
    O_TOKEN_FILE,
    O_SPOOL_DIR,
    O_HEARTBEAT_S,
    O_WAIT_S,
    O_GRACE_S,
    O_VERBOSE,
    O_FLUSH,
    OPTION_COUNT,
};

static const struct cli_option options[OPTION_COUNT] = {
    [O_NAME] = {"name", NULL, "NAME", NULL,
                "the action's name in its run; without it the command's, made unique"},
    [O_RUN] = {"run", "RUNTREE_RUN", "RUN", NULL,
               "the run; without it that of the Slurm job or CI pipeline, else a new one"},
    [O_PROJECT] = {"project", "RUNTREE_PROJECT", "PROJECT", NULL,
                   "without it $GITHUB_REPOSITORY, else default"},
    [O_DOMAIN] = {"domain", "RUNTREE_DOMAIN", "DOMAIN", "development", "the run's domain"},
    [O_PARENT] = {"parent", NULL, "NAME", NULL,
                  "the action above; without it that of the runtree exec around this one"},
    [O_GROUP] = {"group", NULL, "GROUP", NULL,
                 "without it, at the top of a run, the name of the Slurm job or the job of the CI"},
    [O_TITLE] = {"title", NULL, "TEXT", NULL, "what the page shows in place of the name"},
    [O_ATTEMPT] =
        {"attempt", NULL, "N", NULL,
         "which attempt this is; without it as Slurm and GitHub count, else the next one"},
    [O_URL] = {"url", "RUNTREE_URL", "URL", "http://127.0.0.1:8080", "of the service"},
    [O_TOKEN_FILE] = {"token-file", "RUNTREE_TOKEN_FILE", "FILE", NULL,
                      "of a token, where the service wants one; or the token itself in"
                      " $RUNTREE_TOKEN"},
    [O_SPOOL_DIR] = {"spool-dir", "RUNTREE_SPOOL_DIR", "DIR", NULL,
                     "where events wait that could not be sent; without it"
                     " ~/.local/state/runtree/spool"},
    [O_HEARTBEAT_S] =
        {"heartbeat-s", "RUNTREE_HEARTBEAT_S", "N", "60",
         "to the first sign of life; the next come later and later, at last every 600 s"},
    [O_WAIT_S] = {"wait-s", "RUNTREE_WAIT_S", "N", "2",
                  "at the end, how long a service that is slow may keep us"},
    [O_GRACE_S] = {"grace-s", "RUNTREE_GRACE_S", "N", "10", "of an abort: from SIGTERM to SIGKILL"},
    [O_VERBOSE] = {"verbose", "RUNTREE_VERBOSE", NULL, NULL,
                   "say on standard error what goes wrong with the reports"},
    [O_FLUSH] = {"flush", NULL, NULL, NULL, "run nothing: send what waits, and say how much"},
};

static void print_help(void)
{
    printf(
        "Usage: runtree exec [OPTION]… [--] COMMAND [ARGUMENT]…\n"
        "       runtree exec --flush [OPTION]…\n\n"
        "Runs the command as an action of a run: that it runs, how it ended, and the last lines of"
        " its\nstandard error if it failed. What runtree exec runs inside is below it in the"
        " tree.\n\nThe command's input, output, terminal, signals and exit status are its own,"
        " whatever the service\ndoes; events that it does not take wait in a folder for the next"
        " runtree exec. 126 and 127 are\na shell's for a command that cannot be run; 125 is a"
        " mistake in our own options.\n\n");
    options_print(options, OPTION_COUNT);
}

/* Six letters and digits that no other execution is likely to have. */
static void make_unique(char unique[static UNIQUE_SIZE])
{
    static const char letters[] = "0123456789abcdefghjkmnpqrstvwxyz";
    unsigned char bytes[UNIQUE_SIZE - 1] = {0};

    if (getentropy(bytes, sizeof bytes) < 0)
        memcpy(bytes, &(pid_t){getpid()}, sizeof(pid_t));
    for (size_t i = 0; i < sizeof bytes; i++)
        unique[i] = letters[bytes[i] % (sizeof letters - 1)];
    unique[sizeof bytes] = '\0';
}

/* A path that still leads there when the command is in another folder. */
static void set_path(const char *variable, const char *path)
{
    char *folder = path[0] == '/' ? NULL : getcwd(NULL, 0), *whole = NULL;

    if (folder != NULL && asprintf(&whole, "%s/%s", folder, path) > 0)
        setenv(variable, whole, 1);
    else
        setenv(variable, path, 1);
    free(whole);
    free(folder);
}

/* What the command's own runtree execs, and clients, are to know. */
static void pass_on_place(const struct exec_place *place, const char *const *values)
{
    setenv("RUNTREE_URL", values[O_URL], 1);
    setenv("RUNTREE_PROJECT", place->project, 1);
    setenv("RUNTREE_DOMAIN", place->domain, 1);
    setenv("RUNTREE_RUN", place->run, 1);
    setenv("RUNTREE_PARENT", place->name, 1);
    if (values[O_TOKEN_FILE] != NULL)
        set_path("RUNTREE_TOKEN_FILE", values[O_TOKEN_FILE]);
    if (values[O_SPOOL_DIR] != NULL)
        set_path("RUNTREE_SPOOL_DIR", values[O_SPOOL_DIR]);
}

static json_t *start_members(const struct exec_place *place, const char *title)
{
    char host[HOST_SIZE] = "", valid[PLACE_NAME_SIZE] = "";
    json_t *members, *run = json_object();

    gethostname(host, sizeof host - 1);
    members = json_pack("{s:{s:s}, s:{s:s, s:i}}", "task", "name", place->task, "process", "host",
                        host, "pid", (int)getpid());
    if (place->group[0] != '\0')
        json_object_set_new(members, "group", json_string(place->group));
    if (title != NULL)
        exec_place_name(valid, title);
    if (valid[0] != '\0')
        json_object_set_new(members, "title", json_string(valid));
    if (place->run_title[0] != '\0')
        json_object_set_new(
            run, "title",
            json_string(place->is_new_run && valid[0] != '\0' ? valid : place->run_title));
    if (place->link_url[0] != '\0')
        json_object_set_new(
            run, "links",
            json_pack("[{s:s, s:s}]", "name", place->link_name, "url", place->link_url));
    if (json_object_size(run) > 0)
        json_object_set(members, "run", run);
    json_decref(run);
    return members;
}

/* "exit code 3: the last line", then the lines. */
static json_t *error_info(const char *what, const char *lines)
{
    const char *last = lines == NULL ? NULL : strrchr(lines, '\n');

    if (lines == NULL)
        return json_pack("{s:s, s:s}", "kind", "USER", "message", what);
    if (last == NULL)
        return json_pack("{s:s, s:o}", "kind", "USER", "message",
                         json_sprintf("%s: %s", what, lines));
    return json_pack("{s:s, s:o}", "kind", "USER", "message",
                     json_sprintf("%s: %s\n\n%s", what, last + 1, lines));
}

static void report_end(struct reporter *reporter, struct command *command)
{
    int status = command_status(command);
    const char *reason = reporter_abort_reason(reporter);
    bool is_signal = WIFSIGNALED(status), is_good = !is_signal && WEXITSTATUS(status) == 0;
    char *lines = NULL, what[1200];
    const char *phase = is_good ? "SUCCEEDED" : "FAILED";
    json_t *members = json_object();

    if (reason == NULL && command_is_aborted_from_above(command))
        reason = "aborted with the action above";
    if (is_signal)
        snprintf(what, sizeof what, "ended by SIG%s", sigabbrev_np(WTERMSIG(status)));
    else
        snprintf(what, sizeof what, "exit code %d", WEXITSTATUS(status));
    if (reason != NULL || (!is_good && command_ending_signal(command) != 0))
        phase = "ABORTED";
    if (reason != NULL)
        snprintf(what, sizeof what, "%s", reason);
    if (!is_good || reason != NULL) {
        lines = command_last_lines(command);
        json_object_set_new(members, "errorInfo", error_info(what, lines));
        free(lines);
    }
    if (!is_signal)
        json_object_set_new(members, "exitCode", json_integer(WEXITSTATUS(status)));
    reporter_end(reporter, phase, members);
}

static int64_t monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What an abort has come to. */
struct abort_state {
    bool has_begun;
    int64_t begun_ms, next_ms;
};

/* SIGTERM once; after the grace time SIGKILL, each second until nobody is left. Returns for how
 * long to wait. */
static int64_t step_abort(struct abort_state *state, struct command *command, int64_t grace_ms)
{
    int64_t now = monotonic_ms(), late_ms = now - state->begun_ms - grace_ms;

    if (!state->has_begun) {
        *state = (struct abort_state){true, now, now + grace_ms};
        command_abort(command, ABORT_END);
    } else if (now >= state->next_ms) {
        command_abort(command, late_ms >= KILL_ALL_MS ? ABORT_KILL_ALL : ABORT_KILL);
        state->next_ms = now + SECOND_MS;
    }
    return state->next_ms - now;
}

/* Until the command has ended, and all that an abort is meant for. */
static void follow(struct command *command, struct reporter *reporter, int64_t grace_ms)
{
    struct abort_state abort = {0};
    struct pollfd fds[COMMAND_FDS];

    while (!command_has_ended(command)) {
        int64_t wait_ms = reporter_step(reporter), abort_ms;
        size_t count = command_fds(command, fds);

        if (reporter_abort_reason(reporter) != NULL) {
            abort_ms = step_abort(&abort, command, grace_ms);
            wait_ms = abort_ms < wait_ms ? abort_ms : wait_ms;
        }
        reporter_wait(reporter, fds, count, wait_ms);
        command_step(command, fds, count);
    }
}

/* Until the service knows, as far as that is waited for. */
static void conclude(struct command *command, struct reporter *reporter)
{
    if (command_status(command) != 0)
        reporter_ask(reporter);
    while (reporter_is_asking(reporter))
        reporter_wait(reporter, NULL, 0, reporter_step(reporter));
    report_end(reporter, command);
    while (!reporter_is_done(reporter))
        reporter_wait(reporter, NULL, 0, reporter_step(reporter));
}

static int64_t milliseconds(const char *const *values, enum option option, int64_t max_s)
{
    int64_t fallback = options_number(options[option].fallback, 0, INT64_MAX, 0);

    return options_number(values[option], 0, max_s, fallback) * 1000;
}

static struct reporter_options reporter_options_of(const char *const *values)
{
    return (struct reporter_options){
        .url = values[O_URL],
        .token_file = values[O_TOKEN_FILE],
        .spool_dir = values[O_SPOOL_DIR],
        .heartbeat_ms = milliseconds(values, O_HEARTBEAT_S, 86400),
        .wait_ms = milliseconds(values, O_WAIT_S, 3600),
        .say_fd = values[O_VERBOSE] == NULL ? -1 : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3),
    };
}

static const char *environment(const char *name)
{
    return getenv(name);
}

/* Without memory for the reports the command still runs. */
static _Noreturn void run(const char *const *values, char *const argv[])
{
    const struct exec_wish wish = {
        .project = values[O_PROJECT],
        .domain = values[O_DOMAIN],
        .run = values[O_RUN],
        .name = values[O_NAME],
        .parent = values[O_PARENT],
        .group = values[O_GROUP],
        .attempt = values[O_ATTEMPT],
        .command = argv[0],
    };
    struct reporter_options how;
    static struct exec_place place;
    struct reporter *reporter;
    struct command *command;
    char unique[UNIQUE_SIZE];

    make_unique(unique);
    exec_place_find(&place, &wish, environment, unique, (int64_t)time(NULL) * 1000000);
    pass_on_place(&place, values);
    command = command_start(argv);
    how = reporter_options_of(values); /* what it opens is not for the command */
    reporter = command == NULL ? NULL : reporter_new(&how, &place);
    if (reporter == NULL) {
        execvp(argv[0], argv);
        _exit(EXIT_OURS);
    }
    reporter_start(reporter, start_members(&place, values[O_TITLE]));
    follow(command, reporter, milliseconds(values, O_GRACE_S, 86400));
    conclude(command, reporter);
    reporter_free(reporter);
    command_end_alike(command);
}

static int flush(const char *const *values)
{
    const struct reporter_options how = reporter_options_of(values);
    struct reporter *reporter = reporter_new(&how, NULL);
    char why[REPORTER_WHY_SIZE] = "out of memory";
    size_t sent = 0, left = 0;
    int status = -1;

    if (reporter != NULL)
        status = reporter_flush(reporter, &sent, &left, why);
    reporter_free(reporter);
    printf("%zu event%s sent, %zu command%s still to be told\n", sent, sent == 1 ? "" : "s", left,
           left == 1 ? "" : "s");
    if (status < 0)
        fprintf(stderr, "runtree: %s\n", why);
    return status < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int exec_main(int argc, char *argv[])
{
    const char *values[OPTION_COUNT];
    char why[OPTIONS_WHY_SIZE];
    int first;

    options_start(options, OPTION_COUNT, values);
    first = options_read(options, OPTION_COUNT, values, argc, argv, why);
    if (first == OPTIONS_HELP) {
        print_help();
        return EXIT_SUCCESS;
    }
    if (first >= 0 && values[O_FLUSH] != NULL && first == argc)
        return flush(values);
    if (first >= 0 && first < argc)
        run(values, argv + first);
    fprintf(stderr, "runtree: %s (see runtree exec --help)\n",
            first < 0 ? why : "a command to run is missing");
    return EXIT_OURS;
}
