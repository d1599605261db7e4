/* Events for tests, made from JSON. */
#include "event_maker.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_test.h"

static json_t *parse_members(const char *members)
{
    char *text = NULL;
    json_error_t error;
    assert_true(asprintf(&text, "{%s}", members) > 0);
    for (char *at = text; *at; at++)
        if (*at == '\'')
            *at = '"';
    json_t *parsed = json_loads(text, 0, &error);
    if (!parsed)
        fail_msg("%s: %s", text, error.text);
    free(text);
    return parsed;
}

struct made_event make_event(const char *format, ...)
{
    struct made_event made = {0};
    struct problem problem = {0};
    char *members = NULL;
    va_list arguments;
    va_start(arguments, format);
    assert_true(vasprintf(&members, format, arguments) >= 0);
    va_end(arguments);
    json_t *document = parse_members("'project':'p','domain':'d','runName':'r'");
    json_t *given = parse_members(members);
    assert_int_equal(json_object_update(document, given), 0);
    made.text = json_dumps(document, JSON_COMPACT);
    struct json_text info = {.bytes = made.text, .length = strlen(made.text)};
    if (action_event_decode(&made.event, info, NULL, 0, &made.texts, &problem) != 0)
        fail_msg("%s: %s %s", made.text, problem.pointer, problem.detail);
    json_decref(given);
    json_decref(document);
    free(members);
    return made;
}

void made_event_clear(struct made_event *made)
{
    action_event_clear(&made->event);
    free(made->text);
    arena_free(&made->texts);
    *made = (struct made_event){0};
}
