/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "media/gain.h"
#include "media/meter.h"
#include "media/mixer.h"

/* The small pieces that work on frames: gain, meter, mixer. */

/* ---- gain ---- */

static void gain_of_one_changes_no_bit(void **) {
    struct gain gain;
    gain_init(&gain, 0, false, 48000);
    assert_true(gain_is_unity(&gain));
    float frames[4] = {0.1f, -0.2f, 1e-20f, 1};
    float before[4];
    memcpy(before, frames, sizeof frames);
    gain_run(&gain, frames, 2, 2);
    assert_memory_equal(frames, before, sizeof frames);
}

static void gain_follows_without_a_jump(void **) {
    struct gain gain;
    gain_init(&gain, 0, false, 20'000); /* ramps of 100 frames */
    gain_set(&gain, 0, true);
    assert_false(gain_is_unity(&gain));
    float frames[200];
    for (size_t i = 0; i < 200; i++)
        frames[i] = 1;
    gain_run(&gain, frames, 100, 2);
    float last = 1;
    for (size_t i = 0; i < 100; i++) {
        assert_true(frames[2 * i] == frames[2 * i + 1]);
        assert_true(last - frames[2 * i] < 0.0101f && frames[2 * i] < last);
        last = frames[2 * i];
    }
    assert_true(fabsf(last) < 1e-5f);
    frames[0] = 1;
    gain_run(&gain, frames, 1, 1);
    assert_true(frames[0] == 0);
}

static void gain_waits_for_frames(void **) {
    struct gain gain;
    gain_init(&gain, -6, false, 48000);
    gain_set(&gain, 0, false);
    gain_run(&gain, nullptr, 0, 2);
    assert_true(gain.now < 0.51f);
}

static void fade_out_ends_in_silence(void **) {
    struct gain gain;
    gain_init(&gain, 0, false, 2000);
    float frames[10] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    gain_fade_out(&gain, frames, 10, 1);
    assert_true(frames[0] < 1 && frames[0] > 0.8f && frames[9] == 0);
    assert_true(gain_is_out(&gain));
}

/* A device asks for one frame now and for many then: the ramp is the same. */
static void ramp_does_not_depend_on_the_pieces(void **) {
    float whole[500], pieces[500];
    for (size_t i = 0; i < 500; i++)
        whole[i] = pieces[i] = 1;
    struct gain gain;
    gain_init(&gain, 0, false, 48000);
    gain_set(&gain, -12, false);
    gain_run(&gain, whole, 500, 1);
    gain_init(&gain, 0, false, 48000);
    gain_set(&gain, -12, false);
    for (size_t at = 0, n = 1; at < 500; at += n, n = n % 7 + 1)
        gain_run(&gain, pieces + at, n < 500 - at ? n : 500 - at, 1);
    assert_memory_equal(whole, pieces, sizeof whole);
    assert_true(whole[499] == gain.now && fabsf(gain.now - 0.2512f) < 1e-4f);
}

static void what_begins_in_the_middle_is_faded_in(void **) {
    float frames[200];
    for (size_t i = 0; i < 200; i++)
        frames[i] = 1;
    struct gain gain;
    gain_init(&gain, 0, false, 20'000);
    gain_begin_silent(&gain);
    assert_false(gain_is_unity(&gain));
    gain_run(&gain, frames, 200, 1);
    assert_true(frames[0] > 0 && frames[0] < 0.011f && frames[99] == 1 && frames[199] == 1);
    assert_true(gain_is_unity(&gain));
}

/* Muted in a pause, a stream must not be heard for the length of a ramp when the pause is over. */
static void silence_needs_no_ramp(void **) {
    struct gain gain;
    gain_init(&gain, 0, false, 48000);
    gain_set(&gain, 0, true);
    gain_settle(&gain);
    float frame = 1;
    gain_run(&gain, &frame, 1, 1);
    assert_true(frame == 0);
}

/* ---- meter ---- */

static void meter_holds_the_peak_until_it_is_read(void **) {
    struct meter meter = {};
    float peaks[3], dbfs[3];
    const float frames[] = {0.5f, 0, -1, -0.25f, 0, 0.1f};
    meter_peaks(peaks, frames, 2, 3);
    meter_add(&meter, peaks, 3);
    const float quieter[] = {0.1f, 0, 0.1f};
    meter_add(&meter, quieter, 3);
    meter_read(&meter, dbfs, 3);
    assert_true(fabsf(dbfs[0] + 6.02f) < 0.01f);
    assert_true(dbfs[1] == METER_FLOOR_DBFS);
    assert_true(dbfs[2] == 0);
    meter_read(&meter, dbfs, 3);
    assert_true(dbfs[0] == METER_FLOOR_DBFS && dbfs[2] == METER_FLOOR_DBFS);
}

static void meter_finds_the_peak_wherever_it_is(void **) {
    static float frames[8 * 37];
    for (size_t n_channels = 1; n_channels <= 8; n_channels++)
        for (size_t at = 0; at < 37 * n_channels; at++) {
            float peaks[8];
            frames[at] = at % 2 ? 0.5f : -0.5f;
            meter_peaks(peaks, frames, 37, n_channels);
            for (size_t c = 0; c < n_channels; c++)
                assert_true(peaks[c] == (c == at % n_channels ? 0.5f : 0));
            frames[at] = 0;
        }
}

/* ---- mixer ---- */

static void add(struct mixer *mixer, const float *frames) {
    float peaks[2];
    meter_peaks(peaks, frames, mixer->n, mixer->n_channels);
    mixer_add(mixer, frames, peaks);
}

static void one_input_passes_bit_by_bit(void **) {
    float peaks[2];
    struct mixer mixer;
    assert_true(mixer_init(&mixer, 4, 2));
    const float in[] = {0.1f, 1, -1, 0.95f, -0.0f, 1e-30f, 0.999f, 0.3f};
    mixer_begin(&mixer, 4);
    add(&mixer, in);
    assert_memory_equal(mixer_end(&mixer, peaks), in, sizeof in);
    assert_true(peaks[0] == 1 && peaks[1] == 1);
    mixer_finish(&mixer);
}

static void no_input_is_silence(void **) {
    float peaks[2];
    struct mixer mixer;
    assert_true(mixer_init(&mixer, 4, 1));
    const float in[] = {1, 1, 1, 1}, zeros[4] = {};
    mixer_begin(&mixer, 4);
    add(&mixer, in);
    add(&mixer, in);
    (void)mixer_end(&mixer, peaks);
    mixer_begin(&mixer, 4);
    assert_memory_equal(mixer_end(&mixer, peaks), zeros, sizeof zeros);
    mixer_finish(&mixer);
}

static void inputs_are_summed(void **) {
    float peaks[2];
    struct mixer mixer;
    assert_true(mixer_init(&mixer, 2, 1));
    const float a[] = {0.25f, -0.5f}, b[] = {0.25f, 0.125f}, c[] = {0.125f, 0};
    mixer_begin(&mixer, 2);
    add(&mixer, a);
    add(&mixer, b);
    add(&mixer, c);
    const float *sum = mixer_end(&mixer, peaks);
    assert_true(sum[0] == 0.625f && sum[1] == -0.375f && peaks[0] == 0.625f);
    mixer_finish(&mixer);
}

static void what_clips_is_bent_and_stays_in_order(void **) {
    float peaks[2];
    struct mixer mixer;
    assert_true(mixer_init(&mixer, 100, 1));
    float ramp[100];
    for (size_t i = 0; i < 100; i++)
        ramp[i] = (float)i * 0.02f; /* up to 1.98 */
    mixer_begin(&mixer, 100);
    add(&mixer, ramp);
    const float *bent = mixer_end(&mixer, peaks);
    assert_true(bent[40] == ramp[40]);
    assert_true(peaks[0] == bent[99]);
    for (size_t i = 1; i < 100; i++)
        assert_true(bent[i] >= bent[i - 1] && bent[i] <= 1);
    assert_true(bent[55] < 1 && bent[55] > 0.95f);
    mixer_finish(&mixer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gain_of_one_changes_no_bit),
        cmocka_unit_test(gain_follows_without_a_jump),
        cmocka_unit_test(gain_waits_for_frames),
        cmocka_unit_test(ramp_does_not_depend_on_the_pieces),
        cmocka_unit_test(what_begins_in_the_middle_is_faded_in),
        cmocka_unit_test(silence_needs_no_ramp),
        cmocka_unit_test(fade_out_ends_in_silence),
        cmocka_unit_test(meter_holds_the_peak_until_it_is_read),
        cmocka_unit_test(meter_finds_the_peak_wherever_it_is),
        cmocka_unit_test(one_input_passes_bit_by_bit),
        cmocka_unit_test(no_input_is_silence),
        cmocka_unit_test(inputs_are_summed),
        cmocka_unit_test(what_clips_is_bent_and_stays_in_order),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
