/* SPDX-License-Identifier: MPL-2.0 */
#include "audio/miniaudio/callback_rt.h"

#include <string.h>

/* Some devices have periods of 8192 frames; a ring holds two of them and what a media thread may be late by. */
constexpr uint32_t RING_FRAMES_MIN = 32768;

bool callback_rt_init(struct callback_rt *rt, enum audio_direction direction, struct audio_format format) {
    *rt = (struct callback_rt){.direction = direction, .format = format};
    uint32_t capacity = format.rate_hz / 2 > RING_FRAMES_MIN ? format.rate_hz / 2 : RING_FRAMES_MIN;
    return ring_init(&rt->ring, format.n_channels * sizeof(float), capacity);
}

void callback_rt_finish(struct callback_rt *rt) {
    ring_finish(&rt->ring);
}

/* This thread alone writes the counters. */
static void count(_Atomic uint64_t *counter, uint64_t n) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_release);
}

static void take(struct callback_rt *rt, const float *in, uint32_t n) {
    if (ring_write(&rt->ring, in, n) < n)
        count(&rt->n_xruns, 1);
}

static void give(struct callback_rt *rt, float *out, uint32_t n) {
    if (atomic_exchange_explicit(&rt->drop_stale, false, memory_order_acq_rel)) {
        ring_skip(&rt->ring, ring_readable(&rt->ring));
        rt->was_fed = false;
    }
    size_t got = ring_read(&rt->ring, out, n);
    if (got < n && rt->was_fed)
        count(&rt->n_xruns, 1);
    rt->was_fed = got == n;
    size_t n_channels = rt->format.n_channels;
    memset(out + got * n_channels, 0, (n - got) * n_channels * sizeof *out);
}

void callback_rt_move(struct callback_rt *rt, float *out, const float *in, uint32_t n_frames) {
    if (rt->direction == AUDIO_INPUT && in)
        take(rt, in, n_frames);
    else if (rt->direction == AUDIO_OUTPUT && out)
        give(rt, out, n_frames);
    if (n_frames > atomic_load_explicit(&rt->burst_frames, memory_order_relaxed))
        atomic_store_explicit(&rt->burst_frames, n_frames, memory_order_relaxed);
    count(&rt->n_frames, n_frames);
    count(&rt->n_callbacks, 1);
}
