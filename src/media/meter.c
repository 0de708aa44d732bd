/* SPDX-License-Identifier: MPL-2.0 */
#include "media/meter.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

/* Eight samples at once, in two registers, as the bits of their absolute values, which sort like the values. Written out,
 * because compilers do not dare to reorder maxima of floats; of 16 bytes, because a vector that is wider than the machine's
 * registers is taken to pieces, sample by sample. */
typedef int32_t lanes [[gnu::vector_size(16)]];
constexpr size_t N_LANES = 8;
constexpr size_t N_HALF = N_LANES / 2;
constexpr int32_t ABSOLUTE = 0x7fffffff;

static lanes highest_of(lanes highest, const float *samples) {
    lanes bits;
    memcpy(&bits, samples, sizeof bits);
    bits &= ABSOLUTE;
    lanes higher = bits > highest;
    return (bits & higher) | (highest & ~higher);
}

/* n_channels divides N_LANES, so lane i always holds channel i % n_channels. Returns how many frames it has seen. */
static size_t peaks_by_lanes(float *peaks, const float *frames, size_t n, size_t n_channels) {
    size_t n_rounds = n * n_channels / N_LANES;
    lanes low = {}, high = {};
    for (size_t i = 0; i < n_rounds; i++) {
        low = highest_of(low, frames + i * N_LANES);
        high = highest_of(high, frames + i * N_LANES + N_HALF);
    }
    float highest[N_LANES];
    memcpy(highest, &low, sizeof low);
    memcpy(highest + N_HALF, &high, sizeof high);
    for (size_t i = 0; i < N_LANES; i++) {
        float *peak = &peaks[i % n_channels];
        *peak = highest[i] > *peak ? highest[i] : *peak;
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
