/* One stream that is fed by many channels: the subscriptions of a client, each a run or a list.
 *
 * Subscriptions that have something to say take turns, a piece each. Their frames are shared with
 * all others who have the same subscription; the id, which says of each how much the client has, is
 * this stream's own, in a record `position` behind what it covers. */
#ifndef RUNTREE_WATCH_MULTIPLEXER_H
#define RUNTREE_WATCH_MULTIPLEXER_H

#include <stdbool.h>
#include <uv.h>

#include "model/watch_id.h"
#include "watch/list_hub.h"
#include "watch/run_hub.h"
#include "watch/stream.h"

struct multiplexer;

struct multiplexer_options {
    uv_loop_t *loop;
    struct memory *memory; /* borrowed */
    bool is_following;     /* runs are followed behind their ends */
};

/* Without subscriptions. NULL when out of memory. */
struct multiplexer *multiplexer_new(const struct multiplexer_options *options);

/* Before it has a stream, whose it is from then on. NULL does nothing. */
void multiplexer_free(struct multiplexer *multiplexer);

/* One more subscription, whose text its records have. If `id` has it, and that is still of use, it
 * goes on there, else it begins with `reset`. The run is read from now on; one that does not exist
 * is waited for. 0; -ENOBUFS: there is no room; -ENOMEM. At most SUBSCRIPTIONS_MAX. */
int multiplexer_add_run(struct multiplexer *multiplexer, struct run_hubs *hubs,
                        const struct run_key *run, const struct filter *filter, const char *text,
                        const struct watch_id *id);
int multiplexer_add_list(struct multiplexer *multiplexer, struct list_hub *hub,
                         const struct list_filter *filter, int32_t limit, const char *text,
                         const struct watch_id *id);

/* Whether the client knows of each, as far as its id says, that it has ended. */
bool multiplexer_was_ended(const struct multiplexer *multiplexer);

/* Calls `fn` once, perhaps before the return, when every run has been read, with whether nothing
 * has happened since the ends that the client knows. */
typedef void multiplexer_read_fn(void *arg, bool has_news);
void multiplexer_when_read(struct multiplexer *multiplexer, multiplexer_read_fn *fn, void *arg);

/* Its stream; see stream_new. The multiplexer is the stream's then, also on failure. */
struct stream *multiplexer_add_stream(struct multiplexer *multiplexer, struct streams *streams,
                                      int fd, struct frame *head);

#endif
