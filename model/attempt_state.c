#include "model/attempt_state.h"

bool phase_said_is_further(const struct phase_said *a, const struct phase_said *b)
{
    if (phase_rank(a->phase) != phase_rank(b->phase))
        return phase_rank(a->phase) > phase_rank(b->phase);
    if (a->version != b->version)
        return a->version > b->version;
    if (!phase_is_terminal(a->phase))
        return a->phase > b->phase;
    if (a->updated_us != b->updated_us)
        return a->updated_us < b->updated_us;
    return a->phase < b->phase;
}

/* Of two waits. */
static bool is_later(const struct phase_said *a, const struct phase_said *b)
{
    if (b->phase == PHASE_NONE)
        return true;
    if (a->updated_us != b->updated_us)
        return a->updated_us > b->updated_us;
    if (a->version != b->version)
        return a->version > b->version;
    return a->phase > b->phase;
}

bool attempt_state_take(struct attempt_state *state, const struct phase_said *said)
{
    bool is_furthest = phase_said_is_further(said, &state->furthest);
    bool is_waited = said->version > 0 && phase_rank(said->phase) < phase_rank(PHASE_RUNNING) &&
                     is_later(said, &state->waited);

    if (is_furthest)
        state->furthest = *said;
    if (is_waited)
        state->waited = *said;
    return is_furthest || is_waited;
}

const struct phase_said *attempt_state_shown(const struct attempt_state *state)
{
    const struct phase_said *furthest = &state->furthest, *waited = &state->waited;

    return waited->phase != PHASE_NONE &&
                   phase_rank(furthest->phase) == phase_rank(PHASE_RUNNING) &&
                   waited->version > furthest->version && waited->updated_us > furthest->updated_us
               ? waited
               : furthest;
}
