#include "cli/command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/processes.h"

enum {
    EXIT_NOT_EXECUTABLE = 126,
    EXIT_NOT_FOUND = 127,
    EXIT_SIGNALLED = 128,
    READ_BYTES = 64 * 1024,
    WRITE_BYTES = 4096, /* for which there is room in a pipe that poll calls writable */
};

enum capture {
    CAPTURE_NONE,
    CAPTURE_FILE,   /* read at the end */
    CAPTURE_STDERR, /* through a pipe */
    CAPTURE_BOTH,   /* and standard output, which is the same pipe */
};

struct command {
    pid_t pid;
    int status;
    bool is_dead, is_drained;
    bool is_aborting, has_children;
    int ending_signal;
    bool is_aborted_from_above;
    sigset_t mask; /* as it was */
    int signals;   /* signalfd */

    enum capture capture;
    int pipe;        /* read end; -1: none, or at its end */
    int file;        /* CAPTURE_FILE: open to read, else -1 */
    off_t file_from; /* where what the command writes starts */
    struct last_lines lines;
    char pending[READ_BYTES]; /* read, not yet written */
    size_t pending_from, pending_to;
};

/* What ends a process that does not handle it, and what programs tell each other. The kernel's own
 * (SIGSEGV …) and those of job control come to the command by themselves. */
static const int forwarded[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM};

