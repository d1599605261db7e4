/* What a writer knows of the runs that it wrote last: their rows and the rows of their actions, as
 * they were after its last commit. A batch about them alone is decided without a read.
 *
 * What is known may be out of date, for others write, too. So who decides with it writes only if
 * the runs' changed_xid is still what is known here, and takes no verdict from it that writes
 * nothing. Runs in which actions wait, or the end of anything was asked for, are not kept. */
#ifndef RUNTREE_MODEL_KNOWN_RUNS_H
#define RUNTREE_MODEL_KNOWN_RUNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/decide.h"

struct known_runs;

/* At most `bytes_max` are kept, of one run at most a quarter of them; what was used last stays.
 * NULL when out of memory. */
struct known_runs *known_runs_new(size_t bytes_max);
void known_runs_free(struct known_runs *known); /* NULL is fine */

size_t known_runs_bytes(const struct known_runs *known);

/* Hands the decision, which has all its events, those of its runs of which all is known that it
 * needs. For each of decision_runs sets `is_known`, and for those `changed_xids`. How many they
 * are; -ENOMEM: the decision is of no use any more. */
int known_runs_recall(struct known_runs *known, struct decision *decision, bool *is_known,
                      int64_t *changed_xids);

/* What the decision made was committed by the transaction `xid` at `now_us`; `changed_xids` are
 * those that it was made with. What there is no memory for is forgotten. */
void known_runs_note(struct known_runs *known, struct decision *decision,
                     const int64_t *changed_xids, int64_t xid, int64_t now_us);

void known_runs_forget(struct known_runs *known, const struct run_key *key);
void known_runs_clear(struct known_runs *known);

/* Somebody made the run's revision; 0: deleted it. Unless it is noted until then, what is known of
 * the run is not recalled any more. */
void known_runs_hear(struct known_runs *known, const struct run_key *key, int64_t revision);

#endif
