/* A PostgreSQL of our own, for who gives no database URL: the installed server binaries, files in
 * the data folder, a Unix socket only.
 *
 * Never two on one folder: the folder is locked (flock on a file in it) for as long as this process
 * lives. A server left behind by a kill -9 is adopted; if it is starting up or going down, that is
 * waited for.
 *
 *   DATA/runtree.lock    the locked file
 *   DATA/postgres.log    what the server and initdb say
 *   DATA/postgres/       the cluster (PGDATA)
 *   DATA/run/            its socket
 *   DATA/postgres.path   only if the last two are elsewhere: where
 *   DATA/socket.path     only if the socket's path would be too long: its folder under /tmp
 *
 * As root, the server runs as an unprivileged user (the owner of the cluster that is there, else
 * "postgres", else "nobody"). If that user cannot enter the data folder (say it is under /root),
 * cluster and socket are in /var/tmp/runtree-HASH, of the data folder's path, instead. */
#ifndef RUNTREE_SQL_EMBEDDED_POSTGRES_H
#define RUNTREE_SQL_EMBEDDED_POSTGRES_H

#include <stddef.h>

struct embedded_postgres;

enum { EMBEDDED_CONNECTIONS_SPARE = 100 /* for whoever else connects: psql, pg_dump */ };

/* Blocks until it accepts connections (initdb at the first time; up to ten minutes while it
 * recovers from a crash), or a SIGTERM or SIGINT is pending, which the caller has blocked. It takes
 * `connections` of the caller and EMBEDDED_CONNECTIONS_SPARE more; one that was left behind with
 * room for fewer is started again. NULL on failure, `why` gets a sentence that says what to do
 * (what was looked for, where, which Debian package has it). */
struct embedded_postgres *embedded_postgres_start(const char *data_dir, int connections, char *why,
                                                  size_t why_size);

/* The connection string of its database "runtree"; borrowed. */
const char *embedded_postgres_url(const struct embedded_postgres *postgres);

/* Starts it again if it has ended (say by the kernel, out of memory). Blocks as the start does;
 * call it on a worker thread, one at a time. 0 when it runs; -1 with a sentence in `why`. */
int embedded_postgres_ensure(struct embedded_postgres *postgres, char *why, size_t why_size);

/* Blocks: fast shutdown, waits up to 5 s for it, then immediate; frees. NULL is allowed. Not while
 * embedded_postgres_ensure runs. */
void embedded_postgres_stop(struct embedded_postgres *postgres);

#endif
