/* What names a run: project, domain and run name. */
#ifndef RUNTREE_MODEL_RUN_KEY_H
#define RUNTREE_MODEL_RUN_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PROJECT_BYTES_MAX = 160, DOMAIN_BYTES_MAX = 63, NAME_BYTES_MAX = 512 };

enum key_part { KEY_PROJECT, KEY_DOMAIN, KEY_NAME }; /* a name is a run's or an action's */

/* Borrowed strings, each valid as key_part_is_valid says. */
struct run_key {
    const char *project;
    const char *domain;
    const char *run_name;
};

/* Whether the text may be that part. `text` is followed by a byte that continues no UTF-8 sequence,
 * such as a NUL or a quote. What is no name is "." and "..", which a URL cannot hold (RFC 3986,
 * section 5.2.4), and whatever has a control character (Unicode's category Cc). */
bool key_part_is_valid(enum key_part part, const char *text, size_t length);

/* What the part must be, to stand behind "must be"; static. */
const char *key_part_rule(enum key_part part);

/* In byte order (strcmp) of project, domain, run name: the order in which runs are locked. */
int run_key_compare(const struct run_key *a, const struct run_key *b);

/* The same on every machine. */
uint32_t run_key_hash(const struct run_key *key);

/* Project, domain and run name with a U+001F between them, which no part has. */
#define RUN_PATH_SEPARATOR "\x1f"
enum { RUN_PATH_SIZE = PROJECT_BYTES_MAX + DOMAIN_BYTES_MAX + NAME_BYTES_MAX + 3 };
void run_key_path(const struct run_key *key, char out[static RUN_PATH_SIZE]);

/* "project/domain/run_name", for people: what has slashes itself may read as another. */
void run_key_words(const struct run_key *key, char out[static RUN_PATH_SIZE]);

/* The key that run_key_path wrote; its strings are the parts of `path`, which is cut up for them.
 */
struct run_key run_key_split(char *path);

#endif
