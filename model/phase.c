#include "model/phase.h"

#include <string.h>

static const char *const names[PHASE_SLOTS] = {
    [PHASE_QUEUED] = "QUEUED",
    [PHASE_WAITING_FOR_RESOURCES] = "WAITING_FOR_RESOURCES",
    [PHASE_INITIALIZING] = "INITIALIZING",
    [PHASE_RUNNING] = "RUNNING",
    [PHASE_SUCCEEDED] = "SUCCEEDED",
    [PHASE_FAILED] = "FAILED",
    [PHASE_ABORTED] = "ABORTED",
    [PHASE_TIMED_OUT] = "TIMED_OUT",
    [PHASE_PAUSED] = "PAUSED",
    [PHASE_RECOVERED] = "RECOVERED",
    [PHASE_SKIPPED] = "SKIPPED",
};

enum { RANK_TERMINAL = 5, WIRE_NUMBER_SKIPPED = 64 };

static const uint8_t ranks[PHASE_SLOTS] = {
    [PHASE_QUEUED] = 1,
    [PHASE_WAITING_FOR_RESOURCES] = 2,
    [PHASE_INITIALIZING] = 3,
    [PHASE_RUNNING] = 4,
    [PHASE_SUCCEEDED] = RANK_TERMINAL,
    [PHASE_FAILED] = RANK_TERMINAL,
    [PHASE_ABORTED] = RANK_TERMINAL,
    [PHASE_TIMED_OUT] = RANK_TERMINAL,
    [PHASE_PAUSED] = 4,
    [PHASE_RECOVERED] = RANK_TERMINAL,
    [PHASE_SKIPPED] = RANK_TERMINAL,
};

const char *phase_name(enum phase phase)
{
    return phase_from_index((int64_t)phase) == PHASE_NONE ? NULL : names[phase];
}

static enum phase parse_number(const char *text, size_t length)
{
    if (length < 1 || length > 2 || text[0] == '0')
        return PHASE_NONE;
    int64_t number = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return PHASE_NONE;
        number = number * 10 + (text[i] - '0');
    }
    return phase_from_number(number);
}

enum phase phase_parse(const char *text, size_t length)
{
    static const char prefix[] = "ACTION_PHASE_";
    const size_t prefix_length = sizeof prefix - 1;
    enum phase number = parse_number(text, length);
    if (number != PHASE_NONE)
        return number;
    if (length > prefix_length && memcmp(text, prefix, prefix_length) == 0) {
        text += prefix_length;
        length -= prefix_length;
    }
    for (int phase = PHASE_QUEUED; phase < PHASE_SLOTS; phase++)
        if (strlen(names[phase]) == length && memcmp(names[phase], text, length) == 0)
            return (enum phase)phase;
    return PHASE_NONE;
}

enum phase phase_from_number(int64_t number)
{
    if (number == WIRE_NUMBER_SKIPPED)
        return PHASE_SKIPPED;
    return number == PHASE_SKIPPED ? PHASE_NONE : phase_from_index(number);
}

enum phase phase_from_index(int64_t index)
{
    return index > PHASE_NONE && index < PHASE_SLOTS ? (enum phase)index : PHASE_NONE;
}

int phase_rank(enum phase phase)
{
    return phase_from_index((int64_t)phase) == PHASE_NONE ? 0 : ranks[phase];
}

bool phase_is_terminal(enum phase phase)
{
    return phase_rank(phase) == RANK_TERMINAL;
}

struct event_order event_order_of(int32_t attempt, enum phase phase, int32_t version)
{
    /* 4 bits hold the phase's number, 31 the version, the rank stands above. */
    int64_t position =
        ((int64_t)ranks[phase] << 35) + (int64_t)version * POSITIONS_PER_VERSION + (int64_t)phase;
    return (struct event_order){.attempt = attempt, .position = position};
}

int32_t event_version_before(enum phase phase, int64_t position)
{
    int64_t first = event_order_of(0, phase, LEAST_VERSION).position;
    int64_t versions = position <= first ? 0 : (position - 1 - first) / POSITIONS_PER_VERSION + 1;
    int64_t version = LEAST_VERSION - 1 + versions;

    return version > INT32_MAX ? INT32_MAX : (int32_t)version;
}

int event_order_compare(struct event_order a, struct event_order b)
{
    if (a.attempt != b.attempt)
        return a.attempt < b.attempt ? -1 : 1;
    return (a.position > b.position) - (a.position < b.position);
}
