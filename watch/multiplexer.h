/* One stream that is fed by many channels: the subscriptions of a client, each a run or a list.
 *
 * Subscriptions that have something to say take turns, a piece each. Their frames are shared with
 * all others who have the same subscription; the id, which says of each how much the client has, is
 * this stream's own, in a record `position` behind what it covers.
 *
 * Where there are several cells, a list has a part of each, and the id a position for each part.
 * Snapshots that begin together are made one: the newest runs of them all. A part that has to begin
 * anew does so alone. A record `cells` says which are away, at the start and when that changes. */
#ifndef RUNTREE_WATCH_MULTIPLEXER_H
#define RUNTREE_WATCH_MULTIPLEXER_H

#include <stdbool.h>
#include <uv.h>

#include "model/watch_id.h"
#include "watch/list_hub.h"
#include "watch/run_hub.h"
#include "watch/stream.h"

struct cell;
struct multiplexer;

struct multiplexer_options {
    uv_loop_t *loop;
    struct memory *memory;     /* borrowed */
    struct cell *const *cells; /* all of the loop's, borrowed */
    size_t cell_count;
    bool is_following; /* runs are followed behind their ends */
};

/* Without subscriptions. NULL when out of memory. */
struct multiplexer *multiplexer_new(const struct multiplexer_options *options);

/* Before it has a stream, whose it is from then on. NULL does nothing. */
void multiplexer_free(struct multiplexer *multiplexer);

/* One more subscription, whose text its records have. If `id` has it, and that is still of use, it
 * goes on there, else it begins with `reset`. The run, which is of this cell, is read from now on;
 * one that does not exist is waited for, unless it `may_move`, that is, would be made in another
 * cell: then the stream ends, and who comes back is told of it there. 0; -ENOBUFS: there is no
 * room; -ENOTCONN; -ENOMEM. At most WATCH_POSITIONS_MAX, a list counted once for each cell. */
int multiplexer_add_run(struct multiplexer *multiplexer, struct cell *cell, bool may_move,
                        const struct run_key *run, const struct filter *filter, const char *text,
                        const struct watch_id *id);
/* `text` NULL, if there are several cells: the list is alone on its stream, its `synced` has the
 * id, too, and without an id (NULL) it begins without `reset`. */
int multiplexer_add_list(struct multiplexer *multiplexer, const struct list_filter *filter,
                         int32_t limit, const char *text, const struct watch_id *id);

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
