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
#include "support/heap.h"

/*
 * Auto on networks that change: what is lost, and how often the latency is changed for it.
 */

constexpr uint32_t RATE_HZ = ADAPT_RIG_RATE_HZ;

static void a_good_network_changes_nothing(void **state) {
    struct adapt_rig *rig = *state;
    adapt_rig_start(rig, false, 0);
    adapt_rig_run(rig, 120);
    assert_int_equal(rig->n_changes, 0);
    assert_int_equal(adapt_rig_target_ms(rig), 100);
    assert_int_equal(rig->ear.lost, 0);
    rig->settings.fec = FEC_CODE_NONE;
    adapt_rig_choose(rig, 10, 0, 0);
    adapt_rig_start(rig, false, 0);
    adapt_rig_run(rig, 30);
    assert_int_equal(rig->ear.lost, 0);
    assert_in_range(rig->ear.first_frame, 0, 25 * RATE_HZ / 1000);
}

/* Samples lost from two seconds after each step on: in the first moments nothing can help. */
static uint64_t jitter_steps(struct adapt_rig *rig) {
    static const int STEPS_MS[] = {0, 150, 40, 260, 0};
    uint64_t lost_later = 0;
    adapt_rig_start(rig, false, 0.01);
    for (size_t i = 0; i < sizeof STEPS_MS / sizeof *STEPS_MS; i++) {
        rig->lossy->jitter_ns = STEPS_MS[i] * NS_PER_MS;
        adapt_rig_run(rig, 2);
        uint64_t lost = rig->ear.lost;
        adapt_rig_run(rig, i == 4 && rig->latency.adapts ? 280 : 30);
        lost_later += rig->ear.lost - lost;
    }
    return lost_later;
}

static void jitter_is_followed_up_and_down(void **state) {
    struct adapt_rig *rig = *state;
    adapt_rig_choose(rig, 100, 0, 0);
    uint64_t lost_fixed = jitter_steps(rig), all_lost_fixed = rig->ear.lost;
    assert_int_equal(rig->n_changes, 0);
    adapt_rig_choose(rig, 0, 0, 0);
    uint64_t lost = jitter_steps(rig);
    assert_true(lost_fixed > 0);
    assert_int_equal(lost, 0);
    assert_true(rig->ear.lost < all_lost_fixed);
    assert_in_range(rig->n_raises, 2, 4);
    assert_in_range(rig->n_changes, 3, 6);
    assert_true(rig->most_ns >= 200 * NS_PER_MS);
    assert_true(adapt_rig_target_ms(rig) * NS_PER_MS < rig->most_ns);
}

static void losses_alone_need_room_for_a_block(void **state) {
    struct adapt_rig *rig = *state;
    static const double LOSSES[] = {0.05, 0.10};
    for (size_t i = 0; i < 2; i++) {
        adapt_rig_choose(rig, 0, 20, 200);
        adapt_rig_start(rig, false, LOSSES[i]);
        adapt_rig_run(rig, 250);
        assert_true(rig->least_ns < 100 * NS_PER_MS);
        assert_in_range(rig->n_changes, 1, 10);
        struct engine_link_status status;
        assert_true(engine_link_status(rig->engine, rig->receive, &status));
        assert_true(status.repaired > 500);
        assert_true((double)rig->ear.lost < (i == 0 ? 0.0002 : 0.002) * (double)rig->ear.n_frames);
    }
}

static void a_blackout_is_no_reason_for_latency(void **state) {
    struct adapt_rig *rig = *state;
    adapt_rig_start(rig, false, 0);
    adapt_rig_run(rig, 10);
    rig->lossy->blackout = true;
    adapt_rig_run(rig, 3);
    rig->lossy->blackout = false;
    int64_t before = rig->ear.n_frames;
    adapt_rig_run(rig, 0.22);
    assert_in_range(rig->ear.last_sound, before, before + RATE_HZ);
    uint64_t lost = rig->ear.lost;
    adapt_rig_run(rig, 60);
    assert_int_equal(rig->ear.lost, lost);
    assert_int_equal(rig->n_changes, 0);
}

static void a_wireless_network_is_borne(void **state) {
    struct adapt_rig *rig = *state;
    struct wifi_trace wifi;
    rig->wifi = &wifi;
    uint64_t lost[2];
    for (int adapts = 0; adapts < 2; adapts++) {
        adapt_rig_choose(rig, adapts ? 0 : 100, 0, 0);
        wifi_trace_init(&wifi, 5);
        adapt_rig_start(rig, false, 0);
        adapt_rig_run(rig, 300);
        lost[adapts] = rig->ear.lost;
    }
    if (lost[1] * 2 > lost[0])
        fail_msg("%llu samples lost, and %llu without adapting", (unsigned long long)lost[1],
                 (unsigned long long)lost[0]);
    assert_in_range(rig->n_changes, 1, 12);
    rig->wifi = nullptr;
}

static void nothing_grows_in_an_hour_of_changes(void **state) {
    struct adapt_rig *rig = *state;
    rig->settings.fec = FEC_CODE_NONE;
    rig->settings.resampler_profile = RESAMPLER_PROFILE_LOW;
    adapt_rig_choose(rig, 0, 40, 400);
    adapt_rig_start(rig, false, 0);
    size_t settled = 0;
    for (int i = 0; i < 24; i++) {
        static const int JITTER_MS[] = {0, 120, 20, 250};
        rig->lossy->jitter_ns = JITTER_MS[i % 4] * NS_PER_MS;
        adapt_rig_run(rig, 150);
        if (i == 7)
            settled = heap_in_use();
    }
    assert_true(rig->n_changes >= 10);
    size_t now = heap_in_use();
    if (now > settled + 512 * 1024)
        fail_msg("%zu bytes more after an hour and %d changes", now - settled, rig->n_changes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, adapt_rig_set_up, adapt_rig_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_good_network_changes_nothing),     TEST(jitter_is_followed_up_and_down),
        TEST(losses_alone_need_room_for_a_block), TEST(a_blackout_is_no_reason_for_latency),
        TEST(a_wireless_network_is_borne),        TEST(nothing_grows_in_an_hour_of_changes),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
