/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <pipewire/stream.h>

#include "audio/pipewire/device_rt.h"

/*
 * The data thread's part alone: PipeWire's functions that it calls are these. One buffer goes to and fro. Where this program
 * is linked with tests/support/rt_guard.c, it ends when that part allocates, locks or waits.
 */

[[gnu::weak]] void rt_guard_enter(void);
[[gnu::weak]] void rt_guard_leave(void);

constexpr uint32_t RATE = 48'000;
constexpr uint32_t QUANTUM = 256;
constexpr uint32_t N_CHANNELS = 2;

static struct fake {
    float samples[1024 * N_CHANNELS];
    struct spa_chunk chunk;
    struct spa_data data;
    struct spa_buffer buffer;
    struct pw_buffer pw_buffer;
    struct pw_time time;
    bool has_none; /* no buffer at hand */
    int n_queued;
} fake;

struct pw_buffer *pw_stream_dequeue_buffer(struct pw_stream *) {
    return fake.has_none ? nullptr : &fake.pw_buffer;
}

int pw_stream_queue_buffer(struct pw_stream *, struct pw_buffer *buffer) {
    assert_ptr_equal(buffer, &fake.pw_buffer);
    fake.n_queued++;
    return 0;
}

int pw_stream_get_time_n(struct pw_stream *, struct pw_time *time, size_t size) {
    assert_int_equal(size, sizeof *time);
    *time = fake.time;
    return 0;
}

static void set_up(struct device_rt *rt, enum audio_direction direction) {
    fake = (struct fake){.time = {.rate = {1, RATE}}};
    fake.data = (struct spa_data){.data = fake.samples, .maxsize = sizeof fake.samples, .chunk = &fake.chunk};
    fake.buffer = (struct spa_buffer){.n_datas = 1, .datas = &fake.data};
    fake.pw_buffer = (struct pw_buffer){.buffer = &fake.buffer, .requested = direction == AUDIO_OUTPUT ? QUANTUM : 0};
    fake.chunk.size = QUANTUM * N_CHANNELS * sizeof(float);
    assert_true(device_rt_init(rt, direction, (struct audio_format){RATE, N_CHANNELS}));
    atomic_store(&rt->is_open, true);
}

/* One cycle of the graph. */
static void cycle(struct device_rt *rt) {
    if (rt_guard_enter)
        rt_guard_enter();
    device_rt_process(rt);
    if (rt_guard_leave)
        rt_guard_leave();
    fake.time.ticks += QUANTUM;
}

static void write_ramp(struct device_rt *rt, size_t n, float from) {
    float frames[4096 * N_CHANNELS];
    for (size_t i = 0; i < n * N_CHANNELS; i++)
        frames[i] = from + (float)(i / N_CHANNELS);
    assert_int_equal(ring_write(&rt->ring.ring, frames, n), n);
}

static void test_input_goes_into_the_ring(void **) {
    struct device_rt rt;
    float frames[QUANTUM * N_CHANNELS];
    set_up(&rt, AUDIO_INPUT);
    fake.chunk.offset = 16;
    for (size_t i = 0; i < QUANTUM * N_CHANNELS; i++)
        fake.samples[4 + i] = (float)i;
    cycle(&rt);
    assert_int_equal(ring_readable(&rt.ring.ring), QUANTUM);
    assert_int_equal(ring_read(&rt.ring.ring, frames, QUANTUM), QUANTUM);
    assert_memory_equal(frames, fake.samples + 4, sizeof frames);
    assert_int_equal(rt.ring.portion_frames, QUANTUM);
    assert_int_equal(rt.ring.n_callbacks, 1);
    assert_int_equal(fake.n_queued, 1);
    device_rt_finish(&rt);
}

static void test_input_of_a_strange_chunk_stays_inside_the_buffer(void **) {
    struct device_rt rt;
    set_up(&rt, AUDIO_INPUT);
    fake.chunk.offset = sizeof fake.samples - 80;
    fake.chunk.size = UINT32_MAX;
    cycle(&rt);
    assert_int_equal(ring_readable(&rt.ring.ring), 10);
    fake.chunk.offset = UINT32_MAX;
    cycle(&rt);
    assert_int_equal(ring_readable(&rt.ring.ring), 10);
    fake.data.data = nullptr;
    cycle(&rt);
    fake.buffer.n_datas = 0;
    cycle(&rt);
    assert_int_equal(rt.ring.n_callbacks, 1);
    assert_int_equal(fake.n_queued, 4);
    device_rt_finish(&rt);
}

