/* runtree watch: a run's tree in a terminal, live. */
#ifndef RUNTREE_CLI_WATCH_RUN_H
#define RUNTREE_CLI_WATCH_RUN_H

/* `argv` is what stands behind "watch". The exit status: what the run has come to. */
int watch_run_main(int argc, char *argv[]);

#endif
