#include "cli/watch_run.h"

#include <errno.h>
#include <jansson.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/event_stream.h"
#include "cli/http_client.h"
#include "cli/options.h"
#include "cli/token.h"
#include "cli/tree_view.h"
#include "cli/watched_tree.h"
#include "model/timestamp.h"

enum {
    EXIT_RUN_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_RUN_ABORTED = 3,
    EXIT_RUN_TIMED_OUT = 4,
    EXIT_RUN_GOES_ON = 5,
    EXIT_UNREADABLE = 6,
    SILENCE_MS = 90000, /* the service says something every 15 s, unless it is told otherwise */
    REQUEST_MS = 30000,
    RETRY_MS = 1000,
    RETRY_MS_MAX = 30000,
    DRAW_MS = 100,  /* between two pictures */
    TICK_MS = 1000, /* while something runs, for its duration */
    PATH_SIZE = 8192,
    ROWS_MIN = 4,
    COLUMNS_MIN = 20,
};

enum option {
    O_PROJECT,
    O_DOMAIN,
    O_URL,
    O_TOKEN_FILE,
    O_WAIT,
    O_NO_FOLLOW,
    O_PLAIN,
    OPTION_COUNT,
};

static const struct cli_option options[OPTION_COUNT] = {
    [O_PROJECT] = {"project", "RUNTREE_PROJECT", "PROJECT", "default", "the run's project"},
    [O_DOMAIN] = {"domain", "RUNTREE_DOMAIN", "DOMAIN", "development", "the run's domain"},
    [O_URL] = {"url", "RUNTREE_URL", "URL", "http://127.0.0.1:8080", "of the service"},
    [O_TOKEN_FILE] = {"token-file", "RUNTREE_TOKEN_FILE", "FILE", NULL,
                      "of a token, where the service wants one; or the token itself in"
                      " $RUNTREE_TOKEN"},
    [O_WAIT] = {"wait", NULL, NULL, NULL, "for a run that is not there yet"},
    [O_NO_FOLLOW] = {"no-follow", NULL, NULL, NULL, "show how the run stands, and end"},
    [O_PLAIN] = {"plain", NULL, NULL, NULL,
                 "a line for each change, as where standard output is no terminal"},
};

static void print_help(void)
{
    printf(
        "Usage: runtree watch [OPTION]… RUN\n\n"
        "Shows the run's tree, live, until all of it has ended. RUN is a run's name, or"
        " PROJECT/DOMAIN/RUN,\nor the URL of its page or of it in the API. In a terminal the tree"
        " is as large as the window: what\nfailed and what runs comes first where not all fits."
        " Elsewhere, each change is a line.\n\n"
        "Exit status: 0 it succeeded (or was recovered or skipped), 1 failed, 3 was aborted, 4"
        " timed out,\n5 it goes on (--no-follow), 6 it cannot be read, 2 a mistake in the"
        " options.\n\n");
    options_print(options, OPTION_COUNT);
}

/* A run, and where its service is. */
struct place {
    char url[PATH_SIZE / 2];
    char path[PATH_SIZE / 2]; /* of the run in the API */
    char title[PATH_SIZE / 2];
};

struct watch {
    const char *const *values;
    struct place place;
    struct http_client *client;
    struct event_stream stream;
    struct watched_tree tree;
    bool is_terminal, has_colours, has_unicode;
    bool is_synced, has_ended, has_changed, is_cut_off;
    size_t lines; /* of the last picture */
};

static volatile sig_atomic_t stop_signal, window_changed;

static void note_signal(int number)
{
    if (number == SIGWINCH)
        window_changed = 1;
    else
        stop_signal = number;
}

static void catch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
    struct sigaction old, action = {.sa_handler = note_signal};

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
}

