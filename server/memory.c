#include "server/memory.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct memory {
    uint64_t max_bytes;
    _Atomic uint64_t held[MEMORY_KINDS];
    _Atomic uint64_t total;
    _Atomic uint64_t refusals;
};

/* The least memory.max from this process's cgroup (version 2) up to the root; UINT64_MAX: none.
 * libuv reads it from 1.45 on only. */
static uint64_t cgroup_max_bytes(void)
{
    char line[512], path[600], *group = NULL;
    uint64_t least = UINT64_MAX, bytes;
    FILE *file = fopen("/proc/self/cgroup", "re");

    if (file == NULL)
        return least;
    while (group == NULL && fgets(line, sizeof line, file) != NULL)
        group = strncmp(line, "0::/", 4) == 0 ? line + 3 : NULL;
    fclose(file);
    for (char *end = group == NULL ? NULL : group + strcspn(group, "\n"); end != NULL;) {
        snprintf(path, sizeof path, "/sys/fs/cgroup%.*s/memory.max", (int)(end - group), group);
        file = fopen(path, "re");
        if (file != NULL && fscanf(file, "%" SCNu64, &bytes) == 1 && bytes < least)
            least = bytes;
        if (file != NULL)
            fclose(file);
        end = end == group ? NULL : memrchr(group, '/', (size_t)(end - group));
    }
    return least;
}

uint64_t memory_available_bytes(void)
{
    const uint64_t limits[] = {uv_get_constrained_memory(), cgroup_max_bytes()};
    uint64_t bytes = uv_get_total_memory();

    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (limits[i] > 0 && limits[i] < bytes)
            bytes = limits[i];
    return bytes / 4 * 3;
}

struct memory *memory_new(uint64_t max_bytes)
{
    struct memory *memory = calloc(1, sizeof *memory);

    if (memory != NULL)
        memory->max_bytes = max_bytes == 0 ? memory_available_bytes() : max_bytes;
    return memory;
}

void memory_free(struct memory *memory)
{
    free(memory);
}

void memory_hold(struct memory *memory, enum memory_kind kind, size_t *held, size_t now_bytes)
{
    /* Wraps around where there is less than before, and so does the sum. */
    memory->held[kind] += now_bytes - *held;
    memory->total += now_bytes - *held;
    *held = now_bytes;
}

bool memory_fits(const struct memory *memory, size_t more_bytes)
{
    return memory->total + more_bytes <= memory->max_bytes;
}

bool memory_has_room(struct memory *memory, size_t more_bytes)
{
    if (memory_fits(memory, more_bytes))
        return true;
    memory->refusals++;
    return false;
}

uint64_t memory_held_bytes(const struct memory *memory, enum memory_kind kind)
{
    return memory->held[kind];
}

uint64_t memory_max_bytes(const struct memory *memory)
{
    return memory->max_bytes;
}

uint64_t memory_refusals(const struct memory *memory)
{
    return memory->refusals;
}

const char *memory_kind_name(enum memory_kind kind)
{
    static const char *const names[MEMORY_KINDS] = {
        [MEMORY_BODIES] = "bodies", [MEMORY_WRITES] = "writes",   [MEMORY_READS] = "reads",
        [MEMORY_TREES] = "trees",   [MEMORY_ANSWERS] = "answers", [MEMORY_VIEWS] = "views",
        [MEMORY_FRAMES] = "frames", [MEMORY_RUNS] = "runs"};

    return names[kind];
}
