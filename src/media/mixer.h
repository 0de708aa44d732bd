/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>

/*
 * Sums the links of one sink for one tick. One input comes out bit by bit as it went in; what would leave full scale is
 * bent smoothly instead of cut.
 *
 * Life cycle: mixer_init → (mixer_begin → mixer_add … → mixer_end) … → mixer_finish. Threads: one owner.
 * Ownership: frames are borrowed until mixer_end's result has been used, peaks are copied.
 */
struct mixer {
    float *frames; /* owned, n_max × n_channels */
    size_t n_max, n_channels;
    size_t n;          // of this tick
    size_t n_inputs;   // so far in this tick
    const float *only; // the input while there is one
    float *only_peaks; // its peaks; owned, n_channels
};

/* false: out of memory */
[[nodiscard]] bool mixer_init(struct mixer *mixer, size_t n_max, size_t n_channels);
void mixer_finish(struct mixer *mixer);

void mixer_begin(struct mixer *mixer, size_t n);
/* `peaks`: of these frames, per channel. */
void mixer_add(struct mixer *mixer, const float *frames, const float *peaks);
/* n × n_channels, valid until the next mixer_begin, and the peak of each channel. */
const float *mixer_end(struct mixer *mixer, float *ret_peaks);
