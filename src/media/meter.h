/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "media/engine.h"

/*
 * Peak level per channel since it was last read.
 *
 * Life cycle: zero-initialise. Threads: meter_add() one media thread, meter_read() one other at a time, at any time.
 */
struct meter {
    _Atomic uint32_t peak[ENGINE_CHANNELS_MAX]; /* bits of a float ≥ 0: as numbers they sort like the floats */
};

constexpr float METER_FLOOR_DBFS = -120.0f;

/* Peak of each channel of these frames. */
void meter_peaks(float *peaks, const float *frames, size_t n, size_t n_channels);
void meter_add(struct meter *meter, const float *peaks, size_t n_channels);
/* Peaks in dBFS, never below the floor; starts anew. */
void meter_read(struct meter *meter, float *ret_dbfs, size_t n_channels);
