/* SPDX-License-Identifier: MPL-2.0 */
#include "media/meter.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

static void peaks_stereo(float *peaks, const float *frames, size_t n) {
    float left = 0, right = 0;
    for (size_t i = 0; i < n; i++) {
        float l = fabsf(frames[2 * i]), r = fabsf(frames[2 * i + 1]);
        left = l > left ? l : left;
        right = r > right ? r : right;
    }
    peaks[0] = left;
    peaks[1] = right;
}

void meter_peaks(float *peaks, const float *frames, size_t n, size_t n_channels) {
    if (n_channels == 2) {
        peaks_stereo(peaks, frames, n);
        return;
    }
    memset(peaks, 0, n_channels * sizeof *peaks);
    for (size_t i = 0; i < n; i++)
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