/* One inode, and so one pipe, one socket or one file. */
static bool is_same(int a, int b)
{
    struct stat first, second;

    return fstat(a, &first) == 0 && fstat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

/* What was opened where one of the standard descriptors was missing must not take its place. */
static int above_standard(int fd)
{
    int higher = fd;

    if (fd >= 0 && fd <= STDERR_FILENO) {
        higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        close(fd);
    }
    return higher;
}

/* How the command's standard error can be read without its noticing. */
static void choose_capture(struct command *command)
{
    struct stat status;

    if (fstat(STDERR_FILENO, &status) < 0 || isatty(STDERR_FILENO)) {
        command->capture = CAPTURE_NONE;
    } else if (S_ISREG(status.st_mode)) {
        bool appends = (fcntl(STDERR_FILENO, F_GETFL) & O_APPEND) != 0;

        command->capture = CAPTURE_FILE;
        command->file_from = appends ? status.st_size : lseek(STDERR_FILENO, 0, SEEK_CUR);
        command->file = above_standard(open("/proc/self/fd/2", O_RDONLY | O_CLOEXEC | O_NOCTTY));
    } else {
        command->capture = is_same(STDOUT_FILENO, STDERR_FILENO) ? CAPTURE_BOTH : CAPTURE_STDERR;
    }
}

/* In the child, which has its own signals again. */
static _Noreturn void become(const struct command *command, char *const argv[], int write_end)
{
    if (write_end >= 0) {
        dup2(write_end, STDERR_FILENO);
        if (command->capture == CAPTURE_BOTH)
            dup2(write_end, STDOUT_FILENO);
    }
    sigprocmask(SIG_SETMASK, &command->mask, NULL);
    execvp(argv[0], argv);
    fprintf(stderr, "runtree: %s: %s\n", argv[0], strerror(errno));
    fflush(stderr);
    _exit(errno == ENOENT || errno == ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

static void let_go_of(int fd)
{
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (nothing >= 0 && nothing != fd) {
        dup2(nothing, fd);
        close(nothing);
    }
}

/* Closes what was inherited, so that who waits for an end of file waits for the command alone. */
static void let_go(const struct command *command)
{
    int kept[] = {command->signals, command->pipe, command->file};

    let_go_of(STDIN_FILENO);
    let_go_of(STDOUT_FILENO);
    for (unsigned fd = STDERR_FILENO + 1, next; fd != ~0U; fd = next + 1) {
        next = ~0U - 1;
        for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
            if (kept[i] >= (int)fd && (unsigned)kept[i] < next)
                next = (unsigned)kept[i];
        if (next == ~0U - 1) {
            close_range(fd, ~0U, 0);
            return;
        }
        if (next > fd)
            close_range(fd, next - 1, 0);
    }
}

/* Signals are read from a descriptor; those that were ignored stay so. */
static int watch_signals(struct command *command)
{
    struct sigaction old;
    sigset_t watched;

    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    for (size_t i = 0; i < sizeof forwarded / sizeof *forwarded; i++)
        if (sigaction(forwarded[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaddset(&watched, forwarded[i]);
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
        sigaddset(&watched, number);
    sigprocmask(SIG_BLOCK, &watched, &command->mask);
    command->signals = above_standard(signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));
    return command->signals < 0 ? -1 : 0;
}

struct command *command_start(char *const argv[])
{
    struct command *command = calloc(1, sizeof *command);
    int ends[2] = {-1, -1};

    if (command == NULL)
        return NULL;
    command->pipe = command->file = -1;
    choose_capture(command);
    if (watch_signals(command) < 0 ||
        (command->capture >= CAPTURE_STDERR && pipe2(ends, O_CLOEXEC) < 0))
        return NULL;
    ends[0] = above_standard(ends[0]);
    ends[1] = above_standard(ends[1]);
    command->pid = fork();
    if (command->pid == 0)
        become(command, argv, ends[1]);
    command->pipe = ends[0];
    let_go(command); /* the pipe's other end, too */
    if (command->pid < 0)
        return NULL;
    if (command->pipe >= 0)
        fcntl(command->pipe, F_SETFL, O_NONBLOCK);
    signal(SIGPIPE, SIG_IGN);
    return command;
}

size_t command_fds(const struct command *command, struct pollfd fds[static COMMAND_FDS])
{
    fds[0] = (struct pollfd){.fd = command->signals, .events = POLLIN};
    if (command->pending_from < command->pending_to)
        fds[1] = (struct pollfd){.fd = STDERR_FILENO, .events = POLLOUT};
    else if (command->pipe >= 0)
        fds[1] = (struct pollfd){.fd = command->pipe, .events = POLLIN};
    else
        return 1;
    return 2;
}

static bool ends_by_itself(int number)
{
    return number == SIGHUP || number == SIGINT || number == SIGQUIT || number == SIGTERM;
}

/* What came from the terminal, or from the command's own processes to their group, the command has
 * got already. */
static void take_signal(struct command *command, const struct signalfd_siginfo *info)
{
    int number = (int)info->ssi_signo;
    bool has_mark = info->ssi_code == SI_QUEUE && info->ssi_int == ABORT_MARK;

    if (number == SIGCHLD)
        return;
    if (has_mark)
        command->is_aborted_from_above = true;
    if (!command->is_dead && !has_mark && info->ssi_code != SI_KERNEL &&
        !process_is_below((pid_t)info->ssi_pid, command->pid))
        kill(command->pid, number);
    if (ends_by_itself(number))
        command->ending_signal = number;
}

/* The command, and whoever was left to this process after command_abort. */
static void reap(struct command *command)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == command->pid) {
            command->status = status;
            command->is_dead = true;
        }
    }
    command->has_children = pid == 0;
}

/* Nobody writes any more, or nobody reads. */
static void close_pipe(struct command *command)
{
    close(command->pipe);
    command->pipe = -1;
    let_go_of(STDERR_FILENO);
}

/* Reads if there is nothing to write, writes if there is. False at the pipe's end, or if it has
 * nothing now. */
static bool pass_on(struct command *command)
{
    ssize_t length;

    if (command->pending_from == command->pending_to) {
        length = read(command->pipe, command->pending, sizeof command->pending);
        if (length < 0 && (errno == EINTR || errno == EAGAIN))
            return errno == EINTR;
        if (length <= 0) {
            close_pipe(command);
            return false;
        }
        last_lines_add(&command->lines, command->pending, (size_t)length);
        command->pending_from = 0;
        command->pending_to = (size_t)length;
        return true;
    }
    length = (ssize_t)(command->pending_to - command->pending_from);
    length = write(STDERR_FILENO, command->pending + command->pending_from,
                   length > WRITE_BYTES ? WRITE_BYTES : (size_t)length);
    if (length > 0) {
        command->pending_from += (size_t)length;
    } else if (errno != EINTR && errno != EAGAIN) { /* nobody reads: the command is to see that */
        command->pending_from = command->pending_to;
        if (command->pipe >= 0)
            close_pipe(command);
        return false;
    }
    return true;
}

/* A process of its own goes on passing on what comes from those that the command left behind. */
static void leave_behind(struct command *command)
{
    if (fork() != 0)
        return;
    setsid();
    sigprocmask(SIG_SETMASK, &command->mask, NULL);
    close(command->signals);
    fcntl(command->pipe, F_SETFL, 0);
    while (command->pipe >= 0)
        pass_on(command);
    _exit(0);
}

void command_step(struct command *command, const struct pollfd *fds, size_t count)
{
    struct signalfd_siginfo info;

    while (read(command->signals, &info, sizeof info) == (ssize_t)sizeof info)
        take_signal(command, &info);
    reap(command);
    if (count > 1 && fds[1].revents != 0)
        pass_on(command);
    if (!command->is_dead || command->is_drained || (command->is_aborting && command->has_children))
        return;
    while (command->pipe >= 0 && command->pending_from == command->pending_to && pass_on(command))
        continue;
    if (command->pending_from < command->pending_to)
        return;
    if (command->pipe >= 0)
        leave_behind(command);
    command->is_drained = true;
    if (command->pipe >= 0)
        close_pipe(command);
}

bool command_has_ended(const struct command *command)
{
    return command->is_drained;
}

int command_status(const struct command *command)
{
    return command->status;
}

int command_ending_signal(const struct command *command)
{
    return command->ending_signal;
}

bool command_is_aborted_from_above(const struct command *command)
{
    return command->is_aborted_from_above;
}

void command_abort(struct command *command, enum abort_step step)
{
    command->is_aborting = true;
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* whoever loses its parent by this stays below us */
    processes_abort(step == ABORT_END ? SIGTERM : SIGKILL, step == ABORT_KILL);
}

char *command_last_lines(struct command *command)
{
    char bytes[LAST_LINES_BYTES];
    struct stat status;

    if (command->capture == CAPTURE_FILE && command->file >= 0 &&
        fstat(command->file, &status) == 0) {
        off_t from = command->file_from < 0 ? 0 : command->file_from;
        ssize_t length;

        if (status.st_size - from > LAST_LINES_BYTES) {
            from = status.st_size - LAST_LINES_BYTES;
            command->lines.written = LAST_LINES_BYTES; /* there is more before */
        }
        length = pread(command->file, bytes, sizeof bytes, from);
        if (length > 0)
            last_lines_add(&command->lines, bytes, (size_t)length);
    }
    return last_lines_text(&command->lines);
}

_Noreturn void command_end_alike(struct command *command)
{
    int status = command->status;

    if (WIFSIGNALED(status)) {
        const struct rlimit no_core = {0};

        setrlimit(RLIMIT_CORE, &no_core); /* the command has left one, if anybody wants it */
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
        sigprocmask(SIG_SETMASK, &command->mask, NULL);
        _exit(EXIT_SIGNALLED + WTERMSIG(status)); /* process 1 is not killed */
    }
    _exit(WEXITSTATUS(status));
}
