/* What names a run: project, domain and run name. */
#ifndef RUNTREE_MODEL_RUN_KEY_H
#define RUNTREE_MODEL_RUN_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PROJECT_BYTES_MAX = 63, DOMAIN_BYTES_MAX = 63, NAME_BYTES_MAX = 255 };

/* Borrowed strings, each valid as key_part_is_valid says. */
struct run_key {
    const char *project;
    const char *domain;
    const char *run_name;
};

/* 1 to `bytes_max` bytes of A-Z a-z 0-9 . _ : - , the first one a letter or a digit. */
bool key_part_is_valid(const char *text, size_t length, size_t bytes_max);

/* In byte order (strcmp) of project, domain, run name: the order in which runs are locked. */
int run_key_compare(const struct run_key *a, const struct run_key *b);

/* The same on every machine. */
uint32_t run_key_hash(const struct run_key *key);

/* "project/domain/run_name": no part has a slash. */
enum { RUN_PATH_SIZE = PROJECT_BYTES_MAX + DOMAIN_BYTES_MAX + NAME_BYTES_MAX + 3 };
void run_key_path(const struct run_key *key, char out[static RUN_PATH_SIZE]);

/* The key that run_key_path wrote; its strings are the parts of `path`, which is cut up for them.
 */
struct run_key run_key_split(char *path);

#endif
