/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "audio/driver.h"

/*
 * Endpoints for tests of the sound path: a source that computes its frames from their position, and a sink that keeps
 * everything it is given.
 *
 * Life cycle: init, hand &x.stream to the engine, finish after the engine has closed it. Threads: as audio_stream; what
 * was kept is looked at when no media thread runs. `closed` tells that the engine did.
 */
typedef float (*fake_signal)(int64_t frame, uint32_t channel);

struct fake_source {
    struct audio_stream stream; /* first member */
    fake_signal signal;
    int64_t n_read;
    _Atomic int state; /* enum audio_state */
    _Atomic bool closed;
};

struct fake_sink {
    struct audio_stream stream; /* first member */
    float *frames;              /* owned */
    size_t n, n_max;
    _Atomic bool closed;
};

void fake_source_init(struct fake_source *source, uint32_t rate_hz, uint32_t n_channels, fake_signal signal);
void fake_sink_init(struct fake_sink *sink, uint32_t rate_hz, uint32_t n_channels, size_t n_max);
void fake_sink_finish(struct fake_sink *sink);

/* Never zero, so that every zero is a hole. */
float fake_steady(int64_t frame, uint32_t channel);
/* One full frame every half second at 48 kHz, silence in between. */
float fake_impulses(int64_t frame, uint32_t channel);
float fake_silence(int64_t frame, uint32_t channel);
/* Costs next to nothing to make. */
float fake_square(int64_t frame, uint32_t channel);

/* Frames of exact zeros in channel 0, in runs of at least min_run. */
size_t fake_sink_zeros(const struct fake_sink *sink, size_t from, size_t to, size_t min_run);
/* First frame at or after `from` with |x| > level in channel 0; n if there is none. */
size_t fake_sink_find(const struct fake_sink *sink, size_t from, float level);
