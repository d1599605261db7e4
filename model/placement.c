#include "model/placement.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "model/text.h"

/* The finalizer of MurmurHash3: FNV alone leaves names that differ in the last byte with scores
 * that follow each other. */
static uint64_t mix(uint64_t hash)
{
    hash = (hash ^ hash >> 33) * UINT64_C(0xff51afd7ed558ccd);
    hash = (hash ^ hash >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return hash ^ hash >> 33;
}

static uint64_t hash_of_run(const struct run_key *run)
{
    const char *const parts[] = {run->project, run->domain, run->run_name};
    uint64_t hash = HASH_START;

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        hash = hash_bytes(hash, parts[i], strlen(parts[i]) + 1);
    return mix(hash);
}

size_t placement_home(const char *const *names, size_t count, const struct run_key *run)
{
    uint64_t run_hash, best_score = 0;
    size_t best = 0;

    assert(count > 0);
    if (count == 1)
        return 0;
    run_hash = hash_of_run(run);
    for (size_t i = 0; i < count; i++) {
        uint64_t score = mix(run_hash ^ mix(hash_bytes(HASH_START, names[i], strlen(names[i]))));

        if (i == 0 || score > best_score ||
            (score == best_score && strcmp(names[i], names[best]) < 0)) {
            best_score = score;
            best = i;
        }
    }
    return best;
}
