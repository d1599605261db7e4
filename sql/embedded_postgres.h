/* A PostgreSQL of our own, for who gives no database URL: the installed server binaries, files in the
 * data folder, a Unix socket only.
 *
 * Never two on one folder: the folder is locked (flock on a file in it) for as long as this process lives. A server
 * left behind by a kill -9 is adopted if it answers on its socket, else its stale postmaster.pid is Postgres' own business at
 * the next start. As root, the server runs as an unprivileged user ("postgres" if there is one, else "nobody"),
 * who owns the data folder. */
#ifndef RUNTREE_SQL_EMBEDDED_POSTGRES_H
#define RUNTREE_SQL_EMBEDDED_POSTGRES_H

#include <stddef.h>

struct embedded_postgres;

/* Blocks until it accepts connections (initdb at the first time). NULL on failure, `why` gets a sentence that
 * says what to do (what was looked for, where, which Debian package has it). */
struct embedded_postgres *embedded_postgres_start(const char *data_dir, char *why, size_t why_size);

/* The connection string of its database "runtree"; borrowed. */
const char *embedded_postgres_url(const struct embedded_postgres *postgres);

/* Blocks: fast shutdown, waits up to 5 s for it, then immediate; frees. */
void embedded_postgres_stop(struct embedded_postgres *postgres);

#endif
