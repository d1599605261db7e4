/* Where a connection string leads: its hosts, one by one, and the parameters for each.
 *
 * libpq is always given a single host, so that the time limit for an attempt holds for each of
 * several hosts (its non-blocking calls have none of their own), and never a name to look up, since
 * that would block. */
#ifndef RUNTREE_SQL_PG_CONNINFO_H
#define RUNTREE_SQL_PG_CONNINFO_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PG_CONNINFO_HOSTS_MAX = 32,
    PG_CONNINFO_WHY_SIZE = 160,
};

struct pg_conninfo;

/* Parses `url` and adds what the environment says (PGHOST, PGPORT, …). NULL when it is no
 * connection string or out of memory; `why` then gets a sentence, which never quotes the string: it
 * may hold a password. */
struct pg_conninfo *pg_conninfo_parse(const char *url, char why[PG_CONNINFO_WHY_SIZE]);

void pg_conninfo_free(struct pg_conninfo *info);

size_t pg_conninfo_host_count(const struct pg_conninfo *info);

/* As the connection string has it, for people; borrowed. */
const char *pg_conninfo_host(const struct pg_conninfo *info, size_t host);

/* The name that has to be looked up before host number `host` can be reached; NULL if it is an
 * address or the path of a socket. Borrowed. */
const char *pg_conninfo_name_to_look_up(const struct pg_conninfo *info, size_t host);

/* The string's connect_timeout, else 5,000; 0 is no limit, as in libpq. */
uint64_t pg_conninfo_connect_timeout_ms(const struct pg_conninfo *info);

/* Begins a non-blocking connect (PQconnectStartParams) to host number `host`; `address` is what its
 * name was looked up to, numeric, or NULL. The caller owns the result, which is NULL when out of
 * memory. */
PGconn *pg_conninfo_connect(const struct pg_conninfo *info, size_t host, const char *address,
                            const char *application_name);

/* Connects to the first host that will have us, and waits for it, the connect timeout at most for
 * each; host names are looked up by libpq. The caller owns the result, which is good if its
 * PQstatus is CONNECTION_OK, and drops notices; NULL when out of memory. */
PGconn *pg_conninfo_connect_and_wait(const struct pg_conninfo *info, const char *application_name);

#endif
