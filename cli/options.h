/* The options of a subcommand: by flag, or by environment variable; the flag wins. */
#ifndef RUNTREE_CLI_OPTIONS_H
#define RUNTREE_CLI_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

enum { OPTIONS_WHY_SIZE = 300 };

struct cli_option {
    const char *flag;     /* without the dashes */
    const char *variable; /* of the environment; NULL: by flag only */
    const char *value;    /* what --help calls its value; NULL: a switch, whose value is "true" */
    const char *fallback; /* without either; may be NULL */
    const char *meaning;
};

/* Sets values[i], borrowed, to what options[i] is without a flag: its variable (an empty one counts
 * as none), or its fallback. */
void options_start(const struct cli_option *options, size_t count, const char **values);

/* Sets those values of which there is a flag. Returns the index in `argv` of the first argument
 * that is no option (behind "--" if there is one), or -EINVAL with the reason in `why`, or
 * OPTIONS_HELP at
 * --help or -h. */
enum { OPTIONS_HELP = -1000 };
int options_read(const struct cli_option *options, size_t count, const char **values, int argc,
                 char *const argv[], char why[static OPTIONS_WHY_SIZE]);

/* A whole number from `min` to `max`; `fallback` if it is not. */
int64_t options_number(const char *text, int64_t min, int64_t max, int64_t fallback);

/* The options for --help, to standard output. */
void options_print(const struct cli_option *options, size_t count);

#endif
