/* Which PostgreSQL server is installed here, and where. */
#ifndef RUNTREE_SQL_POSTGRES_INSTALL_H
#define RUNTREE_SQL_POSTGRES_INSTALL_H

#include <limits.h>
#include <stddef.h>

enum {
    POSTGRES_MAJOR_MIN = 12, /* older ones are no longer supported by PostgreSQL itself */
};

struct postgres_install {
    char bin_dir[PATH_MAX]; /* holds postgres and initdb */
    int major;
};

/* Looks in the folders of PATH, then where Debian, the PostgreSQL project's RPMs and a build from
 * source put it, the newest first. With `wanted_major` not 0 only that version will do: files of
 * one major version cannot be used by another. 0; -1 when there is none, and `why` says what was
 * looked for, where, and which package has it. */
int postgres_install_find(int wanted_major, struct postgres_install *found, char *why,
                          size_t why_size);

#endif
