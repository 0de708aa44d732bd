/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdint.h>

#include "audio/driver.h"
#include "base/ring.h"

struct clock;

/*
 * Between the thread of a device, which sets the pace, and a media thread: a ring of frames, and figures that tell each how
 * the other fares. The device's end does nothing but move frames and count: no lock, no allocation, no log, no system call
 * (but for a call that it was asked for, see device_end_call_when_moving()), no clock.
 *
 * An output's ring is filled up to one portion of the device, one tick of a media thread and a little more: less would run
 * dry, more would be latency. An input's ring is emptied at each tick; what has gathered while the media thread was kept away
 * is dropped, once, so that latency does not grow.
 *
 * Life cycle: device_ring_init() → device_ring_take() or give(), then moved(), at each callback → (no callback can come any
 * more) → device_ring_finish(). A device_end is begun when somebody uses the other end, and finished, as often as that
 * happens.
 * Threads: take, give, moved: the device's. device_end_*: the media thread, but for device_end_xruns(), which may be called
 * by any, and device_end_finish(), which belongs to a worker. The figures may be read by any.
 */
enum device_call { DEVICE_CALL_NONE, DEVICE_CALL_WANTED, DEVICE_CALL_IS_MADE };

struct device_ring {
    enum audio_direction direction; /* as rocd sees it: an input is read */
    struct audio_format format;
    struct ring ring; /* of frames; input: the device's thread writes, output: it reads */

    _Atomic bool drop_stale;         /* output: what is in the ring is too old to be played */
    _Atomic uint64_t n_callbacks;    /* only ever grows: whoever sees it stand still knows that the device does */
    _Atomic uint64_t n_frames;       /* that the device gave or took */
    _Atomic uint64_t n_xruns;        /* too few frames, or no room */
    _Atomic uint32_t portion_frames; /* that the last callback gave or took */

    _Atomic int call_state; /* enum device_call */
    struct audio_call call; /* the media thread's while it is not wanted, the device's when it is made */

    bool was_fed; // Private state of the device's thread: an empty ring is worth counting once
};

/* false: out of memory. */
[[nodiscard]] bool device_ring_init(struct device_ring *ring, enum audio_direction direction,
                                    struct audio_format format);
void device_ring_finish(struct device_ring *ring);

/* ---- the device's end: device_ring_rt.c ---- */

/* Input: n frames have been captured. */
void device_ring_take(struct device_ring *ring, const void *in, uint32_t n);
/* Output: n frames to be played, silence where there are none. */
void device_ring_give(struct device_ring *ring, void *out, uint32_t n);
void device_ring_count_xrun(struct device_ring *ring);
/* A callback has moved n frames. */
void device_ring_moved(struct device_ring *ring, uint32_t n);

/* ---- the media thread's end: device_ring.c ---- */

struct device_end {
    struct device_ring *ring;
    const struct clock *clock;
    uint64_t n_seen; // callbacks, when they last had gone on
    int64_t seen_ns;
    bool is_running;
    _Atomic uint64_t n_dropped; // times that too much had gathered
};

void device_end_begin(struct device_end *end, struct device_ring *ring, const struct clock *clock);
/* audio_stream_ops.due of a device that moves so many frames at a time. */
ptrdiff_t device_end_due(struct device_end *end, uint32_t portion_frames);
/* audio_stream_ops.call_when_moving. */
bool device_end_call_when_moving(struct device_end *end, const struct audio_call *call);
/* Afterwards no call is made any more. May wait for one that is being made. */
void device_end_finish(struct device_end *end);
size_t device_end_read(struct device_end *end, float *frames, size_t n);
size_t device_end_write(struct device_end *end, const float *frames, size_t n);
uint64_t device_end_xruns(const struct device_end *end);
