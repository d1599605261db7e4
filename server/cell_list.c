#include "server/cell_list.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sql/migrate.h"

enum { LINE_BYTES_MAX = 8192 };

static bool is_name(const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");

    return length > 0 && length < CELL_NAME_SIZE && text[length] == '\0';
}

static bool is_listed(const struct cell_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].name, name) == 0)
            return true;
    return false;
}

int cell_list_add(struct cell_list *list, const char *name, enum cell_state state, const char *url,
                  char why[static CELL_LIST_WHY_SIZE])
{
    struct cell_config *cell = &list->items[list->count];

    if (list->count == CELLS_MAX) {
        snprintf(why, CELL_LIST_WHY_SIZE, "there are more than %d cells", CELLS_MAX);
        return -EINVAL;
    }
    if (!is_name(name) || is_listed(list, name)) {
        snprintf(why, CELL_LIST_WHY_SIZE,
                 is_name(name) ? "there are two cells %.70s"
                               : "the name %.70s is not 1 to 63 of a-z, 0-9 and -",
                 name);
        return -EINVAL;
    }
    if (state != CELL_GONE && database_url_check(url, why, CELL_LIST_WHY_SIZE) < 0)
        return -EINVAL;
    *cell = (struct cell_config){.state = state, .url = state == CELL_GONE ? NULL : strdup(url)};
    snprintf(cell->name, sizeof cell->name, "%s", name);
    if (state != CELL_GONE && cell->url == NULL) {
        snprintf(why, CELL_LIST_WHY_SIZE, "out of memory");
        return -EINVAL;
    }
    list->count++;
    list->alive += state != CELL_GONE;
    return 0;
}

/* Cuts the next word off, and moves *text on to what is behind it. */
static char *cut_word(char **text)
{
    char *word = *text, *end = word + strcspn(word, " \t");

    if (*end != '\0')
        *end++ = '\0';
    *text = end + strspn(end, " \t");
    return word;
}

static int read_line(struct cell_list *list, char *line, char why[static CELL_LIST_WHY_SIZE])
{
    static const char *const states[] = {"active", "draining", "gone"};
    const char *name, *state;

    line[strcspn(line, "\r\n")] = '\0';
    line += strspn(line, " \t");
    if (*line == '\0' || *line == '#')
        return 0;
    name = cut_word(&line);
    state = cut_word(&line);
    for (int i = CELL_ACTIVE; i <= CELL_GONE; i++) {
        if (strcmp(state, states[i]) != 0)
            continue;
        if ((i == CELL_GONE) == (*line == '\0'))
            return cell_list_add(list, name, (enum cell_state)i, line, why);
        snprintf(why, CELL_LIST_WHY_SIZE,
                 i == CELL_GONE ? "a cell that is gone has no connection string"
                                : "behind %s there must be a connection string",
                 states[i]);
        return -EINVAL;
    }
    snprintf(why, CELL_LIST_WHY_SIZE,
             "behind the name there must be active, draining or gone, not \"%.40s\"", state);
    return -EINVAL;
}

static bool has_active(const struct cell_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].state == CELL_ACTIVE)
            return true;
    return false;
}

int cell_list_load(struct cell_list *list, const char *path, char why[static CELL_LIST_WHY_SIZE])
{
    FILE *file = fopen(path, "re");
    char line[LINE_BYTES_MAX], reason[CELL_LIST_WHY_SIZE] = "";
    int number = 0;

    if (file == NULL) {
        snprintf(why, CELL_LIST_WHY_SIZE, "%.120s: %s", path, strerror(errno));
        return -EINVAL;
    }
    while (reason[0] == '\0' && fgets(line, sizeof line, file) != NULL) {
        number++;
        read_line(list, line, reason);
    }
    if (reason[0] == '\0' && ferror(file) != 0)
        snprintf(reason, sizeof reason, "%s", strerror(errno));
    else if (reason[0] == '\0' && !has_active(list))
        snprintf(reason, sizeof reason, "no cell is active");
    explicit_bzero(line, sizeof line);
    fclose(file);
    if (reason[0] == '\0')
        return 0;
    snprintf(why, CELL_LIST_WHY_SIZE, "%.120s, line %d: %.180s", path, number, reason);
    return -EINVAL;
}

void cell_list_clear(struct cell_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].url);
    list->count = list->alive = 0;
}