static void test_input_that_nobody_reads(void **) {
    struct device_rt rt;
    set_up(&rt, AUDIO_INPUT);
    atomic_store(&rt.is_open, false);
    cycle(&rt);
    assert_int_equal(ring_readable(&rt.ring.ring), 0);
    atomic_store(&rt.is_open, true);
    for (size_t i = 0; i < rt.ring.ring.capacity / QUANTUM; i++)
        cycle(&rt);
    assert_int_equal(rt.ring.n_xruns, 0);
    cycle(&rt); /* there is no room any more */
    assert_int_equal(rt.ring.n_xruns, 1);
    assert_int_equal(ring_readable(&rt.ring.ring), rt.ring.ring.capacity);
    device_rt_finish(&rt);
}

static void test_output_comes_from_the_ring(void **) {
    struct device_rt rt;
    set_up(&rt, AUDIO_OUTPUT);
    write_ramp(&rt, 2 * QUANTUM, 0);
    cycle(&rt);
    assert_int_equal(fake.chunk.size, QUANTUM * N_CHANNELS * sizeof(float));
    assert_int_equal(fake.chunk.stride, N_CHANNELS * sizeof(float));
    assert_true(fake.samples[2 * (QUANTUM - 1)] == (float)(QUANTUM - 1));
    assert_int_equal(ring_readable(&rt.ring.ring), QUANTUM);
    fake.pw_buffer.requested = 0; /* as much as fits */
    device_rt_process(&rt);
    assert_int_equal(fake.chunk.size, sizeof fake.samples);
    assert_true(fake.samples[0] == (float)QUANTUM && fake.samples[2 * QUANTUM] == 0.0f);
    device_rt_finish(&rt);
}

static void test_a_ring_that_runs_dry_is_counted_once(void **) {
    struct device_rt rt;
    set_up(&rt, AUDIO_OUTPUT);
    cycle(&rt); /* not fed yet */
    assert_int_equal(rt.ring.n_xruns, 0);
    write_ramp(&rt, QUANTUM + 10, 1);
    cycle(&rt);
    assert_int_equal(rt.ring.n_xruns, 0);
    cycle(&rt);
    assert_int_equal(rt.ring.n_xruns, 1);
    assert_true(fake.samples[2 * 9] > 0.0f && fake.samples[2 * 10] == 0.0f);
    cycle(&rt);
    assert_int_equal(rt.ring.n_xruns, 1);
    device_rt_finish(&rt);
}

static void test_what_is_too_old_is_not_played(void **) {
    struct device_rt rt;
    set_up(&rt, AUDIO_OUTPUT);
    write_ramp(&rt, 3 * QUANTUM, 1);
    atomic_store(&rt.ring.drop_stale, true);
    cycle(&rt);
    assert_true(fake.samples[0] == 0.0f);
    assert_int_equal(ring_readable(&rt.ring.ring), 0);
    assert_false(atomic_load(&rt.ring.drop_stale));
    device_rt_finish(&rt);
}

static void test_output_that_nobody_writes_is_silence(void **) {
    struct device_rt rt;
    set_up(&rt, AUDIO_OUTPUT);
    write_ramp(&rt, QUANTUM, 1);
    atomic_store(&rt.is_open, false);
    cycle(&rt);
    for (size_t i = 0; i < QUANTUM * N_CHANNELS; i++)
        assert_true(fake.samples[i] == 0.0f);
    assert_int_equal(rt.ring.n_xruns, 0);
    device_rt_finish(&rt);
}

static void test_cycles_that_were_left_out_are_counted(void **) {
    struct device_rt rt;
    set_up(&rt, AUDIO_INPUT);
    for (int i = 0; i < 10; i++)
        cycle(&rt);
    assert_int_equal(rt.ring.n_xruns, 0);
    fake.time.ticks += 3 * QUANTUM;
    cycle(&rt);
    assert_int_equal(rt.ring.n_xruns, 1);
    fake.time.ticks += 100 * RATE; /* another clock */
    cycle(&rt);
    fake.time.ticks = 0;
    cycle(&rt);
    assert_int_equal(rt.ring.n_xruns, 1);
    fake.has_none = true;
    uint64_t n = rt.ring.n_callbacks;
    cycle(&rt);
    assert_int_equal(rt.ring.n_callbacks, n);
    device_rt_finish(&rt);
}

