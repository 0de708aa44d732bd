/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdint.h>

#include "audio/device_ring.h"

struct pw_stream;

/*
 * What PipeWire's data thread does for us: frames go from its buffers into a device_ring, or from there into its buffers.
 * Cycles that PipeWire left out are counted as xruns, too. No lock, no allocation, no log, no system call.
 *
 * Life cycle: device_rt_init() → `stream` is set → device_rt_process() by PipeWire, any number → the stream is destroyed
 * (which waits for the data thread) → another stream, or device_rt_finish().
 * Threads: device_rt_process() is PipeWire's data thread. The other side of the ring belongs to the media thread while
 * `is_open`; the counters may be read by any.
 */
struct device_rt {
    struct device_ring ring;
    struct pw_stream *stream; /* changed only while no callback can run */

    _Atomic bool
        is_open; /* somebody is at the other end of the ring; otherwise sound is dropped, or silence is played */
    _Atomic int64_t device_delay_ns; /* between PipeWire's buffer and the air */
    _Atomic int64_t
        cycle_ns; /* when the cycle of the last callback began, CLOCK_MONOTONIC; 0: PipeWire does not tell */

    uint64_t next_tick; // Private state of the data thread: where the next cycle should begin; 0: not known
    uint32_t tick_rate; // Private state of the data thread
};

/* false: out of memory. */
[[nodiscard]] bool device_rt_init(struct device_rt *rt, enum audio_direction direction, struct audio_format format);
void device_rt_finish(struct device_rt *rt);

/* How long the last frame of the ring takes to the air from now on, or has taken from it; -1: not known. Output: the ring, the
 * rest of this cycle, the device. Input: the time since it came, and the device. Any thread. */
int64_t device_rt_latency_ns(const struct device_rt *rt, int64_t now_ns);

/* The `process` event of a pw_stream with PW_STREAM_FLAG_RT_PROCESS; `arg` is a struct device_rt. */
void device_rt_process(void *arg);
