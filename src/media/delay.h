/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Holds back the sound of one sink. A change of the delay cross-fades from the old place in the sound to the new one; what
 * was not there yet when the line was put in is silence, and begins with a fade.
 *
 * Life cycle: delay_create → … → delay_destroy. Threads: delay_set() the core, delay_run() the media thread.
 */
struct delay {
    float *frames; /* owned: a ring of n_capacity × n_channels */
    size_t n_capacity, n_channels;
    size_t n_most;           /* frames of the longest delay */
    size_t n_fade;           /* frames of a change */
    _Atomic size_t n_wanted; /* frames of delay */
    // media thread
    int64_t written;      /* frames so far */
    size_t n_now, n_from; /* frames of delay, and before the change under way */
    size_t n_left;        /* frames of the change under way */
    float *out;           /* owned: n_max × n_channels */
};

/* For delays up to most_ns and n_max frames at once; begins without delay. nullptr: out of memory. */
struct delay *delay_create(int64_t most_ns, uint32_t rate_hz, size_t n_channels, size_t n_max);
void delay_destroy(struct delay *delay);
void delay_set(struct delay *delay, size_t n_frames);
/* The frames that are due instead of these; valid until it is called again. */
const float *delay_run(struct delay *delay, const float *frames, size_t n);
