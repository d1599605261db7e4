/* Verdicts and rows for batches from bytes, against the oracle of the property test: its plan of a
 * run, its store and its checks, with libFuzzer's bytes for dice. */
#include "byte_random.h"
#include "fuzz.h"

int property_test_main(void);
#define main property_test_main
#include "test_decide_property.c"
#undef main

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct random random = random_from_bytes(data, size);
    struct plan *plan = malloc(sizeof *plan);
    struct memory_store store = {0};

    setenv("CMOCKA_TEST_ABORT", "1", 0); /* a failed check of the property test is a crash */
    make_plan(plan, &random);
    if (plan->event_count > 0) {
        post_all(plan, &store, &random);
        assert_int_equal(store.event_count, plan->event_count);
        check_run(plan, &store);
        check_revisions(&store);
    }
    memory_store_clear(&store);
    clear_plan(plan);
    free(plan);
    return 0;
}
