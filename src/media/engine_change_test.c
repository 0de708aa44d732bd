/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "support/adapt_rig.h"

/*
 * A change of the latency from near: what is heard of it, and what may happen in its middle.
 */

constexpr uint32_t RATE_HZ = ADAPT_RIG_RATE_HZ;

/* ---- what is heard of a change ---- */

static void a_change_does_not_click(void **state) {
    struct adapt_rig *rig = *state;
    adapt_rig_start(rig, true, 0);
    adapt_rig_run(rig, 5);
    float usual = rig->ear.worst_step;
    assert_true((double)usual < 1.1 * 2 * M_PI * ADAPT_RIG_TONE_HZ / RATE_HZ * ADAPT_RIG_TONE_PEAK);
    rig->lossy->jitter_ns = 90 * NS_PER_MS; /* not so much that anything is lost: only the change is heard */
    for (int i = 0; i < 20 && rig->n_changes == 0; i++) {
        rig->lossy->jitter_ns += 4 * NS_PER_MS;
        adapt_rig_run(rig, 2);
    }
    assert_true(rig->n_raises >= 1);
    assert_int_equal(rig->ear.lost, 0);
    rig->lossy->jitter_ns = 0;
    adapt_rig_run_to_change(rig, 200);
    assert_int_equal(rig->cause, ADAPT_CALM);
    assert_int_equal(rig->ear.lost, 0);
    /* two tones out of phase are louder while they are faded, but no steeper than that */
    assert_true((double)rig->ear.worst_step < 2 * (double)usual);
}

/* ---- what happens meanwhile ---- */

static void a_new_sender_in_the_middle_of_a_change(void **state) {
    struct adapt_rig *rig = *state;
    for (int64_t wait_ms = 0; wait_ms < 700; wait_ms += 70) {
        adapt_rig_start(rig, false, 0);
        adapt_rig_run(rig, 2);
        rig->lossy->jitter_ns = 200 * NS_PER_MS;
        adapt_rig_run(rig, 0.5 + (double)wait_ms / 1000);
        rig->lossy->jitter_ns = 0;
        adapt_rig_restart_sender(rig, 0.5);
        int64_t before = rig->ear.n_frames;
        double back_s = (double)rig->target_ns / NS_PER_S + 0.1;
        adapt_rig_run(rig, back_s);
        assert_true(rig->ear.last_sound > before);
        uint64_t lost = rig->ear.lost;
        adapt_rig_run(rig, 5);
        assert_int_equal(rig->ear.lost, lost);
    }
}

static void a_link_can_go_in_the_middle_of_a_change(void **state) {
    struct adapt_rig *rig = *state;
    for (int64_t wait_ms = 0; wait_ms < 1000; wait_ms += 25) {
        adapt_rig_start(rig, false, 0);
        adapt_rig_run(rig, 1);
        rig->lossy->jitter_ns = 200 * NS_PER_MS;
        adapt_rig_run(rig, (double)wait_ms / 1000);
        if (wait_ms % 50)
            engine_remove_link(rig->engine, rig->receive, nullptr, nullptr);
        if (wait_ms % 75)
            adapt_rig_run(rig, 0.05);
        adapt_rig_end(rig);
    }
}

/* The removed link fades, whatever its two decoders are doing just then, and is gone in time. */
static void a_link_that_leaves_in_the_middle_of_a_change_fades(void **state) {
    struct adapt_rig *rig = *state;
    adapt_rig_start(rig, true, 0);
    adapt_rig_run(rig, 1);
    float usual = rig->ear.worst_step;
    int n_with_change = 0, n_without = 0;
    for (int64_t wait_ms = 300; wait_ms < 1200; wait_ms += 20) {
        adapt_rig_start(rig, true, 0);
        adapt_rig_run(rig, 1);
        rig->lossy->jitter_ns = 94 * NS_PER_MS; /* more is called for, and nothing is lost yet */
        adapt_rig_run(rig, (double)wait_ms / 1000);
        *(rig->n_changes ? &n_with_change : &n_without) += 1;
        uint64_t lost = rig->ear.lost;
        adapt_rig_remove_receiver(rig);
        adapt_rig_run(rig, 0.03);
        assert_int_equal(rig->n_removed, 1);
        assert_in_range(rig->ear.n_frames - rig->ear.last_sound, RATE_HZ / 100, RATE_HZ / 10);
        assert_int_equal(lost, 0);
        assert_true((double)rig->ear.worst_step < 2 * (double)usual);
    }
    assert_true(n_with_change > 5 && n_without > 5);
}

