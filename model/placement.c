#include "model/placement.h"

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

uint64_t placement_name(const char *name)
{
    return mix(hash_bytes(HASH_START, name, strlen(name)));
}

uint64_t placement_run(const struct run_key *run)
{
    const char *const parts[] = {run->project, run->domain, run->run_name};
    uint64_t hash = HASH_START;

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        hash = hash_bytes(hash, parts[i], strlen(parts[i]) + 1);
    return mix(hash);
}

size_t placement_home(const uint64_t *names, size_t count, uint64_t run)
{
    size_t best = 0;
    uint64_t best_score = mix(run ^ names[0]);

    for (size_t i = 1; i < count; i++) {
        uint64_t score = mix(run ^ names[i]);

        if (score > best_score || (score == best_score && names[i] > names[best])) {
            best_score = score;
            best = i;
        }
    }
    return best;
}
