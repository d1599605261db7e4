/* A list of events as a batch of CloudEvents 1.0 (github.com/cloudevents/spec, v1.0.2), for who
 * asks for that by Accept. */
#ifndef RUNTREE_HANDLERS_CLOUD_EVENTS_H
#define RUNTREE_HANDLERS_CLOUD_EVENTS_H

#include "handlers/page.h"
#include "model/action_event.h"

/* Whether the header Accept names application/cloudevents-batch+json. */
bool wants_cloud_events(const struct http_request *request);

/* {"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"}: source is
 * the path of the run, id the rest of the event's key, data the event as lists show it. */
void cloud_event_write(struct buffer *out, const struct event_record *record);

/* Answers with the items of a page whose things are events; where it goes on, the header Link has
 * the next one. */
extern const struct page_taker cloud_events_taker;

#endif
