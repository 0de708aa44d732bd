/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdint.h>

#include "audio/driver.h"
#include "base/ring.h"

/*
 * What the thread of a device does for us: frames go from the device into a ring, or from the ring to the device, and a few
 * counters tell how that went. Nothing else: no lock, no allocation, no log, no system call, no clock.
 *
 * Life cycle: callback_rt_init() → callback_rt_move(), any number → (the device has stopped) → callback_rt_finish().
 * Threads: callback_rt_move() is the device's thread; the other side of the ring is the media thread's; the counters may be
 * read by any.
 */
struct callback_rt {
    enum audio_direction direction; /* as rocd sees it: an input is read */
    struct audio_format format;
    struct ring ring; /* of frames; input: the device's thread writes, output: it reads */

    _Atomic bool drop_stale;       /* output: what is in the ring is too old to be played */
    _Atomic uint64_t n_callbacks;  /* only ever grows: whoever sees it stand still knows that the device does */
    _Atomic uint64_t n_frames;     /* that the device gave or took */
    _Atomic uint64_t n_xruns;      /* too few frames, or no room */
    _Atomic uint32_t burst_frames; /* the most that one callback asked for */

    bool was_fed; // Private state of the device's thread: an empty ring is worth counting once
};

/* false: out of memory. */
[[nodiscard]] bool callback_rt_init(struct callback_rt *rt, enum audio_direction direction, struct audio_format format);
void callback_rt_finish(struct callback_rt *rt);

/* `out` of an output is filled, `in` of an input is taken; the other one is nullptr. */
void callback_rt_move(struct callback_rt *rt, float *out, const float *in, uint32_t n_frames);
