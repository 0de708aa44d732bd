/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "audio/driver.h"
#include "base/clock.h"
#include "support/fake_audio.h"

/*
 * A sound card for tests on virtual time: a quantum of frames each time its own clock says so, taken from a ring (output)
 * or put into it (input). Its clock runs at the test's, some ppm faster or slower; its interrupts are made up for when the
 * media thread asks. Frames are captured from a signal, counted from the start of the device.
 *
 * Of what is played it keeps no more than figures: an hour of it fits nowhere.
 *
 * Life cycle: fake_device_init, hand &x.stream to the engine, fake_device_finish after the engine has closed it.
 * Threads: one.
 */
struct fake_device {
    struct audio_stream stream; /* first member */
    const struct clock *clock;
    bool is_input;
    double ppm;
    size_t quantum;
    bool stands_still;      /* set by fake_device_stop() and start */
    bool mute_clock;        /* due says 0, as a driver does that has not noticed yet that the device stands still */
    bool can_call;          /* it can wake who uses it, as real ones do */
    struct audio_call call; /* wished for, if it has an fn */
    fake_signal signal;
    float *ring; /* owned, n_capacity frames */
    size_t n_capacity, n_wanted, level, first;
    int64_t start_ns, n_interrupts; /* since it runs */
    int64_t n_captured, n_played;
    uint64_t n_xruns;
    uint64_t n_asked; /* how many frames are due */
    size_t level_max;
    bool closed;
    // of what was played
    bool has_sounded;
    uint64_t n_zeros; /* frames of exact silence since the first sound */
    int64_t last_peak_ns, n_peaks;
    int64_t latency_min_ns, latency_max_ns; /* of peaks, if peak_period_ns is given: they are played at multiples of it
                                                 counted from peak_start_ns, and heard that much later */
    int64_t peak_period_ns, peak_start_ns, peak_after_ns; /* those before peak_after_ns do not count */
    float step_max, last_value;                           /* largest step from one frame to the next in channel 0 */
};

void fake_device_init(struct fake_device *device, const struct clock *clock, bool is_input, size_t quantum, double ppm,
                      int64_t tick_ns, fake_signal signal);
void fake_device_finish(struct fake_device *device);
void fake_device_stop(struct fake_device *device);
void fake_device_start(struct fake_device *device);

/* fake_steady with a peak every second at 48 kHz: holes and latency in one. */
float fake_peaks(int64_t frame, uint32_t channel);
