/* SPDX-License-Identifier: MPL-2.0 */
#include "audio/device_ring.h"

#include <sched.h>
#include <string.h>

#include "base/clock.h"

/* Some devices move 8192 frames at a time; a ring holds two of them and what a media thread may be late by. */
constexpr uint32_t RING_FRAMES_MIN = 32768;

constexpr uint32_t TICK_MS = 5; /* of media threads */
constexpr uint32_t MARGIN_MS = 1;
constexpr int64_t STILL_NS = 200 * NS_PER_MS;
constexpr uint32_t STILL_PORTIONS = 4;

bool device_ring_init(struct device_ring *ring, enum audio_direction direction, struct audio_format format) {
    *ring = (struct device_ring){.direction = direction, .format = format};
    uint32_t capacity = format.rate_hz / 2 > RING_FRAMES_MIN ? format.rate_hz / 2 : RING_FRAMES_MIN;
    return ring_init(&ring->ring, format.n_channels * sizeof(float), capacity);
}

void device_ring_finish(struct device_ring *ring) {
    ring_finish(&ring->ring);
}

/* ---- the media thread's end ---- */

void device_end_begin(struct device_end *end, struct device_ring *ring, const struct clock *clock) {
    *end = (struct device_end){
        .ring = ring,
        .clock = clock,
        .n_seen = atomic_load_explicit(&ring->n_callbacks, memory_order_acquire),
    };
}

static uint32_t frames_of_ms(const struct device_end *end, uint32_t ms) {
    return end->ring->format.rate_hz * ms / 1000;
}

/* Has the callback run lately? Both are as old as the last time somebody asked. */
static bool is_running(struct device_end *end, uint32_t portion_frames) {
    uint64_t n = atomic_load_explicit(&end->ring->n_callbacks, memory_order_acquire);
    int64_t now_ns = clock_now_ns(end->clock);
    if (n != end->n_seen) {
        end->n_seen = n;
        end->seen_ns = now_ns;
        end->is_running = true;
    } else if (end->is_running) {
        int64_t pause_ns = (int64_t)portion_frames * STILL_PORTIONS * NS_PER_S / end->ring->format.rate_hz;
        end->is_running = now_ns - end->seen_ns < (pause_ns > STILL_NS ? pause_ns : STILL_NS);
        if (!end->is_running && end->ring->direction == AUDIO_OUTPUT) /* it would be heard when the device runs again */
            atomic_store_explicit(&end->ring->drop_stale, true, memory_order_release);
    }
    return end->is_running;
}

static ptrdiff_t due_output(const struct device_end *end, uint32_t portion_frames) {
    if (atomic_load_explicit(&end->ring->drop_stale, memory_order_acquire))
        return 0; /* until the next callback has done it */
    size_t wanted = portion_frames + frames_of_ms(end, TICK_MS + MARGIN_MS);
    size_t there = ring_readable(&end->ring->ring);
    return there < wanted ? (ptrdiff_t)(wanted - there) : 0;
}

static ptrdiff_t due_input(struct device_end *end, uint32_t portion_frames) {
    size_t there = ring_readable(&end->ring->ring);
    size_t usual = portion_frames + frames_of_ms(end, 2 * TICK_MS);
    if (there > 2 * usual) {
        ring_skip(&end->ring->ring, there - usual);
        atomic_fetch_add_explicit(&end->n_dropped, 1, memory_order_relaxed);
        there = usual;
    }
    return (ptrdiff_t)there;
}

ptrdiff_t device_end_due(struct device_end *end, uint32_t portion_frames) {
    if (!is_running(end, portion_frames))
        return AUDIO_STANDS_STILL;
    return end->ring->direction == AUDIO_OUTPUT ? due_output(end, portion_frames) : due_input(end, portion_frames);
}

bool device_end_call_when_moving(struct device_end *end, const struct audio_call *call) {
    struct device_ring *ring = end->ring;
    int state = atomic_load_explicit(&ring->call_state, memory_order_acquire);
    if (state == DEVICE_CALL_IS_MADE)
        return false;
    if (state == DEVICE_CALL_NONE) {
        ring->call = *call;
        atomic_store_explicit(&ring->call_state, DEVICE_CALL_WANTED, memory_order_release);
    }
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load_explicit(&ring->n_callbacks, memory_order_relaxed) == end->n_seen;
}

void device_end_finish(struct device_end *end) {
    int wanted = DEVICE_CALL_WANTED;
    if (atomic_compare_exchange_strong(&end->ring->call_state, &wanted, DEVICE_CALL_NONE))
        return;
    while (atomic_load_explicit(&end->ring->call_state, memory_order_acquire) == DEVICE_CALL_IS_MADE)
        sched_yield();
}

size_t device_end_read(struct device_end *end, float *frames, size_t n) {
    size_t got = ring_read(&end->ring->ring, frames, n);
    size_t n_channels = end->ring->format.n_channels;
    memset(frames + got * n_channels, 0, (n - got) * n_channels * sizeof *frames);
    return got;
}

size_t device_end_write(struct device_end *end, const float *frames, size_t n) {
    return ring_write(&end->ring->ring, frames, n);
}

uint64_t device_end_xruns(const struct device_end *end) {
    return atomic_load_explicit(&end->ring->n_xruns, memory_order_relaxed) +
           atomic_load_explicit(&end->n_dropped, memory_order_relaxed);
}