static int64_t clock_ms(clockid_t which)
{
    struct timespec now;

    clock_gettime(which, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* -------- which run -------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place; what is no percent-encoding stays. */
static void percent_decode(char *text)
{
    char *to = text;

    for (const char *from = text; *from != '\0';) {
        int high = *from == '%' ? hex_digit(from[1]) : -1;
        int low = high < 0 ? -1 : hex_digit(from[2]);

        if (low >= 0) {
            *to++ = (char)(high * 16 + low);
            from += 3;
        } else {
            *to++ = *from++;
        }
    }
    *to = '\0';
}

static void set_place(struct place *place, const char *project, const char *domain, const char *run)
{
    snprintf(place->path, sizeof place->path, "/v1/projects");
    http_path_append(place->path, sizeof place->path, project);
    snprintf(place->path + strlen(place->path), sizeof place->path - strlen(place->path),
             "/domains");
    http_path_append(place->path, sizeof place->path, domain);
    snprintf(place->path + strlen(place->path), sizeof place->path - strlen(place->path), "/runs");
    http_path_append(place->path, sizeof place->path, run);
    snprintf(place->title, sizeof place->title, "%s/%s/%s", project, domain, run);
}

/* The next segment of the path, decoded, cut out of *rest; "" without one. */
static char *next_segment(char **rest)
{
    char *segment = *rest, *end = segment + strcspn(segment, "/?#");

    *rest = *end == '/' ? end + 1 : end;
    if (*end != '\0' && *end != '/')
        (*rest)[0] = '\0';
    *end = '\0';
    percent_decode(segment);
    return segment;
}

/* BASE/#/runs/P/D/R, the page, or BASE/v1/projects/P/domains/D/runs/R. 0 or -1. */
static int place_of_url(struct place *place, char *url)
{
    char *page = strstr(url, "#/runs/"), *api = strstr(url, "/v1/projects/"), *rest;
    char *project, *domain, *run;

    if (page == NULL && api == NULL)
        return -1;
    rest = page != NULL ? page + strlen("#/runs/") : api + strlen("/v1/projects/");
    *(page != NULL ? page : api) = '\0';
    project = next_segment(&rest);
    if (page == NULL)
        next_segment(&rest);
    domain = next_segment(&rest);
    if (page == NULL)
        next_segment(&rest);
    run = next_segment(&rest);
    if (*project == '\0' || *domain == '\0' || *run == '\0')
        return -1;
    snprintf(place->url, sizeof place->url, "%s", url);
    set_place(place, project, domain, run);
    return 0;
}

/* 0 or -1: it names no run. */
static int find_place(struct place *place, const char *const *values, const char *name)
{
    char text[PATH_SIZE / 2], *rest = text, *project, *domain;

    if (strlen(name) >= sizeof text || *name == '\0')
        return -1;
    snprintf(text, sizeof text, "%s", name);
    snprintf(place->url, sizeof place->url, "%s", values[O_URL]);
    if (strncmp(name, "http://", 7) == 0 || strncmp(name, "https://", 8) == 0)
        return place_of_url(place, text);
    if (strchr(name, '/') == NULL || strchr(strchr(name, '/') + 1, '/') == NULL) {
        set_place(place, values[O_PROJECT], values[O_DOMAIN], name);
        return 0;
    }
    project = next_segment(&rest);
    domain = next_segment(&rest);
    percent_decode(rest);
    if (*project == '\0' || *domain == '\0' || *rest == '\0')
        return -1;
    set_place(place, project, domain, rest);
    return 0;
}

/* -------- what is shown -------- */

static void print(struct buffer *out)
{
    if (!out->failed)
        fwrite(out->bytes, 1, out->length, stdout);
    fflush(stdout);
    buffer_free(out);
}

/* TIME PHASE NAME, attempt N: ERROR */
static void print_change(const struct watched_node *node)
{
    int64_t time_us = phase_is_terminal(node->phase) ? node->ended_us
                      : node->phase == PHASE_RUNNING ? node->started_us
                                                     : node->created_us;
    char time[TIMESTAMP_SIZE] = "", text[64];
    struct buffer out = {0};

    timestamp_format(time_us == TIME_NONE ? node->created_us : time_us, time);
    snprintf(text, sizeof text, "%s %-9s ", time, phase_name(node->phase));
    buffer_text(&out, text);
    tree_view_text(&out, node->label == NULL ? node->name : node->label, SIZE_MAX);
    if (node->attempt > 1) {
        snprintf(text, sizeof text, ", attempt %lld", (long long)node->attempt);
        buffer_text(&out, text);
    }
    if (node->error != NULL) {
        buffer_text(&out, ": ");
        tree_view_text(&out, node->error, SIZE_MAX);
    }
    buffer_text(&out, "\n");
    print(&out);
}

static void measure(size_t *rows, size_t *columns)
{
    struct winsize window = {0};

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) < 0 || window.ws_row == 0) {
        window.ws_row = 24;
        window.ws_col = 80;
    }
    *rows = window.ws_row < ROWS_MIN ? ROWS_MIN : window.ws_row;
    *columns = window.ws_col < COLUMNS_MIN ? COLUMNS_MIN : window.ws_col;
}

/* Over the last picture; in a window of another size, over all of it. One line stays free, for the
 * cursor. */
static void draw(struct watch *watch, const char *note)
{
    struct tree_view view = {
        .title = watch->place.title,
        .note = note,
        .has_colours = watch->has_colours,
        .has_unicode = watch->has_unicode,
        .now_us = clock_ms(CLOCK_REALTIME) * 1000,
    };
    struct buffer out = {0};
    char up[32] = "";

    measure(&view.rows, &view.columns);
    view.rows--;
    if (window_changed)
        snprintf(up, sizeof up, "\x1b[H");
    else if (watch->lines > 0)
        snprintf(up, sizeof up, "\x1b[%zuA", watch->lines);
    window_changed = 0;
    buffer_text(&out, "\x1b[?25l\x1b[?7l");
    buffer_text(&out, up);
    buffer_text(&out, "\r\x1b[J");
    watch->lines = tree_view_draw(&out, &view, &watch->tree);
    buffer_text(&out, "\x1b[?7h\x1b[?25h");
    print(&out);
    watch->has_changed = false;
}

