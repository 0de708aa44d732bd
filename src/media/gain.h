/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * The gain of one link: set from the core, followed by the media thread in a straight line over 5 ms, however the frames
 * of that time are cut into pieces, so that no change clicks.
 *
 * Life cycle: gain_init. Threads: gain_set() the core, the rest the media thread (gain_init before either runs).
 */
struct gain {
    _Atomic float wanted; /* linear factor */
    size_t n_ramp;        /* frames of a whole ramp */
    // media thread
    float now, target;
    float step;    /* to the target, a frame */
    size_t n_left; /* frames of the ramp under way */
};

/* Starts there, without a ramp. The rate is that of the frames it will be given. */
void gain_init(struct gain *gain, double db, bool muted, uint32_t rate_hz);
void gain_set(struct gain *gain, double db, bool muted);

/* Nothing to do, now and in this tick? Then the frames pass bit by bit. */
bool gain_is_unity(const struct gain *gain);
void gain_run(struct gain *gain, float *frames, size_t n, size_t n_channels);
/* As gain_run, but towards silence, and it stays there. */
void gain_fade_out(struct gain *gain, float *frames, size_t n, size_t n_channels);
/* Has gain_fade_out come to its end? */
bool gain_is_out(const struct gain *gain);

/* What comes now begins in the middle of a sound: it is faded in. */
void gain_begin_silent(struct gain *gain);
/* There is no sound that could click: what is wanted is so from now on. */
void gain_settle(struct gain *gain);