static void test_the_delay_of_the_device(void **) {
    struct device_rt rt;
    set_up(&rt, AUDIO_OUTPUT);
    fake.time.delay = 480;
    fake.time.buffered = 48;
    cycle(&rt);
    assert_int_equal(rt.device_delay_ns, 11'000'000);
    fake.time.rate = (struct spa_fraction){1, 96'000};
    cycle(&rt);
    assert_int_equal(rt.device_delay_ns, 6'000'000);
    fake.time.rate = (struct spa_fraction){0, 0};
    cycle(&rt);
    assert_int_equal(rt.ring.n_callbacks, 3);
    device_rt_finish(&rt);
}

/* Frame by frame: what was written last is heard when PipeWire has said it would be, whenever one asks. */
static void test_the_latency_of_an_output_is_when_it_is_heard(void **) {
    struct device_rt rt;
    set_up(&rt, AUDIO_OUTPUT);
    constexpr int64_t QUANTUM_NS = QUANTUM * 1'000'000'000LL / RATE;
    constexpr int64_t DELAY_NS = 10'000'000;
    assert_int_equal(device_rt_latency_ns(&rt, 5), -1);
    fake.time.delay = 480;
    fake.time.now = 1'000'000'000;
    write_ramp(&rt, 3 * QUANTUM, 0); /* three cycles of it: the last frame is heard at the end of the third */
    int64_t heard_ns = fake.time.now + 3 * QUANTUM_NS + DELAY_NS;
    for (int i = 0; i < 3; i++) {
        cycle(&rt);
        for (int part = 0; part <= 4; part++) {
            int64_t now_ns = fake.time.now + part * QUANTUM_NS / 4;
            assert_in_range(now_ns + device_rt_latency_ns(&rt, now_ns), heard_ns - 2, heard_ns + 2);
        }
        fake.time.now += QUANTUM_NS;
    }
    assert_in_range(device_rt_latency_ns(&rt, fake.time.now + 1'000'000'000), DELAY_NS, DELAY_NS); /* it stands still */
    device_rt_finish(&rt);
}

static void test_the_latency_of_an_input_is_its_age(void **) {
    struct device_rt rt;
    set_up(&rt, AUDIO_INPUT);
    constexpr int64_t QUANTUM_NS = QUANTUM * 1'000'000'000LL / RATE;
    fake.time.delay = QUANTUM + 48; /* of the first frame of the cycle; the last is a quantum younger */
    fake.time.now = 1'000'000'000;
    cycle(&rt);
    assert_int_equal(ring_skip(&rt.ring.ring, QUANTUM), QUANTUM);
    assert_in_range(device_rt_latency_ns(&rt, fake.time.now), 999'998, 1'000'000);
    assert_in_range(device_rt_latency_ns(&rt, fake.time.now + QUANTUM_NS / 2), QUANTUM_NS / 2 + 999'998,
                    QUANTUM_NS / 2 + 1'000'000);
    fake.time.delay = 0; /* of what is no hardware */
    cycle(&rt);
    assert_in_range(device_rt_latency_ns(&rt, fake.time.now), QUANTUM_NS - 2, QUANTUM_NS); /* still in the ring */
    device_rt_finish(&rt);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_input_goes_into_the_ring),
        cmocka_unit_test(test_input_of_a_strange_chunk_stays_inside_the_buffer),
        cmocka_unit_test(test_input_that_nobody_reads),
        cmocka_unit_test(test_output_comes_from_the_ring),
        cmocka_unit_test(test_a_ring_that_runs_dry_is_counted_once),
        cmocka_unit_test(test_what_is_too_old_is_not_played),
        cmocka_unit_test(test_output_that_nobody_writes_is_silence),
        cmocka_unit_test(test_cycles_that_were_left_out_are_counted),
        cmocka_unit_test(test_the_delay_of_the_device),
        cmocka_unit_test(test_the_latency_of_an_output_is_when_it_is_heard),
        cmocka_unit_test(test_the_latency_of_an_input_is_its_age),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
