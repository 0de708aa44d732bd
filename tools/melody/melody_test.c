/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "melody.h"

constexpr size_t RECORDED = MELODY_FRAMES * 3 / 2;

struct fixture {
    float tune[MELODY_FRAMES * MELODY_CHANNELS];
    float recorded[RECORDED * MELODY_CHANNELS]; /* from frame `FIRST` of the tune on, at half its volume */
    struct melody_report report;
};
constexpr size_t FIRST = 100'001;

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    melody_make(f->tune);
    for (size_t i = 0; i < RECORDED * MELODY_CHANNELS; i++)
        f->recorded[i] = f->tune[(FIRST * MELODY_CHANNELS + i) % (MELODY_FRAMES * MELODY_CHANNELS)] / 2;
    *state = f;
    return 0;
}

static int teardown(void **state) {
    free(*state);
    return 0;
}

static void silence(struct fixture *f, size_t at, size_t n) {
    memset(f->recorded + at * MELODY_CHANNELS, 0, n * MELODY_CHANNELS * sizeof *f->recorded);
}

static void the_tune_is_never_silent_and_never_too_loud(void **state) {
    struct fixture *f = *state;
    float peak = 0;
    size_t quiet = 0, longest = 0;
    for (size_t i = 0; i < MELODY_FRAMES; i++) {
        float frame = fmaxf(fabsf(f->tune[2 * i]), fabsf(f->tune[2 * i + 1]));
        peak = fmaxf(peak, frame);
        quiet = frame < 8.0f / 32768 ? quiet + 1 : 0;
        longest = quiet > longest ? quiet : longest;
    }
    assert_true(peak > 0.3f && peak < 0.9f);
    assert_in_range(longest, 0, 24); /* half of what counts as a hole */
}

static void the_whole_tune_is_found_to_the_frame(void **state) {
    struct fixture *f = *state;
    melody_check(f->tune, f->recorded, RECORDED, &f->report);
    assert_int_equal(f->report.n_good, f->report.n_windows);
    assert_in_range(f->report.n_windows, RECORDED / MELODY_WINDOW - 1, RECORDED / MELODY_WINDOW);
    assert_int_equal(f->report.melody_frame, (f->report.recorded_frame + FIRST) % MELODY_FRAMES);
    assert_true(f->report.likeness_min > 0.9999);
    assert_int_equal(f->report.n_holes + f->report.n_jumps, 0);
}

static void silence_at_the_ends_is_no_hole(void **state) {
    struct fixture *f = *state;
    silence(f, 0, 5000);
    silence(f, RECORDED - 7000, 7000);
    melody_check(f->tune, f->recorded, RECORDED, &f->report);
    assert_in_range(f->report.first_frame, 5000, 5010);
    assert_int_equal(f->report.n_good, f->report.n_windows);
    assert_int_equal(f->report.n_holes, 0);
}

static void a_hole_is_found_and_measured(void **state) {
    struct fixture *f = *state;
    silence(f, 200'000, 480);
    silence(f, 300'000, 96);
    silence(f, 400'000, 20); /* too short to be one */
    melody_check(f->tune, f->recorded, RECORDED, &f->report);
    assert_int_equal(f->report.n_holes, 2);
    assert_in_range(f->report.hole_frames, 576, 600);
    assert_in_range(f->report.longest_hole, 480, 490);
    assert_in_range(f->report.longest_at, 199'990, 200'000);
}

static void a_tune_that_goes_on_elsewhere_has_jumped(void **state) {
    struct fixture *f = *state;
    size_t cut = MELODY_RATE_HZ * 5, gone = MELODY_RATE_HZ / 3;
    memmove(f->recorded + cut * MELODY_CHANNELS, f->recorded + (cut + gone) * MELODY_CHANNELS,
            (RECORDED - cut - gone) * MELODY_CHANNELS * sizeof *f->recorded);
    melody_check(f->tune, f->recorded, RECORDED - gone, &f->report);
    assert_int_equal(f->report.n_jumps, 1);
    assert_int_equal(f->report.n_holes, 0);
    assert_true(f->report.n_good < f->report.n_windows && f->report.n_good > f->report.n_windows * 8 / 10);
}

/* 200 millionths faster, read between the frames: more than two clocks differ. */
static void drift_is_followed(void **state) {
    struct fixture *f = *state;
    size_t n = RECORDED - 120;
    for (size_t i = 0; i < n; i++) {
        double at = (double)i * 1.0002;
        size_t whole = (size_t)at;
        float part = (float)(at - (double)whole);
        for (size_t c = 0; c < 2; c++) /* reads ahead of what it writes */
            f->recorded[2 * i + c] = (1 - part) * f->recorded[2 * whole + c] + part * f->recorded[2 * whole + 2 + c];
    }
    melody_check(f->tune, f->recorded, n, &f->report);
    assert_true(f->report.n_good > f->report.n_windows * 9 / 10);
    assert_int_equal(f->report.n_jumps, 0);
}

static void other_sound_is_not_the_tune(void **state) {
    struct fixture *f = *state;
    for (size_t i = 0; i < RECORDED; i++)
        f->recorded[2 * i] = f->recorded[2 * i + 1] = (float)(0.3 * sin((double)i * 0.0575));
    melody_check(f->tune, f->recorded, RECORDED, &f->report);
    assert_int_equal(f->report.n_good, 0);
    silence(f, 0, RECORDED);
    melody_check(f->tune, f->recorded, RECORDED, &f->report);
    assert_int_equal(f->report.n_windows + f->report.n_good + f->report.sound_frames, 0);
    melody_check(f->tune, f->recorded, 0, &f->report);
    assert_int_equal(f->report.sound_frames, 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_tune_is_never_silent_and_never_too_loud),
        TEST(the_whole_tune_is_found_to_the_frame),
        TEST(silence_at_the_ends_is_no_hole),
        TEST(a_hole_is_found_and_measured),
        TEST(a_tune_that_goes_on_elsewhere_has_jumped),
        TEST(drift_is_followed),
        TEST(other_sound_is_not_the_tune),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
