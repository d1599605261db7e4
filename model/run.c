#include "model/run.h"

#include "model/timestamp.h"

enum phase run_phase(const int32_t root_counts[static PHASE_SLOTS])
{
    static const enum phase worst_first[] = {PHASE_FAILED,    PHASE_TIMED_OUT, PHASE_ABORTED,
                                             PHASE_SUCCEEDED, PHASE_RECOVERED, PHASE_SKIPPED};
    enum phase open = PHASE_NONE;
    bool has_end = false;

    for (int i = PHASE_QUEUED; i < PHASE_SLOTS; i++) {
        enum phase phase = (enum phase)i;

        if (root_counts[i] == 0)
            continue;
        if (phase_is_terminal(phase))
            has_end = true;
        else if (phase_rank(phase) > phase_rank(open)) /* RUNNING comes before PAUSED */
            open = phase;
    }
    if (open != PHASE_NONE)
        return has_end && phase_rank(open) < phase_rank(PHASE_RUNNING) ? PHASE_RUNNING : open;
    for (size_t i = 0; i < sizeof worst_first / sizeof *worst_first; i++)
        if (root_counts[worst_first[i]] > 0)
            return worst_first[i];
    return PHASE_NONE;
}

int64_t run_ended_us(const struct run *run)
{
    return phase_is_terminal(run->phase) ? run->ended_us : TIME_NONE;
}

bool run_has_open_ends(const struct run *run)
{
    int32_t open = 0;

    for (int phase = PHASE_QUEUED; phase < PHASE_SLOTS; phase++)
        open += phase_is_terminal((enum phase)phase) ? 0 : run->phase_counts[phase];
    return phase_is_terminal(run->phase) && open > 0;
}
