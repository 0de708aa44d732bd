/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "audio/device_ring.h"

/* This thread alone writes the counters. */
static void count(_Atomic uint64_t *counter, uint64_t n) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_release);
}

void device_ring_count_xrun(struct device_ring *ring) {
    count(&ring->n_xruns, 1);
}

void device_ring_take(struct device_ring *ring, const void *in, uint32_t n) {
    if (ring_write(&ring->ring, in, n) < n)
        count(&ring->n_xruns, 1);
}

void device_ring_give(struct device_ring *ring, void *out, uint32_t n) {
    if (atomic_exchange_explicit(&ring->drop_stale, false, memory_order_acq_rel)) {
        ring_skip(&ring->ring, ring_readable(&ring->ring));
        ring->was_fed = false;
    }
    size_t got = ring_read(&ring->ring, out, n);
    if (got < n && ring->was_fed)
        count(&ring->n_xruns, 1);
    ring->was_fed = got == n;
    size_t frame_size = ring->format.n_channels * sizeof(float);
    memset((char *)out + got * frame_size, 0, (n - got) * frame_size);
}

void device_ring_moved(struct device_ring *ring, uint32_t n) {
    atomic_store_explicit(&ring->portion_frames, n, memory_order_relaxed);
    count(&ring->n_frames, n);
    count(&ring->n_callbacks, 1);
    /* with the one in device_end_call_when_moving(): one of us sees the other */
    atomic_thread_fence(memory_order_seq_cst);
    int wanted = DEVICE_CALL_WANTED;
    if (atomic_load_explicit(&ring->call_state, memory_order_relaxed) != wanted ||
        !atomic_compare_exchange_strong(&ring->call_state, &wanted, DEVICE_CALL_IS_MADE))
        return;
    ring->call.fn(ring->call.arg);
    atomic_store_explicit(&ring->call_state, DEVICE_CALL_NONE, memory_order_release);
}
