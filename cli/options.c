#include "cli/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The option of "--flag" or "--flag=value", or NULL. */
static const struct cli_option *find(const struct cli_option *options, size_t count,
                                     const char *argument)
{
    size_t length = strcspn(argument, "=");

    if (strncmp(argument, "--", 2) != 0)
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (strlen(options[i].flag) == length - 2 &&
            strncmp(argument + 2, options[i].flag, length - 2) == 0)
            return &options[i];
    return NULL;
}

void options_start(const struct cli_option *options, size_t count, const char **values)
{
    for (size_t k = 0; k < count; k++) {
        const char *value = options[k].variable == NULL ? NULL : getenv(options[k].variable);

        values[k] = value == NULL || *value == '\0' ? options[k].fallback : value;
    }
}

int options_read(const struct cli_option *options, size_t count, const char **values, int argc,
                 char *const argv[], char why[static OPTIONS_WHY_SIZE])
{
    int i = 0;

    for (; i < argc && argv[i][0] == '-'; i++) {
        const struct cli_option *option;
        const char *value = strchr(argv[i], '=');

        if (strcmp(argv[i], "--") == 0)
            return i + 1;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return OPTIONS_HELP;
        option = find(options, count, argv[i]);
        if (option == NULL) {
            snprintf(why, OPTIONS_WHY_SIZE, "unknown option: %.200s", argv[i]);
            return -EINVAL;
        }
        if (option->value == NULL)
            value = value == NULL ? "true" : value + 1;
        else if (value != NULL)
            value++;
        else if (i + 1 < argc)
            value = argv[++i];
        if (value == NULL) {
            snprintf(why, OPTIONS_WHY_SIZE, "--%s wants a value", option->flag);
            return -EINVAL;
        }
        values[option - options] = value;
    }
    return i;
}

int64_t options_number(const char *text, int64_t min, int64_t max, int64_t fallback)
{
    char *end;
    long long number;

    if (text == NULL || *text == '\0')
        return fallback;
    errno = 0;
    number = strtoll(text, &end, 10);
    return *end != '\0' || errno != 0 || number < min || number > max ? fallback : number;
}

void options_print(const struct cli_option *options, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        const struct cli_option *option = &options[k];

        printf("  --%s%s%s", option->flag, option->value == NULL ? "" : " ",
               option->value == NULL ? "" : option->value);
        if (option->variable != NULL)
            printf("  [%s]", option->variable);
        printf("\n      %s", option->meaning);
        if (option->fallback != NULL)
            printf(" (default %s)", option->fallback);
        printf("\n");
    }
    printf("  --help\n      this text\n");
}
