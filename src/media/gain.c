/* SPDX-License-Identifier: MPL-2.0 */
#include "media/gain.h"

#include <math.h>
#include <stdatomic.h>

static float factor(double db, bool muted) {
    return muted ? 0 : (float)pow(10, db / 20);
}

void gain_init(struct gain *gain, double db, bool muted) {
    gain->now = factor(db, muted);
    atomic_init(&gain->wanted, gain->now);
}

void gain_set(struct gain *gain, double db, bool muted) {
    atomic_store_explicit(&gain->wanted, factor(db, muted), memory_order_relaxed);
}

bool gain_is_unity(const struct gain *gain) {
    return gain->now == 1 && atomic_load_explicit(&gain->wanted, memory_order_relaxed) == 1;
}

static void ramp(struct gain *gain, float to, float *frames, size_t n, size_t n_channels) {
    float from = gain->now;
    if (from == to) {
        for (size_t i = 0; i < n * n_channels; i++)
            frames[i] *= to;
        return;
    }
    if (n == 0)
        return;
    float step = (to - from) / (float)n;
    for (size_t i = 0; i < n; i++) {
        float g = from + step * (float)(i + 1);
        for (size_t c = 0; c < n_channels; c++)
            frames[i * n_channels + c] *= g;
    }
    gain->now = to;
}

void gain_run(struct gain *gain, float *frames, size_t n, size_t n_channels) {
    ramp(gain, atomic_load_explicit(&gain->wanted, memory_order_relaxed), frames, n, n_channels);
}

void gain_fade_out(struct gain *gain, float *frames, size_t n, size_t n_channels) {
    ramp(gain, 0, frames, n, n_channels);
}
