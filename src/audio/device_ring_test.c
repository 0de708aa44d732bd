/* SPDX-License-Identifier: MPL-2.0 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audio/device_ring.h"
#include "base/clock.h"

static float frames[2 * 70000];

static void ramp(float first, size_t n_frames) {
    for (size_t i = 0; i < 2 * n_frames; i++)
        frames[i] = first + (float)i;
}

static void play(struct device_ring *ring, float *out, uint32_t n) {
    device_ring_give(ring, out, n);
    device_ring_moved(ring, n);
}

static void capture(struct device_ring *ring, uint32_t n) {
    device_ring_take(ring, frames, n);
    device_ring_moved(ring, n);
}

static void an_output_plays_what_is_there_and_then_silence(void **) {
    struct device_ring ring;
    assert_true(device_ring_init(&ring, AUDIO_OUTPUT, (struct audio_format){48000, 2}));
    float out[2 * 480];
    play(&ring, out, 480);
    assert_true(out[0] == 0.0f && out[959] == 0.0f);
    assert_int_equal(ring.n_xruns, 0); /* nothing was ever there: that is a device that starts */

    ramp(1, 500);
    assert_int_equal(ring_write(&ring.ring, frames, 500), 500);
    play(&ring, out, 480);
    assert_true(out[0] == 1.0f && out[959] == 960.0f);
    assert_int_equal(ring.n_xruns, 0);
    play(&ring, out, 480);
    assert_true(out[0] == 961.0f && out[39] == 1000.0f && out[40] == 0.0f && out[959] == 0.0f);
    play(&ring, out, 480);
    assert_int_equal(ring.n_xruns, 1); /* one gap, however long */
    assert_int_equal(ring.n_callbacks, 4);
    assert_int_equal(ring.n_frames, 4 * 480);
    assert_int_equal(ring.portion_frames, 480);
    device_ring_finish(&ring);
}

static void what_has_become_stale_is_not_played(void **) {
    struct device_ring ring;
    assert_true(device_ring_init(&ring, AUDIO_OUTPUT, (struct audio_format){48000, 2}));
    float out[2 * 480];
    ramp(1, 480);
    assert_int_equal(ring_write(&ring.ring, frames, 480), 480);
    play(&ring, out, 480);
    assert_int_equal(ring_write(&ring.ring, frames, 480), 480);
    ring.drop_stale = true;
    play(&ring, out, 480);
    assert_true(out[0] == 0.0f && out[959] == 0.0f);
    assert_false(ring.drop_stale);
    assert_int_equal(ring.n_xruns, 0); /* it was meant */
    device_ring_finish(&ring);
}

static void an_input_is_kept_until_there_is_no_room(void **) {
    struct device_ring ring;
    assert_true(device_ring_init(&ring, AUDIO_INPUT, (struct audio_format){48000, 2}));
    ramp(1, 70000);
    capture(&ring, 480);
    assert_int_equal(ring_readable(&ring.ring), 480);
    assert_int_equal(ring.n_xruns, 0);
    capture(&ring, 70000);
    assert_int_equal(ring.n_xruns, 1);
    assert_int_equal(ring_readable(&ring.ring), ring.ring.capacity);
    float in[4];
    assert_int_equal(ring_read(&ring.ring, in, 2), 2);
    assert_true(in[0] == 1.0f && in[3] == 4.0f);
    device_ring_finish(&ring);
}

static void who_sees_no_callback_knows_that_it_stands_still(void **) {
    struct device_ring ring;
    struct device_end end;
    struct clock_virtual clock;
    float out[2 * 480];
    clock_virtual_init(&clock, NS_PER_S, 0);
    assert_true(device_ring_init(&ring, AUDIO_OUTPUT, (struct audio_format){48000, 2}));
    device_end_begin(&end, &ring, &clock.clock);
    assert_int_equal(device_end_due(&end, 480), AUDIO_STANDS_STILL);
    play(&ring, out, 480);
    assert_int_equal(device_end_due(&end, 480), 480 + 288); /* a portion, a tick and a millisecond */
    assert_int_equal(device_end_write(&end, frames, 768), 768);
    assert_int_equal(device_end_due(&end, 480), 0);
    clock.now_ns += 199 * NS_PER_MS;
    assert_int_equal(device_end_due(&end, 480), 0);
    clock.now_ns += NS_PER_MS;
    assert_int_equal(device_end_due(&end, 480), AUDIO_STANDS_STILL);
    play(&ring, out, 480); /* and not what had been left over */
    assert_true(out[0] == 0.0f);
    assert_int_equal(device_end_due(&end, 480), 768);
    assert_int_equal(device_end_xruns(&end), 0);
    device_ring_finish(&ring);
}

