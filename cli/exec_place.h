/* Where a command's action stands: in which run, under which name and parent. From options and from
 * what schedulers and CI say in the environment. */
#ifndef RUNTREE_CLI_EXEC_PLACE_H
#define RUNTREE_CLI_EXEC_PLACE_H

#include <stdbool.h>
#include <stdint.h>

/* What was asked for; each may be NULL. */
struct exec_wish {
    const char *project, *domain, *run, *name, *parent, *group, *attempt;
    const char *command; /* argv[0] */
};

enum { PLACE_NAME_SIZE = 513, PLACE_URL_SIZE = 1024 };

struct exec_place {
    char project[PLACE_NAME_SIZE], domain[PLACE_NAME_SIZE], run[PLACE_NAME_SIZE];
    char name[PLACE_NAME_SIZE];
    char parent[PLACE_NAME_SIZE];    /* "": none */
    char group[PLACE_NAME_SIZE];     /* "": none */
    char task[PLACE_NAME_SIZE];      /* what people call it */
    char run_title[PLACE_NAME_SIZE]; /* "": none */
    bool is_new_run;                 /* nobody named the run: it is this command's own */
    int64_t attempt;
    char link_name[16], link_url[PLACE_URL_SIZE]; /* the run elsewhere; "": none */
};

typedef const char *exec_getenv(const char *name);

/* A name, or title, as the service takes it: control characters are "_", as much as fits. */
void exec_place_name(char name[static PLACE_NAME_SIZE], const char *text);

/* `unique` is a short text that no other execution has, `now_us` the time. Names are made valid:
 * their control characters are "_", they are cut at 512 bytes. */
void exec_place_find(struct exec_place *place, const struct exec_wish *wish, exec_getenv *get,
                     const char *unique, int64_t now_us);

#endif
