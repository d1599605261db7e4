#include "adapters/flyte_stream.h"

#include <errno.h>
#include <string.h>

struct line {
    const char *text;
    size_t length;
};

/* The next line; false behind the last. */
static bool next_line(const char **at, const char *end, struct line *line)
{
    const char *stop;

    if (*at == end)
        return false;
    stop = memchr(*at, '\n', (size_t)(end - *at));
    line->text = *at;
    line->length = (size_t)((stop == NULL ? end : stop) - *at);
    *at = stop == NULL ? end : stop + 1;
    return true;
}

static bool is_line(const struct line *line, const char *text)
{
    return line->length == strlen(text) && memcmp(line->text, text, line->length) == 0;
}

/* Adds the update of a line "data: …". 0 or -ENOMEM. */
static int add_update(json_t *actions, const struct flyte_scope *scope, const struct line *line)
{
    static const char prefix[] = "data: ";
    const size_t begin = sizeof prefix - 1;
    json_t *update, *action;

    if (line->length < begin || memcmp(line->text, prefix, begin) != 0)
        return 0;
    update = json_loadb(line->text + begin, line->length - begin, 0, NULL);
    if (update == NULL)
        return -ENOMEM;
    action = flyte_enriched_action(scope, update);
    json_decref(update);
    return json_array_append_new(actions, action) < 0 ? -ENOMEM : 0;
}

int flyte_updates_read(struct flyte_updates *updates, const struct flyte_scope *scope,
                       const char *records, size_t length)
{
    const char *at = records, *end = length == 0 ? records : records + length;
    json_t *actions = json_array();
    bool is_update = false;
    struct line line;
    int status = actions == NULL ? -ENOMEM : 0;

    *updates = (struct flyte_updates){0};
    while (status == 0 && !updates->is_reset && next_line(&at, end, &line)) {
        if (line.length > 7 && memcmp(line.text, "event: ", 7) == 0)
            is_update = is_line(&line, "event: nodeUpdate");
        updates->is_reset = is_line(&line, "event: reset");
        if (is_update)
            status = add_update(actions, scope, &line);
    }
    if (status == 0 && json_array_size(actions) > 0) {
        updates->response = json_pack("{s:O}", "enrichedActions", actions);
        status = updates->response == NULL ? -ENOMEM : 0;
    }
    json_decref(actions);
    return status;
}
