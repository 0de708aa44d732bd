/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audio/miniaudio/callback_rt.h"

static float frames[2 * 70000];

static void ramp(float first, size_t n_frames) {
    for (size_t i = 0; i < 2 * n_frames; i++)
        frames[i] = first + (float)i;
}

static void an_output_plays_what_is_there_and_then_silence(void **) {
    struct callback_rt rt;
    assert_true(callback_rt_init(&rt, AUDIO_OUTPUT, (struct audio_format){48000, 2}));
    float out[2 * 480];
    callback_rt_move(&rt, out, nullptr, 480);
    assert_true(out[0] == 0.0f && out[959] == 0.0f);
    assert_int_equal(rt.n_xruns, 0); /* nothing was ever there: that is a device that starts */

    ramp(1, 500);
    assert_int_equal(ring_write(&rt.ring, frames, 500), 500);
    callback_rt_move(&rt, out, nullptr, 480);
    assert_true(out[0] == 1.0f && out[959] == 960.0f);
    assert_int_equal(rt.n_xruns, 0);
    callback_rt_move(&rt, out, nullptr, 480);
    assert_true(out[0] == 961.0f && out[39] == 1000.0f && out[40] == 0.0f && out[959] == 0.0f);
    callback_rt_move(&rt, out, nullptr, 480);
    assert_int_equal(rt.n_xruns, 1); /* one gap, however long */
    assert_int_equal(rt.n_callbacks, 4);
    assert_int_equal(rt.n_frames, 4 * 480);
    assert_int_equal(rt.burst_frames, 480);
    callback_rt_finish(&rt);
}

static void what_has_become_stale_is_not_played(void **) {
    struct callback_rt rt;
    assert_true(callback_rt_init(&rt, AUDIO_OUTPUT, (struct audio_format){48000, 2}));
    float out[2 * 480];
    ramp(1, 480);
    assert_int_equal(ring_write(&rt.ring, frames, 480), 480);
    callback_rt_move(&rt, out, nullptr, 480);
    assert_int_equal(ring_write(&rt.ring, frames, 480), 480);
    rt.drop_stale = true;
    callback_rt_move(&rt, out, nullptr, 480);
    assert_true(out[0] == 0.0f && out[959] == 0.0f);
    assert_false(rt.drop_stale);
    assert_int_equal(rt.n_xruns, 0); /* it was meant */
    callback_rt_finish(&rt);
}

static void an_input_is_kept_until_there_is_no_room(void **) {
    struct callback_rt rt;
    assert_true(callback_rt_init(&rt, AUDIO_INPUT, (struct audio_format){48000, 2}));
    ramp(1, 70000);
    callback_rt_move(&rt, nullptr, frames, 480);
    assert_int_equal(ring_readable(&rt.ring), 480);
    assert_int_equal(rt.n_xruns, 0);
    callback_rt_move(&rt, nullptr, frames, 70000);
    assert_int_equal(rt.n_xruns, 1);
    assert_int_equal(ring_readable(&rt.ring), rt.ring.capacity);
    float in[4];
    assert_int_equal(ring_read(&rt.ring, in, 2), 2);
    assert_true(in[0] == 1.0f && in[3] == 4.0f);
    callback_rt_finish(&rt);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_output_plays_what_is_there_and_then_silence),
        cmocka_unit_test(what_has_become_stale_is_not_played),
        cmocka_unit_test(an_input_is_kept_until_there_is_no_room),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
