/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>

/*
 * The gain of one link: set from the core, followed by the media thread in a straight line over one tick, so that
 * no change clicks.
 *
 * Life cycle: gain_init. Threads: gain_set() the core, the rest the media thread (gain_init before either runs).
 */
struct gain {
    _Atomic float wanted; /* linear factor */
    float now;            // media thread
};

/* Starts there, without a ramp. */
void gain_init(struct gain *gain, double db, bool muted);
void gain_set(struct gain *gain, double db, bool muted);

/* Nothing to do, now and in this tick? Then the frames pass bit by bit. */
bool gain_is_unity(const struct gain *gain);
void gain_run(struct gain *gain, float *frames, size_t n, size_t n_channels);
/* As gain_run, but towards silence, and it stays there. */
void gain_fade_out(struct gain *gain, float *frames, size_t n, size_t n_channels);