/* -------- what comes -------- */

static bool take_event(void *context, const char *type, const char *data, size_t length)
{
    struct watch *watch = context;
    struct watched_node *node;
    json_t *document;

    if (strcmp(type, "nodeUpdate") == 0) {
        document = json_loadb(data, length, 0, NULL);
        node = watched_tree_update(&watch->tree, document);
        json_decref(document);
        if (node != NULL && !watch->is_terminal)
            print_change(node);
    } else if (strcmp(type, "reset") == 0) {
        watched_tree_clear(&watch->tree);
    } else if (strcmp(type, "synced") == 0) {
        watch->is_synced = true;
    } else if (strcmp(type, "end") == 0) {
        watch->has_ended = true;
    } else {
        return true;
    }
    watch->has_changed = true;
    return !watch->has_ended && !(watch->is_synced && watch->values[O_NO_FOLLOW] != NULL);
}

static bool receive(void *context, const char *bytes, size_t length)
{
    struct watch *watch = context;

    watch->is_cut_off = false;
    return event_stream_feed(&watch->stream, bytes, length);
}

static bool is_over(const struct watch *watch)
{
    return stop_signal != 0 || watch->has_ended ||
           (watch->is_synced && watch->values[O_NO_FOLLOW] != NULL);
}

/* Until the request has ended; draws meanwhile. False if a signal came first. */
static bool wait_for_answer(struct watch *watch, struct http_answer *answer)
{
    int64_t drawn_ms = 0;

    while (!http_client_take(watch->client, answer)) {
        int64_t now = clock_ms(CLOCK_MONOTONIC);
        bool is_due = watch->has_changed || now - drawn_ms >= TICK_MS || window_changed;

        if (stop_signal != 0 || is_over(watch))
            return false;
        if (watch->is_terminal && watch->is_synced && is_due && now - drawn_ms >= DRAW_MS) {
            draw(watch, watch->is_cut_off ? "The service is away." : NULL);
            drawn_ms = now;
        }
        http_client_wait(watch->client, NULL, 0, watch->has_changed ? DRAW_MS : TICK_MS);
    }
    return true;
}

/* Waits before the next try; false if a signal came. */
static bool pause_for(struct watch *watch, int64_t wait_ms)
{
    int64_t until_ms = clock_ms(CLOCK_MONOTONIC) + wait_ms, left_ms;

    if (watch->is_terminal && watch->is_synced)
        draw(watch, "The service is away.");
    while (stop_signal == 0 && (left_ms = until_ms - clock_ms(CLOCK_MONOTONIC)) > 0)
        http_client_wait(watch->client, NULL, 0, left_ms);
    return stop_signal == 0;
}

static int complain(const struct watch *watch, const struct http_answer *answer)
{
    json_t *problem =
        answer->body == NULL ? NULL : json_loadb(answer->body, answer->length, 0, NULL);
    const char *detail = json_string_value(json_object_get(problem, "detail"));

    if (answer->status == 0)
        fprintf(stderr, "runtree: %s is not reached\n", watch->place.url);
    else
        fprintf(stderr, "runtree: %s: %s (%d)\n", watch->place.title,
                detail == NULL ? "it cannot be read" : detail, answer->status);
    json_decref(problem);
    return EXIT_UNREADABLE;
}

/* Follows the stream, over as many connections as it takes. 0, or the exit status of a failure. */
static int follow(struct watch *watch)
{
    int64_t wait_ms = RETRY_MS;
    char path[PATH_SIZE];
    int status = 0;

    snprintf(path, sizeof path, "%s/watch%s", watch->place.path,
             watch->values[O_WAIT] == NULL ? "" : "?wait=true");
    while (status == 0 && !is_over(watch)) {
        struct http_answer answer = {0};
        const char *last_id = watch->stream.last_id;
        bool has_begun = watch->stream.retry_ms > 0;

        event_stream_cut(&watch->stream);
        if (http_client_start_stream(watch->client, path, last_id[0] == '\0' ? NULL : last_id,
                                     SILENCE_MS, receive, watch) < 0)
            return complain(watch, &answer);
        if (!wait_for_answer(watch, &answer) || is_over(watch)) {
            http_client_cancel(watch->client);
        } else if (answer.status == 200) {
            wait_ms = watch->stream.retry_ms > 0 ? watch->stream.retry_ms : RETRY_MS;
            pause_for(watch, wait_ms);
        } else if (!has_begun || (answer.status >= 400 && answer.status < 429)) {
            status = complain(watch, &answer);
        } else {
            watch->is_cut_off = true;
            pause_for(watch, wait_ms);
            wait_ms = wait_ms * 2 < RETRY_MS_MAX ? wait_ms * 2 : RETRY_MS_MAX;
        }
        http_answer_clear(&answer);
    }
    return status;
}

