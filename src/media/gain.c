/* SPDX-License-Identifier: MPL-2.0 */
#include "media/gain.h"

#include <math.h>
#include <stdatomic.h>

/* 1 / RAMPS_PER_S is the length of a ramp. In 5 ms a full tone moves by no more than 0.4 % of its size a frame beside its
 * own movement: not to be heard. */
constexpr uint32_t RAMPS_PER_S = 200;

static float factor(double db, bool muted) {
    return muted ? 0 : (float)pow(10, db / 20);
}

void gain_init(struct gain *gain, double db, bool muted, uint32_t rate_hz) {
    *gain = (struct gain){.n_ramp = rate_hz > RAMPS_PER_S ? rate_hz / RAMPS_PER_S : 1};
    gain->now = gain->target = factor(db, muted);
    atomic_init(&gain->wanted, gain->now);
}

void gain_set(struct gain *gain, double db, bool muted) {
    atomic_store_explicit(&gain->wanted, factor(db, muted), memory_order_relaxed);
}

static float wanted(const struct gain *gain) {
    return atomic_load_explicit(&gain->wanted, memory_order_relaxed);
}

bool gain_is_unity(const struct gain *gain) {
    return gain->n_left == 0 && gain->now == 1 && wanted(gain) == 1;
}

static void head_for(struct gain *gain, float target) {
    if (target == gain->target)
        return;
    gain->target = target;
    gain->n_left = gain->n_ramp;
    gain->step = (target - gain->now) / (float)gain->n_ramp;
}

static void run_towards(struct gain *gain, float target, float *frames, size_t n, size_t n_channels) {
    head_for(gain, target);
    size_t i = 0;
    for (; i < n && gain->n_left > 0; i++) {
        gain->now = --gain->n_left > 0 ? gain->now + gain->step : gain->target;
        for (size_t c = 0; c < n_channels; c++)
            frames[i * n_channels + c] *= gain->now;
    }
    for (size_t k = i * n_channels; k < n * n_channels; k++)
        frames[k] *= gain->now;
}

void gain_run(struct gain *gain, float *frames, size_t n, size_t n_channels) {
    run_towards(gain, wanted(gain), frames, n, n_channels);
}

void gain_fade_out(struct gain *gain, float *frames, size_t n, size_t n_channels) {
    run_towards(gain, 0, frames, n, n_channels);
}

bool gain_is_out(const struct gain *gain) {
    return gain->n_left == 0 && gain->now == 0;
}

void gain_begin_silent(struct gain *gain) {
    gain->now = gain->target = 0;
    gain->n_left = 0;
}

void gain_settle(struct gain *gain) {
    gain->now = gain->target = wanted(gain);
    gain->n_left = 0;
}
