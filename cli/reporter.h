/* Tells the service about one command, without ever making it wait: what is due is sent from the
 * caller's loop, what could not be sent at the end is kept in the spool. */
#ifndef RUNTREE_CLI_REPORTER_H
#define RUNTREE_CLI_REPORTER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/exec_place.h"
#include "cli/http_client.h"

struct reporter;

struct reporter_options {
    const char *url, *token_file, *spool_dir; /* the last two may be NULL */
    int64_t heartbeat_ms;                     /* from the start to the first, then longer */
    int64_t wait_ms;                          /* at the end, at most, for the service */
    int say_fd;                               /* gets what goes wrong, in words; -1: nobody */
};

/* Borrows all; `place` NULL: only to flush the spool. NULL without memory. */
struct reporter *reporter_new(const struct reporter_options *options,
                              const struct exec_place *place);

/* Keeps what was not sent. */
void reporter_free(struct reporter *reporter);

/* The action runs: the RUNNING event. `members` (taken over) are its further ones. */
void reporter_start(struct reporter *reporter, json_t *members);

/* Before that: asks whether somebody wants the end that has come (another runtree exec may have
 * heard so first). To be stepped while reporter_is_asking, which is not for longer than wait_ms. */
void reporter_ask(struct reporter *reporter);
bool reporter_is_asking(const struct reporter *reporter);

/* The action has ended: the last event. */
void reporter_end(struct reporter *reporter, const char *phase, json_t *members);

/* Starts what is due and takes what came. Returns for how long to wait for descriptors, at most. */
int64_t reporter_step(struct reporter *reporter);

/* The wait itself; see http_client_wait. */
void reporter_wait(struct reporter *reporter, struct pollfd *fds, size_t count, int64_t timeout_ms);

/* After reporter_end: all is sent, or no more is to be waited for. */
bool reporter_is_done(const struct reporter *reporter);

/* Who asked, and why, that the action or its run be ended: "by alice: too slow"; NULL: nobody. */
const char *reporter_abort_reason(const struct reporter *reporter);

/* Sends all that waits in the spool for this service, until it does not take it; how many events it
 * took, and how many files still wait. 0, or -1 with the reason in `why`. */
enum { REPORTER_WHY_SIZE = 256 };
int reporter_flush(struct reporter *reporter, size_t *sent, size_t *left,
                   char why[static REPORTER_WHY_SIZE]);

#endif
