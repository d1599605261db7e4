/* Who descends from a process, as /proc has it. */
#ifndef RUNTREE_CLI_PROCESSES_H
#define RUNTREE_CLI_PROCESSES_H

#include <stdbool.h>
#include <sys/types.h>

/* Is `pid` the process `ancestor`, or one below it? */
bool process_is_below(pid_t pid, pid_t ancestor);

/* Signals every process below the one that calls, with ABORT_MARK; `spares_alike`: but for those
 * that run the same program as it. */
void processes_abort(int signal_number, bool spares_alike);

/* The value that comes with a signal of processes_abort: who gets it, all below have got it, too.
 */
enum { ABORT_MARK = 0x72756e74 };

#endif
