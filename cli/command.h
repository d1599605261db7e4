/* A command that is run as if it had been started directly: what it sees, writes and ends with are
 * its own. Its standard error is read along only where it cannot notice. */
#ifndef RUNTREE_CLI_COMMAND_H
#define RUNTREE_CLI_COMMAND_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

#include "cli/last_lines.h"

struct command;

/* Starts argv[0] with this process's descriptors, signals, terminal and group. After it this
 * process has nothing of them but what command_step needs. NULL with errno if it cannot be started;
 * one that cannot be found is a command that ends with 127, or 126, as a shell's.
 *
 * Standard error is left as it is if it is a terminal (then nothing of it is known), or a file
 * (which is read at the end). Else it goes through a pipe; and standard output with it where both
 * are one, so that their order stays. */
struct command *command_start(char *const argv[]);

/* What to wait for: sets up to COMMAND_FDS of them, and returns how many. */
enum { COMMAND_FDS = 2 };
size_t command_fds(const struct command *command, struct pollfd fds[static COMMAND_FDS]);

/* After a wait: passes signals and output on, and sees whether the command has ended. */
void command_step(struct command *command, const struct pollfd *fds, size_t count);

/* It has ended and its output is passed on. Who still writes to it (a process left in the
 * background) is served by a process of its own. */
bool command_has_ended(const struct command *command);

/* As waitpid's. */
int command_status(const struct command *command);

/* A signal from outside that asked it to end, or 0. */
int command_ending_signal(const struct command *command);

/* An abort that another runtree exec, above, was asked for. */
bool command_is_aborted_from_above(const struct command *command);

/* Signals all processes below this one: SIGTERM; SIGKILL, but not to other runtree execs, which are
 * to tell of their ends; SIGKILL to all. From then on the command has not ended before they have.
 */
enum abort_step { ABORT_END, ABORT_KILL, ABORT_KILL_ALL };
void command_abort(struct command *command, enum abort_step step);

/* The last lines of its standard error, malloc'd; NULL if there are none or they are not known. */
char *command_last_lines(struct command *command);

/* Ends this process as the command has ended: by the same exit status or the same signal. */
_Noreturn void command_end_alike(struct command *command);

#endif