static void what_an_input_has_gathered_unread_is_dropped_once(void **) {
    struct device_ring ring;
    struct device_end end;
    struct clock_virtual clock;
    clock_virtual_init(&clock, NS_PER_S, 0);
    assert_true(device_ring_init(&ring, AUDIO_INPUT, (struct audio_format){48000, 2}));
    device_end_begin(&end, &ring, &clock.clock);
    capture(&ring, 480);
    assert_int_equal(device_end_due(&end, 480), 480);
    for (int i = 0; i < 3; i++)
        capture(&ring, 480);
    assert_int_equal(device_end_due(&end, 480), 4 * 480); /* late, and no more */
    capture(&ring, 480);
    assert_int_equal(device_end_due(&end, 480), 2 * 480);
    assert_int_equal(device_end_xruns(&end), 1);
    float in[2 * 1440];
    assert_int_equal(device_end_read(&end, in, 1440), 960);
    assert_true(in[2 * 960] == 0.0f && in[2 * 1439 + 1] == 0.0f);
    device_ring_finish(&ring);
}

static void count_call(void *arg) {
    (*(int *)arg)++;
}

static void who_asks_is_called_once_when_the_device_moves(void **) {
    struct device_ring ring;
    struct device_end end;
    struct clock_virtual clock;
    int n_calls = 0, n_others = 0;
    const struct audio_call call = {count_call, &n_calls}, other = {count_call, &n_others};
    clock_virtual_init(&clock, NS_PER_S, 0);
    assert_true(device_ring_init(&ring, AUDIO_INPUT, (struct audio_format){48000, 2}));
    device_end_begin(&end, &ring, &clock.clock);
    assert_int_equal(device_end_due(&end, 480), AUDIO_STANDS_STILL);
    assert_true(device_end_call_when_moving(&end, &call));
    assert_true(device_end_call_when_moving(&end, &call)); /* asked for already */
    capture(&ring, 480);
    assert_int_equal(n_calls, 1);
    capture(&ring, 480);
    assert_int_equal(n_calls, 1);

    assert_int_equal(device_end_due(&end, 480), 960);
    clock.now_ns += NS_PER_S;
    assert_int_equal(device_end_due(&end, 480), AUDIO_STANDS_STILL);
    capture(&ring, 480); /* between the two questions */
    assert_false(device_end_call_when_moving(&end, &call));
    assert_true(device_end_due(&end, 480) > 0);

    clock.now_ns += NS_PER_S;
    assert_int_equal(device_end_due(&end, 480), AUDIO_STANDS_STILL);
    (void)device_end_call_when_moving(&end, &call);
    device_end_finish(&end);
    n_calls = 0;
    capture(&ring, 480);
    assert_int_equal(n_calls, 0);

    device_end_begin(&end, &ring, &clock.clock); /* whoever uses it next */
    assert_true(device_end_call_when_moving(&end, &other));
    capture(&ring, 480);
    assert_true(n_calls == 0 && n_others == 1);
    device_end_finish(&end);
    device_ring_finish(&ring);
}

/* Two threads that meet at all points of the way: nobody waits for a call that never comes. */
constexpr int N_MEETINGS = 2'000;

struct meeting {
    struct device_ring ring;
    _Atomic int n_calls, n_moves; /* that were asked for and granted */
};

static void note_call(void *arg) {
    atomic_fetch_add(&((struct meeting *)arg)->n_calls, 1);
}

static void *move_when_told(void *arg) {
    struct meeting *m = arg;
    for (int i = 1; i <= N_MEETINGS; i++) {
        while (atomic_load(&m->n_moves) < i)
            sched_yield();
        capture(&m->ring, 1);
    }
    return nullptr;
}

static void no_call_is_missed(void **) {
    static struct meeting m;
    struct device_end end;
    struct clock_virtual clock;
    clock_virtual_init(&clock, NS_PER_S, 0);
    assert_true(device_ring_init(&m.ring, AUDIO_INPUT, (struct audio_format){48000, 2}));
    device_end_begin(&end, &m.ring, &clock.clock);
    const struct audio_call call = {note_call, &m};
    pthread_t device;
    assert_int_equal(pthread_create(&device, nullptr, move_when_told, &m), 0);
    for (int i = 1; i <= N_MEETINGS; i++) {
        clock.now_ns += NS_PER_S;
        while (device_end_due(&end, 1) != AUDIO_STANDS_STILL)
            clock.now_ns += NS_PER_S;
        device_end_finish(&end); /* no call of the round before counts for this one */
        atomic_store(&m.n_calls, 0);
        atomic_store(&m.n_moves, i); /* from here on it may move */
        while (device_end_due(&end, 1) == AUDIO_STANDS_STILL)
            if (device_end_call_when_moving(&end, &call))
                while (atomic_load(&m.n_calls) == 0) /* as one who sleeps: without looking */
                    sched_yield();
    }
    assert_int_equal(pthread_join(device, nullptr), 0);
    device_end_finish(&end);
    device_ring_finish(&m.ring);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_output_plays_what_is_there_and_then_silence),
        cmocka_unit_test(what_has_become_stale_is_not_played),
        cmocka_unit_test(an_input_is_kept_until_there_is_no_room),
        cmocka_unit_test(who_sees_no_callback_knows_that_it_stands_still),
        cmocka_unit_test(what_an_input_has_gathered_unread_is_dropped_once),
        cmocka_unit_test(who_asks_is_called_once_when_the_device_moves),
        cmocka_unit_test(no_call_is_missed),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
