/* runtree exec: runs a command as an action of a run. */
#ifndef RUNTREE_CLI_EXEC_H
#define RUNTREE_CLI_EXEC_H

/* `argv` is what stands behind "exec". The exit status, if the command's own is not what this
 * process ends with. */
int exec_main(int argc, char *argv[]);

#endif