/* ---- cards ---- */

/* More is called for, and nothing is lost yet: a quantum of the target is not there for lateness. */
static void make_uneven(struct adapt_rig *rig) {
    rig->lossy->jitter_ns = 94 * NS_PER_MS - (int64_t)rig->quantum * NS_PER_S / RATE_HZ;
}

static void a_change_on_a_card_leaves_no_hole(void **state) {
    struct adapt_rig *rig = *state;
    static const size_t QUANTA[] = {256, 1024, 2048};
    for (size_t i = 0; i < sizeof QUANTA / sizeof *QUANTA; i++) {
        rig->quantum = QUANTA[i];
        adapt_rig_start(rig, false, 0);
        adapt_rig_run(rig, 5);
        rig->card.step_max = 0;
        make_uneven(rig);
        adapt_rig_run_to_change(rig, 10);
        assert_int_equal(rig->n_raises, 1);
        rig->lossy->jitter_ns = 0;
        adapt_rig_run_to_change(rig, 200);
        assert_int_equal(rig->cause, ADAPT_CALM);
        adapt_rig_run(rig, 1);
        assert_int_equal(rig->card.n_zeros, 0);
        assert_int_equal(rig->card.n_xruns, 0);
        assert_true((double)rig->card.step_max < 0.01); /* as loud as before, all the time */
    }
}

static void a_change_on_a_card_does_not_click(void **state) {
    struct adapt_rig *rig = *state;
    rig->quantum = 1024;
    adapt_rig_start(rig, true, 0);
    adapt_rig_run(rig, 5);
    float usual = rig->card.step_max;
    make_uneven(rig);
    adapt_rig_run_to_change(rig, 10);
    adapt_rig_run(rig, 1);
    assert_int_equal(rig->card.n_xruns, 0);
    assert_true((double)rig->card.step_max < 2 * (double)usual);
}

/* Every quantum would end in silence where the target is less than one. */
static void a_card_gets_room_for_its_quantum(void **state) {
    struct adapt_rig *rig = *state;
    rig->quantum = 8192;
    adapt_rig_start(rig, false, 0);
    adapt_rig_run_to_change(rig, 3);
    assert_int_equal(rig->cause, ADAPT_DEVICE);
    assert_true(rig->target_ns >= 8192 * NS_PER_S / RATE_HZ);
    adapt_rig_run(rig, 1);
    rig->card.n_zeros = 0;
    adapt_rig_run(rig, 200);
    assert_int_equal(rig->card.n_zeros, 0);
    assert_int_equal(rig->card.n_xruns, 0);
    assert_int_equal(rig->n_changes, 1);
}

static void a_link_leaves_a_card_in_the_middle_of_a_change(void **state) {
    struct adapt_rig *rig = *state;
    rig->quantum = 1024;
    int n_with_change = 0, n_without = 0;
    for (int64_t wait_ms = 300; wait_ms < 1200; wait_ms += 30) {
        adapt_rig_start(rig, true, 0);
        adapt_rig_run(rig, 1);
        float usual = rig->card.step_max;
        make_uneven(rig);
        adapt_rig_run(rig, (double)wait_ms / 1000);
        *(rig->n_changes ? &n_with_change : &n_without) += 1;
        if (wait_ms % 60)
            fake_device_stop(&rig->card);
        adapt_rig_remove_receiver(rig);
        adapt_rig_run(rig, 0.06);
        assert_int_equal(rig->n_removed, 1);
        if (!rig->card.stands_still)
            assert_true((double)rig->card.step_max < 2 * (double)usual);
    }
    assert_true(n_with_change > 5 && n_without > 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, adapt_rig_set_up, adapt_rig_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_change_does_not_click),
        TEST(a_new_sender_in_the_middle_of_a_change),
        TEST(a_link_can_go_in_the_middle_of_a_change),
        TEST(a_link_that_leaves_in_the_middle_of_a_change_fades),
        TEST(a_change_on_a_card_leaves_no_hole),
        TEST(a_change_on_a_card_does_not_click),
        TEST(a_card_gets_room_for_its_quantum),
        TEST(a_link_leaves_a_card_in_the_middle_of_a_change),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
