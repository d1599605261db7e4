/* Brings the schema to this program's version: the numbered files of sql/migrations, embedded, each
 * applied once, in order, all under an advisory lock, by whichever replica comes first. */
#ifndef RUNTREE_SQL_MIGRATE_H
#define RUNTREE_SQL_MIGRATE_H

#include <stddef.h>

/* Blocks; call it before the loop runs or on a worker thread. 0 when the schema is current.
 * -EAGAIN: the database cannot be reached or is read-only (a standby), or somebody has had the lock
 * for 3 s: try again. -EPROTO: it refused a migration, or its schema is newer than this program;
 * trying again will not help. `why` gets the reason. */
int migrate_database(const char *url, char *why, size_t why_size);

/* Whether `url` is a connection string at all. 0, or -1 with a sentence in `why`, which does not
 * quote it: it may hold a password. */
int database_url_check(const char *url, char *why, size_t why_size);

#endif
