/* run_state_manager and run_view with operations from bytes, against the oracle of the property
 * test: its database, replicas, clients and checks, with libFuzzer's bytes for dice. */
#include "byte_random.h"
#include "fuzz.h"

int property_test_main(void);
#define main property_test_main
#include "test_run_view_property.c"
#undef main

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world *world = calloc(1, sizeof *world);

    setenv("CMOCKA_TEST_ABORT", "1", 0); /* a failed check of the property test is a crash */
    world->random = random_from_bytes(data, size);
    MUST(filter_add_phases(&world->filters[1], "RUNNING,FAILED") == 0);
    MUST(filter_set_name(&world->filters[2], "TRAIN") == 0);
    MUST(filter_add_phases(&world->filters[3], "SUCCEEDED") == 0);
    MUST(filter_set_name(&world->filters[3], "clean") == 0);
    for (size_t i = 0; i < REPLICAS; i++)
        restart_replica(world, &world->replicas[i]);
    for (size_t i = 0; i < CLIENTS; i++)
        world->clients[i].filter = i % FILTERS;
    for (size_t i = 0; i < STEPS && random_bytes_left(&world->random) > 0; i++)
        step(world);
    for (size_t i = 0; i < CLIENTS; i++)
        forget_all(&world->clients[i]);
    for (size_t i = 0; i < REPLICAS; i++)
        close_replica(world, &world->replicas[i]);
    free(world);
    return 0;
}
