/* Events for tests, made from JSON as short as the test wants to say it. */
#ifndef RUNTREE_TESTS_UNIT_EVENT_MAKER_H
#define RUNTREE_TESTS_UNIT_EVENT_MAKER_H

#include "model/action_event.h"

/* An event, the text that it was decoded from, and what it borrows beside that. */
struct made_event {
    struct action_event event;
    char *text;
    struct arena texts;
};

/* Decodes {"project":"p","domain":"d","runName":"r", …} with the members that `format` gives, where
 * ' stands for "; a member that stands twice counts as the later one says. The time of receipt is
 * 0. Fails the test if that is no event. Release with made_event_clear. */
struct made_event make_event(const char *format, ...) __attribute__((format(printf, 1, 2)));

void made_event_clear(struct made_event *made);

#endif
