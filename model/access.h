/* What the holder of a token may do: rights on projects and domains.
 *
 * The claim (by default `runtree`) of a token says it:
 *
 *   "runtree": {"read": ["ml/production", "web/staging"], "write": ["ml/production"]}
 *
 * A pattern is project/domain, of which the domain begins behind the last slash; an asterisk in
 * place of either stands for all of them. `admin` includes `read` and `write`; `write` does not
 * include `read`, so that an executor's token gives nothing away. */
#ifndef RUNTREE_MODEL_ACCESS_H
#define RUNTREE_MODEL_ACCESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/run_key.h"

enum access_right { ACCESS_READ = 1, ACCESS_WRITE = 2, ACCESS_ADMIN = 4 };

enum { ACCESS_GRANTS_MAX = 100, SUBJECT_SIZE = 256, ACCESS_WHY_SIZE = 200 };

struct access_grant {
    char project[PROJECT_BYTES_MAX + 1]; /* "*": any */
    char domain[DOMAIN_BYTES_MAX + 1];
    unsigned rights; /* bits of enum access_right, what admin includes filled in */
};

/* Not changed once it is made, and counted: hold, release. One thread. */
struct access {
    unsigned references;
    char subject[SUBJECT_SIZE]; /* the claim `sub`; "": none */
    int64_t expires_us;         /* the claim `exp`, since 1970 */
    size_t count;
    struct access_grant grants[];
};

/* The rights that `rights`, the claim's value, gives; NULL or JSON null: none. `subject` may be
 * NULL. A new reference; NULL with the reason in `why` if the claim is not of the form above, has
 * too many patterns, or memory ran out. */
struct access *access_new(const json_t *rights, const char *subject, int64_t expires_us,
                          char why[static ACCESS_WHY_SIZE]);

struct access *access_hold(struct access *access);
void access_release(struct access *access); /* NULL is fine */

/* `access` NULL is everybody where nobody is asked for a token: everything is allowed. */
bool access_allows(const struct access *access, enum access_right right, const char *project,
                   const char *domain);

/* The right on every project and domain there will ever be. */
bool access_allows_all(const struct access *access, enum access_right right);

/* Whether both let read the same, by the same patterns. */
bool access_reads_same(const struct access *a, const struct access *b);

/* {"read": [pattern, …], "write": …, "admin": …}, as granted; a new reference, NULL when out of
 * memory. */
json_t *access_to_json(const struct access *access);

#endif