static int exit_status_of(enum phase phase)
{
    switch (phase) {
    case PHASE_SUCCEEDED:
    case PHASE_RECOVERED:
    case PHASE_SKIPPED:
        return EXIT_SUCCESS;
    case PHASE_FAILED:
        return EXIT_RUN_FAILED;
    case PHASE_ABORTED:
        return EXIT_RUN_ABORTED;
    case PHASE_TIMED_OUT:
        return EXIT_RUN_TIMED_OUT;
    default:
        return EXIT_RUN_GOES_ON;
    }
}

/* The last picture, or line. */
static void show_end(struct watch *watch)
{
    enum phase phase = watched_tree_phase(&watch->tree);
    struct buffer out = {0};

    if (watch->is_terminal) {
        draw(watch, NULL);
        return;
    }
    tree_view_text(&out, watch->place.title, SIZE_MAX);
    buffer_text(&out, " ");
    buffer_text(&out, phase == PHASE_NONE ? "has no actions" : phase_name(phase));
    buffer_text(&out, ": ");
    tree_view_counts(&out, &watch->tree);
    buffer_text(&out, ", ");
    tree_view_duration(&out,
                       watched_tree_duration_us(&watch->tree, clock_ms(CLOCK_REALTIME) * 1000));
    buffer_text(&out, "\n");
    print(&out);
}

static int run(struct watch *watch)
{
    int status;

    catch_signals();
    status = follow(watch);
    if (status == 0 && watch->is_synced)
        show_end(watch);
    if (stop_signal != 0) {
        signal(stop_signal, SIG_DFL);
        raise(stop_signal);
    }
    return status == 0 ? exit_status_of(watched_tree_phase(&watch->tree)) : status;
}

static void look_at_output(struct watch *watch)
{
    const char *terminal = getenv("TERM"), *no_colour = getenv("NO_COLOR");

    setlocale(LC_CTYPE, "");
    watch->is_terminal = watch->values[O_PLAIN] == NULL && isatty(STDOUT_FILENO) &&
                         terminal != NULL && strcmp(terminal, "dumb") != 0;
    watch->has_colours = no_colour == NULL || no_colour[0] == '\0';
    watch->has_unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

/* One run, with options before and behind it. 0, -EINVAL, or OPTIONS_HELP. */
static int read_arguments(struct place *place, const char **values, int argc, char *argv[],
                          char why[static OPTIONS_WHY_SIZE])
{
    int first, second;

    options_start(options, OPTION_COUNT, values);
    first = options_read(options, OPTION_COUNT, values, argc, argv, why);
    if (first < 0)
        return first;
    if (first == argc) {
        snprintf(why, OPTIONS_WHY_SIZE, "which run is missing");
        return -EINVAL;
    }
    second = options_read(options, OPTION_COUNT, values, argc - first - 1, argv + first + 1, why);
    if (second < 0)
        return second;
    if (second != argc - first - 1)
        snprintf(why, OPTIONS_WHY_SIZE, "one run, and not also %.200s", argv[first + 1 + second]);
    else if (find_place(place, values, argv[first]) < 0)
        snprintf(why, OPTIONS_WHY_SIZE, "\"%.200s\" names no run", argv[first]);
    else
        return 0;
    return -EINVAL;
}

int watch_run_main(int argc, char *argv[])
{
    const char *values[OPTION_COUNT];
    struct watch watch = {.values = values};
    char why[OPTIONS_WHY_SIZE] = "", *token;
    int status;

    status = read_arguments(&watch.place, values, argc, argv, why);
    if (status == OPTIONS_HELP) {
        print_help();
        return EXIT_SUCCESS;
    }
    if (status < 0) {
        fprintf(stderr, "runtree: %s (see runtree watch --help)\n", why);
        return EXIT_USAGE;
    }
    look_at_output(&watch);
    watch.stream = (struct event_stream){.take = take_event, .context = &watch};
    token = token_read(values[O_TOKEN_FILE], why, sizeof why);
    watch.client = http_client_new(watch.place.url, token);
    free(token);
    if (watch.client == NULL)
        return EXIT_UNREADABLE;
    status = run(&watch);
    http_client_free(watch.client);
    event_stream_clear(&watch.stream);
    watched_tree_clear(&watch.tree);
    return status;
}
