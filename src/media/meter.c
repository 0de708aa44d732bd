/* SPDX-License-Identifier: MPL-2.0 */
#include "media/meter.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

/* Eight samples at once, as the bits of their absolute values, which sort like the values. Written out, because compilers
 * do not dare to reorder maxima of floats. */
typedef int32_t lanes [[gnu::vector_size(32)]];
constexpr size_t N_LANES = 8;
constexpr int32_t ABSOLUTE = 0x7fffffff;

/* n_channels divides N_LANES, so lane i always holds channel i % n_channels. Returns how many frames it has seen. */
static size_t peaks_by_lanes(float *peaks, const float *frames, size_t n, size_t n_channels) {
    size_t n_rounds = n * n_channels / N_LANES;
    lanes highest = {};
    for (size_t i = 0; i < n_rounds; i++) {
        lanes samples;
        memcpy(&samples, frames + i * N_LANES, sizeof samples);
        samples &= ABSOLUTE;
        lanes higher = samples > highest;
        highest = (samples & higher) | (highest & ~higher);
    }
    for (size_t i = 0; i < N_LANES; i++) {
        int32_t bits = highest[i];
        float value;
        memcpy(&value, &bits, sizeof value);
        float *peak = &peaks[i % n_channels];
        *peak = value > *peak ? value : *peak;
    }
    return n_rounds * N_LANES / n_channels;
}

void meter_peaks(float *peaks, const float *frames, size_t n, size_t n_channels) {
    memset(peaks, 0, n_channels * sizeof *peaks);
    size_t i = 0;
    if (N_LANES % n_channels == 0)
        i = peaks_by_lanes(peaks, frames, n, n_channels);
    for (; i < n; i++)
        for (size_t c = 0; c < n_channels; c++) {
            float value = fabsf(frames[i * n_channels + c]);
            peaks[c] = value > peaks[c] ? value : peaks[c];
        }
}

void meter_add(struct meter *meter, const float *peaks, size_t n_channels) {
    for (size_t c = 0; c < n_channels; c++) {
        uint32_t bits, seen = atomic_load_explicit(&meter->peak[c], memory_order_relaxed);
        memcpy(&bits, &peaks[c], sizeof bits);
        while (bits > seen && !atomic_compare_exchange_weak_explicit(&meter->peak[c], &seen, bits, memory_order_relaxed,
                                                                     memory_order_relaxed)) {
        }
    }
}

void meter_read(struct meter *meter, float *ret_dbfs, size_t n_channels) {
    for (size_t c = 0; c < n_channels; c++) {
        uint32_t bits = atomic_exchange_explicit(&meter->peak[c], 0, memory_order_relaxed);
        float peak;
        memcpy(&peak, &bits, sizeof peak);
        float dbfs = peak > 0 ? 20 * log10f(peak) : METER_FLOOR_DBFS;
        ret_dbfs[c] = dbfs > METER_FLOOR_DBFS ? dbfs : METER_FLOOR_DBFS;
    }
}
